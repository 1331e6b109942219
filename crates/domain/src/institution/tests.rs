use super::*;
use crate::care::testing::{BEIJING_HOME, HEBEI_HOME, World, actor, date, new_institution};
use crate::decision::Command;
use crate::names::{Collection, Name};
use crate::rejection::Reason;
use crate::time::HOUR_US;

const HEBEI: &str = "regions/130000";
const LI: &str = "regions/130000/admins/li";
const WANG: &str = "regions/130000/admins/wang";

#[test]
fn registered_within_the_region() {
    let mut world = World::new();
    let with = |change: &dyn Fn(&mut RegisterInstitution)| -> Box<dyn Command> {
        let mut command = new_institution(HEBEI_HOME, "131082");
        change(&mut command);
        Box::new(command)
    };
    use Reason::*;
    world.refuses(vec![
        ("another region's", "regions/110000", with(&|_| {}), FieldOutOfRange, "division_code"),
        ("the whole region", HEBEI, with(&|r| r.division = "130000".parse().unwrap()), FieldMalformed, "division_code"),
        ("no name", HEBEI, with(&|r| r.display_name.clear()), FieldMissing, "display_name"),
        ("a long name", HEBEI, with(&|r| r.display_name = "院".repeat(201)), FieldTooLong, "display_name"),
        ("beds", HEBEI, with(&|r| r.beds = -1), FieldOutOfRange, "beds"),
        ("residents", HEBEI, with(&|r| r.residents = 100_001), FieldOutOfRange, "residents"),
    ]);
    let name = world.home();
    assert_eq!(name.to_string(), format!("institutions/{HEBEI_HOME}"));
    world.refuses(vec![("known", HEBEI, with(&|_| {}), RecordExists, "")]);
}

#[test]
fn updated_until_closed() {
    let mut world = World::new();
    let (home, elder) = (world.home(), world.elder());
    world.contract(&home, &elder);
    let update = UpdateInstitution {
        institution: home.clone(),
        expected_version: 1,
        display_name: "三河颐养院".into(),
        division: "131082".parse().unwrap(),
        beds: 320,
        residents: 250,
        state: InstitutionState::Operating,
        reason: String::new(),
    };
    let with = |change: &dyn Fn(&mut UpdateInstitution)| -> Box<dyn Command> {
        let mut command = update.clone();
        change(&mut command);
        Box::new(command)
    };
    let nowhere = Name::of(Collection::Institution, BEIJING_HOME);
    use Reason::*;
    world.refuses(vec![
        ("another region", "regions/110000", with(&|_| {}), NotYourRecord, "institution"),
        ("unknown", HEBEI, with(&|u| u.institution = nowhere.clone()), RecordNotFound, "institution"),
        ("seen another", HEBEI, with(&|u| u.expected_version = 2), StateNotAllowed, "expected_version"),
        ("moved away", HEBEI, with(&|u| u.division = "110108".parse().unwrap()), FieldOutOfRange, "division_code"),
        ("a long reason", HEBEI, with(&|u| u.reason = "因".repeat(1_001)), FieldTooLong, "reason"),
    ]);
    let told = |decision: crate::decision::Decision| decision.leaves[0].audience.len();
    assert_eq!(told(world.ok(HEBEI, &update)), 1);
    // Its state concerns the region whose elder lives there.
    let close = UpdateInstitution { expected_version: 0, state: InstitutionState::Closed, ..update.clone() };
    assert_eq!(told(world.ok(HEBEI, &close)), 2);
    let row: InstitutionRow = world.sim.get(key![home]).unwrap();
    assert_eq!((row.state, row.beds, row.version), (InstitutionState::Closed, 320, 3));
    world.refuses(vec![("closed", HEBEI, Box::new(close), StateNotAllowed, "institution")]);
}

