//! Findings: the legs agree, but a rule was not met. Any number per payment; each has one id
//! for life, so judging twice opens nothing twice. Usable wherever a payment or a grant is
//! judged again: by a run, or when a record is revoked.

use super::breaks;
use super::rows::{BreakClass, BreakRow, FieldDifference};
use super::run::Gather;
use super::stake::{Stake, StakeKind};
use crate::care::bill::{BillLineRow, BillRow, BillState};
use crate::care::contract::{ContractRow, ContractState};
use crate::care::stay::StayRow;
use crate::decision::Call;
use crate::entitlement::{GrantRow, GrantState};
use crate::key;
use crate::ledger::{Account, AccountRow};
use crate::payment::{PaymentRow, PaymentState, Said, StandsOn};
use crate::policy::Condition;
use crate::record::{RecognitionRow, RecordRow};
use crate::rejection::Rejection;
use crate::snapshot::{Snapshot, Stop};
use crate::time::{Date, Month, Timestamp};
use crate::value::Json;

/// What was found, ready to become a break.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub class: BreakClass,
    pub condition: Option<Condition>,
    pub subject: String,
    pub amount_fen: i64,
    /// The rule or record at fault and what it says now.
    pub detail: Vec<FieldDifference>,
    pub stakes: Vec<Stake>,
}

impl Finding {
    fn new(class: BreakClass, subject: &str, amount_fen: i64) -> Self {
        let subject = subject.to_owned();
        Self { class, condition: None, subject, amount_fen, detail: Vec::new(), stakes: Vec::new() }
    }

    /// Notes a field: what the decision saw, and what holds.
    fn with(mut self, field: &str, decided: impl ToString, now: impl ToString) -> Self {
        let (ledger, channel) = (decided.to_string(), now.to_string());
        self.detail.push(FieldDifference::of(field, ledger, channel));
        self
    }

    pub fn break_name(&self) -> String {
        breaks::finding_name(self.class, self.condition, &self.subject)
    }

    /// The break of a finding about a grant.
    pub fn about_grant(self, snapshot: &Snapshot, grant: &GrantRow, call: &Call) -> Result<BreakRow, Stop> {
        let date = call.now.clearing_date();
        let terms = breaks::Terms::load(snapshot, &grant.channel, date)?;
        Ok(terms.judged(BreakRow {
            channel: Some(grant.channel.clone()),
            region: Some(grant.region.clone()),
            programme: Some(grant.programme.clone()),
            person: Some(grant.person.clone()),
            cause: breaks::cause_of(&self.detail),
            fields: Json(self.detail),
            rule: self.class.to_string(),
            amount_fen: self.amount_fen,
            ..breaks::open(
                breaks::finding_name(self.class, self.condition, &self.subject),
                self.class,
                &self.subject,
                date,
                call.now,
            )
        }))
    }

    /// The break of a finding about a payment.
    pub fn of(
        self,
        snapshot: &Snapshot,
        payment: &PaymentRow,
        run: Option<&str>,
        now: Timestamp,
    ) -> Result<BreakRow, Stop> {
        let name = self.break_name();
        let terms = breaks::Terms::load(snapshot, &payment.channel, payment.clearing_date)?;
        Ok(terms.judged(BreakRow {
            condition: self.condition,
            channel: Some(payment.channel.clone()),
            region: Some(payment.region.clone()),
            programme: Some(payment.programme.clone()),
            institution_region: Some(payment.institution_region.clone()),
            person: Some(payment.person.clone()),
            cause: breaks::cause_of(&self.detail),
            fields: Json(self.detail),
            rule: self.class.to_string(),
            amount_fen: self.amount_fen,
            stakes: Json(self.stakes),
            opened_by: run.map(str::to_owned),
            seen_by: run.map(str::to_owned),
            ..breaks::open(name, self.class, &self.subject, payment.clearing_date, now)
        }))
    }
}

/// Everything that can be found about a payment now.
pub fn of_payment(snapshot: &Snapshot, payment: &PaymentRow) -> Result<Vec<Finding>, Stop> {
    let mut gather = Gather::default();
    let mut found = conditions(payment);
    for stands_on in &payment.stands_on.0 {
        if let Some(now) = gather.ask(void_since(snapshot, payment, stands_on))?.flatten() {
            found.push(paid_after_revocation(payment, &[(&stands_on.record, &now)]));
        }
    }
    merge_revocations(&mut found);
    // The grants that the payment can have spent: of its clearing month and the one before. What older
    // months were granted on comes to light when the record is revoked.
    for month in [payment.clearing_date.month().plus(-1), payment.clearing_date.month()] {
        let of_month = key![payment.person.clone(), payment.programme.clone(), month];
        for grant in gather.all(snapshot.list::<GrantRow>(&["person", "programme", "month"], of_month))? {
            found.extend(gather.all(of_grant(snapshot, &grant))?);
        }
    }
    found.extend(gather.ask(overspent(snapshot, payment))?.flatten());
    found.extend(gather.ask(bill_exceeded(snapshot, payment))?.flatten());
    found.extend(late(payment)?);
    gather.end()?;
    Ok(found)
}

