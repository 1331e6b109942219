//! Whole days with planted differences, findings and file faults of every class, drawn from a seed:
//! every planted one is found with its class and about its own row, none is invented, the identities
//! close after the run, after each resolution and after the next run, and a second run changes
//! nothing. Some days' file comes late, or comes wrong first and is corrected. What bank statements show is
//! planted in [`super::planted_at_banks`], what settlement finds of payouts in its own tests.

use std::collections::BTreeSet;

use super::*;
use crate::decision::{Decision, Leaf};
use crate::ledger::{AccountRow, GeneralLedgerRow, TransferRow};
use crate::recon::finding::account_subject;
use crate::recon::{AlertRow, UnitRow, ViewRow};

/// Draws that only the seed decides (SplitMix64).
pub(super) struct Draw(u64);

impl Draw {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u64 + 1) as usize);
        }
    }
}

/// Class and subject of every break there must be.
pub(super) type Expected = BTreeSet<(BreakClass, String)>;

struct Planting {
    world: World,
    draw: Draw,
    in_grace: bool,
    expected: Expected,
    file_lacks_totals: bool,
    rejected: usize,
    /// Orders of whose lines a file that came first may say anything: confirmed, and rightly in the last file.
    plain: Vec<String>,
}

/// How a row of the day is made. Amounts are small: the elder's 5,000 yuan cover them all.
const ROWS: &[fn(&mut Planting, &str, i64)] = &[
    |p, order, fen| {
        p.world.matched(order, fen);
        p.plain.push(order.to_owned());
    },
    |p, order, fen| {
        // In order although it is in no end-to-end key: matched by its order id.
        p.world.matched(order, fen);
        let line = p.world.lines.last_mut().unwrap();
        line.transaction_time = line.transaction_time.plus_us(60_000_000);
    },
    |p, order, fen| drop(p.world.payment(order, fen, PaymentState::Reserved)),
    |p, order, fen| {
        // Refunded in part, and the refund is in the file.
        let of = p.world.matched(order, fen);
        p.world.refund(&format!("R{order}"), &of, fen / 2);
        p.world.refund_line(&format!("R{order}"), order, fen / 2);
    },
    |p, order, fen| {
        p.world.matched(order, fen);
        p.world.line(order, fen);
        p.expect_record(BreakClass::Duplicate, order);
    },
    |p, order, fen| {
        p.world.payment(order, fen * 2, PaymentState::Confirmed);
        for (minutes, fen) in [(1, fen), (2, fen / 2)] {
            let line = p.world.line(order, fen);
            line.transaction_time = line.transaction_time.plus_us(minutes * 60_000_000);
        }
        p.expect_record(BreakClass::Ambiguous, order);
    },
    |p, order, fen| {
        p.world.refund_line(order, &format!("NONE{order}"), fen);
        p.expect_line(BreakClass::RefundOrphan);
    },
    |p, order, fen| {
        p.world.unknown(order, fen);
        p.expect_line(BreakClass::ChannelOnly);
    },
    |p, order, fen| {
        p.world.payment(order, fen, PaymentState::Confirmed);
        p.expect_one_sided(order);
    },
    |p, order, fen| {
        p.world.matched(order, fen);
        p.world.lines.last_mut().unwrap().institution = OTHER_USCC.into();
        p.expect_record(BreakClass::PartyMismatch, order);
    },
    |p, order, fen| {
        let state = if p.draw.below(2) == 0 { PaymentState::Reserved } else { PaymentState::Expired };
        p.world.payment(order, fen, state);
        p.world.line(order, fen);
        p.expect_record(BreakClass::StatusMismatch, order);
    },
    |p, order, fen| {
        p.world.matched(order, fen);
        p.world.lines.last_mut().unwrap().status = LineStatus::Failed;
        p.expect_record(BreakClass::StatusMismatch, order);
    },
    |p, order, fen| {
        p.world.payment(order, fen, PaymentState::Confirmed);
        let more = if p.draw.below(2) == 0 { 1 } else { -1 };
        p.world.line(order, fen + more);
        p.expect_record(BreakClass::AmountMismatch, order);
    },
    |p, order, fen| {
        p.world.matched(order, fen);
        let more = if p.draw.below(2) == 0 { 1 } else { -1 };
        p.world.lines.last_mut().unwrap().fee_fen += more;
        p.expect_record(BreakClass::FeeMismatch, order);
    },
    |p, order, fen| {
        p.matched_but(order, fen, |payment| {
            payment.stands_on = Json(vec![StandsOn { record: format!("ratings/{}", payment.order_id), version: 1 }]);
        });
        let mut rating = super::super::super::tests_support::rating(&format!("ratings/{order}"));
        rating.version = 2;
        rating.state = crate::rules::rating::RecordState::Revoked;
        rating.effective_on = date("2026-11-01");
        p.world.sim.given(&rating);
        p.expect_record(BreakClass::PaidAfterRevocation, order);
    },
    |p, order, fen| {
        p.matched_but(order, fen, |payment| payment.unmet = unmet(Condition::Contract));
        p.expect_record(BreakClass::PaidWithoutContract, order);
    },
    |p, order, fen| {
        p.matched_but(order, fen, |payment| payment.unmet = unmet(Condition::Stay));
        p.expect_record(BreakClass::ConditionUnmet, order);
    },
    |p, order, fen| {
        p.world.payment(order, fen, PaymentState::Late);
        p.world.line(order, fen);
        p.expect_record(BreakClass::LateConfirmation, order);
    },
    |p, order, fen| {
        let paid = p.world.matched(order, fen);
        let mut line: BillLineRow = p.world.sim.get(key![paid.bill.clone(), paid.fee_type]).unwrap();
        line.due_fen = fen - 1;
        p.world.sim.given(&line);
        p.expected.insert((BreakClass::BillExceeded, format!("{}#BED", paid.bill)));
    },
    |p, order, fen| {
        // Confirmed, and then the channel says it was never debited.
        let paid = p.world.matched(order, fen);
        let (payment, end) = (paid.payment.parse().unwrap(), crate::payment::ReservationEnd::Reversed);
        let said = crate::payment::EndReservation { payment, end, reason: "timeout".into() };
        p.world.execute("channels/unionpay", &said).unwrap();
        p.expect_record(BreakClass::Contradiction, order);
    },
    |p, order, fen| {
        // The channel has another order id for it: merchant, amount and about the time say which it is.
        p.of_merchant(order, order, fen);
        let after_s = 1 + p.draw.below(30) as i64;
        p.line_of_merchant(order, &format!("{order}X"), fen).transaction_time =
            date(DAY).starts_at().plus_us(10 * HOUR_US + after_s * 1_000_000);
    },
    |p, order, fen| {
        // Too far away in time.
        p.of_merchant(order, order, fen);
        p.line_of_merchant(order, &format!("{order}X"), fen).transaction_time =
            date(DAY).starts_at().plus_us(12 * HOUR_US);
        p.expect_line(BreakClass::ChannelOnly);
        p.expect_one_sided(order);
    },
    |p, order, fen| {
        // One payment, two lines.
        p.of_merchant(order, order, fen);
        p.line_of_merchant(order, &format!("{order}X"), fen / 3);
        p.line_of_merchant(order, &format!("{order}Y"), fen - fen / 3);
    },
    |p, order, fen| {
        // The same, with a fee that nobody agreed on.
        p.of_merchant(order, order, fen);
        p.line_of_merchant(order, &format!("{order}X"), fen / 3);
        p.line_of_merchant(order, &format!("{order}Y"), fen - fen / 3).fee_fen += 1;
        p.expect_record(BreakClass::FeeMismatch, order);
    },
    |p, order, fen| {
        // Two payments, one line.
        p.of_merchant(order, order, fen);
        p.of_merchant(order, &format!("{order}B"), fen / 2);
        p.line_of_merchant(order, &format!("{order}X"), fen + fen / 2);
    },
    |p, order, fen| {
        // Two payments, and one line of another sum.
        let second = format!("{order}B");
        p.of_merchant(order, order, fen);
        p.of_merchant(order, &second, fen / 2);
        p.line_of_merchant(order, &format!("{order}X"), fen + fen / 2 + 1);
        p.expect_line(BreakClass::ChannelOnly);
        p.expect_one_sided(order);
        p.expect_one_sided(&second);
    },
];

