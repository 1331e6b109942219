//! Payouts: found to their statements, booked as settled, or kept as a break.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::prepare::about;
use super::{PayoutProofState, PayoutRow, PayoutRule, PayoutState, PositionRow, StatementRow, StatementState};
use crate::decision::{Call, Command, Decision};
use crate::guard;
use crate::key;
use crate::ledger::{Account, AccountKind, EntryKind, Transfer};
use crate::names::{Collection, Name};
use crate::policy::{self, ChannelPolicy};
use crate::recon::breaks::Terms;
use crate::recon::run::Gather;
use crate::recon::{BreakClass, BreakRow, FieldDifference, breaks};
use crate::rejection::Reason;
use crate::snapshot::{Snapshot, Stop};
use crate::time::Date;
use crate::value::Json;

/// The channel paid out, or collected. The caller is the channel.
///
/// A fact: it is recorded whatever statements say, and booked as far as they account for it.
#[derive(Clone, Debug)]
pub struct ReportPayout {
    /// The channel's own, once; 1 to 64 characters.
    pub reference: String,
    /// Of the statement; empty on bulk payouts. At most 35 characters (ISO 20022 Max35Text).
    pub end_to_end_id: String,
    /// Who was paid; absent on bulk payouts.
    pub institution: Option<Name>,
    /// 4 digits, or empty.
    pub account_last4: String,
    /// Negative: collected. Not zero.
    pub amount_fen: i64,
    /// By today.
    pub paid_on: Date,
}

impl Command for ReportPayout {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        guard::text("reference", &self.reference, 64)?;
        guard::optional_text("end_to_end_id", &self.end_to_end_id, 35)?;
        guard::range("amount_fen", self.amount_fen, -guard::MAX_PROGRAMME_FEN, guard::MAX_PROGRAMME_FEN)?;
        if self.amount_fen == 0 {
            return Err(guard::out_of_range("amount_fen", "anything but 0").into());
        }
        guard::not_after_today("paid_on", self.paid_on, call)?;
        let is_last4 = self.account_last4.len() == 4 && self.account_last4.bytes().all(|b| b.is_ascii_digit());
        if !self.account_last4.is_empty() && !is_last4 {
            return Err(Reason::FieldMalformed.field("account_last4").var("expected", "4 digits").into());
        }
        let channel = call.participant();
        let reference = key![channel.clone(), self.reference.clone()];
        if let Some(known) = snapshot.list::<PayoutRow>(&["channel", "reference"], reference)?.first() {
            return Err(Reason::RecordExists.field("reference").var("name", &known.payout).into());
        }
        let row = PayoutRow {
            payout: Name::created(Collection::Payout, call.request_id).to_string(),
            channel: channel.clone(),
            reference: self.reference.clone(),
            end_to_end_id: self.end_to_end_id.clone(),
            institution: self.institution.as_ref().map(Name::to_string),
            account_last4: self.account_last4.clone(),
            amount_fen: self.amount_fen,
            paid_on: self.paid_on,
            state: PayoutState::Unmatched,
            rule: PayoutRule::None,
            statements: Json(Vec::new()),
            region: None,
            break_name: None,
            proof: PayoutProofState::NotExpected,
            proof_rule: None,
            proof_file: None,
            bank_entries: Json(Vec::new()),
            proven_on: None,
            recorded_at_us: call.now,
            version: 1,
        };
        settle(snapshot, call, row, None)
    }
}

/// Looks again for the statements of a payout that had none: they were made later, or an account was
/// registered meanwhile. The caller is an administrator. `STATE_NOT_ALLOWED` when it is as it was.
#[derive(Clone, Debug)]
pub struct MatchPayout {
    pub payout: Name,
}

impl Command for MatchPayout {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let row = snapshot.get::<PayoutRow>(key![self.payout.to_string()])?;
        let row = guard::found(row, "payout", &self.payout)?;
        guard::state(row.state, &[PayoutState::Unmatched], "payout", &self.payout)?;
        let next = PayoutRow { recorded_at_us: call.now, version: row.version + 1, ..(*row).clone() };
        settle(snapshot, call, next, Some(&row))
    }
}

/// What a payout was found to be.
struct Found {
    rule: PayoutRule,
    statements: Vec<Arc<StatementRow>>,
}

