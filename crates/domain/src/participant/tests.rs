use super::*;
use crate::care::testing::{World, actor, authority, date, new_admin, new_key, new_participant};
use crate::decision::Command;

const A: &str = "gateway/admins/a";
const BEIJING: &str = "regions/110000";
const LI: &str = "regions/110000/admins/li";
const WANG: &str = "regions/110000/admins/wang";

fn add_key(owner: &str, kid: &str) -> AddKey {
    AddKey { owner: actor(owner), key: new_key(kid), confirmations: Vec::new() }
}

fn confirmed(administrator: &str) -> Vec<KeyConfirmation> {
    vec![KeyConfirmation { administrator: actor(administrator), kid: kid(administrator) }]
}

fn kid(of: &str) -> String {
    new_key(of).kid
}

fn retire(of: &str) -> RetireKey {
    RetireKey { kid: kid(of), reason: "换发".into() }
}

#[test]
fn the_gateway_is_founded_once_with_two_administrators() {
    let mut world = World::new();
    let found = |administrators: &[&str]| FoundGateway {
        display_name: "网关".into(),
        authority: authority("gateway", world.now),
        first_key: new_key("gateway"),
        administrators: administrators.iter().map(|name| new_admin(name)).collect(),
    };
    let [pair, one, twins, foreign] = [
        found(&["gateway/admins/a", "gateway/admins/b"]),
        found(&["gateway/admins/a"]),
        found(&["gateway/admins/a", "gateway/admins/a"]),
        found(&["gateway/admins/a", LI]),
    ];
    world.refuses(vec![("again", A, Box::new(pair.clone()), Reason::RecordExists, "")]);
    let mut empty = World::new();
    empty.sim = crate::sim::Sim::default();
    empty.refuses(vec![
        ("one administrator", "gateway", Box::new(one), Reason::FieldOutOfRange, "administrators"),
        ("twice the same", "gateway", Box::new(twins), Reason::FieldRepeated, "administrators"),
        ("another's", "gateway", Box::new(foreign), Reason::FieldMalformed, "administrators"),
    ]);
    empty.ok("gateway", &pair);
    assert_eq!(empty.sim.all::<KeyRow>().len(), 3);
}

#[test]
fn enrolment_takes_two_pairs_of_eyes() {
    let mut world = World::new();
    let name = "regions/210000";
    let now = world.now;
    let with = |change: &dyn Fn(&mut CreateParticipant)| -> Box<dyn Command> {
        let mut command = new_participant(name, now);
        change(&mut command);
        Box::new(command)
    };
    let by = |who: &'static str| with(&move |c| c.confirmations = confirmed(who));
    use Reason::*;
    world.refuses(vec![
        ("a region", BEIJING, with(&|_| {}), RoleNotAllowed, ""),
        ("a region's administrator", LI, with(&|_| {}), RoleNotAllowed, ""),
        ("the gateway's system", "gateway", with(&|_| {}), RoleNotAllowed, ""),
        ("not what the name says", A, with(&|c| c.kind = ParticipantKind::Channel), FieldMalformed, "kind"),
        (
            "a second gateway",
            A,
            with(&|c| {
                c.name = Participant::gateway();
                c.kind = ParticipantKind::Gateway;
            }),
            FieldMalformed,
            "kind",
        ),
        ("no name", A, with(&|c| c.display_name.clear()), FieldMissing, "display_name"),
        ("run out", A, with(&|c| c.authority.not_after_us = now), FieldOutOfRange, "authority_pem"),
        ("known", A, with(&|c| c.name = BEIJING.parse().unwrap()), RecordExists, ""),
        (
            "not its print",
            A,
            with(&|c| c.first_key.fingerprint = "x".into()),
            FingerprintMismatch,
            "first_key_fingerprint",
        ),
        ("a known key", A, with(&|c| c.first_key = new_key(BEIJING)), KeyKnown, "first_key_jwk"),
        ("nobody confirmed", A, with(&|c| c.confirmations.clear()), ConfirmationMissing, "confirmations"),
        ("confirmed by oneself", A, by(A), ConfirmationMissing, "confirmations"),
        ("confirmed by a stranger", A, by("gateway/admins/x"), ConfirmationMissing, "confirmations"),
        ("confirmed by a region", A, by(LI), ConfirmationMissing, "confirmations"),
        ("with another's key", A, with(&|c| c.confirmations[0].kid = kid(A)), ConfirmationMissing, "confirmations"),
    ]);
    let decision = world.ok(A, &new_participant(name, now));
    assert_eq!((decision.leaves[0].kind, decision.leaves[0].record.as_str()), ("participant.created", name));
    let row: ParticipantRow = world.sim.get(key![name.parse::<Participant>().unwrap()]).unwrap();
    assert_eq!(row.confirmed_by.0, [actor(A), actor("gateway/admins/b")]);
    let key: KeyRow = world.sim.get(key![kid(name)]).unwrap();
    assert_eq!((key.holder, key.state), (actor(name), KeyState::Active));
}

