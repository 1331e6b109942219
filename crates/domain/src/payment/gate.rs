//! The gate: every condition of a payment, judged against the records of the
//! moment. One judgement serves `CheckPayment`, authorisation, instruction and advice.

use std::sync::Arc;

use super::{Lack, LackKind, StandsOn, Unmet};
use crate::care::bill::{BillLineRow, BillRow, BillState, FeeType};
use crate::care::contract::ContractRow;
use crate::care::stay::StayRow;
use crate::entitlement::{best_rate, book, elder_id};
use crate::guard::found;
use crate::key;
use crate::ledger::{Account, AccountRow, Book};
use crate::names::{Name, Participant};
use crate::person::{PersonRow, names_of, resolve_person};
use crate::policy::{self, Condition, GatePolicy, Mode};
use crate::record::{RecordKind, standing};
use crate::rejection::{Reason, Rejection};
use crate::snapshot::{Snapshot, Stop};
use crate::time::{Date, Timestamp};

/// What is to be paid.
#[derive(Clone, Debug)]
pub struct Ask {
    pub bill: Name,
    pub fee_type: FeeType,
    /// The paying region; absent: the elder's household region. They differ when an elder has
    /// moved and spends what the former region granted.
    pub region: Option<Participant>,
    pub programme: String,
    pub channel: Participant,
    pub amount_fen: i64,
}

/// One condition's outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    pub condition: Condition,
    pub mode: Mode,
    /// Why it is not met; `None` when it is, or is not looked at.
    pub lack: Option<Lack>,
    /// The record it was judged by.
    pub stands_on: Option<StandsOn>,
}

impl Judged {
    pub fn is_met(&self) -> bool {
        self.lack.is_none()
    }
}

/// Everything the decision knows about a payment.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// The elder, as merged.
    pub person: Arc<PersonRow>,
    /// The name whose account pays: the elder's, or that of one merged into her.
    pub payer: String,
    pub bill: Arc<BillRow>,
    pub line: Arc<BillLineRow>,
    pub contract: Arc<ContractRow>,
    pub book: Book,
    /// In the order in which they are judged.
    pub conditions: Vec<Judged>,
    /// Open on the bill line.
    pub open_fen: i64,
    /// Spendable in the restricted account; may be negative after reported facts.
    pub available_fen: i64,
}

impl Judgement {
    /// How much may be paid now: zero when an enforced condition stands in the way.
    pub fn payable_fen(&self) -> i64 {
        let of_amount = |c: &Judged| matches!(c.condition, Condition::Bill | Condition::Funds);
        let blocked = self.conditions.iter().any(|c| !c.is_met() && c.mode == Mode::Enforce && !of_amount(c));
        if blocked { 0 } else { self.open_fen.min(self.available_fen).max(0) }
    }

    /// As those hear it whose money it is not: of the balance no more than the line could take, so that
    /// no amount asked for sounds it.
    pub fn without_balance(mut self, amount_fen: i64) -> Self {
        let shown_fen = self.available_fen.min(self.open_fen).max(0);
        let is_short = amount_fen.min(self.open_fen) > shown_fen;
        for funds in self.conditions.iter_mut().filter(|c| c.condition == Condition::Funds) {
            funds.lack = is_short.then(|| Lack::new(LackKind::FundsShort, shown_fen));
        }
        Self { available_fen: shown_fen, ..self }
    }

    /// Refuses on the first enforced condition that is not met.
    pub fn enforce(&self) -> Result<(), Rejection> {
        let mut enforced = self.conditions.iter().filter(|c| c.mode == Mode::Enforce);
        let Some((condition, lack)) = enforced.find_map(|c| Some((c.condition, c.lack.as_ref()?))) else {
            return Ok(());
        };
        Err(match lack.kind {
            LackKind::FundsShort => Reason::InsufficientFunds.field("amount_fen").var("available", self.available_fen),
            LackKind::LineExceeded => Reason::BillLineExceeded.field("amount_fen").var("open", self.open_fen),
            _ => Reason::ConditionUnmet.var("condition", condition).var("detail", lack),
        })
    }