/// What is wrong with a book, given its lines and which of them it is about.
type BookRow = (BreakClass, fn(&mut Vec<SettlementLine>, usize));

const BOOK_ROWS: &[BookRow] = &[
    // Its line says that another order failed, so that no line changes its number.
    (BreakClass::RegionMissing, |lines, at| {
        lines[at].order_id = format!("FAILED{at:04}");
        lines[at].status = LineStatus::Failed;
    }),
    (BreakClass::RegionOnly, |lines, at| {
        let line = lines.len() as i64 + 2;
        lines.push(SettlementLine { line, order_id: format!("ALONE{line:04}"), ..lines[at].clone() });
    }),
    (BreakClass::PartyMismatch, |lines, at| lines[at].institution = OTHER_USCC.into()),
    (BreakClass::StatusMismatch, |lines, at| lines[at].status = LineStatus::Failed),
    (BreakClass::AmountMismatch, |lines, at| lines[at].amount_fen += 1),
];

fn unmet(condition: Condition) -> Json<Vec<Unmet>> {
    Json(vec![Unmet { condition, detail: "planted".into() }])
}

impl Planting {
    fn expect_record(&mut self, class: BreakClass, order: &str) {
        self.expected.insert((class, format!("payments/{order}")));
    }

    /// Only the ledger has it.
    fn expect_one_sided(&mut self, order: &str) {
        let class = if self.in_grace { BreakClass::Cutoff } else { BreakClass::LedgerOnly };
        self.expect_record(class, order);
    }

