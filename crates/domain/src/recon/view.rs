//! Views: each region's part of a run as canonical rows, a root over them, and its signature.
//!
//! A row is canonical JSON (RFC 8785, integers as strings) of what a region's own export holds
//! too: no file names, no transfer ids. It states the unit as the run leaves it, so that a run
//! repeated has the same rows. They stand in [`Unit::order`]; a view's root is the RFC 6962 tree
//! head over them, the run's root that over its views.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::booking::Place;
use super::file::{LineKind, LineStatus};
use super::matching::{FileLine, MatchRule, Standing, Unit};
use super::rows::{BreakClass, BreakRow, RunRow, RunState, ViewDifference, ViewRow, ViewState};
use super::tree::{Frontier, leaf_hash};
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
    /// By which rule its rows came together, and with which tolerances.
    pub rule: MatchRule,
    pub tolerances: Vec<String>,
    /// Absent when the sides agree or the difference is resolved.
    pub difference: Option<BreakClass>,
}

impl ViewLine {
    pub fn of(unit: &Unit, class: Option<BreakClass>, place: Option<&Place>, clearing_date: Date) -> Self {
        let in_file = unit.money_lines().next().is_some();
        let ledger = unit.entries.iter().map(|e| LedgerSide {
            record: e.record.clone(),
            institution: e.institution.clone(),
            amount_fen: e.amount_fen.to_string(),
            // As the run leaves it: a reservation found in the file takes the file's date.
            clearing_date: if in_file && e.standing == Standing::Held { clearing_date } else { e.clearing_date },
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
            tolerances: unit.tolerances.clone(),
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
    pub(super) fn amount_fen(&self) -> i64 {
        let ledger = self.ledger.iter().map(|s| &s.amount_fen);
        let channel = self.channel.iter().map(|s| &s.amount_fen);
        let sum = |texts: &mut dyn Iterator<Item = &String>| texts.filter_map(|t| t.parse::<i64>().ok()).sum();
        if self.ledger.is_empty() { sum(&mut channel.into_iter()) } else { sum(&mut ledger.into_iter()) }
    }
}

/// One ledger row and one line that say the same: what most of a day is. Its body is rendered
/// without building a [`ViewLine`].
#[derive(Clone, Copy, Debug)]
pub struct PlainMatch<'a> {
    pub kind: LineKind,
    pub merchant_id: &'a str,
    pub order_id: &'a str,
    pub transaction_time: &'a str,
    pub clearing_date: &'a str,
    pub region: &'a str,
    pub programme: &'a str,
    pub institution_region: &'a str,
    pub record: &'a str,
    pub institution: &'a str,
    pub amount_fen: i64,
    /// Of the ledger row.
    pub entry_clearing_date: &'a str,
    pub fee_fen: i64,
}

impl PlainMatch<'_> {
    /// The bytes of [`ViewLine::body`], appended.
    pub fn write_body(&self, into: &mut Vec<u8>) {
        let (mut amount, mut fee) = ([0; 20], [0; 20]);
        let (amount, fee) = (decimal(self.amount_fen, &mut amount), decimal(self.fee_fen, &mut fee));
        let parts: [(&str, &str); 19] = [
            ("{\"channel\":[{\"amount_fen\":\"", amount),
            ("\",\"fee_fen\":\"", fee),
            ("\",\"institution\":\"", self.institution),
            ("\",\"merchant_id\":\"", self.merchant_id),
            ("\",\"status\":\"SUCCESS\",\"transaction_time\":\"", self.transaction_time),
            ("\"}],\"clearing_date\":\"", self.clearing_date),
            ("\",\"difference\":null,\"institution_region\":\"", self.institution_region),
            ("\",\"kind\":\"", self.kind.as_str()),
            ("\",\"ledger\":[{\"amount_fen\":\"", amount),
            ("\",\"clearing_date\":\"", self.entry_clearing_date),
            ("\",\"institution\":\"", self.institution),
            ("\",\"record\":\"", self.record),
            ("\"}],\"merchant_id\":\"", self.merchant_id),
            ("\",\"order_id\":\"", self.order_id),
            ("\",\"programme\":\"", self.programme),
            ("\",\"region\":\"", self.region),
            ("\",\"rule\":\"", MatchRule::EndToEnd.as_str()),
            ("\",\"tolerances\":[],\"transaction_time\":\"", self.transaction_time),
            ("\"}", ""),
        ];
        for (before, value) in parts {
            into.extend_from_slice(before.as_bytes());
            into.extend_from_slice(value.as_bytes());
        }
    }
}

/// A unit as a row of views.
pub struct Rendered {
    /// [`ViewLine::body`].
    pub body: String,
    /// [`ViewLine::amount_fen`].
    pub amount_fen: i64,
}

impl Rendered {
    /// `clearing_date` is the run's, `class` its difference now.
    pub fn of(unit: &Unit, class: Option<BreakClass>, place: Option<&Place>, clearing_date: Date) -> Self {
        let whole = || ViewLine::of(unit, class, place, clearing_date);
        let plain = place.filter(|_| class.is_none()).and_then(|place| Self::plain(unit, place, clearing_date));
        let rendered = plain.unwrap_or_else(|| {
            let line = whole();
            Self { body: line.body(), amount_fen: line.amount_fen() }
        });
        debug_assert_eq!(rendered.body, whole().body());
        rendered
    }

