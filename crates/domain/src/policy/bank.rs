//! Which bank account holds which money, and when a bank's statement is to show what was paid.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::body::within;
use crate::ledger::{Account, AccountKind, Book};
use crate::names::Participant;
use crate::recon::proof::ProofRule;

/// A bank account of which a channel delivers statements (camt.053), and the ledger's accounts of that money.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BankAccount {
    /// As the statement names it (`Acct/Id`), 1 to 64 characters.
    pub account: String,
    /// `bank`, or `prefund` of the channel.
    pub ledger: AccountKind,
    /// Whose prefund it is, and whose payouts leave it; absent: the channel that delivers the statement.
    #[serde(default)]
    pub channel: Option<Participant>,
    /// Books whose money is on it, `110000/care_subsidy`: their accounts together are its balance.
    pub books: BTreeSet<Book>,
}

impl BankAccount {
    /// The channel whose payouts leave it, where `sender` delivers the statement.
    pub fn payer<'a>(&'a self, sender: &'a Participant) -> &'a Participant {
        self.channel.as_ref().unwrap_or(sender)
    }

    /// The ledger's accounts of its money.
    pub fn accounts<'a>(&'a self, sender: &'a Participant) -> impl Iterator<Item = Account> + 'a {
        self.books.iter().map(move |book| match self.ledger {
            AccountKind::Prefund => Account::prefund(book, self.payer(sender)),
            _ => Account::bank(book),
        })
    }

    /// The first account of the ledger that both say is on them.
    pub(super) fn shared_with<'a>(&'a self, other: &'a Self) -> Option<&'a Book> {
        let is_same_money = self.ledger == AccountKind::Bank || self.channel == other.channel;
        let is_same = self.ledger == other.ledger && is_same_money;
        self.books.intersection(&other.books).next().filter(move |_| is_same)
    }

    pub(super) fn check(&self) -> Result<(), String> {
        within("bank_accounts: account", self.account.chars().count() as i64, 1..=64)?;
        within("bank_accounts: books", self.books.len() as i64, 1..=100)?;
        if self.ledger.is_cash() {
            Ok(())
        } else {
            Err(format!("bank_accounts: {} is neither bank nor prefund", self.ledger))
        }
    }
}

/// When and how bank statements prove a channel's payouts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PayoutProof {
    /// Working days from the payout to the statement that shows it, 0 to 60.
    pub working_days: i64,
    /// What is tried after end-to-end ids, in this order: `AMOUNT_AND_DATE`, `BULK`.
    #[serde(default = "every_fallback")]
    pub fallbacks: Vec<ProofRule>,
}

fn every_fallback() -> Vec<ProofRule> {
    vec![ProofRule::AmountAndDate, ProofRule::Bulk]
}

impl PayoutProof {
    pub(super) fn check(&self) -> Result<(), String> {
        within("payout_proof: working_days", self.working_days, 0..=60)?;
        for (at, rule) in self.fallbacks.iter().enumerate() {
            if !rule.is_fallback() || self.fallbacks[..at].contains(rule) {
                return Err(format!("payout_proof: {rule} is no fallback, or is named twice"));
            }
        }
        Ok(())
    }
}
