//! Records and recognition on a simulated world: who may do what, and what reaches whom.

mod agreements;
mod cascade;
mod lifecycle;
mod personal;
mod refusals;
mod voided;

use std::collections::BTreeSet;
use std::sync::Mutex;

use super::*;
use crate::decision::{Call, Command, Decision};
use crate::institution::{InstitutionKind, InstitutionRow, InstitutionState};
use crate::key;
use crate::names::{Actor, Name, RequestId};
use crate::person::{PersonKind, PersonRow, PersonState};
use crate::policy::{PolicyKind, SetPolicy};
use crate::rejection::{Reason, Rejection};
use crate::rules::assessment::{Assessed, AssessmentReason, Claim, LevelChangeReason, Standard};
use crate::sim::Sim;
use crate::snapshot::{Snapshot, Stop};
use crate::time::{DAY_US, HOUR_US};

const BEIJING: &str = "regions/110000";
const TIANJIN: &str = "regions/120000";
const HEBEI: &str = "regions/130000";
const INSTITUTION: &str = "institutions/52131082XXXX00043X";
const STATION: &str = "institutions/52110108XXXX00019Q";
const ELDER: &str = "elders/01930000-0000-7000-8000-00000000e1de";

fn day(text: &str) -> Date {
    text.parse().unwrap()
}

fn region(name: &str) -> Participant {
    name.parse().unwrap()
}

/// A world of one Hebei institution, one Beijing station and one elder of Beijing, on noon of a day.
struct World {
    sim: Sim,
    now: Timestamp,
    calls: u128,
}

impl World {
    fn on(today: &str) -> Self {
        let now = day(today).starts_at().plus_us(12 * HOUR_US);
        let mut world = Self { sim: Sim::default(), now, calls: 0 };
        let call = world.call("gateway");
        world.sim = Sim::with_defaults(&call);
        world.sim.given(&institution(INSTITUTION, HEBEI, InstitutionKind::CareInstitution, now));
        world.sim.given(&institution(STATION, BEIJING, InstitutionKind::CommunityStation, now));
        world.sim.given(&elder(ELDER, BEIJING, now));
        world
    }

    fn call(&mut self, actor: &str) -> Call {
        self.calls += 1;
        let id = uuid::Uuid::from_u128(0x0193_0000_0000_7000_8000_0000_0000_0000 + self.calls);
        let actor: Actor = actor.parse().unwrap();
        Call { actor, request_id: RequestId::new(id).unwrap(), now: self.now, lane: 0 }
    }

    fn pass_days(&mut self, days: i64) -> &mut Self {
        self.now = self.now.plus_us(days * DAY_US);
        self
    }

    fn today(&self) -> Date {
        self.now.date()
    }

    fn publish(&mut self, issuer: &str, command: &PublishRecord) -> Result<Name, Rejection> {
        let call = self.call(issuer);
        self.sim.execute(&call, command)?;
        Ok(Name::created(command.kind.collection(), call.request_id))
    }

    fn change(&mut self, issuer: &str, command: &ChangeRecord) -> Result<Decision, Rejection> {
        let call = self.call(issuer);
        self.sim.execute(&call, command)
    }

    fn decide(&mut self, recognizer: &str, record: &Name, verdict: Verdict) -> Result<Decision, Rejection> {
        let call = self.call(recognizer);
        let command = DecideRecognition { record: record.clone(), verdict, reason: "核查".into() };
        self.sim.execute(&call, &command)
    }

    fn set_policy(&mut self, kind: PolicyKind, scope: &str, body: serde_json::Value) {
        self.set_policy_from("2024-03-01", kind, scope, body);
    }

    fn set_policy_from(&mut self, from: &str, kind: PolicyKind, scope: &str, body: serde_json::Value) {
        // As on a fresh database; how regions agree is told in `agreement`.
        let call = self.call("gateway");
        let command = SetPolicy { kind, scope: scope.into(), effective_from: day(from), body, reason: "协议".into() };
        self.sim.execute(&call, &command).unwrap();
    }

    fn record(&self, name: &Name) -> RecordRow {
        self.sim.get(key![name.to_string()]).unwrap()
    }

    fn recognition(&self, record: &Name, recognizer: &str) -> Option<RecognitionRow> {
        let all: Vec<RecognitionRow> = self.sim.all();
        all.into_iter().find(|r| r.record == record.as_str() && r.recognizer.as_str() == recognizer)
    }

    fn recognition_state(&self, record: &Name, recognizer: &str) -> Option<RecognitionState> {
        self.recognition(record, recognizer).map(|r| r.state)
    }

