//! A run's views against the same computed from an export, by the streamed join.

use super::super::super::booking::LedgerRow;
use super::super::super::matching::{MatchRule, Standing, Terms};
use super::super::super::regional::{Leg, RegionalBook};
use super::super::super::rows::{BreakCategory, UnitRow};
use super::super::super::stream::{
    Assigned, Batch, Day, Known, LEDGER_OWN, LedgerRows, LineAt, LineRows, Rest, Rows, Views, order_of,
};
use super::super::super::view::run_root;
use super::*;
use crate::policy::{Tolerance, ToleranceOf};

/// What `jjj recon export` writes of a row.
fn exported(world: &World, row: &LedgerRow) -> ([String; LEDGER_OWN], String) {
    let entry = row.entry(date(DAY), |row| row.starts_with("files/f1#"));
    let place = row.place().unwrap();
    let matched = match row.matched_by() {
        None => "",
        Some(row) if row.is_empty() || row.starts_with("files/f1#") => "HERE",
        Some(_) => "ELSEWHERE",
    };
    let breaks = world.breaks();
    let is_own =
        |b: &&BreakRow| b.subject == entry.record && b.category == BreakCategory::Difference && b.book_region.is_none();
    let known = breaks.iter().find(is_own).map_or(String::new(), state_of);
    let key = entry.key;
    let own = [
        key.kind.to_string(),
        entry.record,
        key.merchant_id,
        key.order_id,
        key.transaction_time,
        entry.amount_fen.to_string(),
    ];
    let tail = [
        entry.institution,
        entry.standing.to_string(),
        entry.clearing_date.to_string(),
        place.book.region().to_string(),
        place.book.programme().to_owned(),
        place.institution_region.map_or(String::new(), |r| r.to_string()),
        matched.to_owned(),
        known,
    ];
    (own, tail.join(","))
}

fn state_of(row: &BreakRow) -> String {
    if row.is_open() { row.class.to_string() } else { "RESOLVED".to_owned() }
}

/// All ledger rows of the world.
fn rows(world: &World) -> Vec<LedgerRow> {
    let payments: BTreeMap<String, Arc<PaymentRow>> =
        world.sim.all::<PaymentRow>().into_iter().map(|p| (p.payment.clone(), Arc::new(p))).collect();
    let refunds = world.sim.all::<RefundRow>().into_iter();
    let refunds = refunds.map(|r| LedgerRow::Refund(Arc::new(r.clone()), payments[&r.payment].clone()));
    let claims = world.sim.all::<ClaimRow>().into_iter().map(|c| LedgerRow::Claim(Arc::new(c)));
    let refunds: Vec<LedgerRow> = refunds.chain(claims).collect();
    payments.into_values().map(LedgerRow::Payment).chain(refunds).collect()
}

