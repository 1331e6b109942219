//! Generated protobuf code (`proto/jjj/gateway/v1`) and its conversions to and from the domain.
//!
//! `src/gen` is written by `cargo run -p jjj-wire --example generate` and committed; a test
//! regenerates it and compares byte for byte.
//!
//! Architecture invariant: no IO and no rule of the domain here.

pub mod agreement;
pub mod assessment;
pub mod bank_statement;
pub mod bill;
pub mod contract;
pub mod disability_certificate;
pub mod elder;
pub mod entitlement;
pub mod enums;
pub mod event;
pub mod institution;
pub mod instruction;
pub mod ledger;
pub mod mandate;
pub mod methods;
pub mod month_close;
pub mod operating_subsidy;
pub mod parse;
pub mod participant;
pub mod payment;
pub mod rating;
pub mod recognition;
pub mod reconciliation;
mod record;
mod redacted;
pub mod settlement;
pub mod settlement_file;
pub mod stay;

/// Messages, clients and servers of package `jjj.gateway.v1`.
#[allow(clippy::all, missing_docs, rustdoc::all, reason = "generated")]
pub mod pb {
    include!("gen/jjj.gateway.v1.rs");
}

/// The encoded `google.protobuf.FileDescriptorSet` of the package, for server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("gen/descriptor.bin");
