//! Bank statements on the simulated world: balances and payouts, over days, corrections and repetitions.

use super::*;
use crate::recon::bank::{BankEntryRow, BankStatementRow, EntryDirection, EntryStatus};
use crate::recon::proof::ProofRule;
use crate::settlement::{PayoutProofState, PayoutRow, PayoutRule, PayoutState, end_to_end_id};

const ACCOUNT: &str = "11001018400000001234";

/// The world's channel delivers statements of its prefund, and payouts are to be on them after two working days.
pub(super) fn world() -> World {
    let mut world = World::new();
    let mut body = policy::defaults().into_iter().find(|d| d.scope == "unionpay").unwrap().body;
    body["bank_accounts"] =
        serde_json::json!([{"account": ACCOUNT, "ledger": "prefund", "books": ["110000/care_subsidy"]}]);
    body["payout_proof"] = serde_json::json!({"working_days": 2});
    set(&mut world, body);
    world
}

fn set(world: &mut World, body: serde_json::Value) {
    let (kind, scope, effective_from) = (PolicyKind::Channel, "unionpay".into(), date("2026-01-01"));
    let set = SetPolicy { kind, scope, effective_from, body, reason: "test".into() };
    world.execute("gateway/admins/setup", &set).unwrap();
}

/// What a transaction of a statement says: entry, part, amount out, end-to-end id.
pub(super) type Line<'a> = (i64, i64, i64, &'a str);

/// The bank's file of a date: its closing balance and entries.
pub(super) fn delivered(world: &mut World, file: &str, on: Date, closing_fen: i64, lines: &[Line]) -> RunFile {
    let channel = world.channel.clone();
    world.sim.given(&FileRow {
        file: file.into(),
        sender: channel.clone(),
        channel: channel.clone(),
        clearing_date: on,
        format: FileFormat::Camt053,
        content: FileContent::Statement,
        merchant_id: String::new(),
        file_name: String::new(),
        size_bytes: 1,
        sha256: "00".repeat(32),
        stored_sha256: String::new(),
        wrapped_key: String::new(),
        state: FileState::Received,
        rows: lines.len() as i64,
        rejected_rows: 0,
        rejections: Json(vec![]),
        refusal: None,
        refusal_detail: String::new(),
        superseded_by: None,
        recorded_at_us: world.now,
        version: 1,
    });
    world.sim.given(&BankStatementRow {
        file: file.into(),
        statement: 0,
        channel: channel.clone(),
        clearing_date: on,
        reference: "S".into(),
        account: ACCOUNT.into(),
        opening_fen: None,
        opening_on: None,
        closing_fen: Some(closing_fen),
        closing_on: Some(on),
        credit_fen: 0,
        debit_fen: 0,
        entries: lines.len() as i64,
    });
    for (entry, part, paid_fen, id) in lines {
        world.sim.given(&BankEntryRow {
            file: file.into(),
            entry: *entry,
            part: *part,
            statement: 0,
            channel: channel.clone(),
            direction: if *paid_fen < 0 { EntryDirection::Credit } else { EntryDirection::Debit },
            amount_fen: paid_fen.abs(),
            entry_fen: -paid_fen,
            entry_status: EntryStatus::Booked,
            is_reversal: *paid_fen < 0,
            booked_on: on,
            value_on: None,
            end_to_end_id: (*id).into(),
            bank_reference: String::new(),
            counterparty: String::new(),
            counterparty_last4: String::new(),
        });
    }
    let parsed = Arc::new(ParsedFile { has_no_totals: true, ..ParsedFile::default() });
    RunFile { file: file.into(), sha256: "00".repeat(32), merchant_id: String::new(), supersedes: vec![], parsed }
}

/// `file` takes the place of `old`.
pub(super) fn corrects(world: &mut World, file: RunFile, old: &str) -> RunFile {
    let row: FileRow = world.sim.get(key![old.to_owned()]).unwrap();
    world.sim.given(&FileRow { state: FileState::Superseded, superseded_by: Some(file.file.clone()), ..row });
    RunFile { supersedes: vec![old.into()], ..file }
}

pub(super) fn run_on(world: &mut World, on: Date, file: RunFile) -> RunRow {
    let start = StartRun { clearing_date: on, ..world.start(vec![file]) };
    let run = world.run_with(&start);
    // The same again changes nothing.
    let rows = |world: &World| (world.sim.all::<BreakRow>(), world.sim.all::<PayoutRow>());
    let (before, booked) = (rows(world), world.sim.transfers.len());
    let again = world.run_with(&start);
    assert_eq!((rows(world), world.sim.transfers.len()), (before, booked), "the same statement twice");
    assert_eq!((again.state, again.breaks_opened, again.breaks_open), (run.state, 0, run.breaks_open));
    run
}

