//! Settlement and close on the simulated world: stories, and months in which anything happens.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::close::{CloseCondition, CloseRow, CloseState, DecideClose, ProposeClose, trial, vouchers};
use crate::entitlement::{ClawBackGrant, GrantRow};
use crate::institution::{SettlementAccountRow, SettlementAccountState};
use crate::key;
use crate::ledger::{AccountRow, CashDayRow, EntryKind, GeneralLedgerRow, Layer};
use crate::payment::world::*;
use crate::payment::{ConfirmPayment, PaymentRow, PaymentState, RefundPayment, RefundRow};
use crate::policy::{AccountingPolicy, PolicyKind};
use crate::recon::file::{LineKind, ParsedFile, SettlementLine};
use crate::recon::identities::{Journal, check_bill_lines, check_reservations};
use crate::recon::matching::FeeRule;
use crate::recon::resolve::{DecideResolution, ProposeResolution};
use crate::recon::run::{RunFile, StartRun};
use crate::recon::{AlertRow, AlertState, BreakClass, BreakRow, BreakState, BreakStep, Resolution, RunRow, RunState};
use crate::rejection::{Reason, Rejection};
use crate::time::{DAY_US, HOUR_US};

const CHEN: &str = "regions/110000/admins/chen";
const LIU: &str = "regions/110000/admins/liu";

fn payable() -> Account {
    Account::payable(&book(), name(INSTITUTION).id(), &who(UNIONPAY))
}

fn prefund() -> Account {
    Account::prefund(&book(), &who(UNIONPAY))
}

/// What the server reads of the journal before it asks for a cycle.
pub(crate) fn prepare(world: &World, date: Date) -> PrepareSettlement {
    let channel = who(UNIONPAY);
    let since = world.sim.get::<CycleRow>(key![channel.clone()]).map_or(0, |cycle| cycle.cut);
    let journal = &world.sim.transfers;
    let of = |t: &crate::ledger::TransferRow| {
        Activity::of(t.entry, &t.debit, &t.credit, t.clearing_date, t.amount_fen, &channel)
    };
    let posted = journal[since as usize..].iter().filter(|t| t.layer == Layer::Posted);
    let balances = world.sim.all::<AccountRow>();
    let balances = balances.into_iter().filter(|a| a.posted_fen != 0 && is_settled_with(&a.account, &channel));
    PrepareSettlement {
        clearing_date: date,
        since,
        cut: journal.len() as i64,
        activity: posted.flat_map(of).collect(),
        balances: balances.map(|a| a.account).collect(),
        funders: Default::default(),
        channel,
    }
}

fn statement(world: &World, date: &str) -> StatementRow {
    let date = day(date);
    let all = world.sim.all::<StatementRow>();
    all.into_iter().find(|s| s.clearing_date == date && s.institution.is_some()).expect("a statement")
}

/// What a channel is due as its fee.
fn fee_statement(world: &World, date: &str) -> StatementRow {
    let date = day(date);
    let all = world.sim.all::<StatementRow>();
    all.into_iter().find(|s| s.clearing_date == date && s.institution.is_none()).expect("a fee statement")
}

pub(crate) fn report(
    reference: &str,
    amount_fen: i64,
    statement: Option<&StatementRow>,
    world: &World,
) -> ReportPayout {
    ReportPayout {
        reference: reference.into(),
        end_to_end_id: statement.map(|s| s.end_to_end_id.clone()).unwrap_or_default(),
        institution: statement.and_then(|s| s.institution.as_ref()).map(|i| name(i)),
        account_last4: statement.map(|s| s.account_last4.clone()).unwrap_or_default(),
        amount_fen,
        paid_on: world.now.date(),
    }
}

fn has_account(world: &mut World) {
    world.sim.given(&SettlementAccountRow {
        account: "settlementAccounts/a1".into(),
        institution: INSTITUTION.into(),
        region: who(HEBEI),
        channel: who(UNIONPAY),
        merchant_id: "M1".into(),
        account_holder: "三河院".into(),
        bank_code: String::new(),
        account_token: "tok".into(),
        account_last4: "0017".into(),
        effective_from: day("2026-01-01"),
        state: SettlementAccountState::Approved,
        proposed_by: "regions/130000/admins/ma".parse().unwrap(),
        decided_by: None,
        reason: String::new(),
        usable_from_us: Some(Timestamp(0)),
        recorded_at_us: Timestamp(0),
        version: 2,
    });
}

pub(crate) fn pay(world: &mut World, order: &str, fen: i64) -> Result<PaymentRow, Rejection> {
    let command = authorise(world.now, order, fen);
    let payment = world.execute(UNIONPAY, &command)?.record();
    let confirm =
        ConfirmPayment { payment: payment.clone(), amount_fen: fen, transaction_time: None, clearing_date: None };
    world.execute(UNIONPAY, &confirm)?;
    Ok(world.payment(&payment))
}

pub(crate) fn refund(world: &mut World, of: &PaymentRow, order: &str, amount_fen: i64) -> Result<(), Rejection> {
    let command = RefundPayment {
        payment: name(&of.payment),
        order_id: order.parse().unwrap(),
        amount_fen,
        transaction_time: world.now,
        clearing_date: None,
        reason: String::new(),
    };
    world.execute(UNIONPAY, &command).map(drop)
}

