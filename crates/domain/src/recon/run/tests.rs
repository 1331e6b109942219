//! Days with planted differences and findings, on the simulated world: the class found, the
//! transfers booked, the identities closed; and that a second run changes nothing.

mod bank;
mod planted;
mod planted_at_banks;
mod regional;
mod streamed;
mod work;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::file::{ControlTotals, FaultReason, LineFault, LineKind, LineStatus, ParsedFile, SettlementLine};
use super::super::identities::{Journal, check_bill_lines, check_reservations};
use super::super::matching::FeeRule;
use super::super::resolve::{DecideResolution, ProposeResolution, allowed};
use super::super::rows::{
    BreakClass, BreakRow, BreakState, FileContent, FileFormat, FileRow, FileState, Resolution, RunRow, RunState,
    ViewRow, ViewState,
};
use super::super::view::SignView;
use super::{RunBook, RunFile, StartRun};
use crate::care::bill::{BillLineRow, FeeType};
use crate::decision::{Call, Command, Decision};
use crate::entitlement::{GrantRow, GrantState};
use crate::key;
use crate::ledger::{Account, Book, EntryKind, Layer, Transfer, TransferRow};
use crate::names::{Participant, RequestId};
use crate::payment::{Origin, PaymentRow, PaymentState, RefundRow, RefundState, StandsOn, Unmet};
use crate::policy::{self, Condition, PolicyKind, SetPolicy};
use crate::rejection::{Reason, Rejection};
use crate::sim::Sim;
use crate::snapshot::{Snapshot, Stop};
use crate::subsidy::{ClaimRow, ClaimState};
use crate::time::{Date, HOUR_US, Timestamp};
use crate::value::Json;

pub(super) const USCC: &str = "52131082XXXX00043X";
const OTHER_USCC: &str = "12110105XXXX00027C";
/// Monday.
const DAY: &str = "2026-11-16";
const FEE: FeeRule = FeeRule { basis_points: 20, min_fen: 0, max_fen: 10_000 };

/// Books the given of a test.
struct Setup(Vec<Transfer>);

impl Command for Setup {
    fn decide(&self, _: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let mut decision = Decision::new(call);
        let leaf = decision.leaf("test.setup", "tests/setup", 1);
        for transfer in &self.0 {
            leaf.book(transfer.clone());
        }
        Ok(decision)
    }
}

struct World {
    sim: Sim,
    calls: u64,
    now: Timestamp,
    lines: Vec<SettlementLine>,
    /// Regions' books of the next runs.
    books: Vec<RunBook>,
    channel: Participant,
}

fn date(text: &str) -> Date {
    text.parse().unwrap()
}

fn region(code: &str) -> Participant {
    format!("regions/{code}").parse().unwrap()
}

fn book() -> Book {
    Book::new(region("110000"), "care_subsidy").unwrap()
}

impl World {
    /// The morning of a date: the elder has 5,000 yuan at the channel.
    fn on(today: &str) -> Self {
        let mut world = Self {
            sim: Sim::default(),
            calls: 0,
            now: date(today).starts_at().plus_us(9 * HOUR_US),
            lines: Vec::new(),
            books: Vec::new(),
            channel: "channels/unionpay".parse().unwrap(),
        };
        let call = world.call("gateway/admins/setup");
        world.sim = Sim::with_defaults(&call);
        let (book, channel, month) = (book(), world.channel.clone(), world.now.month());
        let post = |entry, debit, credit, fen| Transfer::posted(entry, debit, credit, fen, month);
        let (granted, spendable) = (Account::granted(&book, "e1"), Account::entitlement(&book, "e1", &channel));
        world.setup(vec![
            post(EntryKind::ChannelFunded, Account::prefund(&book, &channel), Account::bank(&book), 10_000_000),
            post(EntryKind::MonthGranted, Account::expense(&book, "110108", 2026), granted.clone(), 500_000),
            post(EntryKind::Credited, granted, spendable, 500_000),
        ]);
        world
    }

    /// After the grace of the tested date.
    fn new() -> Self {
        Self::on("2026-11-19")
    }

    fn call(&mut self, actor: &str) -> Call {
        self.calls += 1;
        let request_id: RequestId = format!("01980000-0000-7000-8000-{:012x}", self.calls).parse().unwrap();
        Call { actor: actor.parse().unwrap(), request_id, now: self.now, lane: 0 }
    }

    fn execute(&mut self, actor: &str, command: &dyn Command) -> Result<Decision, Rejection> {
        let call = self.call(actor);
        self.sim.execute(&call, command)
    }

    fn setup(&mut self, transfers: Vec<Transfer>) {
        self.execute("gateway/admins/setup", &Setup(transfers)).unwrap();
    }

    fn region_bears_the_fee(&mut self) {
        let mut body = policy::defaults().into_iter().find(|d| d.scope == "unionpay").unwrap().body;
        body["fee_bearer"] = "REGION".into();
        let (kind, scope, effective_from) = (PolicyKind::Channel, "unionpay".into(), date("2026-01-01"));
        let set = SetPolicy { kind, scope, effective_from, body, reason: "test".into() };
        self.execute("gateway/admins/setup", &set).unwrap();
    }

    /// A payment of the tested date in a state, with what its state has booked.
    fn payment(&mut self, order: &str, amount_fen: i64, state: PaymentState) -> PaymentRow {
        let row = PaymentRow {
            payment: format!("payments/{order}"),
            origin: Origin::Authorised,
            channel: self.channel.clone(),
            merchant_id: "M1".into(),
            order_id: order.into(),
            person: "elders/e1".into(),
            contract: "contracts/c1".into(),
            bill: format!("bills/{order}"),
            fee_type: FeeType::Bed,
            institution: format!("institutions/{USCC}"),
            institution_region: region("130000"),
            region: region("110000"),
            programme: "care_subsidy".into(),
            amount_fen,
            state,
            transaction_time_us: date(DAY).starts_at().plus_us(10 * HOUR_US),
            clearing_date: date(DAY),
            authorised_on: date(DAY),
            mandate: None,
            stands_on: Json(vec![]),
            unmet: Json(vec![]),
            consent_sha256: None,
            refunded_fen: 0,
            kept_fen: 0,
            matched_by: None,
            reason: String::new(),
            recorded_at_us: date(DAY).starts_at(),
            version: 1,
        };
        self.add(row)
    }

    fn add(&mut self, row: PaymentRow) -> PaymentRow {
        let (book, month) = (book(), self.now.month());
        let hold = {
            let clearing = Account::clearing(&book, &row.channel, row.authorised_on);
            Transfer::held(EntryKind::Authorised, row.entitlement(&book), clearing, row.amount_fen, month)
        };
        let (held, posted) = match row.state {
            PaymentState::Reserved => {
                self.setup(vec![hold]);
                (row.amount_fen, 0)
            }
            PaymentState::Confirmed => {
                self.setup(vec![row.charge(&book, EntryKind::Confirmed, row.clearing_date, month)]);
                (0, row.amount_fen)
            }
            PaymentState::Late => {
                let suspense = Account::suspense(&book, &row.channel);
                let clearing = Account::clearing(&book, &row.channel, row.clearing_date);
                let late =
                    Transfer::posted(EntryKind::LateConfirmation, suspense.clone(), clearing, row.amount_fen, month);
                let kept = Transfer::held(EntryKind::LateKept, row.entitlement(&book), suspense, row.kept_fen, month);
                self.setup(vec![late, kept]);
                (0, 0)
            }
            _ => (0, 0),
        };
        self.sim.given(&BillLineRow {
            bill: row.bill.clone(),
            fee_type: row.fee_type,
            institution_region: row.institution_region.clone(),
            household_region: row.region.clone(),
            due_fen: 1_000_000,
            paid_elsewhere_fen: 0,
            posted_fen: posted,
            held_fen: held,
        });
        self.sim.given(&row);
        row
    }

