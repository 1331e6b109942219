//! Participants: founded, enrolled, suspended, reinstated.

use super::administrators::{self, AddAdministrator};
use super::keys::check_confirmations;
use super::{AuthorityRow, KeyConfirmation, KeyRow, NewAuthority, NewKey, ParticipantRow, Standing, gateway_admin};
use crate::decision::{Call, Command, Decision, Leaf};
use crate::guard;
use crate::key;
use crate::names::{Actor, Participant, ParticipantKind};
use crate::rejection::Reason;
use crate::snapshot::{Snapshot, Stop};
use crate::value::Json;

/// The first entries of an empty registry: the gateway itself and its administrators.
/// Whoever sets up the gateway vouches for them; afterwards this is refused.
#[derive(Clone, Debug)]
pub struct FoundGateway {
    pub display_name: String,
    pub authority: NewAuthority,
    pub first_key: NewKey,
    /// At least two, so that every key after them is confirmed by two people.
    pub administrators: Vec<AddAdministrator>,
}

impl Command for FoundGateway {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let gateway = Participant::gateway();
        guard::absent(&snapshot.get::<ParticipantRow>(key![gateway.clone()])?, &gateway)?;
        guard::text("display_name", &self.display_name, 100)?;
        guard::distinct("administrators", &self.administrators.iter().map(|a| &a.name).collect::<Vec<_>>())?;
        if self.administrators.len() < 2 {
            return Err(guard::out_of_range("administrators", "2 or more").into());
        }
        for new in &self.administrators {
            if !new.name.is_admin() || *new.name.participant() != gateway {
                return Err(Reason::FieldMalformed
                    .field("administrators")
                    .var("expected", "gateway/admins/{id}")
                    .into());
            }
            new.first_key.check(snapshot, "first_key_jwk", "first_key_fingerprint")?;
        }
        self.first_key.check(snapshot, "first_key_jwk", "first_key_fingerprint")?;
        let row = ParticipantRow {
            participant: gateway,
            kind: ParticipantKind::Gateway,
            display_name: self.display_name.clone(),
            standing: Standing::Active,
            standing_reason: String::new(),
            confirmed_by: Json(Vec::new()),
            recorded_at_us: call.now,
            version: 1,
        };
        let mut decision = Decision::new(call);
        enrol(&mut decision, call, &row, &self.authority, &self.first_key);
        for new in &self.administrators {
            administrators::add(&mut decision, new, call);
        }
        Ok(decision)
    }
}

/// Enrols a region or a channel with its first authority and key.
#[derive(Clone, Debug)]
pub struct CreateParticipant {
    pub name: Participant,
    pub display_name: String,
    /// Must be what the name says.
    pub kind: ParticipantKind,
    pub authority: NewAuthority,
    pub first_key: NewKey,
    /// By at least one active administrator of the gateway other than the caller.
    pub confirmations: Vec<KeyConfirmation>,
}

impl Command for CreateParticipant {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        gateway_admin(call)?;
        if self.kind != self.name.kind() || self.kind == ParticipantKind::Gateway {
            return Err(Reason::FieldMalformed
                .field("kind")
                .var("expected", "REGION or CHANNEL, as the name says")
                .into());
        }
        guard::text("display_name", &self.display_name, 100)?;
        self.authority.check("authority_pem", call)?;
        guard::absent(&snapshot.get::<ParticipantRow>(key![self.name.clone()])?, &self.name)?;
        self.first_key.check(snapshot, "first_key_jwk", "first_key_fingerprint")?;
        let confirmed_by = check_confirmations(snapshot, call, &self.confirmations)?;
        let row = ParticipantRow {
            participant: self.name.clone(),
            kind: self.kind,
            display_name: self.display_name.clone(),
            standing: Standing::Active,
            standing_reason: String::new(),
            confirmed_by: Json(confirmed_by),
            recorded_at_us: call.now,
            version: 1,
        };
        let mut decision = Decision::new(call);
        enrol(&mut decision, call, &row, &self.authority, &self.first_key);
        Ok(decision)
    }
}

fn enrol(decision: &mut Decision, call: &Call, row: &ParticipantRow, authority: &NewAuthority, key: &NewKey) {
    let authority: AuthorityRow = authority.row(&row.participant, call);
    let key: KeyRow = key.row(&Actor::system(row.participant.clone()), call);
    leaf(decision, "participant.created", row).put(&authority).put(&key);
}

/// Suspends a participant at once: every call of it is refused, its streams end.
#[derive(Clone, Debug)]
pub struct SuspendParticipant {
    pub participant: Participant,
    pub reason: String,
}

impl Command for SuspendParticipant {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let change = (Standing::Active, Standing::Suspended, "participant.suspended");
        change_standing(snapshot, call, &self.participant, &self.reason, change)
    }
}

/// Ends a suspension.
#[derive(Clone, Debug)]
pub struct ReinstateParticipant {
    pub participant: Participant,
    pub reason: String,
}

impl Command for ReinstateParticipant {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let change = (Standing::Suspended, Standing::Active, "participant.reinstated");
        change_standing(snapshot, call, &self.participant, &self.reason, change)
    }
}

fn change_standing(
    snapshot: &Snapshot,
    call: &Call,
    participant: &Participant,
    reason: &str,
    (from, to, kind): (Standing, Standing, &'static str),
) -> Result<Decision, Stop> {
    gateway_admin(call)?;
    // Were the gateway suspended, nobody could end it.
    if participant.kind() == ParticipantKind::Gateway {
        return Err(Reason::RoleNotAllowed.field("participant").into());
    }
    guard::text("reason", reason, 1_000)?;
    let row = snapshot.get::<ParticipantRow>(key![participant.clone()])?;
    let row = guard::found(row, "participant", participant)?;
    guard::state(row.standing, &[from], "participant", participant)?;
    let row = ParticipantRow {
        standing: to,
        standing_reason: reason.to_owned(),
        recorded_at_us: call.now,
        version: row.version + 1,
        ..(*row).clone()
    };
    let mut decision = Decision::new(call);
    leaf(&mut decision, kind, &row);
    Ok(decision)
}

fn leaf<'a>(decision: &'a mut Decision, kind: &'static str, row: &ParticipantRow) -> &'a mut Leaf {
    decision.leaf(kind, &row.participant, row.version).put(row).tell(&row.participant)
}
