//! Mandates: the signed consent under which a region instructs payments.

mod commands;
#[cfg(test)]
mod tests;

pub use commands::{CreateMandate, RevokeMandate};

use crate::care::bill::FeeType;
use crate::names::Participant;
use crate::time::{Date, Timestamp};
use crate::value::Json;
use crate::{table, text_enum};

text_enum! {
    pub enum MandateState {
        Active = "ACTIVE",
        Revoked = "REVOKED",
    }
}

table! {
    /// 委托扣款授权: elder, contract, fee types, monthly cap and term.
    pub struct MandateRow in "mandates", Head
    key [mandate] index [person] index [contract] readers [region, institution_region, channel]
    {
        pub mandate: String,
        pub person: String,
        pub contract: String,
        pub institution_region: Participant,
        /// The paying region, whose signed consent it is.
        pub region: Participant,
        pub programme: String,
        pub channel: Participant,
        pub fee_types: Json<Vec<FeeType>>,
        pub monthly_cap_fen: i64,
        pub valid_from: Date,
        /// Last day.
        pub valid_until: Date,
        pub state: MandateState,
        /// Why revoked.
        pub reason: String,
        /// SHA-256 of the elder's signed consent.
        pub consent_sha256: String,
        pub recorded_at_us: Timestamp,
        pub version: i64,
    }
}

impl MandateRow {
    /// Whether payments may be instructed under it on a date.
    pub fn in_force_on(&self, date: Date) -> bool {
        self.state == MandateState::Active && self.valid_from <= date && date <= self.valid_until
    }
}
