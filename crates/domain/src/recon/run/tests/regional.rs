//! Regions' books: what each way of standing apart opens, clears and shows; that no money moves for it.

use super::super::super::regional::ThreeWay;
use super::super::super::rows::{AlertRow, AlertState, UnitRow};
use super::streamed::check;
use super::*;

const HEBEI: &str = "regions/130000";

/// A book of the lines given.
pub(super) fn book_of(region: &str, name: &str, lines: Vec<SettlementLine>) -> RunBook {
    let mut parsed = ParsedFile { lines: lines.into_iter().collect(), ..ParsedFile::default() };
    parsed.trailer = Some(parsed.totals());
    let file = RunFile {
        file: name.into(),
        sha256: "11".repeat(32),
        merchant_id: String::new(),
        supersedes: vec![],
        parsed: Arc::new(parsed),
    };
    RunBook { region: region.parse().unwrap(), file }
}

impl World {
    /// Hebei's book says what the file says, but for what is changed.
    fn hebei_has(&mut self, change: impl FnOnce(&mut Vec<SettlementLine>)) {
        let mut lines = self.lines.clone();
        // The channel's fees are no affair of the region's.
        lines.iter_mut().for_each(|line| line.fee_fen = 0);
        change(&mut lines);
        self.books.retain(|book| book.region.as_str() != HEBEI);
        self.books.push(book_of(HEBEI, "files/b1", lines));
    }

    /// Class, rule and region of the open breaks about books.
    fn book_breaks(&self) -> Vec<BreakRow> {
        self.breaks().into_iter().filter(|b| b.is_open() && b.book_region.is_some()).collect()
    }

    /// The lines of the newest run on units that are not agreed on.
    fn three_way(&self, run: &RunRow) -> Vec<(String, ThreeWay, Option<BreakClass>)> {
        let units = self.sim.all::<UnitRow>().into_iter().filter(|u| u.run == run.run);
        let lines = units.filter_map(|unit| {
            let line: serde_json::Value = serde_json::from_str(&unit.body).unwrap();
            let result = line["result"].as_str()?.parse().unwrap();
            assert_eq!((unit.region, unit.institution_region), (Some(region("130000")), None));
            assert_eq!(unit.break_name.is_some(), line["difference"].is_string());
            let class = line["difference"].as_str().map(|class| class.parse().unwrap());
            Some((line["order_id"].as_str().unwrap().to_owned(), result, class))
        });
        lines.collect()
    }

    fn expect_books(&mut self, codes: &[&str]) {
        let mut body = policy::defaults().into_iter().find(|d| d.scope == "unionpay").unwrap().body;
        body["expected_books"] = codes.iter().map(|code| format!("regions/{code}")).collect();
        let (kind, scope, effective_from) = (PolicyKind::Channel, "unionpay".into(), date("2026-01-01"));
        let set = SetPolicy { kind, scope, effective_from, body, reason: "test".into() };
        self.execute("gateway/admins/setup", &set).unwrap();
    }
}

