//! Care contracts (GF-2016-2001): parties, fees, caps, signatures as evidence,
//! filing, states.

use serde::{Deserialize, Serialize};

use crate::names::{Actor, Participant};
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
        Elder = "ELDER",
        Guardian = "GUARDIAN",
        PaymentObligor = "PAYMENT_OBLIGOR",
        JointGuarantor = "JOINT_GUARANTOR",
        EmergencyContact = "EMERGENCY_CONTACT",
        Agent = "AGENT",
    }
}

text_enum! {
    pub enum TerminationReason {
        Agreement = "AGREEMENT",
        ElderWithdrawal = "ELDER_WITHDRAWAL",
        Arrears = "ARREARS",
        UnsuitableLevel = "UNSUITABLE_LEVEL",
        Death = "DEATH",
        InstitutionClosure = "INSTITUTION_CLOSURE",
    }
}

/// A person in the contract, with one or several roles. The institution is a party by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Party {
    /// `elders/…` or `parties/…`.
    pub person: String,
    pub roles: Vec<PartyRole>,
}

/// A signature, attested by the registrar (电子签名法 Art. 13: original digest, signer, time).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// A party's person, or `institutions/{uscc}`.
    pub signer: String,
    pub signed_at_us: Timestamp,
    /// SHA-256 of the document as signed; must be the contract's.
    pub document_sha256: String,
    /// SHA-256 of the signer's certificate or of the paper's scan.
    pub evidence_sha256: String,
    pub attested_by: Actor,
}

table! {
    /// Care contracts: the current version of each; earlier versions are in the log.
    pub struct ContractRow in "contracts", Head
    key [contract] index [person] index [institution] index [filing_number] readers [registrar, institution_region, household_region]
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
        pub document_sha256: String,
        pub document_sm3: Option<String>,
        pub signatures: Json<Vec<Signature>>,
        pub evidence: ContractEvidence,
        pub filing_number: Option<String>,
        /// When the evidence was recorded.
        pub filed_on: Option<Date>,
        pub termination_reason: Option<TerminationReason>,
        /// First day no longer in force.
        pub ended_on: Option<Date>,
        pub recorded_at_us: Timestamp,
        pub version: i64,
    }
}

impl ContractRow {
    /// Whether the contract binds on a date, by its dates and state.
    pub fn in_force_on(&self, date: Date) -> bool {
        matches!(self.state, ContractState::Active | ContractState::Terminated)
            && self.starts_on <= date
            && date <= self.ends_on
            && self.ended_on.is_none_or(|ended| date < ended)
    }
}
