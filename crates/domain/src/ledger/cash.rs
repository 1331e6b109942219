//! Money by day: what moved `bank` and `prefund` accounts, so that their balance at the end of any day can be
//! compared with a bank's statement without going through the journal.

use std::collections::BTreeMap;

use super::account::{Account, AccountKind};
use super::entry::{Layer, Transfer, TransferRow};
use crate::names::Participant;
use crate::table;
use crate::time::Date;

table! {
    /// What moved an account of money on a day, posted layer, running: `sum + delta`, last before commit.
    pub struct CashDayRow in "cash_days", Derived
    key [account, moved_on] readers [region]
    {
        /// `bank` or `prefund`.
        pub account: Account,
        /// The transfer's date, see [`Transfer::moved_on`].
        pub moved_on: Date,
        pub region: Participant,
        /// On the account's normal side, debit.
        pub posted_fen: i64,
        /// How many transfers.
        pub transfers: i64,
    }
}

impl AccountKind {
    /// Whether a bank's statement can say what is on it.
    pub const fn is_cash(self) -> bool {
        matches!(self, Self::Bank | Self::Prefund)
    }
}

impl Transfer {
    /// The day on which the money moved: the one that the transfer names, else its booking month's first.
    pub fn moved_on(&self) -> Date {
        self.clearing_date.unwrap_or_else(|| self.booking_month.first_day())
    }
}

impl CashDayRow {
    /// Adds up transfers: one row for each account and day, in the order of keys.
    pub fn sums<'a>(transfers: impl IntoIterator<Item = &'a TransferRow>) -> Vec<Self> {
        let mut sums = BTreeMap::new();
        transfers.into_iter().for_each(|transfer| Self::add_to(&mut sums, transfer));
        sums.into_values().collect()
    }

    /// Adds a transfer to sums by account and day.
    pub fn add_to(sums: &mut BTreeMap<(String, Date), Self>, transfer: &TransferRow) {
        if transfer.layer != Layer::Posted {
            return;
        }
        let moved_on = transfer.clearing_date.unwrap_or_else(|| transfer.booking_month.first_day());
        for (account, delta) in transfer.deltas().into_iter().filter(|(account, _)| account.kind.is_cash()) {
            let sum = sums.entry((account.to_string(), moved_on)).or_insert_with(|| Self {
                account: account.clone(),
                moved_on,
                region: transfer.region.clone(),
                posted_fen: 0,
                transfers: 0,
            });
            sum.posted_fen += delta;
            sum.transfers += 1;
        }
    }
}
