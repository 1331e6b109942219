use super::*;
use crate::care::contract::TerminateContract;
use crate::care::contract::TerminationReason;
use crate::care::stay::{AdmitElder, VoidStay};
use crate::care::testing::{Case, World, date, line, new_bill};
use crate::decision::Command;
use crate::guard::MAX_FEN;
use crate::key;
use crate::names::{Collection, Name};
use crate::payment::PaymentState;
use crate::recon::BreakClass;
use crate::rejection::Reason;

const BEIJING: &str = "regions/110000";
const HEBEI: &str = "regions/130000";

struct Given {
    world: World,
    home: Name,
    elder: Name,
    contract: Name,
}

fn given() -> Given {
    let mut world = World::new();
    let (home, elder) = (world.home(), world.elder());
    let contract = world.contract(&home, &elder);
    Given { world, home, elder, contract }
}

impl Given {
    fn with(&self, change: impl Fn(&mut PublishBill)) -> Box<dyn Command> {
        let mut command = new_bill(&self.home, &self.elder, &self.contract);
        change(&mut command);
        Box::new(command)
    }

    fn bill(&mut self) -> Name {
        let (home, elder, contract) = (self.home.clone(), self.elder.clone(), self.contract.clone());
        self.world.bill(&home, &elder, &contract)
    }

    fn line(&self, bill: &Name, fee_type: FeeType) -> BillLineRow {
        self.world.sim.get(key![bill.clone(), fee_type]).unwrap()
    }

    /// As if payments had posted and held so much on the bed fee.
    fn paid(&mut self, bill: &Name, posted_fen: i64, held_fen: i64) {
        let row = BillLineRow { posted_fen, held_fen, ..self.line(bill, FeeType::Bed) };
        self.world.sim.given(&row);
    }
}

fn amend(bill: &Name, lines: &[NewLine]) -> AmendBill {
    AmendBill { bill: bill.clone(), expected_version: 0, lines: lines.into(), reason: "核对".into() }
}

fn void(bill: &Name) -> VoidBill {
    VoidBill { bill: bill.clone(), reason: "重开".into() }
}

#[test]
fn published_amended_voided_published_again() {
    let mut given = given();
    let bill = given.bill();
    let row: BillRow = given.world.sim.get(key![bill.clone()]).unwrap();
    assert_eq!((row.person.as_str(), row.stay, row.version), (given.elder.as_str(), None, 1));
    assert_eq!(given.line(&bill, FeeType::Bed).open_fen(), 300_000);
    let again = given.with(|_| {});
    assert_eq!(given.world.refused(HEBEI, &*again), (Reason::RecordExists, Some("month".into())));

    // The nursing line is dropped, meals come in.
    given.world.ok(HEBEI, &amend(&bill, &[line(FeeType::Bed, 310_000, 10_000), line(FeeType::Meal, 90_000, 0)]));
    assert_eq!(given.line(&bill, FeeType::Bed).open_fen(), 300_000);
    assert!(given.line(&bill, FeeType::Nursing).is_dropped() && !given.line(&bill, FeeType::Meal).is_dropped());
    // And may come back.
    given.world.ok(HEBEI, &amend(&bill, &[line(FeeType::Nursing, 1, 1)]));
    assert!(given.line(&bill, FeeType::Bed).is_dropped() && !given.line(&bill, FeeType::Nursing).is_dropped());

    let decision = given.world.ok(HEBEI, &void(&bill));
    let told: Vec<_> = decision.leaves[0].audience.iter().map(|(who, _)| who.as_str()).collect();
    assert_eq!((decision.leaves[0].version, told), (4, vec![BEIJING, HEBEI]));
    use Reason::*;
    given.world.refuses(vec![
        ("void", HEBEI, Box::new(void(&bill)), StateNotAllowed, "bill"),
        ("void", HEBEI, Box::new(amend(&bill, &[line(FeeType::Bed, 1, 0)])), StateNotAllowed, "bill"),
    ]);
    given.bill();
}

#[test]
fn publications_refused() {
    let mut given = given();
    let other = given.world.elder();
    let theirs = given.world.contract(&given.home, &other);
    let lines = |lines: &'static [NewLine]| given.with(move |b| b.lines = lines.into());
    const BED: NewLine = NewLine { fee_type: FeeType::Bed, due_fen: 100, paid_elsewhere_fen: 0 };
    const FREE: NewLine = NewLine { due_fen: 0, ..BED };
    const NEGATIVE: NewLine = NewLine { paid_elsewhere_fen: -1, ..BED };
    const OVERPAID: NewLine = NewLine { paid_elsewhere_fen: 101, ..BED };
    const ENORMOUS: NewLine = NewLine { due_fen: MAX_FEN + 1, ..BED };
    let named = |collection| Name::of(collection, "none");
    use Reason::*;
    let cases: Vec<Case> = vec![
        ("another region", BEIJING, given.with(|_| {}), NotYourRecord, "institution"),
        (
            "unknown contract",
            HEBEI,
            given.with(|b| b.contract = named(Collection::Contract)),
            RecordNotFound,
            "contract",
        ),
        ("unknown elder", HEBEI, given.with(|b| b.elder = named(Collection::Elder)), RecordNotFound, "elder"),
        ("another's contract", HEBEI, given.with(|b| b.contract = theirs.clone()), FieldMalformed, "contract"),
        (
            "before the contract",
            HEBEI,
            given.with(|b| b.month = "2025-12".parse().unwrap()),
            StateNotAllowed,
            "contract",
        ),
        ("too early", HEBEI, given.with(|b| b.month = "2026-08".parse().unwrap()), MonthInFuture, "month"),
        ("no lines", HEBEI, lines(&[]), FieldMissing, "lines"),
        ("twice the same", HEBEI, lines(&[BED, BED]), FieldRepeated, "lines"),
        ("too many", HEBEI, lines(&[BED; 11]), FieldOutOfRange, "lines"),
        ("nothing due", HEBEI, lines(&[FREE]), FieldOutOfRange, "lines[0].due_fen"),
        ("too much due", HEBEI, lines(&[ENORMOUS]), FieldOutOfRange, "lines[0].due_fen"),
        ("negative", HEBEI, lines(&[NEGATIVE]), FieldOutOfRange, "lines[0].paid_elsewhere_fen"),
        ("overpaid", HEBEI, lines(&[OVERPAID]), FieldOutOfRange, "lines[0].paid_elsewhere_fen"),
        ("long number", HEBEI, given.with(|b| b.bill_number = "9".repeat(65)), FieldTooLong, "bill_number"),
        ("unknown stay", HEBEI, given.with(|b| b.stay = Some(named(Collection::Stay))), RecordNotFound, "stay"),
    ];
    let mut world = given.world.clone();
    world.refuses(cases);
    // The month after this one may be billed ahead.
    world.ok(HEBEI, &*given.with(|b| b.month = "2026-07".parse().unwrap()));
}