    fn plain(unit: &Unit, place: &Place, clearing_date: Date) -> Option<Self> {
        let ([entry], [FileLine { line, .. }]) = (&unit.entries[..], &unit.lines[..]) else { return None };
        let programme = place.book.programme();
        let texts = [&entry.institution, &entry.record, &unit.key.merchant_id, &unit.key.order_id];
        let as_written = |text: &str| text.bytes().all(|b| matches!(b, b' '..=b'~') && !matches!(b, b'"' | b'\\'));
        let agrees = unit.rule == MatchRule::EndToEnd
            && unit.tolerances.is_empty()
            && line.status == LineStatus::Success
            && (entry.amount_fen, &entry.institution) == (line.amount_fen, &line.institution)
            && entry.amount_fen >= 0
            && line.fee_fen >= 0
            && texts.iter().all(|text| as_written(text));
        let institution_region = place.institution_region.as_ref().filter(|_| agrees)?;
        let date = clearing_date.to_string();
        // As the run leaves it: a reservation found in the file takes the file's date.
        let of_entry = match entry.standing {
            Standing::Held => date.clone(),
            Standing::Posted | Standing::Gone => entry.clearing_date.to_string(),
        };
        let plain = PlainMatch {
            kind: unit.key.kind,
            merchant_id: &unit.key.merchant_id,
            order_id: &unit.key.order_id,
            transaction_time: &unit.key.transaction_time,
            clearing_date: &date,
            region: place.book.region().as_str(),
            programme,
            institution_region: institution_region.as_str(),
            record: &entry.record,
            institution: &entry.institution,
            amount_fen: entry.amount_fen,
            entry_clearing_date: &of_entry,
            fee_fen: line.fee_fen,
        };
        let mut body = Vec::with_capacity(640);
        plain.write_body(&mut body);
        Some(Self { body: String::from_utf8(body).ok()?, amount_fen: entry.amount_fen })
    }
}

/// An amount, not negative, in decimal digits.
fn decimal(amount_fen: i64, digits: &mut [u8; 20]) -> &str {
    let (mut left, mut at) = (amount_fen.unsigned_abs(), digits.len());
    loop {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            return std::str::from_utf8(&digits[at..]).expect("digits are text");
        }
    }
}

/// The root over a view's rows in their order, hex.
pub fn root_of<'a>(bodies: impl IntoIterator<Item = &'a str>) -> String {
    let mut tree = Frontier::default();
    tree.extend(bodies.into_iter().map(|body| leaf_hash(body.as_bytes())));
    hex::encode(tree.root())
}

/// The run's root: over `{"participant","root"}` of every view, sorted.
pub fn run_root<'a>(views: impl IntoIterator<Item = (&'a Participant, &'a str)>) -> String {
    #[derive(Serialize)]
    struct Of<'a> {
        participant: &'a Participant,
        root: &'a str,
    }
    let views = views.into_iter().map(|(participant, root)| canonical_json(&Of { participant, root }));
    let mut bodies: Vec<String> = views.collect();
    bodies.sort();
    root_of(bodies.iter().map(String::as_str))
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
            return Err(Reason::RunIncomplete.field("view").var("name", &run.run).into());
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
    fn a_plain_match_is_rendered_as_any_other_line() {
        let region = |code: &str| format!("regions/{code}").parse::<Participant>().unwrap();
        for (amount_fen, kind) in
            [(0, LineKind::Payment), (60_000, LineKind::Refund), (i64::MAX, LineKind::OperatingSubsidy)]
        {
            let plain = PlainMatch {
                kind,
                merchant_id: "777290058110097",
                order_id: "ORDER0001",
                transaction_time: "20261119103000",
                clearing_date: "2026-11-19",
                region: "regions/110000",
                programme: "care_subsidy",
                institution_region: "regions/130000",
                record: "payments/01980000-0000-7000-8000-000000000001",
                institution: "52131082XXXX00043X",
                amount_fen,
                entry_clearing_date: "2026-11-18",
                fee_fen: 7,
            };
            let line = ViewLine {
                kind,
                merchant_id: plain.merchant_id.into(),
                order_id: plain.order_id.into(),
                transaction_time: plain.transaction_time.into(),
                clearing_date: plain.clearing_date.parse().unwrap(),
                region: Some(region("110000")),
                programme: Some(plain.programme.into()),
                institution_region: Some(region("130000")),
                ledger: vec![LedgerSide {
                    record: plain.record.into(),
                    institution: plain.institution.into(),
                    amount_fen: amount_fen.to_string(),
                    clearing_date: plain.entry_clearing_date.parse().unwrap(),
                }],
                channel: vec![ChannelSide {
                    merchant_id: plain.merchant_id.into(),
                    transaction_time: plain.transaction_time.into(),
                    institution: plain.institution.into(),
                    amount_fen: amount_fen.to_string(),
                    fee_fen: "7".into(),
                    status: LineStatus::Success,
                }],
                rule: MatchRule::EndToEnd,
                tolerances: vec![],
                difference: None,
            };
            let mut body = Vec::new();
            plain.write_body(&mut body);
            assert_eq!(String::from_utf8(body).unwrap(), line.body());
        }
    }
}
