//! What stood on a record that turns out not to have held: a finding for each
//! payment and each month granted on it, in the transaction that takes the record away.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::publish::subjects;
use super::{RecognitionRow, RecordRow};
use crate::decision::{Call, Decision};
use crate::entitlement::{GrantRow, GrantState};
use crate::key;
use crate::payment::{PaymentRow, PaymentState};
use crate::policy::{PolicyBody, PolicyRow, ProgrammePolicy};
use crate::recon::BreakRow;
use crate::recon::finding;
use crate::snapshot::{Snapshot, Stop};
use crate::time::Date;

/// Older payments are left to audits.
const MOST_DAYS_BACK: i64 = 400;

/// A name that payments stand on, and from when on it no longer carries them.
struct Voided {
    name: String,
    /// The version that says so.
    version: i64,
    from: Date,
    says: String,
}

/// Opens a `PAID_AFTER_REVOCATION` finding for every payment since that stands on the record, or
/// on a recognition of it, in an earlier version, and a `GRANT_WITHOUT_BASIS` finding for every month
/// granted on it. `recognitions` are as they have become.
pub(super) fn open_findings(
    snapshot: &Snapshot,
    call: &Call,
    decision: &mut Decision,
    old: &RecordRow,
    new: &RecordRow,
    recognitions: &[RecognitionRow],
) -> Result<(), Stop> {
    let voided = voided(old, new, recognitions);
    let Some(first) = voided.iter().map(|v| v.from).min() else { return Ok(()) };
    for payment in payments_since(snapshot, call, new, first)? {
        let hit = |v: &&Voided| v.from <= payment.transaction_time_us.date() && stands_on(&payment, v);
        let hits: Vec<_> = voided.iter().filter(hit).map(|v| (v.name.as_str(), v.says.as_str())).collect();
        if hits.is_empty() {
            continue;
        }
        let finding = finding::paid_after_revocation(&payment, &hits);
        if snapshot.get::<BreakRow>(key![finding.break_name()])?.is_none() {
            let row = finding.of(snapshot, &payment, None, call.now)?;
            let leaf = decision.leaf("break.opened", &row.break_name, row.version);
            leaf.put(&row);
            row.tell(leaf);
        }
    }
    for grant in grants_since(snapshot, call, new, first)? {
        let taken_back = matches!(grant.state, GrantState::ClawbackRequested | GrantState::ClawedBack);
        let based =
            |v: &&Voided| v.name == grant.basis && grant.basis_version < v.version && v.from <= grant.month.first_day();
        let Some(voided) = voided.iter().find(based).filter(|_| !taken_back) else { continue };
        let finding = finding::grant_without_basis(&grant, &voided.says);
        if snapshot.get::<BreakRow>(key![finding.break_name()])?.is_none() {
            let row = finding.about_grant(snapshot, &grant, call)?;
            let leaf = decision.leaf("break.opened", &row.break_name, row.version);
            leaf.put(&row);
            row.tell(leaf);
        }
    }
    Ok(())
}

/// Grants of the record's elder, of every programme, from the month of a date on.
fn grants_since(snapshot: &Snapshot, call: &Call, record: &RecordRow, first: Date) -> Result<Vec<Arc<GrantRow>>, Stop> {
    if !record.kind.is_personal() {
        return Ok(Vec::new());
    }
    let programmes = snapshot.list::<PolicyRow>(&["kind"], key![ProgrammePolicy::KIND]);
    let subjects = subjects(snapshot, record.kind, &record.subject)?;
    let programmes: BTreeSet<String> =
        programmes?.iter().filter_map(|p| p.scope.split_once('/').map(|(_, programme)| programme.to_owned())).collect();
    let first = first.max(call.now.date().plus_days(-MOST_DAYS_BACK)).month();
    let months = (0..).map(|n| first.plus(n)).take_while(|month| *month <= call.now.month().plus(1));
    let (mut found, mut missing) = (Vec::new(), None);
    for month in months {
        for (person, programme) in subjects.iter().flat_map(|s| programmes.iter().map(move |p| (s, p))) {
            let of_month = key![person.clone(), programme.clone(), month];
            match snapshot.list::<GrantRow>(&["person", "programme", "month"], of_month) {
                Ok(grants) => found.extend(grants),
                Err(stop) => missing = Some(stop),
            }
        }
    }
    missing.map_or(Ok(found), Err)
}

fn voided(old: &RecordRow, new: &RecordRow, recognitions: &[RecognitionRow]) -> Vec<Voided> {
    let shortened = (new.valid_until < old.valid_until).then(|| new.valid_until.plus_days(1));
    let of_record = new.void_from().or(shortened).map(|from| Voided {
        name: new.record.clone(),
        version: new.version,
        from,
        says: format!("{} since {from}, version {}", new.state, new.version),
    });
    // A region that had set its recognition aside before, paid on it before that.
    let of_recognitions = recognitions.iter().filter_map(|r| {
        let from = r.void_from().into_iter().chain(new.void_from()).min().or(shortened)?;
        let state = if r.void_from().is_some() { r.state.as_str() } else { new.state.as_str() };
        let says = format!("{state} since {from}, version {}", r.version);
        Some(Voided { name: r.recognition.clone(), version: r.version, from, says })
    });
    of_record.into_iter().chain(of_recognitions).collect()
}

fn stands_on(payment: &PaymentRow, voided: &Voided) -> bool {
    payment.stands_on.0.iter().any(|s| s.record == voided.name && s.version < voided.version)
}

/// Payments of the subject whose money has moved, authorised since a date. One still reserved is
/// judged by the run of its clearing date, if it is ever confirmed.
fn payments_since(
    snapshot: &Snapshot,
    call: &Call,
    record: &RecordRow,
    first: Date,
) -> Result<Vec<Arc<PaymentRow>>, Stop> {
    let last = call.now.clearing_date();
    let first = first.max(last.plus_days(-MOST_DAYS_BACK));
    let column = if record.kind.is_personal() { "person" } else { "institution" };
    let (mut found, mut missing) = (Vec::new(), None);
    for subject in subjects(snapshot, record.kind, &record.subject)? {
        for day in first.epoch_days()..=last.epoch_days() {
            let date = first.plus_days(day - first.epoch_days());
            // All days are asked for before any is waited for: one load, not four hundred.
            match snapshot.list::<PaymentRow>(&[column, "authorised_on"], key![subject.clone(), date]) {
                Ok(payments) => found.extend(payments),
                Err(stop) => missing = Some(stop),
            }
        }
    }
    if let Some(stop) = missing {
        return Err(stop);
    }
    let mut seen = BTreeSet::new();
    found.retain(|p| matches!(p.state, PaymentState::Confirmed | PaymentState::Late) && seen.insert(p.payment.clone()));
    Ok(found)
}