fn settle(snapshot: &Snapshot, call: &Call, row: PayoutRow, before: Option<&PayoutRow>) -> Result<Decision, Stop> {
    let mut gather = Gather::default();
    let mut candidates = Vec::new();
    for state in [StatementState::Open, StatementState::Carried] {
        let of_state = key![row.channel.clone(), state];
        candidates.extend(gather.all(snapshot.list::<StatementRow>(&["channel", "state"], of_state))?);
    }
    let terms = gather.ask(policy::in_force::<ChannelPolicy>(snapshot, row.channel.code(), call.now.date()))?;
    gather.end()?;
    let terms = terms.expect("gathered");
    let is_awaited = before.is_none() && terms.payout_proof.is_some();
    let found = find(&row, &candidates);
    let differences = differences(&row, &found);
    let is_booked = !found.statements.is_empty() && !differences.iter().any(|d| d.field != "amount_fen");
    let mut positions: BTreeMap<Account, PositionRow> = BTreeMap::new();
    let mut gather = Gather::default();
    for statement in found.statements.iter().filter(|_| is_booked) {
        let position = gather.ask(snapshot.get::<PositionRow>(key![statement.account.clone()]))?.flatten();
        positions.extend(position.map(|row| (statement.account.clone(), (*row).clone())));
    }
    let name = breaks::finding_name(BreakClass::PayoutMismatch, None, &row.payout);
    let known = gather.ask(snapshot.get::<BreakRow>(key![name.clone()]))?.flatten();
    let mut overdue = Vec::new();
    for statement in found.statements.iter().filter(|_| is_booked) {
        let name = breaks::finding_name(BreakClass::PayoutMissing, None, &statement.statement);
        overdue.extend(gather.ask(snapshot.get::<BreakRow>(key![name]))?.flatten().filter(|b| b.is_open()));
    }
    gather.end()?;

    let regions: BTreeSet<_> = found.statements.iter().map(|s| s.region.clone()).collect();
    let opens = !differences.is_empty() || found.statements.is_empty();
    let row = PayoutRow {
        state: if is_booked { PayoutState::Matched } else { PayoutState::Unmatched },
        rule: found.rule,
        statements: Json(found.statements.iter().map(|s| s.statement.clone()).collect()),
        region: (regions.len() == 1).then(|| regions.first().cloned()).flatten(),
        break_name: opens.then(|| name.clone()),
        proof: if is_awaited { PayoutProofState::Awaited } else { row.proof },
        ..row
    };
    let by = row.payout.clone();
    let change = match known {
        Some(known) if !opens => known.is_open().then(|| breaks::clear(&known, &by, call.now)),
        // What people have resolved stays resolved.
        Some(known) if !known.is_open() => None,
        None if !opens => None,
        known => {
            let terms = Terms::load(snapshot, &row.channel, call.now.date())?;
            let wanted = opened(&terms, &row, &found, differences, name, call);
            match known {
                None => Some(wanted),
                Some(known) => {
                    let wanted = terms.judged(BreakRow { clearing_date: known.clearing_date, ..wanted });
                    let now = breaks::as_found(&known, wanted);
                    (now != *known).then(|| breaks::next(Some(&known), now, &by, call))
                }
            }
        }
    };
    if let Some(before) = before.filter(|_| change.is_none()) {
        let as_before = PayoutRow { recorded_at_us: before.recorded_at_us, version: before.version, ..row.clone() };
        if as_before == *before {
            return Err(guard::wrong_state(row.state, "a statement that accounts for it", "payout", &row.payout).into());
        }
    }
    let mut decision = Decision::new(call);
    let kind = if before.is_none() { "payout.reported" } else { "payout.matched" };
    let leaf = decision.leaf(kind, &row.payout, row.version);
    leaf.put(&row).tell(&row.channel);
    for region in &regions {
        leaf.tell(region);
    }
    if is_booked {
        let prefunded = terms.prefunded;
        for statement in &found.statements {
            let amount_fen = if found.statements.len() == 1 { row.amount_fen } else { statement.net_fen };
            leaf.book(transfer(statement, amount_fen, prefunded, call).on(row.paid_on));
            if statement.state == StatementState::Open
                && let Some(position) = positions.get_mut(&statement.account)
            {
                position.open_fen -= statement.net_fen;
            }
            leaf.put(&StatementRow {
                state: StatementState::Settled,
                paid_fen: amount_fen,
                payout: Some(row.payout.clone()),
                recorded_at_us: call.now,
                version: statement.version + 1,
                ..(**statement).clone()
            });
            if let Some(region) = &statement.institution_region {
                leaf.tell(region);
            }
        }
        for position in positions.into_values() {
            leaf.put(&PositionRow { version: position.version + 1, ..position });
        }
    }
    for cleared in overdue.iter().map(|row| breaks::clear(row, &by, call.now)) {
        let leaf = decision.leaf("break.cleared", &cleared.break_name, cleared.version);
        leaf.put(&cleared);
        cleared.tell(leaf);
    }
    if let Some(row) = change {
        let leaf = decision.leaf(row.step.leaf_kind(), &row.break_name, row.version);
        leaf.put(&row);
        row.tell(leaf);
    }
    Ok(decision)
}