/// The payment stands on records that were void on its date: each with what it says now.
pub fn paid_after_revocation(payment: &PaymentRow, void: &[(&str, &str)]) -> Finding {
    let finding = Finding::new(BreakClass::PaidAfterRevocation, &payment.payment, payment.amount_fen);
    void.iter().fold(finding, |finding, (record, now)| {
        let relied = payment.stands_on.0.iter().find(|s| s.record == *record);
        let decided = relied.map_or_else(String::new, |s| format!("version {}", s.version));
        finding.with(record, decided, now)
    })
}

/// One payment has one `PAID_AFTER_REVOCATION`, naming every record concerned.
fn merge_revocations(found: &mut Vec<Finding>) {
    let revoked = |f: &Finding| f.class == BreakClass::PaidAfterRevocation;
    let details: Vec<_> = found.iter().filter(|f| revoked(f)).flat_map(|f| f.detail.clone()).collect();
    let mut first = true;
    found.retain_mut(|f| {
        let keep = !revoked(f) || std::mem::take(&mut first);
        if keep && revoked(f) {
            f.detail = details.clone();
        }
        keep
    });
}

/// Conditions that were unmet when it was decided, under `WARN` or of an advice.
fn conditions(payment: &PaymentRow) -> Vec<Finding> {
    let amount = payment.amount_fen;
    let unmet = payment.unmet.0.iter().map(|unmet| match unmet.condition {
        Condition::Contract => {
            let finding = Finding::new(BreakClass::PaidWithoutContract, &payment.payment, amount);
            finding.with("CONTRACT", &unmet.detail, "")
        }
        condition => {
            let finding = Finding::new(BreakClass::ConditionUnmet, &payment.payment, amount);
            Finding { condition: Some(condition), ..finding }.with(condition.as_str(), &unmet.detail, "")
        }
    });
    unmet.collect()
}

/// Whether a record has since turned out to be void on the payment's date: recorded after the
/// decision (a later version), effective on or before it (DESIGN.md §3 "Two times").
fn void_since(snapshot: &Snapshot, payment: &PaymentRow, relied: &StandsOn) -> Result<Option<String>, Stop> {
    let paid_on = payment.transaction_time_us.date();
    let key = || key![relied.record.clone()];
    let collection = relied.record.split_once('/').map_or("", |(collection, _)| collection);
    Ok(match collection {
        "ratings" | "assessments" | "disabilityCertificates" => snapshot.get::<RecordRow>(key())?.and_then(|now| {
            let void = now.version > relied.version && now.void_from().is_some_and(|from| from <= paid_on);
            void.then(|| format!("{} since {}, version {}", now.state, now.effective_on, now.version))
        }),
        "recognitions" => recognition_void_since(snapshot, &relied.record, relied.version, paid_on)?,
        "contracts" => match snapshot.get::<ContractRow>(key())? {
            Some(now) if now.version > relied.version => {
                let month = bill_month(snapshot, payment)?;
                let covers = now.state != ContractState::Voided && (now.in_force_on(paid_on) || ever_in(&now, month));
                (!covers).then(|| {
                    format!("{}, ended {:?}, version {}", now.state, now.ended_on.map(|d| d.to_string()), now.version)
                })
            }
            _ => None,
        },
        "stays" => match snapshot.get::<StayRow>(key())? {
            Some(now) if now.version > relied.version => {
                let days = now.days_in(bill_month(snapshot, payment)?);
                (days == 0).then(|| format!("no day in the bill's month, version {}", now.version))
            }
            _ => None,
        },
        _ => None,
    })
}

/// As [`void_since`], of a recognition: by its own state, or, where its region had set it aside before, by its
/// record's.
fn recognition_void_since(snapshot: &Snapshot, name: &str, version: i64, on: Date) -> Result<Option<String>, Stop> {
    let Some(now) = snapshot.get::<RecognitionRow>(key![name.to_owned()])?.filter(|now| now.version > version) else {
        return Ok(None);
    };
    if now.void_from().is_some_and(|from| from <= on) {
        return Ok(Some(format!("{} since {}, version {}", now.state, now.effective_on, now.version)));
    }
    let record = snapshot.get::<RecordRow>(key![now.record.clone()])?;
    let void = record.filter(|record| record.void_from().is_some_and(|from| from <= on));
    Ok(void.map(|record| format!("{} since {}, version {}", record.state, record.effective_on, now.version)))
}

fn bill_month(snapshot: &Snapshot, payment: &PaymentRow) -> Result<Month, Stop> {
    let bill = snapshot.get::<BillRow>(key![payment.bill.clone()])?;
    Ok(bill.map_or(payment.clearing_date.month(), |bill| bill.month))
}

/// A bill of a month in which the contract was in force may be paid after its end.
fn ever_in(contract: &ContractRow, month: Month) -> bool {
    let mut days = std::iter::successors(Some(month.first_day()), |day: &Date| Some(day.plus_days(1)));
    days.by_ref().take_while(|day| day.month() == month).any(|day| contract.in_force_on(day))
}