    /// The levels a region may rely on, with the names it relies on.
    fn standing(&mut self, at: &str, kind: RecordKind, subject: &str, on: Date) -> Vec<(i64, i64, String)> {
        let look = Look { at: region(at), kind, subject: subject.into(), on, found: Mutex::default() };
        let call = self.call(at);
        self.sim.execute(&call, &look).unwrap();
        look.found.into_inner().unwrap()
    }
}

/// Reads through a snapshot as commands do, and writes nothing.
struct Look {
    at: Participant,
    kind: RecordKind,
    subject: String,
    on: Date,
    found: Mutex<Vec<(i64, i64, String)>>,
}

impl Command for Look {
    fn decide(&self, snapshot: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let found = standing(snapshot, &self.at, self.kind, &self.subject, self.on)?;
        *self.found.lock().unwrap() =
            found.into_iter().map(|s| (s.level_min, s.level_max, s.stands_on.record)).collect();
        Ok(Decision::new(call))
    }
}

fn institution(name: &str, at: &str, kind: InstitutionKind, now: Timestamp) -> InstitutionRow {
    InstitutionRow {
        institution: name.into(),
        uscc: name.trim_start_matches("institutions/").into(),
        kind,
        display_name: "康养院".into(),
        division: "131082".into(),
        region: region(at),
        beds: 100,
        residents: 50,
        state: InstitutionState::Operating,
        reason: String::new(),
        recorded_at_us: now,
        version: 1,
    }
}

fn elder(name: &str, household: &str, now: Timestamp) -> PersonRow {
    PersonRow {
        person: name.into(),
        kind: PersonKind::Elder,
        region: region(household),
        household_region: region(household),
        household_division: "110108".into(),
        state: PersonState::Active,
        merged_into: None,
        died_on: None,
        reason: String::new(),
        recorded_at_us: now,
        version: 1,
    }
}

/// A four-star-like grade under GB/T 37276, for three years from a day.
fn rating(from: &str) -> PublishRecord {
    PublishRecord::rating(PublishRecord {
        kind: RecordKind::Rating,
        subject: INSTITUTION.parse().unwrap(),
        scheme: "GB_T_37276".into(),
        native_level: 4,
        state: RecordState::Valid,
        document_number: "冀民评〔2025〕1号".into(),
        decided_by: "河北省养老机构等级评定委员会".into(),
        decided_on: day("2025-01-02"),
        valid_from: day(from),
        valid_until: day(from).plus_months(36).plus_days(-1),
        reason: String::new(),
        content: String::new(),
    })
}

/// An assessment that follows from its scores: 31 points are level 3.
fn claim(standard: Standard) -> Claim {
    let mut claim = Claim::new(standard, AssessmentReason::Initial);
    if standard == Standard::Mz039 {
        claim.daily_living_rating = Some(3);
        claim.mental_state_rating = Some(2);
        claim.perception_communication_rating = Some(2);
        claim.social_participation_rating = Some(3);
    } else {
        claim.self_care_score = Some(10);
        claim.mobility_score = Some(5);
        claim.mental_state_score = Some(10);
        claim.perception_social_score = Some(6);
        claim.total_score = Some(31);
        claim.preliminary_level = Some(3);
    }
    claim.final_level = Some(3);
    claim
}

fn assessment(claim: &Claim, from: &str, until: &str) -> PublishRecord {
    let envelope = PublishRecord { subject: ELDER.parse().unwrap(), ..rating(from) };
    let envelope = PublishRecord { valid_until: day(until), ..envelope };
    PublishRecord::assessment(envelope, &Assessed::check(claim).unwrap())
}

fn change(record: &Name, to: RecordState, on: Date) -> ChangeRecord {
    ChangeRecord {
        record: record.clone(),
        expected_version: 0,
        change: to,
        new_level: None,
        new_valid_until: None,
        reason: "检查".into(),
        decided_by: "河北省民政厅".into(),
        document_number: "冀民〔2025〕2号".into(),
        effective_on: on,
    }
}

/// The participants told by a decision's leaves of a kind.
fn told(decision: &Decision, kind: &str) -> BTreeSet<String> {
    let leaves = decision.leaves.iter().filter(|leaf| leaf.kind == kind);
    leaves.flat_map(|leaf| leaf.audience.iter().map(|(who, _)| who.to_string())).collect()
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, Rejection>, reason: Reason, field: &str) {
    let rejection = result.unwrap_err();
    assert_eq!((rejection.reason, rejection.field.as_deref()), (reason, Some(field)), "{rejection}");
}
