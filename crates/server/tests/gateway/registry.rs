//! The registry over the wire: every change is in force with its answer.

use std::sync::Arc;

use jjj_domain::participant::{AddAuthority, AddKey, KeyState, NewAuthority, WithdrawKey};
use jjj_server::gateway::StartError;
use jjj_server::verify::{VerifyOptions, verify};
use jjj_tests::both_databases;
use jjj_tests::postgres::TestDatabase;
use jjj_token::confirmation::{ConfirmationClaims, sign_confirmation};
use jjj_token::note::{NoteVerifier, open_checkpoint};
use jjj_token::recognition::verify_recognition;
use jjj_token::sd_recognition::verify_sd_recognition;
use jjj_token::status_list::verify_status_list;
use jjj_token::{Algorithm, SigningKey};
use jjj_wire::pb;
use prost::Message;
use tokio::sync::oneshot;

use crate::harness::{self, Authority, Client, ORIGIN, World};
use crate::talk::method;

both_databases!(
    a_participant_is_enrolled_suspended_and_reinstated,
    authorities_come_and_go,
    an_authority_ends_with_its_last_day,
    the_registry_is_read_while_all_readers_are_taken,
    keys_and_administrators_come_and_go,
    the_gateway_signs_with_a_registered_key_only,
    sm2_keys_where_configured,
    the_gateway_states_by_sm2_where_configured,
    a_withdrawn_key_of_the_gateway_signs_nothing_more,
);

const CREATE: &str = method!("ParticipantService/CreateParticipant");
const GET: &str = method!("ParticipantService/GetParticipant");
const ADD_ADMINISTRATOR: &str = method!("ParticipantService/AddAdministrator");
const REGISTER: &str = method!("InstitutionService/RegisterInstitution");
const STATUS_LIST: &str = method!("RecognitionService/GetStatusList");
const RECOGNITION_TOKEN: &str = method!("RecognitionService/GetRecognitionToken");
const SD_RECOGNITION: &str = method!("RecognitionService/GetSdRecognition");
const WITHDRAW_KEY: &str = method!("ParticipantService/WithdrawKey");
const ADD_KEY: &str = method!("ParticipantService/AddKey");

fn new_key() -> Arc<SigningKey> {
    let pem = SigningKey::generate_pkcs8_pem(Algorithm::Es256).unwrap();
    Arc::new(SigningKey::from_pkcs8_pem(&pem).unwrap())
}

fn administrator(world: &World, name: &str, key: &SigningKey) -> pb::AddAdministratorRequest {
    pb::AddAdministratorRequest {
        request_id: world.id(),
        name: name.into(),
        display_name: "管理员".into(),
        first_key_jwk: key.public_jwk().to_json(),
        first_key_fingerprint: key.kid().into(),
    }
}

/// Another administrator of the gateway, whose key the test holds.
async fn zhao(world: &World) -> Arc<SigningKey> {
    let key = new_key();
    let request = administrator(world, "gateway/admins/zhao", &key);
    let _: pb::AddAdministratorResponse = world.twice(&world.gateway_admin, ADD_ADMINISTRATOR, &request).await;
    key
}

fn confirmation(by: &SigningKey, holder: &str, fingerprint: &str, stated: &str) -> pb::KeyConfirmation {
    let claims = ConfirmationClaims {
        iss: "gateway/admins/zhao".into(),
        aud: ORIGIN.into(),
        sub: holder.into(),
        fingerprint: stated.into(),
        iat: 1_790_000_000,
    };
    pb::KeyConfirmation {
        administrator: "gateway/admins/zhao".into(),
        fingerprint: fingerprint.into(),
        statement: sign_confirmation(by, &claims).unwrap(),
    }
}

async fn knows(world: &World, client: &Client) -> bool {
    let get = pb::GetParticipantRequest { name: "gateway".into() };
    let answer = client.call(GET, &prost::Message::encode_to_vec(&get), world.now_s()).await;
    answer.is_ok()
}

