//! The directory: registered, updated, rated, recognized, in the signing scope, paid where.

use jjj_tests::both_databases;
use jjj_tests::postgres::TestDatabase;
use jjj_token::{Algorithm, SigningKey};
use jjj_wire::pb;

use crate::harness::{INSTITUTION, World};
use crate::rating::{PUBLISH, request};
use crate::talk::method;

both_databases!(
    institutions_are_registered_updated_and_found_by_what_is_said_of_them,
    a_settlement_account_takes_two_people,
);

const REGISTER: &str = method!("InstitutionService/RegisterInstitution");
const LIST: &str = method!("InstitutionService/ListInstitutions");
const OTHER: &str = "91350100M000100Y43";

fn register(world: &World, uscc: &str) -> pb::RegisterInstitutionRequest {
    pb::RegisterInstitutionRequest {
        request_id: world.id(),
        uscc: uscc.into(),
        display_name: "某养老院".into(),
        kind: pb::InstitutionKind::CareInstitution.into(),
        division_code: "131024".into(),
        beds: 50,
        residents: 10,
    }
}

fn ours() -> String {
    format!("institutions/{INSTITUTION}")
}

async fn found(world: &World, filter: &str) -> Vec<String> {
    let mut list = pb::ListInstitutionsRequest { filter: filter.into(), page_size: 1, ..Default::default() };
    let mut names = Vec::new();
    loop {
        let page: pb::ListInstitutionsResponse = world.ask(&world.unionpay, LIST, &list).await;
        names.extend(page.institutions.into_iter().map(|i| i.name));
        if page.next_page_token.is_empty() {
            return names;
        }
        list.page_token = page.next_page_token;
    }
}