    /// A confirmed payment of a merchant that only this row's orders have.
    fn of_merchant(&mut self, merchant: &str, order: &str, fen: i64) {
        let payment = self.world.payment(order, fen, PaymentState::Confirmed);
        self.world.sim.given(&PaymentRow { merchant_id: format!("M{merchant}"), ..payment });
    }

    fn line_of_merchant(&mut self, merchant: &str, order: &str, fen: i64) -> &mut SettlementLine {
        let line = self.world.line(order, fen);
        line.merchant_id = format!("M{merchant}");
        line
    }

    /// About the last line.
    fn expect_line(&mut self, class: BreakClass) {
        let line = self.world.lines.last().unwrap().line;
        self.expected.insert((class, format!("files/f1#{line}")));
    }

    fn matched_but(&mut self, order: &str, fen: i64, change: impl FnOnce(&mut PaymentRow)) {
        let mut payment = self.world.matched(order, fen);
        change(&mut payment);
        self.world.sim.given(&payment);
    }

    fn of(seed: u64) -> Self {
        let mut draw = Draw(seed);
        let in_grace = draw.below(3) == 0;
        let mut world = World::on(if in_grace { "2026-11-17" } else { "2026-11-19" });
        world.sim.given(&super::super::super::tests_support::elder("elders/e1"));
        let (expected, file_lacks_totals) = (Expected::new(), draw.below(8) == 0);
        let rejected = if draw.below(6) == 0 { 1 + draw.below(3) as usize } else { 0 };
        fall_back(&mut world);
        let plain = Vec::new();
        let mut planting = Self { world, draw, in_grace, expected, file_lacks_totals, rejected, plain };
        let rows = 20 + planting.draw.below(30);
        for n in 0..rows {
            // Each amount another, and none the sum of others: no fallback rule finds what nobody planted.
            let (what, fen) = (planting.draw.below(ROWS.len() as u64) as usize, 101 * (10 + n as i64) + 1);
            ROWS[what](&mut planting, &format!("ORDER{n:04}"), fen);
        }
        planting.findings_of_the_elder();
        planting.books();
        let mut lines = std::mem::take(&mut planting.world.lines);
        planting.draw.shuffle(&mut lines);
        planting.world.lines = lines;
        planting
    }

