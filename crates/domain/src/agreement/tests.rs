//! Proposals and answers on a simulated world: who may do what, what is in force then, who is told.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use super::*;
use crate::decision::{Call, Command, Decision};
use crate::key;
use crate::names::{Collection, Name, ParticipantKind, RequestId};
use crate::participant::{ParticipantRow, Standing};
use crate::policy::PolicyRow;
use crate::rejection::{Reason, Rejection};
use crate::sim::Sim;
use crate::time::DAY_US;

const BEIJING: &str = "regions/110000";
const TIANJIN: &str = "regions/120000";
const HEBEI: &str = "regions/130000";
const HEBEIS_WANG: &str = "regions/130000/admins/wang";
const SCOPE: &str = "130000>110000/RATING";

fn day(text: &str) -> Date {
    text.parse().unwrap()
}

/// Three regions with the shipped agreements, on a 1 June at midnight.
struct World {
    sim: Sim,
    now: Timestamp,
    calls: u128,
}

impl World {
    fn new() -> Self {
        let mut world = Self { sim: Sim::default(), now: day("2026-06-01").starts_at(), calls: 0 };
        let call = world.call("gateway");
        world.sim = Sim::with_defaults(&call);
        for region in [BEIJING, TIANJIN, HEBEI] {
            world.standing(region, Standing::Active);
        }
        world
    }

    fn standing(&mut self, region: &str, standing: Standing) {
        self.sim.given(&ParticipantRow {
            participant: region.parse().unwrap(),
            kind: ParticipantKind::Region,
            display_name: region.into(),
            standing,
            standing_reason: String::new(),
            confirmed_by: crate::value::Json(Vec::new()),
            recorded_at_us: self.now,
            version: 1,
        });
    }

    fn call(&mut self, actor: &str) -> Call {
        self.calls += 1;
        let id = uuid::Uuid::from_u128(0x0193_0000_0000_7000_8000_0000_0000_0000 + self.calls);
        Call { actor: actor.parse().unwrap(), request_id: RequestId::new(id).unwrap(), now: self.now, lane: 0 }
    }

    fn pass_days(&mut self, days: i64) {
        self.now = self.now.plus_us(days * DAY_US);
    }

    fn does(&mut self, actor: &str, command: &dyn Command) -> Result<Decision, Rejection> {
        let call = self.call(actor);
        self.sim.execute(&call, command)
    }

    fn proposed(&mut self, actor: &str, command: &ProposeAgreement) -> Name {
        let decision = self.does(actor, command).unwrap();
        decision.leaves[0].record.parse().unwrap()
    }

    fn row(&self, name: &Name) -> AgreementRow {
        self.sim.get(key![name.to_string()]).unwrap()
    }

    fn accept(&mut self, actor: &str, name: &Name) -> Result<Decision, Rejection> {
        let command = AcceptAgreement {
            agreement: name.clone(),
            terms_sha256: self.row(name).terms_sha256(),
            reason: "同意".into(),
        };
        self.does(actor, &command)
    }

    /// First day, version, and whether anything is recognized of what is in force on a day.
    fn in_force(&self, on: &str) -> (String, i64, bool) {
        let rows: Vec<PolicyRow> = self.sim.all();
        let of_scope = rows.into_iter().filter(|r| r.scope == SCOPE && r.effective_from <= day(on));
        let newest = of_scope.max_by_key(|r| (r.effective_from, r.version)).unwrap();
        let terms: crate::policy::Agreement = serde_json::from_str(&newest.body).unwrap();
        (newest.effective_from.to_string(), newest.version, terms.recognizes())
    }
}

fn terms() -> Json {
    json!({"automatic": true, "schemes": {"GB_T_37276": [{"native": 4, "recognized": 4, "quality": "EXACT"}]},
           "source": "三地协议"})
}

fn propose(from: &str, body: &Json) -> ProposeAgreement {
    ProposeAgreement {
        issuer: HEBEI.parse().unwrap(),
        recognizer: BEIJING.parse().unwrap(),
        record_kind: RecordKind::Rating,
        effective_from: day(from),
        body: body.to_string(),
        reason: "联席会议".into(),
    }
}

fn end(from: &str) -> EndAgreement {
    EndAgreement {
        issuer: HEBEI.parse().unwrap(),
        recognizer: BEIJING.parse().unwrap(),
        record_kind: RecordKind::Rating,
        effective_from: day(from),
        reason: "不再互认".into(),
    }
}