    /// A refund of a payment, confirmed on the tested date.
    fn refund(&mut self, order: &str, of: &PaymentRow, amount_fen: i64) -> RefundRow {
        let row = RefundRow {
            refund: format!("refunds/{order}"),
            payment: of.payment.clone(),
            channel: of.channel.clone(),
            merchant_id: of.merchant_id.clone(),
            order_id: order.into(),
            region: of.region.clone(),
            institution_region: of.institution_region.clone(),
            amount_fen,
            state: RefundState::Confirmed,
            transaction_time_us: of.transaction_time_us,
            clearing_date: of.clearing_date,
            matched_by: None,
            reason: String::new(),
            recorded_at_us: of.recorded_at_us,
            version: 1,
        };
        let month = self.now.month();
        self.setup(vec![of.give_back(&book(), EntryKind::RefundConfirmed, amount_fen, of.clearing_date, month)]);
        let mut line: BillLineRow = self.sim.get(key![of.bill.clone(), of.fee_type]).unwrap();
        line.posted_fen -= amount_fen;
        self.sim.given(&line);
        self.sim.given(&PaymentRow { refunded_fen: amount_fen, ..of.clone() });
        self.sim.given(&row);
        row
    }

    /// The file has a line like the payment.
    fn line(&mut self, order: &str, amount_fen: i64) -> &mut SettlementLine {
        let n = self.lines.len() as i64 + 2;
        self.lines.push(SettlementLine {
            line: n,
            byte_offset: n * 100,
            kind: LineKind::Payment,
            merchant_id: "M1".into(),
            order_id: order.into(),
            transaction_time: date(DAY).starts_at().plus_us(10 * HOUR_US),
            amount_fen,
            fee_fen: FEE.of(amount_fen),
            status: LineStatus::Success,
            institution: USCC.into(),
            original_order_id: None,
        });
        self.lines.last_mut().unwrap()
    }

    fn unknown(&mut self, order: &str, amount_fen: i64) {
        self.line(order, amount_fen);
    }

    fn refund_line(&mut self, order: &str, original: &str, amount_fen: i64) {
        let line = self.line(order, amount_fen);
        line.kind = LineKind::Refund;
        line.fee_fen = 0;
        line.original_order_id = Some(original.into());
    }

    fn matched(&mut self, order: &str, amount_fen: i64) -> PaymentRow {
        self.line(order, amount_fen);
        self.payment(order, amount_fen, PaymentState::Confirmed)
    }

    fn file(&self, name: &str) -> RunFile {
        let lines = self.lines.iter().cloned().collect();
        let mut parsed = ParsedFile { lines, ..ParsedFile::default() };
        parsed.trailer = Some(parsed.totals());
        RunFile {
            file: name.into(),
            sha256: "00".repeat(32),
            merchant_id: String::new(),
            supersedes: vec![],
            parsed: Arc::new(parsed),
        }
    }

    fn start(&self, files: Vec<RunFile>) -> StartRun {
        StartRun {
            channel: self.channel.clone(),
            clearing_date: date(DAY),
            allow_missing_files: false,
            files,
            books: self.books.clone(),
            cut: 7,
            fee: Some(FEE),
            default_book: Some(book()),
            lines_per_part: crate::recon::run::LINES_PER_PART,
        }
    }

    fn run(&mut self) -> RunRow {
        let start = self.start(vec![self.file("files/f1")]);
        self.run_with(&start)
    }

    fn run_with(&mut self, start: &StartRun) -> RunRow {
        let decision = self.execute("gateway/admins/runner", start).unwrap();
        let run: RunRow = self.sim.get(key![decision.leaves[0].record.clone()]).unwrap();
        for identity in &run.identities.0 {
            assert!(identity.holds, "{identity:?}");
        }
        let regions = run.region_legs.0.iter().map(|leg| leg.counts);
        for leg in [run.ledger_leg.0, run.channel_leg.0].into_iter().chain(regions) {
            assert_eq!(leg.rows, leg.matched + leg.broken + leg.rejected);
        }
        self.check_identities();
        run
    }

    /// LEDGER.md's identities over everything.
    fn check_identities(&self) {
        let mut journal = Journal::default();
        self.sim.transfers.iter().for_each(|t| journal.add(t));
        let breaks: Vec<BreakRow> = self.sim.all();
        let payments: Vec<PaymentRow> = self.sim.all();
        let runs: Vec<RunRow> = self.sim.all();
        let complete = |d: Date| {
            runs.iter().filter(|r| r.clearing_date == d).max_by_key(|r| r.number).is_some_and(|r| r.files_complete)
        };
        let mut violations = journal.violations.clone();
        violations.extend(journal.check_accounts(&self.sim.all::<crate::ledger::AccountRow>()));
        violations.extend(journal.check_entitlements(&breaks));
        violations.extend(journal.check_prefund(|channel| channel == "unionpay"));
        violations.extend(journal.check_breaks(&breaks, &payments, |_, d| complete(d)));
        violations.extend(journal.check_holds(&payments));
        violations.extend(check_reservations(&payments, |_, d| complete(d)));
        violations.extend(check_bill_lines(&self.sim.all::<BillLineRow>(), &breaks));
        violations.extend(journal.check_trial(&[]));
        assert!(violations.is_empty(), "{violations:#?}");
    }

    fn breaks(&self) -> Vec<BreakRow> {
        self.sim.all()
    }

    fn classes(&self) -> Vec<BreakClass> {
        let mut classes: Vec<BreakClass> = self.breaks().iter().filter(|b| b.is_open()).map(|b| b.class).collect();
        classes.sort();
        classes
    }

    /// Everything booked by the run under test, on either layer: entry and amount.
    fn booked_since(&self, before: usize) -> Vec<(EntryKind, i64)> {
        self.sim.transfers[before..].iter().map(|t| (t.entry, t.amount_fen)).collect()
    }

    fn posted(&self, account: &Account) -> i64 {
        self.sim.balance(account, Layer::Posted)
    }

    fn elder(&self) -> i64 {
        let account = Account::entitlement(&book(), "e1", &self.channel);
        self.posted(&account) + self.sim.balance(&account, Layer::Held)
    }

    fn suspense(&self) -> i64 {
        self.posted(&Account::suspense(&book(), &self.channel))
    }

    fn clearing(&self) -> i64 {
        self.posted(&Account::clearing(&book(), &self.channel, date(DAY)))
    }

    fn payable(&self, institution: &str) -> i64 {
        self.posted(&Account::payable(&book(), institution, &self.channel))
    }

    fn propose(&mut self, class: BreakClass, resolution: Resolution, elder: Option<&str>) -> Result<String, Rejection> {
        let found = self.breaks().into_iter().find(|b| b.class == class && b.is_open()).expect("the break is there");
        let propose = ProposeResolution {
            break_name: found.break_name.clone(),
            resolution,
            reason: "as the channel says".into(),
            elder: elder.map(str::to_owned),
        };
        self.execute("regions/110000/admins/wang", &propose)?;
        Ok(found.break_name)
    }

    fn decide(&mut self, actor: &str, break_name: &str, approve: bool) -> Result<Decision, Rejection> {
        let decide =
            DecideResolution { break_name: break_name.into(), expected_version: 0, approve, reason: "checked".into() };
        self.execute(actor, &decide)
    }

