//! Bank statements of three dates with planted balances, payouts and entries, drawn from a seed: what a
//! statement's run must find is found about its own subject, and nothing else.

use super::bank::{Line, PLACED_FEN, corrects, delivered, open, payout, run_on, world};
use super::planted::{Draw, Expected, days};
use super::*;

/// Sums of up to a hundred amounts are no amount: one more than a multiple of 101, and each another.
fn amount_fen(n: u64) -> i64 {
    101 * (10 + n as i64) + 1
}

fn three_dates(seed: u64) -> Expected {
    let mut draw = Draw::new(seed);
    let (mut world, monday) = (world(), date(DAY));
    // Entries by date: amount out and end-to-end id.
    let mut entries: [Vec<(i64, String)>; 3] = Default::default();
    let mut expected = Expected::new();
    for n in 0..4 + draw.below(12) {
        let (fen, id) = (amount_fen(n), format!("E2E{n}"));
        let on = draw.below(3) as usize;
        match draw.below(6) {
            // As it was told.
            0 => {
                payout(&mut world, n, fen, &id);
                entries[on].push((fen, id));
            }
            // The bank does not know the id.
            1 => {
                payout(&mut world, n, fen, &id);
                entries[on].push((fen, String::new()));
            }
            // Another amount.
            2 => {
                let name = payout(&mut world, n, fen, &id);
                entries[on].push((fen + 1 + draw.below(50) as i64, id));
                expected.insert((BreakClass::PayoutMismatch, name));
            }
            // Never.
            3 => {
                let name = payout(&mut world, n, fen, &id);
                expected.insert((BreakClass::PayoutMissing, name));
            }
            // Nobody told of it.
            4 => {
                entries[on].push((fen, id));
                expected.insert((BreakClass::PayoutMismatch, format!("files/s{on}#{}", entries[on].len())));
            }
            // Paid, and taken back when it had been proven.
            _ => {
                payout(&mut world, n, fen, &id);
                entries[0].push((fen, id.clone()));
                entries[2].push((-fen, id));
                expected.insert((BreakClass::PayoutMismatch, format!("files/s2#{}", entries[2].len())));
            }
        }
    }
    let off_fen = if draw.below(2) == 0 { 0 } else { 1 + draw.below(1_000) as i64 };
    for (n, of_date) in entries.iter().enumerate() {
        let on = monday.plus_days(n as i64);
        world.now = on.plus_days(3).starts_at().plus_us(9 * HOUR_US);
        let lines: Vec<Line> = (1..).zip(of_date).map(|(at, (fen, id))| (at, 0, *fen, id.as_str())).collect();
        let last = n == 2;
        // What the first statement had wrong, a corrected one has right.
        if n == 1 && draw.below(2) == 0 {
            let wrong = delivered(&mut world, "files/w1", on, PLACED_FEN + 7, &[(1, 0, 5, "WRONG")]);
            run_on(&mut world, on, wrong);
            let right = delivered(&mut world, "files/s1", on, PLACED_FEN, &lines);
            let right = corrects(&mut world, right, "files/w1");
            run_on(&mut world, on, right);
            continue;
        }
        let closing_fen = PLACED_FEN + if last { off_fen } else { 0 };
        let file = delivered(&mut world, &format!("files/s{n}"), on, closing_fen, &lines);
        run_on(&mut world, on, file);
    }
    if off_fen != 0 {
        expected.insert((BreakClass::BalanceMismatch, "files/s2/statements/0".into()));
    }
    let found: Vec<(BreakClass, String)> =
        open(&world).into_iter().map(|(class, subject, _)| (class, subject)).collect();
    assert_eq!(found.iter().cloned().collect::<Expected>(), expected, "seed {seed}: found, and planted");
    assert_eq!(found.len(), expected.len(), "seed {seed}: none twice");
    expected
}

#[test]
fn every_planted_break_of_statements_is_found_and_none_invented() {
    let mut classes: BTreeMap<BreakClass, usize> = BTreeMap::new();
    let seeds = days();
    let count = seeds.clone().count();
    for (class, _) in seeds.flat_map(three_dates) {
        *classes.entry(class).or_default() += 1;
    }
    println!("{count} times three dates, planted and found: {classes:?}");
    let all = [BreakClass::BalanceMismatch, BreakClass::PayoutMismatch, BreakClass::PayoutMissing];
    assert!(classes.keys().eq(&all), "{classes:?}");
}