/// The file of a date as the ledger has it; fees are 1 % and `more_fen` on the first payment.
fn file(world: &World, date: Date, more_fen: i64) -> ParsedFile {
    let payments = world.sim.all::<PaymentRow>();
    let paid = payments.iter().filter(|p| p.clearing_date == date && p.state == PaymentState::Confirmed);
    let mut lines: Vec<SettlementLine> = paid
        .enumerate()
        .map(|(n, p)| SettlementLine {
            // No parser lets a fee below zero through.
            fee_fen: (fee_of(p.amount_fen) + if n == 0 { more_fen } else { 0 }).max(0),
            ..line_of(p)
        })
        .collect();
    let refunds = world.sim.all::<RefundRow>();
    for refund in refunds.iter().filter(|r| r.clearing_date == date) {
        let original = payments.iter().find(|p| p.payment == refund.payment).unwrap();
        lines.push(SettlementLine {
            kind: LineKind::Refund,
            order_id: refund.order_id.clone(),
            transaction_time: refund.transaction_time_us,
            amount_fen: refund.amount_fen,
            fee_fen: 0,
            original_order_id: Some(original.order_id.clone()),
            ..line_of(original)
        });
    }
    // A line is evidence of one movement: each has its own number.
    (2..).zip(&mut lines).for_each(|(n, line)| line.line = n);
    let mut parsed = ParsedFile { lines: lines.into_iter().collect(), ..ParsedFile::default() };
    parsed.trailer = Some(parsed.totals());
    parsed
}

fn fee_of(amount_fen: i64) -> i64 {
    (amount_fen * 100 + 5_000) / 10_000
}

fn run(world: &mut World, date: Date, more_fen: i64) {
    let parsed = Arc::new(file(world, date, more_fen));
    let file = format!("files/{date}");
    let start = StartRun {
        channel: who(UNIONPAY),
        clearing_date: date,
        allow_missing_files: false,
        files: vec![RunFile { file, sha256: "00".repeat(32), merchant_id: String::new(), supersedes: vec![], parsed }],
        books: vec![],
        cut: 1,
        fee: Some(FeeRule { basis_points: 100, min_fen: 0, max_fen: 1_000_000 }),
        default_book: Some(book()),
        lines_per_part: crate::recon::run::LINES_PER_PART,
    };
    let decision = world.execute("gateway/admins/setup", &start).unwrap();
    let run: RunRow = world.sim.get(key![decision.leaves[0].record.clone()]).unwrap();
    assert!(run.state != RunState::Incomplete, "{:?}", run.identities);
}

/// The next morning, after the file.
fn next_day(world: &mut World, more_fen: i64) -> Date {
    let date = world.now.clearing_date();
    world.now = Timestamp(world.now.0 + DAY_US);
    run(world, date, more_fen);
    date
}

/// The next morning, its file as the ledger has it.
pub(crate) fn run_day(world: &mut World) {
    next_day(world, 0);
}

/// By clearing date.
pub(crate) fn statements(world: &World) -> Vec<StatementRow> {
    let mut all = world.sim.all::<StatementRow>();
    all.sort_by_key(|s| s.clearing_date);
    all
}

/// LEDGER.md's identities, all of them.
fn check(world: &World) {
    world.check_identities();
    let mut journal = Journal::default();
    world.sim.transfers.iter().for_each(|t| journal.add(t));
    let breaks = world.sim.all::<BreakRow>();
    let open: Vec<BreakRow> = breaks.iter().filter(|b| b.is_open()).cloned().collect();
    let payments = world.sim.all::<PaymentRow>();
    let runs = world.sim.all::<RunRow>();
    // A date is judged when its grace was over at its last run, and nothing came to it since: here never
    // before the next working day.
    let mut violations = std::mem::take(&mut journal.violations);
    violations.extend(journal.check_accounts(&world.sim.all::<AccountRow>()));
    violations.extend(journal.check_entitlements(&open));
    violations.extend(journal.check_prefund(|channel| channel == "unionpay"));
    violations.extend(journal.check_breaks(&open, &payments, |_, date| {
        runs.iter().any(|run| run.clearing_date == date && run.recorded_at_us.date() > date.plus_days(4))
    }));
    violations.extend(journal.check_holds(&payments));
    violations.extend(check_reservations(&payments, |_, date| runs.iter().any(|run| run.clearing_date == date)));
    violations.extend(check_bill_lines(&world.sim.all(), &breaks));
    violations.extend(journal.check_trial(&world.sim.all::<CloseRow>()));
    assert_eq!(violations, []);
    // The running sums are those of the journal.
    let stored = world.sim.all::<GeneralLedgerRow>();
    assert!(stored.iter().eq(journal.general_ledger()), "general ledger");
    assert!(world.sim.all::<CashDayRow>().iter().eq(journal.cash_days()), "money by day");
    // 8: every posted transfer is of a leaf whose request somebody signed, and of one only.
    let leaves: BTreeSet<&str> =
        world.sim.decisions.iter().flat_map(|d| &d.leaves).map(|leaf| leaf.leaf_id.as_str()).collect();
    let ids: BTreeSet<(&str, i64)> = world.sim.transfers.iter().map(|t| (t.leaf_id.as_str(), t.line)).collect();
    assert_eq!(ids.len(), world.sim.transfers.len());
    assert!(ids.iter().all(|(leaf, _)| leaves.contains(leaf)), "identity 8");
    // What is stated is what is owed.
    for position in world.sim.all::<PositionRow>() {
        let statements = world.sim.all::<StatementRow>();
        let of_account = statements.iter().filter(|s| s.account == position.account);
        let open: i64 = of_account.filter(|s| s.state == StatementState::Open).map(|s| s.net_fen).sum();
        assert_eq!(position.open_fen, open, "{}", position.account);
    }
    for s in world.sim.all::<StatementRow>() {
        let sum = s.gross_fen - s.refunds_fen - s.fees_fen + s.adjustments_fen + s.brought_forward_fen - s.withheld_fen;
        assert_eq!(s.net_fen, sum, "{}", s.statement);
    }
}

