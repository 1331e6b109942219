//! Mandates: created and revoked by the paying region.

use std::sync::Arc;

use super::{MandateRow, MandateState};
use crate::care::bill::FeeType;
use crate::care::contract::find_contract;
use crate::decision::{Call, Command, Decision, Leaf};
use crate::entitlement::book;
use crate::guard;
use crate::id::Digest;
use crate::key;
use crate::names::{Collection, Name, Participant, ParticipantKind};
use crate::participant::active_participant;
use crate::person::{find_person, resolve_person};
use crate::policy::{self, ProgrammePolicy};
use crate::rejection::Reason;
use crate::snapshot::{Snapshot, Stop};
use crate::time::Date;
use crate::value::Json;

/// Creates a mandate. The caller is the paying region: that of the elder's household
/// register.
#[derive(Clone, Debug)]
pub struct CreateMandate {
    pub programme: String,
    pub elder: Name,
    pub contract: Name,
    pub channel: Participant,
    pub fee_types: Vec<FeeType>,
    pub monthly_cap_fen: i64,
    pub valid_from: Date,
    /// Last day.
    pub valid_until: Date,
    pub consent_sha256: Digest,
}

impl Command for CreateMandate {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let name = Name::created(Collection::Mandate, call.request_id).to_string();
        let known = snapshot.get::<MandateRow>(key![name.clone()]);
        let contract = find_contract(snapshot, &self.contract);
        let elder = find_person(snapshot, "elder", &self.elder)?;
        guard::absent(&known?, &name)?;
        guard::own(call, &elder.household_region, "elder", &self.elder)?;
        elder.living("elder")?;
        self.check_form()?;
        let book = book(call.participant(), &self.programme)?;
        policy::in_force::<ProgrammePolicy>(snapshot, &book.to_string(), self.valid_from)?;
        if active_participant(snapshot, "channel", &self.channel)?.kind != ParticipantKind::Channel {
            return Err(Reason::FieldMalformed.field("channel").var("expected", "channels/{id}").into());
        }
        let contract = contract?;
        if resolve_person(snapshot, &contract.person)?.person != elder.person {
            let expected = format!("a contract of {}", self.elder);
            return Err(Reason::FieldMalformed.field("contract").var("expected", expected).into());
        }
        if !contract.in_force_within(self.valid_from.max(call.now.date()), self.valid_until) {
            let needed = format!("in force between {} and {}", self.valid_from, self.valid_until);
            return Err(guard::wrong_state(contract.state, needed, "contract", &self.contract).into());
        }
        let row = MandateRow {
            mandate: name,
            person: elder.person.clone(),
            contract: contract.contract.clone(),
            institution_region: contract.institution_region.clone(),
            region: call.participant().clone(),
            programme: self.programme.clone(),
            channel: self.channel.clone(),
            fee_types: Json(self.fee_types.clone()),
            monthly_cap_fen: self.monthly_cap_fen,
            valid_from: self.valid_from,
            valid_until: self.valid_until,
            state: MandateState::Active,
            reason: String::new(),
            consent_sha256: self.consent_sha256.to_string(),
            recorded_at_us: call.now,
            version: 1,
        };
        let mut decision = Decision::new(call);
        leaf(&mut decision, "mandate.created", &row);
        Ok(decision)
    }
}

impl CreateMandate {
    fn check_form(&self) -> Result<(), Stop> {
        if self.fee_types.is_empty() {
            return Err(Reason::FieldMissing.field("fee_types").into());
        }
        guard::distinct("fee_types", &self.fee_types)?;
        guard::fen("monthly_cap_fen", self.monthly_cap_fen, 1)?;
        Ok(guard::not_before("valid_until", self.valid_until, self.valid_from)?)
    }
}

/// Revokes a mandate. Instructions already sent stand until the channel answers.
#[derive(Clone, Debug)]
pub struct RevokeMandate {
    pub mandate: Name,
    pub reason: String,
}

impl Command for RevokeMandate {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let row: Option<Arc<MandateRow>> = snapshot.get(key![self.mandate.clone()])?;
        let mandate = guard::found(row, "mandate", &self.mandate)?;
        guard::own(call, &mandate.region, "mandate", &self.mandate)?;
        guard::state(mandate.state, &[MandateState::Active], "mandate", &self.mandate)?;
        guard::text("reason", &self.reason, 1_000)?;
        let row = MandateRow {
            state: MandateState::Revoked,
            reason: self.reason.clone(),
            recorded_at_us: call.now,
            version: mandate.version + 1,
            ..(*mandate).clone()
        };
        let mut decision = Decision::new(call);
        leaf(&mut decision, "mandate.revoked", &row);
        Ok(decision)
    }
}

fn leaf<'a>(decision: &'a mut Decision, kind: &'static str, row: &MandateRow) -> &'a mut Leaf {
    let leaf = decision.leaf(kind, &row.mandate, row.version);
    leaf.put(row).tell(&row.region).tell(&row.institution_region).tell(&row.channel)
}
