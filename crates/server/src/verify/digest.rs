//! Short names of rows and leaves, for maps that hold one entry per row.

use jjj_domain::row::TableSpec;
use jjj_domain::value::Value;
use jjj_token::Hash;
use sha2::{Digest, Sha256};

/// The first half of a SHA-256: to collide two rows on purpose takes 2^64 work and an accepted
/// request for each, to hit a given one 2^128.
pub type Id = [u8; 16];

pub fn id(text: &str) -> Id {
    short(Sha256::digest(text).into())
}

/// A row's key, with its table.
pub fn key_id(spec: &TableSpec, key: &[Value]) -> Id {
    let mut hash = Sha256::new();
    hash.update(spec.name);
    feed(&mut hash, key);
    short(hash.finalize().into())
}

/// All of a row.
pub fn row_hash(values: &[Value]) -> Hash {
    let mut hash = Sha256::new();
    feed(&mut hash, values);
    hash.finalize().into()
}

/// Each value with its type and length, so that no two rows read the same.
fn feed(hash: &mut Sha256, values: &[Value]) {
    let mut part = |tag: u8, bytes: &[u8]| {
        hash.update([tag]);
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    for value in values {
        match value {
            Value::Null => part(0, &[]),
            Value::Int(n) => part(1, &n.to_be_bytes()),
            Value::Text(s) => part(2, s.as_bytes()),
            Value::Bytes(b) => part(3, b),
        }
    }
}

fn short(hash: Hash) -> Id {
    *hash.first_chunk().expect("32 bytes have a first half")
}

/// Lower-case hexadecimal, and only that.
pub fn parse_hash(text: &str) -> Option<Hash> {
    let mut hash = Hash::default();
    hex::decode_to_slice(text, &mut hash).ok()?;
    (hex::encode(hash) == text).then_some(hash)
}

/// Concatenated hashes.
pub fn parse_hashes(text: &str) -> Option<Vec<Hash>> {
    text.is_ascii().then_some(())?;
    text.as_bytes().chunks(64).map(|chunk| parse_hash(std::str::from_utf8(chunk).ok()?)).collect()
}

pub fn sha256_hex(bytes: impl AsRef<[u8]>) -> String {
    hex::encode(Sha256::digest(bytes))
}