    /// Conditions not met, for the payment's record.
    pub fn unmet(&self) -> Vec<Unmet> {
        let unmet = self.conditions.iter().filter_map(|c| Some((c.condition, c.lack.as_ref()?)));
        unmet.map(|(condition, lack)| Unmet { condition, detail: lack.to_string() }).collect()
    }

    /// The records relied on, each once.
    pub fn stands_on(&self) -> Vec<StandsOn> {
        let mut all: Vec<StandsOn> = Vec::new();
        for stands_on in self.conditions.iter().filter_map(|c| c.stands_on.clone()) {
            if !all.contains(&stands_on) {
                all.push(stands_on);
            }
        }
        all
    }
}

/// Judges every condition as of `now`. What does not exist at all refuses outright.
///
/// `BILL` and `FUNDS` are always enforced on a reservation, whatever the policy
/// says: LEDGER.md's identities 3 and 7 rest on them.
pub fn judge(snapshot: &Snapshot, ask: &Ask, now: Timestamp) -> Result<Judgement, Stop> {
    let bill = snapshot.get::<BillRow>(key![ask.bill.to_string()]);
    let line = snapshot.get::<BillLineRow>(key![ask.bill.to_string(), ask.fee_type]);
    let bill = found(bill?, "bill", &ask.bill)?;
    let line = found(line?, "fee_type", format!("{}/{}", ask.bill, ask.fee_type))?;
    let contract = snapshot.get::<ContractRow>(key![bill.contract.clone()]);
    let person = resolve_person(snapshot, &bill.person)?;
    let contract = found(contract?, "bill", &bill.contract)?;
    let book = book(ask.region.as_ref().unwrap_or(&person.household_region), &ask.programme)?;
    let gate = policy::in_force::<GatePolicy>(snapshot, &book.to_string(), now.date());
    let names = names_of(snapshot, &person.person)?;
    let (payer, available_fen) = payer(snapshot, &book, &names, &ask.channel)?;
    let gate = gate?;
    let mut judgement = Judgement {
        open_fen: if bill.state == BillState::Issued { line.open_fen() } else { 0 },
        available_fen,
        payer,
        person,
        bill,
        line,
        contract,
        book,
        conditions: Vec::new(),
    };
    let view = View { snapshot, ask, gate: &gate, names: &names, today: now.date() };
    // All are looked at before the first miss is told, so that few rounds load everything.
    let judged: Vec<_> = Condition::ALL.iter().map(|condition| judgement.judged(*condition, &view)).collect();
    judgement.conditions = judged.into_iter().collect::<Result<_, _>>()?;
    Ok(judgement)
}

/// Of an elder's names the one whose account has most, and how much: an account can pay
/// only alone, and merging persons moves no money.
fn payer(snapshot: &Snapshot, book: &Book, names: &[String], channel: &Participant) -> Result<(String, i64), Stop> {
    let of = |name: &String| {
        let account = Account::entitlement(book, elder_id(name), channel);
        let row = snapshot.get::<AccountRow>(key![account])?;
        Ok::<_, Stop>((name.clone(), row.map_or(0, |row| row.available_fen())))
    };
    let accounts: Vec<_> = names.iter().map(of).collect();
    let mut best: Option<(String, i64)> = None;
    for account in accounts {
        let account = account?;
        if best.as_ref().is_none_or(|b| account.1 > b.1) {
            best = Some(account);
        }
    }
    Ok(best.expect("an elder has a name"))
}

/// What a condition is judged against.
struct View<'a> {
    snapshot: &'a Snapshot,
    ask: &'a Ask,
    gate: &'a GatePolicy,
    /// The elder's names.
    names: &'a [String],
    today: Date,
}

/// What a condition lacks, or the record that meets it.
type Outcome = Result<Option<StandsOn>, Lack>;

impl Judgement {
    fn judged(&self, condition: Condition, view: &View<'_>) -> Result<Judged, Stop> {
        let mode = match condition {
            Condition::Bill | Condition::Funds => Mode::Enforce,
            other => view.gate.mode(other),
        };
        let outcome = if mode == Mode::Off { Ok(None) } else { self.look_at(condition, view)? };
        let (stands_on, lack) = match outcome {
            Ok(stands_on) => (stands_on, None),
            Err(lack) => (None, Some(lack)),
        };
        // The contract is what its two conditions are judged by, met or not.
        let about_contract = matches!(condition, Condition::Contract | Condition::ContractEvidence);
        let contract = || StandsOn { record: self.contract.contract.clone(), version: self.contract.version };
        let stands_on = stands_on.or((about_contract && mode != Mode::Off).then(contract));
        Ok(Judged { condition, mode, lack, stands_on })
    }

