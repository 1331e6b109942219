//! Participants, their authorities and keys, administrators.
//!
//! The registry changes only by a request signed with a key already in force
//! (DESIGN.md §5), and nothing in it is deleted:
//!
//! | Change | By |
//! |---|---|
//! | participant created, suspended, reinstated | an administrator of the gateway |
//! | first key of a participant | … with another one's confirmation, out of band |
//! | authority added, withdrawn | the participant, its administrators, the gateway's |
//! | own further key | its holder |
//! | a participant's further key | also its administrators |
//! | any other key (recovery after loss) | an administrator of the organisation or of the gateway, with the confirmation of another administrator of the gateway |
//! | key retired, withdrawn | its holder, its organisation's administrators, the gateway's |
//! | administrator added, removed | the organisation's other administrators, the gateway's |

mod administrators;
mod authorities;
mod enrol;
mod keys;
mod origins;
#[cfg(test)]
mod tests;

pub use administrators::{AddAdministrator, RemoveAdministrator};
pub use authorities::{AddAuthority, NewAuthority, WithdrawAuthority};
pub use enrol::{CreateParticipant, FoundGateway, ReinstateParticipant, SuspendParticipant};
pub use keys::{AddKey, KeyConfirmation, NewKey, RetireKey, WithdrawKey, may_register};
pub use origins::OpenOrigin;

use std::fmt::Display;
use std::sync::Arc;

use crate::decision::Call;
use crate::guard;
use crate::key;
use crate::names::{Actor, Participant, ParticipantKind};
use crate::rejection::{Reason, Rejection};
use crate::snapshot::{Snapshot, Stop};
use crate::time::Timestamp;
use crate::value::Json;
use crate::{table, text_enum};

text_enum! {
    /// Whether a participant or administrator may act.
    pub enum Standing {
        Active = "ACTIVE",
        Suspended = "SUSPENDED",
        /// Administrators only: removed for good.
        Removed = "REMOVED",
    }
}

text_enum! {
    /// A key's or authority's life. Nothing is deleted: old evidence stays checkable.
    pub enum KeyState {
        /// May sign.
        Active = "ACTIVE",
        /// Replaced; what it signed before stays good.
        Retired = "RETIRED",
        /// Compromised: what it signed from `suspect_from_us` on is suspect.
        Withdrawn = "WITHDRAWN",
    }
}

table! {
    /// Regions, channels and the gateway itself.
    pub struct ParticipantRow in "participants", Head
    key [participant] readers []
    {
        pub participant: Participant,
        pub kind: ParticipantKind,
        pub display_name: String,
        pub standing: Standing,
        /// Why suspended or reinstated.
        pub standing_reason: String,
        /// The administrators of the gateway who confirmed the first key out of band.
        pub confirmed_by: Json<Vec<Actor>>,
        pub recorded_at_us: Timestamp,
        pub version: i64,
    }
}

table! {
    /// Certificate authorities whose client certificates a participant uses.
    pub struct AuthorityRow in "authorities", Head
    key [participant, fingerprint] index [participant] readers []
    {
        pub participant: Participant,
        /// SHA-256 of the certificate's DER, lower-case hex.
        pub fingerprint: String,
        pub certificate_pem: String,
        /// The certificate's own validity.
        pub not_before_us: Timestamp,
        pub not_after_us: Timestamp,
        /// `ACTIVE` or `WITHDRAWN`.
        pub state: KeyState,
        pub ended_at_us: Option<Timestamp>,
        pub reason: String,
        pub recorded_at_us: Timestamp,
        pub version: i64,
    }
}

table! {
    /// Public keys that sign request tokens; `kid` is the RFC 7638 thumbprint.
    pub struct KeyRow in "keys", Head
    key [kid] index [holder] readers []
    {
        pub kid: String,
        pub holder: Actor,
        /// The public JWK, canonical JSON.
        pub jwk: String,
        pub state: KeyState,
        pub added_at_us: Timestamp,
        /// When it was retired or withdrawn.
        pub ended_at_us: Option<Timestamp>,
        /// If withdrawn: from when its signatures are suspect.
        pub suspect_from_us: Option<Timestamp>,
        pub reason: String,
        pub version: i64,
    }
}

table! {
    /// Names that the log took after a restore, each with what it follows; the first has no row.
    pub struct OriginRow in "origins", Head
    key [origin] readers []
    {
        pub origin: String,
        /// The origin before it.
        pub follows: String,
        /// Leaves that both have: the number of the first leaf under the new one.
        pub tree_size: i64,
        /// The RFC 6962 root over them, hex.
        pub root: String,
        /// The largest size of the former that a witness said it knew.
        pub witnessed_size: i64,
        pub reason: String,
        pub recorded_at_us: Timestamp,
        pub version: i64,
    }
}

table! {
    /// The people who run reconciliation, policy and registry for a participant.
    pub struct AdministratorRow in "administrators", Head
    key [administrator] index [participant] readers []
    {
        pub administrator: Actor,
        pub participant: Participant,
        pub display_name: String,
        pub standing: Standing,
        /// Why removed.
        pub reason: String,
        pub recorded_at_us: Timestamp,
        pub version: i64,
    }
}

/// The gateway's administrators run the registry of participants.
fn gateway_admin(call: &Call) -> Result<(), Rejection> {
    let gateway = call.participant().kind() == ParticipantKind::Gateway;
    if gateway && call.actor.is_admin() { Ok(()) } else { Err(Reason::RoleNotAllowed.into()) }
}

/// `NOT_YOUR_RECORD` unless the caller belongs to the organisation or runs the gateway.
fn own_organisation(call: &Call, participant: &Participant, field: &str, name: impl Display) -> Result<(), Rejection> {
    match gateway_admin(call) {
        Ok(()) => Ok(()),
        Err(_) => guard::own(call, participant, field, name),
    }
}

/// A participant that may act: `PARTICIPANT_NOT_ACTIVE` otherwise.
pub fn active_participant(
    snapshot: &Snapshot,
    field: &str,
    participant: &Participant,
) -> Result<Arc<ParticipantRow>, Stop> {
    let row = snapshot.get::<ParticipantRow>(key![participant.clone()])?;
    let active = row.filter(|row| row.standing == Standing::Active);
    Ok(active.ok_or_else(|| Reason::ParticipantNotActive.field(field).var("name", participant))?)
}