#[test]
fn suspended_and_reinstated() {
    let mut world = World::new();
    let suspend = |who: &str| SuspendParticipant { participant: who.parse().unwrap(), reason: "演练".into() };
    let reinstate = |who: &str| ReinstateParticipant { participant: who.parse().unwrap(), reason: "结束".into() };
    let silent = SuspendParticipant { participant: BEIJING.parse().unwrap(), reason: String::new() };
    use Reason::*;
    world.refuses(vec![
        ("a region", BEIJING, Box::new(suspend("regions/120000")), RoleNotAllowed, ""),
        ("the gateway", A, Box::new(suspend("gateway")), RoleNotAllowed, "participant"),
        ("unknown", A, Box::new(suspend("regions/640000")), RecordNotFound, "participant"),
        ("no reason", A, Box::new(silent), FieldMissing, "reason"),
        ("not suspended", A, Box::new(reinstate(BEIJING)), StateNotAllowed, "participant"),
    ]);
    let active = |world: &World, who: &str| {
        world.sim.get::<ParticipantRow>(key![who.parse::<Participant>().unwrap()]).unwrap().standing
    };
    world.ok(A, &suspend(BEIJING));
    assert_eq!(active(&world, BEIJING), Standing::Suspended);
    world.refuses(vec![
        ("again", A, Box::new(suspend(BEIJING)), StateNotAllowed, "participant"),
        ("a key meanwhile", A, Box::new(add_key(BEIJING, "new")), ParticipantNotActive, "owner"),
        (
            "an administrator meanwhile",
            A,
            Box::new(new_admin("regions/110000/admins/zhao")),
            ParticipantNotActive,
            "name",
        ),
    ]);
    world.ok(A, &reinstate(BEIJING));
    assert_eq!(active(&world, BEIJING), Standing::Active);
}

/// Whose key may be added by whom, without and with a confirmation.
#[test]
fn who_adds_keys() {
    use Reason::*;
    let needs = Err(ConfirmationMissing);
    let cases = [
        (BEIJING, BEIJING, Ok(()), Ok(())),
        (LI, BEIJING, Ok(()), Ok(())),
        (LI, LI, Ok(()), Ok(())),
        (WANG, LI, needs, Ok(())),
        (A, BEIJING, needs, Ok(())),
        (A, LI, needs, Ok(())),
        (A, "gateway", Ok(()), Ok(())),
        // A system's key does not make the people who watch over it.
        (BEIJING, LI, Err(RoleNotAllowed), Err(RoleNotAllowed)),
        ("regions/120000", BEIJING, Err(NotYourRecord), Err(NotYourRecord)),
        ("regions/120000/admins/li", BEIJING, Err(NotYourRecord), Err(NotYourRecord)),
        ("gateway", BEIJING, Err(NotYourRecord), Err(NotYourRecord)),
    ];
    for (who, owner, alone, with_another) in cases {
        let confirmations = confirmed("gateway/admins/b");
        for (confirmations, expected) in [(Vec::new(), alone), (confirmations, with_another)] {
            let mut world = World::new();
            let command = AddKey { confirmations, ..add_key(owner, "new") };
            let outcome = world.run(who, &command).map(drop).map_err(|refused| refused.reason);
            assert_eq!(outcome, expected, "{who} adds a key of {owner}");
        }
    }
    let mut world = World::new();
    let mut mismatched = add_key(BEIJING, "new");
    mismatched.key.fingerprint = "x".into();
    world.refuses(vec![
        ("not its print", BEIJING, Box::new(mismatched), FingerprintMismatch, "fingerprint"),
        ("known", BEIJING, Box::new(add_key(BEIJING, LI)), KeyKnown, "jwk"),
        ("of nobody", LI, Box::new(add_key("regions/110000/admins/nobody", "new")), RecordNotFound, "owner"),
    ]);
}

