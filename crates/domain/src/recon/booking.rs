//! What a run books for a unit: LEDGER.md's "the run books what the file states:
//! matches, rows into suspense, held orders found in it". Pure; the run decides
//! which units are new.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::file::{LineKind, LineStatus, SettlementLine, beijing_text};
use super::matching::{FileLine, LedgerEntry, MatchRule, Matched, Standing, Terms, Unit, UnitKey};
use super::rows::BreakClass;
use super::stake::{Stake, StakeKind};
use crate::care::bill::FeeType;
use crate::ledger::{Account, Book, EntryKind, Transfer};
use crate::names::Participant;
use crate::payment::{PaymentRow, PaymentState, RefundRow, RefundState};
use crate::policy::FeeBearer;
use crate::rejection::{Reason, Rejection};
use crate::subsidy::{ClaimRow, ClaimState};
use crate::time::{Date, Month, Timestamp};

/// A ledger row with what booking needs of it.
#[derive(Clone, Debug)]
pub enum LedgerRow {
    Payment(Arc<PaymentRow>),
    /// With its payment.
    Refund(Arc<RefundRow>, Arc<PaymentRow>),
    Claim(Arc<ClaimRow>),
}

/// Where money is booked: by the ledger's row, or for a line nobody knows by the run's rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub book: Book,
    pub institution_region: Option<Participant>,
    pub person: Option<String>,
    pub record: Option<String>,
}

impl LedgerRow {
    pub fn record(&self) -> &str {
        match self {
            Self::Payment(p) => &p.payment,
            Self::Refund(r, _) => &r.refund,
            Self::Claim(c) => &c.claim,
        }
    }

    pub fn matched_by(&self) -> Option<&str> {
        match self {
            Self::Payment(p) => p.matched_by.as_deref(),
            Self::Refund(r, _) => r.matched_by.as_deref(),
            // A claim on the statement keeps no row: its state says that it was found.
            Self::Claim(c) => (c.state == ClaimState::OnStatement).then_some(""),
        }
    }

    /// As it was before a file matched it.
    pub fn unmatched(&self) -> Self {
        match self {
            Self::Payment(p) => Self::Payment(Arc::new(PaymentRow { matched_by: None, ..(**p).clone() })),
            Self::Refund(r, payment) => {
                let row = RefundRow { state: RefundState::Confirmed, matched_by: None, ..(**r).clone() };
                Self::Refund(Arc::new(row), payment.clone())
            }
            Self::Claim(c) => Self::Claim(Arc::new(ClaimRow { state: ClaimState::Paid, ..(**c).clone() })),
        }
    }

    /// Puts the row into a plan as its next version.
    pub fn keep_in(&self, plan: &mut Plan, now: Timestamp) {
        match self {
            Self::Payment(p) => {
                plan.payments.push(PaymentRow { version: p.version + 1, recorded_at_us: now, ..(**p).clone() });
            }
            Self::Refund(r, _) => {
                plan.refunds.push(RefundRow { version: r.version + 1, recorded_at_us: now, ..(**r).clone() });
            }
            Self::Claim(c) => {
                plan.claims.push(ClaimRow { version: c.version + 1, recorded_at_us: now, ..(**c).clone() });
            }
        }
    }

    pub fn standing(&self) -> Standing {
        match self {
            Self::Payment(p) => p.state.standing(),
            Self::Refund(r, _) if matches!(r.state, RefundState::Confirmed | RefundState::Matched) => Standing::Posted,
            Self::Refund(..) => Standing::Gone,
            Self::Claim(c) => match c.state {
                ClaimState::Paid | ClaimState::OnStatement => Standing::Posted,
                ClaimState::Approved => Standing::Held,
                _ => Standing::Gone,
            },
        }
    }