    /// What a run finds of an elder who has paid, beside the payment.
    fn findings_of_the_elder(&mut self) {
        self.world.matched("ELDERPAID", 1_000);
        if self.draw.below(2) == 0 {
            let mut basis = super::super::super::tests_support::rating("assessments/a1");
            basis.version = 2;
            basis.state = crate::rules::rating::RecordState::Revoked;
            basis.effective_on = date("2026-11-01");
            self.world.sim.given(&basis);
            self.world.sim.given(&super::super::super::tests_support::grant("grants/g1", "2026-11", "assessments/a1"));
            self.expected.insert((BreakClass::GrantWithoutBasis, "grants/g1".into()));
        }
        if self.draw.below(2) == 0 {
            let grant = super::super::super::tests_support::grant("grants/g0", "2026-10", "assessments/none");
            self.world.sim.given(&GrantRow { state: GrantState::CreditFailed, ..grant });
            self.expected.insert((BreakClass::CreditFailed, "grants/g0".into()));
        }
        if self.draw.below(4) == 0 {
            self.world.matched("OVERSPENT", 600_000);
            let account = Account::entitlement(&book(), "e1", &self.world.channel);
            self.expected.insert((BreakClass::Overspent, account_subject(&account.to_string())));
        }
    }

    /// Regions that have a book have what the ledger has, or will have when the file has confirmed it, but
    /// for what is planted.
    fn books(&mut self) {
        let mut books = Vec::new();
        for region in ["regions/110000", "regions/130000"] {
            if self.draw.below(2) == 0 {
                continue;
            }
            let what: Vec<u64> = (0..self.draw.below(4)).map(|_| self.draw.below(BOOK_ROWS.len() as u64)).collect();
            let of_region = |n| format!("BOOK{}N{n}", &region["regions/".len()..]);
            let planted: Vec<(u64, String)> = what.into_iter().zip((0..).map(of_region)).collect();
            planted.iter().for_each(|(_, order)| drop(self.world.matched(order, 1_000)));
            books.push((region, planted));
        }
        for (region, planted) in books {
            let name = format!("files/b{}", &region["regions/".len()..]);
            let mut lines = self.as_the_ledger();
            for (what, order) in planted {
                let at = lines.iter().position(|line| line.order_id == order).unwrap();
                let (class, change) = BOOK_ROWS[what as usize];
                let subject = match class {
                    BreakClass::RegionOnly => format!("{name}#{}", lines.len() + 2),
                    _ => format!("payments/{order}"),
                };
                change(&mut lines, at);
                self.expected.insert((class, subject));
            }
            self.world.books.push(super::regional::book_of(region, &name, lines));
        }
    }

    /// The lines of a book that has it right.
    fn as_the_ledger(&self) -> Vec<SettlementLine> {
        let in_file = |order: &str| {
            let moved = |l: &&SettlementLine| l.order_id == order && l.status == LineStatus::Success;
            self.world.lines.iter().any(|line| moved(&line))
        };
        let payments = self.world.sim.all::<PaymentRow>().into_iter().filter(|p| match p.state {
            PaymentState::Confirmed | PaymentState::Late => true,
            PaymentState::Reserved => in_file(&p.order_id),
            _ => false,
        });
        let of = |kind, merchant_id, order: String, amount_fen, original_order_id| SettlementLine {
            line: 0,
            byte_offset: 0,
            kind,
            merchant_id,
            order_id: order,
            transaction_time: date(DAY).starts_at(),
            amount_fen,
            fee_fen: 0,
            status: LineStatus::Success,
            institution: USCC.into(),
            original_order_id,
        };
        let payments = payments.map(|p| of(LineKind::Payment, p.merchant_id, p.order_id, p.amount_fen, None));
        let refunds = self.world.sim.all::<RefundRow>().into_iter();
        let refund = |r: RefundRow| {
            let original = Some("ORIGINAL".into());
            of(LineKind::Refund, r.merchant_id, r.order_id, r.amount_fen, original)
        };
        let refunds = refunds.map(refund);
        let mut lines: Vec<SettlementLine> = payments.chain(refunds).collect();
        lines.iter_mut().zip(2..).for_each(|(line, n)| line.line = n);
        lines
    }

