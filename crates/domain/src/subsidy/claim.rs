//! Claims from stays, and their approval by rate rule.

use std::collections::BTreeMap;

use super::{ClaimRow, ClaimState};
use crate::care::stay::StayRow;
use crate::close;
use crate::decision::{Call, Command, Decision};
use crate::entitlement::book;
use crate::guard::{self, found};
use crate::id::DivisionCode;
use crate::institution::InstitutionRow;
use crate::key;
use crate::ledger::{EntryKind, Transfer};
use crate::names::{Collection, Name, Participant};
use crate::participant::active_participant;
use crate::payment::StandsOn;
use crate::person::{names_of, resolve_person};
use crate::policy::{self, OperatingSubsidyPolicy};
use crate::record::{RecordKind, standing};
use crate::rejection::Reason;
use crate::snapshot::{Snapshot, Stop};
use crate::time::Month;
use crate::value::Json;

/// Claims the operating subsidy of an institution and month. The caller is the
/// institution's region; the amount follows from the stays of the payer's elders
/// and the payer's rate table, and is the gateway's to compute, not the claimant's.
#[derive(Clone, Debug)]
pub struct CreateClaim {
    pub institution: Name,
    pub payer: Participant,
    pub month: Month,
}

impl Command for CreateClaim {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let institution = snapshot.get::<InstitutionRow>(key![self.institution.to_string()])?;
        let institution = found(institution, "institution", &self.institution)?;
        guard::own(call, &institution.region, "institution", &self.institution)?;
        if self.month >= call.now.month() {
            return Err(Reason::MonthInFuture.field("month").var("month", self.month).into());
        }
        let values = key![self.institution.to_string(), self.payer.clone(), self.month];
        let earlier = snapshot.list::<ClaimRow>(&["institution", "payer", "month"], values)?;
        if let Some(known) = earlier.iter().find(|c| c.state != ClaimState::Declined) {
            return Err(Reason::RecordExists.field("month").var("name", &known.claim).into());
        }
        let count = count(snapshot, &self.institution, &self.payer, self.month)?;
        if count.amount_fen == 0 {
            let fault = Reason::NoRate.field("month").var("programme", &count.programme);
            return Err(fault.var("name", &self.institution).var("month", self.month).into());
        }
        let claim = Name::created(Collection::OperatingSubsidyClaim, call.request_id);
        let row = ClaimRow {
            claim: claim.to_string(),
            region: call.participant().clone(),
            payer: self.payer.clone(),
            programme: count.programme,
            institution: self.institution.to_string(),
            month: self.month,
            stays: Json(count.stays),
            amount_fen: count.amount_fen,
            state: ClaimState::Claimed,
            funder_division: None,
            channel: None,
            order_id: None,
            clearing_date: None,
            reason: String::new(),
            recorded_at_us: call.now,
            version: 1,
        };
        let mut decision = Decision::new(call);
        let leaf = decision.leaf("operating_subsidy.claimed", &claim, 1);
        leaf.put(&row).tell(&row.region).tell(&row.payer);
        // Nothing stands for a month not claimed yet: rivals meet at the institution.
        leaf.guard::<InstitutionRow>(key![self.institution.to_string()]);
        Ok(decision)
    }
}

/// What the payer's rates give for a month's stays.
struct Count {
    programme: String,
    stays: Vec<String>,
    amount_fen: i64,
    /// What the levels were taken from.
    stands_on: Vec<StandsOn>,
}

/// Counts each elder once, by her days in the institution in that month, at her level
/// on its first day.
fn count(snapshot: &Snapshot, institution: &Name, payer: &Participant, month: Month) -> Result<Count, Stop> {
    let rates = policy::in_force::<OperatingSubsidyPolicy>(snapshot, payer.code(), month.first_day());
    let all = snapshot.list::<StayRow>(&["institution"], key![institution.to_string()])?;
    let rates = rates?;
    let stays: Vec<_> = all.iter().filter(|s| s.household_region == *payer && s.days_in(month) > 0).collect();
    let people: Vec<_> = stays.iter().map(|stay| resolve_person(snapshot, &stay.person)).collect();
    let mut elders: BTreeMap<String, (i64, Vec<String>)> = BTreeMap::new();
    for (stay, person) in stays.iter().zip(people) {
        let (days, names) = elders.entry(person?.person.clone()).or_default();
        *days += stay.days_in(month);
        names.push(stay.stay.clone());
    }
    elders.retain(|_, (days, _)| *days >= rates.min_days);
    let levels: Vec<_> = elders.keys().map(|elder| level(snapshot, payer, elder, month)).collect();
    let mut count =
        Count { programme: rates.programme.clone(), stays: Vec::new(), amount_fen: 0, stands_on: Vec::new() };
    for ((_, names), level) in elders.into_values().zip(levels) {
        let level = level?;
        let rate = level.as_ref().and_then(|(level, _)| rates.by_level.get(level)).copied();
        count.stands_on.extend(level.map(|(_, stands_on)| stands_on));
        count.stays.extend(names);
        count.amount_fen += rate.unwrap_or(rates.other_fen);
    }
    count.stays.sort();
    Ok(count)
}