    fn state(&self) -> &'static str {
        match self {
            Self::Payment(p) => p.state.as_str(),
            Self::Refund(r, _) => r.state.as_str(),
            Self::Claim(c) => c.state.as_str(),
        }
    }

    pub fn amount_fen(&self) -> i64 {
        match self {
            Self::Payment(p) => p.amount_fen,
            Self::Refund(r, _) => r.amount_fen,
            Self::Claim(c) => c.amount_fen,
        }
    }

    /// Empty where there is none.
    pub fn merchant_id(&self) -> &str {
        match self {
            Self::Payment(p) => &p.merchant_id,
            Self::Refund(r, _) => &r.merchant_id,
            Self::Claim(_) => "",
        }
    }

    pub fn key(&self) -> UnitKey {
        let key = |kind, merchant: &str, order: &str, time: String| UnitKey {
            kind,
            merchant_id: merchant.to_owned(),
            order_id: order.to_owned(),
            transaction_time: time,
        };
        match self {
            Self::Payment(p) => {
                key(LineKind::Payment, &p.merchant_id, &p.order_id, beijing_text(p.transaction_time_us))
            }
            Self::Refund(r, _) => {
                key(LineKind::Refund, &r.merchant_id, &r.order_id, beijing_text(r.transaction_time_us))
            }
            Self::Claim(c) => {
                key(LineKind::OperatingSubsidy, "", c.order_id.as_deref().unwrap_or_default(), String::new())
            }
        }
    }

    pub fn institution(&self) -> &str {
        match self {
            Self::Payment(p) | Self::Refund(_, p) => &p.institution,
            Self::Claim(c) => &c.institution,
        }
    }

    pub fn clearing_date(&self, run: Date) -> Date {
        match self {
            Self::Payment(p) => p.clearing_date,
            Self::Refund(r, _) => r.clearing_date,
            Self::Claim(c) => c.clearing_date.unwrap_or(run),
        }
    }

    pub fn place(&self) -> Result<Place, Rejection> {
        let (region, programme, institution_region, person) = match self {
            Self::Payment(p) | Self::Refund(_, p) => (&p.region, &p.programme, &p.institution_region, Some(&p.person)),
            Self::Claim(c) => (&c.payer, &c.programme, &c.region, None),
        };
        let malformed = |_| Reason::FieldMalformed.field("programme").var("expected", "a snake_case identifier");
        Ok(Place {
            book: Book::new(region.clone(), programme).map_err(malformed)?,
            institution_region: Some(institution_region.clone()),
            person: person.cloned(),
            record: Some(self.record().to_owned()),
        })
    }

    /// The row as matching sees it. `ours` says whether a row reference is of this run's files.
    pub fn entry(&self, run: Date, ours: impl Fn(&str) -> bool) -> LedgerEntry {
        LedgerEntry {
            record: self.record().to_owned(),
            key: self.key(),
            book: self.place().map(|place| place.book.to_string()).unwrap_or_default(),
            institution: id_of(self.institution()).to_owned(),
            amount_fen: self.amount_fen(),
            standing: self.standing(),
            state: self.state().to_owned(),
            clearing_date: self.clearing_date(run),
            matched: match self.matched_by() {
                None => Matched::No,
                Some(row) if row.is_empty() || ours(row) => Matched::Here,
                Some(_) => Matched::Elsewhere,
            },
        }
    }
}

impl PaymentState {
    /// As matching sees it.
    pub const fn standing(self) -> Standing {
        match self {
            Self::Confirmed | Self::Late => Standing::Posted,
            Self::Reserved => Standing::Held,
            _ => Standing::Gone,
        }
    }
}

/// The part of a name after its collection.
pub fn id_of(name: &str) -> &str {
    name.split_once('/').map_or(name, |(_, id)| id)
}

/// What booking is told beside the unit.
pub struct BookingTerms<'a> {
    pub channel: &'a Participant,
    pub clearing_date: Date,
    /// The open month.
    pub month: Month,
    pub now: Timestamp,
    pub matching: &'a Terms,
    pub fee_bearer: FeeBearer,
    /// Elder → district of the household registration, which bears a region's fees.
    pub funders: &'a BTreeMap<String, String>,
}

/// A transfer, and the stake that it made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    pub transfer: Transfer,
    pub stake: Option<usize>,
}

/// A change of a bill line's totals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BillMove {
    pub bill: String,
    pub fee_type: FeeType,
    pub held_fen: i64,
    pub posted_fen: i64,
}

