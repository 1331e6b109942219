//! Keys: added, retired, withdrawn. Never deleted, so that old evidence stays checkable.

use std::sync::Arc;

use super::{
    AdministratorRow, KeyRow, KeyState, ParticipantRow, Standing, active_participant, gateway_admin, own_organisation,
};
use crate::decision::{Call, Command, Decision, Leaf};
use crate::guard;
use crate::key;
use crate::names::{Actor, Participant, ParticipantKind};
use crate::rejection::{Reason, Rejection};
use crate::snapshot::{Snapshot, Stop};
use crate::time::Timestamp;

/// A public key, its thumbprint already computed from it, and the thumbprint that was
/// read out: the two must agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    /// RFC 7638 thumbprint of `jwk`, base64url.
    pub kid: String,
    /// The public JWK, canonical JSON.
    pub jwk: String,
    /// The thumbprint that the caller states.
    pub fingerprint: String,
}

/// One administrator's statement that a new key's fingerprint was confirmed out of band. Its
/// signature over holder and fingerprint has been verified with the key that it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyConfirmation {
    pub administrator: Actor,
    /// The key that signed the statement: that administrator's, and in force.
    pub kid: String,
}

impl NewKey {
    /// `FINGERPRINT_MISMATCH`, `KEY_KNOWN`.
    pub(super) fn check(&self, snapshot: &Snapshot, jwk_field: &str, fingerprint_field: &str) -> Result<(), Stop> {
        if self.kid != self.fingerprint {
            return Err(Reason::FingerprintMismatch.field(fingerprint_field).into());
        }
        if snapshot.get::<KeyRow>(key![self.kid.clone()])?.is_some() {
            return Err(Reason::KeyKnown.field(jwk_field).var("kid", &self.kid).into());
        }
        Ok(())
    }

    pub(super) fn row(&self, holder: &Actor, call: &Call) -> KeyRow {
        KeyRow {
            kid: self.kid.clone(),
            holder: holder.clone(),
            jwk: self.jwk.clone(),
            state: KeyState::Active,
            added_at_us: call.now,
            ended_at_us: None,
            suspect_from_us: None,
            reason: String::new(),
            version: 1,
        }
    }
}

/// Checks that, beside the caller, another active administrator of the gateway confirmed
/// the key, and returns who confirmed. `CONFIRMATION_MISSING`.
pub(super) fn check_confirmations(
    snapshot: &Snapshot,
    call: &Call,
    confirmations: &[KeyConfirmation],
) -> Result<Vec<Actor>, Stop> {
    let mut confirmed_by = vec![call.actor.clone()];
    for confirmation in confirmations {
        let administrator = &confirmation.administrator;
        let of_gateway = administrator.participant().kind() == ParticipantKind::Gateway;
        if !confirmed_by.contains(administrator) && of_gateway && confirmation.counts(snapshot)? {
            confirmed_by.push(administrator.clone());
        }
    }
    if confirmed_by.len() < 2 {
        return Err(Reason::ConfirmationMissing.field("confirmations").into());
    }
    Ok(confirmed_by)
}

impl KeyConfirmation {
    /// By an active administrator, with a key of theirs in force.
    fn counts(&self, snapshot: &Snapshot) -> Result<bool, Stop> {
        let row = snapshot.get::<AdministratorRow>(key![self.administrator.clone()]);
        let key = snapshot.get::<KeyRow>(key![self.kid.clone()])?;
        let own = key.is_some_and(|key| key.holder == self.administrator && key.state == KeyState::Active);
        Ok(own && row?.is_some_and(|row| row.standing == Standing::Active))
    }
}

/// Adds a key to a participant or an administrator; it can be used at once.
#[derive(Clone, Debug)]
pub struct AddKey {
    pub owner: Actor,
    pub key: NewKey,
    /// Needed only for a key that its holder, or a participant's administrator, does not add.
    pub confirmations: Vec<KeyConfirmation>,
}

impl Command for AddKey {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        own_organisation(call, self.owner.participant(), "owner", &self.owner)?;
        if self.owner.is_admin() {
            let row = snapshot.get::<AdministratorRow>(key![self.owner.clone()])?;
            let row = guard::found(row, "owner", &self.owner)?;
            guard::state(row.standing, &[Standing::Active], "owner", &self.owner)?;
        } else {
            active_participant(snapshot, "owner", self.owner.participant())?;
        }
        self.key.check(snapshot, "jwk", "fingerprint")?;
        let own = call.actor == self.owner;
        let own_system =
            !self.owner.is_admin() && call.actor.is_admin() && call.participant() == self.owner.participant();
        if !own && !own_system {
            if !call.actor.is_admin() {
                return Err(Reason::RoleNotAllowed.field("owner").into());
            }
            check_confirmations(snapshot, call, &self.confirmations)?;
        }
        let mut decision = Decision::new(call);
        leaf(&mut decision, "key.added", &self.key.row(&self.owner, call));
        Ok(decision)
    }
}