#[test]
fn keys_end_but_never_the_last() {
    let mut world = World::new();
    let withdraw = |of: &str, at: Timestamp, reason: &str| WithdrawKey {
        kid: kid(of),
        suspect_from_us: at,
        reason: reason.into(),
    };
    let now = world.now;
    use Reason::*;
    world.refuses(vec![
        ("the last", BEIJING, Box::new(retire(BEIJING)), LastKey, "key"),
        ("the last, compromised", BEIJING, Box::new(withdraw(BEIJING, now, "泄露")), LastKey, "key"),
        ("unknown", BEIJING, Box::new(retire("nobody")), RecordNotFound, "key"),
        ("another's", "regions/120000", Box::new(retire(BEIJING)), NotYourRecord, "key"),
        ("a person's, by the system", BEIJING, Box::new(retire(LI)), RoleNotAllowed, "key"),
        (
            "in the future",
            BEIJING,
            Box::new(withdraw(BEIJING, now.plus_us(60_000_001), "泄露")),
            FieldOutOfRange,
            "suspect_from_time_us",
        ),
        ("no reason", BEIJING, Box::new(withdraw(BEIJING, now, "")), FieldMissing, "reason"),
    ]);
    world.ok(BEIJING, &add_key(BEIJING, "second"));
    world.ok(BEIJING, &retire(BEIJING));
    let old: KeyRow = world.sim.get(key![kid(BEIJING)]).unwrap();
    assert_eq!((old.state, old.ended_at_us, old.version), (KeyState::Retired, Some(now), 2));
    world.refuses(vec![
        ("retired already", BEIJING, Box::new(retire(BEIJING)), StateNotAllowed, "key"),
        ("now the last", A, Box::new(withdraw("second", now, "泄露")), LastKey, "key"),
        ("known for good", BEIJING, Box::new(add_key(BEIJING, BEIJING)), KeyKnown, "jwk"),
    ]);
    world.ok(LI, &add_key(BEIJING, "third"));
    let suspect_from = date("2026-06-01").starts_at();
    let decision = world.ok(A, &withdraw("second", suspect_from, "泄露"));
    assert_eq!(decision.leaves[0].record, format!("{BEIJING}/keys/{}", kid("second")));
    let lost: KeyRow = world.sim.get(key![kid("second")]).unwrap();
    assert_eq!((lost.state, lost.suspect_from_us), (KeyState::Withdrawn, Some(suspect_from)));
    // Whose clock is ahead means now.
    world.ok(LI, &add_key(BEIJING, "fourth"));
    world.ok(A, &withdraw("third", now.plus_us(60_000_000), "泄露"));
    let lost: KeyRow = world.sim.get(key![kid("third")]).unwrap();
    assert_eq!((lost.state, lost.suspect_from_us), (KeyState::Withdrawn, Some(now)));
}

