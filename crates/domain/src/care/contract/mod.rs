//! Care contracts (GF-2016-2001): parties, fees, caps, signatures as evidence,
//! filing, states (DOMAIN.md §5).
//!
//! | State | Sign | File | Attest | Activate | Amend | Terminate | Void |
//! |---|---|---|---|---|---|---|---|
//! | `DRAFT` | `SIGNING`, `SIGNED` | – | – | – | – | – | `VOIDED` |
//! | `SIGNING` | `SIGNING`, `SIGNED` | – | – | – | – | – | `VOIDED` |
//! | `SIGNED` | – | `FILED` | `ATTESTED` | – | – | – | `VOIDED` |
//! | `FILED` | – | – | – | `ACTIVE` | – | – | `VOIDED` |
//! | `ATTESTED` | – | – | – | `ACTIVE` | – | – | `VOIDED` |
//! | `ACTIVE` | – | – | – | – | `ACTIVE` | `TERMINATED` | `VOIDED` |
//! | `TERMINATED` | – | – | – | – | – | – | `VOIDED` |
//! | `VOIDED` | – | – | – | – | – | – | – |
//!
//! A dash is `STATE_NOT_ALLOWED`, but filing or attesting what is not signed yet is
//! `SIGNATURE_MISSING`, which names who has not.
//!
//! Nothing becomes active without evidence, whatever the payment gate asks for: the chain
//! of DOMAIN.md §5 leads to `ACTIVE` through `FILED` or `ATTESTED` only, and a registrar
//! that says a contract is in force thereby vouches for it. The gate may ignore the kind
//! of evidence; it cannot rely on a record for which nobody vouches.
//!
//! Expiry is computed from the dates and is no state. An amendment replaces the terms and
//! stays `ACTIVE`; the version that it replaces is in the log.

mod change;
mod create;
mod evidence;
mod signing;
mod terms;
#[cfg(test)]
mod tests;

pub use change::{AmendContract, TerminateContract, VoidContract};
pub use create::CreateContract;
pub use evidence::{ActivateContract, AttestContract, FileContract};
pub use signing::SignContract;
pub use terms::{Fees, Terms};

use std::fmt::Display;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::decision::{Call, Decision, Leaf};
use crate::guard;
use crate::id::Digest;
use crate::key;
use crate::names::{Actor, Name, Participant};
use crate::snapshot::{Snapshot, Stop};
use crate::time::{Date, Timestamp};
use crate::value::Json;
use crate::{table, text_enum};

text_enum! {
    pub enum ContractState {
        Draft = "DRAFT",
        Signing = "SIGNING",
        Signed = "SIGNED",
        /// Filed online with a number.
        Filed = "FILED",
        /// Attested on paper by the region.
        Attested = "ATTESTED",
        Active = "ACTIVE",
        Terminated = "TERMINATED",
        Voided = "VOIDED",
    }
}

text_enum! {
    /// What shows that the contract exists.
    pub enum ContractEvidence {
        None = "NONE",
        OnlineFiled = "ONLINE_FILED",
        RegionAttested = "REGION_ATTESTED",
    }
}

text_enum! {
    /// The elder's legal capacity (民法典).
    pub enum Capacity {
        Full = "FULL",
        Limited = "LIMITED",
        None = "NONE",
    }
}

text_enum! {
    pub enum PartyRole {
        /// 甲方.
        Institution = "INSTITUTION",
        /// 乙方.
        Elder = "ELDER",
        Guardian = "GUARDIAN",
        PaymentObligor = "PAYMENT_OBLIGOR",
        JointGuarantor = "JOINT_GUARANTOR",
        /// 联系人; signs nothing.
        Contact = "CONTACT",
        Agent = "AGENT",
    }
}

text_enum! {
    pub enum TerminationReason {
        Agreement = "AGREEMENT",
        Withdrawal = "WITHDRAWAL",
        Arrears = "ARREARS",
        UnsuitableLevel = "UNSUITABLE_LEVEL",
        Death = "DEATH",
        Closure = "CLOSURE",
    }
}

text_enum! {
    pub enum SignatureMethod {
        /// A reliable electronic signature (电子签名法 Art. 13).
        Electronic = "ELECTRONIC",
        /// By hand, on paper.
        Handwritten = "HANDWRITTEN",
    }
}

text_enum! {
    pub enum DocumentKind {
        /// The contract itself: exactly one per version.
        ContractText = "CONTRACT_TEXT",
        FacilityList = "FACILITY_LIST",
        CarePlan = "CARE_PLAN",
        HealthReport = "HEALTH_REPORT",
        Supplement = "SUPPLEMENT",
        Other = "OTHER",
    }
}

/// A party with one or several roles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Party {
    /// `institutions/{uscc}`, `elders/…` or `parties/…`.
    pub party: Name,
    pub roles: Vec<PartyRole>,
}

impl Party {
    pub fn has(&self, role: PartyRole) -> bool {
        self.roles.contains(&role)
    }
}

/// A document by its digests; its bytes stay with the registrar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    pub kind: DocumentKind,
    pub sha256: Digest,
    /// GB/T 32905, beside it where the signers use national algorithms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sm3: Option<Digest>,
    pub size_bytes: i64,
}

