//! Receipts: the gateway's signed promise that an accepted mutation is recorded, and will be in
//! the log by a deadline. One signature covers a whole batch of answers; each receipt carries its
//! own way to it and reveals no other.
//!
//! # Format `jjj-receipt-v1`
//!
//! The **leaf** of a receipt is UTF-8 text of six lines, each ending in a newline:
//!
//! ```text
//! jjj-receipt-v1
//! <origin>
//! <record>
//! <version, decimal>
//! <leaf hash, 64 lower-case hexadecimal digits>
//! <log deadline, decimal microseconds since 1970>
//! ```
//!
//! Neither origin nor record is empty or has a control character, so that every text has one
//! reading. The receipts of a batch are the leaves of an RFC 6962 tree, in order. The **signed
//! message** is 55 bytes: `jjj-receipt-v1`, a zero byte, the number of receipts as 8 bytes
//! big-endian, and the 32 bytes of the root. The zero byte keeps it apart from everything else
//! that the gateway's key signs. Signing the number fixes what `batch_index` means.

use serde::{Deserialize, Serialize};

use crate::encoding::{base64url_bytes, decimal_i64, hex_hash, hex_hashes};
use crate::merkle::{self, Hash, ProofError, items_root, leaf_hash, root_from_path};
use crate::strict;
use crate::suite::{BadSignature, SignError, SigningKey, VerifyingKey};

const CONTEXT: &str = "jjj-receipt-v1";

/// What is promised about one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptBody {
    /// The record's resource name.
    pub record: String,
    /// Its version.
    pub version: i64,
    /// The RFC 6962 leaf hash under which it will be in the log.
    pub leaf_hash: Hash,
    /// By when: microseconds since 1970.
    pub log_deadline_us: i64,
}

/// A receipt. Its JSON form is stable: 64-bit integers are decimal strings, hashes hexadecimal,
/// the signature base64url.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// The gateway's name; that of its log.
    pub origin: String,
    /// The record's resource name.
    pub record: String,
    /// Its version.
    #[serde(with = "decimal_i64")]
    pub version: i64,
    /// The RFC 6962 leaf hash under which it will be in the log.
    #[serde(with = "hex_hash")]
    pub leaf_hash: Hash,
    /// By when: microseconds since 1970.
    #[serde(with = "decimal_i64")]
    pub log_deadline_us: i64,
    /// The name of the key that signed.
    pub kid: String,
    /// The number of receipts under this signature.
    pub batch_size: u32,
    /// Which of them this is, from 0.
    pub batch_index: u32,
    /// The inclusion proof of this receipt's leaf, leaf side first. Empty in a batch of one.
    #[serde(with = "hex_hashes")]
    pub path: Vec<Hash>,
    /// The signature over the batch.
    #[serde(with = "base64url_bytes")]
    pub signature: Vec<u8>,
}

/// Why a receipt was not signed or is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// The text is not a receipt in JSON.
    #[error("the receipt is malformed")]
    Malformed,
    /// A name is empty or has a control character.
    #[error("the receipt's {name} is empty or has a control character")]
    Name {
        /// `origin` or `record`.
        name: &'static str,
    },
    /// More than 2^32 − 1 receipts.
    #[error("the batch of receipts is too large")]
    BatchTooLarge,
    /// Signed by another key than the one it is verified with.
    #[error("the receipt names another key")]
    UnknownKey,
    /// `path`, `batch_index` and `batch_size` do not fit one another.
    #[error(transparent)]
    Path(#[from] ProofError),
    /// The signature does not verify: something in the receipt was changed, or it is forged.
    #[error("the receipt: {0}")]
    BadSignature(#[from] BadSignature),
    /// The key would not sign.
    #[error(transparent)]
    Sign(#[from] SignError),
}

impl ReceiptError {
    /// The stable machine name of this error.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Malformed => "RECEIPT_MALFORMED",
            Self::Name { .. } => "RECEIPT_NAME_MALFORMED",
            Self::BatchTooLarge => "RECEIPT_BATCH_TOO_LARGE",
            Self::UnknownKey => "RECEIPT_KEY_UNKNOWN",
            Self::Path(error) => error.reason(),
            Self::BadSignature(BadSignature::Length { .. }) => "RECEIPT_SIGNATURE_LENGTH_WRONG",
            Self::BadSignature(BadSignature::Range { .. }) => "RECEIPT_SIGNATURE_OUT_OF_RANGE",
            Self::BadSignature(BadSignature::Mismatch) => "RECEIPT_SIGNATURE_INVALID",
            Self::Sign(error) => error.reason(),
        }
    }
}