fn settle(world: &mut World, date: Date) -> Result<(), Rejection> {
    let command = prepare(world, date);
    world.execute(CHEN, &command).map(drop)
}

#[test]
fn a_day_is_stated_paid_and_the_refund_after_it_comes_to_the_next() {
    let mut world = World::funded();
    has_account(&mut world);
    let payment = pay(&mut world, "ORDER0001", 20_000).unwrap();
    let friday = next_day(&mut world, 0);
    settle(&mut world, friday).unwrap();
    let first = statement(&world, "2026-11-20");
    assert_eq!((first.gross_fen, first.fees_fen, first.net_fen), (20_000, 200, 19_800));
    assert_eq!((first.state, first.due_on), (StatementState::Open, day("2026-11-23")));
    assert_eq!(
        (first.settlement_account.as_deref(), first.account_last4.as_str()),
        (Some("settlementAccounts/a1"), "0017")
    );
    let again = prepare(&world, friday);
    assert_eq!(said(world.execute(CHEN, &again)), reason(Reason::RecordExists, "clearing_date"));

    let before = world.posted(&prefund());
    let paid = report("P1", 19_800, Some(&first), &world);
    let decision = world.execute(UNIONPAY, &paid).unwrap();
    assert_eq!(
        entries(&decision),
        [entry(EntryKind::Settled, "posted", "payable[institution, unionpay]", "prefund[unionpay]", 19_800)]
    );
    assert_eq!(said(world.execute(UNIONPAY, &paid)), reason(Reason::RecordExists, "reference"));
    assert_eq!((world.posted(&payable()), world.posted(&prefund())), (0, before - 19_800));
    assert_eq!(statement(&world, "2026-11-20").state, StatementState::Settled);

    // Refunded after the settlement: nothing to pay, the next takes it.
    refund(&mut world, &payment, "REFUND001", 5_000).unwrap();
    let saturday = next_day(&mut world, 0);
    settle(&mut world, saturday).unwrap();
    let carried = statement(&world, "2026-11-21");
    assert_eq!((carried.state, carried.refunds_fen, carried.net_fen), (StatementState::Carried, 5_000, -5_000));
    check(&world);
    pay(&mut world, "ORDER0002", 10_000).unwrap();
    let sunday = next_day(&mut world, 0);
    settle(&mut world, sunday).unwrap();
    let next = statement(&world, "2026-11-22");
    assert_eq!((next.gross_fen, next.brought_forward_fen, next.net_fen), (10_000, -5_000, 4_900));
    assert_eq!(statement(&world, "2026-11-21").state, StatementState::Taken);
    check(&world);
}

#[test]
fn what_is_carried_may_be_collected() {
    let mut world = World::funded();
    let payment = pay(&mut world, "ORDER0001", 20_000).unwrap();
    let friday = next_day(&mut world, 0);
    settle(&mut world, friday).unwrap();
    let first = statement(&world, "2026-11-20");
    world.execute(UNIONPAY, &report("P1", 19_800, Some(&first), &world)).unwrap();
    refund(&mut world, &payment, "REFUND001", 5_000).unwrap();
    let saturday = next_day(&mut world, 0);
    settle(&mut world, saturday).unwrap();
    let carried = statement(&world, "2026-11-21");
    let decision = world.execute(UNIONPAY, &report("P2", -5_000, Some(&carried), &world)).unwrap();
    assert_eq!(
        entries(&decision),
        [entry(EntryKind::Settled, "posted", "prefund[unionpay]", "payable[institution, unionpay]", 5_000)]
    );
    assert_eq!(world.posted(&payable()), 0);
    check(&world);
}

