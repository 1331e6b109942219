//! Known trees, append, tiles, batch items.

use jjj_token::Hash;
use jjj_token::merkle::{
    EMPTY_ROOT, Frontier, FrontierError, HashSource, MemoryTree, Tile, inclusion_proof, items_root, leaf_hash,
    node_hash, root, root_of, verify_consistency, verify_inclusion, verify_item,
};

use crate::support::hash;

/// The test tree of Certificate Transparency's reference implementation.
const LEAVES: [&str; 8] =
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
const ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

fn leaves() -> Vec<Hash> {
    LEAVES.iter().map(|digits| leaf_hash(&hex::decode(digits).unwrap())).collect()
}

#[test]
fn reference_roots() {
    let leaves = leaves();
    assert_eq!(root(&[]), EMPTY_ROOT);
    assert_eq!(EMPTY_ROOT, hash("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),);
    let tree = MemoryTree::new(leaves.clone());
    let mut frontier = Frontier::new();
    assert_eq!(frontier.root(), EMPTY_ROOT);
    for (size, known) in (1..).zip(ROOTS) {
        frontier.push(leaves[size - 1], |_, _, _| ()).unwrap();
        assert_eq!(root(&leaves[..size]), hash(known));
        assert_eq!(root_of(&tree, size as u64), Ok(hash(known)));
        assert_eq!(frontier.root(), hash(known));
    }
}

#[test]
fn reference_proofs() {
    let (leaves, root) = (leaves(), |size: usize| hash(ROOTS[size - 1]));
    let path = [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]
    .map(hash);
    verify_inclusion(&leaves[5], 5, 8, &path, &root(8)).unwrap();
    assert_eq!(inclusion_proof(&MemoryTree::new(leaves), 5, 8), Ok(path.to_vec()));
    let path = [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]
    .map(hash);
    verify_consistency(6, &root(6), 8, &root(8), &path).unwrap();
    let path = [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ]
    .map(hash);
    verify_consistency(2, &root(2), 5, &root(5), &path).unwrap();
}

/// The frontier emits exactly the complete nodes, each once, and can be restored at any size.
#[test]
fn frontier_emits_what_the_tree_stores() {
    let mut frontier = Frontier::new();
    let mut tree = MemoryTree::default();
    let mut emitted = std::collections::BTreeMap::new();
    for number in 0..300u64 {
        let leaf = leaf_hash(&number.to_be_bytes());
        tree.push(leaf);
        frontier
            .push(leaf, |level, index, hash| {
                assert_eq!(emitted.insert((level, index), hash), None);
            })
            .unwrap();
        let size = number + 1;
        assert_eq!((frontier.size(), tree.size()), (size, size));
        assert_eq!(frontier.root(), root_of(&tree, size).unwrap());
        assert_eq!(Frontier::load(&tree, size), Ok(frontier.clone()));
        assert_eq!(Frontier::from_edge(size, frontier.edge().to_vec()), Ok(frontier.clone()));
    }
    for ((level, index), hash) in &emitted {
        assert_eq!(tree.node(*level, *index), Ok(*hash));
    }
    let complete: u64 = (0..9).map(|level| 300u64 >> level).sum();
    assert_eq!(emitted.len() as u64, complete);
    assert_eq!(tree.node(8, 1).unwrap_err().reason(), "MERKLE_NODE_NOT_STORED");
}

#[test]
fn frontier_refuses() {
    let refused = Frontier::from_edge(5, vec![EMPTY_ROOT]).unwrap_err();
    assert_eq!(refused, FrontierError::EdgeMismatch { size: 5, given: 1 });
    let mut full = Frontier::from_edge(u64::MAX, vec![EMPTY_ROOT; 64]).unwrap();
    let before = full.clone();
    let refused = full.push(EMPTY_ROOT, |_, _, _| panic!("nothing may be emitted"));
    assert_eq!(refused, Err(FrontierError::Full));
    assert_eq!(full, before);
}

#[test]
fn items_prove_themselves_alone() {
    assert_eq!(items_root(&[]), (EMPTY_ROOT, vec![]));
    let (single, paths) = items_root(&[b"only"]);
    assert_eq!((single, paths), (leaf_hash(b"only"), vec![vec![]]));

    let items: Vec<Vec<u8>> = (0..13u8).map(|number| vec![number; 3]).collect();
    let items: Vec<&[u8]> = items.iter().map(Vec::as_slice).collect();
    let (root, paths) = items_root(&items);
    for (index, (item, path)) in items.iter().zip(&paths).enumerate() {
        let verify = |item: &[u8], index| verify_item(&leaf_hash(item), index, 13, path, &root);
        assert_eq!(verify(item, index as u64), Ok(()));
        assert!(verify(b"other", index as u64).is_err());
        assert!(verify(item, (index as u64 + 1) % 13).is_err());
    }
}

/// An inner node cannot pass for a leaf: the prefixes differ.
#[test]
fn leaves_and_nodes_are_apart() {
    let (left, right) = (leaf_hash(b"a"), leaf_hash(b"b"));
    assert_ne!(leaf_hash(&[left, right].concat()), node_hash(&left, &right));
}

#[test]
fn tile_paths() {
    let path = |level, index, width| Tile { level, index, width }.path();
    assert_eq!(path(0, 0, 256), "tile/0/000");
    assert_eq!(path(0, 999, 256), "tile/0/999");
    assert_eq!(path(0, 1000, 256), "tile/0/x001/000");
    assert_eq!(path(3, 1_234_067, 256), "tile/3/x001/x234/067");
    assert_eq!(path(0, 1_234_067, 5), "tile/0/x001/x234/067.p/5");
    assert_eq!(Tile { level: 0, index: 273, width: 112 }.entries_path(), "tile/entries/273.p/112");
}

/// The example of the tlog-tiles specification: a tree of 70,000.
#[test]
fn tiles_of_seventy_thousand() {
    let tiles: Vec<Tile> = Tile::of_growth(0, 70_000).collect();
    let count =
        |level, full: bool| tiles.iter().filter(|tile| tile.level == level && (tile.width == 256) == full).count();
    assert_eq!((count(0, true), count(0, false)), (273, 1));
    assert_eq!((count(1, true), count(1, false)), (1, 1));
    assert_eq!((count(2, true), count(2, false)), (0, 1));
    assert_eq!(tiles.len(), 277);
    let partial: Vec<String> = tiles.iter().filter(|tile| tile.width < 256).map(Tile::path).collect();
    assert_eq!(partial, ["tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"]);
}

/// Publishing the tiles of every step's growth ends with the tiles of the whole.
#[test]
fn tile_growth_adds_up() {
    let mut published = std::collections::BTreeMap::new();
    let sizes = [0, 1, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537, 131_073];
    for pair in sizes.windows(2) {
        for tile in Tile::of_growth(pair[0], pair[1]) {
            let before = published.insert((tile.level, tile.index), tile.width);
            assert!(before < Some(tile.width), "{tile:?} did not grow");
        }
        let whole: std::collections::BTreeMap<_, _> =
            Tile::of_growth(0, pair[1]).map(|tile| ((tile.level, tile.index), tile.width)).collect();
        assert_eq!(published, whole, "at {}", pair[1]);
    }
    assert_eq!(Tile::of_growth(300, 300).count(), 0);
}

#[test]
fn tile_positions() {
    assert_eq!(Tile::position(0, 70_000), Some((0, 273, 112)));
    assert_eq!(Tile::position(8, 272), Some((1, 1, 16)));
    assert_eq!(Tile::position(3, 0), None);
    assert_eq!(Tile::position(64, 0), None);
    assert_eq!(Tile::of_tree(7, 0, u64::MAX).unwrap().width, 255);
    assert_eq!(Tile::of_tree(8, 0, u64::MAX), None);
    assert_eq!(Tile::of_tree(0, u64::MAX, u64::MAX), None);
    let (level, nodes) = Tile { level: 1, index: 2, width: 3 }.nodes();
    assert_eq!((level, nodes.collect::<Vec<_>>()), (8, vec![512, 513, 514]));
}
