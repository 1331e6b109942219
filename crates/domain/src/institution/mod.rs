//! The directory of care institutions.

mod register;
mod scope;
mod settlement;
#[cfg(test)]
mod tests;

pub use register::{RegisterInstitution, UpdateInstitution};
pub use scope::{SetSigningScope, in_signing_scope};
pub use settlement::{DecideSettlementAccount, ProposeSettlementAccount, account_in_force};

use std::fmt::Display;
use std::sync::Arc;

use crate::decision::Call;
use crate::guard;
use crate::key;
use crate::names::{Actor, Participant};
use crate::snapshot::{Snapshot, Stop};
use crate::time::{Date, Timestamp};
use crate::{table, text_enum};

text_enum! {
    pub enum InstitutionState {
        Operating = "OPERATING",
        /// Operation suspended: no admissions, no new contracts.
        Suspended = "SUSPENDED",
        /// Final.
        Closed = "CLOSED",
    }
}

text_enum! {
    /// What kind of place it is; rating schemes differ.
    pub enum InstitutionKind {
        CareInstitution = "CARE_INSTITUTION",
        CommunityStation = "COMMUNITY_STATION",
    }
}

table! {
    /// Care institutions, registered by the region of their division.
    pub struct InstitutionRow in "institutions", Head
    key [institution] index [region] readers []
    {
        /// `institutions/{uscc}`.
        pub institution: String,
        pub uscc: String,
        pub kind: InstitutionKind,
        pub display_name: String,
        /// GB/T 2260 division code of the site.
        pub division: String,
        pub region: Participant,
        /// Licensed beds and current residents: published figures, not derived from stays.
        pub beds: i64,
        pub residents: i64,
        pub state: InstitutionState,
        /// Why the last version was made.
        pub reason: String,
        pub recorded_at_us: Timestamp,
        pub version: i64,
    }
}

table! {
    /// Dated membership in the online-signing scope (网签范围): counts are not monotone (DOMAIN.md §0).
    pub struct SigningScopeRow in "signing_scope", Head
    key [institution, entered_on] index [institution] readers []
    {
        pub institution: String,
        pub entered_on: Date,
        /// First day no longer in scope.
        pub left_on: Option<Date>,
        /// The document of the last change.
        pub document_number: String,
        pub recorded_at_us: Timestamp,
        pub version: i64,
    }
}

text_enum! {
    pub enum SettlementAccountState {
        Proposed = "PROPOSED",
        Approved = "APPROVED",
        Declined = "DECLINED",
    }
}

table! {
    /// Settlement accounts: changed four-eyed, usable after a cooling-off time.
    pub struct SettlementAccountRow in "settlement_accounts", Head
    key [account] index [institution] index [channel, merchant_id] readers [region, channel]
    {
        /// `settlementAccounts/{request id}`.
        pub account: String,
        pub institution: String,
        pub region: Participant,
        /// The channel that pays out.
        pub channel: Participant,
        /// The institution's merchant number at the channel; empty where the channel knows none.
        pub merchant_id: String,
        /// As the bank knows it.
        pub account_holder: String,
        /// 联行号; may be empty.
        pub bank_code: String,
        /// The channel's token for the account; never the number itself.
        pub account_token: String,
        pub account_last4: String,
        /// First clearing date.
        pub effective_from: Date,
        pub state: SettlementAccountState,
        pub proposed_by: Actor,
        pub decided_by: Option<Actor>,
        /// The reason last given.
        pub reason: String,
        /// First instant of use: approval plus cooling-off.
        pub usable_from_us: Option<Timestamp>,
        pub recorded_at_us: Timestamp,
        pub version: i64,
    }
}

/// An institution by name. `RECORD_NOT_FOUND` names the field `institution`.
pub fn find_institution(snapshot: &Snapshot, name: impl Display) -> Result<Arc<InstitutionRow>, Stop> {
    let row = snapshot.get::<InstitutionRow>(key![name.to_string()])?;
    Ok(guard::found(row, "institution", name)?)
}

/// An institution of the caller's region.
pub fn own_institution(snapshot: &Snapshot, call: &Call, name: impl Display) -> Result<Arc<InstitutionRow>, Stop> {
    let row = find_institution(snapshot, name)?;
    guard::own(call, &row.region, "institution", &row.institution)?;
    Ok(row)
}
