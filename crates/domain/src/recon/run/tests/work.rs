//! Work on breaks: steps and their history, two organisations, what resolves itself, alerts, who
//! signs, corrected files.

use super::*;
use crate::participant::{AdministratorRow, Standing};
use crate::recon::resolve::ResolveAutomatically;
use crate::recon::view::disputed;
use crate::recon::work::{AssignBreak, AttachEvidence, CommentBreak, WithdrawProposal};
use crate::recon::{AlertRow, AlertState, Attachment, BreakStep, ViewDifference};

const WANG: &str = "regions/110000/admins/wang";
const LI: &str = "gateway/admins/li";

impl World {
    pub(super) fn breaks_policy(&mut self, change: impl FnOnce(&mut serde_json::Value)) {
        let mut body = policy::defaults().into_iter().find(|d| d.kind == PolicyKind::Breaks).unwrap().body;
        change(&mut body);
        let (kind, scope, effective_from) = (PolicyKind::Breaks, "unionpay".into(), date("2026-01-01"));
        let set = SetPolicy { kind, scope, effective_from, body, reason: "test".into() };
        self.execute("gateway/admins/setup", &set).unwrap();
    }

    fn open(&self, class: BreakClass) -> BreakRow {
        self.breaks().into_iter().find(|b| b.class == class && b.is_open()).expect("the break is there")
    }

    fn now_is(&self, name: &str) -> BreakRow {
        self.sim.get(key![name.to_owned()]).unwrap()
    }

    fn refused(&mut self, actor: &str, command: &dyn Command) -> Reason {
        self.execute(actor, command).unwrap_err().reason
    }

    /// The steps of a break, as its leaves tell.
    fn steps(&self, name: &str) -> Vec<BreakStep> {
        let leaves = self.sim.decisions.iter().flat_map(|d| &d.leaves).filter(|leaf| leaf.record == name);
        let row = |leaf: &crate::decision::Leaf| {
            let write = leaf.writes.iter().find(|w| w.spec.name == "breaks").expect("a version of the break");
            <BreakRow as crate::row::Row>::from_values(write.values.to_vec()).unwrap()
        };
        leaves.map(|leaf| row(leaf).step).collect()
    }

    fn evidence(&mut self, file: &str, sender: &str, content: FileContent) {
        self.sim.given(&FileRow {
            file: file.into(),
            sender: sender.parse().unwrap(),
            channel: self.channel.clone(),
            clearing_date: date(DAY),
            format: FileFormat::Other,
            content,
            merchant_id: String::new(),
            file_name: "slip.pdf".into(),
            size_bytes: 3,
            sha256: "ab".repeat(32),
            stored_sha256: "cd".repeat(32),
            wrapped_key: "k".into(),
            state: FileState::Received,
            rows: 0,
            rejected_rows: 0,
            rejections: Json(vec![]),
            refusal: None,
            refusal_detail: String::new(),
            superseded_by: None,
            recorded_at_us: self.now,
            version: 2,
        });
    }
}