/// A posted payment that a row of the file matches; nothing else about it changes. Of a day's payments nearly all are
/// of this kind, and a copy of each would be most of what a run holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatchedPayment {
    pub payment: Arc<PaymentRow>,
    /// `{file}#{row}`.
    pub matched_by: String,
}

impl MatchedPayment {
    /// The payment's next version.
    pub fn row(&self, now: Timestamp) -> PaymentRow {
        let (matched_by, version) = (Some(self.matched_by.clone()), self.payment.version + 1);
        PaymentRow { matched_by, version, recorded_at_us: now, ..(*self.payment).clone() }
    }
}

/// Everything a unit books.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub transfers: Vec<Planned>,
    pub stakes: Vec<Stake>,
    /// Payments' next versions, but for those that are only matched.
    pub payments: Vec<PaymentRow>,
    pub matched: Vec<MatchedPayment>,
    pub refunds: Vec<RefundRow>,
    pub claims: Vec<ClaimRow>,
    pub bill_moves: Vec<BillMove>,
}

impl Plan {
    /// Whether any row of the ledger has another version by it.
    pub fn changes_rows(&self) -> bool {
        let Self { transfers: _, stakes: _, payments, matched, refunds, claims, bill_moves } = self;
        let changed = payments.len() + matched.len() + refunds.len() + claims.len() + bill_moves.len();
        changed > 0
    }
}

/// Plans a unit. `booked_rows` further rows were put into suspense by an earlier run; `place` is
/// where lines go that belong to no ledger row.
pub fn plan(unit: &Unit, rows: &[LedgerRow], place: &Place, booked_rows: usize, terms: &BookingTerms) -> Plan {
    let mut planner = Planner { terms, place, plan: Plan::default() };
    let mut lines: Vec<&FileLine> = unit.money_lines().collect();
    if unit.rule == MatchRule::GroupedSum {
        planner.grouped(rows, &lines);
        return planner.plan;
    }
    match rows {
        [row] if unit.difference != Some(BreakClass::Ambiguous) => match unit.entries[0].matched {
            Matched::No if lines.is_empty() => planner.without_money(row, unit.lines.first()),
            Matched::No => planner.matched(row, lines.remove(0)),
            Matched::Here if !lines.is_empty() => drop(lines.remove(0)),
            Matched::Here | Matched::Elsewhere => {}
        },
        rows => rows.iter().filter(|r| r.standing() == Standing::Posted).for_each(|row| planner.left_in_clearing(row)),
    }
    // Without a ledger row the first is what the channel alone has; the others repeat it.
    let first = usize::from(rows.is_empty());
    for (at, line) in lines.into_iter().enumerate().skip(booked_rows) {
        let repeats = unit.difference == Some(BreakClass::Duplicate) && at >= first;
        planner
            .row_into_suspense(line, if repeats { StakeKind::DuplicateInSuspense } else { StakeKind::RowInSuspense });
    }
    // A run holds the plans of its whole day.
    let mut plan = planner.plan;
    plan.transfers.shrink_to_fit();
    plan.matched.shrink_to_fit();
    plan
}

struct Planner<'a> {
    terms: &'a BookingTerms<'a>,
    place: &'a Place,
    plan: Plan,
}

