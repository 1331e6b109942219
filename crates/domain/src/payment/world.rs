//! One elder, one institution, one bill on the simulated world: what the tests of
//! money begin with.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{AuthorizePayment, PaymentRow, PaymentState};
use crate::care::bill::{BillLineRow, BillRow, BillState, FeeType};
use crate::care::contract::{Capacity, ContractEvidence, ContractRow, ContractState};
use crate::care::mandate::{MandateRow, MandateState};
use crate::care::stay::{StayRow, StayState};
use crate::close::{CloseRow, CloseState};
use crate::decision::{Call, Command, Decision};
use crate::entitlement::{
    AllotBudget, CreditOutcome, FundChannel, GrantEntitlement, GrantRow, MoneyEventKind, MoneyEventRow, ReportCredit,
};
use crate::institution::{InstitutionKind, InstitutionRow, InstitutionState};
use crate::key;
use crate::ledger::{Account, AccountKind, AccountRow, Book, EntryKind, Layer, TransferRow};
use crate::names::{Name, Participant, ParticipantKind, RequestId};
use crate::participant::{ParticipantRow, Standing};
use crate::payment::Ask;
use crate::person::{PersonKind, PersonRow, PersonState};
use crate::policy::{Mode, PolicyKind, SetPolicy};
use crate::recon::RunRow;
use crate::recon::file::{LineKind, LineStatus, ParsedFile, SettlementLine};
use crate::recon::run::{RunFile, StartRun};
use crate::record::{RecognitionRow, RecognitionState, RecordKind, RecordRow};
use crate::rejection::{Reason, Rejection};
use crate::rules::mapping::MappingQuality;
use crate::rules::rating::RecordState;
use crate::sim::Sim;
use crate::time::{Date, HOUR_US, Timestamp};
use crate::value::Json;

pub const BEIJING: &str = "regions/110000";
pub const HEBEI: &str = "regions/130000";
pub const UNIONPAY: &str = "channels/unionpay";
pub const BANK: &str = "channels/bank";
pub const ELDER: &str = "elders/01980000-0000-7000-8000-0000000000e1";
pub const INSTITUTION: &str = "institutions/52131082XXXX00043X";
pub const CONTRACT: &str = "contracts/c1";
pub const BILL: &str = "bills/b1";
pub const MANDATE: &str = "mandates/m1";
/// A Friday; the bill's month.
pub const TODAY: &str = "2026-11-20";

#[derive(Clone)]
pub struct World {
    pub sim: Sim,
    pub now: Timestamp,
    calls: u64,
}

pub fn day(text: &str) -> Date {
    text.parse().unwrap()
}

pub fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub fn who(text: &str) -> Participant {
    text.parse().unwrap()
}

pub fn book() -> Book {
    Book::new(who(BEIJING), "care_subsidy").unwrap()
}

pub fn money() -> Account {
    Account::entitlement(&book(), name(ELDER).id(), &who(UNIONPAY))
}

/// What a refusal says to machines.
pub fn said<T: std::fmt::Debug>(result: Result<T, Rejection>) -> (Reason, String) {
    let refusal = result.expect_err("this is refused");
    (refusal.reason, refusal.field.unwrap_or_default())
}

pub fn reason(reason: Reason, field: &str) -> (Reason, String) {
    (reason, field.to_owned())
}