#[test]
fn every_step_is_a_version_and_the_versions_are_the_history() {
    let mut world = World::new();
    world.payment("ORDER001", 60_000, PaymentState::Confirmed);
    world.run();
    let name = world.open(BreakClass::LedgerOnly).break_name;
    for admin in [WANG, "regions/120000/admins/zhao"] {
        let (participant, _) = admin.split_once("/admins/").unwrap();
        world.sim.given(&AdministratorRow {
            administrator: admin.parse().unwrap(),
            participant: participant.parse().unwrap(),
            display_name: admin.into(),
            standing: Standing::Active,
            reason: String::new(),
            recorded_at_us: world.now,
            version: 1,
        });
    }
    let assign = |to: &str| AssignBreak { break_name: name.clone(), assignee: to.parse().unwrap() };
    assert_eq!(world.refused(LI, &assign("regions/120000/admins/zhao")), Reason::NotYourRecord);
    assert_eq!(world.refused(LI, &assign("regions/110000/admins/nobody")), Reason::RecordNotFound);
    assert_eq!(world.refused("regions/120000/admins/zhao", &assign(WANG)), Reason::NotYourRecord);
    world.execute(LI, &assign(WANG)).unwrap();

    let comment = |text: &str| CommentBreak { break_name: name.clone(), text: text.into() };
    assert_eq!(world.refused(WANG, &comment(" ")), Reason::FieldMissing);
    assert_eq!(world.refused(WANG, &comment(&"长".repeat(1_001))), Reason::FieldTooLong);
    world.execute(WANG, &comment("渠道来电：未扣款")).unwrap();

    world.evidence("files/e1", "regions/110000", FileContent::Evidence);
    world.evidence("files/e2", "regions/110000", FileContent::RegionalBook);
    let attach =
        |file: &str| AttachEvidence { break_name: name.clone(), file: file.into(), note: "渠道回函".into() };
    assert_eq!(world.refused(WANG, &attach("files/e2")), Reason::StateNotAllowed);
    assert_eq!(world.refused(WANG, &attach("files/e3")), Reason::RecordNotFound);
    assert_eq!(world.refused(LI, &attach("files/e1")), Reason::NotYourRecord);
    world.execute(WANG, &attach("files/e1")).unwrap();
    assert_eq!(world.refused(WANG, &attach("files/e1")), Reason::FieldRepeated);
    let one = world.now_is(&name);
    let full = vec![Attachment { file: "files/e0".into(), ..one.attachments.0[0].clone() }; 49];
    world.sim.given(&BreakRow { attachments: Json([one.attachments.0.clone(), full].concat()), ..one.clone() });
    world.evidence("files/e51", "regions/110000", FileContent::Evidence);
    assert_eq!(world.refused(WANG, &attach("files/e51")), Reason::FieldOutOfRange, "fifty are enough");
    world.sim.given(&one);

    world.propose(BreakClass::LedgerOnly, Resolution::Release, None).unwrap();
    let withdraw = WithdrawProposal { break_name: name.clone(), reason: "金额写错".into() };
    assert_eq!(world.refused(LI, &withdraw), Reason::NotYourRecord);
    world.execute(WANG, &withdraw).unwrap();
    let row = world.now_is(&name);
    assert_eq!((row.state, row.resolution, row.note.as_str()), (BreakState::Assigned, None, "金额写错"));
    assert_eq!(world.refused(WANG, &withdraw), Reason::StateNotAllowed);

    world.propose(BreakClass::LedgerOnly, Resolution::Release, None).unwrap();
    world.decide(LI, &name, false).unwrap();
    world.propose(BreakClass::LedgerOnly, Resolution::Release, None).unwrap();
    world.decide(LI, &name, true).unwrap();
    world.execute(LI, &comment("已办结")).unwrap();
    assert_eq!(world.refused(WANG, &attach("files/e1")), Reason::StateNotAllowed, "resolved");
    use BreakStep::*;
    let expected = [
        Opened,
        Assigned,
        Commented,
        EvidenceAttached,
        Proposed,
        Withdrawn,
        Proposed,
        Declined,
        Proposed,
        Approved,
        Commented,
    ];
    assert_eq!(world.steps(&name), expected);
    let row = world.now_is(&name);
    assert_eq!((row.version, row.state), (expected.len() as i64, BreakState::Resolved));
    assert_eq!(row.attachments.0.len(), 1);
    assert_eq!(row.hands.0.iter().map(ToString::to_string).collect::<Vec<_>>(), [WANG, LI]);
    world.check_identities();
}

