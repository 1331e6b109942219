//! The double-entry ledger of LEDGER.md: books, accounts, transfers.
//!
//! A transfer has one debit and one credit account of one book and one positive
//! amount, so it balances by construction. Compound journal entries are several
//! transfers of one leaf.

mod account;
mod cash;
mod entry;
mod general;

pub use account::{Account, AccountKind, AccountRow, Book, Side};
pub use cash::CashDayRow;
pub use entry::{EntryKind, Layer, Transfer, TransferRow};
pub use general::{GeneralLedgerRow, Turnover};