pub(super) fn payout(world: &mut World, n: u64, amount_fen: i64, id: &str) -> String {
    let row = PayoutRow {
        payout: format!("payouts/{n}"),
        channel: world.channel.clone(),
        reference: n.to_string(),
        end_to_end_id: id.into(),
        institution: None,
        account_last4: String::new(),
        amount_fen,
        paid_on: date(DAY),
        state: PayoutState::Unmatched,
        rule: PayoutRule::None,
        statements: Json(vec![format!("settlementStatements/{n}")]),
        region: Some(region("110000")),
        break_name: None,
        proof: PayoutProofState::Awaited,
        proof_rule: None,
        proof_file: None,
        bank_entries: Json(vec![]),
        proven_on: None,
        recorded_at_us: world.now,
        version: 1,
    };
    world.sim.given(&row);
    row.payout
}

fn proof(world: &World, payout: &str) -> (PayoutProofState, Option<ProofRule>, Vec<String>) {
    let row: PayoutRow = world.sim.get(key![payout.to_owned()]).unwrap();
    (row.proof, row.proof_rule, row.bank_entries.0)
}

/// Class, subject and amount of the open breaks.
pub(super) fn open(world: &World) -> Vec<(BreakClass, String, i64)> {
    let open = world.breaks().into_iter().filter(BreakRow::is_open);
    let mut open: Vec<_> = open.map(|b| (b.class, b.subject, b.amount_fen)).collect();
    open.sort();
    open
}

/// Ten million fen are with the channel.
pub(super) const PLACED_FEN: i64 = 10_000_000;

/// More is placed with the channel, on a day.
fn placed(world: &mut World, amount_fen: i64, on: Date) {
    let (book, channel, month) = (book(), world.channel.clone(), world.now.month());
    let (prefund, bank) = (Account::prefund(&book, &channel), Account::bank(&book));
    world.setup(vec![Transfer::posted(EntryKind::ChannelFunded, prefund, bank, amount_fen, month).on(on)]);
}

#[test]
fn a_closing_balance_is_compared_with_the_ledger_of_its_day() {
    let (monday, tuesday) = (date(DAY), date(DAY).plus_days(1));
    let mut world = world();
    let file = delivered(&mut world, "files/s1", monday, PLACED_FEN, &[]);
    assert_eq!(run_on(&mut world, monday, file.clone()).state, RunState::Balanced);

    let corrected = delivered(&mut world, "files/s1b", monday, PLACED_FEN + 300, &[]);
    let file = corrects(&mut world, corrected, "files/s1");
    run_on(&mut world, monday, file.clone());
    let mismatch = |file: &str, fen: i64| (BreakClass::BalanceMismatch, format!("files/{file}/statements/0"), fen);
    assert_eq!(open(&world), [mismatch("s1b", 300)]);
    let found = world.breaks().remove(0);
    let fields = &found.fields.0[0];
    assert_eq!((fields.ledger.as_str(), fields.channel.as_str()), ("10000000", "10000300"));

    // Tuesday's differs by more: the same break, carried on.
    let second = delivered(&mut world, "files/s2", tuesday, PLACED_FEN + 500, &[]);
    run_on(&mut world, tuesday, second.clone());
    assert_eq!(open(&world), [mismatch("s2", 500)]);
    assert_eq!(world.breaks().remove(0).break_name, found.break_name);
    // Monday run again says nothing older than that.
    run_on(&mut world, monday, file.clone());
    assert_eq!(open(&world), [mismatch("s2", 500)]);

    // A booking of a later day leaves it; one of the day mends it.
    placed(&mut world, 500, tuesday.plus_days(1));
    run_on(&mut world, tuesday, second.clone());
    assert_eq!(open(&world), [mismatch("s2", 500)]);
    placed(&mut world, 500, tuesday);
    run_on(&mut world, tuesday, second);
    assert_eq!(open(&world), []);
    assert_eq!(world.breaks().remove(0).resolution, Some(Resolution::Cleared));
}

