//! Signing and verifying: everything a third party needs to check what the gateway says, offline.
//!
//! - [`suite`]: keys and the algorithms they sign with. The only place that calls a signature
//!   primitive.
//! - [`request`]: the token that authenticates one call and binds its content.
//! - [`receipt`]: the gateway's promise, one signature for a whole batch of answers.
//! - [`recognition`]: a recognition as a JWT.
//! - [`sd_recognition`]: the same as an SD-JWT, of which the holder shows as much as they choose.
//! - [`sd_jwt`]: what SD-JWTs have in common, whatever they state (RFC 9901).
//! - [`status_list`]: which of them still hold, as one compressed list that anyone may keep for a while.
//! - [`confirmation`]: an administrator's word that a key's fingerprint was confirmed out of band.
//! - [`merkle`]: the RFC 6962 tree: hashes, proofs, append, tiles.
//! - [`note`]: C2SP signed notes, checkpoints and their cosignatures.
//! - [`offline`]: one file that proves a version of a record.
//! - [`witness`]: what a witness of the log is asked, and whether it may cosign.
//! - [`seal`]: encryption of personal data, keyed look-up, salted commitments.
//! - [`thumbprint`]: the fingerprint of a certificate.
//!
//! Architecture invariant: no IO, no async, no clock. Time is a parameter, and so is randomness,
//! with two exceptions that the crypto library draws itself: new signing keys and ECDSA's nonce.
//!
//! Every error enum has `reason()`, a stable `UPPER_SNAKE_CASE` name of what was wrong, which
//! becomes part of the gateway's API. No error carries personal data or key material.

pub mod confirmation;
mod encoding;
mod jws;
pub mod merkle;
pub mod note;
pub mod offline;
pub mod receipt;
pub mod recognition;
pub mod request;
pub mod sd_jwt;
pub mod sd_recognition;
pub mod seal;
pub mod status_list;
mod strict;
pub mod suite;
pub mod thumbprint;
pub mod witness;

pub use jws::{JwsError, MAX_TOKEN_LEN, Part};
pub use merkle::Hash;
pub use suite::{Algorithm, Custodian, Jwk, KeyError, SignError, SigningKey, VerifyingKey};