/// A transfer as LEDGER.md writes it: entry, layer, debit, credit, fen.
pub type Entry = (EntryKind, &'static str, String, String, i64);

pub fn entry(entry: EntryKind, layer: &'static str, debit: &str, credit: &str, fen: i64) -> Entry {
    (entry, layer, debit.to_owned(), credit.to_owned(), fen)
}

/// `clearing[unionpay, 2026-11-20]`; the elder and the institution are not spelled out.
fn spell(account: &Account) -> String {
    let short = |text: &str| {
        let text = if text == name(ELDER).id() { "elder" } else { text };
        if text == name(INSTITUTION).id() { "institution".to_owned() } else { text.to_owned() }
    };
    let dimensions: Vec<String> =
        [&account.a, &account.b].into_iter().filter(|d| !d.is_empty()).map(|d| short(d)).collect();
    if dimensions.is_empty() {
        account.kind.to_string()
    } else {
        format!("{}[{}]", account.kind, dimensions.join(", "))
    }
}

pub fn entries(decision: &Decision) -> Vec<Entry> {
    let of = |t: &TransferRow| (t.entry, t.layer.as_str(), spell(&t.debit), spell(&t.credit), t.amount_fen);
    decision.leaves.iter().flat_map(|leaf| &leaf.transfers).map(of).collect()
}

impl World {
    /// Participants, records and bill; no money yet.
    pub fn new() -> Self {
        let now = day(TODAY).starts_at().plus_us(10 * HOUR_US);
        let mut world = Self { sim: Sim::default(), now, calls: 0 };
        let call = world.call("gateway/admins/setup");
        world.sim = Sim::with_defaults(&call);
        for (participant, kind) in [
            (BEIJING, ParticipantKind::Region),
            (HEBEI, ParticipantKind::Region),
            (UNIONPAY, ParticipantKind::Channel),
            (BANK, ParticipantKind::Channel),
        ] {
            world.sim.given(&ParticipantRow {
                participant: who(participant),
                kind,
                display_name: participant.into(),
                standing: Standing::Active,
                standing_reason: String::new(),
                confirmed_by: Json(vec![]),
                recorded_at_us: now,
                version: 1,
            });
        }
        world.sim.given(&elder(ELDER));
        world.sim.given(&institution());
        world.sim.given(&rating());
        world.sim.given(&recognition());
        world.sim.given(&record("assessments/a1", RecordKind::Assessment, 4));
        world.sim.given(&contract());
        world.sim.given(&stay("stays/s1", ELDER, "2026-01-05"));
        world.sim.given(&bill(BILL, "2026-11"));
        for (fee_type, due_fen) in [(FeeType::Bed, 200_000), (FeeType::Nursing, 150_000), (FeeType::Meal, 90_000)] {
            world.sim.given(&line(BILL, fee_type, due_fen));
        }
        world.sim.given(&mandate());
        world
    }

    /// With 600 yuan credited to the elder's account.
    pub fn funded() -> Self {
        let mut world = Self::new();
        let budget = AllotBudget {
            programme: "care_subsidy".into(),
            funder_division: "110108".parse().unwrap(),
            year: 2026,
            amount_fen: 1_000_000,
            reference: "D1".into(),
        };
        world.execute(BEIJING, &budget).unwrap();
        let funding = FundChannel {
            programme: "care_subsidy".into(),
            channel: who(UNIONPAY),
            amount_fen: 500_000,
            reference: "F1".into(),
        };
        world.execute(BEIJING, &funding).unwrap();
        world.credit("2026-11");
        world
    }

    /// Grants a month and has it credited.
    pub fn credit(&mut self, month: &str) -> Name {
        let grant = self.execute(BEIJING, &grant(month)).unwrap().record();
        let outcome = CreditOutcome::Credited { amount_fen: 60_000 };
        self.execute(UNIONPAY, &ReportCredit { grant: grant.clone(), outcome }).unwrap();
        grant
    }

    pub fn call(&mut self, actor: &str) -> Call {
        self.calls += 1;
        let request_id: RequestId = format!("01980000-0000-7000-8000-{:012x}", self.calls).parse().unwrap();
        Call { actor: actor.parse().unwrap(), request_id, now: self.now, lane: 0 }
    }

    pub fn execute(&mut self, actor: &str, command: &dyn Command) -> Result<Decision, Rejection> {
        let call = self.call(actor);
        self.sim.execute(&call, command)
    }

    pub fn set(&mut self, kind: PolicyKind, scope: &str, change: impl FnOnce(&mut serde_json::Value)) {
        let default = crate::policy::defaults().into_iter().find(|d| d.kind == kind && d.scope == scope).unwrap();
        let mut body = default.body;
        change(&mut body);
        let set = SetPolicy {
            kind,
            scope: scope.into(),
            effective_from: default.effective_from,
            body,
            reason: "test".into(),
        };
        // Who owns the scope: the paying region's people for what governs its payments.
        let regional = matches!(kind, PolicyKind::Gate | PolicyKind::Programme | PolicyKind::OperatingSubsidy);
        let actor = if regional { "regions/110000/admins/setup" } else { "gateway/admins/setup" };
        self.execute(actor, &set).unwrap();
    }

    pub fn mode(&mut self, condition: crate::policy::Condition, mode: Mode) {
        self.set(PolicyKind::Gate, "110000/care_subsidy", |body| {
            body["conditions"][condition.as_str()] = mode.as_str().into();
        });
    }

    /// An authorised payment of an amount for the bed fee.
    pub fn authorised(&mut self, order: &str, amount_fen: i64) -> PaymentRow {
        let decision = self.execute(UNIONPAY, &authorise(self.now, order, amount_fen)).unwrap();
        self.payment(&decision.record())
    }

    /// Reconciles a clearing date of UnionPay's with one complete file of these lines.
    pub fn run(&mut self, date: Date, lines: Vec<SettlementLine>) -> Result<Decision, Rejection> {
        self.run_of(UNIONPAY, date, lines)
    }

    pub fn run_of(&mut self, channel: &str, date: Date, lines: Vec<SettlementLine>) -> Result<Decision, Rejection> {
        let mut parsed = ParsedFile { lines: lines.into_iter().collect(), ..ParsedFile::default() };
        parsed.trailer = Some(parsed.totals());
        // The day's file; a later one of the same day corrects it.
        let file = format!("files/{date}");
        let start = StartRun {
            channel: who(channel),
            clearing_date: date,
            allow_missing_files: false,
            files: vec![RunFile {
                file,
                sha256: "00".repeat(32),
                merchant_id: String::new(),
                supersedes: vec![],
                parsed: Arc::new(parsed),
            }],
            books: vec![],
            cut: 1,
            fee: None,
            default_book: Some(book()),
            lines_per_part: crate::recon::run::LINES_PER_PART,
        };
        let decision = self.execute("gateway/admins/setup", &start)?;
        let run: RunRow = self.sim.get(key![decision.leaves[0].record.clone()]).unwrap();
        for identity in &run.identities.0 {
            assert!(identity.holds, "{identity:?}");
        }
        Ok(decision)
    }

    /// As if a month had been closed.
    pub fn closed(&mut self, month: &str) {
        self.sim.given(&CloseRow {
            book: book(),
            month: month.parse().unwrap(),
            region: who(BEIJING),
            state: CloseState::Closed,
            trial: Json(vec![]),
            transfers: 0,
            placed_fen: Json(BTreeMap::new()),
            proposed_by: "regions/110000/admins/chen".parse().unwrap(),
            proposal_reason: "r".into(),
            decided_by: None,
            decision_reason: None,
            recorded_at_us: self.now,
            version: 2,
        });
    }

    pub fn payment(&self, name: &Name) -> PaymentRow {
        self.sim.get(key![name.to_string()]).unwrap()
    }

    pub fn grant(&self, name: &Name) -> GrantRow {
        self.sim.get(key![name.to_string()]).unwrap()
    }

    pub fn line(&self, fee_type: FeeType) -> BillLineRow {
        self.sim.get(key![BILL.to_owned(), fee_type]).unwrap()
    }

    pub fn posted(&self, account: &Account) -> i64 {
        self.sim.balance(account, Layer::Posted)
    }

    pub fn held(&self, account: &Account) -> i64 {
        self.sim.balance(account, Layer::Held)
    }

    /// LEDGER.md's identities that no run is needed for.
    pub fn check_identities(&self) {
        let mut sums: BTreeMap<(String, Layer), i64> = BTreeMap::new();
        for t in &self.sim.transfers {
            // 1: one book, one positive amount, two accounts.
            assert_eq!((&t.debit.book, &t.credit.book), (&t.book, &t.book));
            assert!(t.amount_fen > 0 && t.debit != t.credit);
            for (account, delta) in t.deltas() {
                *sums.entry((account.to_string(), t.layer)).or_default() += delta;
            }
        }
        // 2: every account is the sum of its entries.
        let accounts = self.sim.all::<AccountRow>();
        let sum = |account: &Account, layer| sums.get(&(account.to_string(), layer)).copied().unwrap_or(0);
        for row in &accounts {
            assert_eq!(row.posted_fen, sum(&row.account, Layer::Posted), "{}", row.account);
            assert_eq!(row.held_fen, sum(&row.account, Layer::Held), "{}", row.account);
        }
        // 4: the prefunded channel's money is somewhere.
        let of = |kind: AccountKind| {
            let rows = accounts.iter().filter(move |r| r.kind == kind && r.account.book == book());
            let of_channel = rows.filter(|r| {
                let dimension = if matches!(kind, AccountKind::Entitlement | AccountKind::Payable) {
                    &r.account.b
                } else {
                    &r.account.a
                };
                dimension == who(UNIONPAY).code()
            });
            of_channel.map(|r| r.posted_fen).sum::<i64>()
        };
        let here = of(AccountKind::Prefund) + of(AccountKind::Suspense)
            - of(AccountKind::Entitlement)
            - of(AccountKind::Clearing)
            - of(AccountKind::Payable)
            - of(AccountKind::FeePayable);
        let events = self.sim.all::<MoneyEventRow>();
        let funded: i64 = events.iter().filter(|e| e.kind == MoneyEventKind::ChannelFunded).map(|e| e.amount_fen).sum();
        let credited: i64 = self.sim.all::<GrantRow>().iter().map(|g| g.credited_fen).sum();
        // What was clawed back left both the account and the prefund; what was spent of it stays credited.
        assert_eq!(here, funded - credited, "identity 4");
        // 6: holds are reservations and what is kept for late confirmations.
        let payments = self.sim.all::<PaymentRow>();
        let mut holds: BTreeMap<String, i64> = BTreeMap::new();
        for p in &payments {
            let reserved = if p.state == PaymentState::Reserved { p.amount_fen } else { 0 };
            assert!(p.kept_fen == 0 || p.state == PaymentState::Late);
            *holds.entry(p.entitlement(&p.book().unwrap()).to_string()).or_default() -= reserved + p.kept_fen;
        }
        for row in accounts.iter().filter(|r| r.kind == AccountKind::Entitlement) {
            assert_eq!(row.held_fen, holds.get(&row.account.to_string()).copied().unwrap_or(0), "identity 6");
        }
        // 7: a bill line's totals are those of its payments.
        for l in self.sim.all::<BillLineRow>() {
            let own: Vec<_> = payments.iter().filter(|p| p.bill == l.bill && p.fee_type == l.fee_type).collect();
            let held: i64 = own.iter().filter(|p| p.state == PaymentState::Reserved).map(|p| p.amount_fen).sum();
            let confirmed = own.iter().filter(|p| p.state == PaymentState::Confirmed);
            let posted: i64 = confirmed.map(|p| p.amount_fen - p.refunded_fen).sum();
            assert_eq!((l.held_fen, l.posted_fen), (held, posted), "identity 7");
        }
    }
}

impl Decision {
    /// The record of the caller's leaf.
    pub fn record(&self) -> Name {
        name(&self.leaves[0].record)
    }
}

pub fn ask(amount_fen: i64) -> Ask {
    Ask {
        bill: name(BILL),
        fee_type: FeeType::Bed,
        region: None,
        programme: "care_subsidy".into(),
        channel: who(UNIONPAY),
        amount_fen,
    }
}

pub fn authorise(now: Timestamp, order: &str, amount_fen: i64) -> AuthorizePayment {
    AuthorizePayment {
        ask: ask(amount_fen),
        merchant_id: "M1".into(),
        order_id: order.parse().unwrap(),
        transaction_time: now,
        consent: "ab".repeat(32).parse().unwrap(),
    }
}

/// The line of a settlement file that states a payment as the ledger has it.
pub fn line_of(payment: &PaymentRow) -> SettlementLine {
    SettlementLine {
        line: 2,
        byte_offset: 100,
        kind: LineKind::Payment,
        merchant_id: payment.merchant_id.clone(),
        order_id: payment.order_id.clone(),
        transaction_time: payment.transaction_time_us,
        amount_fen: payment.amount_fen,
        fee_fen: 80,
        status: LineStatus::Success,
        institution: name(&payment.institution).id().to_owned(),
        original_order_id: None,
    }
}

pub fn grant(month: &str) -> GrantEntitlement {
    GrantEntitlement {
        person: name(ELDER),
        programme: "care_subsidy".into(),
        month: month.parse().unwrap(),
        basis: None,
        channel: who(UNIONPAY),
    }
}

pub fn elder(person: &str) -> PersonRow {
    PersonRow {
        person: person.into(),
        kind: PersonKind::Elder,
        region: who(BEIJING),
        household_region: who(BEIJING),
        household_division: "110108".into(),
        state: PersonState::Active,
        merged_into: None,
        died_on: None,
        reason: String::new(),
        recorded_at_us: Timestamp(0),
        version: 1,
    }
}

pub fn institution() -> InstitutionRow {
    InstitutionRow {
        institution: INSTITUTION.into(),
        uscc: name(INSTITUTION).id().into(),
        kind: InstitutionKind::CareInstitution,
        display_name: "三河院".into(),
        division: "131082".into(),
        region: who(HEBEI),
        beds: 100,
        residents: 80,
        state: InstitutionState::Operating,
        reason: String::new(),
        recorded_at_us: Timestamp(0),
        version: 1,
    }
}

/// Beijing's own record of the elder, valid through 2026.
pub fn record(record: &str, kind: RecordKind, level: i64) -> RecordRow {
    RecordRow {
        record: record.into(),
        kind,
        issuer: who(BEIJING),
        subject: ELDER.into(),
        scheme: "GB_T_42195_2022".into(),
        native_level: level,
        state: RecordState::Valid,
        document_number: "D".into(),
        decided_by: "B".into(),
        decided_on: day("2026-01-01"),
        valid_from: day("2026-01-01"),
        valid_until: day("2026-12-31"),
        effective_on: day("2026-01-01"),
        recorded_at_us: Timestamp(0),
        reason: String::new(),
        supersedes: None,
        content: "{}".into(),
        version: 1,
    }
}

/// Hebei's rating of the institution.
pub fn rating() -> RecordRow {
    RecordRow {
        issuer: who(HEBEI),
        subject: INSTITUTION.into(),
        scheme: "GB_T_37276".into(),
        valid_until: day("2028-12-31"),
        ..record("ratings/r1", RecordKind::Rating, 4)
    }
}

/// Beijing's recognition of it.
pub fn recognition() -> RecognitionRow {
    RecognitionRow {
        recognition: "recognitions/r1-110000".into(),
        record: "ratings/r1".into(),
        kind: RecordKind::Rating,
        record_version: 1,
        issuer: who(HEBEI),
        recognizer: who(BEIJING),
        subject: INSTITUTION.into(),
        scheme: "GB_T_37276".into(),
        native_level: 4,
        recognized_min: 4,
        recognized_max: 4,
        quality: MappingQuality::Exact,
        valid_from: day("2026-01-01"),
        valid_until: day("2028-12-31"),
        state: RecognitionState::Recognized,
        effective_on: day("2026-01-01"),
        reason: String::new(),
        agreement: "A".into(),
        recorded_at_us: Timestamp(0),
        stated_since: 1,
        version: 1,
    }
}

pub fn contract() -> ContractRow {
    ContractRow {
        contract: CONTRACT.into(),
        institution: INSTITUTION.into(),
        person: ELDER.into(),
        registrar: who(HEBEI),
        institution_region: who(HEBEI),
        household_region: who(BEIJING),
        state: ContractState::Active,
        capacity: Capacity::Full,
        parties: Json(vec![]),
        bed_fee_fen: 200_000,
        nursing_fee_fen: 150_000,
        meal_fee_fen: 90_000,
        other_fee_fen: 0,
        deposit_fen: 0,
        prepaid_months: 1,
        starts_on: day("2026-01-01"),
        ends_on: day("2026-12-31"),
        documents: Json(vec![]),
        document_sha256: "00".repeat(32),
        document_number: String::new(),
        signatures: Json(vec![]),
        evidence: ContractEvidence::OnlineFiled,
        filing_number: Some("N1".into()),
        filed_on: Some(day("2026-01-01")),
        attester: None,
        activated_on: Some(day("2026-01-01")),
        termination_reason: None,
        ended_on: None,
        reason: String::new(),
        effective_on: day("2026-01-01"),
        recorded_at_us: Timestamp(0),
        version: 3,
    }
}

pub fn stay(stay: &str, person: &str, admitted_on: &str) -> StayRow {
    StayRow {
        stay: stay.into(),
        contract: Some(CONTRACT.into()),
        institution: INSTITUTION.into(),
        person: person.into(),
        institution_region: who(HEBEI),
        household_region: who(BEIJING),
        admitted_on: day(admitted_on),
        left_on: None,
        state: StayState::Admitted,
        end_reason: None,
        reason: String::new(),
        recorded_at_us: Timestamp(0),
        version: 1,
    }
}

pub fn bill(bill: &str, month: &str) -> BillRow {
    BillRow {
        bill: bill.into(),
        contract: CONTRACT.into(),
        institution: INSTITUTION.into(),
        person: ELDER.into(),
        institution_region: who(HEBEI),
        household_region: who(BEIJING),
        stay: Some("stays/s1".into()),
        month: month.parse().unwrap(),
        bill_number: String::new(),
        state: BillState::Issued,
        reason: String::new(),
        recorded_at_us: Timestamp(0),
        version: 1,
    }
}

pub fn line(bill: &str, fee_type: FeeType, due_fen: i64) -> BillLineRow {
    BillLineRow {
        bill: bill.into(),
        fee_type,
        institution_region: who(HEBEI),
        household_region: who(BEIJING),
        due_fen,
        paid_elsewhere_fen: 0,
        posted_fen: 0,
        held_fen: 0,
    }
}

pub fn mandate() -> MandateRow {
    MandateRow {
        mandate: MANDATE.into(),
        person: ELDER.into(),
        contract: CONTRACT.into(),
        institution_region: who(HEBEI),
        region: who(BEIJING),
        programme: "care_subsidy".into(),
        channel: who(UNIONPAY),
        fee_types: Json(vec![FeeType::Bed, FeeType::Nursing]),
        monthly_cap_fen: 50_000,
        valid_from: day("2026-01-01"),
        valid_until: day("2026-12-31"),
        state: MandateState::Active,
        reason: String::new(),
        consent_sha256: "cd".repeat(32),
        recorded_at_us: Timestamp(0),
        version: 1,
    }
}
