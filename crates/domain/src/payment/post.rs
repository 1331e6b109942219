//! The ledger transfers and bill-line movements of payments, in one place.

use super::PaymentRow;
use crate::care::bill::BillLineRow;
use crate::decision::{Call, Leaf};
use crate::entitlement::{book, elder_id};
use crate::guard::found;
use crate::key;
use crate::ledger::{Account, Book, EntryKind, Transfer};
use crate::rejection::Rejection;
use crate::snapshot::{Snapshot, Stop};
use crate::time::{Date, Month};

impl PaymentRow {
    pub fn book(&self) -> Result<Book, Rejection> {
        book(&self.region, &self.programme)
    }

    pub fn entitlement(&self, book: &Book) -> Account {
        Account::entitlement(book, elder_id(&self.person), &self.channel)
    }

    /// The next version, not changed yet.
    pub(super) fn next(&self, call: &Call) -> Self {
        Self { version: self.version + 1, recorded_at_us: call.now, ..self.clone() }
    }

    /// Tells everyone whom the payment concerns.
    pub(super) fn tell(&self, leaf: &mut Leaf) {
        leaf.tell(&self.region).tell(&self.institution_region).tell(&self.channel);
    }

    /// Reserves: held, on the clearing date of the authorisation.
    pub(super) fn hold(&self, book: &Book, month: Month) -> Transfer {
        let clearing = Account::clearing(book, &self.channel, self.authorised_on);
        Transfer::held(EntryKind::Authorised, self.entitlement(book), clearing, self.amount_fen, month)
            .on(self.authorised_on)
    }

    /// Ends a reservation, on the hold's own date.
    pub fn release(&self, book: &Book, month: Month) -> Transfer {
        let clearing = Account::clearing(book, &self.channel, self.authorised_on);
        Transfer::held(EntryKind::HoldReversed, clearing, self.entitlement(book), self.amount_fen, month)
            .on(self.authorised_on)
    }

    /// Money from the restricted account to the clearing account of a date.
    pub fn charge(&self, book: &Book, entry: EntryKind, date: Date, month: Month) -> Transfer {
        let clearing = Account::clearing(book, &self.channel, date);
        Transfer::posted(entry, self.entitlement(book), clearing, self.amount_fen, month).on(date)
    }

    /// Money back from the clearing account of a date to the restricted account.
    pub fn give_back(&self, book: &Book, entry: EntryKind, amount_fen: i64, date: Date, month: Month) -> Transfer {
        let clearing = Account::clearing(book, &self.channel, date);
        Transfer::posted(entry, clearing, self.entitlement(book), amount_fen, month).on(date)
    }

    /// The payment's bill line with its totals moved.
    pub fn line_moved(&self, snapshot: &Snapshot, held_fen: i64, posted_fen: i64) -> Result<BillLineRow, Stop> {
        let line = snapshot.get::<BillLineRow>(key![self.bill.clone(), self.fee_type])?;
        let line = found(line, "bill", &self.bill)?;
        Ok(BillLineRow {
            held_fen: line.held_fen + held_fen,
            posted_fen: line.posted_fen + posted_fen,
            ..(*line).clone()
        })
    }
}