#[test]
fn payouts_that_are_not_as_stated_open_breaks() {
    for (amount_fen, last4, named, state, break_fen, left) in [
        (19_000, "0017", true, PayoutState::Matched, 800, 800),
        (20_000, "0017", true, PayoutState::Matched, 200, -200),
        (19_800, "9999", true, PayoutState::Unmatched, 19_800, 19_800),
        (777, "", false, PayoutState::Unmatched, 777, 19_800),
    ] {
        let mut world = World::funded();
        has_account(&mut world);
        pay(&mut world, "ORDER0001", 20_000).unwrap();
        let friday = next_day(&mut world, 0);
        settle(&mut world, friday).unwrap();
        let stated = statement(&world, "2026-11-20");
        let payout =
            ReportPayout { account_last4: last4.into(), ..report("P1", amount_fen, named.then_some(&stated), &world) };
        world.execute(UNIONPAY, &payout).unwrap();
        let row = &world.sim.all::<PayoutRow>()[0];
        let breaks = world.sim.all::<BreakRow>();
        let found = breaks.iter().find(|b| b.class == BreakClass::PayoutMismatch).expect("a break");
        assert_eq!((row.state, found.amount_fen, world.posted(&payable())), (state, break_fen, left), "{amount_fen}");
        assert_eq!((found.subject.as_str(), row.break_name.as_ref()), (row.payout.as_str(), Some(&found.break_name)));
        check(&world);
    }
}

#[test]
fn bulk_payouts_match_by_sum_and_one_that_came_too_early_is_matched_later() {
    let mut world = World::funded();
    pay(&mut world, "ORDER0001", 20_000).unwrap();
    let friday = next_day(&mut world, 0);
    let early = world.execute(UNIONPAY, &report("P1", 19_800, None, &world)).unwrap().record();
    let open = |world: &World| world.sim.all::<BreakRow>().iter().filter(|b| b.is_open()).count();
    assert_eq!((open(&world), world.posted(&payable())), (1, 19_800));
    settle(&mut world, friday).unwrap();
    world.execute(CHEN, &MatchPayout { payout: early.clone() }).unwrap();
    assert_eq!((open(&world), world.posted(&payable())), (0, 0));
    assert_eq!(world.sim.get::<PayoutRow>(key![early.to_string()]).unwrap().rule, PayoutRule::Amount);
    assert_eq!(said(world.execute(CHEN, &MatchPayout { payout: early })), reason(Reason::StateNotAllowed, "payout"));

    // Two days and the fee of all three in one entry.
    for (order, fen) in [("ORDER0002", 10_000), ("ORDER0003", 5_000)] {
        pay(&mut world, order, fen).unwrap();
        let date = next_day(&mut world, 0);
        settle(&mut world, date).unwrap();
    }
    let fee = Account::fee_payable(&book(), &who(UNIONPAY));
    assert_eq!(world.posted(&fee), 350);
    world.execute(UNIONPAY, &report("P2", 9_900 + 4_950 + 350, None, &world)).unwrap();
    assert_eq!((world.posted(&payable()), world.posted(&fee)), (0, 0));
    check(&world);
}

#[test]
fn a_disputed_fee_is_withheld_and_a_late_payout_is_missed() {
    let mut world = World::funded();
    pay(&mut world, "ORDER0001", 20_000).unwrap();
    let friday = next_day(&mut world, 50);
    settle(&mut world, friday).unwrap();
    let stated = statement(&world, "2026-11-20");
    assert_eq!((stated.fees_fen, stated.withheld_fen, stated.net_fen), (200, 50, 19_750));
    let fee = world.sim.all::<StatementRow>().into_iter().find(|s| s.institution.is_none()).unwrap();
    assert_eq!((fee.gross_fen, fee.net_fen), (250, 250));
    world.execute(UNIONPAY, &report("F1", 250, Some(&fee), &world)).unwrap();
    // Due on Monday, looked at on Tuesday.
    for _ in 0..3 {
        next_day(&mut world, 0);
    }
    settle(&mut world, day("2026-11-23")).unwrap();
    let missing = |world: &World| {
        world.sim.all::<BreakRow>().into_iter().find(|b| b.class == BreakClass::PayoutMissing).map(|b| b.is_open())
    };
    assert_eq!(missing(&world), Some(true));
    world.execute(UNIONPAY, &report("P1", 19_750, Some(&stated), &world)).unwrap();
    assert_eq!(missing(&world), Some(false));
    check(&world);
    // The channel gives the fee back: it is the institution's.
    let found = world.sim.all::<BreakRow>().into_iter().find(|b| b.class == BreakClass::FeeMismatch).unwrap();
    let propose = ProposeResolution {
        break_name: found.break_name.clone(),
        resolution: Resolution::Repay,
        reason: "r".into(),
        elder: None,
    };
    world.execute(CHEN, &propose).unwrap();
    let decide =
        DecideResolution { break_name: found.break_name, expected_version: 0, approve: true, reason: "r".into() };
    world.execute(LIU, &decide).unwrap();
    let date = next_day(&mut world, 0);
    settle(&mut world, date).unwrap();
    let rest = statement(&world, &date.to_string());
    assert_eq!((rest.brought_forward_fen, rest.net_fen), (50, 50));
    world.execute(UNIONPAY, &report("P2", 50, Some(&rest), &world)).unwrap();
    assert_eq!(world.posted(&payable()), 0);
    check(&world);
}