#[test]
fn scope_is_entered_and_left_by_date() {
    let mut world = World::new();
    let home = world.home();
    let set = |in_scope, on: &str| {
        Box::new(SetSigningScope {
            institution: home.clone(),
            in_scope,
            effective_on: date(on),
            document_number: "冀民〔2024〕7号".into(),
        })
    };
    use Reason::*;
    world.refuses(vec![
        ("not in yet", HEBEI, set(false, "2024-06-01"), StateNotAllowed, "in_scope"),
        ("another region", "regions/110000", set(true, "2024-06-01"), NotYourRecord, "institution"),
    ]);
    world.ok(HEBEI, &*set(true, "2024-06-01"));
    world.refuses(vec![
        ("in already", HEBEI, set(true, "2024-07-01"), StateNotAllowed, "in_scope"),
        ("left as it entered", HEBEI, set(false, "2024-06-01"), DateOrder, "effective_on"),
    ]);
    world.ok(HEBEI, &*set(false, "2024-09-01"));
    world.refuses(vec![
        ("out already", HEBEI, set(false, "2024-10-01"), StateNotAllowed, "in_scope"),
        ("back before it left", HEBEI, set(true, "2024-08-31"), DateOrder, "effective_on"),
    ]);
    world.ok(HEBEI, &*set(true, "2024-09-01"));
    world.ok(HEBEI, &*set(false, "2025-01-01"));

    let periods = world.sim.all::<SigningScopeRow>();
    assert_eq!(periods.len(), 2);
    let given = |on: &str| {
        let ask = crate::care::testing::date(on);
        periods.iter().any(|p| p.entered_on <= ask && p.left_on.is_none_or(|left| ask < left))
    };
    let days = ["2024-05-31", "2024-06-01", "2024-08-31", "2024-09-01", "2024-12-31", "2025-01-01"];
    assert_eq!(days.map(given), [false, true, true, true, true, false]);
}

fn proposal(home: &Name) -> ProposeSettlementAccount {
    ProposeSettlementAccount {
        institution: home.clone(),
        channel: "channels/unionpay".parse().unwrap(),
        merchant_id: "898131082990001".into(),
        account_holder: "三河颐养院".into(),
        bank_code: "102146000010".into(),
        account_token: "tok_1".into(),
        account_last4: "0017".into(),
        // Three days' cooling-off from the 10th, ten in the morning.
        effective_from: date("2026-06-13"),
        reason: "新开户".into(),
    }
}

fn decide(account: &Name, approve: bool) -> DecideSettlementAccount {
    DecideSettlementAccount { settlement_account: account.clone(), approve, reason: "已核实".into() }
}

/// Asks a rule that reads, with the world's rows.
fn in_force(world: &World, home: &Name) -> Option<String> {
    let mut snapshot = Snapshot::default();
    let channel = "channels/unionpay".parse().unwrap();
    loop {
        match account_in_force(&snapshot, home.as_str(), &channel, world.now) {
            Ok(found) => return found.map(|account| account.account_token.clone()),
            Err(_) => {
                for load in snapshot.take_misses() {
                    let rows = world.sim.all::<SettlementAccountRow>().iter().map(crate::row::Row::to_values).collect();
                    snapshot.insert(load, rows).unwrap();
                }
            }
        }
    }
}