#[test]
fn the_last_month_of_a_contract_is_billed_and_none_after() {
    let mut given = given();
    given.world.ok(
        BEIJING,
        &TerminateContract {
            contract: given.contract.clone(),
            termination_reason: TerminationReason::Withdrawal,
            ended_on: date("2026-04-02"),
            reason: String::new(),
        },
    );
    let [april, may] = ["2026-04", "2026-05"].map(|m| given.with(move |b| b.month = m.parse().unwrap()));
    given.world.ok(HEBEI, &*april);
    assert_eq!(given.world.refused(HEBEI, &*may), (Reason::StateNotAllowed, Some("contract".into())));
}

#[test]
fn the_stay_of_the_month_is_found() {
    let mut given = given();
    let admit = AdmitElder {
        elder: given.elder.clone(),
        institution: given.home.clone(),
        contract: None,
        admitted_on: date("2026-05-31"),
    };
    let stay = given.world.name(HEBEI, &admit);
    let april = given.with(|b| {
        b.month = "2026-04".parse().unwrap();
        b.stay = Some(stay.clone());
    });
    assert_eq!(given.world.refused(HEBEI, &*april), (Reason::FieldMalformed, Some("stay".into())));
    let named = given.with(|b| b.stay = Some(stay.clone()));
    for command in [named, given.with(|_| {})] {
        let mut world = given.world.clone();
        let bill = world.name(HEBEI, &*command);
        assert_eq!(world.sim.get::<BillRow>(key![bill]).unwrap().stay, Some(stay.to_string()));
    }
    given.world.ok(HEBEI, &VoidStay { stay, reason: "误登".into() });
    let bill = given.bill();
    assert_eq!(given.world.sim.get::<BillRow>(key![bill]).unwrap().stay, None);
}

/// A line against what went through the gateway: 2,000 yuan posted, 500 held.
#[test]
fn a_line_does_not_fall_below_what_went_through_the_gateway() {
    let mut given = given();
    let bill = given.bill();
    given.paid(&bill, 200_000, 50_000);
    let nursing = line(FeeType::Nursing, 150_000, 0);
    let seen = AmendBill { expected_version: 2, ..amend(&bill, &[nursing]) };
    let silent = AmendBill { reason: String::new(), ..amend(&bill, &[nursing]) };
    let silent_void = VoidBill { reason: String::new(), ..void(&bill) };
    use Reason::*;
    given.world.refuses(vec![
        (
            "below",
            HEBEI,
            Box::new(amend(&bill, &[line(FeeType::Bed, 249_999, 0)])),
            BillLineBelowPaid,
            "lines[0].due_fen",
        ),
        ("dropped", HEBEI, Box::new(amend(&bill, &[nursing])), BillLineBelowPaid, "lines"),
        ("void", HEBEI, Box::new(void(&bill)), BillLineBelowPaid, "bill"),
        ("another region", BEIJING, Box::new(void(&bill)), NotYourRecord, "bill"),
        ("another region", BEIJING, Box::new(amend(&bill, &[nursing])), NotYourRecord, "bill"),
        ("unknown", HEBEI, Box::new(void(&Name::of(Collection::Bill, "none"))), RecordNotFound, "bill"),
        ("seen another", HEBEI, Box::new(seen), StateNotAllowed, "expected_version"),
        ("no reason", HEBEI, Box::new(silent), FieldMissing, "reason"),
        ("no reason", HEBEI, Box::new(silent_void), FieldMissing, "reason"),
    ]);
    given.world.ok(HEBEI, &amend(&bill, &[line(FeeType::Bed, 250_000, 0), nursing]));
    let row = given.line(&bill, FeeType::Bed);
    assert_eq!((row.posted_fen, row.held_fen, row.open_fen(), row.excess_fen()), (200_000, 50_000, 0, 0));
    // Paid elsewhere is a fact: recorded, and the excess is found at once, once.
    let contract = given.contract.clone();
    given.world.pays(&bill, (&contract, 1), "2026-05-20", PaymentState::Confirmed);
    for leaves in [2, 1] {
        let decision = given.world.ok(HEBEI, &amend(&bill, &[line(FeeType::Bed, 250_000, 30_000), nursing]));
        assert_eq!(decision.leaves.len(), leaves);
    }
    assert_eq!(given.world.breaks(), [(BreakClass::BillExceeded, format!("{bill}#BED"), 30_000)]);
    let row = given.line(&bill, FeeType::Bed);
    assert_eq!((row.open_fen(), row.excess_fen()), (-30_000, 30_000));
}