    /// A file that comes first and is wrong: of plain orders it lacks lines, has them twice, or says something else,
    /// and it has orders that the last one has not.
    fn wrong_file(&mut self) -> RunFile {
        let mut lines = self.world.lines.clone();
        for order in self.plain.clone() {
            let Some(at) = lines.iter().position(|line| line.order_id == order) else { continue };
            match self.draw.below(7) {
                0 => drop(lines.remove(at)),
                1 => lines.push(lines[at].clone()),
                2 => lines[at].amount_fen += 1,
                3 => lines[at].amount_fen -= 1,
                4 => lines[at].fee_fen += 1,
                5 => lines[at].institution = OTHER_USCC.into(),
                _ => lines.push(SettlementLine { order_id: format!("{order}W"), ..lines[at].clone() }),
            }
        }
        lines.iter_mut().zip(2..).for_each(|(line, n)| line.line = n);
        let parsed = ParsedFile { lines: lines.into_iter().collect(), ..ParsedFile::default() };
        let parsed = ParsedFile { trailer: Some(parsed.totals()), ..parsed };
        RunFile { parsed: Arc::new(parsed), ..self.world.file("files/f0") }
    }

    fn file(&mut self) -> RunFile {
        let mut file = self.world.file("files/f1");
        let mut parsed = ParsedFile::clone(&file.parsed);
        for n in 0..self.rejected {
            let (line, byte_offset) = (1_000 + n as i64, 100_000 + n as i64);
            let fault = LineFault { line, byte_offset, field: "order_id".into(), reason: FaultReason::Missing };
            parsed.push(Err(fault));
        }
        parsed.disordered = false;
        parsed.trailer = Some(parsed.totals());
        if self.rejected > 0 {
            self.expected.insert((BreakClass::MissingField, "files/f1".into()));
        }
        if self.file_lacks_totals {
            // Sums prove nothing beside rows set aside; their number still does.
            let totals = parsed.totals();
            parsed.trailer = Some(match self.rejected {
                0 => ControlTotals { amount_fen: 1, ..totals },
                _ => ControlTotals { rows: totals.rows + 1, ..totals },
            });
        }
        if self.file_lacks_totals || !parsed.totals_agree() {
            self.expected.insert((BreakClass::ControlTotal, "files/f1".into()));
        }
        file.parsed = Arc::new(parsed);
        file
    }

    fn found(&self) -> Expected {
        let open = self.world.breaks().into_iter().filter(|b| b.is_open());
        open.map(|b| (b.class, b.subject)).collect()
    }

    /// Resolves what can be, each by the first way the table and its stakes allow.
    fn resolve_all(&mut self) {
        for row in self.world.breaks() {
            let proposed = allowed(row.class).iter().any(|resolution| {
                let (name, reason) = (row.break_name.clone(), "planted".to_owned());
                let elder = |named: bool| named.then(|| "elders/e1".to_owned());
                [false, true].into_iter().any(|named| {
                    let (break_name, reason) = (name.clone(), reason.clone());
                    let (resolution, elder) = (*resolution, elder(named));
                    let propose = ProposeResolution { break_name, resolution, reason, elder };
                    self.world.execute("regions/110000/admins/wang", &propose).is_ok()
                        || self.world.execute("gateway/admins/wu", &propose).is_ok()
                })
            });
            if proposed && row.class != BreakClass::Overspent {
                self.world.decide("gateway/admins/li", &row.break_name, true).unwrap();
                self.world.check_identities();
            }
        }
    }
}

/// The channel's policy names every fallback.
fn fall_back(world: &mut World) {
    let mut body = policy::defaults().into_iter().find(|d| d.scope == "unionpay").unwrap().body;
    body["match_fallbacks"] = serde_json::json!(["ORDER_ID", "MERCHANT_TIME_AMOUNT", "GROUPED_SUM"]);
    body["match_tolerances"] = serde_json::json!([{"name": "CLOCKS", "of": "TRANSACTION_TIME_S", "within": 60}]);
    let (kind, scope, effective_from) = (PolicyKind::Channel, "unionpay".into(), date("2026-01-01"));
    let set = SetPolicy { kind, scope, effective_from, body, reason: "test".into() };
    world.execute("gateway/admins/setup", &set).unwrap();
}