async fn a_participant_is_enrolled_suspended_and_reinstated(database: TestDatabase) {
    let mut world = World::start(database).await;
    let li = &world.gateway_admin;
    let (ca, key, zhao) = (Authority::new(), new_key(), zhao(&world).await);
    let name = "channels/newbank";
    let good = || pb::CreateParticipantRequest {
        request_id: world.id(),
        name: name.into(),
        display_name: "新银行".into(),
        kind: pb::ParticipantKind::Channel.into(),
        authority_pem: format!("# CA\n{}", ca.pem),
        first_key_jwk: key.public_jwk().to_json(),
        first_key_fingerprint: key.kid().into(),
        confirmations: vec![
            pb::KeyConfirmation {
                administrator: "gateway/admins/li".into(),
                fingerprint: key.kid().into(),
                statement: String::new(),
            },
            confirmation(&zhao, name, key.kid(), key.kid()),
        ],
    };
    let other = new_key();
    type Spoil<'a> = Box<dyn Fn(&mut pb::CreateParticipantRequest) + 'a>;
    let table: Vec<(Spoil<'_>, &str)> = vec![
        (Box::new(|r| r.name = "banks/1".into()), "FIELD_MALFORMED name"),
        (Box::new(|r| r.kind = pb::ParticipantKind::Region.into()), "FIELD_MALFORMED kind"),
        (Box::new(|r| r.display_name.clear()), "FIELD_MISSING display_name"),
        (Box::new(|r| r.authority_pem = "x".into()), "FIELD_MALFORMED authority_pem"),
        (Box::new(|r| r.authority_pem.push_str(&ca.pem)), "FIELD_MALFORMED authority_pem"),
        (Box::new(|r| r.first_key_jwk = "{}".into()), "FIELD_MALFORMED first_key_jwk"),
        (Box::new(|r| r.first_key_fingerprint.clear()), "FIELD_MISSING first_key_fingerprint"),
        (
            Box::new(|r| {
                r.first_key_fingerprint = other.kid().into();
                r.confirmations.clear();
            }),
            "FINGERPRINT_MISMATCH first_key_fingerprint",
        ),
        (Box::new(|r| r.confirmations.truncate(1)), "CONFIRMATION_MISSING confirmations"),
        (
            Box::new(|r| r.confirmations[1].fingerprint = other.kid().into()),
            "FINGERPRINT_MISMATCH confirmations[1].fingerprint",
        ),
        (
            Box::new(|r| r.confirmations[1] = confirmation(&zhao, name, key.kid(), other.kid())),
            "CONFIRMATION_INVALID confirmations[1].statement",
        ),
        (
            Box::new(|r| r.confirmations[1] = confirmation(&zhao, "channels/other", key.kid(), key.kid())),
            "CONFIRMATION_INVALID confirmations[1].statement",
        ),
        (
            Box::new(|r| r.confirmations[1] = confirmation(&other, name, key.kid(), key.kid())),
            "CONFIRMATION_INVALID confirmations[1].statement",
        ),
        (Box::new(|r| r.confirmations[1].statement.clear()), "FIELD_MISSING confirmations[1].statement"),
    ];
    for (spoil, expected) in &table {
        let mut request = good();
        spoil(&mut request);
        assert_eq!(world.refusal(li, CREATE, &request).await, *expected);
    }
    assert_eq!(world.refusal(&world.hebei_admin, CREATE, &good()).await, "ROLE_NOT_ALLOWED");

    let created: pb::CreateParticipantResponse = world.twice(li, CREATE, &good()).await;
    let created = created.participant.unwrap();
    assert_eq!(created.confirmed_by, ["gateway/admins/li", "gateway/admins/zhao"]);
    assert_eq!(world.refusal(li, CREATE, &good()).await, "RECORD_EXISTS");
    let bank = world.connect(name, &ca, key.clone());
    let itself: pb::Participant = world.ask(&bank, GET, &pb::GetParticipantRequest { name: name.into() }).await;
    assert_eq!(itself, created);
    let missing = pb::GetParticipantRequest { name: "regions/999999".into() };
    assert_eq!(world.refusal(&bank, GET, &missing).await, "RECORD_NOT_FOUND name");

    let suspend = method!("ParticipantService/SuspendParticipant");
    let mut stop =
        pb::SuspendParticipantRequest { request_id: world.id(), participant: name.into(), reason: "调查".into() };
    assert_eq!(world.refusal(&bank, suspend, &stop).await, "ROLE_NOT_ALLOWED");
    let _: pb::SuspendParticipantResponse = world.twice(li, suspend, &stop).await;
    assert_eq!(world.refusal(&bank, GET, &missing).await, "PARTICIPANT_SUSPENDED");
    stop.request_id = world.id();
    assert_eq!(world.refusal(li, suspend, &stop).await, "STATE_NOT_ALLOWED participant");
    let reinstate = method!("ParticipantService/ReinstateParticipant");
    let mut go =
        pb::ReinstateParticipantRequest { request_id: world.id(), participant: name.into(), reason: "结束".into() };
    let _: pb::ReinstateParticipantResponse = world.twice(li, reinstate, &go).await;
    assert!(knows(&world, &bank).await);
    go.request_id = world.id();
    assert_eq!(world.refusal(li, reinstate, &go).await, "STATE_NOT_ALLOWED participant");

    let list = |filter: &str| pb::ListParticipantsRequest { filter: filter.into(), ..Default::default() };
    let list_path = method!("ParticipantService/ListParticipants");
    let channels: pb::ListParticipantsResponse = world.ask(&bank, list_path, &list(r#"kind = "CHANNEL""#)).await;
    assert_eq!(channels.participants.iter().map(|p| &p.name).collect::<Vec<_>>(), [name, "channels/unionpay"]);
    assert_eq!(world.refusal(&bank, list_path, &list(r#"name = "x""#)).await, "FILTER_FIELD_UNKNOWN filter");
    world.stop().await;
}

async fn authorities_come_and_go(database: TestDatabase) {
    const ADD: &str = method!("ParticipantService/AddAuthority");
    const WITHDRAW: &str = method!("ParticipantService/WithdrawAuthority");
    const LIST: &str = method!("ParticipantService/ListAuthorities");
    let mut world = World::start(database).await;
    let ca = Authority::new();
    let add = pb::AddAuthorityRequest {
        request_id: world.id(),
        participant: "regions/130000".into(),
        certificate_pem: ca.pem.clone(),
    };
    assert_eq!(world.refusal(&world.beijing, ADD, &add).await, "NOT_YOUR_RECORD participant");
    let list = pb::ListAuthoritiesRequest { filter: r#"participant = "regions/130000""#.into(), ..Default::default() };
    let before: pb::ListAuthoritiesResponse = world.ask(&world.unionpay, LIST, &list).await;
    let withdraw = |authority: &str| pb::WithdrawAuthorityRequest {
        request_id: world.id(),
        authority: authority.into(),
        reason: "更换".into(),
    };
    let old = &before.authorities[0].name;
    assert_eq!(world.refusal(&world.hebei, WITHDRAW, &withdraw(old)).await, "LAST_AUTHORITY authority");

    let added: pb::AddAuthorityResponse = world.twice(&world.hebei, ADD, &add).await;
    let added = added.authority.unwrap();
    assert!(added.not_after_time_us > added.not_before_time_us);
    let renewed = world.connect("regions/130000", &ca, world.hebei.key.clone());
    assert!(knows(&world, &renewed).await, "a certificate of the new authority counts at once");
    let again = pb::AddAuthorityRequest { request_id: world.id(), ..add };
    assert_eq!(world.refusal(&world.hebei, ADD, &again).await, "RECORD_EXISTS");

    let _: pb::WithdrawAuthorityResponse = world.twice(&renewed, WITHDRAW, &withdraw(old)).await;
    assert!(!knows(&world, &world.hebei).await, "a certificate of the old one no longer");
    let bad = pb::ListAuthoritiesRequest { page_size: 1_001, ..Default::default() };
    assert_eq!(world.refusal(&renewed, LIST, &bad).await, "FIELD_OUT_OF_RANGE page_size");
    world.stop().await;
}

async fn keys_and_administrators_come_and_go(database: TestDatabase) {
    const RETIRE: &str = method!("ParticipantService/RetireKey");
    const WITHDRAW: &str = method!("ParticipantService/WithdrawKey");
    const LIST: &str = method!("ParticipantService/ListKeys");
    const REMOVE: &str = method!("ParticipantService/RemoveAdministrator");
    const ADMINISTRATORS: &str = method!("ParticipantService/ListAdministrators");
    let mut world = World::start(database).await;
    let hebei = &world.hebei;
    let new = new_key();
    let mut add = pb::AddKeyRequest {
        request_id: world.id(),
        owner: "regions/130000".into(),
        jwk: new.public_jwk().to_json(),
        fingerprint: hebei.key.kid().into(),
        confirmations: vec![],
    };
    assert_eq!(world.refusal(hebei, ADD_KEY, &add).await, "FINGERPRINT_MISMATCH fingerprint");
    add.fingerprint = new.kid().into();
    assert_eq!(world.refusal(&world.beijing, ADD_KEY, &add).await, "NOT_YOUR_RECORD owner");
    let added: pb::AddKeyResponse = world.twice(hebei, ADD_KEY, &add).await;
    assert_eq!(added.key.unwrap().state(), pb::KeyState::Active);
    let renewed = world.connect("regions/130000", &world.hebei_ca, new.clone());
    assert!(knows(&world, &renewed).await);
    // Recovery after loss needs another administrator of the gateway.
    let lost = new_key();
    let recover = pb::AddKeyRequest {
        request_id: world.id(),
        owner: "regions/130000".into(),
        jwk: lost.public_jwk().to_json(),
        fingerprint: lost.kid().into(),
        confirmations: vec![],
    };
    assert_eq!(world.refusal(&world.gateway_admin, ADD_KEY, &recover).await, "CONFIRMATION_MISSING confirmations");
    let zhao = zhao(&world).await;
    let confirmations = vec![confirmation(&zhao, "regions/130000", lost.kid(), lost.kid())];
    let recover = pb::AddKeyRequest { confirmations, ..recover };
    let _: pb::AddKeyResponse = world.twice(&world.gateway_admin, ADD_KEY, &recover).await;

    let retire = |name: String| pb::RetireKeyRequest { request_id: world.id(), key: name, reason: "轮换".into() };
    let old = format!("regions/130000/keys/{}", hebei.key.kid());
    let elsewhere = format!("regions/110000/keys/{}", hebei.key.kid());
    assert_eq!(world.refusal(&renewed, RETIRE, &retire(elsewhere)).await, "RECORD_NOT_FOUND key");
    assert_eq!(world.refusal(&world.beijing, RETIRE, &retire(old.clone())).await, "NOT_YOUR_RECORD key");
    let retired: pb::RetireKeyResponse = world.twice(&renewed, RETIRE, &retire(old.clone())).await;
    assert_eq!(retired.key.unwrap().state(), pb::KeyState::Retired);
    assert_eq!(world.refusal(hebei, LIST, &pb::ListKeysRequest::default()).await, "KEY_NOT_IN_FORCE");
    assert_eq!(world.refusal(&renewed, RETIRE, &retire(old)).await, "STATE_NOT_ALLOWED key");

    let mut withdraw = pb::WithdrawKeyRequest {
        request_id: world.id(),
        key: format!("regions/130000/keys/{}", lost.kid()),
        suspect_from_time_us: i64::MAX / 2,
        reason: "泄露".into(),
    };
    assert_eq!(world.refusal(&renewed, WITHDRAW, &withdraw).await, "FIELD_OUT_OF_RANGE suspect_from_time_us");
    withdraw.suspect_from_time_us = 1;
    let withdrawn: pb::WithdrawKeyResponse = world.twice(&renewed, WITHDRAW, &withdraw).await;
    assert_eq!(withdrawn.key.unwrap().state(), pb::KeyState::Withdrawn);
    withdraw.request_id = world.id();
    withdraw.key = format!("regions/130000/keys/{}", new.kid());
    assert_eq!(world.refusal(&renewed, WITHDRAW, &withdraw).await, "LAST_KEY key");
    let own = pb::ListKeysRequest { filter: r#"owner = "regions/130000""#.into(), ..Default::default() };
    let keys: pb::ListKeysResponse = world.ask(&world.unionpay, LIST, &own).await;
    assert_eq!(keys.keys.len(), 3);

    let zhang = new_key();
    let request = administrator(&world, "regions/130000/admins/zhang", &zhang);
    let admin: pb::AddAdministratorResponse = world.twice(&world.hebei_admin, ADD_ADMINISTRATOR, &request).await;
    assert_eq!(admin.administrator.unwrap().keys[0].kid, zhang.kid());
    let again = administrator(&world, "regions/130000/admins/zhang", &new_key());
    assert_eq!(world.refusal(&world.hebei_admin, ADD_ADMINISTRATOR, &again).await, "RECORD_EXISTS");
    let zhang = world.connect("regions/130000/admins/zhang", &world.hebei_ca, zhang);
    assert!(knows(&world, &zhang).await);
    let remove = |name: &str| pb::RemoveAdministratorRequest {
        request_id: world.id(),
        administrator: name.into(),
        reason: "调离".into(),
    };
    let own = remove("regions/130000/admins/zhang");
    assert_eq!(world.refusal(&zhang, REMOVE, &own).await, "SELF_REMOVAL administrator");
    let removed: pb::RemoveAdministratorResponse = world.twice(&world.hebei_admin, REMOVE, &own).await;
    let removed = removed.administrator.unwrap();
    assert_eq!((removed.standing(), removed.keys[0].state()), (pb::Standing::Removed, pb::KeyState::Retired));
    assert!(!knows(&world, &zhang).await);
    let list =
        pb::ListAdministratorsRequest { filter: r#"participant = "regions/130000""#.into(), ..Default::default() };
    let people: pb::ListAdministratorsResponse = world.ask(&world.unionpay, ADMINISTRATORS, &list).await;
    let named: Vec<_> = people.administrators.iter().map(|a| (a.name.as_str(), a.keys.len())).collect();
    assert_eq!(named, [("regions/130000/admins/wang", 1), ("regions/130000/admins/zhang", 1)]);
    let bad = pb::ListAdministratorsRequest { filter: "x".into(), ..Default::default() };
    assert_eq!(world.refusal(&world.unionpay, ADMINISTRATORS, &bad).await, "FILTER_FIELD_UNKNOWN filter");
    world.stop().await;
}

/// Whoever has the key of an authority that has ended enters no more.
async fn an_authority_ends_with_its_last_day(database: TestDatabase) {
    let mut world = World::start(database).await;
    let ca = Authority::new();
    let ends = world.clock.now().plus_us(3_600_000_000);
    let authority = NewAuthority { not_after_us: ends, ..ca.as_new() };
    let participant = "regions/130000".parse().unwrap();
    world.decide("gateway/admins/li", AddAuthority { participant, authority }).await;
    let under = world.connect("regions/130000", &ca, world.hebei.key.clone());
    let get = pb::GetParticipantRequest { name: "regions/130000".into() };
    let _: pb::Participant = world.ask(&under, GET, &get).await;
    world.clock.advance_us(2 * 3_600_000_000);
    world.gateway().registry.refresh().await.unwrap();
    assert_eq!(world.refusal(&under, GET, &get).await, "CERTIFICATE_OF_ANOTHER_PARTICIPANT");
    let anew = world.connect("regions/130000", &ca, world.hebei.key.clone());
    let refused = anew.call(GET, &get.encode_to_vec(), world.now_s()).await.unwrap_err();
    assert!(harness::reason(&refused).starts_with("none"), "no handshake: {refused:?}");
    let _: pb::Participant = world.ask(&world.hebei, GET, &get).await;
    world.stop().await;
}

async fn the_registry_is_read_while_all_readers_are_taken(database: TestDatabase) {
    let mut world = World::start(database).await;
    let gateway = world.gateway();
    let mut taken = Vec::new();
    for _ in 0..8 {
        taken.push(gateway.store.read_at_once().await.unwrap());
    }
    gateway.registry.refresh().await.expect("it has a connection of its own");
    drop((taken, gateway));
    world.stop().await;
}

/// Published before its first use; and a key that is not in force any more starts no gateway.
async fn the_gateway_signs_with_a_registered_key_only(database: TestDatabase) {
    let mut world = World::start(database).await;
    let pem = SigningKey::generate_pkcs8_pem(Algorithm::EdDsa).unwrap();
    let next = SigningKey::from_pkcs8_pem(&pem).unwrap();
    let refused = world.signing_with(&pem, oneshot::channel().1).await.err();
    assert!(matches!(refused, Some(StartError::SigningKey { kid, .. }) if kid == next.kid()));

    let li = "gateway/admins/li";
    let owner = "gateway".parse().unwrap();
    world.decide(li, AddKey { owner, key: harness::new_key(&next), confirmations: Vec::new() }).await;
    let states = |world: &World| {
        let view = world.gateway().registry.view();
        let mut states: Vec<_> = view.own_keys().map(|own| (own.key.kid() == next.kid(), own.state)).collect();
        states.sort();
        states
    };
    assert_eq!(states(&world), [(false, KeyState::Active), (true, KeyState::Active)], "published");
    let (stop, stopped) = oneshot::channel();
    let handle = world.signing_with(&pem, stopped).await.unwrap();
    drop(stop);
    handle.join().await;

    let now = world.just_now();
    world.decide(li, WithdrawKey { kid: next.kid().into(), suspect_from_us: now, reason: "泄露".into() }).await;
    assert_eq!(states(&world)[1], (true, KeyState::Withdrawn));
    assert!(world.signing_with(&pem, oneshot::channel().1).await.is_err());
    world.stop().await;
}

/// Refused by default. Where configured, a region enrols an SM2 key and signs its requests with it, and
/// heads have a second line; which is checked with the log, and counts for nothing alone.
async fn sm2_keys_where_configured(database: TestDatabase) {
    let mut world = World::start(database).await;
    let new = || SigningKey::generate_pkcs8_pem(Algorithm::Sm2).unwrap();
    let key = Arc::new(SigningKey::from_pkcs8_pem(&new()).unwrap());
    let add = pb::AddKeyRequest {
        request_id: world.id(),
        owner: "regions/130000".into(),
        jwk: key.public_jwk().to_json(),
        fingerprint: key.kid().into(),
        ..Default::default()
    };
    assert_eq!(world.refusal(&world.hebei, ADD_KEY, &add).await, "KEY_ALGORITHM_NOT_ALLOWED jwk");

    let pem = new();
    let second = SigningKey::from_pkcs8_pem(&pem).unwrap();
    let refused = world.with_sm2(&pem, oneshot::channel().1).await.err();
    assert!(matches!(refused, Some(StartError::SigningKey { member: "keys.sm2_signing", .. })));
    let p256 = SigningKey::generate_pkcs8_pem(Algorithm::Es256).unwrap();
    let refused = world.with_sm2(&p256, oneshot::channel().1).await.err();
    assert!(matches!(refused, Some(StartError::Config(_))));
    let owner = "gateway".parse().unwrap();
    let register = AddKey { owner, key: harness::new_key(&second), confirmations: Vec::new() };
    world.decide("gateway/admins/li", register).await;
    let (stop, stopped) = oneshot::channel();
    let handle = world.with_sm2(&pem, stopped).await.unwrap();
    let mut hebei = world.reconnect(&world.hebei, &world.hebei_ca, &handle);
    let added: pb::AddKeyResponse = world.twice(&hebei, ADD_KEY, &add).await;
    assert_eq!(added.key.unwrap().state(), pb::KeyState::Active);

    // From now on only the one that signs twice.
    world.stop().await;
    hebei.key = key.clone();
    let request = crate::rating::request(&world);
    let published: pb::PublishRatingResponse = world.ask(&hebei, crate::rating::PUBLISH, &request).await;
    assert_eq!(published.rating.unwrap().native_grade, 4);
    let by_second = NoteVerifier::new(ORIGIN, second.verifying_key()).unwrap();
    let mut note = String::new();
    for _ in 0..100 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        let mut session = handle.gateway.store.read().await.unwrap();
        note = session.latest_checkpoint().await.unwrap().unwrap().note;
        if open_checkpoint(&note, &by_second).is_ok() {
            break;
        }
    }
    let by_first = NoteVerifier::new(ORIGIN, handle.gateway.keys.signing.verifying_key()).unwrap();
    let (head, note) = open_checkpoint(&note, &by_first).unwrap();
    assert_eq!(open_checkpoint(&note.to_string(), &by_second).unwrap().0, head);
    assert_eq!(note.signatures().len(), 2);
    let report = verify(&handle.gateway.store, &VerifyOptions::default()).await.unwrap();
    // What the test's harness put in place has no evidence; all that is signed is good, heads and all.
    let others = report.faults.iter().find(|fault| !fault.problem.starts_with("has no evidence"));
    assert!(others.is_none(), "{others:?}");
    assert!(report.sealed > 0 && report.evidence > 0);
    drop(stop);
    handle.join().await;
}

/// Receipts, recognition tokens, SD-JWTs and status lists by the SM2 key, heads by both; the next SM2 key takes
/// over, and never Ed25519's.
async fn the_gateway_states_by_sm2_where_configured(database: TestDatabase) {
    let mut world = World::start(database).await;
    let pems = [(); 2].map(|()| SigningKey::generate_pkcs8_pem(Algorithm::Sm2).unwrap());
    let [first, next] = [0, 1].map(|n| SigningKey::from_pkcs8_pem(&pems[n]).unwrap());
    let li = "gateway/admins/li";
    for key in [&first, &next] {
        let owner = "gateway".parse().unwrap();
        world.decide(li, AddKey { owner, key: harness::new_key(key), confirmations: Vec::new() }).await;
    }
    let (handle, stop) = world.stating_by_sm2(&pems[0], &pems[1]).await;
    let hebei = world.reconnect(&world.hebei, &world.hebei_ca, &handle);
    let wanted = crate::rating::request(&world);
    let published: pb::PublishRatingResponse = world.twice(&hebei, crate::rating::PUBLISH, &wanted).await;
    let receipt = jjj_server::receipt::from_wire(published.receipt.unwrap()).unwrap();
    receipt.verify(first.verifying_key()).unwrap();
    let name = format!("recognitions/{}-110000", wanted.request_id);
    let ask = pb::GetRecognitionTokenRequest { name: name.clone() };
    let token: pb::RecognitionToken = world.ask(&hebei, RECOGNITION_TOKEN, &ask).await;
    let read = verify_recognition(&token.token, first.verifying_key(), ORIGIN, world.now_s()).unwrap();
    assert_eq!((&read.sub, token.kid.as_str()), (&name, first.kid()));
    let ask = pb::GetSdRecognitionRequest { name, ..Default::default() };
    let issued: pb::SdRecognition = world.ask(&hebei, SD_RECOGNITION, &ask).await;
    verify_sd_recognition(&issued.sd_jwt, first.verifying_key(), ORIGIN, world.now_s(), None).unwrap();
    let list = pb::GetStatusListRequest { list: 0 };
    let listed: pb::StatusList = world.ask(&hebei, STATUS_LIST, &list).await;
    verify_status_list(&listed.token, first.verifying_key(), &read.status.status_list.uri, world.now_s()).unwrap();

    // What verifiers fetch has all three, each under its own name.
    let view = handle.gateway.registry.view();
    let published: Vec<_> = view.own_keys().map(|own| own.key.kid().to_owned()).collect();
    assert!(published.len() == 3 && [&first, &next].iter().all(|key| published.contains(&key.kid().to_owned())));

    let withdraw = async |key: &SigningKey| {
        let suspect_from_time_us = world.just_now().0;
        let kid = format!("gateway/keys/{}", key.kid());
        let request =
            pb::WithdrawKeyRequest { request_id: world.id(), key: kid, suspect_from_time_us, reason: "泄露".into() };
        let admin = world.reconnect(&world.gateway_admin, &world.gateway_ca, &handle);
        world.ask::<pb::WithdrawKeyResponse>(&admin, WITHDRAW_KEY, &request).await
    };
    // The withdrawal itself is still receipted by the key it ends; what comes after, by the next.
    assert_eq!(withdraw(&first).await.receipt.unwrap().kid, first.kid());
    let listed: pb::StatusList = world.ask(&hebei, STATUS_LIST, &list).await;
    assert_eq!(listed.kid, next.kid());
    assert_eq!(withdraw(&next).await.receipt.unwrap().kid, next.kid());
    assert_eq!(world.refusal(&hebei, STATUS_LIST, &list).await, "GATEWAY_KEY_NOT_IN_FORCE");
    assert!(handle.gateway.signer.head().is_some(), "its Ed25519 key is in force, and states nothing");

    drop(stop);
    handle.join().await;
    world.stop().await;
    let store = world.store().await;
    let report = verify(&store, &VerifyOptions::default()).await.unwrap();
    // The scene's own leaves have authors and no evidence.
    let faults: Vec<_> = report.faults.iter().filter(|fault| fault.column.as_deref() != Some("body")).collect();
    assert!(faults.is_empty() && report.evidence > 0, "{faults:#?}");
}

/// Whoever withdraws the key that the gateway signs with has ended it: the next one signs at once, also at a
/// replica; and where there is no other, nothing is recorded, sealed or issued.
async fn a_withdrawn_key_of_the_gateway_signs_nothing_more(database: TestDatabase) {
    let mut world = World::start(database).await;
    let pem = SigningKey::generate_pkcs8_pem(Algorithm::EdDsa).unwrap();
    let next = SigningKey::from_pkcs8_pem(&pem).unwrap();
    let first = world.gateway().signer.current().unwrap().kid().to_owned();
    let li = "gateway/admins/li";
    let owner = "gateway".parse().unwrap();
    world.decide(li, AddKey { owner, key: harness::new_key(&next), confirmations: Vec::new() }).await;
    let (replica, stop) = world.with_next(&pem).await;
    let elsewhere = world.reconnect(&world.hebei, &world.hebei_ca, &replica);
    let register = |world: &World, n: usize| pb::RegisterInstitutionRequest {
        request_id: world.id(),
        uscc: jjj_tests::world::institution(n)["uscc"].as_str().unwrap().into(),
        display_name: "养老院".into(),
        kind: pb::InstitutionKind::CareInstitution.into(),
        division_code: "131082".into(),
        beds: 10,
        residents: 5,
    };
    let signed_by = |answer: pb::RegisterInstitutionResponse| answer.receipt.unwrap().kid;
    let accepted = register(&world, 1);
    assert_eq!(signed_by(world.twice(&elsewhere, REGISTER, &accepted).await), first);

    let now = world.just_now();
    world.decide(li, WithdrawKey { kid: first.clone(), suspect_from_us: now, reason: "泄露".into() }).await;
    // Where it was recorded, it has no other: at once.
    let leaves = world.leaves().await;
    assert_eq!(world.refusal(&world.hebei, REGISTER, &register(&world, 2)).await, "GATEWAY_KEY_NOT_IN_FORCE");
    let list = pb::GetStatusListRequest { list: 0 };
    assert_eq!(world.refusal(&world.hebei, STATUS_LIST, &list).await, "GATEWAY_KEY_NOT_IN_FORCE");
    assert_eq!(world.leaves().await, leaves, "nothing was recorded");
    // What was recorded before has its answer still: nothing new is signed for it.
    assert_eq!(signed_by(world.twice(&world.hebei, REGISTER, &accepted).await), first);
    // The replica sees it within a second, and signs with the next.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while replica.gateway.signer.current().unwrap().kid() == first {
        assert!(std::time::Instant::now() < deadline, "the replica does not see it");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(signed_by(world.twice(&elsewhere, REGISTER, &register(&world, 3)).await), next.kid());
    let issued: pb::StatusList = world.ask(&elsewhere, STATUS_LIST, &list).await;
    assert_eq!(issued.kid, next.kid());
    // Heads too: whoever seals now, the newest one has the next key's line.
    drop(stop);
    replica.join().await;
    world.stop().await;
    let store = world.store().await;
    let head = store.read().await.unwrap().latest_checkpoint().await.unwrap().unwrap();
    let verifier = NoteVerifier::new(harness::ORIGIN, next.verifying_key()).unwrap();
    let (sealed, _) = open_checkpoint(&head.note, &verifier).expect("signed with the next key");
    assert_eq!(sealed.size as i64, store.read().await.unwrap().tree_size().await.unwrap());
    let report = verify(&store, &VerifyOptions::default()).await.unwrap();
    // The scene's own leaves have authors and no evidence.
    let faults: Vec<_> = report.faults.iter().filter(|fault| fault.column.as_deref() != Some("body")).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}
