//! An account that a reported fact takes below zero: booked all the same, and its finding is
//! there in the same transaction (LEDGER.md, identity 3), whether or not any run ever meets a
//! payment of the elder.

use super::breaks;
use super::finding::{self, Finding};
use super::rows::BreakRow;
use crate::decision::{Call, Decision};
use crate::key;
use crate::ledger::{Account, AccountRow};
use crate::names::Participant;
use crate::snapshot::{Snapshot, Stop};
use crate::time::Date;

/// A debit that is booked even if the account does not cover it.
pub struct Debit<'a> {
    pub account: Account,
    pub amount_fen: i64,
    pub region: &'a Participant,
    pub programme: &'a str,
    pub channel: &'a Participant,
    /// `elders/{uuid}` whose account it is.
    pub person: &'a str,
    pub clearing_date: Date,
}

impl Debit<'_> {
    /// Opens the account's `OVERSPENT` finding if the debit takes it below zero, or opens it
    /// again. One that is open already stands for this debit too.
    pub fn open_finding(&self, snapshot: &Snapshot, call: &Call, decision: &mut Decision) -> Result<(), Stop> {
        let before = snapshot.get::<AccountRow>(key![self.account.clone()])?.map_or(0, |row| row.available_fen());
        let Some(finding) = finding::overdrawn(&self.account, before - self.amount_fen) else { return Ok(()) };
        let known = snapshot.get::<BreakRow>(key![finding.break_name()])?;
        if known.as_ref().is_some_and(|known| known.is_open()) {
            return Ok(());
        }
        let terms = breaks::Terms::load(snapshot, self.channel, self.clearing_date)?;
        let new = terms.judged(self.row(finding, call));
        let row = match known {
            Some(known) => breaks::reopen(&known, new),
            None => new,
        };
        let leaf = decision.leaf("break.opened", &row.break_name, row.version);
        leaf.put(&row);
        row.tell(leaf);
        Ok(())
    }

    fn row(&self, finding: Finding, call: &Call) -> BreakRow {
        let open = breaks::open(finding.break_name(), finding.class, &finding.subject, self.clearing_date, call.now);
        BreakRow {
            channel: Some(self.channel.clone()),
            region: Some(self.region.clone()),
            programme: Some(self.programme.to_owned()),
            person: Some(self.person.to_owned()),
            rule: finding.class.to_string(),
            cause: breaks::cause_of(&finding.detail),
            amount_fen: finding.amount_fen,
            fields: crate::value::Json(finding.detail),
            ..open
        }
    }
}