/// Retires a key in the ordinary way: what it signed stays good.
#[derive(Clone, Debug)]
pub struct RetireKey {
    pub kid: String,
    pub reason: String,
}

impl Command for RetireKey {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        guard::optional_text("reason", &self.reason, 1_000)?;
        let key = ending(snapshot, call, &self.kid)?;
        let mut decision = Decision::new(call);
        leaf(&mut decision, "key.retired", &retired(&key, call, &self.reason));
        Ok(decision)
    }
}

/// A caller's clock may be so far ahead of the database's.
const CLOCKS_DIFFER_US: i64 = 60_000_000;

/// Withdraws a compromised key: what it signed from `suspect_from_us` on is suspect. A moment that the gateway's clock
/// has not come to is now, where it is no more than a minute ahead: nobody in haste is to wait for clocks.
#[derive(Clone, Debug)]
pub struct WithdrawKey {
    pub kid: String,
    pub suspect_from_us: Timestamp,
    pub reason: String,
}

impl Command for WithdrawKey {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        guard::text("reason", &self.reason, 1_000)?;
        guard::range("suspect_from_time_us", self.suspect_from_us.0, 1, call.now.0 + CLOCKS_DIFFER_US)?;
        let key = ending(snapshot, call, &self.kid)?;
        let row = KeyRow {
            state: KeyState::Withdrawn,
            suspect_from_us: Some(self.suspect_from_us.min(call.now)),
            ..retired(&key, call, &self.reason)
        };
        let mut decision = Decision::new(call);
        leaf(&mut decision, "key.withdrawn", &row);
        Ok(decision)
    }
}

/// A key that the caller may end: it is in force and not its holder's last.
fn ending(snapshot: &Snapshot, call: &Call, kid: &str) -> Result<Arc<KeyRow>, Stop> {
    let key = guard::found(snapshot.get::<KeyRow>(key![kid.to_owned()])?, "key", kid)?;
    may_end(call, &key)?;
    guard::state(key.state, &[KeyState::Active], "key", kid)?;
    let keys = snapshot.list::<KeyRow>(&["holder"], key![key.holder.clone()])?;
    if !keys.iter().any(|k| k.state == KeyState::Active && k.kid != key.kid) {
        return Err(Reason::LastKey.field("key").var("name", &key.holder).into());
    }
    Ok(key)
}

/// The holder, an administrator of its organisation, or one of the gateway.
fn may_end(call: &Call, key: &KeyRow) -> Result<(), Rejection> {
    let same = call.participant() == key.holder.participant();
    if call.actor == key.holder || (same && call.actor.is_admin()) || gateway_admin(call).is_ok() {
        return Ok(());
    }
    if same {
        return Err(Reason::RoleNotAllowed.field("key"));
    }
    guard::own(call, key.holder.participant(), "key", &key.kid)
}

pub(super) fn retired(key: &KeyRow, call: &Call, reason: &str) -> KeyRow {
    KeyRow {
        state: KeyState::Retired,
        ended_at_us: Some(call.now),
        reason: reason.to_owned(),
        version: key.version + 1,
        ..key.clone()
    }
}

/// Whether an author may vouch for a key or an authority of this organisation: as one of it, or as an
/// administrator of the gateway, who confirmed it out of band. Who verifies the log asks this again.
pub fn may_register(author: &Actor, organisation: &Participant) -> bool {
    let runs_the_gateway = author.is_admin() && author.participant().kind() == ParticipantKind::Gateway;
    runs_the_gateway || author.participant() == organisation
}

impl KeyRow {
    /// Its resource name.
    pub fn name(&self) -> String {
        format!("{}/keys/{}", self.holder, self.kid)
    }
}

/// The leaf of a key's version: `{holder}/keys/{kid}`.
fn leaf<'a>(decision: &'a mut Decision, kind: &'static str, row: &KeyRow) -> &'a mut Leaf {
    let leaf = decision.leaf(kind, row.name(), row.version);
    // That a holder's last key stays rests on the others: rivals meet at the participant.
    let participant = row.holder.participant();
    leaf.put(row).tell(participant).guard::<ParticipantRow>(key![participant.clone()])
}
