//! What came of requests, one by one and counted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The refusal of a month that was granted before: a new job for the same month meets it, and no harm is done.
pub const ALREADY_GRANTED: &str = "ALREADY_GRANTED";

/// What the gateway told of one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The elder or the grant concerned, or the channel.
    pub about: String,
    #[serde(flatten)]
    pub outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Outcome {
    Accepted {
        became: Became,
        /// The record made or changed.
        record: String,
        amount_fen: i64,
    },
    Refused {
        reason: String,
        text: String,
    },
}

/// What an accepted request brought about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Became {
    Granted,
    Funded,
    Credited,
    /// A credit that failed, recorded as such.
    Failed,
}

impl Told {
    /// Reason and text of what a person has to look at.
    pub fn listed_refusal(&self) -> Option<(&str, &str)> {
        match &self.outcome {
            Outcome::Refused { reason, text } if reason != ALREADY_GRANTED => Some((reason, text)),
            Outcome::Refused { .. } | Outcome::Accepted { .. } => None,
        }
    }
}

/// Requests by outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many, and their sum in fen.
    pub accepted: BTreeMap<Became, (u64, i64)>,
    pub already_granted: u64,
    /// How many by reason.
    pub refused: BTreeMap<String, u64>,
}

impl Tally {
    pub fn add(&mut self, told: &[Told]) {
        for told in told {
            match &told.outcome {
                Outcome::Accepted { became, amount_fen, .. } => {
                    let (count, sum_fen) = self.accepted.entry(*became).or_default();
                    (*count, *sum_fen) = (*count + 1, *sum_fen + amount_fen);
                }
                Outcome::Refused { reason, .. } if reason == ALREADY_GRANTED => self.already_granted += 1,
                Outcome::Refused { reason, .. } => *self.refused.entry(reason.clone()).or_default() += 1,
            }
        }
    }

    /// Requests with an answer.
    pub fn answered(&self) -> u64 {
        self.accepted.values().map(|(count, _)| count).sum::<u64>() + self.already_granted + self.refused()
    }

    pub fn refused(&self) -> u64 {
        self.refused.values().sum()
    }

    pub fn to_json(&self) -> Value {
        let accepted: BTreeMap<&str, Value> = self
            .accepted
            .iter()
            .map(|(became, (count, sum_fen))| {
                (became.word(), json!({"count": count, "amount_fen": sum_fen.to_string()}))
            })
            .collect();
        json!({"accepted": accepted, "already_granted": self.already_granted, "refused": self.refused})
    }
}

impl Became {
    pub fn word(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Funded => "funded",
            Self::Credited => "credited",
            Self::Failed => "failed",
        }
    }
}