    fn resolve(&mut self, class: BreakClass, resolution: Resolution, elder: Option<&str>) -> Vec<(EntryKind, i64)> {
        let name = self.propose(class, resolution, elder).unwrap();
        let before = self.sim.transfers.len();
        self.decide("gateway/admins/li", &name, true).unwrap();
        self.check_identities();
        self.booked_since(before)
    }
}

type Plant = fn(&mut World);
type Entries = Vec<(EntryKind, i64)>;
/// Name, day, open breaks after the run, what the run books.
type Planted = (&'static str, Plant, Vec<BreakClass>, Entries);
/// Name, day, class, resolution, elder named, what the approval books; then the elder's balance,
/// suspense, and clearing of the date.
type Resolved = (&'static str, Plant, BreakClass, Resolution, Option<&'static str>, Entries, [i64; 3]);

/// A day, what is open after its run and after its resolution, and what that booked: a row of
/// `docs/payments.md`.
pub(crate) struct Told {
    pub day: &'static str,
    pub classes: Vec<BreakClass>,
    pub resolution: Option<Resolution>,
    pub transfers: Vec<TransferRow>,
}

/// The days of these tests as they went.
pub(crate) fn told() -> Vec<Told> {
    let days = differences().into_iter().map(|(day, plant, ..)| (day, plant, None));
    let resolved =
        resolutions().into_iter().map(|(day, plant, class, how, elder, ..)| (day, plant, Some((class, how, elder))));
    let tell = |(day, plant, resolve): (&'static str, Plant, Option<(BreakClass, Resolution, Option<&str>)>)| {
        let mut world = World::new();
        world.sim.given(&super::super::tests_support::elder("elders/e1"));
        plant(&mut world);
        let before = world.sim.transfers.len();
        world.run();
        let Some((class, resolution, elder)) = resolve else {
            let transfers = world.sim.transfers[before..].to_vec();
            return Told { day, classes: world.classes(), resolution: None, transfers };
        };
        let before = world.sim.transfers.len();
        world.resolve(class, resolution, elder);
        let transfers = world.sim.transfers[before..].to_vec();
        Told { day, classes: vec![class], resolution: Some(resolution), transfers }
    };
    days.chain(resolved).map(tell).collect()
}

/// Each difference, as the only one of its day: its class and exactly what the run books.
fn differences() -> Vec<Planted> {
    use BreakClass::*;
    use EntryKind as E;
    vec![
        (
            "matched",
            |w| drop(w.matched("ORDER001", 60_000)),
            vec![],
            vec![(E::Matched, 60_000), (E::FeeInstitution, 120)],
        ),
        (
            "matched, the region bears the fee",
            |w| {
                w.region_bears_the_fee();
                w.matched("ORDER001", 60_000);
            },
            vec![],
            vec![(E::Matched, 60_000), (E::FeeRegion, 120)],
        ),
        (
            "duplicate",
            |w| {
                w.matched("ORDER001", 60_000);
                w.line("ORDER001", 60_000);
            },
            vec![Duplicate],
            vec![(E::Matched, 60_000), (E::FeeInstitution, 120), (E::Duplicate, 60_000), (E::FeeInstitution, 120)],
        ),
        (
            "ambiguous",
            |w| {
                w.payment("ORDER001", 60_000, PaymentState::Confirmed);
                for minutes in [1, 2] {
                    let line = w.line("ORDER001", 30_000);
                    line.transaction_time = line.transaction_time.plus_us(minutes * 60_000_000);
                }
            },
            vec![Ambiguous],
            vec![(E::ChannelOnly, 30_000), (E::FeeInstitution, 60), (E::ChannelOnly, 30_000), (E::FeeInstitution, 60)],
        ),
        (
            "refund orphan",
            |w| w.refund_line("REFUND01", "NEVERSEEN", 5_000),
            vec![RefundOrphan],
            vec![(E::RefundOrphan, 5_000)],
        ),
        (
            "refund in the file",
            |w| {
                let payment = w.matched("ORDER001", 60_000);
                w.refund("REFUND01", &payment, 10_000);
                w.refund_line("REFUND01", "ORDER001", 10_000);
            },
            vec![],
            vec![(E::Matched, 60_000), (E::FeeInstitution, 120), (E::RefundInFile, 10_000)],
        ),
        (
            "refund of a known payment, not reported",
            |w| {
                w.matched("ORDER001", 60_000);
                w.refund_line("REFUND01", "ORDER001", 10_000);
            },
            vec![ChannelOnly],
            vec![(E::Matched, 60_000), (E::FeeInstitution, 120), (E::RefundOrphan, 10_000)],
        ),
        (
            "channel only",
            |w| w.unknown("ORDER001", 60_000),
            vec![ChannelOnly],
            vec![(E::ChannelOnly, 60_000), (E::FeeInstitution, 120)],
        ),
        ("ledger only", |w| drop(w.payment("ORDER001", 60_000, PaymentState::Confirmed)), vec![LedgerOnly], vec![]),
        (
            "refund only in the ledger",
            |w| {
                let payment = w.matched("ORDER001", 60_000);
                w.refund("REFUND01", &payment, 10_000);
            },
            vec![LedgerOnly],
            vec![(E::Matched, 60_000), (E::FeeInstitution, 120)],
        ),
        (
            "other payee: payable to the one that the file names",
            |w| {
                w.matched("ORDER001", 60_000);
                w.lines[0].institution = OTHER_USCC.into();
            },
            vec![PartyMismatch],
            vec![(E::Matched, 60_000), (E::FeeInstitution, 120)],
        ),
        (
            "held, but in the file",
            |w| {
                w.payment("ORDER001", 60_000, PaymentState::Reserved);
                w.line("ORDER001", 60_000);
            },
            vec![StatusMismatch],
            vec![(E::HoldReversed, 60_000), (E::HeldButInFile, 60_000), (E::Matched, 60_000), (E::FeeInstitution, 120)],
        ),
        (
            "reversed, but in the file",
            |w| {
                w.payment("ORDER001", 60_000, PaymentState::Reversed);
                w.line("ORDER001", 60_000);
            },
            vec![StatusMismatch],
            vec![(E::ChannelOnly, 60_000), (E::FeeInstitution, 120)],
        ),
        (
            "confirmed, failed in the file",
            |w| {
                w.matched("ORDER001", 60_000);
                w.lines[0].status = LineStatus::Failed;
            },
            vec![StatusMismatch],
            vec![],
        ),
        (
            "held, failed in the file: the reservation ends",
            |w| {
                w.payment("ORDER001", 60_000, PaymentState::Reserved);
                w.line("ORDER001", 60_000).status = LineStatus::Failed;
            },
            vec![],
            vec![(E::HoldReversed, 60_000)],
        ),
        (
            "file more",
            |w| {
                w.payment("ORDER001", 60_000, PaymentState::Confirmed);
                w.line("ORDER001", 70_000);
            },
            vec![AmountMismatch],
            vec![(E::Matched, 60_000), (E::AmountFileMore, 10_000), (E::FeeInstitution, 140)],
        ),
        (
            "file less",
            |w| {
                w.payment("ORDER001", 60_000, PaymentState::Confirmed);
                w.line("ORDER001", 50_000);
            },
            vec![AmountMismatch],
            vec![(E::Matched, 50_000), (E::FeeInstitution, 100)],
        ),
        (
            "fee more",
            |w| {
                w.matched("ORDER001", 60_000);
                w.lines[0].fee_fen += 30;
            },
            vec![FeeMismatch],
            vec![(E::Matched, 60_000), (E::FeeInstitution, 120), (E::FeeFileMore, 30)],
        ),
        (
            "fee less",
            |w| {
                w.matched("ORDER001", 60_000);
                w.lines[0].fee_fen -= 30;
            },
            vec![FeeMismatch],
            vec![(E::Matched, 60_000), (E::FeeInstitution, 120)],
        ),
        (
            "everything at once is one difference",
            |w| {
                w.payment("ORDER001", 60_000, PaymentState::Reserved);
                let line = w.line("ORDER001", 70_000);
                line.fee_fen += 5;
                line.institution = OTHER_USCC.into();
            },
            vec![PartyMismatch],
            vec![
                (E::HoldReversed, 60_000),
                (E::HeldButInFile, 60_000),
                (E::Matched, 60_000),
                (E::AmountFileMore, 10_000),
                (E::FeeInstitution, 140),
                (E::FeeFileMore, 5),
            ],
        ),
        (
            "late confirmation in the file",
            |w| {
                let row = w.payment("ORDER000", 1, PaymentState::Reversed);
                let row = PaymentRow {
                    payment: "payments/ORDER001".into(),
                    order_id: "ORDER001".into(),
                    bill: "bills/ORDER001".into(),
                    amount_fen: 60_000,
                    kept_fen: 20_000,
                    state: PaymentState::Late,
                    ..row
                };
                w.add(row);
                w.line("ORDER001", 60_000);
            },
            vec![LateConfirmation],
            vec![(E::Matched, 60_000), (E::FeeInstitution, 120)],
        ),
    ]
}

#[test]
fn each_difference_is_found_and_booked() {
    for (name, plant, classes, entries) in differences() {
        let mut world = World::new();
        plant(&mut world);
        let before = world.sim.transfers.len();
        let run = world.run();
        assert_eq!(world.classes(), classes, "{name}");
        assert_eq!(world.booked_since(before), entries, "{name}");
        assert_eq!(run.state, if classes.is_empty() { RunState::Balanced } else { RunState::WithBreaks }, "{name}");
        // Again, with the same file: the same picture, nothing booked.
        let (before, breaks) = (world.sim.transfers.len(), world.breaks());
        let again = world.run();
        assert_eq!(world.booked_since(before), vec![], "{name}, again");
        assert_eq!(world.breaks(), breaks, "{name}, again");
        assert_eq!((again.number, again.state, again.breaks_opened), (2, run.state, 0), "{name}, again");
        assert_eq!(again.channel_leg, run.channel_leg, "{name}, again");
    }
}

#[test]
fn findings_of_the_day() {
    let mut world = World::new();
    let mut payment = world.matched("ORDER001", 60_000);
    payment.unmet = Json(vec![
        Unmet { condition: Condition::Contract, detail: "CONTRACT_NOT_IN_FORCE (contracts/c1)".into() },
        Unmet { condition: Condition::Stay, detail: "NO_STAY_IN_MONTH (2026-11)".into() },
    ]);
    world.sim.given(&payment);
    let advised = world.matched("ORDER002", 480_000);
    let mut line: BillLineRow = world.sim.get(key![advised.bill.clone(), advised.fee_type]).unwrap();
    line.due_fen = 400_000;
    world.sim.given(&line);
    world.run();
    use BreakClass::*;
    assert_eq!(world.classes(), [PaidWithoutContract, ConditionUnmet, Overspent, BillExceeded]);
    let unmet = world.breaks().into_iter().find(|b| b.class == ConditionUnmet).unwrap();
    assert_eq!(unmet.condition, Some(Condition::Stay));
    world.run();
    assert_eq!(world.breaks().len(), 4, "nothing is found twice");
    world.propose(Overspent, Resolution::Accept, None).unwrap_err();
    assert_eq!(world.resolve(ConditionUnmet, Resolution::Justified, None), vec![]);
}

#[test]
fn grants_without_basis_and_failed_credits_surface_with_the_elders_payments() {
    let mut world = World::new();
    world.matched("ORDER001", 60_000);
    let mut basis = super::super::tests_support::rating("assessments/a1");
    basis.version = 2;
    basis.state = crate::rules::rating::RecordState::Revoked;
    basis.effective_on = date("2026-11-01");
    world.sim.given(&basis);
    let grant = super::super::tests_support::grant("grants/g1", "2026-11", "assessments/a1");
    world.sim.given(&grant);
    world.sim.given(&GrantRow {
        grant: "grants/g0".into(),
        month: "2026-10".parse().unwrap(),
        state: GrantState::CreditFailed,
        ..grant
    });
    world.run();
    assert_eq!(world.classes(), [BreakClass::GrantWithoutBasis, BreakClass::CreditFailed]);
}

#[test]
fn a_revocation_recorded_later_surfaces_the_payment() {
    let mut world = World::new();
    let mut payment = world.matched("ORDER001", 60_000);
    payment.stands_on = Json(vec![StandsOn { record: "ratings/r1".into(), version: 1 }]);
    world.sim.given(&payment);
    let mut rating = super::super::tests_support::rating("ratings/r1");
    world.sim.given(&rating);
    world.run();
    assert_eq!(world.classes(), []);
    rating.version = 2;
    rating.state = crate::rules::rating::RecordState::Revoked;
    rating.effective_on = date("2026-11-17");
    world.sim.given(&rating);
    world.run();
    assert_eq!(world.classes(), [], "effective after the payment");
    rating.version = 3;
    rating.effective_on = date("2026-11-01");
    world.sim.given(&rating);
    world.run();
    assert_eq!(world.classes(), [BreakClass::PaidAfterRevocation]);
}

/// Each resolution and what it books.
fn resolutions() -> Vec<Resolved> {
    use BreakClass::*;
    use EntryKind as E;
    use Resolution::*;
    let duplicate: Plant = |w| {
        w.matched("ORDER001", 60_000);
        w.line("ORDER001", 60_000);
    };
    let unknown: Plant = |w| w.unknown("ORDER001", 60_000);
    let reversed: Plant = |w| {
        w.payment("ORDER001", 60_000, PaymentState::Reversed);
        w.line("ORDER001", 60_000);
    };
    let more: Plant = |w| {
        w.payment("ORDER001", 60_000, PaymentState::Confirmed);
        w.line("ORDER001", 70_000);
    };
    let less: Plant = |w| {
        w.payment("ORDER001", 60_000, PaymentState::Confirmed);
        w.line("ORDER001", 50_000);
    };
    let fee: Plant = |w| {
        w.matched("ORDER001", 60_000);
        w.lines[0].fee_fen += 30;
    };
    let late: Plant = |w| {
        let row = w.payment("ORDER000", 1, PaymentState::Reversed);
        let row = PaymentRow {
            payment: "payments/ORDER001".into(),
            order_id: "ORDER001".into(),
            bill: "bills/ORDER001".into(),
            amount_fen: 60_000,
            kept_fen: 20_000,
            state: PaymentState::Late,
            ..row
        };
        w.add(row);
        w.line("ORDER001", 60_000);
    };
    let late_not_in_file: Plant = |w| {
        let row = w.payment("ORDER000", 1, PaymentState::Reversed);
        let row = PaymentRow {
            payment: "payments/ORDER001".into(),
            order_id: "ORDER001".into(),
            bill: "bills/ORDER001".into(),
            amount_fen: 60_000,
            kept_fen: 20_000,
            state: PaymentState::Late,
            ..row
        };
        w.add(row);
    };
    let poor: Plant = |w| {
        w.matched("ORDER002", 460_000);
        w.line("ORDER001", 60_000);
    };
    vec![
        ("duplicate accepted", duplicate, Duplicate, Accept, None, vec![(E::LateAccepted, 60_000)], [380_000, 0, 0]),
        (
            "duplicate repaid",
            duplicate,
            Duplicate,
            Repay,
            None,
            vec![(E::LateRefunded, 60_000), (E::RefundInFile, 60_000), (E::FeeFileLess, 120)],
            [440_000, 0, 0],
        ),
        ("duplicate written off", duplicate, Duplicate, WriteOff, None, vec![(E::WrittenOff, 60_000)], [440_000, 0, 0]),
        (
            "unknown accepted",
            unknown,
            ChannelOnly,
            Accept,
            Some("elders/e1"),
            vec![(E::LateAccepted, 60_000)],
            [440_000, 0, 0],
        ),
        (
            "unknown repaid",
            unknown,
            ChannelOnly,
            Repay,
            None,
            vec![(E::LateRefunded, 60_000), (E::RefundInFile, 60_000), (E::FeeFileLess, 120)],
            [500_000, 0, 0],
        ),
        (
            "accepted beyond the account",
            poor,
            ChannelOnly,
            Accept,
            Some("elders/e1"),
            vec![(E::LateAccepted, 40_000), (E::LateShortfall, 20_000)],
            [0, 0, 0],
        ),
        (
            "reversed, accepted",
            reversed,
            StatusMismatch,
            Accept,
            None,
            vec![(E::LateAccepted, 60_000)],
            [440_000, 0, 0],
        ),
        (
            "reversed, repaid",
            reversed,
            StatusMismatch,
            Repay,
            None,
            vec![(E::LateRefunded, 60_000), (E::RefundInFile, 60_000), (E::FeeFileLess, 120)],
            [500_000, 0, 0],
        ),
        (
            "ledger only released",
            |w| drop(w.payment("ORDER001", 60_000, PaymentState::Confirmed)),
            LedgerOnly,
            Release,
            None,
            vec![(E::LedgerOnlyCleared, 60_000)],
            [500_000, 0, 0],
        ),
        (
            "failed in the file",
            |w| {
                w.matched("ORDER001", 60_000);
                w.lines[0].status = LineStatus::Failed;
            },
            StatusMismatch,
            Release,
            None,
            vec![(E::LedgerOnlyCleared, 60_000)],
            [500_000, 0, 0],
        ),
        (
            "refund not made",
            |w| {
                let p = w.matched("ORDER001", 60_000);
                w.refund("REFUND01", &p, 10_000);
            },
            LedgerOnly,
            Release,
            None,
            vec![(E::LedgerOnlyCleared, 10_000)],
            [440_000, 0, 0],
        ),
        ("file more accepted", more, AmountMismatch, Accept, None, vec![(E::LateAccepted, 10_000)], [430_000, 0, 0]),
        (
            "file more repaid",
            more,
            AmountMismatch,
            Repay,
            None,
            vec![(E::LateRefunded, 10_000), (E::RefundInFile, 10_000)],
            [440_000, 0, 0],
        ),
        ("file less released", less, AmountMismatch, Release, None, vec![(E::AmountFileLess, 10_000)], [450_000, 0, 0]),
        ("fee borne", fee, FeeMismatch, InstitutionBears, None, vec![(E::FeeMoreAccepted, 30)], [440_000, 0, 0]),
        ("fee repaid", fee, FeeMismatch, Repay, None, vec![(E::FeeMoreRepaid, 30)], [440_000, 0, 0]),
        (
            "fee less",
            |w| {
                w.matched("ORDER001", 60_000);
                w.lines[0].fee_fen -= 30;
            },
            FeeMismatch,
            Accept,
            None,
            vec![(E::FeeFileLess, 30)],
            [440_000, 0, 0],
        ),
        (
            "orphan accepted",
            |w| w.refund_line("REFUND01", "NEVERSEEN", 5_000),
            RefundOrphan,
            Accept,
            Some("elders/e1"),
            vec![(E::RefundOrphanAccepted, 5_000)],
            [505_000, 0, 0],
        ),
        (
            "orphan taken back",
            |w| w.refund_line("REFUND01", "NEVERSEEN", 5_000),
            RefundOrphan,
            Repay,
            None,
            vec![(E::SuspenseRepaid, 5_000)],
            [500_000, 0, 0],
        ),
        (
            "refund not reported, accepted",
            |w| {
                w.matched("ORDER001", 60_000);
                w.refund_line("REFUND01", "ORDER001", 10_000);
            },
            ChannelOnly,
            Accept,
            None,
            vec![(E::RefundOrphanAccepted, 10_000)],
            [450_000, 0, 0],
        ),
        (
            "reversed, written off",
            reversed,
            StatusMismatch,
            WriteOff,
            None,
            vec![(E::WrittenOff, 60_000)],
            [500_000, 0, 0],
        ),
        (
            "late written off",
            late,
            LateConfirmation,
            WriteOff,
            None,
            vec![(E::HoldReversed, 20_000), (E::WrittenOff, 60_000)],
            [500_000, 0, 0],
        ),
        (
            "late accepted",
            late,
            LateConfirmation,
            Accept,
            None,
            vec![(E::HoldReversed, 20_000), (E::LateAccepted, 60_000)],
            [440_000, 0, 0],
        ),
        (
            "late repaid",
            late,
            LateConfirmation,
            Repay,
            None,
            vec![(E::HoldReversed, 20_000), (E::LateRefunded, 60_000), (E::RefundInFile, 60_000)],
            [500_000, 0, 0],
        ),
        (
            "late, not in the file",
            late_not_in_file,
            LateConfirmation,
            Repay,
            None,
            vec![(E::HoldReversed, 20_000), (E::LateRefunded, 60_000)],
            [500_000, 0, 0],
        ),
        (
            "late, not in the file, released",
            late_not_in_file,
            LedgerOnly,
            Release,
            None,
            vec![(E::LateRefunded, 60_000), (E::HoldReversed, 20_000)],
            [500_000, 0, 0],
        ),
        (
            "ambiguous accepted",
            |w| {
                w.payment("ORDER001", 60_000, PaymentState::Confirmed);
                for minutes in [1, 2] {
                    let line = w.line("ORDER001", 30_000);
                    line.transaction_time = line.transaction_time.plus_us(minutes * 60_000_000);
                }
            },
            Ambiguous,
            Accept,
            None,
            vec![(E::Matched, 60_000)],
            [440_000, 0, 0],
        ),
        (
            "ambiguous released",
            |w| {
                w.payment("ORDER001", 60_000, PaymentState::Confirmed);
                for minutes in [1, 2] {
                    let line = w.line("ORDER001", 30_000);
                    line.transaction_time = line.transaction_time.plus_us(minutes * 60_000_000);
                }
            },
            Ambiguous,
            Release,
            None,
            vec![
                (E::LedgerOnlyCleared, 60_000),
                (E::LateRefunded, 30_000),
                (E::RefundInFile, 30_000),
                (E::FeeFileLess, 60),
                (E::LateRefunded, 30_000),
                (E::RefundInFile, 30_000),
                (E::FeeFileLess, 60),
            ],
            [500_000, 0, 0],
        ),
    ]
}

/// Every identity closes after it.
#[test]
fn resolutions_book_the_rest() {
    for (name, plant, class, resolution, elder, entries, [elder_has, suspense, clearing]) in resolutions() {
        let mut world = World::new();
        world.sim.given(&super::super::tests_support::elder("elders/e1"));
        plant(&mut world);
        world.run();
        assert_eq!(world.resolve(class, resolution, elder), entries, "{name}");
        assert_eq!([world.elder(), world.suspense(), world.clearing()], [elder_has, suspense, clearing], "{name}");
        let open = world.classes();
        assert!(!open.contains(&class), "{name}: {open:?}");
        // A later run of the same file neither reopens nor books.
        let before = world.sim.transfers.len();
        let run = world.run();
        assert_eq!(world.booked_since(before), vec![], "{name}");
        assert_eq!(run.state, RunState::Balanced, "{name}: {:?}", world.classes());
    }
}

#[test]
fn two_people_resolve_and_a_third_signs() {
    let mut world = World::new();
    world.line("ORDER001", 60_000);
    world.sim.given(&super::super::tests_support::elder("elders/e1"));
    let run = world.run();
    let refused = world.propose(BreakClass::ChannelOnly, Resolution::Release, None).unwrap_err();
    assert_eq!(refused.reason, Reason::ResolutionNotAllowed);
    let refused = world.propose(BreakClass::ChannelOnly, Resolution::Justified, None).unwrap_err();
    assert_eq!(refused.reason, Reason::ResolutionNotAllowed, "money in suspense needs an entry");
    let refused = world.propose(BreakClass::ChannelOnly, Resolution::Accept, None).unwrap_err();
    assert_eq!((refused.reason, refused.field.as_deref()), (Reason::FieldMissing, Some("elder")));
    let name = world.propose(BreakClass::ChannelOnly, Resolution::Repay, None).unwrap();
    let refused = world.decide("regions/110000/admins/wang", &name, true).unwrap_err();
    assert_eq!(refused.reason, Reason::SamePerson);
    assert_eq!(world.decide("regions/120000/admins/zhao", &name, true).unwrap_err().reason, Reason::NotYourRecord);
    assert_eq!(world.decide("regions/110000", &name, true).unwrap_err().reason, Reason::RoleNotAllowed);
    world.decide("gateway/admins/li", &name, false).unwrap();
    let row: BreakRow = world.sim.get(key![name.clone()]).unwrap();
    assert_eq!((row.state, row.resolution, row.version), (BreakState::New, None, 3));
    world.propose(BreakClass::ChannelOnly, Resolution::Repay, None).unwrap();
    world.decide("gateway/admins/li", &name, true).unwrap();
    let view: ViewRow = world.sim.get(key![run.run.clone(), region("110000")]).unwrap();
    let sign = |root: &str| SignView {
        run: run.run.clone(),
        participant: region("110000"),
        root: root.into(),
        differences: vec![],
    };
    assert_eq!(world.execute("regions/110000/admins/wang", &sign(&view.root)).unwrap_err().reason, Reason::SamePerson);
    assert_eq!(world.execute("regions/110000/admins/chen", &sign("00")).unwrap_err().reason, Reason::RootMismatch);
    assert_eq!(
        world.execute("regions/130000/admins/zhou", &sign(&view.root)).unwrap_err().reason,
        Reason::NotYourRecord
    );
    world.execute("regions/110000/admins/chen", &sign(&view.root)).unwrap();
    let signed: ViewRow = world.sim.get(key![run.run.clone(), region("110000")]).unwrap();
    assert_eq!(signed.state, ViewState::Agreed);
    let gateway: ViewRow = world.sim.get(key![run.run.clone(), Participant::gateway()]).unwrap();
    assert_eq!(gateway.state_on(gateway.sign_by.plus_days(-1)), ViewState::Open);
    assert_eq!(gateway.state_on(gateway.sign_by), ViewState::Unsigned);
}

#[test]
fn a_cut_off_clears_by_the_next_dates_file_and_keeps_its_name() {
    let mut world = World::on("2026-11-17");
    world.payment("ORDER001", 60_000, PaymentState::Confirmed);
    world.run();
    assert_eq!(world.classes(), [BreakClass::Cutoff]);
    let name = world.breaks()[0].break_name.clone();
    // In grace no resolution is allowed.
    assert!(allowed(BreakClass::Cutoff).is_empty());
    world.now = date("2026-11-18").starts_at().plus_us(9 * HOUR_US);
    world.line("ORDER001", 60_000);
    let next = StartRun { clearing_date: date("2026-11-17"), ..world.start(vec![world.file("files/f2")]) };
    let run = world.run_with(&next);
    assert_eq!((run.state, world.clearing()), (RunState::Balanced, 0));
    let row: BreakRow = world.sim.get(key![name]).unwrap();
    assert_eq!((row.state, row.resolution), (BreakState::Resolved, Some(Resolution::Cleared)));
    assert_eq!(world.payable(USCC), 60_000 - 120);
    // The first date again: its row is matched by the other date's file.
    world.lines.clear();
    assert_eq!(world.run().state, RunState::Balanced);
}

/// What is at stake stays the same, and yet the row is matched now.
#[test]
fn a_row_of_nothing_matches_what_was_missing() {
    for region_bears in [false, true] {
        let mut world = World::on("2026-11-17");
        if region_bears {
            world.region_bears_the_fee();
        }
        let payment = world.payment("ORDER001", 60_000, PaymentState::Confirmed);
        world.run();
        assert_eq!(world.classes(), [BreakClass::Cutoff]);
        world.line("ORDER001", 0).fee_fen = 0;
        let start = StartRun { fee: None, ..world.start(vec![world.file("files/f1")]) };
        world.run_with(&start);
        assert_eq!(world.classes(), [BreakClass::AmountMismatch], "{region_bears}");
        let row: PaymentRow = world.sim.get(key![payment.payment]).unwrap();
        assert_eq!((row.matched_by.as_deref(), world.clearing()), (Some("files/f1#2"), 60_000), "{region_bears}");
    }
}

#[test]
fn a_cut_off_past_its_grace_is_ledger_only_under_the_same_name() {
    let mut world = World::on("2026-11-17");
    world.payment("ORDER001", 60_000, PaymentState::Confirmed);
    world.run();
    let name = world.breaks()[0].break_name.clone();
    world.now = date("2026-11-19").starts_at();
    let other = StartRun { clearing_date: date("2026-11-18"), ..world.start(vec![world.file("files/f2")]) };
    world.run_with(&other);
    let row: BreakRow = world.sim.get(key![name.clone()]).unwrap();
    assert_eq!((row.class, row.version), (BreakClass::LedgerOnly, 2));
    world.resolve(BreakClass::LedgerOnly, Resolution::Release, None);
    // And if the file brings it after all, the break is the same one, open again.
    world.line("ORDER001", 60_000);
    world.run();
    let row: BreakRow = world.sim.get(key![name]).unwrap();
    assert_eq!((row.class, row.state), (BreakClass::StatusMismatch, BreakState::New));
}

#[test]
fn what_the_channel_alone_had_clears_when_the_ledger_learns_of_it() {
    let mut world = World::new();
    world.line("ORDER001", 60_000);
    world.run();
    assert_eq!(world.suspense(), 60_000);
    world.payment("ORDER001", 60_000, PaymentState::Confirmed);
    let run = world.run();
    assert_eq!((run.state, world.suspense(), world.clearing()), (RunState::Balanced, 0, 0));
    assert_eq!(world.payable(USCC), 60_000 - 120);
}

#[test]
fn a_reservation_ends_when_both_complete_files_lack_it() {
    let mut world = World::new();
    world.payment("ORDER001", 60_000, PaymentState::Reserved);
    assert_eq!(world.run().reservations_expired, 0, "one file is not enough");
    let next = StartRun { clearing_date: date("2026-11-17"), ..world.start(vec![world.file("files/f2")]) };
    let run = world.run_with(&next);
    assert_eq!(run.reservations_expired, 1);
    let payment: PaymentRow = world.sim.get(key!["payments/ORDER001".to_owned()]).unwrap();
    assert_eq!((payment.state, world.elder()), (PaymentState::Expired, 500_000));
    let line: BillLineRow = world.sim.get(key![payment.bill, payment.fee_type]).unwrap();
    assert_eq!(line.held_fen, 0);
}

#[test]
fn an_incomplete_file_ends_no_reservation() {
    let mut world = World::new();
    world.payment("ORDER001", 60_000, PaymentState::Reserved);
    world.run();
    let mut file = world.file("files/f2");
    let mut parsed = ParsedFile::clone(&file.parsed);
    parsed.push(Err(LineFault { line: 9, byte_offset: 900, field: "order_id".into(), reason: FaultReason::Missing }));
    parsed.disordered = false;
    parsed.trailer = Some(ControlTotals { rows: 1, amount_fen: 5, fee_fen: 0 });
    file.parsed = Arc::new(parsed);
    let next = StartRun { clearing_date: date("2026-11-17"), ..world.start(vec![file]) };
    let run = world.run_with(&next);
    assert_eq!((run.reservations_expired, run.files_complete, run.channel_leg.0.rejected), (0, false, 1));
    assert_eq!(world.classes(), [BreakClass::MissingField]);
}

#[test]
fn an_absent_file_is_not_an_empty_one() {
    let mut world = World::new();
    world.payment("ORDER001", 60_000, PaymentState::Confirmed);
    let absent = world.start(vec![]);
    assert_eq!(world.execute("gateway/admins/runner", &absent).unwrap_err().reason, Reason::FileMissing);
    let run = world.run_with(&StartRun { allow_missing_files: true, ..absent });
    assert_eq!((run.state, run.ledger_leg.0.broken), (RunState::Incomplete, 1));
    assert_eq!(world.classes(), [BreakClass::FileMissing], "its rows wait for it");
    world.line("ORDER001", 60_000);
    assert_eq!(world.run().state, RunState::Balanced);
    assert_eq!(world.classes(), []);
}

#[test]
fn totals_that_disagree_make_the_run_incomplete() {
    let mut world = World::new();
    world.matched("ORDER001", 60_000);
    let mut file = world.file("files/f1");
    let mut parsed = ParsedFile::clone(&file.parsed);
    parsed.trailer = Some(ControlTotals { rows: 2, ..parsed.totals() });
    file.parsed = Arc::new(parsed);
    let start = world.start(vec![file]);
    let run = world.run_with(&start);
    assert_eq!(run.state, RunState::Incomplete);
    let view: ViewRow = world.sim.get(key![run.run.clone(), region("110000")]).unwrap();
    let sign = SignView { run: run.run, participant: view.participant, root: view.root, differences: vec![] };
    let refused = world.execute("regions/110000/admins/chen", &sign).unwrap_err();
    assert_eq!(refused.reason, Reason::RunIncomplete, "nobody signs what is not whole");
    assert_eq!(world.classes(), [BreakClass::ControlTotal]);
}

#[test]
fn a_file_that_arrives_while_the_run_is_prepared_is_not_passed_over() {
    let mut world = World::new();
    world.matched("ORDER001", 60_000);
    let now = world.now;
    let received = |name: &str, content: FileContent| FileRow {
        file: name.into(),
        sender: "channels/unionpay".parse().unwrap(),
        channel: "channels/unionpay".parse().unwrap(),
        clearing_date: date(DAY),
        format: FileFormat::Csv,
        content,
        merchant_id: String::new(),
        file_name: String::new(),
        size_bytes: 1,
        sha256: "00".repeat(32),
        stored_sha256: String::new(),
        wrapped_key: String::new(),
        state: FileState::Received,
        rows: 1,
        rejected_rows: 0,
        rejections: Json(vec![]),
        refusal: None,
        refusal_detail: String::new(),
        superseded_by: None,
        recorded_at_us: now,
        version: 2,
    };
    world.sim.given(&received("files/f1", FileContent::Settlement));
    world.sim.given(&received("files/f2", FileContent::Balances));
    let start = world.start(vec![world.file("files/f1")]);
    world.run_with(&start);
    world.sim.given(&received("files/f3", FileContent::Settlement));
    let refused = world.execute("gateway/admins/runner", &start).unwrap_err();
    assert_eq!((refused.reason, refused.field.as_deref()), (Reason::FileArrived, Some("clearing_date")));
    assert!(refused.message_en().contains("files/f3"), "{refused}");
}

/// LEDGER.md: borne by the region, the fee is an expense of the elder's funding division.
#[test]
fn a_region_that_bears_the_fee_pays_what_the_file_states() {
    let mut world = World::new();
    world.region_bears_the_fee();
    world.matched("ORDER001", 60_000);
    world.run();
    let fee = world.sim.transfers.last().unwrap();
    assert_eq!((&fee.debit, &fee.credit), (&Account::expense(&book(), "110000", 2026), &Account::bank(&book())));
}

#[test]
fn a_row_that_no_book_is_found_for_is_not_booked() {
    let mut world = World::new();
    world.line("ORDER001", 60_000);
    let start = StartRun { default_book: None, ..world.start(vec![world.file("files/f1")]) };
    let before = world.sim.transfers.len();
    let run = world.run_with(&start);
    assert_eq!((run.state, world.booked_since(before)), (RunState::Incomplete, vec![]));
    // A row of the same merchant says where it belongs.
    world.matched("ORDER002", 10_000);
    let start = StartRun { default_book: None, ..world.start(vec![world.file("files/f1")]) };
    assert_eq!(world.run_with(&start).state, RunState::WithBreaks);
    assert_eq!(world.suspense(), 60_000);
}

#[test]
fn a_corrected_file_books_only_what_is_new() {
    let mut world = World::new();
    world.matched("ORDER001", 60_000);
    world.run();
    world.line("ORDER001", 60_000);
    let file = RunFile { supersedes: vec!["files/f1".into()], ..world.file("files/f2") };
    let before = world.sim.transfers.len();
    let start = world.start(vec![file]);
    world.run_with(&start);
    assert_eq!(world.classes(), [BreakClass::Duplicate]);
    assert_eq!(world.booked_since(before), [(EntryKind::Duplicate, 60_000), (EntryKind::FeeInstitution, 120)]);
    let before = world.sim.transfers.len();
    world.run_with(&start);
    assert_eq!(world.booked_since(before), []);
}

#[test]
fn what_a_corrected_file_has_once_leaves_suspense() {
    // The one row that is left says the same, or another amount.
    for less_fen in [0, 1] {
        let mut world = World::new();
        world.matched("ORDER001", 60_000);
        world.line("ORDER001", 60_000);
        world.run();
        assert_eq!((world.classes(), world.suspense()), (vec![BreakClass::Duplicate], 60_000));
        world.lines.pop();
        world.lines[0].amount_fen -= less_fen;
        let file = RunFile { supersedes: vec!["files/f1".into()], ..world.file("files/f2") };
        let start = world.start(vec![file]);
        world.run_with(&start);
        let left = if less_fen == 0 { vec![] } else { vec![BreakClass::AmountMismatch] };
        assert_eq!((world.classes(), world.suspense()), (left, 0));
        let before = world.sim.transfers.len();
        world.run_with(&start);
        assert_eq!(world.booked_since(before), []);
    }
}

#[test]
fn a_bank_statement_proves_the_subsidies_paid_out() {
    let mut world = World::new();
    world.channel = "channels/bank".parse().unwrap();
    let book = Book::new(region("110000"), "operating_subsidy").unwrap();
    let claim = |order: &str, state| ClaimRow {
        claim: format!("operatingSubsidyClaims/{order}"),
        region: region("130000"),
        payer: region("110000"),
        programme: "operating_subsidy".into(),
        institution: format!("institutions/{USCC}"),
        month: date(DAY).month(),
        stays: Json(vec![]),
        amount_fen: 80_000,
        state,
        funder_division: Some("110000".into()),
        channel: Some("channels/bank".parse().unwrap()),
        order_id: Some(order.into()),
        clearing_date: Some(date(DAY)),
        reason: String::new(),
        recorded_at_us: date(DAY).starts_at(),
        version: 1,
    };
    let (payable, clearing) =
        (Account::payable(&book, USCC, &world.channel), Account::clearing(&book, &world.channel, date(DAY)));
    for order in ["PAYOUT01", "PAYOUT02"] {
        world.sim.given(&claim(order, ClaimState::Paid));
        let month = world.now.month();
        world.setup(vec![
            Transfer::posted(
                EntryKind::OperatingSubsidyApproved,
                Account::expense(&book, "110000", 2026),
                payable.clone(),
                80_000,
                month,
            ),
            Transfer::posted(EntryKind::OperatingSubsidyConfirmed, payable.clone(), clearing.clone(), 80_000, month),
        ]);
    }
    for order in ["PAYOUT01", "PAYOUT09"] {
        let line = world.line(order, 80_000);
        line.kind = LineKind::OperatingSubsidy;
        line.merchant_id = String::new();
        line.fee_fen = 0;
    }
    let before = world.sim.transfers.len();
    world.run();
    assert_eq!(
        world.booked_since(before),
        [(EntryKind::OperatingSubsidyOnStatement, 80_000), (EntryKind::ChannelOnly, 80_000)]
    );
    assert_eq!(world.classes(), [BreakClass::ChannelOnly, BreakClass::LedgerOnly]);
    let found: ClaimRow = world.sim.get(key!["operatingSubsidyClaims/PAYOUT01".to_owned()]).unwrap();
    assert_eq!(found.state, ClaimState::OnStatement);
    assert_eq!(
        world.resolve(BreakClass::LedgerOnly, Resolution::Release, None),
        [(EntryKind::OperatingSubsidyReturned, 80_000)]
    );
    assert_eq!(world.resolve(BreakClass::ChannelOnly, Resolution::Repay, None), [(EntryKind::SuspenseRepaid, 80_000)]);
    assert_eq!(world.run().state, RunState::Balanced);
}

#[test]
fn a_view_is_the_same_whoever_computes_it_and_a_single_fen_changes_it() {
    let root = |amount: i64| {
        let mut world = World::new();
        world.matched("ORDER001", 60_000);
        world.matched("ORDER002", amount);
        world.run().root
    };
    assert_eq!(root(10_000), root(10_000));
    assert_ne!(root(10_000), root(10_001));
}

/// One row of a random day, under its own order id.
fn plant(world: &mut World, order: &str, what: u8, amount_fen: i64) -> Option<BreakClass> {
    use BreakClass::*;
    match what {
        0 => drop(world.matched(order, amount_fen)),
        1 => {
            world.matched(order, amount_fen);
            world.line(order, amount_fen);
        }
        2 => world.unknown(order, amount_fen),
        3 => drop(world.payment(order, amount_fen, PaymentState::Confirmed)),
        4 => {
            world.payment(order, amount_fen, PaymentState::Reserved);
            world.line(order, amount_fen);
        }
        5 => {
            world.payment(order, amount_fen, PaymentState::Expired);
            world.line(order, amount_fen);
        }
        6 => {
            world.payment(order, amount_fen, PaymentState::Confirmed);
            world.line(order, amount_fen + 1);
        }
        7 => {
            world.payment(order, amount_fen + 1, PaymentState::Confirmed);
            world.line(order, amount_fen);
        }
        8 => {
            world.matched(order, amount_fen);
            world.lines.last_mut().unwrap().fee_fen += 1;
        }
        9 => {
            world.matched(order, amount_fen);
            world.lines.last_mut().unwrap().institution = OTHER_USCC.into();
        }
        10 => world.refund_line(&format!("R{order}"), &format!("N{order}"), amount_fen),
        _ => drop(world.payment(order, amount_fen, PaymentState::Reserved)),
    }
    let class =
        [None, Some(Duplicate), Some(ChannelOnly), Some(LedgerOnly), Some(StatusMismatch), Some(StatusMismatch)];
    let further =
        [Some(AmountMismatch), Some(AmountMismatch), Some(FeeMismatch), Some(PartyMismatch), Some(RefundOrphan)];
    class.into_iter().chain(further).nth(usize::from(what)).flatten()
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(24))]

    /// Every planted difference is found with its class, none invented; identities close; a
    /// second run and a run after the half of the breaks are resolved book nothing more.
    #[test]
    fn random_days(rows in proptest::collection::vec((0u8..12, 1_000i64..10_000), 0..16), reversed: bool) {
        let mut world = World::new();
        let mut planted: Vec<BreakClass> = rows
            .iter()
            .enumerate()
            .filter_map(|(i, (what, amount))| plant(&mut world, &format!("ORDER{i:03}"), *what, *amount))
            .collect();
        planted.sort();
        if reversed {
            world.lines.reverse();
        }
        let run = world.run();
        streamed::check(&world, &run);
        proptest::prop_assert_eq!(world.classes(), planted);
        let (before, breaks) = (world.sim.transfers.len(), world.breaks());
        world.run();
        proptest::prop_assert_eq!(world.sim.transfers.len(), before);
        proptest::prop_assert_eq!(world.breaks(), breaks);
        for row in world.breaks().into_iter().step_by(2) {
            let Some(resolution) = allowed(row.class).iter().find(|r| {
                let propose = ProposeResolution { break_name: row.break_name.clone(), resolution: **r, reason: "x".into(), elder: None };
                world.execute("gateway/admins/a", &propose).is_ok()
            }) else { continue };
            let _ = resolution;
            world.decide("gateway/admins/b", &row.break_name, true).unwrap();
            world.check_identities();
        }
        let before = world.sim.transfers.len();
        let run = world.run();
        streamed::check(&world, &run);
        proptest::prop_assert_eq!(world.sim.transfers.len(), before);
    }
}

#[test]
fn a_refund_alone_places_a_row_that_nobody_knows() {
    let mut world = World::new();
    let paid = world.payment("ORDERPAID", 500, PaymentState::Confirmed);
    world.sim.given(&PaymentRow { clearing_date: date(DAY).plus_days(-7), ..paid.clone() });
    world.refund("REFUNDOF1", &paid, 100);
    world.refund_line("REFUNDOF1", "ORDERPAID", 100);
    world.unknown("ORDERUNKNOWN", 300);
    let start = StartRun { default_book: None, ..world.start(vec![world.file("files/f1")]) };
    world.execute("gateway/admins/runner", &start).unwrap();
    let unknown = world.breaks().into_iter().find(|b| b.class == BreakClass::ChannelOnly).unwrap();
    assert_eq!(unknown.programme.as_deref(), Some(paid.programme.as_str()));
}