/// The views of the last run, computed; `region` alone, or all.
fn computed(world: &World, run: &RunRow, region: Option<&Participant>) -> Views {
    let (mut ledger, mut file) = (LedgerRows::default(), LineRows::default());
    for row in rows(world) {
        let place = row.place().unwrap();
        let is_own = |r: &Participant| place.book.region() == r || place.institution_region.as_ref() == Some(r);
        if region.is_none_or(is_own) {
            let (own, tail) = exported(world, &row);
            ledger.push(own.each_ref().map(String::as_str), &tail).unwrap();
        }
    }
    for line in &world.lines {
        let fields = super::super::super::file::render_line(line);
        let fields = fields.each_ref().map(String::as_str);
        let shared = format!("{},{}", fields[6], fields[7]);
        if file.push(&fields, &shared, LineAt { file: 0, line: line.line }).is_err() {
            file.push_line(line, 0);
        }
    }
    let mut assigned = BTreeMap::new();
    let of_rows = rows(world).into_iter().filter_map(|row| row.matched_by().map(str::to_owned));
    for line in of_rows {
        assigned.insert(line, Assigned { place: None, known: Known::No });
    }
    for row in world.breaks().iter().filter(|b| b.channel.is_some() && b.book_region.is_none()) {
        for line in &row.rows.0 {
            assigned.entry(line.clone()).or_insert(Assigned { place: None, known: Known::No });
        }
        if row.subject.starts_with("files/") {
            let place = row.region.as_ref().map(|region| super::super::super::booking::Place {
                book: Book::new(region.clone(), row.programme.as_deref().unwrap()).unwrap(),
                institution_region: row.institution_region.clone(),
                person: None,
                record: None,
            });
            assigned.insert(row.subject.clone(), Assigned { place, known: state_of(row).parse().unwrap() });
        }
    }
    let (mut ledger_rows, mut line_rows) = (std::mem::take(&mut ledger.rows), std::mem::take(&mut file.rows));
    ledger_rows.sort();
    line_rows.sort();
    let (batch, known_orders) = joined(&ledger_rows, &line_rows, &file);
    let terms = Terms::of(run.clearing_date, run.terms.0.clone(), known_orders);
    let files = vec!["files/f1".to_owned()];
    let is_wanted = |book: &&RunBook| region.is_none_or(|region| *region == book.region);
    let mut books: Vec<RegionalBook> = world.books.iter().filter(is_wanted).map(read).collect();
    books.sort_by(|a, b| a.region.cmp(&b.region));
    let day =
        Day { terms: &terms, files: &files, assigned: &assigned, region, books: &books, ledger: &ledger, lines: &file };
    let (mut views, mut rest) = (Views::default(), Rest::default());
    let mut legs: Vec<Leg<&RegionalBook>> = books.iter().map(Leg::new).collect();
    let mut found = day.work(&batch, false);
    views.add(&found, region);
    found.leave(&mut rest, &mut legs);
    let mut last = day.rest(&rest, false);
    views.add(&last, region);
    last.leave(&mut Rest::default(), &mut legs);
    let resolved: Vec<String> = world.breaks().into_iter().filter(|b| !b.is_open()).map(|b| b.break_name).collect();
    for leg in legs {
        let leg = leg.end(&world.channel, run.clearing_date, |name, _| resolved.iter().any(|known| known == name));
        let stated = run.region_legs.0.iter().find(|stated| stated.region == leg.region).unwrap();
        assert_eq!(leg.counts, stated.counts, "{}", leg.region);
        views.add_leg(&leg, region);
    }
    views.of.entry(region.cloned().unwrap_or_else(Participant::gateway)).or_default();
    views
}

fn joined(ledger: &Rows, lines: &Rows, file: &LineRows) -> (Batch, std::collections::BTreeSet<String>) {
    let mut orders: BTreeMap<Vec<u8>, [Vec<&[u8]>; 2]> = BTreeMap::new();
    let mut known = std::collections::BTreeSet::new();
    for entry in ledger.records() {
        orders.entry(order_of(entry).to_vec()).or_default()[0].push(entry);
        if file.refunds(entry) {
            known.insert(String::from_utf8(order_of(entry).to_vec()).unwrap());
        }
    }
    for line in lines.records() {
        orders.entry(order_of(line).to_vec()).or_default()[1].push(line);
    }
    let mut batch = Batch::default();
    for [entries, lines] in orders.values() {
        batch.begin();
        entries.iter().for_each(|entry| batch.take(entry, false));
        lines.iter().for_each(|line| batch.take(line, true));
    }
    (batch, known)
}

fn read(book: &RunBook) -> RegionalBook {
    RegionalBook::new(book.region.clone(), &book.file.file, &book.file.sha256, book.file.parsed.clone())
}

