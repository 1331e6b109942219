//! Credits of granted months to the restricted account, as the channel reports them.

use super::{GrantRow, GrantState, book, find_grant};
use crate::decision::{Call, Command, Decision};
use crate::guard;
use crate::key;
use crate::ledger::{Account, EntryKind, Transfer};
use crate::names::Name;
use crate::payment::Said;
use crate::recon::{BreakRow, breaks, finding};
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
///
/// A fact is booked also of a month taken back meanwhile, which the channel is then asked to return.
/// A failure reported after a credit moves nothing and is kept as a `CONTRADICTION`.
#[derive(Clone, Debug)]
pub struct ReportCredit {
    pub grant: Name,
    pub outcome: CreditOutcome,
}

impl Command for ReportCredit {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let grant = find_grant(snapshot, &self.grant)?;
        guard::own(call, &grant.channel, "grant", &self.grant)?;
        match (grant.state, &self.outcome) {
            (GrantState::Granted | GrantState::CreditFailed, _) => {}
            (GrantState::ClawedBack, CreditOutcome::Credited { .. }) if grant.credited_fen == 0 => {
                return self.after_all(snapshot, &grant, call);
            }
            (GrantState::Credited | GrantState::ClawbackRequested, CreditOutcome::Failed { .. }) => {
                return Said::CreditFailed.unfit_for(snapshot, call, &grant);
            }
            (state, _) => {
                let needed = guard::either(&[GrantState::Granted, GrantState::CreditFailed]);
                return Err(guard::wrong_state(state, needed, "grant", &self.grant).into());
            }
        }
        let failed = finding::credit_failed(&grant);
        let finding = snapshot.get::<BreakRow>(key![failed.break_name()])?;
        let (row, transfer) = self.report(grant.next(call))?;
        let is_credited = transfer.is_some();
        let kind = if is_credited { "grant.credited" } else { "grant.credit_failed" };
        let mut decision = Decision::new(call);
        let leaf = decision.leaf(kind, &self.grant, row.version);
        leaf.put(&row).tell(&row.region).tell(&row.channel);
        if let Some(transfer) = transfer {
            leaf.book(transfer);
        }
        let open = finding.as_ref().filter(|known| known.is_open());
        let (kind, changed) = match open {
            Some(known) if is_credited => ("break.cleared", breaks::clear(known, self.grant.as_str(), call.now)),
            None if !is_credited => {
                let new = failed.about_grant(snapshot, &row, call)?;
                ("break.opened", finding.map_or(new.clone(), |known| breaks::reopen(&known, new)))
            }
            Some(_) | None => return Ok(decision),
        };
        let leaf = decision.leaf(kind, &changed.break_name, changed.version);
        leaf.put(&changed);
        changed.tell(leaf);
        Ok(decision)
    }
}

impl ReportCredit {
    /// Credited although the month had been taken back: its cost and its credit are booked, and the
    /// channel is asked to return it.
    fn after_all(&self, snapshot: &Snapshot, grant: &GrantRow, call: &Call) -> Result<Decision, Stop> {
        let row = GrantRow { state: GrantState::ClawbackRequested, clawed_back_fen: 0, ..grant.next(call) };
        let (credited, transfer) = self.report(row.clone())?;
        let row = GrantRow { credited_fen: credited.credited_fen, ..row };
        let book = book(&row.region, &row.programme)?;
        let (cost, granted) = (row.cost_account(snapshot, &book, call)?, Account::granted(&book, row.elder_id()));
        let again = Transfer::posted(EntryKind::MonthGranted, cost, granted, row.amount_fen, call.now.month());
        let mut decision = Decision::new(call);
        let leaf = decision.leaf("grant.clawback_requested", &self.grant, row.version);
        leaf.put(&row).tell(&row.region).tell(&row.channel).instruct(&row.channel).book(again);
        if let Some(transfer) = transfer {
            leaf.book(transfer);
        }
        Ok(decision)
    }

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