fn a_day(seed: u64) -> Expected {
    let mut day = Planting::of(seed);
    let mut file = day.file();
    // What a file that is not whole no longer shows is left as it was.
    let whole = file.parsed.totals_agree() && file.parsed.rejected.is_empty();
    if whole && day.draw.below(3) == 0 {
        let wrong = day.wrong_file();
        let first = day.world.start(vec![wrong]);
        day.world.run_with(&first);
        file.supersedes = vec!["files/f0".into()];
    }
    let start = day.world.start(vec![file]);
    day.world.run_with(&start);
    assert_eq!(day.found(), day.expected, "seed {seed}: found, and planted");
    assert_eq!(day.world.breaks().iter().filter(|b| b.is_open()).count(), day.expected.len(), "seed {seed}");
    let (transfers, breaks) = (day.world.sim.transfers.len(), day.world.breaks());
    day.world.run_with(&start);
    assert_eq!(day.world.sim.transfers.len(), transfers, "seed {seed}: a second run books nothing");
    assert_eq!(day.world.breaks(), breaks, "seed {seed}: a second run opens nothing");
    day.resolve_all();
    let transfers = day.world.sim.transfers.len();
    day.world.run_with(&start);
    assert_eq!(day.world.sim.transfers.len(), transfers, "seed {seed}: what was resolved stays so");
    // What a resolution changed in the ledger may be in no book yet: another matter than any planted.
    let is_planted = |b: &BreakRow| {
        let of_book = b.subject.starts_with("payments/BOOK") || b.subject.starts_with("files/b");
        b.book_region.is_none() || (of_book && day.expected.contains(&(b.class, b.subject.clone())))
    };
    let left = day.world.breaks().into_iter().filter(|b| b.is_open() && is_planted(b));
    let left: BTreeSet<BreakClass> = left.map(|b| b.class).collect();
    let cannot = [BreakClass::Cutoff, BreakClass::Overspent, BreakClass::Ambiguous];
    assert!(left.iter().all(|class| cannot.contains(class)), "seed {seed}: left open: {left:?}");
    day.expected
}

