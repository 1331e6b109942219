//! Views: each region's part of a run as canonical rows, a root over them, and its signature.
//!
//! A row is canonical JSON (RFC 8785, integers as strings) of what a region's own export holds
//! too: no file names, no transfer ids. Rows are sorted by bytes; a view's root is the RFC 6962
//! tree head over them, the run's root that over its views.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::booking::Place;
use super::file::{LineKind, LineStatus};
use super::matching::{MatchRule, Unit};
use super::rows::{BreakClass, BreakRow, RunRow, RunState, ViewDifference, ViewRow, ViewState};
use crate::decision::{Call, Command, Decision};
use crate::guard;
use crate::key;
use crate::names::Participant;
use crate::participant::ParticipantRow;
use crate::rejection::Reason;
use crate::snapshot::{Snapshot, Stop};
use crate::time::Date;
use crate::value::{Json, canonical_json};

/// The ledger's side of a unit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerSide {
    pub record: String,
    pub institution: String,
    pub amount_fen: String,
    pub clearing_date: Date,
}

/// The channel's side of a unit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelSide {
    pub merchant_id: String,
    pub transaction_time: String,
    pub institution: String,
    pub amount_fen: String,
    pub fee_fen: String,
    pub status: LineStatus,
}

/// One row of a view: a unit, its sides, its difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewLine {
    pub kind: LineKind,
    pub merchant_id: String,
    pub order_id: String,
    pub transaction_time: String,
    pub clearing_date: Date,
    pub region: Option<Participant>,
    pub programme: Option<String>,
    pub institution_region: Option<Participant>,
    pub ledger: Vec<LedgerSide>,
    pub channel: Vec<ChannelSide>,
    pub rule: MatchRule,
    /// Absent when the sides agree or the difference is resolved.
    pub difference: Option<BreakClass>,
}

impl ViewLine {
    pub fn of(unit: &Unit, class: Option<BreakClass>, place: Option<&Place>, clearing_date: Date) -> Self {
        let ledger = unit.entries.iter().map(|e| LedgerSide {
            record: e.record.clone(),
            institution: e.institution.clone(),
            amount_fen: e.amount_fen.to_string(),
            clearing_date: e.clearing_date,
        });
        let channel = unit.lines.iter().map(|l| {
            let key = l.key();
            ChannelSide {
                merchant_id: key.merchant_id,
                transaction_time: key.transaction_time,
                institution: l.line.institution.clone(),
                amount_fen: l.line.amount_fen.to_string(),
                fee_fen: l.line.fee_fen.to_string(),
                status: l.line.status,
            }
        });
        let mut line = Self {
            kind: unit.key.kind,
            merchant_id: unit.key.merchant_id.clone(),
            order_id: unit.key.order_id.clone(),
            transaction_time: unit.key.transaction_time.clone(),
            clearing_date,
            region: place.map(|p| p.book.region().clone()),
            programme: place.map(|p| p.book.programme().to_owned()),
            institution_region: place.and_then(|p| p.institution_region.clone()),
            ledger: ledger.collect(),
            channel: channel.collect(),
            rule: unit.rule,
            difference: class,
        };
        line.ledger.sort();
        line.channel.sort();
        line
    }

    /// The bytes that the root covers.
    pub fn body(&self) -> String {
        canonical_json(self)
    }

    /// The ledger's amount, else the channel's.
    fn amount_fen(&self) -> i64 {
        let ledger = self.ledger.iter().map(|s| &s.amount_fen);
        let channel = self.channel.iter().map(|s| &s.amount_fen);
        let sum = |texts: &mut dyn Iterator<Item = &String>| texts.filter_map(|t| t.parse::<i64>().ok()).sum();
        if self.ledger.is_empty() { sum(&mut channel.into_iter()) } else { sum(&mut ledger.into_iter()) }
    }
}

/// Sums of payments and of refunds.
pub fn totals(lines: &[ViewLine]) -> (i64, i64) {
    let sum = |refunds: bool| {
        let wanted = lines.iter().filter(|l| (l.kind == LineKind::Refund) == refunds);
        wanted.map(ViewLine::amount_fen).sum()
    };
    (sum(false), sum(true))
}

/// The root over a view's rows, hex.
pub fn root_of(lines: &[ViewLine]) -> String {
    let mut bodies: Vec<String> = lines.iter().map(ViewLine::body).collect();
    bodies.sort();
    hex::encode(tree_head(&bodies.iter().map(|b| leaf_hash(b.as_bytes())).collect::<Vec<_>>()))
}

/// The run's root: over `{"participant","root"}` of every view, sorted.
pub fn run_root(views: &[ViewRow]) -> String {
    #[derive(Serialize)]
    struct Of<'a> {
        participant: &'a Participant,
        root: &'a str,
    }
    let mut bodies: Vec<String> =
        views.iter().map(|v| canonical_json(&Of { participant: &v.participant, root: &v.root })).collect();
    bodies.sort();
    hex::encode(tree_head(&bodies.iter().map(|b| leaf_hash(b.as_bytes())).collect::<Vec<_>>()))
}

type Hash = [u8; 32];

fn leaf_hash(bytes: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(bytes).finalize().into()
}