async fn institutions_are_registered_updated_and_found_by_what_is_said_of_them(database: TestDatabase) {
    const UPDATE: &str = method!("InstitutionService/UpdateInstitution");
    const SCOPE: &str = method!("InstitutionService/SetSigningScope");
    const GET: &str = method!("InstitutionService/GetInstitution");
    const VERSIONS: &str = method!("InstitutionService/ListInstitutionVersions");
    let mut world = World::start(database).await;
    let (hebei, beijing) = (&world.hebei, &world.beijing);

    assert_eq!(world.refusal(hebei, REGISTER, &register(&world, "91350100M000100Y44")).await, "CHECKSUM_WRONG uscc");
    assert_eq!(world.refusal(hebei, REGISTER, &register(&world, INSTITUTION)).await, "RECORD_EXISTS");
    assert_eq!(world.refusal(beijing, REGISTER, &register(&world, OTHER)).await, "FIELD_OUT_OF_RANGE division_code");
    assert_eq!(world.refusal(&world.unionpay, REGISTER, &register(&world, OTHER)).await, "ROLE_NOT_ALLOWED");
    let answer: pb::RegisterInstitutionResponse = world.twice(hebei, REGISTER, &register(&world, OTHER)).await;
    let other = answer.institution.unwrap().name;
    let batch = method!("InstitutionService/BatchRegisterInstitutions");
    let answers: Vec<Result<pb::RegisterInstitutionResponse, _>> =
        world.bulk(hebei, batch, &[register(&world, OTHER), register(&world, "x")]).await;
    assert_eq!(answers[0].as_ref().unwrap_err(), "RECORD_EXISTS");
    assert_eq!(answers[1].as_ref().unwrap_err(), "FIELD_MALFORMED uscc");

    let update = |institution: &str, expected_version| pb::UpdateInstitutionRequest {
        request_id: world.id(),
        institution: institution.into(),
        expected_version,
        display_name: "改名养老院".into(),
        division_code: "131024".into(),
        beds: 60,
        residents: 20,
        state: pb::InstitutionState::Suspended.into(),
        reason: "更名".into(),
    };
    assert_eq!(world.refusal(hebei, UPDATE, &update(&other, 5)).await, "STATE_NOT_ALLOWED expected_version");
    assert_eq!(world.refusal(beijing, UPDATE, &update(&other, 1)).await, "NOT_YOUR_RECORD institution");
    let updated: pb::UpdateInstitutionResponse = world.twice(hebei, UPDATE, &update(&other, 1)).await;
    assert_eq!(updated.institution.unwrap().state(), pb::InstitutionState::Suspended);
    let batch = method!("InstitutionService/BatchUpdateInstitutions");
    let answers: Vec<Result<pb::UpdateInstitutionResponse, _>> =
        world.bulk(hebei, batch, &[update(&other, 2), update("institutions/none", 0)]).await;
    assert_eq!(answers[0].as_ref().unwrap().institution.as_ref().unwrap().version, 3);
    assert_eq!(answers[1].as_ref().unwrap_err(), "RECORD_NOT_FOUND institution");
    let versions = pb::ListInstitutionVersionsRequest { name: other.clone(), page_size: 2, ..Default::default() };
    let page: pb::ListInstitutionVersionsResponse = world.ask(beijing, VERSIONS, &versions).await;
    assert_eq!(page.institutions.iter().map(|i| i.version).collect::<Vec<_>>(), [3, 2]);
    let versions = pb::ListInstitutionVersionsRequest { page_token: page.next_page_token, ..versions };
    let page: pb::ListInstitutionVersionsResponse = world.ask(beijing, VERSIONS, &versions).await;
    assert_eq!((page.institutions[0].version, page.next_page_token.as_str()), (1, ""));
    let none = pb::ListInstitutionVersionsRequest { name: "institutions/none".into(), ..Default::default() };
    assert_eq!(world.refusal(beijing, VERSIONS, &none).await, "RECORD_NOT_FOUND name");

    let scope = |institution: &str, in_scope, effective_on: &str| pb::SetSigningScopeRequest {
        request_id: world.id(),
        institution: institution.into(),
        in_scope,
        effective_on: effective_on.into(),
        document_number: "网签1".into(),
    };
    let entered: pb::SetSigningScopeResponse = world.twice(hebei, SCOPE, &scope(&ours(), true, "2024-06-01")).await;
    assert_eq!(entered.membership.unwrap().entered_on, "2024-06-01");
    assert_eq!(world.refusal(hebei, SCOPE, &scope(&ours(), true, "2025-01-01")).await, "STATE_NOT_ALLOWED in_scope");
    let batch = method!("InstitutionService/BatchSetSigningScopes");
    let items =
        [scope(&other, true, "2024-06-01"), scope(&other, false, "2025-01-01"), scope(&other, false, "2025-02-01")];
    let answers: Vec<Result<pb::SetSigningScopeResponse, _>> = world.bulk(hebei, batch, &items).await;
    assert_eq!(answers[1].as_ref().unwrap().membership.as_ref().unwrap().left_on, "2025-01-01");
    assert_eq!(answers[2].as_ref().unwrap_err(), "STATE_NOT_ALLOWED in_scope");

    let _: pb::PublishRatingResponse = world.ask(hebei, PUBLISH, &request(&world)).await;
    let both = [ours(), other.clone()];
    for (filter, expected) in [
        ("", &both[..]),
        (r#"region = "regions/130000""#, &both),
        (r#"region = "regions/110000""#, &[]),
        (r#"division_code >= "131024" AND division_code < "131025""#, &both[1..]),
        (r#"state = "OPERATING""#, &both[..1]),
        (r#"signing_scope_on = "2024-12-31""#, &both),
        (r#"signing_scope_on = "2025-01-01""#, &both[..1]),
        (r#"signing_scope_on != "2025-01-01""#, &both[1..]),
        (r#"signing_scope_on = "2024-05-31""#, &[]),
        (r#"rated = "true""#, &both[..1]),
        (r#"rated = "false""#, &both[1..]),
        (r#"rated != "true" AND state = "SUSPENDED""#, &both[1..]),
        (r#"native_grade >= "4""#, &both[..1]),
        (r#"native_grade > "4""#, &[]),
        (r#"recognized_by = "regions/110000""#, &both[..1]),
        (r#"recognized_by != "regions/110000""#, &both[1..]),
        (r#"recognized_by = "regions/440000""#, &[]),
    ] {
        assert_eq!(found(&world, filter).await, expected, "{filter}");
    }
    for (filter, expected) in [
        (r#"uscc = "x""#, "FILTER_FIELD_UNKNOWN filter"),
        (r#"rated = "perhaps""#, "FILTER_MALFORMED filter"),
        (r#"rated > "true""#, "FILTER_MALFORMED filter"),
        (r#"native_grade = "four""#, "FILTER_MALFORMED filter"),
        (r#"signing_scope_on = "soon""#, "FILTER_MALFORMED filter"),
    ] {
        let list = pb::ListInstitutionsRequest { filter: filter.into(), ..Default::default() };
        assert_eq!(world.refusal(beijing, LIST, &list).await, expected, "{filter}");
    }

    let entry: pb::Institution = world.ask(&world.unionpay, GET, &pb::GetInstitutionRequest { name: ours() }).await;
    let recognizers: Vec<_> = entry.ratings[0].recognitions.iter().map(|r| r.recognizer.as_str()).collect();
    assert_eq!((entry.ratings[0].native_grade, recognizers.contains(&"regions/110000")), (4, true));
    assert_eq!(
        (entry.signing_scope[0].entered_on.as_str(), entry.signing_scope[0].left_on.as_str()),
        ("2024-06-01", "")
    );
    let missing = pb::GetInstitutionRequest { name: "institutions/none".into() };
    assert_eq!(world.refusal(beijing, GET, &missing).await, "RECORD_NOT_FOUND name");
    world.stop().await;
}

async fn a_settlement_account_takes_two_people(database: TestDatabase) {
    const PROPOSE: &str = method!("InstitutionService/ProposeSettlementAccount");
    const DECIDE: &str = method!("InstitutionService/DecideSettlementAccount");
    const ACCOUNTS: &str = method!("InstitutionService/ListSettlementAccounts");
    let mut world = World::start(database).await;
    let wang = &world.hebei_admin;
    let key = SigningKey::from_pkcs8_pem(&SigningKey::generate_pkcs8_pem(Algorithm::EdDsa).unwrap()).unwrap();
    let add = pb::AddAdministratorRequest {
        request_id: world.id(),
        name: "regions/130000/admins/zhang".into(),
        display_name: "复核".into(),
        first_key_jwk: key.public_jwk().to_json(),
        first_key_fingerprint: key.kid().into(),
    };
    let _: pb::AddAdministratorResponse = world.ask(wang, method!("ParticipantService/AddAdministrator"), &add).await;
    let zhang = world.connect("regions/130000/admins/zhang", &world.hebei_ca, key.into());

    let good = || pb::ProposeSettlementAccountRequest {
        request_id: world.id(),
        institution: ours(),
        channel: "channels/unionpay".into(),
        merchant_id: "898110048160001".into(),
        account_holder: "燕郊养老院".into(),
        bank_code: String::new(),
        account_token: "tok-1".into(),
        account_last4: "0017".into(),
        effective_from: world.day(4),
        reason: "开户".into(),
    };
    let early = pb::ProposeSettlementAccountRequest { effective_from: world.day(1), ..good() };
    assert_eq!(world.refusal(wang, PROPOSE, &early).await, "DATE_ORDER effective_from");
    let number = pb::ProposeSettlementAccountRequest { account_last4: "17".into(), ..good() };
    assert_eq!(world.refusal(wang, PROPOSE, &number).await, "FIELD_MALFORMED account_last4");
    assert_eq!(world.refusal(&world.hebei, PROPOSE, &good()).await, "ROLE_NOT_ALLOWED");
    let proposed: pb::ProposeSettlementAccountResponse = world.twice(wang, PROPOSE, &good()).await;
    let account = proposed.settlement_account.unwrap();

    let mut decide = pb::DecideSettlementAccountRequest {
        request_id: world.id(),
        settlement_account: account.name.clone(),
        approve: true,
        reason: "核对无误".into(),
    };
    assert_eq!(world.refusal(wang, DECIDE, &decide).await, "SAME_PERSON settlement_account");
    let approved: pb::DecideSettlementAccountResponse = world.twice(&zhang, DECIDE, &decide).await;
    let approved = approved.settlement_account.unwrap();
    assert_eq!(approved.state(), pb::SettlementAccountState::Approved);
    assert_eq!(approved.usable_from_time_us - approved.recorded_time_us, 72 * 3_600_000_000);
    decide.request_id = world.id();
    assert_eq!(world.refusal(&zhang, DECIDE, &decide).await, "STATE_NOT_ALLOWED settlement_account");

    let list = |filter: &str| pb::ListSettlementAccountsRequest { filter: filter.into(), ..Default::default() };
    let seen: pb::ListSettlementAccountsResponse =
        world.ask(&world.unionpay, ACCOUNTS, &list(r#"state = "APPROVED""#)).await;
    assert_eq!(seen.settlement_accounts, [approved]);
    let others: pb::ListSettlementAccountsResponse = world.ask(&world.beijing, ACCOUNTS, &list("")).await;
    assert!(others.settlement_accounts.is_empty(), "another region's accounts are not its business");
    assert_eq!(world.refusal(wang, ACCOUNTS, &list("account_token = \"x\"")).await, "FILTER_FIELD_UNKNOWN filter");
    world.stop().await;
}
