//! Settlement accounts: proposed by one administrator, decided by another, usable after
//! a cooling-off time. Redirected payouts are the first fraud.

use std::sync::Arc;

use super::{SettlementAccountRow, SettlementAccountState, own_institution};
use crate::decision::{Call, Command, Decision, Leaf};
use crate::guard;
use crate::key;
use crate::names::{Collection, Name, Participant, ParticipantKind};
use crate::participant::{ParticipantRow, active_participant};
use crate::policy::{self, SettlementAccountPolicy};
use crate::rejection::{Reason, Rejection};
use crate::snapshot::{Snapshot, Stop};
use crate::time::{Date, HOUR_US, Timestamp};

/// The account on which a channel pays an institution at an instant: approved, cooled
/// off, its first clearing date reached; the newest of these.
pub fn account_in_force(
    snapshot: &Snapshot,
    institution: &str,
    channel: &Participant,
    now: Timestamp,
) -> Result<Option<Arc<SettlementAccountRow>>, Stop> {
    let accounts = snapshot.list::<SettlementAccountRow>(&["institution"], key![institution.to_owned()])?;
    let counts = accounts.into_iter().filter(|a| a.channel == *channel && a.is_usable_at(now));
    Ok(counts.max_by_key(|a| (a.effective_from, a.usable_from_us)))
}

impl SettlementAccountRow {
    /// Approved, cooled off, and its first clearing date reached.
    pub fn is_usable_at(&self, now: Timestamp) -> bool {
        self.state == SettlementAccountState::Approved
            && self.usable_from_us.is_some_and(|from| from <= now)
            && self.effective_from <= now.clearing_date()
    }
}

/// Proposes where a channel pays an institution from a clearing date on.
#[derive(Clone, Debug)]
pub struct ProposeSettlementAccount {
    pub institution: Name,
    pub channel: Participant,
    /// Empty where the channel knows none.
    pub merchant_id: String,
    pub account_holder: String,
    /// 12 digits, or empty.
    pub bank_code: String,
    pub account_token: String,
    pub account_last4: String,
    pub effective_from: Date,
    pub reason: String,
}

impl Command for ProposeSettlementAccount {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let name = Name::created(Collection::SettlementAccount, call.request_id).to_string();
        administrator(call)?;
        self.check_form()?;
        let institution = own_institution(snapshot, call, &self.institution)?;
        guard::absent(&snapshot.get::<SettlementAccountRow>(key![name.clone()])?, &name)?;
        if active_participant(snapshot, "channel", &self.channel)?.kind != ParticipantKind::Channel {
            return Err(Reason::FieldMalformed.field("channel").var("expected", "channels/{id}").into());
        }
        let usable = call.now.plus_us(cooling_off_us(snapshot, call)?);
        guard::not_before("effective_from", self.effective_from, usable.date())?;
        self.check_others(snapshot)?;
        let row = SettlementAccountRow {
            account: name,
            institution: institution.institution.clone(),
            region: institution.region.clone(),
            channel: self.channel.clone(),
            merchant_id: self.merchant_id.clone(),
            account_holder: self.account_holder.clone(),
            bank_code: self.bank_code.clone(),
            account_token: self.account_token.clone(),
            account_last4: self.account_last4.clone(),
            effective_from: self.effective_from,
            state: SettlementAccountState::Proposed,
            proposed_by: call.actor.clone(),
            decided_by: None,
            reason: self.reason.clone(),
            usable_from_us: None,
            recorded_at_us: call.now,
            version: 1,
        };
        let mut decision = Decision::new(call);
        leaf(&mut decision, "settlement_account.proposed", &row)
            .guard::<super::InstitutionRow>(key![institution.institution.clone()]);
        Ok(decision)
    }
}

impl ProposeSettlementAccount {
    fn check_form(&self) -> Result<(), Rejection> {
        guard::optional_text("merchant_id", &self.merchant_id, 32)?;
        guard::text("account_holder", &self.account_holder, 200)?;
        guard::text("account_token", &self.account_token, 100)?;
        guard::text("reason", &self.reason, 1_000)?;
        let digits = |text: &str, n: usize| text.len() == n && text.bytes().all(|b| b.is_ascii_digit());
        if !self.bank_code.is_empty() && !digits(&self.bank_code, 12) {
            return Err(Reason::FieldMalformed.field("bank_code").var("expected", "12 digits"));
        }
        if !digits(&self.account_last4, 4) {
            return Err(Reason::FieldMalformed.field("account_last4").var("expected", "4 digits"));
        }
        Ok(())
    }