#[test]
fn a_cycle_is_refused() {
    let mut world = World::funded();
    let today = world.now.clearing_date();
    assert_eq!(said(settle(&mut world, today)), reason(Reason::FieldOutOfRange, "clearing_date"));
    assert_eq!(said(settle(&mut world, day("2026-11-19"))), reason(Reason::RunMissing, "clearing_date"));
    pay(&mut world, "ORDER0001", 20_000).unwrap();
    let friday = next_day(&mut world, 0);
    let stale = prepare(&world, friday);
    // What moved after the journal was read is not stated by accident.
    let mut short = stale.clone();
    short.activity.pop();
    assert_eq!(said(world.execute(CHEN, &short)), reason(Reason::BooksMoved, "clearing_date"));
    next_day(&mut world, 0);
    assert_eq!(
        said(world.execute(CHEN, &stale)),
        reason(Reason::FieldOutOfRange, "clearing_date"),
        "a later date was run"
    );
    world.set(PolicyKind::Channel, "unionpay", |body| body["settlement_cycle"] = "WEEKLY".into());
    assert_eq!(said(settle(&mut world, day("2026-11-21"))), reason(Reason::SettlementNotDue, "clearing_date"));
}

#[test]
fn a_payout_looked_at_again_keeps_its_break_up_to_date() {
    let mut world = World::funded();
    has_account(&mut world);
    pay(&mut world, "ORDER0001", 20_000).unwrap();
    let friday = next_day(&mut world, 0);
    let to_another = ReportPayout { account_last4: "9999".into(), ..report("P1", 19_800, None, &world) };
    let payout = world.execute(UNIONPAY, &to_another).unwrap().record();
    let found = |world: &World| world.sim.all::<BreakRow>().into_iter().find(|b| b.subject == payout.as_str()).unwrap();
    let (row, before) = (world.sim.get::<PayoutRow>(key![payout.to_string()]).unwrap(), found(&world));
    assert_eq!((row.state, &before.region, &before.fields.0[..]), (PayoutState::Unmatched, &None, &[][..]));
    let again = MatchPayout { payout: payout.clone() };
    assert_eq!(said(world.execute(CHEN, &again)), reason(Reason::StateNotAllowed, "payout"), "nothing has changed");

    // Its statement is made, for another account: the break says so, and what was proposed of it is void.
    let propose = ProposeResolution {
        break_name: before.break_name.clone(),
        resolution: Resolution::Justified,
        reason: "r".into(),
        elder: None,
    };
    world.execute("gateway/admins/li", &propose).unwrap();
    settle(&mut world, friday).unwrap();
    world.execute(CHEN, &again).unwrap();
    let now = found(&world);
    assert_eq!((now.state, now.step, now.resolution), (BreakState::New, BreakStep::Changed, None));
    assert_eq!((now.region, now.cause.as_str(), now.amount_fen), (Some(who(BEIJING)), "account_last4", 19_800));
    assert_eq!((now.opened_at_us, now.clearing_date), (before.opened_at_us, before.clearing_date));
    assert_eq!((world.posted(&payable()), world.sim.all::<PayoutRow>()[0].version), (19_800, 2), "booked nothing");
    assert_eq!(said(world.execute(CHEN, &again)), reason(Reason::StateNotAllowed, "payout"));
    check(&world);
}

#[test]
fn a_cycle_goes_back_no_further_than_two_months_and_rests_on_the_last() {
    let mut world = World::funded();
    pay(&mut world, "ORDER0001", 20_000).unwrap();
    let friday = next_day(&mut world, 0);
    let stale = prepare(&world, friday);
    settle(&mut world, friday).unwrap();
    next_day(&mut world, 0);
    let stale = PrepareSettlement { clearing_date: friday.plus_days(1), ..stale };
    assert_eq!(said(world.execute(CHEN, &stale)), reason(Reason::BooksMoved, "clearing_date"), "another cycle since");

    let mut world = World::funded();
    let today = world.now.clearing_date();
    run(&mut world, today.plus_days(-MOST_DAYS - 1), 0);
    run(&mut world, today.plus_days(-MOST_DAYS), 0);
    assert_eq!(
        said(settle(&mut world, today.plus_days(-MOST_DAYS - 1))),
        reason(Reason::FieldOutOfRange, "clearing_date")
    );
    settle(&mut world, today.plus_days(-MOST_DAYS)).unwrap();
}

/// Runs every day of November up to its end, and into December.
fn november(world: &mut World) {
    let mut date = day("2026-11-01");
    while date < day("2026-11-20") {
        run(world, date, 0);
        date = date.plus_days(1);
    }
    while world.now.date() < day("2026-12-02") {
        next_day(world, 0);
    }
}

fn propose(month: &str) -> ProposeClose {
    ProposeClose { book: book(), month: month.parse().unwrap(), reason: "月结".into() }
}

fn decide(month: &str, approve: bool) -> DecideClose {
    DecideClose { book: book(), month: month.parse().unwrap(), approve, reason: "复核".into() }
}

fn unmet<T: std::fmt::Debug>(result: Result<T, Rejection>) -> String {
    let refusal = result.expect_err("this is refused");
    assert_eq!(refusal.reason, Reason::CloseConditionUnmet, "{refusal}");
    refusal.vars.iter().find(|(name, _)| *name == "condition").unwrap().1.clone()
}

