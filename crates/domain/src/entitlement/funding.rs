//! What has to be placed with a prefunded channel so that a month can be credited.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::GrantState;
use crate::ledger::{Account, AccountKind};

/// A channel's need in one book, by LEDGER.md's accounts:
///
/// `needed = uncredited − free`, not below zero, where
/// `free = prefund + suspense − entitlement − clearing − payable − fee_payable` of the channel, posted layer:
/// identity 4's left side, what was placed and neither credited to an elder nor owed to anybody. What is in
/// suspense counts as placed until it is written off; the next funding then tops it up. Free money below zero
/// is a shortfall, and is made up for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Funding {
    /// Granted at this channel, not credited yet, fen.
    pub uncredited_fen: i64,
    /// The channel's posted balances by account kind, fen, each on its normal side.
    pub accounts_fen: BTreeMap<String, i64>,
    /// What of the money placed nobody has a claim to yet, fen.
    pub free_fen: i64,
}

impl Funding {
    /// The kinds of account that count.
    pub const KINDS: [AccountKind; 6] = [
        AccountKind::Prefund,
        AccountKind::Suspense,
        AccountKind::Entitlement,
        AccountKind::Clearing,
        AccountKind::Payable,
        AccountKind::FeePayable,
    ];

    /// Takes in a grant of the channel: it still has to be credited, or it does not count.
    pub fn grant(&mut self, state: GrantState, amount_fen: i64) {
        match state {
            GrantState::Granted | GrantState::CreditFailed => self.uncredited_fen += amount_fen,
            GrantState::Credited | GrantState::ClawbackRequested | GrantState::ClawedBack => {}
        }
    }

    /// Takes in an account's posted balance; accounts that are not of this channel do not count.
    pub fn account(&mut self, channel: &str, account: &Account, posted_fen: i64) {
        if let Some((_, sign)) = account.at_channel().filter(|(at, _)| *at == channel) {
            *self.accounts_fen.entry(account.kind.to_string()).or_default() += posted_fen;
            self.free_fen += sign * posted_fen;
        }
    }

    /// What to place now, fen, from 0.
    pub fn needed_fen(&self) -> i64 {
        (self.uncredited_fen - self.free_fen).max(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIONPAY: &str = "unionpay";

    /// Accounts as text without the book, and their balances.
    fn funding(grants: &[(GrantState, i64)], accounts: &[(&str, i64)]) -> Funding {
        let mut funding = Funding::default();
        grants.iter().for_each(|(state, amount_fen)| funding.grant(*state, *amount_fen));
        for (account, posted_fen) in accounts {
            let account: Account = format!("110000/care_subsidy:{account}").parse().unwrap();
            funding.account(UNIONPAY, &account, *posted_fen);
        }
        funding
    }

    #[test]
    fn a_channel_needs_what_is_uncredited_less_what_is_free() {
        use GrantState::{ClawbackRequested, ClawedBack, CreditFailed, Credited, Granted};
        let open = [(Granted, 60_000), (CreditFailed, 40_000)];
        let settled = [(Credited, 60_000), (ClawbackRequested, 20_000), (ClawedBack, 20_000)];
        let placed = ("prefund:unionpay:", 150_000);
        let spoken_for = [
            ("entitlement:e1:unionpay", 50_000),
            ("clearing:unionpay:2026-11-20", 7_000),
            ("payable:52131082XXXX00043X:unionpay", 2_000),
            ("fee_payable:unionpay:", 1_000),
        ];
        let elsewhere = [
            ("prefund:bank:", 900_000),
            ("entitlement:e1:bank", 800_000),
            ("bank::", 700_000),
            ("granted:e1:", 100_000),
            ("expense:110108:2026", 60_000),
            ("receivable:e1:", 5_000),
        ];
        for (grants, accounts, free_fen, needed_fen) in [
            (&open[..], vec![], 0, 100_000),
            (&settled, vec![], 0, 0),
            (&open, vec![placed], 150_000, 0),
            (&open, [vec![placed], spoken_for.to_vec()].concat(), 90_000, 10_000),
            (&open, [vec![placed], spoken_for.to_vec(), elsewhere.to_vec()].concat(), 90_000, 10_000),
            // Paid for an unknown reason: placed, until it is written off.
            (&open, vec![("prefund:unionpay:", 70_000), ("suspense:unionpay:", 30_000)], 100_000, 0),
            (&open, vec![("prefund:unionpay:", 70_000), ("suspense:unionpay:", 0)], 70_000, 30_000),
            // Overspent: what is missing is made up for.
            (&open, vec![("prefund:unionpay:", 0), ("clearing:unionpay:2026-11-20", 5_000)], -5_000, 105_000),
            // Spent elsewhere beyond what was credited: owed by the elder, no shortfall of the channel's.
            (&open, vec![("prefund:unionpay:", 90_000), ("entitlement:e1:unionpay", -5_000)], 95_000, 5_000),
        ] {
            let funding = funding(grants, &accounts);
            assert_eq!((funding.free_fen, funding.needed_fen()), (free_fen, needed_fen), "{accounts:?}");
        }
    }

    #[test]
    fn the_kinds_that_count_are_those_at_a_channel() {
        for kind in Funding::KINDS {
            let account: Account = format!("110000/care_subsidy:{kind}:unionpay:unionpay").parse().unwrap();
            assert_eq!(account.at_channel().map(|(channel, _)| channel), Some(UNIONPAY), "{kind}");
        }
    }
}