#[test]
fn what_is_repaid_from_suspense_is_on_the_statement_of_its_own_day() {
    let monday = date(DAY);
    let mut world = world();
    world.matched("ORDER001", 60_000);
    world.lines[0].fee_fen += 30;
    let with_file = |world: &mut World, name: &str, on: Date, closing_fen: i64| {
        let statement = delivered(world, name, on, closing_fen, &[]);
        if on == monday { vec![world.file("files/f1"), statement] } else { vec![statement] }
    };
    let monday_files = with_file(&mut world, "files/s1", monday, PLACED_FEN);
    let start = StartRun { clearing_date: monday, ..world.start(monday_files) };
    world.run_with(&start);
    assert_eq!(open(&world), [(BreakClass::FeeMismatch, "payments/ORDER001".into(), 30)]);
    let booked = world.resolve(BreakClass::FeeMismatch, Resolution::Repay, None);
    assert_eq!(booked, [(EntryKind::FeeMoreRepaid, 30)]);
    world.run_with(&start);
    assert_eq!(open(&world), [], "the old statement is as right as it was");
    let today = world.now.date();
    world.now = today.plus_days(1).starts_at().plus_us(9 * HOUR_US);
    let files = with_file(&mut world, "files/s2", today, PLACED_FEN + 30);
    let start = StartRun { clearing_date: today, ..world.start(files) };
    assert_eq!(world.run_with(&start).state, RunState::Balanced);
}

#[test]
fn a_later_statement_that_agrees_clears_the_break() {
    let (monday, tuesday) = (date(DAY), date(DAY).plus_days(1));
    let mut world = world();
    let file = delivered(&mut world, "files/s1", monday, 1, &[]);
    run_on(&mut world, monday, file.clone());
    assert_eq!(open(&world).len(), 1);
    let second = delivered(&mut world, "files/s2", tuesday, PLACED_FEN, &[]);
    assert_eq!(run_on(&mut world, tuesday, second).state, RunState::Balanced);
    assert_eq!(open(&world), []);
    run_on(&mut world, monday, file);
    assert_eq!(open(&world), [], "an older statement opens nothing");
}

#[test]
fn payouts_are_proven_by_ids_amounts_and_bulk_entries() {
    let monday = date(DAY);
    let mut world = world();
    let by_id = payout(&mut world, 1, 100, "A");
    let by_statement = payout(&mut world, 2, 200, "");
    let by_amount = payout(&mut world, 3, 300, "LOST");
    let in_bulk = [payout(&mut world, 4, 450, ""), payout(&mut world, 5, 550, "")];
    let of_statement = end_to_end_id("settlementStatements/2");
    let lines = [
        (1, 0, 100, "A"),
        (2, 1, 200, of_statement.as_str()),
        (2, 2, 77, "NOBODYS"),
        (3, 0, 300, ""),
        (4, 0, 1_000, ""),
        (5, 0, -13, "BACK"),
    ];
    let file = delivered(&mut world, "files/s1", monday, PLACED_FEN, &lines);
    run_on(&mut world, monday, file.clone());
    use PayoutProofState::*;
    let by = |rule, entry: &str| (Proven, Some(rule), vec![format!("files/s1#{entry}")]);
    assert_eq!(proof(&world, &by_id), by(ProofRule::EndToEndId, "1"));
    assert_eq!(proof(&world, &by_statement), by(ProofRule::StatementIds, "2.1"));
    assert_eq!(proof(&world, &by_amount), by(ProofRule::AmountAndDate, "3"));
    for payout in &in_bulk {
        assert_eq!(proof(&world, payout), by(ProofRule::Bulk, "4"));
    }
    let unexpected = |entry: &str, fen: i64| (BreakClass::PayoutMismatch, format!("files/s1#{entry}"), fen);
    assert_eq!(open(&world), [unexpected("2.2", 77), unexpected("5", 13)]);

    // The channel tells of one of them the day after: the break is over by itself.
    let late = payout(&mut world, 6, 77, "NOBODYS");
    let tuesday = delivered(&mut world, "files/s2", monday.plus_days(1), PLACED_FEN, &[]);
    run_on(&mut world, monday.plus_days(1), tuesday);
    assert_eq!(proof(&world, &late), by(ProofRule::EndToEndId, "2.2"));
    assert_eq!(open(&world), [unexpected("5", 13)]);

    // A corrected statement takes the place of the first: what it no longer shows is awaited again.
    let lines = [(1, 0, 100, "A"), (2, 0, 999, "OTHER")];
    let corrected = delivered(&mut world, "files/s3", monday, PLACED_FEN, &lines);
    let corrected = corrects(&mut world, corrected, "files/s1");
    run_on(&mut world, monday, corrected);
    assert_eq!(proof(&world, &by_id), (Proven, Some(ProofRule::EndToEndId), vec!["files/s3#1".into()]));
    assert_eq!(proof(&world, &by_amount), (Awaited, None, vec![]));
    assert_eq!(proof(&world, &late), (Awaited, None, vec![]));
    assert_eq!(open(&world), [(BreakClass::PayoutMismatch, "files/s3#2".into(), 999)]);
}