#[test]
fn where_the_policy_says_so_two_organisations_resolve() {
    let mut world = World::new();
    world.breaks_policy(|body| {
        body["other_organisation"] = serde_json::json!([{"classes": ["LEDGER_ONLY"], "from_fen": 50_000}]);
    });
    world.payment("ORDER001", 60_000, PaymentState::Confirmed);
    world.payment("ORDER002", 40_000, PaymentState::Confirmed);
    world.run();
    let names: Vec<(String, i64)> = world.breaks().into_iter().map(|b| (b.break_name, b.amount_fen)).collect();
    for (name, amount_fen) in names {
        let (resolution, reason) = (Resolution::Release, "as the channel says".to_owned());
        let propose = ProposeResolution { break_name: name.clone(), resolution, reason, elder: None };
        world.execute(WANG, &propose).unwrap();
        let colleague = "regions/110000/admins/liu";
        if amount_fen >= 50_000 {
            assert_eq!(world.decide(colleague, &name, true).unwrap_err().reason, Reason::SameOrganisation);
            world.decide("regions/130000/admins/zhou", &name, true).unwrap();
        } else {
            world.decide(colleague, &name, true).unwrap();
        }
        world.check_identities();
    }
}

#[test]
fn what_the_policy_names_resolves_itself_and_names_the_policy() {
    let mut world = World::new();
    world.breaks_policy(|body| {
        body["automatic"] = serde_json::json!([
            {"name": "small_fee", "class": "FEE_MISMATCH", "resolution": "ACCEPT", "most_fen": 100},
            {"name": "unknown_row", "class": "CHANNEL_ONLY", "resolution": "ACCEPT", "most_fen": 1_000_000},
        ]);
    });
    for (order, more) in [("ORDER001", 30), ("ORDER002", 101)] {
        world.matched(order, 60_000);
        world.lines.last_mut().unwrap().fee_fen += more;
    }
    // Nobody's account is known for it, so nobody's can bear it.
    world.unknown("ORDER003", 7_000);
    world.run();
    let mut resolved = Vec::new();
    for row in world.breaks() {
        let command = ResolveAutomatically { break_name: row.break_name.clone() };
        assert_eq!(world.refused(LI, &command), Reason::RoleNotAllowed);
        assert_eq!(world.refused(WANG, &command), Reason::RoleNotAllowed);
        let fits = world.sim.read(|snapshot| ResolveAutomatically::fits(snapshot, &row)).unwrap();
        let done = world.execute("gateway", &command);
        assert_eq!(fits, done.is_ok());
        if done.is_ok() {
            assert_eq!(world.refused("gateway", &command), Reason::StateNotAllowed, "once");
            resolved.push(world.now_is(&row.break_name));
        }
        world.check_identities();
    }
    let [row] = &resolved[..] else { panic!("{resolved:?}") };
    assert_eq!((row.amount_fen, row.state, row.step), (30, BreakState::Resolved, BreakStep::Automatic));
    assert_eq!(row.policy.as_deref(), Some("policies/breaks/unionpay/2026-01-01/1#small_fee"));
    assert!(!row.entries.0.is_empty() && row.hands.0.is_empty());
    let before = world.sim.transfers.len();
    world.run();
    assert_eq!(world.booked_since(before), [], "what resolved itself stays resolved");
}

#[test]
fn who_had_a_hand_in_the_date_does_not_sign() {
    let mut world = World::new();
    world.payment("ORDER001", 60_000, PaymentState::Confirmed);
    world.run();
    let name = world.propose(BreakClass::LedgerOnly, Resolution::Release, None).unwrap();
    let withdraw = WithdrawProposal { break_name: name.clone(), reason: "又看了一遍".into() };
    world.execute(WANG, &withdraw).unwrap();
    // Another run of the date, by somebody of the region.
    let start = world.start(vec![world.file("files/f1")]);
    world.execute("regions/110000/admins/runner", &start).unwrap();
    let run = world.run();
    let view: ViewRow = world.sim.get(key![run.run.clone(), region("110000")]).unwrap();
    let sign = |differences: Vec<ViewDifference>| SignView {
        run: run.run.clone(),
        participant: region("110000"),
        root: view.root.clone(),
        differences,
    };
    assert_eq!(world.refused(WANG, &sign(vec![])), Reason::SamePerson, "proposed, and withdrew");
    assert_eq!(world.refused("regions/110000/admins/runner", &sign(vec![])), Reason::SamePerson, "ran before");
    let of_date = |world: &World| world.sim.read(|s| disputed(s, &world.channel, date(DAY))).unwrap().len();
    let text = String::new;
    let difference =
        ViewDifference { record: text(), field: text(), ours: text(), theirs: text(), note: "少一笔".into() };
    world.execute("regions/110000/admins/chen", &sign(vec![difference])).unwrap();
    assert_eq!(of_date(&world), 1, "blocks the month's close");
    world.execute("regions/110000/admins/chen", &sign(vec![])).unwrap();
    assert_eq!(of_date(&world), 0);
}

