//! What a channel says of a payment, or of a grant's credit, whose state does not allow it.
//!
//! The answer is `STATE_NOT_ALLOWED` and no money moves. A message that only repeats what the
//! ledger has is lost without harm. One that says something else is kept: the signed request goes
//! into the log with a `CONTRADICTION` finding, one for all such messages about a record.

use super::{PaymentRow, PaymentState};
use crate::decision::{Call, Decision};
use crate::entitlement::{GrantRow, GrantState};
use crate::guard::{either, wrong_state};
use crate::key;
use crate::recon::{BreakClass, BreakRow, BreakStep, breaks, finding};
use crate::rejection::Rejection;
use crate::snapshot::{Snapshot, Stop};
use crate::text_enum;

/// The kind of the leaf that keeps such a message; [`refusal`] is its answer.
pub const CONTRADICTED: &str = "break.contradicted";

text_enum! {
    /// What a channel's message says has become of the money.
    pub enum Said {
        /// It was debited.
        Confirmed = "CONFIRMED",
        /// It was not.
        Reversed = "REVERSED",
        /// It was not, of an instruction.
        Rejected = "REJECTED",
        /// It was debited, and given back the same day.
        Voided = "VOIDED",
        /// It was debited, and given back.
        Refunded = "REFUNDED",
        /// It was not credited, of a grant.
        CreditFailed = "CREDIT_FAILED",
    }
}

impl Said {
    /// The state in which the message is in order.
    fn needs(self) -> String {
        match self {
            Self::Confirmed | Self::Reversed | Self::Rejected => PaymentState::Reserved.to_string(),
            Self::Voided | Self::Refunded => PaymentState::Confirmed.to_string(),
            Self::CreditFailed => either(&[GrantState::Granted, GrantState::CreditFailed]),
        }
    }

    /// Whether it says no more than the state does, or may be in order soon: a void or refund that
    /// overtakes its confirmation is sent again, under the same request id.
    fn is_no_contradiction(self, state: PaymentState) -> bool {
        use PaymentState::{Cancelled, Confirmed, Expired, Late, Rejected, Reserved, Reversed, Voided};
        match self {
            Self::Confirmed => matches!(state, Confirmed | Late),
            Self::Reversed | Self::Rejected => matches!(state, Reversed | Rejected | Cancelled | Expired | Voided),
            Self::Voided => matches!(state, Voided | Reserved),
            Self::Refunded => state == Reserved,
            Self::CreditFailed => false,
        }
    }

    fn refuse(self, state: &str, record: &str) -> Rejection {
        let field = if self == Self::CreditFailed { "grant" } else { "payment" };
        wrong_state(state, self.needs(), field, record)
    }

    /// Refuses a message that the payment's state does not allow, or keeps it.
    pub(super) fn unfit(self, snapshot: &Snapshot, call: &Call, payment: &PaymentRow) -> Result<Decision, Stop> {
        if self.is_no_contradiction(payment.state) {
            return Err(self.refuse(payment.state.as_str(), &payment.payment).into());
        }
        let finding = finding::contradiction(&payment.payment, payment.amount_fen, payment.state.as_str(), self);
        keep(snapshot, call, finding.of(snapshot, payment, None, call.now)?)
    }

    /// Keeps a message that a grant's state does not allow.
    pub fn unfit_for(self, snapshot: &Snapshot, call: &Call, grant: &GrantRow) -> Result<Decision, Stop> {
        let finding = finding::contradiction(&grant.grant, grant.amount_fen, grant.state.as_str(), self);
        keep(snapshot, call, finding.about_grant(snapshot, grant, call)?)
    }
}

fn keep(snapshot: &Snapshot, call: &Call, new: BreakRow) -> Result<Decision, Stop> {
    let row = match snapshot.get::<BreakRow>(key![new.break_name.clone()])? {
        None => new,
        Some(known) if known.is_open() => {
            BreakRow { fields: new.fields, ..known.step(BreakStep::Changed, &call.actor, call.now, "") }
        }
        Some(known) => breaks::reopen(&known, new),
    };
    let mut decision = Decision::new(call);
    let leaf = decision.leaf(CONTRADICTED, &row.break_name, row.version);
    leaf.put(&row);
    row.tell(leaf);
    Ok(decision)
}

/// The refusal with which a message is answered that was kept in this break; `None` when it is none.
pub fn refusal(row: &BreakRow) -> Option<Rejection> {
    let state = row.fields.0.first().filter(|_| row.class == BreakClass::Contradiction)?;
    let said: Said = state.channel.parse().ok()?;
    Some(said.refuse(&state.ledger, &row.subject))
}
