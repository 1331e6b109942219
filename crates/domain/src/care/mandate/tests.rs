use super::*;
use crate::care::bill::FeeType;
use crate::care::testing::{World, date, digest};
use crate::decision::Command;
use crate::key;
use crate::names::{Collection, Name};
use crate::participant::SuspendParticipant;
use crate::person::RecordDeath;
use crate::rejection::Reason;

const BEIJING: &str = "regions/110000";

fn mandate(elder: &Name, contract: &Name) -> CreateMandate {
    CreateMandate {
        programme: "care_subsidy".into(),
        elder: elder.clone(),
        contract: contract.clone(),
        channel: "channels/unionpay".parse().unwrap(),
        fee_types: vec![FeeType::Bed, FeeType::Nursing],
        monthly_cap_fen: 60_000,
        valid_from: date("2026-06-01"),
        valid_until: date("2026-12-31"),
        consent_sha256: digest(3),
    }
}

#[test]
fn created_and_revoked_by_the_paying_region() {
    let mut world = World::new();
    let (home, elder) = (world.home(), world.elder());
    let contract = world.contract(&home, &elder);
    let decision = world.ok(BEIJING, &mandate(&elder, &contract));
    let told: Vec<_> = decision.leaves[0].audience.iter().map(|(who, _)| who.as_str()).collect();
    assert_eq!(told, ["channels/unionpay", BEIJING, "regions/130000"]);
    let name: Name = decision.leaves[0].record.parse().unwrap();
    let row = |world: &World| world.sim.get::<MandateRow>(key![name.clone()]).unwrap();
    for (day, counts) in [("2026-05-31", false), ("2026-06-01", true), ("2026-12-31", true), ("2027-01-01", false)] {
        assert_eq!(row(&world).in_force_on(date(day)), counts, "{day}");
    }
    let revoke = RevokeMandate { mandate: name.clone(), reason: "老人撤回同意".into() };
    let silent = RevokeMandate { reason: String::new(), ..revoke.clone() };
    let unknown = RevokeMandate { mandate: Name::of(Collection::Mandate, "none"), ..revoke.clone() };
    use Reason::*;
    world.refuses(vec![
        ("another region", "regions/130000", Box::new(revoke.clone()), NotYourRecord, "mandate"),
        ("unknown", BEIJING, Box::new(unknown), RecordNotFound, "mandate"),
        ("no reason", BEIJING, Box::new(silent), FieldMissing, "reason"),
    ]);
    world.ok(BEIJING, &revoke);
    assert!(!row(&world).in_force_on(date("2026-06-10")));
    world.refuses(vec![("again", BEIJING, Box::new(revoke), StateNotAllowed, "mandate")]);
}

#[test]
fn refused() {
    let mut world = World::new();
    let (home, elder, other, dead) = (world.home(), world.elder(), world.elder(), world.elder());
    let contract = world.contract(&home, &elder);
    let theirs = world.contract(&home, &other);
    let last = world.contract(&home, &dead);
    let draft = world.name(BEIJING, &crate::care::testing::new_contract(&home, &elder));
    let death = RecordDeath { elder: dead.clone(), died_on: date("2026-06-01"), document_number: String::new() };
    world.ok(BEIJING, &death);
    let with = |change: &dyn Fn(&mut CreateMandate)| -> Box<dyn Command> {
        let mut command = mandate(&elder, &contract);
        change(&mut command);
        Box::new(command)
    };
    use Reason::*;
    world.refuses(vec![
        ("not the paying region", "regions/130000", with(&|_| {}), NotYourRecord, "elder"),
        ("unknown elder", BEIJING, with(&|m| m.elder = Name::of(Collection::Elder, "x")), RecordNotFound, "elder"),
        (
            "dead",
            BEIJING,
            with(&|m| {
                m.elder = dead.clone();
                m.contract = last.clone();
            }),
            PersonDeceased,
            "elder",
        ),
        (
            "unknown contract",
            BEIJING,
            with(&|m| m.contract = Name::of(Collection::Contract, "x")),
            RecordNotFound,
            "contract",
        ),
        ("another's contract", BEIJING, with(&|m| m.contract = theirs.clone()), FieldMalformed, "contract"),
        ("a draft", BEIJING, with(&|m| m.contract = draft.clone()), StateNotAllowed, "contract"),
        (
            "after the contract",
            BEIJING,
            with(&|m| {
                m.valid_from = date("2027-01-01");
                m.valid_until = date("2027-12-31");
            }),
            StateNotAllowed,
            "contract",
        ),
        (
            "past already",
            BEIJING,
            with(&|m| {
                m.valid_from = date("2026-05-01");
                m.valid_until = date("2026-05-31");
            }),
            StateNotAllowed,
            "contract",
        ),
        ("no fee types", BEIJING, with(&|m| m.fee_types.clear()), FieldMissing, "fee_types"),
        ("twice the same", BEIJING, with(&|m| m.fee_types = vec![FeeType::Bed; 2]), FieldRepeated, "fee_types"),
        ("no cap", BEIJING, with(&|m| m.monthly_cap_fen = 0), FieldOutOfRange, "monthly_cap_fen"),
        ("backwards", BEIJING, with(&|m| m.valid_until = date("2026-05-31")), DateOrder, "valid_until"),
        ("no programme", BEIJING, with(&|m| m.programme = String::new()), FieldMissing, "programme"),
        ("programme of no form", BEIJING, with(&|m| m.programme = "a\0".into()), FieldMalformed, "programme"),
        ("unknown programme", BEIJING, with(&|m| m.programme = "x".into()), PolicyMissing, ""),
        (
            "unknown channel",
            BEIJING,
            with(&|m| m.channel = "channels/x".parse().unwrap()),
            ParticipantNotActive,
            "channel",
        ),
        ("no channel", BEIJING, with(&|m| m.channel = BEIJING.parse().unwrap()), FieldMalformed, "channel"),
    ]);
    let suspend = SuspendParticipant { participant: "channels/unionpay".parse().unwrap(), reason: "演练".into() };
    world.ok("gateway/admins/a", &suspend);
    world.refuses(vec![("suspended channel", BEIJING, with(&|_| {}), ParticipantNotActive, "channel")]);
}
