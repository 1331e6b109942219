//! A receipt on its way: signed in `token`, given to callers and stored as the API's message.

use jjj_token::Hash;
use jjj_token::receipt::Receipt;
use jjj_wire::pb;
use prost::Message as _;

/// A receipt as the API gives it.
pub fn to_wire(receipt: &Receipt) -> pb::Receipt {
    pb::Receipt {
        record: receipt.record.clone(),
        version: receipt.version,
        leaf_hash: receipt.leaf_hash.to_vec(),
        log_deadline_time_us: receipt.log_deadline_us,
        origin: receipt.origin.clone(),
        kid: receipt.kid.clone(),
        batch_size: receipt.batch_size as i32,
        batch_index: receipt.batch_index as i32,
        path: receipt.path.iter().map(|hash| hash.to_vec()).collect(),
        signature: receipt.signature.clone(),
    }
}

/// The receipt in the API's message; not verified yet. `None` where a hash or a number is none.
pub fn from_wire(receipt: pb::Receipt) -> Option<Receipt> {
    let hash = |bytes: Vec<u8>| Hash::try_from(bytes).ok();
    Some(Receipt {
        record: receipt.record,
        version: receipt.version,
        leaf_hash: hash(receipt.leaf_hash)?,
        log_deadline_us: receipt.log_deadline_time_us,
        origin: receipt.origin,
        kid: receipt.kid,
        batch_size: receipt.batch_size.try_into().ok()?,
        batch_index: receipt.batch_index.try_into().ok()?,
        path: receipt.path.into_iter().map(hash).collect::<Option<_>>()?,
        signature: receipt.signature,
    })
}

/// As it is stored with the evidence.
pub(crate) fn store(receipt: &Receipt) -> Vec<u8> {
    to_wire(receipt).encode_to_vec()
}

/// Back from where it is stored.
pub(crate) fn stored(bytes: &[u8]) -> Option<Receipt> {
    from_wire(pb::Receipt::decode(bytes).ok()?)
}