#[test]
fn a_run_that_finds_the_same_leaves_a_proposal() {
    let mut world = World::new();
    world.sim.given(&super::super::super::tests_support::elder("elders/e1"));
    world.unknown("UNKNOWN01", 7_000);
    world.run();
    let name = world.propose(BreakClass::ChannelOnly, Resolution::Accept, Some("elders/e1")).unwrap();
    world.run();
    let row: BreakRow = world.sim.get(key![name]).unwrap();
    assert_eq!((row.state, row.person.as_deref()), (BreakState::Proposed, Some("elders/e1")));
}

#[test]
fn a_flood_of_alike_breaks_is_one_alert_with_its_members() {
    let mut world = World::new();
    world.breaks_policy(|body| body["alert_from"] = 5.into());
    for n in 0..6 {
        world.payment(&format!("ORDER{n:03}"), 10_000, PaymentState::Confirmed);
    }
    world.unknown("UNKNOWN01", 7_000);
    world.run();
    let alerts: Vec<AlertRow> = world.sim.all();
    let [alert] = &alerts[..] else { panic!("{alerts:?}") };
    assert_eq!((alert.class, alert.members, alert.amount_fen), (BreakClass::LedgerOnly, 6, 60_000));
    assert_eq!((alert.state, alert.cause.as_str(), alert.clearing_date), (AlertState::Open, "M1", date(DAY)));
    let members: Vec<BreakRow> = world.breaks().into_iter().filter(|b| b.alert == alert.alert).collect();
    assert_eq!(members.len(), 6);
    world.run();
    assert_eq!(world.sim.all::<AlertRow>(), alerts, "nothing has changed");

    world.resolve(BreakClass::LedgerOnly, Resolution::Release, None);
    world.run();
    let now = &world.sim.all::<AlertRow>()[0];
    assert_eq!((now.state, now.members, now.version), (AlertState::Open, 5, 2), "below the threshold, and still open");
    for _ in 0..5 {
        world.resolve(BreakClass::LedgerOnly, Resolution::Release, None);
    }
    world.run();
    let now = &world.sim.all::<AlertRow>()[0];
    assert_eq!((now.state, now.members, now.amount_fen), (AlertState::Over, 0, 0));
}