#[test]
fn a_month_is_closed_by_two_and_stays_as_it_was() {
    let mut world = World::funded();
    pay(&mut world, "ORDER0001", 20_000).unwrap();
    assert_eq!(unmet(world.execute(CHEN, &propose("2026-11"))), CloseCondition::MonthOver.as_str());
    november(&mut world);
    assert_eq!(unmet(world.execute(CHEN, &propose("2026-11"))), CloseCondition::Settled.as_str());
    settle(&mut world, day("2026-12-01")).unwrap();
    // The cycle ends in December and has November's payments: unpaid, it keeps November open.
    assert_eq!(unmet(world.execute(CHEN, &propose("2026-11"))), CloseCondition::Settled.as_str());
    let stated = statement(&world, "2026-12-01");
    world.execute(UNIONPAY, &report("P1", stated.net_fen, Some(&stated), &world)).unwrap();
    // So does what the channel is due as its fee.
    assert_eq!(unmet(world.execute(CHEN, &propose("2026-11"))), CloseCondition::Settled.as_str());
    let fee = fee_statement(&world, "2026-12-01");
    world.execute(UNIONPAY, &report("P2", fee.net_fen, Some(&fee), &world)).unwrap();
    assert_eq!(
        said(world.execute("regions/130000/admins/ma", &propose("2026-11"))),
        reason(Reason::NotYourRecord, "book")
    );
    world.execute(CHEN, &propose("2026-11")).unwrap();
    assert_eq!(said(world.execute(CHEN, &decide("2026-11", true))), reason(Reason::SamePerson, "month_close"));
    world.execute(LIU, &decide("2026-11", false)).unwrap();
    world.execute(LIU, &propose("2026-11")).unwrap();
    world.execute(CHEN, &decide("2026-11", true)).unwrap();
    let close: CloseRow = world.sim.get(key![book(), "2026-11".parse::<crate::time::Month>().unwrap()]).unwrap();
    assert_eq!((close.state, close.closing_sum_fen(), close.version), (CloseState::Closed, 0, 4));
    assert!(close.transfers > 0 && close.trial.0.iter().any(|line| line.account == prefund()));
    assert_eq!(said(world.execute(LIU, &propose("2026-11"))), reason(Reason::StateNotAllowed, "month"));
    check(&world);

    // December opens with November's closing balances.
    let december = world.sim.read(|s| trial(s, &book(), "2026-12".parse().unwrap())).unwrap().lines;
    let line = december.iter().find(|line| line.account == prefund()).unwrap();
    assert_eq!(line.closing_fen(), world.posted(&prefund()));
    assert_eq!(december.iter().map(|line| line.closing_fen()).sum::<i64>(), 0);

    // Whoever booked into it nevertheless is refused, and found.
    let mut late = world.sim.transfers.last().unwrap().clone();
    late.booking_month = "2026-11".parse().unwrap();
    let mut journal = Journal::default();
    world.sim.transfers.iter().chain([&late]).for_each(|t| journal.add(t));
    assert!(journal.check_trial(&[close]).iter().all(|v| v.identity == 9));
    assert_ne!(journal.check_trial(&world.sim.all::<CloseRow>()), []);
    struct Late;
    impl crate::decision::Command for Late {
        fn decide(
            &self,
            _: &crate::snapshot::Snapshot,
            call: &crate::decision::Call,
        ) -> Result<crate::decision::Decision, crate::snapshot::Stop> {
            let mut decision = crate::decision::Decision::new(call);
            let month = call.now.month().plus(-1);
            let transfer = crate::ledger::Transfer::posted(
                EntryKind::Recovered,
                Account::bank(&book()),
                Account::receivable(&book(), "x"),
                1,
                month,
            );
            decision.leaf("test.late", "tests/late", 1).book(transfer);
            Ok(decision)
        }
    }
    assert_eq!(said(world.execute(CHEN, &Late)).0, Reason::MonthClosed);
}