#[test]
fn a_book_is_at_fault_where_neither_other_side_bears_it_out() {
    use BreakClass::{AmountMismatch, PartyMismatch, RegionMissing, RegionOnly, StatusMismatch};
    use ThreeWay::{AllAgree, AllApart, ChannelApart, LedgerApart, RegionApart};
    type Plant = fn(&mut World);
    type Case = (&'static str, Plant, ThreeWay, Option<BreakClass>, i64);
    let cases: Vec<Case> = vec![
        ("three agree", |w| w.hebei_has(|_| {}), AllAgree, None, 0),
        (
            "another time and no fee agree",
            |w| w.hebei_has(|l| l[0].transaction_time = l[0].transaction_time.plus_us(60_000_000)),
            AllAgree,
            None,
            0,
        ),
        ("the region lacks it", |w| w.hebei_has(|l| drop(l.remove(0))), RegionApart, Some(RegionMissing), 60_000),
        ("another amount", |w| w.hebei_has(|l| l[0].amount_fen = 59_000), RegionApart, Some(AmountMismatch), 1_000),
        (
            "twice: the rows add up",
            |w| w.hebei_has(|l| l.push(SettlementLine { line: 9, ..l[0].clone() })),
            RegionApart,
            Some(AmountMismatch),
            60_000,
        ),
        (
            "another payee",
            |w| w.hebei_has(|l| l[0].institution = OTHER_USCC.into()),
            RegionApart,
            Some(PartyMismatch),
            60_000,
        ),
        (
            "another merchant, and amount",
            |w| w.hebei_has(|l| (l[0].merchant_id, l[0].amount_fen) = ("M2".into(), 1)),
            RegionApart,
            Some(PartyMismatch),
            60_000,
        ),
        (
            "failed, says the region",
            |w| w.hebei_has(|l| l[0].status = LineStatus::Failed),
            RegionApart,
            Some(StatusMismatch),
            60_000,
        ),
        (
            "the channel says another amount",
            |w| {
                w.hebei_has(|_| {});
                w.lines[0].amount_fen += 1;
            },
            ChannelApart,
            None,
            0,
        ),
        (
            "the region sides with the channel",
            |w| {
                w.lines[0].amount_fen += 1;
                w.hebei_has(|_| {});
            },
            LedgerApart,
            None,
            0,
        ),
        (
            "three amounts",
            |w| {
                w.lines[0].amount_fen += 1;
                w.hebei_has(|l| l[0].amount_fen += 1);
            },
            AllApart,
            Some(AmountMismatch),
            2,
        ),
        ("the ledger alone", |w| w.lines.clear(), LedgerApart, None, 0),
        (
            "not in the channel's file",
            |w| {
                w.hebei_has(|_| {});
                w.lines.clear();
            },
            ChannelApart,
            None,
            0,
        ),
    ];
    for (name, plant, result, class, amount_fen) in cases {
        let mut world = World::new();
        world.matched("ORDER001", 60_000);
        world.hebei_has(Vec::clear);
        plant(&mut world);
        let run = world.run();
        let expected: Vec<_> =
            (result != AllAgree).then(|| ("ORDER001".to_owned(), result, class)).into_iter().collect();
        assert_eq!(world.three_way(&run), expected, "{name}");
        let breaks = world.book_breaks();
        assert_eq!(breaks.iter().map(|b| b.class).collect::<Vec<_>>(), Vec::from_iter(class), "{name}");
        for row in &breaks {
            assert_eq!((row.amount_fen, row.subject.as_str()), (amount_fen, "payments/ORDER001"), "{name}");
            assert_eq!((row.rule.as_str(), &row.book_region), (result.as_str(), &Some(region("130000"))), "{name}");
            assert_eq!((&row.region, &row.institution_region), (&Some(region("110000")), &row.book_region), "{name}");
            assert!(row.stakes.0.is_empty() && row.cause.starts_with(HEBEI), "{name}");
            let values = row.fields.0.iter().all(|f| f.ledger != f.region);
            assert!(values && (row.fields.0.is_empty() == (row.class == RegionMissing)), "{name}: {:?}", row.fields);
        }
        check(&world, &run);
        let (transfers, before) = (world.sim.transfers.len(), world.breaks());
        let again = world.run();
        assert_eq!((world.sim.transfers.len(), &again.root), (transfers, &run.root), "{name}, again");
        assert_eq!(world.breaks(), before, "{name}, again");
    }

    // A row that nobody else has, and one that says nothing moved.
    let mut world = World::new();
    world.matched("ORDER001", 60_000);
    world.hebei_has(|l| {
        l.push(SettlementLine { line: 9, order_id: "ALONE001".into(), ..l[0].clone() });
        let failed = LineStatus::Failed;
        l.push(SettlementLine { line: 10, order_id: "ALONE002".into(), status: failed, ..l[0].clone() });
    });
    let run = world.run();
    assert_eq!(world.three_way(&run), [("ALONE001".to_owned(), RegionApart, Some(RegionOnly))]);
    let [alone] = &world.book_breaks()[..] else { panic!("one") };
    assert_eq!((alone.subject.as_str(), &alone.region), ("files/b1#9", &Some(region("130000"))));
    assert_eq!((&alone.institution_region, alone.amount_fen), (&None, 60_000));
    let leg = &run.region_legs.0[0];
    assert_eq!((leg.counts.rows, leg.counts.matched, leg.counts.broken), (3, 2, 1));
    check(&world, &run);
}

#[test]
fn a_book_costs_nobody_money_and_is_in_its_regions_view_alone() {
    let plant = |world: &mut World| {
        world.matched("ORDER001", 60_000);
        world.payment("ORDER002", 7_000, PaymentState::Reserved);
        world.line("ORDER002", 7_000);
        world.unknown("ORDER003", 900);
    };
    let (mut without, mut with) = (World::new(), World::new());
    plant(&mut without);
    plant(&mut with);
    with.hebei_has(|lines| lines.truncate(1));
    let (plain, run) = (without.run(), with.run());
    assert_eq!(with.sim.transfers.len(), without.sim.transfers.len());
    assert_eq!((&plain.ledger_leg, &plain.channel_leg), (&run.ledger_leg, &run.channel_leg));
    let views = |world: &World, code: &str| {
        let views = world.sim.all::<ViewRow>().into_iter();
        views.filter(|view| view.participant == region(code)).map(|v| (v.rows, v.root)).collect::<Vec<_>>()
    };
    assert_eq!(views(&with, "110000"), views(&without, "110000"));
    let (rows, own) = (views(&without, "130000")[0].0, views(&with, "130000"));
    // The book as a whole; the reservation that the file confirmed and the region lacks; the unknown row,
    // on which the region sides with the ledger.
    assert_eq!(own[0].0, rows + 3);
    use ThreeWay::{ChannelApart, RegionApart};
    let missing = ("ORDER002".to_owned(), RegionApart, Some(BreakClass::RegionMissing));
    assert_eq!(with.three_way(&run), [missing, ("ORDER003".to_owned(), ChannelApart, None)]);
    check(&with, &run);
    let again = with.run();
    assert_eq!(again.root, run.root);
}

#[test]
fn a_corrected_book_clears_and_an_absent_one_is_not_an_empty_one() {
    let mut world = World::new();
    world.matched("ORDER001", 60_000);
    world.expect_books(&["110000", "130000"]);
    let run = world.run();
    assert_eq!(run.state, RunState::WithBreaks, "an absent book holds up nothing, and is a break");
    assert_eq!(run.region_legs.0.iter().filter(|leg| leg.file.is_none()).count(), 2);
    let absent = world.book_breaks();
    let subject = format!("channels/unionpay {DAY} {HEBEI}");
    assert!(absent.iter().all(|b| b.class == BreakClass::FileMissing && b.region == b.book_region));
    assert!(absent.iter().any(|b| b.subject == subject), "{absent:?}");

    // Empty: it lacks the row. Beijing's is right.
    world.hebei_has(Vec::clear);
    world.books.push(book_of("regions/110000", "files/b9", world.lines.clone()));
    let run = world.run();
    let [missing] = &world.book_breaks()[..] else { panic!("{:?}", world.book_breaks()) };
    assert_eq!((missing.class, missing.priority), (BreakClass::RegionMissing, 3));
    assert_eq!(missing.due_on, date("2026-11-24"), "five working days, and the next");
    check(&world, &run);

    // Wrong: the same break, of another class.
    world.hebei_has(|lines| lines[0].amount_fen -= 1);
    world.run();
    let [changed] = &world.book_breaks()[..] else { panic!("{:?}", world.book_breaks()) };
    assert_eq!((&changed.break_name, changed.class), (&missing.break_name, BreakClass::AmountMismatch));

    // Right, then wrong again.
    world.hebei_has(|_| {});
    world.run();
    let cleared: BreakRow = world.sim.get(key![missing.break_name.clone()]).unwrap();
    assert_eq!((cleared.state, cleared.resolution), (BreakState::Resolved, Some(Resolution::Cleared)));
    world.hebei_has(Vec::clear);
    world.run();
    let [reopened] = &world.book_breaks()[..] else { panic!("{:?}", world.book_breaks()) };
    assert_eq!((&reopened.break_name, reopened.opened_at_us), (&missing.break_name, missing.opened_at_us));
}

#[test]
fn a_flood_of_one_book_opens_no_more_breaks_than_the_policy_allows() {
    let mut world = World::new();
    world.breaks_policy(|body| (body["most_book_breaks"], body["alert_from"]) = (3.into(), 20.into()));
    for n in 0..5 {
        world.matched(&format!("ORDER00{n}"), 1_000);
    }
    world.hebei_has(Vec::clear);
    let run = world.run();
    let book_breaks = |world: &World| Vec::from_iter(world.book_breaks().into_iter().map(|b| b.subject));
    assert_eq!(book_breaks(&world).len(), 3);
    assert_eq!(run.breaks_opened, 3);
    let alert = |world: &World| -> AlertRow {
        let alerts: Vec<AlertRow> = world.sim.all();
        let [alert] = &alerts[..] else { panic!("{alerts:?}") };
        alert.clone()
    };
    let told = alert(&world);
    assert_eq!((told.class, told.cause.as_str()), (BreakClass::RegionMissing, HEBEI));
    assert_eq!((told.members, told.amount_fen, told.unopened, told.unopened_fen), (3, 3_000, 2, 2_000));
    assert_eq!(told.most_unopened_fen.0, BTreeMap::from([("110000/care_subsidy".to_owned(), 1_000)]));
    let named = world.sim.all::<UnitRow>().into_iter().filter(|unit| unit.break_name.is_some()).count();
    assert_eq!(named, 3, "no row names a break that is not there");
    // The view says all, and its root is that of any other computation.
    check(&world, &run);
    let before = (world.breaks(), told);
    world.run();
    assert_eq!((world.breaks(), alert(&world)), before, "again");

    // Another date's run leaves it; as many as are resolved come after.
    let tuesday = date(DAY).plus_days(1);
    let books = std::mem::take(&mut world.books);
    let empty = RunFile {
        parsed: Arc::new(ParsedFile { trailer: Some(ControlTotals::default()), ..ParsedFile::default() }),
        ..world.file("files/f9")
    };
    let other = StartRun { clearing_date: tuesday, ..world.start(vec![empty]) };
    world.run_with(&other);
    assert_eq!(alert(&world).unopened, 2);
    world.books = books;
    world.resolve(BreakClass::RegionMissing, Resolution::Justified, None);
    world.run();
    let told = alert(&world);
    assert_eq!((book_breaks(&world).len(), told.members, told.unopened), (3, 3, 1));
    // Corrected: all is over.
    world.hebei_has(|_| {});
    world.run();
    let told = alert(&world);
    assert_eq!((told.state, told.members, told.unopened, told.unopened_fen), (AlertState::Over, 0, 0, 0));
    assert!(world.book_breaks().is_empty());
}

#[test]
fn what_has_no_break_is_known_by_who_pays() {
    let mut world = World::new();
    world.breaks_policy(|body| (body["most_book_breaks"], body["alert_from"]) = (1.into(), 20.into()));
    for (order, amount_fen) in [("ORDER000", 1), ("ORDER001", 600), ("ORDER002", 1_000)] {
        world.matched(order, amount_fen);
    }
    let tianjins = PaymentRow { region: region("120000"), ..world.matched("ORDER003", 7_000) };
    world.sim.given(&tianjins);
    world.hebei_has(Vec::clear);
    // Its entries stay Beijing's, so the identities of this run do not hold.
    let start = world.start(vec![world.file("files/f1")]);
    world.execute("gateway/admins/runner", &start).unwrap();
    let [told] = &world.sim.all::<AlertRow>()[..] else { panic!("one") };
    assert_eq!((told.unopened, told.unopened_fen, told.book_region()), (3, 8_600, Some(region("130000"))));
    let most = [("110000/care_subsidy", 1_000), ("120000/care_subsidy", 7_000)];
    assert_eq!(told.most_unopened_fen.0, BTreeMap::from(most.map(|(book, fen)| (book.to_owned(), fen))));

    // Of what it alone has: the region.
    let mut world = World::new();
    world.breaks_policy(|body| (body["most_book_breaks"], body["alert_from"]) = (1.into(), 20.into()));
    world.matched("ORDER000", 1);
    world.hebei_has(|lines| {
        let alone = |n: i64| SettlementLine { line: n, order_id: format!("ALONE00{n}"), ..lines[0].clone() };
        let alone: Vec<_> = [8, 9].map(alone).into();
        lines.extend(alone);
    });
    world.run();
    let [told] = &world.sim.all::<AlertRow>()[..] else { panic!("one") };
    assert_eq!(
        (told.class, &told.most_unopened_fen.0),
        (BreakClass::RegionOnly, &BTreeMap::from([("130000".to_owned(), 1)]))
    );
}

#[test]
fn what_two_people_settled_stays_settled_while_it_is_the_same() {
    let mut world = World::new();
    world.matched("ORDER001", 60_000);
    world.hebei_has(|lines| lines[0].amount_fen -= 1);
    let run = world.run();
    let name = world.book_breaks()[0].break_name.clone();
    for (resolution, expected) in [
        (Resolution::Accept, Err(Reason::ResolutionNotAllowed)),
        (Resolution::Release, Err(Reason::ResolutionNotAllowed)),
        (Resolution::Justified, Ok(())),
    ] {
        let propose = ProposeResolution { break_name: name.clone(), resolution, reason: "r".into(), elder: None };
        let told = world.execute("regions/130000/admins/guo", &propose).map(drop).map_err(|r| r.reason);
        assert_eq!(told, expected, "{resolution}");
    }
    let transfers = world.sim.transfers.len();
    world.decide("gateway/admins/li", &name, true).unwrap();
    assert_eq!(world.sim.transfers.len(), transfers);
    let after = world.run();
    assert!(world.book_breaks().is_empty());
    assert_ne!(after.root, run.root, "its line has no difference any more");
    assert_eq!((after.region_legs.0[0].counts.matched, after.state), (1, RunState::Balanced));
    check(&world, &after);
    world.hebei_has(|lines| lines[0].amount_fen -= 2);
    world.run();
    assert_eq!(world.book_breaks()[0].break_name, name, "another difference, the same matter");
}

#[test]
fn a_row_belongs_into_the_book_of_the_ledgers_date() {
    // Confirmed on the tested date, in the next one's file.
    let mut world = World::on("2026-11-17");
    world.payment("ORDER001", 60_000, PaymentState::Confirmed);
    world.hebei_has(Vec::clear);
    let run = world.run();
    let [missing] = &world.book_breaks()[..] else { panic!("{:?}", world.book_breaks()) };
    assert_eq!(missing.class, BreakClass::RegionMissing, "the channel may still have it");
    check(&world, &run);
    world.now = date("2026-11-18").starts_at().plus_us(9 * HOUR_US);
    world.line("ORDER001", 60_000);
    let next = StartRun { clearing_date: date("2026-11-17"), ..world.start(vec![world.file("files/f2")]) };
    let run = world.run_with(&next);
    assert_eq!(run.breaks_open, 0, "it is none of the next date's book");
    assert!(world.book_breaks().iter().all(|b| b.break_name == missing.break_name), "and still open");
}

#[test]
fn a_damaged_book_is_a_file_fault_of_its_region() {
    let mut world = World::new();
    world.matched("ORDER001", 60_000);
    world.hebei_has(|_| {});
    let mut parsed = ParsedFile::clone(&world.books[0].file.parsed);
    let fault = LineFault { line: 9, byte_offset: 9, field: "order_id".into(), reason: FaultReason::Missing };
    parsed.rejected.push(fault);
    parsed.trailer = None;
    world.books[0].file.parsed = Arc::new(parsed);
    let run = world.run();
    let faults: Vec<_> = world.book_breaks().into_iter().map(|b| (b.class, b.subject, b.region)).collect();
    for class in [BreakClass::ControlTotal, BreakClass::MissingField] {
        assert!(faults.contains(&(class, "files/b1".into(), Some(region("130000")))), "{faults:?}");
    }
    assert_eq!((run.state, run.files_complete), (RunState::WithBreaks, true), "the channel's own are whole");
    assert_eq!(run.region_legs.0[0].counts.rejected, 1);
    world.hebei_has(|_| {});
    world.run();
    assert!(world.book_breaks().is_empty());
}
