//! Stays: admitted, ended, corrected, voided; by the institution's region.

use std::sync::Arc;

use super::{StayEndReason, StayRow, StayState};
use crate::care::bill::BillRow;
use crate::care::contract::{ContractState, find_contract};
use crate::care::found::Shortened;
use crate::decision::{Call, Command, Decision};
use crate::guard;
use crate::institution::{InstitutionState, own_institution};
use crate::key;
use crate::names::{Collection, Name};
use crate::payment::PaymentRow;
use crate::person::{PersonRow, PersonState, find_person, names_of, resolve_person};
use crate::rejection::Reason;
use crate::snapshot::{Snapshot, Stop};
use crate::time::Date;

/// Records that an elder lives in an institution from a day on.
#[derive(Clone, Debug)]
pub struct AdmitElder {
    pub elder: Name,
    pub institution: Name,
    /// Between the two, where there is one.
    pub contract: Option<Name>,
    pub admitted_on: Date,
}

impl Command for AdmitElder {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let name = Name::created(Collection::Stay, call.request_id).to_string();
        let known = snapshot.get::<StayRow>(key![name.clone()]);
        let elder = find_person(snapshot, "elder", &self.elder);
        let institution = own_institution(snapshot, call, &self.institution)?;
        guard::absent(&known?, &name)?;
        guard::state(institution.state, &[InstitutionState::Operating], "institution", &self.institution)?;
        let elder = elder?;
        elder.current("elder")?;
        alive_on(&elder, self.admitted_on)?;
        guard::not_after_today("admitted_on", self.admitted_on, call)?;
        check_contract(snapshot, self.contract.as_ref(), &institution.institution, &elder.person)?;
        let row = StayRow {
            stay: name,
            contract: self.contract.as_ref().map(Name::to_string),
            institution: institution.institution.clone(),
            person: elder.person.clone(),
            institution_region: institution.region.clone(),
            household_region: elder.household_region.clone(),
            admitted_on: self.admitted_on,
            left_on: None,
            state: StayState::Admitted,
            end_reason: None,
            reason: String::new(),
            recorded_at_us: call.now,
            version: 1,
        };
        check_overlap(snapshot, &row, &elder)?;
        Ok(decided(call, "stay.admitted", &row))
    }
}

/// Records that an elder left, moved or died.
#[derive(Clone, Debug)]
pub struct EndStay {
    pub stay: Name,
    /// First day no longer there.
    pub left_on: Date,
    pub end_reason: StayEndReason,
}

impl Command for EndStay {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let stay = own_stay(snapshot, call, &self.stay)?;
        guard::state(stay.state, &[StayState::Admitted], "stay", &self.stay)?;
        check_end(self.left_on, stay.admitted_on, call)?;
        let row = StayRow {
            left_on: Some(self.left_on),
            state: StayState::Ended,
            end_reason: Some(self.end_reason),
            ..next(&stay, call)
        };
        with_findings(snapshot, call, decided(call, "stay.ended", &row), &stay, &row)
    }
}

/// Corrects the dates and the contract of a stay.
#[derive(Clone, Debug)]
pub struct AmendStay {
    pub stay: Name,
    /// 0: any.
    pub expected_version: i64,
    pub contract: Option<Name>,
    pub admitted_on: Date,
    /// First day no longer there; given exactly when the stay has ended.
    pub left_on: Option<Date>,
    pub reason: String,
}

impl Command for AmendStay {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let stay = own_stay(snapshot, call, &self.stay)?;
        guard::seen_version(self.expected_version, stay.version, &self.stay)?;
        guard::state(stay.state, &[StayState::Admitted, StayState::Ended], "stay", &self.stay)?;
        guard::text("reason", &self.reason, 1_000)?;
        let elder = resolve_person(snapshot, &stay.person)?;
        alive_on(&elder, self.admitted_on)?;
        guard::not_after_today("admitted_on", self.admitted_on, call)?;
        match (stay.state, self.left_on) {
            (StayState::Ended, None) => return Err(Reason::FieldMissing.field("left_on").into()),
            (StayState::Admitted, Some(_)) => {
                return Err(guard::wrong_state(stay.state, StayState::Ended, "left_on", &self.stay).into());
            }
            (_, Some(left_on)) => check_end(left_on, self.admitted_on, call)?,
            (_, None) => {}
        }
        check_contract(snapshot, self.contract.as_ref(), &stay.institution, &elder.person)?;
        let row = StayRow {
            contract: self.contract.as_ref().map(Name::to_string),
            admitted_on: self.admitted_on,
            left_on: self.left_on,
            reason: self.reason.clone(),
            ..next(&stay, call)
        };
        check_overlap(snapshot, &row, &elder)?;
        with_findings(snapshot, call, decided(call, "stay.amended", &row), &stay, &row)
    }
}