#[test]
fn a_payout_that_no_statement_shows_in_time_is_missing_until_one_does() {
    let monday = date(DAY);
    let mut world = world();
    let lost = payout(&mut world, 1, 100, "A");
    for (n, expected) in [(0, 0), (1, 0), (2, 1)] {
        let on = monday.plus_days(n);
        world.now = on.plus_days(3).starts_at().plus_us(9 * HOUR_US);
        let file = delivered(&mut world, &format!("files/s{n}"), on, PLACED_FEN, &[]);
        run_on(&mut world, on, file);
        assert_eq!(open(&world).len(), expected, "{on}");
    }
    assert_eq!(open(&world), [(BreakClass::PayoutMissing, lost.clone(), 100)]);
    // The bank has another amount, then takes it back, then pays right: one break for life.
    let name = world.breaks().remove(0).break_name;
    for (n, lines, expected) in [
        (3, vec![(1, 0, 90, "A")], Some((BreakClass::PayoutMismatch, 10))),
        (4, vec![(1, 0, -90, "A")], Some((BreakClass::PayoutMismatch, 100))),
        (5, vec![(1, 0, 100, "A")], None),
    ] {
        let on = monday.plus_days(n);
        world.now = on.plus_days(3).starts_at().plus_us(9 * HOUR_US);
        let file = delivered(&mut world, &format!("files/s{n}"), on, PLACED_FEN, &lines);
        run_on(&mut world, on, file);
        let left: Vec<_> = world.breaks().into_iter().filter(BreakRow::is_open).collect();
        assert_eq!(left.first().map(|b| (b.class, b.amount_fen)), expected, "{on}");
        assert!(left.iter().all(|b| b.break_name == name));
    }
    let row: PayoutRow = world.sim.get(key![lost]).unwrap();
    assert_eq!(
        (row.proof, row.bank_entries.0.len(), row.proven_on),
        (PayoutProofState::Proven, 3, Some(monday.plus_days(5)))
    );
}

#[test]
fn what_people_resolved_stays_resolved_and_what_no_policy_asks_is_not_judged() {
    let monday = date(DAY);
    let mut world = world();
    let file = delivered(&mut world, "files/s1", monday, PLACED_FEN, &[(1, 0, 5, "")]);
    run_on(&mut world, monday, file.clone());
    world.resolve(BreakClass::PayoutMismatch, Resolution::Justified, None);
    run_on(&mut world, monday, file.clone());
    assert_eq!(open(&world), []);

    let mut world = World::new();
    payout(&mut world, 1, 100, "A");
    let file = delivered(&mut world, "files/s1", monday, 1, &[(1, 0, 5, "")]);
    assert_eq!(run_on(&mut world, monday, file).state, RunState::Balanced);
    assert_eq!(open(&world), []);
}

#[test]
fn money_placed_with_a_channel_is_known_by_its_reference() {
    use crate::entitlement::{MoneyEventKind, MoneyEventRow};
    let monday = date(DAY);
    let mut world = world();
    let mut body = policy::defaults().into_iter().find(|d| d.scope == "unionpay").unwrap().body;
    body["bank_accounts"] =
        serde_json::json!([{"account": ACCOUNT, "ledger": "bank", "books": ["110000/care_subsidy"]}]);
    body["payout_proof"] = serde_json::json!({"working_days": 2, "fallbacks": []});
    set(&mut world, body);
    world.sim.given(&MoneyEventRow {
        event: "moneyEvents/1".into(),
        kind: MoneyEventKind::ChannelFunded,
        region: region("110000"),
        programme: "care_subsidy".into(),
        reporter: region("110000"),
        channel: Some(world.channel.clone()),
        person: None,
        funder_division: String::new(),
        amount_fen: PLACED_FEN,
        occurred_on: monday,
        reference: "F-2026-11".into(),
        recorded_at_us: world.now,
        version: 1,
    });
    let lines = [(1, 0, PLACED_FEN, "F-2026-11"), (2, 0, PLACED_FEN - 1, "F-2026-11"), (3, 0, 8, "F-OTHER")];
    let file = delivered(&mut world, "files/s1", monday, -PLACED_FEN, &lines);
    run_on(&mut world, monday, file);
    let unexpected = |entry: i64, fen: i64| (BreakClass::PayoutMismatch, format!("files/s1#{entry}"), fen);
    assert_eq!(open(&world), [unexpected(2, PLACED_FEN - 1), unexpected(3, 8)]);
}