#[test]
fn authorities_come_and_go_but_never_the_last() {
    let mut world = World::new();
    let now = world.now;
    let add = |of: &str, name: &str| AddAuthority { participant: of.parse().unwrap(), authority: authority(name, now) };
    let withdraw = |of: &str, name: &str| WithdrawAuthority {
        participant: of.parse().unwrap(),
        fingerprint: authority(name, now).fingerprint,
        reason: "到期".into(),
    };
    let silent = WithdrawAuthority { reason: String::new(), ..withdraw(BEIJING, BEIJING) };
    let mut ran_out = add(BEIJING, "old");
    ran_out.authority.not_after_us = now;
    use Reason::*;
    world.refuses(vec![
        ("another's", "regions/120000", Box::new(add(BEIJING, "new")), NotYourRecord, "participant"),
        ("unknown participant", A, Box::new(add("regions/640000", "new")), ParticipantNotActive, "participant"),
        ("known", BEIJING, Box::new(add(BEIJING, BEIJING)), RecordExists, ""),
        ("ran out", BEIJING, Box::new(ran_out), FieldOutOfRange, "certificate_pem"),
        ("unknown authority", BEIJING, Box::new(withdraw(BEIJING, "new")), RecordNotFound, "authority"),
        ("another's", "regions/120000", Box::new(withdraw(BEIJING, BEIJING)), NotYourRecord, "authority"),
        ("the last", BEIJING, Box::new(withdraw(BEIJING, BEIJING)), LastAuthority, "authority"),
        ("no reason", BEIJING, Box::new(silent), FieldMissing, "reason"),
    ]);
    world.ok(A, &add(BEIJING, "new"));
    world.ok(LI, &withdraw(BEIJING, BEIJING));
    world.refuses(vec![
        ("again", BEIJING, Box::new(withdraw(BEIJING, BEIJING)), StateNotAllowed, "authority"),
        ("back again", BEIJING, Box::new(add(BEIJING, BEIJING)), RecordExists, ""),
        ("now the last", BEIJING, Box::new(withdraw(BEIJING, "new")), LastAuthority, "authority"),
    ]);
}

#[test]
fn administrators_answer_for_administrators() {
    let mut world = World::new();
    let zhao = "regions/110000/admins/zhao";
    let remove = |who: &str| RemoveAdministrator { administrator: actor(who), reason: "调离".into() };
    let unnamed = AddAdministrator { display_name: String::new(), ..new_admin(zhao) };
    let known_key = AddAdministrator { first_key: new_key(LI), ..new_admin(zhao) };
    let silent = RemoveAdministrator { reason: String::new(), ..remove(WANG) };
    use Reason::*;
    world.refuses(vec![
        ("a system, when there are some", BEIJING, Box::new(new_admin(zhao)), RoleNotAllowed, "name"),
        ("another's", "regions/120000/admins/li", Box::new(new_admin(zhao)), NotYourRecord, "name"),
        ("no administrator's name", LI, Box::new(new_admin(BEIJING)), FieldMalformed, "name"),
        ("no name", LI, Box::new(unnamed), FieldMissing, "display_name"),
        ("known", LI, Box::new(new_admin(WANG)), RecordExists, ""),
        ("a known key", LI, Box::new(known_key), KeyKnown, "first_key_jwk"),
        ("oneself", LI, Box::new(remove(LI)), SelfRemoval, "administrator"),
        ("by the system", BEIJING, Box::new(remove(LI)), RoleNotAllowed, ""),
        ("another's", "regions/120000/admins/li", Box::new(remove(LI)), NotYourRecord, "administrator"),
        ("unknown", LI, Box::new(remove(zhao)), RecordNotFound, "administrator"),
        ("no reason", LI, Box::new(silent), FieldMissing, "reason"),
    ]);
    world.ok(LI, &new_admin(zhao));
    world.ok(zhao, &add_key(zhao, "second of zhao"));
    let decision = world.ok(WANG, &remove(zhao));
    assert_eq!(decision.leaves[0].kind, "administrator.removed");
    for key in [zhao, "second of zhao"] {
        assert_eq!(world.sim.get::<KeyRow>(key![kid(key)]).unwrap().state, KeyState::Retired);
    }
    world.refuses(vec![
        ("again", LI, Box::new(remove(zhao)), StateNotAllowed, "administrator"),
        ("the name is not given again", LI, Box::new(new_admin(zhao)), RecordExists, ""),
        ("no key for the removed", LI, Box::new(add_key(zhao, "third")), StateNotAllowed, "owner"),
    ]);
    world.ok(A, &remove(WANG));
}