fn told(decision: &Decision, kind: &str) -> Vec<BTreeSet<String>> {
    let leaves = decision.leaves.iter().filter(|leaf| leaf.kind == kind);
    leaves.map(|leaf| leaf.audience.iter().map(|(who, _)| who.to_string()).collect()).collect()
}

fn both() -> BTreeSet<String> {
    [BEIJING, HEBEI].map(String::from).into()
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, Rejection>, reason: Reason, field: &str) {
    let rejection = result.unwrap_err();
    assert_eq!((rejection.reason, rejection.field.as_deref()), (reason, Some(field)), "{rejection}");
}

#[test]
fn what_both_regions_signed_is_in_force_from_its_first_day() {
    let mut world = World::new();
    let name = world.proposed(HEBEIS_WANG, &propose("2026-07-01", &terms()));
    assert_eq!(told(world.sim.decisions.last().unwrap(), "agreement.proposed"), [both()]);
    assert_eq!(world.in_force("2026-07-01"), ("2024-03-01".into(), 1, true), "nothing yet");
    world.pass_days(30);
    let decision = world.accept(BEIJING, &name).unwrap();
    assert_eq!(told(&decision, "agreement.accepted"), [both()]);
    assert_eq!(told(&decision, "policy.set"), [both()]);
    assert!(decision.leaves[1].by_gateway && decision.leaves[1].cause.as_ref() == Some(&decision.leaves[0].leaf_id));
    let row = world.row(&name);
    assert_eq!((row.state, row.version), (AgreementState::Accepted, 2));
    assert_eq!(row.answered_by.unwrap().to_string(), BEIJING);
    assert_eq!(row.policy.as_deref(), Some("policies/agreement/130000>110000/RATING/2026-07-01/2"));
    let policies: Vec<PolicyRow> = world.sim.all();
    let version = policies.iter().find(|p| p.scope == SCOPE && p.version == 2).unwrap();
    assert_eq!((version.agreement.as_deref(), version.body == row.body), (Some(name.as_str()), true));
    for (on, version) in [("2026-06-30", 1), ("2026-07-01", 2)] {
        assert_eq!(world.in_force(on).1, version, "{on}");
    }
}