/// Seeds of 50 days; of 1,000 in the campaign (`JJJ_CAMPAIGN`), others with another `JJJ_SEED`.
pub(super) fn days() -> impl Iterator<Item = u64> + Clone {
    let days = if std::env::var_os("JJJ_CAMPAIGN").is_some() { 1_000 } else { 50 };
    let seed: u64 = std::env::var("JJJ_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    println!("JJJ_SEED={seed}");
    (0..days).map(move |n| seed.wrapping_add(n))
}

#[test]
fn every_planted_break_is_found_and_none_invented() {
    let (seeds, mut classes) = (days(), BTreeMap::<BreakClass, usize>::new());
    let count = seeds.clone().count();
    for (class, _) in seeds.flat_map(a_day) {
        *classes.entry(class).or_default() += 1;
    }
    println!("{count} days, planted and found: {classes:?}");
    let elsewhere =
        [BreakClass::BalanceMismatch, BreakClass::FileMissing, BreakClass::PayoutMismatch, BreakClass::PayoutMissing];
    let missing: Vec<_> =
        BreakClass::ALL.iter().filter(|c| !classes.contains_key(c) && !elsewhere.contains(c)).collect();
    assert!(missing.is_empty(), "never planted: {missing:?}");
}

/// A file that is not there: what it might have stated waits, and clears when it comes.
#[test]
fn days_whose_file_comes_late() {
    for seed in 0..10 {
        let mut day = Planting::of(1_000_000 + seed);
        let absent = StartRun { allow_missing_files: true, ..day.world.start(vec![]) };
        day.world.run_with(&absent);
        assert!(day.found().contains(&(BreakClass::FileMissing, format!("{} {DAY}", day.world.channel))), "{seed}");
        let file = day.file();
        let start = day.world.start(vec![file]);
        day.world.run_with(&start);
        assert_eq!(day.found(), day.expected, "seed {seed}");
    }
}

/// What a run leaves behind, but for the leaves that it is written in.
fn left_behind(world: &World) -> Vec<String> {
    let sim = &world.sim;
    let mut left: Vec<String> = sim.all::<RunRow>().iter().map(|row| format!("{row:?}")).collect();
    left.extend(sim.all::<ViewRow>().iter().map(|row| format!("{row:?}")));
    left.extend(sim.all::<UnitRow>().iter().map(|row| format!("{row:?}")));
    left.extend(sim.all::<PaymentRow>().iter().map(|row| format!("{row:?}")));
    left.extend(sim.all::<RefundRow>().iter().map(|row| format!("{row:?}")));
    left.extend(sim.all::<AlertRow>().iter().map(|row| format!("{row:?}")));
    left.extend(sim.all::<AccountRow>().iter().map(|row| format!("{row:?}")));
    left.extend(sim.all::<GeneralLedgerRow>().iter().map(|row| format!("{row:?}")));
    for mut row in world.breaks() {
        row.stakes.0.iter_mut().for_each(|stake| stake.booked = None);
        left.push(format!("{row:?}"));
    }
    let mut booked: Vec<String> = sim.transfers.iter().map(booking).collect();
    booked.sort();
    left.extend(booked);
    left
}

fn booking(row: &TransferRow) -> String {
    let corrects = row.corrects.is_some();
    format!("{:?}", TransferRow { leaf_id: String::new(), line: 0, corrects: None, ..row.clone() })
        + &corrects.to_string()
}

fn leaves(decision: &Decision) -> Vec<String> {
    let text = |leaf: &Leaf| {
        let Leaf { leaf_id, kind, record, version, cause, writes, transfers, audience, .. } = leaf;
        let writes: Vec<_> = writes.iter().map(|write| (write.spec.name, &write.values)).collect();
        format!("{leaf_id} {kind} {record} {version} {cause:?} {writes:?} {transfers:?} {audience:?}")
    };
    decision.leaves.iter().map(text).collect()
}

/// However small the parts are that a day is run in, and whether a part sees what those before it wrote or not, the run is
/// the same: its rows, breaks, bookings, identities and roots.
#[test]
fn a_day_in_parts_is_the_same_day() {
    for seed in days().take(if std::env::var_os("JJJ_CAMPAIGN").is_some() { 200 } else { 4 }) {
        let days: Vec<_> = [1, 3, 7, usize::MAX].into_iter().map(|lines| a_day_in_parts_of(seed, lines)).collect();
        for (n, day) in days.iter().enumerate().skip(1) {
            for (step, (one, other)) in days[0].iter().zip(day).enumerate() {
                for (a, b) in one.iter().zip(other) {
                    assert_eq!(a, b, "seed {seed}, parts {n}, step {step}");
                }
                assert_eq!(one.len(), other.len(), "seed {seed}, parts {n}, step {step}");
            }
        }
    }
}

fn a_day_in_parts_of(seed: u64, lines_per_part: usize) -> Vec<Vec<String>> {
    let mut day = Planting::of(seed);
    let mut steps = Vec::new();
    let (mut file, wrong) = (day.file(), day.wrong_file());
    let mut run = |world: &mut World, file: RunFile| {
        let start = StartRun { lines_per_part, ..world.start(vec![file]) };
        let call = world.call("gateway/admins/runner");
        let as_one = world.sim.read(|snapshot| start.decide(snapshot, &call)).unwrap();
        let in_parts = world.sim.execute(&call, &start).unwrap();
        for (one, other) in leaves(&as_one).into_iter().zip(leaves(&in_parts)) {
            assert_eq!(one, other, "seed {seed}, {lines_per_part} lines a part");
        }
        assert_eq!(as_one.leaves.len(), in_parts.leaves.len(), "seed {seed}");
        world.check_identities();
        steps.push(left_behind(world));
    };
    run(&mut day.world, wrong);
    file.supersedes = vec!["files/f0".into()];
    run(&mut day.world, file.clone());
    run(&mut day.world, file.clone());
    day.resolve_all();
    run(&mut day.world, file);
    steps
}
