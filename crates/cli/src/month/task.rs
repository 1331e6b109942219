//! What a job does: which method, and what an answer of it means.

use std::path::PathBuf;

use jjj_cli::session::{CallError, find};
use jjj_wire::methods::Method;
use jjj_wire::pb;
use prost::Message;
use serde::{Deserialize, Serialize};
use tonic::Status;

use super::tally::{Became, Outcome, Told};

/// A job's parameters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// A region grants a month.
    Grant {
        programme: String,
        month: String,
        channel: String,
        /// File of the elders' names; absent: those of the gateway's register.
        elders: Option<PathBuf>,
    },
    /// A region places a month's money with a channel.
    Fund {
        programme: String,
        month: String,
        /// The earliest month whose uncredited grants count too.
        since: String,
        channel: String,
        reference: String,
    },
    /// A channel reports credits.
    Report { file: PathBuf },
}

impl Task {
    /// The method of a single request.
    pub fn method(&self) -> &'static Method {
        let name = match self {
            Self::Grant { .. } => "EntitlementService/GrantEntitlement",
            Self::Fund { .. } => "EntitlementService/FundChannel",
            Self::Report { .. } => "EntitlementService/ReportCredit",
        };
        find(name).expect("a method of the API")
    }

    /// What its requests are about, as a column's name.
    pub fn subject(&self) -> &'static str {
        match self {
            Self::Grant { .. } => "elder",
            Self::Fund { .. } => "channel",
            Self::Report { .. } => "grant",
        }
    }

    /// What the gateway told of a request: the answer's bytes, or a refusal.
    pub fn told(&self, request: &[u8], answer: Result<&[u8], &Status>) -> Result<Told, prost::DecodeError> {
        let about = match self {
            Self::Grant { .. } => pb::GrantEntitlementRequest::decode(request)?.elder,
            Self::Fund { .. } => pb::FundChannelRequest::decode(request)?.channel,
            Self::Report { .. } => pb::ReportCreditRequest::decode(request)?.grant,
        };
        let outcome = match answer {
            Ok(answer) => self.accepted(answer)?,
            Err(status) => {
                let CallError { reason, message, message_zh, .. } = CallError::from(status.clone());
                Outcome::Refused { reason, text: format!("{message} {message_zh}").trim_end().to_owned() }
            }
        };
        Ok(Told { about, outcome })
    }

    fn accepted(&self, answer: &[u8]) -> Result<Outcome, prost::DecodeError> {
        let of_grant = |became, grant: pb::Grant| (became, grant.name, grant.amount_fen);
        let (became, record, amount_fen) = match self {
            Self::Grant { .. } => {
                let grant = pb::GrantEntitlementResponse::decode(answer)?.grant.unwrap_or_default();
                of_grant(Became::Granted, grant)
            }
            Self::Fund { .. } => {
                let event = pb::FundChannelResponse::decode(answer)?.money_event.unwrap_or_default();
                (Became::Funded, event.name, event.amount_fen)
            }
            Self::Report { .. } => {
                let grant = pb::ReportCreditResponse::decode(answer)?.grant.unwrap_or_default();
                let is_credited = grant.state() == pb::GrantState::Credited;
                of_grant(if is_credited { Became::Credited } else { Became::Failed }, grant)
            }
        };
        Ok(Outcome::Accepted { became, record, amount_fen })
    }
}