/// What can be found about a grant: its basis was void when its month began, or its credit failed.
pub fn of_grant(snapshot: &Snapshot, grant: &GrantRow) -> Result<Vec<Finding>, Stop> {
    let mut found = Vec::new();
    if grant.state == GrantState::CreditFailed {
        found.push(credit_failed(grant));
    }
    let first_day = grant.month.first_day();
    let void = match grant.basis.split_once('/').map(|(collection, _)| collection) {
        Some("recognitions") => recognition_void_since(snapshot, &grant.basis, grant.basis_version, first_day)?,
        _ => snapshot.get::<RecordRow>(key![grant.basis.clone()])?.and_then(|now| {
            let void = now.version > grant.basis_version && now.void_from().is_some_and(|from| from <= first_day);
            void.then(|| format!("{} since {}, version {}", now.state, now.effective_on, now.version))
        }),
    };
    let taken_back = matches!(grant.state, GrantState::ClawbackRequested | GrantState::ClawedBack);
    if let Some(now) = void.filter(|_| !taken_back) {
        found.push(grant_without_basis(grant, now));
    }
    Ok(found)
}

/// The month was granted on a record that was void then, as `now` says.
pub fn grant_without_basis(grant: &GrantRow, now: impl ToString) -> Finding {
    let finding = Finding::new(BreakClass::GrantWithoutBasis, &grant.grant, grant.amount_fen);
    finding.with(&grant.basis, format!("version {}", grant.basis_version), now)
}

/// The elder's account is below zero: one finding per account, whichever payment shows it.
fn overspent(snapshot: &Snapshot, payment: &PaymentRow) -> Result<Option<Finding>, Stop> {
    let account = payment.entitlement(&payment.book()?);
    let available = snapshot.get::<AccountRow>(key![account.clone()])?.map_or(0, |row| row.available_fen());
    Ok(overdrawn(&account, available))
}

/// `OVERSPENT`, where the account has less than nothing.
pub fn overdrawn(account: &Account, available_fen: i64) -> Option<Finding> {
    let subject = account_subject(&account.to_string());
    let found =
        || Finding::new(BreakClass::Overspent, &subject, -available_fen).with("available_fen", available_fen, "");
    (available_fen < 0).then(found)
}

/// The name of an account in the API.
pub fn account_subject(account: &str) -> String {
    format!("accounts/{account}")
}

fn bill_exceeded(snapshot: &Snapshot, payment: &PaymentRow) -> Result<Option<Finding>, Stop> {
    let line = snapshot.get::<BillLineRow>(key![payment.bill.clone(), payment.fee_type]);
    let bill = snapshot.get::<BillRow>(key![payment.bill.clone()])?;
    // Of a void bill nothing is due: a late confirmation may have been accepted on it.
    let is_void = bill.is_some_and(|bill| bill.state == BillState::Voided);
    let line = line?.map(|line| BillLineRow { due_fen: if is_void { 0 } else { line.due_fen }, ..(*line).clone() });
    Ok(line.filter(|line| line.open_fen() < 0 && line.through_gateway_fen() > 0).map(|line| {
        let subject = bill_line_subject(&line);
        let paid = line.posted_fen + line.held_fen + line.paid_elsewhere_fen;
        Finding::new(BreakClass::BillExceeded, &subject, -line.open_fen()).with("due_fen", line.due_fen, paid)
    }))
}

/// A bill line, as a finding names it: `{bill}#{fee type}`.
pub fn bill_line_subject(line: &BillLineRow) -> String {
    format!("{}#{}", line.bill, line.fee_type)
}

/// The channel says of a record what its state does not allow, and what the ledger does not have.
pub fn contradiction(record: &str, amount_fen: i64, state: &str, said: Said) -> Finding {
    Finding::new(BreakClass::Contradiction, record, amount_fen).with("state", state, said)
}

/// The channel could not credit a grant.
pub fn credit_failed(grant: &GrantRow) -> Finding {
    Finding::new(BreakClass::CreditFailed, &grant.grant, grant.amount_fen - grant.credited_fen)
}

/// Confirmed when nothing was held any more: the amount is in suspense, part of it may be kept.
fn late(payment: &PaymentRow) -> Result<Option<Finding>, Rejection> {
    if payment.state != PaymentState::Late {
        return Ok(None);
    }
    let book = payment.book()?;
    let stake = Stake {
        kind: StakeKind::Late,
        book,
        institution: super::booking::id_of(&payment.institution).to_owned(),
        person: Some(payment.person.clone()),
        record: Some(payment.payment.clone()),
        row: None,
        clearing_date: payment.clearing_date,
        amount_fen: payment.amount_fen,
        held_fen: payment.kept_fen,
        booked: None,
    };
    let finding = Finding::new(BreakClass::LateConfirmation, &payment.payment, payment.amount_fen);
    Ok(Some(Finding { stakes: vec![stake], ..finding }.with("kept_fen", payment.kept_fen, payment.amount_fen)))
}
