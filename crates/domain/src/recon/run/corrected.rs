//! A corrected file that contradicts what the earlier one matched: what the earlier line booked is
//! taken back by the same entries with their sides swapped, and the row is judged and booked anew.
//!
//! What the earlier line said follows from the row it matched and from the fields that its break
//! lists. Only a fee that no agreement gives (see [`Terms::agreed_fee`]) is not known: it is taken to
//! be the corrected line's.

use super::super::booking::{self, BookingTerms, LedgerRow, Place, Plan, Planned};
use super::super::file::{LineStatus, SettlementLine, parse_beijing};
use super::super::matching::{FileLine, LedgerEntry, Matched, Terms, Unit, judged_again};
use super::super::rows::{BreakRow, BreakState};
use super::StartRun;
use crate::ledger::Transfer;
use crate::time::Timestamp;

/// A unit as the corrected file has it, and what that books.
pub struct Corrected {
    pub unit: Unit,
    pub plan: Plan,
}

/// The unit judged anew, when the run's files no longer say of its row what the replaced file said.
pub fn unit(
    run: &StartRun,
    unit: &Unit,
    rows: &[LedgerRow],
    place: &Place,
    existing: Option<&BreakRow>,
    terms: &BookingTerms,
) -> Option<Corrected> {
    let ([entry], [row]) = (&unit.entries[..], rows) else { return None };
    let (file, _) = row.matched_by()?.split_once('#')?;
    let is_replaced = run.files.iter().any(|f| f.file != file && f.supersedes.iter().any(|old| old == file));
    if entry.matched != Matched::Here || !is_replaced || unit.money_lines().count() > 1 {
        return None;
    }
    let before = line_before(entry, unit, existing, terms.matching);
    let says_the_same = match unit.lines.first() {
        None => entry.clearing_date != run.clearing_date,
        Some(FileLine { line: now, .. }) => {
            (now.status, now.amount_fen, &now.institution) == (before.status, before.amount_fen, &before.institution)
                && (terms.matching.fee.is_none() || now.fee_fen == before.fee_fen)
        }
    };
    if says_the_same {
        return None;
    }
    let unmatched = LedgerEntry { matched: Matched::No, ..entry.clone() };
    let unit = judged_again(Unit { entries: vec![unmatched.clone()], ..unit.clone() }, terms.matching);
    if existing.is_some_and(|known| known.state == BreakState::Resolved) {
        // People have settled what the earlier line came to: only they can say what this changes.
        return Some(Corrected { unit, plan: Plan::default() });
    }
    let row = row.unmatched();
    let line = FileLine { file: file.into(), line: before.into() };
    let as_before = Unit { entries: vec![unmatched], lines: vec![line], difference: None, ..unit.clone() };
    let booked = booking::plan(&as_before, std::slice::from_ref(&row), place, 0, terms);
    let mut plan = booking::plan(&unit, std::slice::from_ref(&row), place, 0, terms);
    let taken_back = booked.transfers.into_iter().map(|planned| {
        let Transfer { debit, credit, .. } = planned.transfer.clone();
        Planned { transfer: Transfer { debit: credit, credit: debit, ..planned.transfer }, stake: None }
    });
    plan.transfers = taken_back.chain(std::mem::take(&mut plan.transfers)).collect();
    if unit.money_lines().next().is_none() {
        row.keep_in(&mut plan, terms.now);
    }
    Some(Corrected { unit, plan })
}

/// What the replaced file said of the row.
fn line_before(entry: &LedgerEntry, unit: &Unit, existing: Option<&BreakRow>, terms: &Terms) -> SettlementLine {
    let mut line = SettlementLine {
        line: 0,
        byte_offset: 0,
        kind: entry.key.kind,
        merchant_id: entry.key.merchant_id.clone(),
        order_id: entry.key.order_id.clone(),
        transaction_time: parse_beijing(&entry.key.transaction_time).unwrap_or(Timestamp(0)),
        amount_fen: entry.amount_fen,
        fee_fen: unit.lines.first().map_or(0, |now| now.line.fee_fen),
        status: LineStatus::Success,
        institution: entry.institution.clone(),
        original_order_id: None,
    };
    let said = |name: &str| {
        let fields = existing.map_or(&[][..], |known| &known.fields.0);
        fields.iter().find(|field| field.field == name).map(|field| field.channel.clone())
    };
    let number = |name: &str| said(name).and_then(|text| text.parse::<i64>().ok());
    line.amount_fen = number("amount_fen").unwrap_or(line.amount_fen);
    line.institution = said("institution").unwrap_or(line.institution);
    line.fee_fen = number("fee_fen").unwrap_or_else(|| terms.agreed_fee(&line));
    line
}