#[test]
fn every_state_and_step() {
    use AgreementState::{Accepted, Declined, Ended, Proposed, Superseded, Withdrawn};
    type Step = (&'static str, &'static str, Result<AgreementState, (Reason, &'static str)>);
    let not_theirs = Err((Reason::RecordNotFound, "agreement"));
    let answered = Err((Reason::StateNotAllowed, "agreement"));
    let own = Err((Reason::SameOrganisation, "agreement"));
    let when_proposed: [Step; 9] = [
        ("accept", BEIJING, Ok(Accepted)),
        ("accept", HEBEI, own),
        ("accept", TIANJIN, not_theirs),
        ("decline", BEIJING, Ok(Declined)),
        ("decline", HEBEI, own),
        ("decline", TIANJIN, not_theirs),
        ("withdraw", HEBEI, Ok(Withdrawn)),
        ("withdraw", BEIJING, Err((Reason::NotYourRecord, "agreement"))),
        ("withdraw", TIANJIN, not_theirs),
    ];
    for state in [Proposed, Accepted, Declined, Withdrawn, Superseded, Ended] {
        for (step, who, outcome) in when_proposed {
            let mut world = World::new();
            let agreement = world.proposed(HEBEI, &propose("2026-07-01", &terms()));
            let row = world.row(&agreement);
            world.sim.given(&AgreementRow { state, ..row });
            let reason = "理由".to_owned();
            let done = match step {
                "accept" => world.accept(who, &agreement),
                "decline" => world.does(who, &DeclineAgreement { agreement: agreement.clone(), reason }),
                _ => world.does(who, &WithdrawAgreement { agreement: agreement.clone(), reason }),
            };
            let expected = if state == Proposed || outcome == not_theirs { outcome } else { answered };
            match expected {
                Ok(to) => {
                    assert_eq!(told(&done.unwrap(), &format!("agreement.{}", to.as_str().to_lowercase())), [both()]);
                    assert_eq!(world.row(&agreement).state, to, "{step} by {who}");
                }
                Err((reason, field)) => refused(done, reason, field),
            }
            let versions = if expected == Ok(Accepted) { 2 } else { 1 };
            assert_eq!(world.in_force("2026-07-01").1, versions, "{state} {step} by {who}");
        }
    }
}

#[test]
fn proposals_refused() {
    let with = |member: &str, value: Json| {
        let mut body = terms();
        body[member] = value;
        body
    };
    let lines = |lines: Json| with("schemes", json!({ "GB_T_37276": lines }));
    let line = |native: i64, recognized_max: i64, quality: &str| json!({"native": native, "recognized": 3, "recognized_max": recognized_max, "quality": quality});
    let excluded = |exclusion: Json| with("exclusions", json!([exclusion]));
    let uscc = "institutions/52131082XXXX00043X";
    for (body, says) in [
        (with("automatik", json!(true)), "automatik"),
        (json!({"automatic": true}), "schemes"),
        (with("schemes", json!({"GB_T_37277": []})), "RATING has no scheme GB_T_37277"),
        (with("schemes", json!({"NATIONAL": []})), "RATING has no scheme NATIONAL"),
        (lines(json!([line(6, 3, "EXACT")])), "GB_T_37276 has no grade 6"),
        (lines(json!([line(3, 4, "EXACT")])), "is not EXACT"),
        (lines(json!([line(3, 3, "AMBIGUOUS")])), "is not AMBIGUOUS"),
        (lines(json!([line(3, 3, "SAME")])), "SAME"),
        (lines(json!([line(3, 3, "EXACT"), line(3, 3, "NOMINAL")])), "3 stands twice"),
        (with("min_grade", json!(101)), "min_grade must be 0 to 100"),
        (with("validity_cap_months", json!(0)), "validity_cap_months must be 1 to"),
        (with("notice_days", json!(367)), "notice_days must be 0 to 366"),
        (with("source", json!("")), "source must be 1 to 1000"),
        (with("source", json!("a\u{0}b")), "source must be 1 to 1000"),
        (excluded(json!({"reason": "r"})), "each names an institution or a division"),
        (
            excluded(json!({"institution": uscc, "division": "13", "reason": "r"})),
            "each names an institution or a division",
        ),
        (excluded(json!({"institution": "institutions/1", "reason": "r"})), "each names an institution or a division"),
        (excluded(json!({"division": "131", "reason": "r"})), "each names an institution or a division"),
        (excluded(json!({"division": "13", "reason": ""})), "exclusions: reason must be"),
        (excluded(json!({"division": "13", "reason": "r", "until": 1})), "until"),
    ] {
        let refused = World::new().does(HEBEI, &propose("2026-07-01", &body)).unwrap_err();
        assert_eq!((refused.reason, refused.field.as_deref()), (Reason::PolicyBodyInvalid, Some("body")), "{body}");
        assert!(refused.message_en().contains(says), "{refused}");
    }
    let on_persons = ProposeAgreement {
        record_kind: RecordKind::Assessment,
        ..propose(
            "2026-07-01",
            &json!({"automatic": true, "schemes": {}, "source": "s", "exclusions": [{"division": "13", "reason": "r"}]}),
        )
    };
    refused(World::new().does(HEBEI, &on_persons), Reason::PolicyBodyInvalid, "body");

    let good = || propose("2026-07-01", &terms());
    let to = |issuer: &str, recognizer: &str| ProposeAgreement {
        issuer: issuer.parse().unwrap(),
        recognizer: recognizer.parse().unwrap(),
        ..good()
    };
    for (actor, command, reason, field) in [
        (HEBEI, propose("2026-05-31", &terms()), Reason::DateOrder, "effective_from"),
        (HEBEI, ProposeAgreement { body: "{".into(), ..good() }, Reason::PolicyBodyInvalid, "body"),
        (HEBEI, ProposeAgreement { reason: " ".into(), ..good() }, Reason::FieldMissing, "reason"),
        (HEBEI, ProposeAgreement { reason: "长".repeat(1_001), ..good() }, Reason::FieldTooLong, "reason"),
        (TIANJIN, good(), Reason::NotYourRecord, "issuer"),
        ("channels/unionpay", good(), Reason::NotYourRecord, "issuer"),
        (HEBEI, to(HEBEI, HEBEI), Reason::FieldRepeated, "recognizer"),
        (HEBEI, to(HEBEI, "channels/unionpay"), Reason::FieldMalformed, "recognizer"),
        (HEBEI, to("gateway", HEBEI), Reason::FieldMalformed, "issuer"),
        (HEBEI, to(HEBEI, "regions/140000"), Reason::ParticipantNotActive, "recognizer"),
    ] {
        refused(World::new().does(actor, &command), reason, field);
    }
}

#[test]
fn nobody_sets_an_agreement() {
    for actor in ["gateway/admins/li", HEBEI, HEBEIS_WANG, BEIJING] {
        let set = crate::policy::SetPolicy {
            kind: PolicyKind::Agreement,
            scope: SCOPE.into(),
            effective_from: day("2026-07-01"),
            body: terms(),
            reason: "r".into(),
        };
        refused(World::new().does(actor, &set), Reason::NotYourRecord, "scope");
    }
}

#[test]
fn a_proposal_whose_first_day_has_passed_has_lapsed() {
    let mut world = World::new();
    let name = world.proposed(HEBEI, &propose("2026-06-01", &terms()));
    world.pass_days(1);
    let lapsed = world.accept(BEIJING, &name).unwrap_err();
    assert_eq!(lapsed.reason, Reason::StateNotAllowed);
    assert!(lapsed.message_en().contains("LAPSED"), "{lapsed}");
    // Today is not past.
    let name = world.proposed(HEBEI, &propose("2026-06-02", &terms()));
    world.accept(BEIJING, &name).unwrap();
    assert_eq!(world.in_force("2026-06-02").1, 2);
}

#[test]
fn an_acceptance_names_the_terms_whole() {
    let mut world = World::new();
    let name = world.proposed(HEBEI, &propose("2026-07-01", &terms()));
    let row = world.row(&name);
    let others = [
        AgreementRow { issuer: BEIJING.parse().unwrap(), ..row.clone() },
        AgreementRow { recognizer: TIANJIN.parse().unwrap(), ..row.clone() },
        AgreementRow { record_kind: RecordKind::Assessment, ..row.clone() },
        AgreementRow { effective_from: day("2026-07-02"), ..row.clone() },
        AgreementRow { body: row.body.replace("true", "false"), ..row.clone() },
    ];
    let digests: BTreeSet<String> = others.iter().chain([&row]).map(AgreementRow::terms_sha256).collect();
    assert_eq!(digests.len(), 6);
    for other in &others {
        let accept =
            AcceptAgreement { agreement: name.clone(), terms_sha256: other.terms_sha256(), reason: "同意".into() };
        refused(world.does(BEIJING, &accept), Reason::DigestMismatch, "terms_sha256");
    }
    world.standing(HEBEI, Standing::Suspended);
    refused(world.accept(BEIJING, &name), Reason::ParticipantNotActive, "agreement");
    world.standing(HEBEI, Standing::Active);
    world.accept(BEIJING, &name).unwrap();
}

#[test]
fn one_proposal_waits_and_a_later_one_takes_its_place() {
    let mut world = World::new();
    let first = world.proposed(HEBEI, &propose("2026-07-01", &terms()));
    let second = world.proposed(HEBEI, &propose("2026-08-01", &terms()));
    let counter = world.proposed(BEIJING, &propose("2026-07-01", &terms()));
    let decision = world.sim.decisions.last().unwrap();
    assert_eq!(told(decision, "agreement.superseded"), [both()]);
    for old in [&first, &second] {
        assert_eq!(world.row(old).state, AgreementState::Superseded);
        refused(world.accept(BEIJING, old), Reason::StateNotAllowed, "agreement");
    }
    assert!(world.row(&second).reason.contains(counter.as_str()));
    // Other scopes are not touched.
    let tianjins = ProposeAgreement { recognizer: TIANJIN.parse().unwrap(), ..propose("2026-07-01", &terms()) };
    let tianjins = world.proposed(TIANJIN, &tianjins);
    assert_eq!(world.row(&counter).state, AgreementState::Proposed);
    world.accept(HEBEI, &counter).unwrap();
    world.accept(HEBEI, &tianjins).unwrap();
    let guards: Vec<_> = world.sim.decisions.last().unwrap().guards();
    assert!(guards.iter().any(|(spec, key)| spec.name == "participants" && *key == key![HEBEI.to_owned()]));
}

#[test]
fn versions_of_days_to_come_stand_in_their_order() {
    let mut world = World::new();
    for from in ["2026-09-01", "2026-07-01", "2026-07-01"] {
        let name = world.proposed(BEIJING, &propose(from, &terms()));
        world.accept(HEBEI, &name).unwrap();
    }
    for (on, from, version) in
        [("2026-06-30", "2024-03-01", 1), ("2026-08-31", "2026-07-01", 4), ("2026-09-01", "2026-09-01", 2)]
    {
        assert_eq!(world.in_force(on), (from.into(), version, true), "{on}");
    }
}

#[test]
fn either_ends_it_alone_at_its_notice_and_what_was_agreed_for_later() {
    for who in [BEIJING, HEBEI] {
        let mut world = World::new();
        let with_notice = {
            let mut body = terms();
            body["notice_days"] = json!(30);
            body
        };
        for from in ["2026-06-01", "2026-09-01"] {
            let name = world.proposed(BEIJING, &propose(from, &with_notice));
            world.accept(HEBEI, &name).unwrap();
        }
        let waiting = world.proposed(HEBEI, &propose("2026-12-01", &terms()));
        refused(world.does(who, &end("2026-06-30")), Reason::DateOrder, "effective_from");
        refused(world.does(TIANJIN, &end("2026-07-01")), Reason::NotYourRecord, "issuer");
        let decision = world.does(who, &end("2026-07-01")).unwrap();
        assert_eq!(told(&decision, "agreement.ended"), [both()]);
        assert_eq!(told(&decision, "policy.set").len(), 2, "its day, and the later version's");
        assert_eq!(told(&decision, "agreement.superseded"), [both()]);
        assert_eq!(world.row(&waiting).state, AgreementState::Superseded);
        for (on, recognizes) in
            [("2026-06-30", true), ("2026-07-01", false), ("2026-08-31", false), ("2026-12-31", false)]
        {
            assert_eq!(world.in_force(on).2, recognizes, "{who} {on}");
        }
        refused(world.does(who, &end("2026-08-01")), Reason::StateNotAllowed, "effective_from");
        // And agreed anew, by both.
        let name = world.proposed(who, &propose("2026-10-01", &terms()));
        let other = if who == BEIJING { HEBEI } else { BEIJING };
        world.accept(other, &name).unwrap();
        assert!(world.in_force("2026-10-01").2);
    }
}

#[test]
fn a_later_version_is_ended_with_its_own_notice() {
    let mut world = World::new();
    for (from, days) in [("2026-06-01", 0), ("2026-06-20", 30), ("2026-08-29", 90), ("2026-10-01", 90)] {
        let mut body = terms();
        body["notice_days"] = json!(days);
        let name = world.proposed(BEIJING, &propose(from, &body));
        world.accept(HEBEI, &name).unwrap();
    }
    // Thirty days before 20 June have begun, and ninety before 29 August; not ninety before 1 October.
    for too_soon in ["2026-06-10", "2026-07-01", "2026-08-29"] {
        let refused = world.does(BEIJING, &end(too_soon)).unwrap_err();
        assert_eq!((refused.reason, refused.field.as_deref()), (Reason::DateOrder, Some("effective_from")));
        assert!(refused.message_en().contains("2026-08-30"), "{refused}");
    }
    world.does(BEIJING, &end("2026-08-30")).unwrap();
    assert!(world.in_force("2026-08-29").2 && !world.in_force("2026-10-01").2);
}

#[test]
fn what_never_was_cannot_be_ended() {
    let mut world = World::new();
    let never = EndAgreement { issuer: "regions/140000".parse().unwrap(), ..end("2026-07-01") };
    refused(world.does(BEIJING, &never), Reason::StateNotAllowed, "effective_from");
    // The other region's suspension does not bind anybody to what it proposed.
    world.standing(HEBEI, Standing::Suspended);
    world.does(BEIJING, &end("2026-06-01")).unwrap();
}

#[test]
fn a_scope_reads_as_it_is_written() {
    let (issuer, recognizer) = (HEBEI.parse().unwrap(), BEIJING.parse().unwrap());
    assert_eq!(scope_of(&issuer, &recognizer, RecordKind::Rating), SCOPE);
    assert_eq!(parse_scope(SCOPE), Some((issuer, recognizer, RecordKind::Rating)));
    for text in ["", "130000/RATING", "130000>110000", "130000>11/RATING", "130000>110000/STARS"] {
        assert_eq!(parse_scope(text), None, "{text}");
    }
    assert_eq!(Name::of(Collection::Agreement, "x").as_str(), "agreements/x");
}
