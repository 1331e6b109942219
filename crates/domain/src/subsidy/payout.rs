//! The bank's transfers of approved subsidies, and their return.

use super::claim::find;
use super::{ClaimRow, ClaimState};
use crate::decision::{Call, Command, Decision};
use crate::entitlement::book;
use crate::guard;
use crate::id::OrderId;
use crate::ledger::{Account, AccountKind, Book, EntryKind, Transfer};
use crate::names::Name;
use crate::payment::take_order;
use crate::rejection::Reason;
use crate::snapshot::{Snapshot, Stop};
use crate::time::Date;

impl ClaimRow {
    /// What is owed to the institution. Before the approval it names no bank, and nothing is booked to it.
    pub fn payable(&self, book: &Book) -> Account {
        let uscc = self.institution.split_once('/').map_or(self.institution.as_str(), |(_, id)| id);
        let bank = self.channel.as_ref().map_or("", |channel| channel.code());
        Account { book: book.clone(), kind: AccountKind::Payable, a: uscc.to_owned(), b: bank.to_owned() }
    }
}

/// The bank made the transfer, for the first time or again. The caller is the claim's bank.
#[derive(Clone, Debug)]
pub struct ConfirmPayout {
    pub claim: Name,
    /// The bank's own; another one for each transfer.
    pub order_id: OrderId,
    /// Must be the claim's amount.
    pub amount_fen: i64,
    /// The bank's; by tomorrow.
    pub clearing_date: Date,
}

impl Command for ConfirmPayout {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let claim = of_bank(snapshot, call, &self.claim)?;
        guard::state(claim.state, &[ClaimState::Approved, ClaimState::Returned], "claim", &self.claim)?;
        if self.amount_fen != claim.amount_fen {
            let fault = Reason::AmountMismatch.field("amount_fen").var("amount", self.amount_fen);
            return Err(fault.var("expected", claim.amount_fen).into());
        }
        let latest = call.now.clearing_date().plus_days(1);
        if self.clearing_date > latest {
            return Err(guard::out_of_range("clearing_date", format!("..{latest}")).into());
        }
        guard::not_before("clearing_date", self.clearing_date, claim.month.last_day())?;
        let order = take_order(snapshot, call.participant(), &self.order_id, &self.claim)?;
        let book = book(&claim.payer, &claim.programme)?;
        let row = ClaimRow {
            state: ClaimState::Paid,
            order_id: Some(self.order_id.to_string()),
            clearing_date: Some(self.clearing_date),
            reason: String::new(),
            ..claim.next(call)
        };
        let clearing = Account::clearing(&book, call.participant(), self.clearing_date);
        let entry = EntryKind::OperatingSubsidyConfirmed;
        let transfer = Transfer::posted(entry, row.payable(&book), clearing, row.amount_fen, call.now.month());
        let mut decision = Decision::new(call);
        let leaf = decision.leaf("operating_subsidy.paid", &self.claim, row.version);
        leaf.put(&row).put(&order).book(transfer.on(self.clearing_date));
        leaf.tell(&row.region).tell(&row.payer).tell(call.participant());
        Ok(decision)
    }
}

/// The transfer came back: what was booked of it is reversed, and the payable
/// stands again. The caller is the claim's bank.
#[derive(Clone, Debug)]
pub struct ReturnPayout {
    pub claim: Name,
    /// Up to 1,000 characters.
    pub reason: String,
}

impl Command for ReturnPayout {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        guard::text("reason", &self.reason, 1_000)?;
        let claim = of_bank(snapshot, call, &self.claim)?;
        guard::state(claim.state, &[ClaimState::Paid, ClaimState::OnStatement], "claim", &self.claim)?;
        let (book, month) = (book(&claim.payer, &claim.programme)?, call.now.month());
        let date = claim.clearing_date.ok_or_else(|| Reason::FieldMissing.field("clearing_date"))?;
        let clearing = Account::clearing(&book, call.participant(), date);
        let entry = EntryKind::OperatingSubsidyReturned;
        let row = ClaimRow { state: ClaimState::Returned, reason: self.reason.clone(), ..claim.next(call) };
        let mut decision = Decision::new(call);
        let leaf = decision.leaf("operating_subsidy.returned", &self.claim, row.version);
        leaf.put(&row).tell(&row.region).tell(&row.payer).tell(call.participant()).instruct(call.participant());
        if claim.state == ClaimState::OnStatement {
            let bank = Account::bank(&book);
            // The money is back today: the statement of its date shows it going.
            let back_on = call.now.date();
            leaf.book(Transfer::posted(entry, bank, clearing.clone(), row.amount_fen, month).on(back_on));
        }
        leaf.book(Transfer::posted(entry, clearing, row.payable(&book), row.amount_fen, month).on(date));
        Ok(decision)
    }
}

fn of_bank(snapshot: &Snapshot, call: &Call, name: &Name) -> Result<ClaimRow, Stop> {
    let claim = find(snapshot, name)?;
    match &claim.channel {
        Some(bank) => guard::own(call, bank, "claim", name)?,
        None => return Err(Reason::NotYourRecord.field("claim").var("name", name).into()),
    }
    Ok(claim)
}
