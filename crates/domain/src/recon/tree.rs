//! RFC 6962 tree heads over rows as they stream by: memory for one hash per level, whatever the
//! number of rows. The log's own tree lives in `jjj-token`, which rests on this crate.

use sha2::{Digest, Sha256};

pub type Hash = [u8; 32];

/// RFC 6962 §2.1: a leaf's hash.
pub fn leaf_hash(bytes: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(bytes).finalize().into()
}

fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// The heads of the full subtrees so far, the largest first.
#[derive(Clone, Debug, Default)]
pub struct Frontier {
    rows: u64,
    heads: Vec<Hash>,
}

impl Frontier {
    /// Takes in the next leaf.
    pub fn push(&mut self, mut head: Hash) {
        // As many full subtrees end here as the number of rows before has trailing ones.
        for _ in 0..self.rows.trailing_ones() {
            head = node_hash(&self.heads.pop().expect("one per bit of the number of rows"), &head);
        }
        self.heads.push(head);
        self.rows += 1;
    }

    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The tree head; of no leaf, the hash of nothing.
    pub fn root(&self) -> Hash {
        let joined = self.heads.iter().rev().copied().reduce(|right, left| node_hash(&left, &right));
        joined.unwrap_or_else(|| Sha256::digest([]).into())
    }
}

impl Extend<Hash> for Frontier {
    fn extend<T: IntoIterator<Item = Hash>>(&mut self, leaves: T) {
        leaves.into_iter().for_each(|leaf| self.push(leaf));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_that_of_rfc_6962() {
        assert_eq!(
            hex::encode(Frontier::default().root()),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        // RFC 6962's reference inputs, as used by the test vectors of Certificate Transparency.
        let inputs =
            ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
        let heads = [
            (1, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
            (3, "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
            (5, "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"),
            (8, "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
        ];
        for (n, head) in heads {
            let mut tree = Frontier::default();
            tree.extend(inputs[..n].iter().map(|input| leaf_hash(&hex::decode(input).unwrap())));
            assert_eq!((hex::encode(tree.root()).as_str(), tree.rows()), (head, n as u64));
        }
    }
}