/// Settled (LEDGER.md): payable, or fee payable, against the prefund or the bank; a negative amount swaps sides.
fn transfer(statement: &StatementRow, amount_fen: i64, prefunded: bool, call: &Call) -> Transfer {
    let book = &statement.account.book;
    let money = if prefunded { Account::prefund(book, &statement.channel) } else { Account::bank(book) };
    let is_fee = statement.account.kind == AccountKind::FeePayable;
    let entry = if is_fee { EntryKind::SettledFee } else { EntryKind::Settled };
    let (debit, credit) = match amount_fen {
        0.. => (statement.account.clone(), money),
        _ => (money, statement.account.clone()),
    };
    Transfer::posted(entry, debit, credit, amount_fen.abs(), call.now.month())
}

/// The statements that a payout is for: by its end-to-end id, else by the narrowest sum that is the only one.
fn find(payout: &PayoutRow, candidates: &[Arc<StatementRow>]) -> Found {
    let is_payees = |s: &&Arc<StatementRow>| payout.institution.is_none() || payout.institution == s.institution;
    if !payout.end_to_end_id.is_empty() {
        let named = candidates.iter().find(|s| s.end_to_end_id == payout.end_to_end_id);
        // What is carried waits for the next statement, unless the channel collects it.
        let fits = named.filter(|s| (s.net_fen < 0) == (payout.amount_fen < 0));
        let rule = if fits.is_some() { PayoutRule::EndToEndId } else { PayoutRule::None };
        return Found { rule, statements: fits.cloned().into_iter().collect() };
    }
    let open: Vec<&Arc<StatementRow>> =
        candidates.iter().filter(|s| s.state == StatementState::Open).filter(is_payees).collect();
    let sums_up = |group: &[&Arc<StatementRow>]| group.iter().map(|s| s.net_fen).sum::<i64>() == payout.amount_fen;
    let groups_by = |rule: PayoutRule, key: &dyn Fn(&StatementRow) -> String| {
        let mut groups: BTreeMap<String, Vec<&Arc<StatementRow>>> = BTreeMap::new();
        for statement in &open {
            groups.entry(key(statement)).or_default().push(statement);
        }
        let mut fitting = groups.into_values().filter(|group| sums_up(group));
        match (fitting.next(), fitting.next()) {
            (Some(group), None) => Some(Found { rule, statements: group.into_iter().cloned().collect() }),
            _ => None,
        }
    };
    groups_by(PayoutRule::Amount, &|s| s.statement.clone())
        .or_else(|| groups_by(PayoutRule::Payee, &|s| s.account.to_string()))
        .or_else(|| groups_by(PayoutRule::Cycle, &|s| format!("{} {}", s.account.book, s.clearing_date)))
        .or_else(|| groups_by(PayoutRule::Channel, &|s| s.channel.to_string()))
        .unwrap_or(Found { rule: PayoutRule::None, statements: Vec::new() })
}

/// Where a payout is not what its statement says. Only a different amount is booked nevertheless: it was
/// paid to whom it was owed, and the next statement takes the rest.
fn differences(payout: &PayoutRow, found: &Found) -> Vec<FieldDifference> {
    let mut differences = Vec::new();
    let mut differ = |field: &str, ledger: String, channel: String| {
        if ledger != channel {
            differences.push(FieldDifference::of(field, ledger, channel));
        }
    };
    let Some(first) = found.statements.first() else { return differences };
    let due_fen: i64 = found.statements.iter().map(|s| s.net_fen).sum();
    differ("amount_fen", due_fen.to_string(), payout.amount_fen.to_string());
    if let Some(institution) = &payout.institution {
        differ("institution", first.institution.clone().unwrap_or_default(), institution.clone());
    }
    if !payout.account_last4.is_empty() {
        for statement in &found.statements {
            differ("account_last4", statement.account_last4.clone(), payout.account_last4.clone());
        }
    }
    differences
}

fn opened(
    terms: &Terms,
    payout: &PayoutRow,
    found: &Found,
    fields: Vec<FieldDifference>,
    name: String,
    call: &Call,
) -> BreakRow {
    let class = BreakClass::PayoutMismatch;
    let due_fen: i64 = found.statements.iter().map(|s| s.net_fen).sum();
    let is_of_amount = !found.statements.is_empty() && fields.iter().all(|f| f.field == "amount_fen");
    let amount_fen = if is_of_amount { (payout.amount_fen - due_fen).abs() } else { payout.amount_fen.abs() };
    let row = match found.statements.first() {
        Some(statement) => about(terms, statement, name, class, amount_fen, call),
        None => terms.judged(BreakRow {
            channel: Some(payout.channel.clone()),
            amount_fen,
            rule: class.to_string(),
            ..breaks::open(name, class, "", payout.paid_on, call.now)
        }),
    };
    let (subject, cause, due_on) = (payout.payout.clone(), breaks::cause_of(&fields), row.due_on);
    BreakRow { due_on, ..terms.judged(BreakRow { subject, cause, fields: Json(fields), ..row }) }
}