/// The run's views, computed again by everybody, are the run's.
pub(super) fn check(world: &World, run: &RunRow) {
    let stated: Vec<ViewRow> = world.sim.all::<ViewRow>().into_iter().filter(|v| v.run == run.run).collect();
    let views = computed(world, run, None);
    let roots: Vec<(Participant, String)> =
        views.of.iter().map(|(who, view)| (who.clone(), hex::encode(view.root()))).collect();
    for view in &stated {
        let whole = &views.of[&view.participant];
        let got = (whole.rows() as i64, whole.debit_fen, whole.credit_fen, hex::encode(whole.root()));
        assert_eq!(got, (view.rows, view.debit_fen, view.credit_fen, view.root.clone()), "{}", view.participant);
        // One region's rows do not show every line of a sum.
        let sums = run.terms.0.fallbacks.contains(&MatchRule::GroupedSum);
        if view.participant != Participant::gateway() && !sums {
            let own = computed(world, run, Some(&view.participant));
            assert_eq!(hex::encode(own.of[&view.participant].root()), view.root, "{} alone", view.participant);
        }
    }
    assert_eq!(run_root(roots.iter().map(|(who, root)| (who, root.as_str()))), run.root);
}

#[test]
fn every_planted_difference_is_computed_as_it_was_run() {
    for (name, plant, ..) in differences() {
        let mut world = World::new();
        world.sim.given(&super::super::super::tests_support::elder("elders/e1"));
        plant(&mut world);
        let run = world.run();
        println!("{name}");
        check(&world, &run);
        let again = world.run();
        assert_eq!(again.root, run.root, "{name}: a run repeated has the same rows");
        check(&world, &again);
    }
}

#[test]
fn a_single_fen_gives_another_root() {
    let mut world = World::new();
    world.matched("ORDER001", 60_000);
    world.matched("ORDER002", 60_000);
    let run = world.run();
    let before = computed(&world, &run, None).of[&Participant::gateway()].root();
    world.lines[0].amount_fen += 1;
    assert_ne!(computed(&world, &run, None).of[&Participant::gateway()].root(), before);
}

fn set_matching(world: &mut World, fallbacks: &[MatchRule], tolerances: &[Tolerance]) {
    let mut body = policy::defaults().into_iter().find(|d| d.scope == "unionpay").unwrap().body;
    body["match_fallbacks"] = serde_json::to_value(fallbacks).unwrap();
    body["match_tolerances"] = serde_json::to_value(tolerances).unwrap();
    let (kind, scope, effective_from) = (PolicyKind::Channel, "unionpay".into(), date("2026-01-01"));
    let set = SetPolicy { kind, scope, effective_from, body, reason: "test".into() };
    world.execute("gateway/admins/setup", &set).unwrap();
}

fn bodies(world: &World, run: &RunRow) -> Vec<serde_json::Value> {
    let units = world.sim.all::<UnitRow>().into_iter().filter(|u| u.run == run.run);
    units.map(|u| serde_json::from_str(&u.body).unwrap()).collect()
}