#[test]
fn conditions_of_a_close() {
    let closing = |spoil: &dyn Fn(&mut World)| {
        let mut world = World::funded();
        pay(&mut world, "ORDER0001", 20_000).unwrap();
        november(&mut world);
        settle(&mut world, day("2026-12-01")).unwrap();
        let stated = statement(&world, "2026-12-01");
        world.execute(UNIONPAY, &report("P1", stated.net_fen, Some(&stated), &world)).unwrap();
        let fee = fee_statement(&world, "2026-12-01");
        world.execute(UNIONPAY, &report("P2", fee.net_fen, Some(&fee), &world)).unwrap();
        spoil(&mut world);
        world.execute(CHEN, &propose("2026-11"))
    };
    assert!(closing(&|_| ()).is_ok());
    let disputed = |world: &mut World| {
        let run = world.sim.all::<RunRow>().into_iter().find(|run| run.clearing_date == day("2026-11-20")).unwrap();
        let mut view: crate::recon::ViewRow = world.sim.get(key![run.run, who(BEIJING)]).unwrap();
        view.state = crate::recon::ViewState::Disputed;
        world.sim.given(&view);
    };
    assert_eq!(unmet(closing(&disputed)), CloseCondition::NotDisputed.as_str());
    let incomplete = |world: &mut World| {
        let mut run = world.sim.all::<RunRow>().into_iter().find(|run| run.clearing_date == day("2026-11-05")).unwrap();
        run.state = RunState::Incomplete;
        world.sim.given(&run);
    };
    assert_eq!(unmet(closing(&incomplete)), CloseCondition::DaysRun.as_str());
    let broken = |world: &mut World| drop(world.execute(UNIONPAY, &report("P9", 5, None, world)).unwrap());
    let broken = |world: &mut World| {
        broken(world);
        let mut row = world.sim.all::<BreakRow>().into_iter().find(|b| b.is_open()).unwrap();
        row.clearing_date = day("2026-11-30");
        world.sim.given(&row);
    };
    assert_eq!(unmet(closing(&broken)), CloseCondition::NoOpenBreak.as_str());
    // What a region's book has no break for, its largest by who is concerned.
    let flooded = |most: &[(&str, i64)], limit_fen: i64| {
        closing(&|world| {
            world.set(PolicyKind::Accounting, "default", |body| body["most_open_break_fen"] = limit_fen.into());
            world.sim.given(&AlertRow {
                alert: "alerts/1".into(),
                channel: who(UNIONPAY),
                clearing_date: day("2026-11-30"),
                class: BreakClass::RegionMissing,
                cause: HEBEI.into(),
                state: AlertState::Open,
                members: 0,
                amount_fen: 0,
                unopened: 10,
                unopened_fen: 50,
                most_unopened_fen: Json(most.iter().map(|(of, fen)| ((*of).to_owned(), *fen)).collect()),
                seen_by: String::new(),
                opened_at_us: world.now,
                recorded_at_us: world.now,
                version: 1,
            });
        })
    };
    for most in [&[("110000/care_subsidy", 5)], &[("110000", 5)]] {
        assert_eq!(unmet(flooded(most, 0)), CloseCondition::NoOpenBreak.as_str(), "{most:?}");
        assert_eq!(unmet(flooded(most, 4)), CloseCondition::NoOpenBreak.as_str(), "{most:?}");
        assert!(flooded(most, 5).is_ok(), "{most:?}: the limit is of one break, not of the sum");
    }
    let others = &[("110000/other", 5), ("120000/care_subsidy", 5), ("130000", 5)];
    assert!(flooded(others, 0).is_ok(), "what others pay, and a row that Hebei alone has");
    let before = |world: &mut World| {
        let mut row = world.sim.all::<GeneralLedgerRow>().remove(0);
        row.booking_month = "2026-10".parse().unwrap();
        world.sim.given(&row);
    };
    assert_eq!(unmet(closing(&before)), CloseCondition::MonthBefore.as_str());
    let unpaid = |from: &str| {
        let from_date = day(from);
        closing(&move |world| {
            let row = statement(world, "2026-12-01");
            world.sim.given(&StatementRow { from_date, state: StatementState::Open, ..row });
        })
    };
    assert_eq!(unmet(unpaid("2026-11-30")), CloseCondition::Settled.as_str());
    assert!(unpaid("2026-12-01").is_ok(), "a cycle that began in December");
}

#[test]
fn vouchers_balance_and_name_the_regions_accounts() {
    let mut world = World::funded();
    pay(&mut world, "ORDER0001", 20_000).unwrap();
    let friday = next_day(&mut world, 0);
    settle(&mut world, friday).unwrap();
    let policy = world.sim.read(|s| AccountingPolicy::of_book(s, &book(), world.now.date())).unwrap();
    let rows = world.sim.all::<GeneralLedgerRow>();
    let vouchers = vouchers(&rows, "2026-11".parse().unwrap(), &policy);
    let numbers: Vec<i64> = vouchers.iter().map(|v| v.number).collect();
    assert_eq!(numbers, (1..=vouchers.len() as i64).collect::<Vec<_>>());
    for voucher in &vouchers {
        let debit: i64 = voucher.lines.iter().map(|l| l.debit_fen).sum();
        let credit: i64 = voucher.lines.iter().map(|l| l.credit_fen).sum();
        assert!(debit == credit && debit > 0 && voucher.attachments > 0, "{voucher:?}");
        assert!(voucher.lines.iter().all(|l| (l.debit_fen == 0) != (l.credit_fen == 0)));
    }
    let matched = vouchers.iter().find(|v| v.entry == EntryKind::Matched).unwrap();
    assert_eq!(matched.summary_zh, "对账相符，转应付机构款");
    let [debit, credit] = &matched.lines[..] else { panic!("{matched:?}") };
    assert_eq!((debit.account_zh.as_str(), debit.detail.as_str(), debit.debit_fen), ("渠道清算款", "unionpay", 20_000));
    assert_eq!((credit.account_code.as_str(), credit.credit_fen), ("2305", 20_000));
}

/// One step of a month; numbers choose among what exists.
#[derive(Clone, Debug)]
enum Step {
    Pay(i64),
    Refund(usize, i64),
    NextDay(i64),
    Settle,
    Payout(usize, i64),
    Bulk,
    Collect,
    Repay(bool),
    ClawBack(usize),
    Month,
}

fn step() -> impl Strategy<Value = Step> {
    let fen = || 1..30_000i64;
    let pick = || 0..8usize;
    prop_oneof![
        4 => fen().prop_map(Step::Pay),
        3 => (pick(), fen()).prop_map(|(at, fen)| Step::Refund(at, fen)),
        4 => prop_oneof![3 => Just(0i64), 1 => -20..50i64].prop_map(Step::NextDay),
        4 => Just(Step::Settle),
        3 => (pick(), prop_oneof![3 => Just(0i64), 1 => -500..500i64]).prop_map(|(at, off)| Step::Payout(at, off)),
        1 => Just(Step::Bulk),
        1 => Just(Step::Collect),
        2 => any::<bool>().prop_map(Step::Repay),
        1 => pick().prop_map(Step::ClawBack),
        1 => Just(Step::Month),
    ]
}

