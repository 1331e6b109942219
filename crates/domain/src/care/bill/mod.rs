//! Bills by line and month.
//!
//! A line's `due` never falls below what is posted and held through the gateway. What was
//! paid elsewhere is a reported fact and is recorded even when the line is thereby paid
//! more than it is due: a `BILL_EXCEEDED` finding is then opened at once; no payment changes.

mod commands;
#[cfg(test)]
mod tests;

pub use commands::{AmendBill, NewLine, PublishBill, VoidBill};

use crate::names::Participant;
use crate::time::{Month, Timestamp};
use crate::{table, text_enum};

text_enum! {
    pub enum BillState {
        /// Can be paid.
        Issued = "ISSUED",
        /// Final.
        Voided = "VOIDED",
    }
}

text_enum! {
    pub enum FeeType {
        Bed = "BED",
        Nursing = "NURSING",
        Meal = "MEAL",
        Other = "OTHER",
    }
}

table! {
    /// A month's bill of an institution to an elder.
    pub struct BillRow in "bills", Head
    key [bill] index [contract, month] index [person] readers [institution_region, household_region]
    {
        pub bill: String,
        pub contract: String,
        pub institution: String,
        pub person: String,
        pub institution_region: Participant,
        pub household_region: Participant,
        /// The stay it is for, when there was one in the month.
        pub stay: Option<String>,
        pub month: Month,
        /// The institution's own number; may be empty.
        pub bill_number: String,
        pub state: BillState,
        /// Why amended or voided.
        pub reason: String,
        pub recorded_at_us: Timestamp,
        pub version: i64,
    }
}

table! {
    /// A bill's lines with what is due, paid elsewhere, posted and held through the gateway.
    pub struct BillLineRow in "bill_lines", Head
    key [bill, fee_type] index [bill] readers [institution_region, household_region]
    {
        pub bill: String,
        pub fee_type: FeeType,
        pub institution_region: Participant,
        pub household_region: Participant,
        pub due_fen: i64,
        pub paid_elsewhere_fen: i64,
        pub posted_fen: i64,
        pub held_fen: i64,
    }
}

impl BillLineRow {
    /// What may still be authorised; negative when reported facts exceed the line.
    pub fn open_fen(&self) -> i64 {
        self.due_fen - self.paid_elsewhere_fen - self.posted_fen - self.held_fen
    }
    /// What is posted and held through the gateway.
    pub fn through_gateway_fen(&self) -> i64 {
        self.posted_fen + self.held_fen
    }

    /// By how much paid, held and paid elsewhere together exceed what is due.
    pub fn excess_fen(&self) -> i64 {
        (-self.open_fen()).max(0)
    }

    /// A line that an amendment dropped: it stays, with nothing due, and is not shown.
    pub fn is_dropped(&self) -> bool {
        self.due_fen == 0
    }
}
