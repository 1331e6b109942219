//! Administrators: added with a first key, removed for good.

use super::keys::retired;
use super::{
    AdministratorRow, KeyRow, KeyState, NewKey, ParticipantRow, Standing, active_participant, gateway_admin,
    own_organisation,
};
use crate::decision::{Call, Command, Decision};
use crate::guard;
use crate::key;
use crate::names::Actor;
use crate::rejection::{Reason, Rejection};
use crate::snapshot::{Snapshot, Stop};

/// Adds an administrator of the caller's own organisation. A name is given once.
///
/// A region's first administrator is added by its own system or by the gateway's
/// administrators; after that, administrators answer for administrators.
#[derive(Clone, Debug)]
pub struct AddAdministrator {
    pub name: Actor,
    pub display_name: String,
    pub first_key: NewKey,
}

impl Command for AddAdministrator {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let participant = self.name.participant();
        own_organisation(call, participant, "name", &self.name)?;
        if !self.name.is_admin() {
            return Err(Reason::FieldMalformed.field("name").var("expected", "{participant}/admins/{id}").into());
        }
        guard::text("display_name", &self.display_name, 100)?;
        active_participant(snapshot, "name", participant)?;
        guard::absent(&snapshot.get::<AdministratorRow>(key![self.name.clone()])?, &self.name)?;
        self.first_key.check(snapshot, "first_key_jwk", "first_key_fingerprint")?;
        if !call.actor.is_admin() {
            first_of_region(snapshot, participant)?;
        }
        let mut decision = Decision::new(call);
        add(&mut decision, self, call);
        Ok(decision)
    }
}

/// A system speaks for its region, but may not make the people who watch over it.
fn first_of_region(snapshot: &Snapshot, participant: &crate::names::Participant) -> Result<(), Stop> {
    let others = snapshot.list::<AdministratorRow>(&["participant"], key![participant.clone()])?;
    if others.is_empty() { Ok(()) } else { Err(Reason::RoleNotAllowed.field("name").into()) }
}

pub(super) fn add(decision: &mut Decision, new: &AddAdministrator, call: &Call) {
    let row = AdministratorRow {
        administrator: new.name.clone(),
        participant: new.name.participant().clone(),
        display_name: new.display_name.clone(),
        standing: Standing::Active,
        reason: String::new(),
        recorded_at_us: call.now,
        version: 1,
    };
    let leaf = decision.leaf("administrator.added", &row.administrator, row.version);
    leaf.put(&row).put(&new.first_key.row(&new.name, call)).tell(&row.participant);
    // Who is first, and that one remains, rests on who else is there.
    leaf.guard::<ParticipantRow>(key![row.participant.clone()]);
}

/// Removes an administrator and retires their keys. Nobody removes themselves, so that
/// one always remains.
#[derive(Clone, Debug)]
pub struct RemoveAdministrator {
    pub administrator: Actor,
    pub reason: String,
}

impl Command for RemoveAdministrator {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        own_organisation(call, self.administrator.participant(), "administrator", &self.administrator)?;
        self.may_remove(call)?;
        guard::text("reason", &self.reason, 1_000)?;
        if call.actor.is_admin() {
            // Two who remove each other at once: the second is no administrator any more.
            let own = snapshot.get::<AdministratorRow>(key![call.actor.clone()])?;
            if own.is_none_or(|own| own.standing != Standing::Active) {
                return Err(Reason::RoleNotAllowed.into());
            }
        }
        let row = snapshot.get::<AdministratorRow>(key![self.administrator.clone()]);
        let keys = snapshot.list::<KeyRow>(&["holder"], key![self.administrator.clone()]);
        let row = guard::found(row?, "administrator", &self.administrator)?;
        guard::state(row.standing, &[Standing::Active], "administrator", &self.administrator)?;
        let row = AdministratorRow {
            standing: Standing::Removed,
            reason: self.reason.clone(),
            recorded_at_us: call.now,
            version: row.version + 1,
            ..(*row).clone()
        };
        let mut decision = Decision::new(call);
        let leaf = decision.leaf("administrator.removed", &row.administrator, row.version);
        leaf.put(&row).tell(&row.participant).guard::<ParticipantRow>(key![row.participant.clone()]);
        for key in keys?.iter().filter(|key| key.state == KeyState::Active) {
            leaf.put(&retired(key, call, &self.reason));
        }
        Ok(decision)
    }
}

impl RemoveAdministrator {
    fn may_remove(&self, call: &Call) -> Result<(), Rejection> {
        if call.actor == self.administrator {
            return Err(Reason::SelfRemoval.field("administrator").var("name", &call.actor));
        }
        if call.actor.is_admin() || gateway_admin(call).is_ok() { Ok(()) } else { Err(Reason::RoleNotAllowed.into()) }
    }
}