/// A fallback, its plant, whether it then matches, and with which tolerances.
#[test]
fn fallbacks_match_in_the_order_that_the_policy_names() {
    use MatchRule::{GroupedSum, MerchantTimeAmount, OrderId};
    type Plant = fn(&mut World);
    let tolerance = |name: &str, of, within| Tolerance { name: name.into(), of, within };
    let minute = || vec![tolerance("CLOCKS", ToleranceOf::TransactionTimeS, 60)];
    let other_order: Plant = |w| {
        w.payment("ORDER001", 60_000, PaymentState::Confirmed);
        w.line("OTHER001", 60_000);
    };
    let late_line: Plant = |w| {
        w.payment("ORDER001", 60_000, PaymentState::Confirmed);
        let line = w.line("OTHER001", 60_000);
        line.transaction_time = line.transaction_time.plus_us(45_000_000);
    };
    let two_alike: Plant = |w| {
        w.payment("ORDER001", 60_000, PaymentState::Confirmed);
        w.line("OTHER001", 60_000);
        w.line("OTHER002", 60_000);
    };
    let split: Plant = |w| {
        w.payment("ORDER001", 60_000, PaymentState::Confirmed);
        w.line("PART0001", 20_000);
        w.line("PART0002", 40_000);
    };
    let joined: Plant = |w| {
        w.payment("ORDER001", 20_000, PaymentState::Confirmed);
        w.payment("ORDER002", 40_000, PaymentState::Confirmed);
        w.line("WHOLE001", 60_000);
    };
    let fee_off: Plant = |w| {
        w.matched("ORDER001", 60_000);
        w.lines[0].fee_fen += 1;
    };
    let same_order: Plant = |w| {
        w.payment("ORDER001", 60_000, PaymentState::Confirmed);
        let line = w.line("ORDER001", 60_000);
        line.transaction_time = line.transaction_time.plus_us(45_000_000);
    };
    type Case<'a> = (&'a str, Plant, Vec<MatchRule>, Vec<Tolerance>, Option<(MatchRule, &'a [&'a str])>);
    let cases: Vec<Case> = vec![
        ("no fallback", other_order, vec![], vec![], None),
        ("another order id", other_order, vec![MerchantTimeAmount], vec![], Some((MerchantTimeAmount, &[]))),
        ("another time too", late_line, vec![MerchantTimeAmount], vec![], None),
        (
            "within the tolerance",
            late_line,
            vec![MerchantTimeAmount],
            minute(),
            Some((MerchantTimeAmount, &["CLOCKS"])),
        ),
        ("two would do", two_alike, vec![MerchantTimeAmount], vec![], None),
        ("one row, two lines", split, vec![GroupedSum], vec![], Some((GroupedSum, &[]))),
        ("two rows, one line", joined, vec![OrderId, GroupedSum], vec![], Some((GroupedSum, &[]))),
        ("sums are not asked for", split, vec![OrderId], vec![], None),
        (
            "a fee off by one",
            fee_off,
            vec![],
            vec![tolerance("ROUNDING", ToleranceOf::FeeFen, 1)],
            Some((MatchRule::EndToEnd, &["ROUNDING"])),
        ),
        ("order id first", same_order, vec![OrderId, MerchantTimeAmount], minute(), Some((OrderId, &[]))),
        (
            "time first",
            same_order,
            vec![MerchantTimeAmount, OrderId],
            minute(),
            Some((MerchantTimeAmount, &["CLOCKS"])),
        ),
    ];
    for (name, plant, fallbacks, tolerances, expected) in cases {
        let mut world = World::new();
        set_matching(&mut world, &fallbacks, &tolerances);
        plant(&mut world);
        let run = world.run();
        check(&world, &run);
        match expected {
            Some((rule, with)) => {
                assert_eq!(world.classes(), [], "{name}");
                // Within a tolerance, what the channel has kept is what is booked.
                let kept_fen: i64 = world.lines.iter().map(|line| line.fee_fen).sum();
                let payable_fen = 60_000 - kept_fen;
                assert_eq!((world.clearing(), world.suspense(), world.payable(USCC)), (0, 0, payable_fen), "{name}");
                let [row] = &bodies(&world, &run)[..] else { panic!("{name}") };
                assert_eq!(
                    (&row["rule"], &row["tolerances"]),
                    (&rule.as_str().into(), &serde_json::json!(with)),
                    "{name}"
                );
            }
            None => assert!(world.classes().contains(&BreakClass::LedgerOnly), "{name}"),
        }
        let (booked, again) = (world.sim.transfers.len(), world.run());
        assert_eq!((world.sim.transfers.len(), &again.root), (booked, &run.root), "{name}: again");
    }
}

#[test]
fn a_row_that_is_gone_stays_gone() {
    let mut world = World::new();
    world.payment("ORDER001", 60_000, PaymentState::Reversed);
    world.line("ORDER001", 60_000);
    let run = world.run();
    assert_eq!(rows(&world)[0].entry(date(DAY), |_| false).standing, Standing::Gone);
    check(&world, &run);
}