/// Signs the receipts of a batch with one signature. The receipts are in the order of the bodies;
/// no bodies, no receipts.
///
/// # Errors
/// [`ReceiptError::Name`], [`ReceiptError::BatchTooLarge`], [`ReceiptError::Sign`].
pub fn sign_receipts(key: &SigningKey, origin: &str, bodies: &[ReceiptBody]) -> Result<Vec<Receipt>, ReceiptError> {
    let batch_size = u32::try_from(bodies.len()).map_err(|_| ReceiptError::BatchTooLarge)?;
    if batch_size == 0 {
        return Ok(Vec::new());
    }
    let leaves: Vec<_> = bodies.iter().map(|body| leaf(origin, body)).collect::<Result<_, _>>()?;
    let leaves: Vec<_> = leaves.iter().map(|leaf| leaf.as_bytes()).collect();
    let (root, paths) = items_root(&leaves);
    let signature = key.sign(&message(batch_size, &root))?;
    let receipts = bodies.iter().zip(paths).zip(0..).map(|((body, path), batch_index)| Receipt {
        origin: origin.into(),
        record: body.record.clone(),
        version: body.version,
        leaf_hash: body.leaf_hash,
        log_deadline_us: body.log_deadline_us,
        kid: key.kid().into(),
        batch_size,
        batch_index,
        path,
        signature: signature.clone(),
    });
    Ok(receipts.collect())
}

impl Receipt {
    /// Reads a receipt strictly: an object, no other members, none twice.
    ///
    /// # Errors
    /// [`ReceiptError::Malformed`].
    pub fn from_json(json: &[u8]) -> Result<Self, ReceiptError> {
        strict::from_object(json).ok_or(ReceiptError::Malformed)
    }

    /// Checks the signature and the way to it. That `origin` is the expected gateway, and that
    /// the log kept the promise, is the caller's to check.
    ///
    /// # Errors
    /// See [`ReceiptError`].
    pub fn verify(&self, key: &VerifyingKey) -> Result<(), ReceiptError> {
        if self.kid != key.kid() {
            return Err(ReceiptError::UnknownKey);
        }
        let leaf = leaf_hash(leaf(&self.origin, &self.body())?.as_bytes());
        let (index, size) = (u64::from(self.batch_index), u64::from(self.batch_size));
        let root = root_from_path(&leaf, index, size, &self.path)?;
        Ok(key.verify(&message(self.batch_size, &root), &self.signature)?)
    }

    /// What is promised.
    pub fn body(&self) -> ReceiptBody {
        ReceiptBody {
            record: self.record.clone(),
            version: self.version,
            leaf_hash: self.leaf_hash,
            log_deadline_us: self.log_deadline_us,
        }
    }
}

/// The leaf bytes that the module's documentation defines.
fn leaf(origin: &str, body: &ReceiptBody) -> Result<String, ReceiptError> {
    for (name, value) in [("origin", origin), ("record", body.record.as_str())] {
        if value.is_empty() || value.contains(|c: char| c.is_control()) {
            return Err(ReceiptError::Name { name });
        }
    }
    let ReceiptBody { record, version, leaf_hash, log_deadline_us } = body;
    let leaf_hash = hex::encode(leaf_hash);
    Ok(format!("{CONTEXT}\n{origin}\n{record}\n{version}\n{leaf_hash}\n{log_deadline_us}\n"))
}

fn message(batch_size: u32, root: &merkle::Hash) -> Vec<u8> {
    [CONTEXT.as_bytes(), &[0], &u64::from(batch_size).to_be_bytes(), root].concat()
}
