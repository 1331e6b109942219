//! Accounts, entries, trial balances.

use std::collections::BTreeMap;

use jjj_domain::ledger::{AccountKind, AccountRow, Layer, Side, TransferRow};
use jjj_domain::time::Timestamp;

use crate::parse::or_empty;
use crate::pb;

/// The API's name of an account.
pub fn account_name(account: &jjj_domain::ledger::Account) -> String {
    format!("accounts/{account}")
}

pub fn account(row: &AccountRow) -> pb::Account {
    pb::Account {
        name: account_name(&row.account),
        book: row.book.to_string(),
        kind: row.kind.to_string(),
        first_dimension: row.account.a.clone(),
        second_dimension: row.account.b.clone(),
        posted_fen: row.posted_fen,
        held_fen: row.held_fen,
    }
}

/// What an entry takes from its leaf.
#[derive(Clone, Debug)]
pub struct OfLeaf {
    pub record: String,
    pub version: i64,
    pub leaf_hash: Vec<u8>,
    /// The leaf's index plus one.
    pub ledger_number: i64,
    pub recorded_at: Timestamp,
}

pub fn entry(row: &TransferRow, leaf: OfLeaf) -> pb::Entry {
    pb::Entry {
        name: format!("entries/{}#{}", row.leaf_id, row.line),
        book: row.book.to_string(),
        kind: row.entry.to_string(),
        layer: row.layer.to_string(),
        debit_account: account_name(&row.debit),
        credit_account: account_name(&row.credit),
        amount_fen: row.amount_fen,
        clearing_date: or_empty(&row.clearing_date),
        booking_month: row.booking_month.to_string(),
        // A reservation moves no money and needs no proof.
        evidence: if row.layer == Layer::Posted { leaf.record.clone() } else { String::new() },
        record: leaf.record,
        corrects: row.corrects.as_ref().map(|id| format!("entries/{id}")).unwrap_or_default(),
        leaf_hash: leaf.leaf_hash,
        record_version: leaf.version,
        ledger_number: leaf.ledger_number,
        recorded_time_us: leaf.recorded_at.0,
    }
}

/// Both sides of one account kind in one layer, fen.
#[derive(Clone, Copy, Debug)]
pub struct Sides {
    pub kind: AccountKind,
    pub layer: Layer,
    pub debit_fen: i64,
    pub credit_fen: i64,
}

/// A trial balance from any number of parts.
pub fn trial_balance(
    book: String,
    booking_month: String,
    parts: impl IntoIterator<Item = Sides>,
    ledger_number: i64,
) -> pb::TrialBalance {
    let mut lines: BTreeMap<AccountKind, pb::TrialBalanceLine> = BTreeMap::new();
    for part in parts {
        let line = lines.entry(part.kind).or_default();
        let on_debit = part.debit_fen - part.credit_fen;
        let balance = if part.kind.normal_side() == Side::Debit { on_debit } else { -on_debit };
        match part.layer {
            Layer::Held => line.held_fen += balance,
            Layer::Posted => {
                line.debit_fen += part.debit_fen;
                line.credit_fen += part.credit_fen;
                line.balance_fen += balance;
            }
        }
    }
    let named = lines.into_iter().map(|(kind, line)| pb::TrialBalanceLine { kind: kind.to_string(), ..line });
    let lines: Vec<pb::TrialBalanceLine> = named.collect();
    pb::TrialBalance {
        book,
        booking_month,
        debit_fen: lines.iter().map(|l| l.debit_fen).sum(),
        credit_fen: lines.iter().map(|l| l.credit_fen).sum(),
        lines,
        ledger_number,
        accounts: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_balance_sums_kinds_on_their_normal_side() {
        let part = |kind, layer, debit_fen, credit_fen| Sides { kind, layer, debit_fen, credit_fen };
        let parts = [
            part(AccountKind::Prefund, Layer::Posted, 500, 100),
            part(AccountKind::Entitlement, Layer::Posted, 0, 300),
            part(AccountKind::Clearing, Layer::Posted, 0, 100),
            part(AccountKind::Prefund, Layer::Posted, 0, 0),
            part(AccountKind::Entitlement, Layer::Held, 60, 0),
        ];
        let balance = trial_balance("110000/care_subsidy".into(), String::new(), parts, 7);
        assert_eq!((balance.debit_fen, balance.credit_fen), (500, 500));
        let line = |kind: &str| balance.lines.iter().find(|l| l.kind == kind).unwrap();
        assert_eq!(line("prefund").balance_fen, 400);
        assert_eq!((line("entitlement").balance_fen, line("entitlement").held_fen), (300, -60));
    }
}