#[test]
fn an_account_counts_after_two_pairs_of_eyes_and_the_cooling_off() {
    let mut world = World::new();
    let home = world.home();
    let account = world.name(LI, &proposal(&home));
    let unknown = Name::of(Collection::SettlementAccount, "none");
    use Reason::*;
    world.refuses(vec![
        ("by the proposer", LI, Box::new(decide(&account, true)), SamePerson, "settlement_account"),
        ("declined by the proposer", LI, Box::new(decide(&account, false)), SamePerson, "settlement_account"),
        ("by a system", HEBEI, Box::new(decide(&account, true)), RoleNotAllowed, ""),
        (
            "another region",
            "regions/110000/admins/li",
            Box::new(decide(&account, true)),
            NotYourRecord,
            "settlement_account",
        ),
        ("unknown", WANG, Box::new(decide(&unknown, true)), RecordNotFound, "settlement_account"),
        (
            "no reason",
            WANG,
            Box::new(DecideSettlementAccount { reason: String::new(), ..decide(&account, true) }),
            FieldMissing,
            "reason",
        ),
    ]);
    world.now = world.now.plus_us(HOUR_US);
    let decision = world.ok(WANG, &decide(&account, true));
    let told: Vec<_> = decision.leaves[0].audience.iter().map(|(who, _)| who.to_string()).collect();
    assert_eq!(told, ["channels/unionpay", HEBEI]);
    world.refuses(vec![("again", WANG, Box::new(decide(&account, false)), StateNotAllowed, "settlement_account")]);
    let row: SettlementAccountRow = world.sim.get(key![account]).unwrap();
    assert_eq!((row.proposed_by, row.decided_by), (actor(LI), Some(actor(WANG))));

    assert_eq!(in_force(&world, &home), None);
    world.now = row.usable_from_us.unwrap().plus_us(-1);
    assert_eq!(in_force(&world, &home), None);
    world.now = row.usable_from_us.unwrap();
    assert_eq!(in_force(&world, &home).as_deref(), Some("tok_1"));

    // The next one replaces it from its own date on; a declined one never does.
    for (token, approve, from) in [("tok_2", true, "2026-07-01"), ("tok_3", false, "2026-07-02")] {
        let next =
            ProposeSettlementAccount { account_token: token.into(), effective_from: date(from), ..proposal(&home) };
        let account = world.name(LI, &next);
        world.ok(WANG, &decide(&account, approve));
    }
    // The clearing date turns at 23:00.
    for (day, hour, token) in [("2026-06-30", 22, "tok_1"), ("2026-06-30", 23, "tok_2"), ("2026-07-05", 9, "tok_2")] {
        world.now = date(day).starts_at().plus_us(hour * HOUR_US);
        assert_eq!(in_force(&world, &home).as_deref(), Some(token), "{day} {hour}");
    }
}

#[test]
fn proposals_refused() {
    let mut world = World::new();
    let home = world.home();
    let other = world.name(HEBEI, &new_institution("91130606XXXX000518", "130606"));
    let with = |change: &dyn Fn(&mut ProposeSettlementAccount)| -> Box<dyn Command> {
        let mut command = proposal(&home);
        change(&mut command);
        Box::new(command)
    };
    use Reason::*;
    world.refuses(vec![
        ("a system", HEBEI, with(&|_| {}), RoleNotAllowed, ""),
        ("another region", "regions/110000/admins/li", with(&|_| {}), NotYourRecord, "institution"),
        ("unknown channel", LI, with(&|p| p.channel = "channels/x".parse().unwrap()), ParticipantNotActive, "channel"),
        ("a region as channel", LI, with(&|p| p.channel = HEBEI.parse().unwrap()), FieldMalformed, "channel"),
        ("within the cooling-off", LI, with(&|p| p.effective_from = date("2026-06-12")), DateOrder, "effective_from"),
        ("no holder", LI, with(&|p| p.account_holder.clear()), FieldMissing, "account_holder"),
        ("no token", LI, with(&|p| p.account_token.clear()), FieldMissing, "account_token"),
        ("bank code", LI, with(&|p| p.bank_code = "12".into()), FieldMalformed, "bank_code"),
        ("last four", LI, with(&|p| p.account_last4 = "17".into()), FieldMalformed, "account_last4"),
        ("merchant", LI, with(&|p| p.merchant_id = "1".repeat(33)), FieldTooLong, "merchant_id"),
        ("no reason", LI, with(&|p| p.reason.clear()), FieldMissing, "reason"),
    ]);
    world.ok(LI, &proposal(&home));
    let of_other = ProposeSettlementAccount { institution: other.clone(), ..proposal(&home) };
    world.refuses(vec![
        ("one at a time", WANG, with(&|_| {}), StateNotAllowed, "institution"),
        ("another's merchant number", WANG, Box::new(of_other.clone()), RecordExists, "merchant_id"),
    ]);
    // Where the channel knows no merchant numbers, none collide.
    let [mut first, mut second] = [of_other.clone(), of_other];
    first.merchant_id.clear();
    second.merchant_id.clear();
    second.institution = home.clone();
    let account = world.sim.all::<SettlementAccountRow>()[0].account.parse().unwrap();
    world.ok(WANG, &decide(&account, false));
    world.ok(LI, &first);
    world.ok(LI, &second);
}