    fn look_at(&self, condition: Condition, view: &View<'_>) -> Result<Outcome, Stop> {
        let ask = view.ask;
        let met_if = |met: bool, kind, about: String| if met { Ok(None) } else { Err(Lack::new(kind, about)) };
        Ok(match condition {
            Condition::Contract => {
                let (contract, month) = (&self.contract, self.bill.month);
                let in_force = contract.in_force_within(month.first_day(), month.last_day());
                let about = format!("{} {}", contract.contract, contract.state);
                met_if(in_force, LackKind::ContractNotInForce, about)
            }
            Condition::ContractEvidence => {
                let evidence = self.contract.evidence;
                let accepted = view.gate.contract_evidence.contains(&evidence);
                met_if(accepted, LackKind::EvidenceNotAccepted, evidence.to_string())
            }
            Condition::Stay => self.stay(view)?,
            Condition::Rating => self.rating(view)?,
            Condition::Basis => self.basis(view)?,
            Condition::FeeType => {
                let paid = view.gate.fee_types.contains(&ask.fee_type);
                met_if(paid, LackKind::FeeTypeNotPaid, ask.fee_type.to_string())
            }
            Condition::Bill if self.bill.state != BillState::Issued => {
                Err(Lack::new(LackKind::BillVoided, &self.bill.bill))
            }
            Condition::Bill => {
                met_if(ask.amount_fen <= self.open_fen, LackKind::LineExceeded, self.open_fen.to_string())
            }
            Condition::Funds => {
                met_if(ask.amount_fen <= self.available_fen, LackKind::FundsShort, self.available_fen.to_string())
            }
        })
    }

    fn stay(&self, view: &View<'_>) -> Result<Outcome, Stop> {
        for name in view.names {
            let stays = view.snapshot.list::<StayRow>(&["person"], key![name.clone()])?;
            let here = |s: &&Arc<StayRow>| s.institution == self.bill.institution && s.days_in(self.bill.month) > 0;
            if let Some(stay) = stays.iter().find(here) {
                return Ok(Ok(Some(StandsOn { record: stay.stay.clone(), version: stay.version })));
            }
        }
        Ok(Err(Lack::new(LackKind::NoStayInMonth, self.bill.month)))
    }

    fn rating(&self, view: &View<'_>) -> Result<Outcome, Stop> {
        let (region, institution) = (self.book.region(), &self.bill.institution);
        let best = standing(view.snapshot, region, RecordKind::Rating, institution, view.today)?.into_iter().next();
        Ok(match best {
            Some(best) if best.level_min >= view.gate.min_grade => Ok(Some(best.stands_on)),
            Some(best) => Err(Lack::new(LackKind::GradeTooLow, best.level_min)),
            None => Err(Lack::new(LackKind::RatingNotRecognized, institution)),
        })
    }

    /// The paying region relies on a basis of the elder that earns a rate of the programme.
    ///
    /// Credited money belongs to the elder and carries over, and changes count from the
    /// following month (DOMAIN.md §4). So a basis that ran out still serves the rest of its
    /// month, and at any time the bills of months whose first day it covered; after a death it
    /// is asked for on the day of death. One that was withdrawn serves nothing from then on.
    fn basis(&self, view: &View<'_>) -> Result<Outcome, Stop> {
        let last = self.person.died_on.map_or(view.today, |died| died.min(view.today));
        for on in [last, last.month().first_day(), self.bill.month.first_day().min(last)] {
            let best = best_rate(view.snapshot, &self.book, view.names, on)?;
            if let Some((_, basis)) = best {
                return Ok(Ok(Some(basis.stands_on)));
            }
        }
        Ok(Err(Lack::new(LackKind::BasisNotHeld, &self.person.person)))
    }
}