/// The highest level that the payer relies on for an elder on the month's first day, and by which record.
fn level(snapshot: &Snapshot, payer: &Participant, elder: &str, month: Month) -> Result<Option<(i64, StandsOn)>, Stop> {
    let mut best: Option<(i64, StandsOn)> = None;
    for name in names_of(snapshot, elder)? {
        let held = standing(snapshot, payer, RecordKind::Assessment, &name, month.first_day())?;
        let first = held.into_iter().next().map(|s| (s.level_min, s.stands_on));
        best = best.into_iter().chain(first).max_by_key(|(level, _)| *level);
    }
    Ok(best)
}

/// The payer approves, names the budget and the bank. The caller is the paying region.
///
/// The stays are counted anew: a claim that no longer says what the records say is
/// `AMOUNT_MISMATCH`, to be declined and claimed again.
#[derive(Clone, Debug)]
pub struct ApproveClaim {
    pub claim: Name,
    /// Must be the claim's amount.
    pub amount_fen: i64,
    /// The division whose budget pays.
    pub funder_division: DivisionCode,
    /// The bank that will pay.
    pub channel: Participant,
}

impl Command for ApproveClaim {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let claim = of_payer(snapshot, call, &self.claim)?;
        let institution: Name = claim
            .institution
            .parse()
            .map_err(|_| Reason::RecordNotFound.field("claim").var("name", &claim.institution))?;
        active_participant(snapshot, "channel", &self.channel)?;
        let counted = count(snapshot, &institution, &claim.payer, claim.month)?;
        for expected in [claim.amount_fen, counted.amount_fen] {
            if self.amount_fen != expected {
                let fault = Reason::AmountMismatch.field("amount_fen").var("amount", self.amount_fen);
                return Err(fault.var("expected", expected).into());
            }
        }
        let book = book(&claim.payer, &claim.programme)?;
        let funder = self.funder_division.to_string();
        let row = ClaimRow {
            state: ClaimState::Approved,
            funder_division: Some(funder.clone()),
            channel: Some(self.channel.clone()),
            ..claim.next(call)
        };
        let expense = close::cost_account(snapshot, &book, &funder, row.month.year(), call)?;
        let entry = EntryKind::OperatingSubsidyApproved;
        let mut decision = Decision::new(call);
        let leaf = decision.leaf("operating_subsidy.approved", &self.claim, row.version);
        leaf.put(&row).tell(&row.region).tell(&row.payer).tell(&self.channel).instruct(&self.channel);
        leaf.book(Transfer::posted(entry, expense, row.payable(&book), row.amount_fen, call.now.month()));
        for stay in counted.stays {
            leaf.rely_on::<StayRow>(key![stay]);
        }
        for stands_on in &counted.stands_on {
            stands_on.lock(leaf);
        }
        Ok(decision)
    }
}

/// The payer declines; the month may be claimed again. The caller is the paying region.
#[derive(Clone, Debug)]
pub struct DeclineClaim {
    pub claim: Name,
    /// Up to 1,000 characters.
    pub reason: String,
}

impl Command for DeclineClaim {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        guard::text("reason", &self.reason, 1_000)?;
        let claim = of_payer(snapshot, call, &self.claim)?;
        let row = ClaimRow { state: ClaimState::Declined, reason: self.reason.clone(), ..claim.next(call) };
        let mut decision = Decision::new(call);
        let leaf = decision.leaf("operating_subsidy.declined", &self.claim, row.version);
        leaf.put(&row).tell(&row.region).tell(&row.payer);
        Ok(decision)
    }
}

fn of_payer(snapshot: &Snapshot, call: &Call, name: &Name) -> Result<ClaimRow, Stop> {
    let claim = find(snapshot, name)?;
    guard::own(call, &claim.payer, "claim", name)?;
    guard::state(claim.state, &[ClaimState::Claimed], "claim", name)?;
    Ok(claim)
}

pub(super) fn find(snapshot: &Snapshot, name: &Name) -> Result<ClaimRow, Stop> {
    let claim = found(snapshot.get::<ClaimRow>(key![name.to_string()])?, "claim", name)?;
    Ok((*claim).clone())
}

impl ClaimRow {
    /// The next version, not changed yet.
    pub(super) fn next(&self, call: &Call) -> Self {
        Self { version: self.version + 1, recorded_at_us: call.now, ..self.clone() }
    }
}