/// Closes every month that can be, and opens the next with a grant.
fn turn_of_the_month(world: &mut World) {
    let month = world.now.month();
    let close_on = month.plus(1).first_day().plus_days(1);
    while world.now.date() < close_on {
        next_day(world, 0);
    }
    let _ = settle(world, world.now.clearing_date().plus_days(-1));
    for open in world.sim.all::<StatementRow>().into_iter().filter(|s| s.state == StatementState::Open) {
        let reference = format!("M{}", world.sim.all::<PayoutRow>().len());
        world.execute(UNIONPAY, &report(&reference, open.net_fen, Some(&open), world)).unwrap();
    }
    let text = month.to_string();
    if world.execute(CHEN, &propose(&text)).is_ok() {
        world.execute(LIU, &decide(&text, true)).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_in_months(steps in prop::collection::vec(step(), 1..40), region_bears in any::<bool>()) {
        let mut world = World::funded();
        has_account(&mut world);
        world.set(PolicyKind::Accounting, "default", |body| {
            body["every_day"] = false.into();
            body["most_open_break_fen"] = 1_000_000.into();
        });
        if region_bears {
            world.set(PolicyKind::Channel, "unionpay", |body| body["fee_bearer"] = "REGION".into());
        }
        let closes = |world: &World| world.sim.all::<CloseRow>().into_iter().filter(CloseRow::is_closed).count();
        for (n, step) in steps.into_iter().enumerate() {
            let before = (world.sim.transfers.len(), closes(&world));
            let payments: Vec<PaymentRow> =
                world.sim.all::<PaymentRow>().into_iter().filter(|p| p.state == PaymentState::Confirmed).collect();
            let statements = world.sim.all::<StatementRow>();
            let open: Vec<&StatementRow> = statements.iter().filter(|s| s.state == StatementState::Open).collect();
            match step {
                Step::Pay(fen) => drop(pay(&mut world, &format!("ORDER{n:04}"), fen)),
                Step::Refund(at, fen) if !payments.is_empty() => {
                    drop(refund(&mut world, &payments[at % payments.len()], &format!("REFUND{n:03}"), fen));
                }
                Step::NextDay(more_fen) => drop(next_day(&mut world, more_fen)),
                Step::Settle => {
                    let newest = world.sim.all::<RunRow>().iter().map(|run| run.clearing_date).max();
                    if let Some(date) = newest {
                        drop(settle(&mut world, date));
                    }
                }
                Step::Payout(at, off) if !open.is_empty() => {
                    let of = open[at % open.len()];
                    let amount_fen = of.net_fen + off;
                    drop(world.execute(UNIONPAY, &report(&format!("P{n}"), amount_fen, Some(of), &world)));
                }
                Step::Bulk if !open.is_empty() => {
                    let sum = open.iter().map(|s| s.net_fen).sum();
                    world.execute(UNIONPAY, &report(&format!("P{n}"), sum, None, &world)).unwrap();
                }
                Step::Collect => {
                    if let Some(carried) = statements.iter().find(|s| s.state == StatementState::Carried) {
                        world.execute(UNIONPAY, &report(&format!("P{n}"), carried.net_fen, Some(carried), &world)).unwrap();
                    }
                }
                Step::Repay(repay) => {
                    let breaks = world.sim.all::<BreakRow>();
                    if let Some(found) = breaks.iter().find(|b| b.is_open() && b.class == BreakClass::FeeMismatch) {
                        let resolution = if repay { Resolution::Repay } else { Resolution::InstitutionBears };
                        let propose = ProposeResolution {
                            break_name: found.break_name.clone(),
                            resolution,
                            reason: "r".into(),
                            elder: None,
                        };
                        if world.execute(CHEN, &propose).is_ok() {
                            let decide = DecideResolution {
                                break_name: found.break_name.clone(),
                                expected_version: 0,
                                approve: true,
                                reason: "r".into(),
                            };
                            world.execute(LIU, &decide).unwrap();
                        }
                    }
                }
                Step::ClawBack(at) => {
                    let grants = world.sim.all::<GrantRow>();
                    let grant = name(&grants[at % grants.len()].grant);
                    drop(world.execute(BEIJING, &ClawBackGrant { grant, reason: "r".into() }));
                }
                Step::Month => {
                    turn_of_the_month(&mut world);
                    let grant = grant(&world.now.month().to_string());
                    drop(world.execute(BEIJING, &grant));
                }
                Step::Refund(..) | Step::Payout(..) | Step::Bulk => {}
            }
            check(&world);
            prop_assert!(closes(&world) >= before.1 && world.sim.transfers.len() >= before.0);
        }
        // In the end everything can be settled to the fen.
        world.now = Timestamp(world.now.0 + HOUR_US);
        next_day(&mut world, 0);
        let newest = world.now.clearing_date().plus_days(-1);
        drop(settle(&mut world, newest));
        check(&world);
    }
}