/// RFC 6962 §2.1. The log's own tree lives in `jjj-token`, which rests on this crate.
fn tree_head(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Sha256::digest([]).into(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            Sha256::new()
                .chain_update([1])
                .chain_update(tree_head(left))
                .chain_update(tree_head(right))
                .finalize()
                .into()
        }
    }
}

impl ViewRow {
    /// The state as seen on a date: unsigned after two working days.
    pub fn state_on(&self, today: Date) -> ViewState {
        if self.state == ViewState::Open && today >= self.sign_by { ViewState::Unsigned } else { self.state }
    }
}

/// A region (or the gateway, for the whole) signs its view. The caller is one of its
/// administrators who neither ran nor resolved.
#[derive(Clone, Debug)]
pub struct SignView {
    /// `runs/…`.
    pub run: String,
    pub participant: Participant,
    /// Hex. The root as the signer has computed it; with differences, the gateway's.
    pub root: String,
    /// Empty: agrees.
    pub differences: Vec<ViewDifference>,
}

/// The most differences one signature lists.
const MAX_DIFFERENCES: i64 = 1_000;

impl Command for SignView {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let name = format!("{}/views/{}", self.run, self.participant.code());
        if !call.actor.is_admin() {
            return Err(Reason::RoleNotAllowed.into());
        }
        guard::own(call, &self.participant, "view", &name)?;
        guard::range("differences", self.differences.len() as i64, 0, MAX_DIFFERENCES)?;
        let view = snapshot.get::<ViewRow>(key![self.run.clone(), self.participant.clone()])?;
        let view = guard::found(view, "view", &name)?;
        let run = guard::found(snapshot.get::<RunRow>(key![self.run.clone()])?, "view", &self.run)?;
        self.check_run(snapshot, &run)?;
        guard::state(view.state, &[ViewState::Open, ViewState::Disputed], "view", &name)?;
        independent(snapshot, call, &run)?;
        if self.root != view.root {
            return Err(Reason::RootMismatch.field("root_hash").into());
        }
        let row = ViewRow {
            state: if self.differences.is_empty() { ViewState::Agreed } else { ViewState::Disputed },
            signed_by: Some(call.actor.clone()),
            signed_at_us: Some(call.now),
            differences: Json(self.differences.clone()),
            version: view.version + 1,
            ..(*view).clone()
        };
        let mut decision = Decision::new(call);
        let leaf = decision.leaf("reconciliation.signed", &name, row.version);
        // That no newer run exists, and what the signer did, must not change meanwhile.
        leaf.put(&row).tell(&row.participant).guard::<ParticipantRow>(key![run.channel.clone()]);
        Ok(decision)
    }
}

impl SignView {
    /// Only the newest run of a date is signed, and none that is incomplete.
    fn check_run(&self, snapshot: &Snapshot, run: &RunRow) -> Result<(), Stop> {
        if run.state == RunState::Incomplete {
            return Err(Reason::RunInProgress.field("view").var("name", &run.run).into());
        }
        let of_date = key![run.channel.clone(), run.clearing_date];
        let runs = snapshot.list::<RunRow>(&["channel", "clearing_date"], of_date)?;
        if let Some(newer) = runs.iter().find(|r| r.number > run.number) {
            let needed = &newer.run;
            return Err(guard::wrong_state("superseded", needed, "view", &run.run).into());
        }
        Ok(())
    }
}

/// Who signs made none of the date's runs, and neither proposed nor decided anything of it, not
/// even what was declined or withdrawn.
fn independent(snapshot: &Snapshot, call: &Call, run: &RunRow) -> Result<(), Stop> {
    let of_date = || key![run.channel.clone(), run.clearing_date];
    let breaks = snapshot.list::<BreakRow>(&["channel", "clearing_date"], of_date());
    let runs = snapshot.list::<RunRow>(&["channel", "clearing_date"], of_date())?;
    let took_part =
        runs.iter().any(|r| r.started_by == call.actor) || breaks?.iter().any(|b| b.hands.0.contains(&call.actor));
    if took_part { Err(Reason::SamePerson.var("name", &call.actor).into()) } else { Ok(()) }
}

/// Views of a channel's date that are signed with differences: they block the month's close, never
/// a payout. Only the date's newest run counts.
pub fn disputed(snapshot: &Snapshot, channel: &Participant, date: Date) -> Result<Vec<Arc<ViewRow>>, Stop> {
    let runs = snapshot.list::<RunRow>(&["channel", "clearing_date"], key![channel.clone(), date])?;
    let Some(newest) = runs.iter().max_by_key(|run| run.number) else { return Ok(Vec::new()) };
    let views = snapshot.list::<ViewRow>(&["run"], key![newest.run.clone()])?;
    Ok(views.iter().filter(|view| view.state == ViewState::Disputed).cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_that_of_rfc_6962() {
        assert_eq!(hex::encode(tree_head(&[])), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        // RFC 6962's reference inputs, as used by the test vectors of Certificate Transparency.
        let inputs =
            ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
        let leaves: Vec<Hash> = inputs.iter().map(|i| leaf_hash(&hex::decode(i).unwrap())).collect();
        let heads = [
            (1, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
            (3, "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
            (5, "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"),
            (8, "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
        ];
        for (n, head) in heads {
            assert_eq!(hex::encode(tree_head(&leaves[..n])), head, "{n} leaves");
        }
    }
}