/// What a corrected file says of a row that the first one matched.
type Correction = (&'static str, fn(&mut World), Option<BreakClass>);

#[test]
fn a_corrected_file_that_contradicts_what_was_matched_opens_a_break() {
    let corrections: [Correction; 7] = [
        ("the same", |_| {}, None),
        ("more", |w| w.lines[0].amount_fen += 500, Some(BreakClass::AmountMismatch)),
        ("less", |w| w.lines[0].amount_fen -= 500, Some(BreakClass::AmountMismatch)),
        ("another payee", |w| w.lines[0].institution = OTHER_USCC.into(), Some(BreakClass::PartyMismatch)),
        ("failed", |w| w.lines[0].status = LineStatus::Failed, Some(BreakClass::StatusMismatch)),
        ("another fee", |w| w.lines[0].fee_fen += 7, Some(BreakClass::FeeMismatch)),
        ("not there", |w| drop(w.lines.remove(0)), Some(BreakClass::LedgerOnly)),
    ];
    for (what, correct, class) in corrections {
        let mut world = World::new();
        world.matched("ORDER001", 60_000);
        world.matched("ORDER002", 20_000);
        world.run();
        let (first, at_first) = (world.lines.clone(), world.balances());
        correct(&mut world);
        world.lines[0].fee_fen = match what {
            "another fee" | "not there" => world.lines[0].fee_fen,
            _ => FEE.of(world.lines[0].amount_fen),
        };
        let corrected = RunFile { supersedes: vec!["files/f1".into()], ..world.file("files/f2") };
        let start = world.start(vec![corrected]);
        world.run_with(&start);
        assert_eq!(world.classes(), class.into_iter().collect::<Vec<_>>(), "{what}");
        let before = world.sim.transfers.len();
        world.run_with(&start);
        assert_eq!(world.booked_since(before), [], "{what}: a second run");
        assert_eq!(world.classes(), class.into_iter().collect::<Vec<_>>(), "{what}: a second run");
        // Corrected back.
        world.lines = first;
        let supersedes = vec!["files/f1".into(), "files/f2".into()];
        let again = RunFile { supersedes, ..world.file("files/f3") };
        let start = world.start(vec![again]);
        world.run_with(&start);
        assert_eq!(world.classes(), [], "{what}: corrected back");
        assert_eq!(world.balances(), at_first, "{what}: as after the first file");
    }
}

impl World {
    fn balances(&self) -> BTreeMap<String, (i64, i64)> {
        let accounts = self.sim.all::<crate::ledger::AccountRow>().into_iter();
        let moved = accounts.filter(|row| (row.posted_fen, row.held_fen) != (0, 0));
        moved.map(|row| (row.account.to_string(), (row.posted_fen, row.held_fen))).collect()
    }
}

#[test]
fn what_people_settled_is_not_booked_anew_by_a_corrected_file() {
    let mut world = World::new();
    world.payment("ORDER001", 60_000, PaymentState::Confirmed);
    world.line("ORDER001", 60_500);
    world.run();
    world.resolve(BreakClass::AmountMismatch, Resolution::Accept, None);
    world.lines[0].amount_fen = 61_000;
    world.lines[0].fee_fen = FEE.of(61_000);
    let corrected = RunFile { supersedes: vec!["files/f1".into()], ..world.file("files/f2") };
    let (before, start) = (world.sim.transfers.len(), world.start(vec![corrected]));
    world.run_with(&start);
    assert_eq!(world.booked_since(before), []);
    let row = world.open(BreakClass::AmountMismatch);
    assert_eq!((row.step, row.stakes.0.len(), row.version), (BreakStep::Reopened, 0, 4));
    world.run_with(&start);
    assert_eq!(world.now_is(&row.break_name), row, "once");
}

#[test]
fn a_proposal_falls_when_its_break_becomes_another() {
    let mut world = World::new();
    world.payment("ORDER001", 60_000, PaymentState::Confirmed);
    world.run();
    let name = world.propose(BreakClass::LedgerOnly, Resolution::Release, None).unwrap();
    world.line("ORDER001", 50_000);
    world.run();
    let row = world.now_is(&name);
    assert_eq!((row.class, row.state, row.resolution), (BreakClass::AmountMismatch, BreakState::New, None));
    assert_eq!(world.decide(LI, &name, true).unwrap_err().reason, Reason::StateNotAllowed);
}

#[test]
fn urgency_and_time_are_the_policys() {
    let mut world = World::new();
    world.breaks_policy(|body| {
        body["priorities"]["LEDGER_ONLY"] = 3.into();
        body["large_amount_fen"] = 50_000.into();
        body["grace_working_days"]["LEDGER_ONLY"] = 4.into();
    });
    world.payment("ORDER001", 60_000, PaymentState::Confirmed);
    world.run();
    let row = world.open(BreakClass::LedgerOnly);
    // Monday 16 November and four working days: overdue from Saturday on.
    assert_eq!((row.priority, row.due_on), (2, date("2026-11-21")));
}
