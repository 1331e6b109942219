//! Certificate authorities: added, withdrawn.

use super::{AuthorityRow, KeyState, ParticipantRow, active_participant, own_organisation};
use crate::decision::{Call, Command, Decision, Leaf};
use crate::guard;
use crate::key;
use crate::names::Participant;
use crate::rejection::Reason;
use crate::snapshot::{Snapshot, Stop};
use crate::time::Timestamp;

/// A CA certificate, read at the edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAuthority {
    /// SHA-256 of the DER, hex.
    pub fingerprint: String,
    pub certificate_pem: String,
    pub not_before_us: Timestamp,
    pub not_after_us: Timestamp,
}

impl NewAuthority {
    /// A certificate that has run out vouches for nobody.
    pub(super) fn check(&self, field: &str, call: &Call) -> Result<(), Stop> {
        if self.not_after_us <= call.now {
            return Err(guard::out_of_range(field, "certificates in date").into());
        }
        Ok(())
    }

    pub(super) fn row(&self, participant: &Participant, call: &Call) -> AuthorityRow {
        AuthorityRow {
            participant: participant.clone(),
            fingerprint: self.fingerprint.clone(),
            certificate_pem: self.certificate_pem.clone(),
            not_before_us: self.not_before_us,
            not_after_us: self.not_after_us,
            state: KeyState::Active,
            ended_at_us: None,
            reason: String::new(),
            recorded_at_us: call.now,
            version: 1,
        }
    }
}

/// Adds a certificate authority. One that was withdrawn stays withdrawn.
#[derive(Clone, Debug)]
pub struct AddAuthority {
    pub participant: Participant,
    pub authority: NewAuthority,
}

impl Command for AddAuthority {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        own_organisation(call, &self.participant, "participant", &self.participant)?;
        active_participant(snapshot, "participant", &self.participant)?;
        self.authority.check("certificate_pem", call)?;
        let row = self.authority.row(&self.participant, call);
        let known = snapshot.get::<AuthorityRow>(key![row.participant.clone(), row.fingerprint.clone()])?;
        guard::absent(&known, row.name())?;
        let mut decision = Decision::new(call);
        leaf(&mut decision, "authority.added", &row);
        Ok(decision)
    }
}

/// Withdraws an authority: its certificates are no longer accepted. Final.
#[derive(Clone, Debug)]
pub struct WithdrawAuthority {
    pub participant: Participant,
    pub fingerprint: String,
    pub reason: String,
}

impl Command for WithdrawAuthority {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        own_organisation(call, &self.participant, "authority", &self.participant)?;
        guard::text("reason", &self.reason, 1_000)?;
        let all = snapshot.list::<AuthorityRow>(&["participant"], key![self.participant.clone()])?;
        let row = all.iter().find(|row| row.fingerprint == self.fingerprint).cloned();
        let row = guard::found(row, "authority", format!("{}/authorities/{}", self.participant, self.fingerprint))?;
        guard::state(row.state, &[KeyState::Active], "authority", row.name())?;
        if !all.iter().any(|other| other.state == KeyState::Active && other.fingerprint != row.fingerprint) {
            return Err(Reason::LastAuthority.field("authority").var("name", &self.participant).into());
        }
        let row = AuthorityRow {
            state: KeyState::Withdrawn,
            ended_at_us: Some(call.now),
            reason: self.reason.clone(),
            recorded_at_us: call.now,
            version: row.version + 1,
            ..(*row).clone()
        };
        let mut decision = Decision::new(call);
        leaf(&mut decision, "authority.withdrawn", &row);
        Ok(decision)
    }
}

impl AuthorityRow {
    /// Its resource name.
    pub fn name(&self) -> String {
        format!("{}/authorities/{}", self.participant, self.fingerprint)
    }
}

fn leaf<'a>(decision: &'a mut Decision, kind: &'static str, row: &AuthorityRow) -> &'a mut Leaf {
    let leaf = decision.leaf(kind, row.name(), row.version);
    // That the last authority stays rests on the others: rivals meet at the participant.
    leaf.put(row).tell(&row.participant).guard::<ParticipantRow>(key![row.participant.clone()])
}
