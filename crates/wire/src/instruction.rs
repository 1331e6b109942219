//! Instructions: what a leaf told to a channel asks it to do.

use jjj_domain::entitlement::{GrantRow, GrantState};
use jjj_domain::payment::{PaymentRow, PaymentState};
use jjj_domain::subsidy::ClaimRow;
use jjj_domain::time::Timestamp;

use crate::pb;

/// Where an instruction stands in its channel's stream.
#[derive(Clone, Debug)]
pub struct Place {
    /// Hex.
    pub leaf_hash: String,
    /// The leaf's index plus one.
    pub cursor: i64,
    pub recorded_at: Timestamp,
}

impl Place {
    fn instruction(&self, kind: pb::InstructionKind) -> pb::Instruction {
        pb::Instruction {
            name: format!("instructions/{}", self.leaf_hash),
            cursor: self.cursor,
            kind: kind.into(),
            recorded_time_us: self.recorded_at.0,
            ..pb::Instruction::default()
        }
    }
}

/// What a version of a payment asks: forget it when cancelled, else pay.
pub fn of_payment(place: &Place, row: &PaymentRow, account_token: &str) -> pb::Instruction {
    match row.state {
        PaymentState::Cancelled => payment(place, pb::InstructionKind::Cancel, row, account_token),
        PaymentState::Reserved
        | PaymentState::Confirmed
        | PaymentState::Reversed
        | PaymentState::Rejected
        | PaymentState::Expired
        | PaymentState::Voided
        | PaymentState::Late => pb::Instruction {
            // The channel's own time is known from its confirmation on.
            transaction_time_us: 0,
            amount_fen: row.amount_fen,
            ..payment(place, pb::InstructionKind::Pay, row, account_token)
        },
    }
}

/// A question what became of a payment, as it stands now: it may have been answered meanwhile.
pub fn of_query(place: &Place, row: &PaymentRow) -> pb::Instruction {
    payment(place, pb::InstructionKind::Query, row, "")
}

fn payment(place: &Place, kind: pb::InstructionKind, row: &PaymentRow, account_token: &str) -> pb::Instruction {
    pb::Instruction {
        record: row.payment.clone(),
        version: row.version,
        order_id: row.order_id.clone(),
        merchant_id: row.merchant_id.clone(),
        transaction_time_us: row.transaction_time_us.0,
        region: row.region.to_string(),
        programme: row.programme.clone(),
        elder: row.person.clone(),
        institution: row.institution.clone(),
        account_token: account_token.to_owned(),
        ..place.instruction(kind)
    }
}

/// What a version of a grant asks: credit it, or return what was credited.
pub fn of_grant(place: &Place, row: &GrantRow) -> pb::Instruction {
    let (kind, amount_fen) = match row.state {
        GrantState::ClawbackRequested => (pb::InstructionKind::ClawBack, row.credited_fen - row.clawed_back_fen),
        GrantState::Granted | GrantState::Credited | GrantState::CreditFailed | GrantState::ClawedBack => {
            (pb::InstructionKind::Credit, row.amount_fen)
        }
    };
    pb::Instruction {
        record: row.grant.clone(),
        version: row.version,
        region: row.region.to_string(),
        programme: row.programme.clone(),
        elder: row.person.clone(),
        amount_fen,
        ..place.instruction(kind)
    }
}

/// What a version of a claim asks: transfer it.
pub fn of_claim(place: &Place, row: &ClaimRow, account_token: &str) -> pb::Instruction {
    pb::Instruction {
        record: row.claim.clone(),
        version: row.version,
        region: row.payer.to_string(),
        programme: row.programme.clone(),
        institution: row.institution.clone(),
        account_token: account_token.to_owned(),
        amount_fen: row.amount_fen,
        ..place.instruction(pb::InstructionKind::PayOut)
    }
}