/// Declares that a stay was recorded in error; payments on it surface as findings.
#[derive(Clone, Debug)]
pub struct VoidStay {
    pub stay: Name,
    pub reason: String,
}

impl Command for VoidStay {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let stay = own_stay(snapshot, call, &self.stay)?;
        guard::state(stay.state, &[StayState::Admitted, StayState::Ended], "stay", &self.stay)?;
        guard::text("reason", &self.reason, 1_000)?;
        let row = StayRow { state: StayState::Voided, reason: self.reason.clone(), ..next(&stay, call) };
        with_findings(snapshot, call, decided(call, "stay.voided", &row), &stay, &row)
    }
}

fn own_stay(snapshot: &Snapshot, call: &Call, name: &Name) -> Result<Arc<StayRow>, Stop> {
    let row = snapshot.get::<StayRow>(key![name.clone()])?;
    let row = guard::found(row, "stay", name)?;
    guard::own(call, &row.institution_region, "stay", name)?;
    Ok(row)
}

fn next(stay: &StayRow, call: &Call) -> StayRow {
    StayRow { version: stay.version + 1, recorded_at_us: call.now, ..stay.clone() }
}

/// Nobody is admitted after death; one who has died since may be recorded late.
fn alive_on(elder: &PersonRow, date: Date) -> Result<(), Stop> {
    let dead = elder.state == PersonState::Deceased && elder.died_on.is_some_and(|died| died < date);
    if dead { Ok(elder.living("elder")?) } else { Ok(()) }
}

/// Today may have been the last day.
fn check_end(left_on: Date, admitted_on: Date, call: &Call) -> Result<(), Stop> {
    guard::not_before("left_on", left_on, admitted_on)?;
    let latest = call.now.date().plus_days(1);
    if left_on > latest { Err(guard::out_of_range("left_on", format!("..{latest}")).into()) } else { Ok(()) }
}

fn check_contract(snapshot: &Snapshot, contract: Option<&Name>, institution: &str, elder: &str) -> Result<(), Stop> {
    let Some(name) = contract else { return Ok(()) };
    let contract = find_contract(snapshot, name)?;
    if contract.institution != institution || resolve_person(snapshot, &contract.person)?.person != elder {
        let expected = format!("a contract of {institution} with {elder}");
        return Err(Reason::FieldMalformed.field("contract").var("expected", expected).into());
    }
    if contract.state == ContractState::Voided {
        return Err(guard::wrong_state(contract.state, "a contract that is not void", "contract", name).into());
    }
    Ok(())
}

/// `STAY_OVERLAPS` names the other stay, under whichever of the person's names it stands.
fn check_overlap(snapshot: &Snapshot, stay: &StayRow, elder: &PersonRow) -> Result<(), Stop> {
    let stays: Vec<_> = names_of(snapshot, &elder.person)?
        .into_iter()
        .map(|name| snapshot.list::<StayRow>(&["person"], key![name]))
        .collect();
    for others in stays {
        if let Some(other) = others?.iter().find(|other| other.stay != stay.stay && other.overlaps(stay)) {
            return Err(Reason::StayOverlaps.field("admitted_on").var("name", &other.stay).into());
        }
    }
    Ok(())
}

/// Adds a finding for every payment that stands on the stay and whose bill is of a month of
/// which it no longer has a day.
fn with_findings(
    snapshot: &Snapshot,
    call: &Call,
    mut decision: Decision,
    old: &StayRow,
    row: &StayRow,
) -> Result<Decision, Stop> {
    let elder = resolve_person(snapshot, &row.person)?;
    let names = names_of(snapshot, &elder.person)?.into_iter();
    let bills: Vec<_> = names.map(|name| snapshot.list::<BillRow>(&["person"], key![name])).collect();
    let lost = |bill: &BillRow| {
        bill.institution == row.institution && old.days_in(bill.month) > 0 && row.days_in(bill.month) == 0
    };
    let mut payments = Vec::new();
    for bills in bills {
        for bill in bills?.into_iter().filter(|bill| lost(bill)) {
            payments.extend(snapshot.list::<PaymentRow>(&["bill"], key![bill.bill.clone()])?);
        }
    }
    let shortened = Shortened {
        record: &row.stay,
        version: row.version,
        says: format!("no day in the bill's month, version {}", row.version),
    };
    shortened.open_findings(snapshot, call, &mut decision, &payments, |_, month| row.days_in(month) > 0)?;
    Ok(decision)
}

fn decided(call: &Call, kind: &'static str, row: &StayRow) -> Decision {
    let mut decision = Decision::new(call);
    let leaf = decision.leaf(kind, &row.stay, row.version);
    // That nothing overlaps rests on absence: rivals meet at the elder.
    leaf.put(row)
        .tell(&row.institution_region)
        .tell(&row.household_region)
        .guard::<PersonRow>(key![row.person.clone()]);
    decision
}