/// What shows that a party signed: digest of what was signed, signer, time, certificate
/// (电子签名法 Art. 13).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignatureEvidence {
    pub signer: Name,
    pub method: SignatureMethod,
    /// SHA-256 of the contract text as signed; must be the version's.
    pub document_sha256: Digest,
    pub signed_at_us: Timestamp,
    /// Of the signer's certificate; needed when electronic.
    pub certificate_sha256: Option<Digest>,
    /// The certification authority; needed when electronic.
    pub certificate_issuer: Option<String>,
    /// Of the signature value; needed when electronic.
    pub signature_sha256: Option<Digest>,
    /// Of the trusted timestamp.
    pub timestamp_sha256: Option<Digest>,
}

/// A signature, attested by the registrar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    pub evidence: SignatureEvidence,
    pub attested_by: Actor,
}

table! {
    /// Care contracts: the current version of each; earlier versions are in the log.
    pub struct ContractRow in "contracts", Head
    key [contract] index [person] index [institution] readers [registrar, institution_region, household_region]
    {
        pub contract: String,
        pub institution: String,
        pub person: String,
        /// The region that registers the contract.
        pub registrar: Participant,
        pub institution_region: Participant,
        pub household_region: Participant,
        pub state: ContractState,
        pub capacity: Capacity,
        pub parties: Json<Vec<Party>>,
        /// Monthly fees.
        pub bed_fee_fen: i64,
        pub nursing_fee_fen: i64,
        pub meal_fee_fen: i64,
        pub other_fee_fen: i64,
        pub deposit_fen: i64,
        pub prepaid_months: i64,
        pub starts_on: Date,
        /// Last day.
        pub ends_on: Date,
        pub documents: Json<Vec<Document>>,
        /// SHA-256 of the contract text among the documents.
        pub document_sha256: String,
        pub signatures: Json<Vec<Signature>>,
        pub evidence: ContractEvidence,
        pub filing_number: Option<String>,
        /// Day of filing or attestation.
        pub filed_on: Option<Date>,
        /// The office that saw the paper.
        pub attester: Option<String>,
        /// First day in force.
        pub activated_on: Option<Date>,
        pub termination_reason: Option<TerminationReason>,
        /// First day no longer in force.
        pub ended_on: Option<Date>,
        /// Why amended, terminated or voided.
        pub reason: String,
        /// Of the decision that voided it; may be empty.
        pub document_number: String,
        /// From when this version counts.
        pub effective_on: Date,
        pub recorded_at_us: Timestamp,
        pub version: i64,
    }
}

table! {
    /// Filing numbers (备案号) given by a registrar, each once and for good.
    pub struct FilingRow in "contract_filings", AppendOnly
    key [registrar, filing_number] index [contract] readers [registrar, institution_region, household_region]
    {
        pub registrar: Participant,
        pub filing_number: String,
        pub contract: String,
        pub institution_region: Participant,
        pub household_region: Participant,
        /// The contract's version that it files.
        pub contract_version: i64,
        pub filed_on: Date,
    }
}

impl ContractRow {
    /// Whether the contract binds on a date, by its dates and state.
    pub fn in_force_on(&self, date: Date) -> bool {
        self.in_force_within(date, date)
    }

    /// Whether it binds on some day from `first` to `last`.
    pub fn in_force_within(&self, first: Date, last: Date) -> bool {
        let Some(activated_on) = self.activated_on else { return false };
        let from = self.starts_on.max(activated_on).max(first);
        let to = self.ended_on.map_or(self.ends_on, |ended| self.ends_on.min(ended.plus_days(-1))).min(last);
        matches!(self.state, ContractState::Active | ContractState::Terminated) && from <= to
    }
}

/// A contract by name. `RECORD_NOT_FOUND` names the field `contract`.
pub fn find_contract(snapshot: &Snapshot, name: impl Display) -> Result<Arc<ContractRow>, Stop> {
    let row = snapshot.get::<ContractRow>(key![name.to_string()])?;
    Ok(guard::found(row, "contract", name)?)
}

/// A contract that the caller registered.
fn own_contract(snapshot: &Snapshot, call: &Call, name: &Name) -> Result<Arc<ContractRow>, Stop> {
    let row = find_contract(snapshot, name)?;
    guard::own(call, &row.registrar, "contract", name)?;
    Ok(row)
}

/// The contract's next version, unchanged otherwise.
fn next(contract: &ContractRow, call: &Call) -> ContractRow {
    ContractRow { version: contract.version + 1, recorded_at_us: call.now, ..contract.clone() }
}

fn leaf<'a>(decision: &'a mut Decision, kind: &'static str, row: &ContractRow) -> &'a mut Leaf {
    let leaf = decision.leaf(kind, &row.contract, row.version);
    leaf.put(row).tell(&row.registrar).tell(&row.institution_region).tell(&row.household_region)
}

/// The decision that writes one version of a contract.
fn decided(call: &Call, kind: &'static str, row: &ContractRow) -> Decision {
    let mut decision = Decision::new(call);
    leaf(&mut decision, kind, row);
    decision
}