impl Planner<'_> {
    fn stake(&self, kind: StakeKind, institution: &str, date: Date, amount_fen: i64) -> Stake {
        Stake {
            kind,
            book: self.place.book.clone(),
            institution: institution.to_owned(),
            person: self.place.person.clone(),
            record: self.place.record.clone(),
            row: None,
            clearing_date: date,
            amount_fen,
            held_fen: 0,
            booked: None,
        }
    }

    /// Notes a stake of so much, where it is anything: of most rows nothing is at stake.
    fn at_stake(&mut self, kind: StakeKind, institution: &str, date: Date, amount_fen: i64) {
        if amount_fen != 0 {
            let stake = self.stake(kind, institution, date, amount_fen);
            self.put_at_stake(stake);
        }
    }

    /// Notes a stake and books the entry that makes it, when there is one.
    fn put_at_stake(&mut self, stake: Stake) {
        if stake.amount_fen == 0 {
            return;
        }
        if let Some((entry, debit, credit)) = stake.entry(self.terms.channel) {
            let transfer = Transfer::posted(entry, debit, credit, stake.amount_fen, self.terms.month);
            let transfer = transfer.on(stake.clearing_date);
            self.plan.transfers.push(Planned { transfer, stake: Some(self.plan.stakes.len()) });
        }
        self.plan.stakes.push(stake);
    }

    fn book(&mut self, transfer: Transfer) {
        self.plan.transfers.push(Planned { transfer, stake: None });
    }

    fn post(&mut self, entry: EntryKind, debit: Account, credit: Account, amount_fen: i64, date: Date) {
        // A leaf would drop it: a transfer moves something.
        if amount_fen == 0 {
            return;
        }
        self.book(Transfer::posted(entry, debit, credit, amount_fen, self.terms.month).on(date));
    }

    fn clearing(&self, date: Date) -> Account {
        Account::clearing(&self.place.book, self.terms.channel, date)
    }

    fn payable(&self, institution: &str) -> Account {
        Account::payable(&self.place.book, institution, self.terms.channel)
    }

    fn move_bill(&mut self, payment: &PaymentRow, held_fen: i64, posted_fen: i64) {
        if !payment.bill.is_empty() {
            let (bill, fee_type) = (payment.bill.clone(), payment.fee_type);
            self.plan.bill_moves.push(BillMove { bill, fee_type, held_fen, posted_fen });
        }
    }

    /// A ledger row with the line that moved its money.
    fn matched(&mut self, row: &LedgerRow, line: &FileLine) {
        match (row, row.standing()) {
            (_, Standing::Gone) => self.row_into_suspense(line, StakeKind::RowInSuspense),
            (LedgerRow::Payment(p), Standing::Held) => {
                let confirmed = self.confirm_from_file(p);
                self.payment_in_file(&confirmed, line);
                let (version, recorded_at_us) = (confirmed.version + 1, self.terms.now);
                let matched_by = Some(line.reference());
                self.plan.payments.push(PaymentRow { matched_by, version, recorded_at_us, ..confirmed });
            }
            (LedgerRow::Payment(p), Standing::Posted) => {
                self.payment_in_file(p, line);
                self.plan.matched.push(MatchedPayment { payment: p.clone(), matched_by: line.reference() });
            }
            (LedgerRow::Refund(r, _), _) => self.refund_in_file(r, line),
            (LedgerRow::Claim(c), standing) => self.claim_on_statement(c, standing, line),
        }
    }

    /// A reservation found in the file: the hold is reversed on its own date, and the payment
    /// posted on the file's.
    fn confirm_from_file(&mut self, payment: &PaymentRow) -> PaymentRow {
        let date = self.terms.clearing_date;
        self.book(payment.release(&self.place.book, self.terms.month));
        self.book(payment.charge(&self.place.book, EntryKind::HeldButInFile, date, self.terms.month));
        self.move_bill(payment, -payment.amount_fen, payment.amount_fen);
        PaymentRow { state: PaymentState::Confirmed, clearing_date: date, ..payment.clone() }
    }

    fn payment_in_file(&mut self, payment: &PaymentRow, line: &FileLine) {
        let (date, stated) = (payment.clearing_date, &line.line);
        let lesser = payment.amount_fen.min(stated.amount_fen);
        self.post(EntryKind::Matched, self.clearing(date), self.payable(&stated.institution), lesser, date);
        self.at_stake(StakeKind::AmountInSuspense, &stated.institution, date, stated.amount_fen - lesser);
        self.at_stake(StakeKind::InClearing, &stated.institution, date, payment.amount_fen - lesser);
        self.fee(stated, payment, date);
    }

    /// The agreed fee; what the file has more goes into suspense, what it has less waits for the
    /// resolution. A region pays what the file states.
    fn fee(&mut self, stated: &SettlementLine, payment: &PaymentRow, date: Date) {
        let agreed = self.terms.matching.agreed_fee(stated);
        match self.terms.fee_bearer {
            FeeBearer::Institution => {
                let fee_payable = Account::fee_payable(&self.place.book, self.terms.channel);
                self.post(EntryKind::FeeInstitution, self.payable(&stated.institution), fee_payable, agreed, date);
                let more = (stated.fee_fen - agreed).max(0);
                self.at_stake(StakeKind::FeeInSuspense, &stated.institution, date, more);
                let less = (agreed - stated.fee_fen).max(0);
                self.at_stake(StakeKind::FeeBookedMore, &stated.institution, date, less);
            }
            FeeBearer::Region => {
                let funder = self.terms.funders.get(&payment.person);
                let division = funder.map_or(self.place.book.region().code(), String::as_str);
                let expense = Account::expense(&self.place.book, division, self.terms.month.year());
                self.post(
                    EntryKind::FeeRegion,
                    expense,
                    Account::bank(&self.place.book),
                    stated.fee_fen,
                    self.terms.clearing_date,
                );
            }
        }
    }

    fn refund_in_file(&mut self, refund: &RefundRow, line: &FileLine) {
        let (date, stated) = (refund.clearing_date, &line.line);
        let lesser = refund.amount_fen.min(stated.amount_fen);
        self.post(EntryKind::RefundInFile, self.payable(&stated.institution), self.clearing(date), lesser, date);
        self.at_stake(StakeKind::RefundInSuspense, &stated.institution, date, stated.amount_fen - lesser);
        self.at_stake(StakeKind::RefundInClearing, &stated.institution, date, refund.amount_fen - lesser);
        self.refund_fee(stated, date);
        self.plan.refunds.push(self.matched_refund(refund, Some(line.reference())));
    }

    fn refund_fee(&mut self, stated: &SettlementLine, date: Date) {
        if self.terms.fee_bearer == FeeBearer::Institution {
            let fee_payable = Account::fee_payable(&self.place.book, self.terms.channel);
            let payable = self.payable(&stated.institution);
            self.post(EntryKind::FeeInstitution, payable, fee_payable, stated.fee_fen, date);
        }
    }

    fn claim_on_statement(&mut self, claim: &ClaimRow, standing: Standing, line: &FileLine) {
        let date = claim.clearing_date.unwrap_or(self.terms.clearing_date);
        let stated = &line.line;
        if standing == Standing::Held {
            let payable = claim.payable(&self.place.book);
            self.post(EntryKind::OperatingSubsidyConfirmed, payable, self.clearing(date), claim.amount_fen, date);
        }
        let lesser = claim.amount_fen.min(stated.amount_fen);
        let bank = Account::bank(&self.place.book);
        // Money at a bank moves on the day whose statement shows it.
        let moved_on = self.terms.clearing_date;
        self.post(EntryKind::OperatingSubsidyOnStatement, self.clearing(date), bank, lesser, moved_on);
        let more_fen = stated.amount_fen - lesser;
        self.at_stake(StakeKind::StatementInSuspense, &stated.institution, moved_on, more_fen);
        self.at_stake(StakeKind::ClaimInClearing, &stated.institution, date, claim.amount_fen - lesser);
        self.plan.claims.push(self.claim_found(claim, Some(stated.order_id.clone()), date));
    }

    /// Rows and lines of the same sum: each row moves whole, each line bears its own fee.
    fn grouped(&mut self, rows: &[LedgerRow], lines: &[&FileLine]) {
        let Some(first) = lines.first() else { return };
        let payable = self.payable(&first.line.institution);
        for row in rows {
            let (date, amount_fen) = (row.clearing_date(self.terms.clearing_date), row.amount_fen());
            let (clearing, matched_by) = (self.clearing(date), first.reference());
            match row {
                LedgerRow::Payment(payment) => {
                    self.post(EntryKind::Matched, clearing, payable.clone(), amount_fen, date);
                    self.plan.matched.push(MatchedPayment { payment: payment.clone(), matched_by });
                }
                LedgerRow::Refund(refund, _) => {
                    self.post(EntryKind::RefundInFile, payable.clone(), clearing, amount_fen, date);
                    self.plan.refunds.push(self.matched_refund(refund, Some(matched_by)));
                }
                LedgerRow::Claim(claim) => {
                    let bank = Account::bank(&self.place.book);
                    let moved_on = self.terms.clearing_date;
                    self.post(EntryKind::OperatingSubsidyOnStatement, clearing, bank, amount_fen, moved_on);
                    self.plan.claims.push(self.claim_found(claim, claim.order_id.clone(), date));
                }
            }
        }
        let Some(row) = rows.first() else { return };
        let date = row.clearing_date(self.terms.clearing_date);
        for line in lines {
            match row {
                LedgerRow::Payment(payment) => self.fee(&line.line, payment, date),
                LedgerRow::Refund(..) => self.refund_fee(&line.line, date),
                LedgerRow::Claim(_) => {}
            }
        }
    }

    fn matched_refund(&self, refund: &RefundRow, matched_by: Option<String>) -> RefundRow {
        RefundRow {
            state: RefundState::Matched,
            matched_by,
            version: refund.version + 1,
            recorded_at_us: self.terms.now,
            ..refund.clone()
        }
    }

    fn claim_found(&self, claim: &ClaimRow, order_id: Option<String>, date: Date) -> ClaimRow {
        ClaimRow {
            state: ClaimState::OnStatement,
            order_id,
            clearing_date: Some(date),
            version: claim.version + 1,
            recorded_at_us: self.terms.now,
            ..claim.clone()
        }
    }

    /// A ledger row without money in the file: not there at all, or stated as failed.
    fn without_money(&mut self, row: &LedgerRow, line: Option<&FileLine>) {
        match row.standing() {
            Standing::Posted => self.left_in_clearing(row),
            Standing::Held if line.is_some_and(|l| l.line.status == LineStatus::Failed) => self.release(row),
            Standing::Held | Standing::Gone => {}
        }
    }

    /// The file is the channel's answer: the reservation ends.
    fn release(&mut self, row: &LedgerRow) {
        let LedgerRow::Payment(payment) = row else { return };
        self.book(payment.release(&self.place.book, self.terms.month));
        self.move_bill(payment, -payment.amount_fen, 0);
        self.plan.payments.push(PaymentRow {
            state: PaymentState::Reversed,
            reason: "FAILED in the settlement file".to_owned(),
            version: payment.version + 1,
            recorded_at_us: self.terms.now,
            ..(**payment).clone()
        });
    }

    fn left_in_clearing(&mut self, row: &LedgerRow) {
        let kind = match row {
            LedgerRow::Payment(_) => StakeKind::InClearing,
            LedgerRow::Refund(..) => StakeKind::RefundInClearing,
            LedgerRow::Claim(_) => StakeKind::ClaimInClearing,
        };
        let date = row.clearing_date(self.terms.clearing_date);
        let stake = self.stake(kind, id_of(row.institution()), date, row.amount_fen());
        self.put_at_stake(Stake { record: Some(row.record().to_owned()), ..stake });
    }

    /// The file states it, the ledger has nothing for it: cause not known yet. `payment` is the kind of a payment row.
    fn row_into_suspense(&mut self, line: &FileLine, payment: StakeKind) {
        let (stated, date) = (&line.line, self.terms.clearing_date);
        let kind = match stated.kind {
            LineKind::Payment => payment,
            LineKind::Refund => StakeKind::RefundInSuspense,
            LineKind::OperatingSubsidy => StakeKind::StatementInSuspense,
        };
        let row = Some(line.reference());
        let stake = self.stake(kind, &stated.institution, date, stated.amount_fen);
        self.put_at_stake(Stake { row: row.clone(), ..stake });
        if stated.kind == LineKind::Payment && self.terms.fee_bearer == FeeBearer::Institution {
            let fee = self.stake(StakeKind::FeeOfRow, &stated.institution, date, stated.fee_fen);
            self.put_at_stake(Stake { row, ..fee });
        }
    }
}

/// Takes back what stakes put into suspense, because a later run knows better: the same entries
/// with their sides swapped, naming what they correct.
pub fn take_back(stakes: &[Stake], channel: &Participant, month: Month) -> Vec<Transfer> {
    let reversal = |stake: &Stake| {
        let (entry, debit, credit) = stake.entry(channel)?;
        let transfer = Transfer::posted(entry, credit, debit, stake.amount_fen, month).on(stake.clearing_date);
        Some(match &stake.booked {
            Some(booked) => transfer.correcting(booked.clone()),
            None => transfer,
        })
    };
    stakes.iter().filter_map(reversal).collect()
}
