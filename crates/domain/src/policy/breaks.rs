//! How breaks are worked: urgency, time, who decides, what resolves itself.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::body::{MONEY_FEN, within};
use super::{PolicyBody, PolicyKind};
use crate::recon::resolve::allowed;
use crate::recon::{BreakClass, Resolution};

/// How a channel's breaks are worked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakPolicy {
    /// Urgency of a class before the amount is looked at, 1 urgent to 4 low; a class not named has 3.
    pub priorities: BTreeMap<BreakClass, i64>,
    /// From this amount on a break is one step more urgent, fen.
    pub large_amount_fen: i64,
    /// Working days after the clearing date in which a class is to be resolved; a class not named
    /// has the channel's `grace_working_days`, as `CUTOFF` always has.
    pub grace_working_days: BTreeMap<BreakClass, i64>,
    /// So many open breaks of one channel, date, class and cause are one systemic alert.
    pub alert_from: i64,
    /// The most breaks that a region's book of a date has open. What is more is told by alerts, and has no break
    /// until a run finds room: a book may be wrong from end to end, and no money waits for it.
    #[serde(default = "thousand")]
    pub most_book_breaks: i64,
    /// Where who approves is of another organisation than who proposed.
    #[serde(default)]
    pub other_organisation: Vec<OtherOrganisation>,
    /// What the gateway resolves by itself: the first rule that fits.
    #[serde(default)]
    pub automatic: Vec<AutomaticRule>,
}

const fn thousand() -> i64 {
    1_000
}

/// Breaks that two organisations resolve: the region's people and the gateway's, say.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OtherOrganisation {
    /// Empty: every class.
    #[serde(default)]
    pub classes: BTreeSet<BreakClass>,
    /// From this amount on, fen.
    pub from_fen: i64,
}

/// A resolution that needs nobody.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AutomaticRule {
    /// Named in the resolution; unique within the policy.
    pub name: String,
    pub class: BreakClass,
    pub resolution: Resolution,
    /// The most amount of a break that it resolves, fen.
    pub most_fen: i64,
}

impl Default for BreakPolicy {
    /// Where no policy is in force: a fact is booked and its break opened all the same.
    fn default() -> Self {
        Self {
            priorities: BTreeMap::new(),
            large_amount_fen: *MONEY_FEN.end(),
            grace_working_days: BTreeMap::new(),
            alert_from: i64::MAX,
            most_book_breaks: thousand(),
            other_organisation: Vec::new(),
            automatic: Vec::new(),
        }
    }
}

impl BreakPolicy {
    /// 1 urgent, 2 high, 3 normal, 4 low.
    pub fn priority(&self, class: BreakClass, amount_fen: i64) -> i64 {
        let base = self.priorities.get(&class).copied().unwrap_or(3);
        (base - i64::from(amount_fen >= self.large_amount_fen)).max(1)
    }

    /// Whether proposer and approver must be of different organisations.
    pub fn needs_other_organisation(&self, class: BreakClass, amount_fen: i64) -> bool {
        let applies = |rule: &OtherOrganisation| rule.classes.is_empty() || rule.classes.contains(&class);
        self.other_organisation.iter().any(|rule| applies(rule) && amount_fen >= rule.from_fen)
    }

    /// The rule by which a break may be resolved automatically.
    pub fn automatic_for(&self, class: BreakClass, amount_fen: i64) -> Option<&AutomaticRule> {
        self.automatic.iter().find(|rule| rule.class == class && amount_fen <= rule.most_fen)
    }
}

impl PolicyBody for BreakPolicy {
    const KIND: PolicyKind = PolicyKind::Breaks;

    fn check(&self) -> Result<(), String> {
        self.priorities.values().try_for_each(|priority| within("priorities", *priority, 1..=4))?;
        self.grace_working_days.values().try_for_each(|days| within("grace_working_days", *days, 0..=60))?;
        within("large_amount_fen", self.large_amount_fen, MONEY_FEN)?;
        within("alert_from", self.alert_from, 2..=1_000_000)?;
        within("most_book_breaks", self.most_book_breaks, 1..=100_000)?;
        for rule in &self.other_organisation {
            within("from_fen", rule.from_fen, MONEY_FEN)?;
        }
        let mut names = BTreeSet::new();
        for AutomaticRule { name, class, resolution, most_fen } in &self.automatic {
            within("most_fen", *most_fen, MONEY_FEN)?;
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
            if !(1..=64).contains(&name.len()) || !name.bytes().all(plain) || !names.insert(name) {
                return Err(format!("automatic: {name:?} must be 1 to 64 of a-z 0-9 _, and not twice"));
            }
            if !allowed(*class).contains(resolution) {
                return Err(format!("{name}: {resolution} does not resolve {class}"));
            }
        }
        Ok(())
    }
}
