//! Credits of granted months to the restricted account, as the channel reports them.

use super::{GrantRow, GrantState, book, find_grant};
use crate::decision::{Call, Command, Decision};
use crate::guard;
use crate::ledger::{Account, EntryKind, Transfer};
use crate::names::Name;
use crate::rejection::{Reason, Rejection};
use crate::snapshot::{Snapshot, Stop};

/// What became of a credit.
#[derive(Clone, Debug)]
pub enum CreditOutcome {
    Credited {
        /// Must be the granted amount.
        amount_fen: i64,
    },
    /// The grant stays granted; a `CREDIT_FAILED` finding shows it.
    Failed {
        /// Up to 200 characters.
        reason: String,
    },
}

/// The channel reports a grant's credit. The caller is the grant's channel.
#[derive(Clone, Debug)]
pub struct ReportCredit {
    pub grant: Name,
    pub outcome: CreditOutcome,
}

impl Command for ReportCredit {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let grant = find_grant(snapshot, &self.grant)?;
        guard::own(call, &grant.channel, "grant", &self.grant)?;
        guard::state(grant.state, &[GrantState::Granted, GrantState::CreditFailed], "grant", &self.grant)?;
        let (row, transfer) = self.report(grant.next(call))?;
        let kind = if transfer.is_some() { "grant.credited" } else { "grant.credit_failed" };
        let mut decision = Decision::new(call);
        let leaf = decision.leaf(kind, &self.grant, row.version);
        leaf.put(&row).tell(&row.region).tell(&row.channel);
        if let Some(transfer) = transfer {
            leaf.book(transfer);
        }
        Ok(decision)
    }
}

impl ReportCredit {
    fn report(&self, grant: GrantRow) -> Result<(GrantRow, Option<Transfer>), Rejection> {
        match &self.outcome {
            CreditOutcome::Credited { amount_fen } if *amount_fen != grant.amount_fen => {
                let fault = Reason::AmountMismatch.field("amount_fen").var("amount", amount_fen);
                Err(fault.var("expected", grant.amount_fen))
            }
            CreditOutcome::Credited { amount_fen } => {
                let book = book(&grant.region, &grant.programme)?;
                let granted = Account::granted(&book, grant.elder_id());
                let entitlement = Account::entitlement(&book, grant.elder_id(), &grant.channel);
                let month = grant.recorded_at_us.month();
                let transfer = Transfer::posted(EntryKind::Credited, granted, entitlement, *amount_fen, month);
                let (state, reason) = (GrantState::Credited, String::new());
                Ok((GrantRow { state, reason, credited_fen: *amount_fen, ..grant }, Some(transfer)))
            }
            CreditOutcome::Failed { reason } => {
                guard::text("reason", reason, 200)?;
                Ok((GrantRow { state: GrantState::CreditFailed, reason: reason.clone(), ..grant }, None))
            }
        }
    }
}

impl GrantRow {
    /// The next version, not changed yet.
    pub(super) fn next(&self, call: &Call) -> Self {
        Self { version: self.version + 1, recorded_at_us: call.now, ..self.clone() }
    }
}