    /// One proposal at a time, and a merchant number leads to one institution only.
    fn check_others(&self, snapshot: &Snapshot) -> Result<(), Stop> {
        let own = snapshot.list::<SettlementAccountRow>(&["institution"], key![self.institution.clone()]);
        let merchant = key![self.channel.clone(), self.merchant_id.clone()];
        let same_merchant = snapshot.list::<SettlementAccountRow>(&["channel", "merchant_id"], merchant);
        let proposed = SettlementAccountState::Proposed;
        if let Some(open) = own?.iter().find(|a| a.channel == self.channel && a.state == proposed) {
            return Err(guard::wrong_state(open.state, "a decision", "institution", &open.account).into());
        }
        let foreign = |a: &&Arc<SettlementAccountRow>| {
            a.institution != self.institution.as_str() && a.state != SettlementAccountState::Declined
        };
        match same_merchant?.iter().find(foreign) {
            Some(other) if !self.merchant_id.is_empty() => {
                Err(Reason::RecordExists.field("merchant_id").var("name", &other.account).into())
            }
            _ => Ok(()),
        }
    }
}

/// Approves or declines a proposed account. Approved, it counts once the cooling-off
/// time has passed.
#[derive(Clone, Debug)]
pub struct DecideSettlementAccount {
    pub settlement_account: Name,
    pub approve: bool,
    pub reason: String,
}

impl Command for DecideSettlementAccount {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        administrator(call)?;
        guard::text("reason", &self.reason, 1_000)?;
        let row = snapshot.get::<SettlementAccountRow>(key![self.settlement_account.clone()])?;
        let row = guard::found(row, "settlement_account", &self.settlement_account)?;
        guard::own(call, &row.region, "settlement_account", &row.account)?;
        guard::state(row.state, &[SettlementAccountState::Proposed], "settlement_account", &row.account)?;
        if row.proposed_by == call.actor {
            let refused = Reason::SamePerson.field("settlement_account").var("name", &call.actor);
            return Err(refused.into());
        }
        let usable_from_us = match self.approve {
            true => Some(call.now.plus_us(cooling_off_us(snapshot, call)?)),
            false => None,
        };
        let row = SettlementAccountRow {
            state: match self.approve {
                true => SettlementAccountState::Approved,
                false => SettlementAccountState::Declined,
            },
            decided_by: Some(call.actor.clone()),
            reason: self.reason.clone(),
            usable_from_us,
            recorded_at_us: call.now,
            version: row.version + 1,
            ..(*row).clone()
        };
        let mut decision = Decision::new(call);
        let kind = if self.approve { "settlement_account.approved" } else { "settlement_account.declined" };
        let leaf = leaf(&mut decision, kind, &row);
        if self.approve {
            leaf.tell(&row.channel);
        }
        Ok(decision)
    }
}

/// Both pairs of eyes are people's: a system account has none.
fn administrator(call: &Call) -> Result<(), Rejection> {
    if call.actor.is_admin() { Ok(()) } else { Err(Reason::RoleNotAllowed.into()) }
}

fn cooling_off_us(snapshot: &Snapshot, call: &Call) -> Result<i64, Stop> {
    let policy = policy::in_force::<SettlementAccountPolicy>(snapshot, "default", call.now.date())?;
    Ok(policy.cooling_off_hours.clamp(0, 100 * 24 * 365) * HOUR_US)
}

fn leaf<'a>(decision: &'a mut Decision, kind: &'static str, row: &SettlementAccountRow) -> &'a mut Leaf {
    let leaf = decision.leaf(kind, &row.account, row.version).put(row).tell(&row.region);
    // A merchant number leads to one institution: that none other has it rests on absence.
    leaf.guard::<ParticipantRow>(key![row.channel.clone()])
}
