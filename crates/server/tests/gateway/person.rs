//! Elders and contract parties: registered, found, read with an audit record, merged, erased.

use jjj_domain::names::Participant;
use jjj_domain::person::{AccessKind, AccessRow, IdentifierRow, PersonDataRow, PersonKeyRow};
use jjj_domain::row::Row;
use jjj_store::ListQuery;
use jjj_store::log_tables::{EvidenceRow, LeafRow};
use jjj_tests::both_databases;
use jjj_tests::postgres::TestDatabase;
use jjj_token::merkle::leaf_hash;
use jjj_token::request::{RequestClaims, sign_request};
use jjj_wire::pb;
use jjj_wire::pb::IdentifierKind::{ResidentId, SeniorDisabilityCard, SocialSecurityCard};
use prost::Message;

use crate::harness::{World, reason};
use crate::talk::method;

both_databases!(
    an_elder_is_registered_found_read_and_erased,
    a_token_reads_once_and_only_what_it_binds,
    elders_are_amended_merged_and_listed,
    parties_are_registered_amended_and_erased,
);

const RESIDENT_ID: &str = "110108188001010016";
const OTHER_RESIDENT_ID: &str = "130606188001010022";
const CARD: &str = "A12345678";
const NAME: &str = "某老人";

const REGISTER: &str = method!("ElderService/RegisterElder");
const FIND: &str = method!("ElderService/FindElder");
const READ: &str = method!("ElderService/ReadPersonalData");
const ADD: &str = method!("ElderService/AddIdentifier");
const ERASE: &str = method!("ElderService/EraseElder");

fn identifier(kind: pb::IdentifierKind, value: &str) -> pb::Identifier {
    pb::Identifier { kind: kind.into(), value: value.into() }
}

fn data() -> pb::PersonalData {
    pb::PersonalData {
        full_name: NAME.into(),
        birth_date: "1880-01-01".into(),
        sex: pb::Sex::Male.into(),
        mobile: "13900000000".into(),
        address: "某街一号".into(),
    }
}

/// A new elder of a Beijing household.
pub fn elder(world: &World, identifiers: Vec<pb::Identifier>, sex: pb::Sex) -> pb::RegisterElderRequest {
    pb::RegisterElderRequest {
        request_id: world.id(),
        salt: vec![9; 32],
        household_division: "110108".into(),
        identifiers,
        personal_data: Some(pb::PersonalData { sex: sex.into(), ..data() }),
    }
}

/// A token that was seen on its way is good for nothing else, and not for the same once more, at any replica.
async fn a_token_reads_once_and_only_what_it_binds(database: TestDatabase) {
    let world = World::start(database).await;
    let name = registered(&world).await;
    let read = pb::ReadPersonalDataRequest { name: name.clone(), purpose: "补贴审核".into() }.encode_to_vec();
    let other = pb::ReadPersonalDataRequest { name: name.clone(), purpose: "好奇".into() }.encode_to_vec();
    let evidence = pb::GetEvidenceRequest { record: name, version: 1 }.encode_to_vec();
    let find = find(ResidentId, RESIDENT_ID).encode_to_vec();
    const EVIDENCE: &str = method!("LedgerService/GetEvidence");
    let beijing = &world.beijing;
    let claims = |path, root| beijing.claims(path, root, world.now_s());
    let sign = |claims| sign_request(&beijing.key, &claims).unwrap();

    for (path, message) in [(READ, &read), (FIND, &find), (EVIDENCE, &evidence)] {
        let unbound = beijing.send(path, message, &sign(claims(path, None))).await.unwrap_err();
        assert_eq!(reason(&unbound), "TOKEN_CONTENT_NOT_BOUND", "{path}");
        let bound_to_another = beijing.send(path, message, &sign(claims(path, Some(leaf_hash(&other))))).await;
        assert_eq!(reason(&bound_to_another.unwrap_err()), "TOKEN_CONTENT_MISMATCH", "{path}");
        assert_eq!(rows::<AccessRow>(&world).await.len(), 0);
    }

    let (replica, stop) = world.replica().await;
    let there = world.reconnect(beijing, &world.beijing_ca, &replica);
    for (n, (path, message)) in [(READ, &read), (FIND, &find), (EVIDENCE, &evidence)].into_iter().enumerate() {
        let first = claims(path, Some(leaf_hash(message)));
        let token = sign(first.clone());
        let at_once = tokio::join!(beijing.send(path, message, &token), beijing.send(path, message, &token));
        let taken = [at_once.0, at_once.1].into_iter().filter(Result::is_ok).count();
        assert_eq!(taken, 1, "{path}: of two at once one is answered");
        let elsewhere = sign(RequestClaims { cnf: there.claims(path, None, 0).cnf, ..first });
        for (again, token) in [(beijing, &token), (&there, &elsewhere)] {
            let refused = again.send(path, message, token).await.unwrap_err();
            assert_eq!(reason(&refused), "TOKEN_USED", "{path}");
        }
        assert_eq!(rows::<AccessRow>(&world).await.len(), n + 1, "{path}");
    }
    drop(stop);
    replica.join().await;
}

/// Registers an elder of Beijing; its name.
pub async fn registered(world: &World) -> String {
    let request = elder(world, vec![identifier(ResidentId, RESIDENT_ID)], pb::Sex::Male);
    let answer: pb::RegisterElderResponse = world.ask(&world.beijing, REGISTER, &request).await;
    answer.elder.unwrap().name
}

fn find(kind: pb::IdentifierKind, value: &str) -> pb::FindElderRequest {
    pb::FindElderRequest { identifier: Some(identifier(kind, value)), purpose: "核对付款人".into() }
}

async fn rows<T: Row>(world: &World) -> Vec<T> {
    let query = ListQuery { limit: 1_000, ..ListQuery::default() };
    world.gateway().store.read().await.unwrap().list(&query).await.unwrap()
}

async fn an_elder_is_registered_found_read_and_erased(database: TestDatabase) {
    let mut world = World::start(database).await;
    let (beijing, hebei, unionpay) = (&world.beijing, &world.hebei, &world.unionpay);

    let request = elder(&world, vec![identifier(ResidentId, RESIDENT_ID)], pb::Sex::Male);
    let elder_of = |answer: pb::RegisterElderResponse| answer.elder.unwrap();
    let registered = elder_of(world.twice(beijing, REGISTER, &request).await);
    assert_eq!(registered.name, format!("elders/{}", request.request_id));
    assert_eq!((registered.household_region.as_str(), registered.version), ("regions/110000", 1));

    let wrong = elder(&world, vec![identifier(ResidentId, "110108188001010017")], pb::Sex::Male);
    assert_eq!(world.refusal(beijing, REGISTER, &wrong).await, "CHECKSUM_WRONG identifiers[0].value");
    let twice = elder(&world, vec![identifier(ResidentId, RESIDENT_ID)], pb::Sex::Male);
    assert_eq!(world.refusal(hebei, REGISTER, &twice).await, "IDENTIFIER_TAKEN identifiers[0]");
    let nobody = elder(&world, vec![], pb::Sex::Male);
    assert_eq!(world.refusal(hebei, REGISTER, &nobody).await, "FIELD_MISSING identifiers");
    assert_eq!(world.refusal(unionpay, REGISTER, &twice).await, "ROLE_NOT_ALLOWED");

    let mut add = pb::AddIdentifierRequest {
        request_id: world.id(),
        salt: vec![3; 32],
        elder: registered.name.clone(),
        identifier: Some(identifier(SocialSecurityCard, "a12345678")),
    };
    assert_eq!(world.refusal(hebei, ADD, &add).await, "NOT_YOUR_RECORD elder");
    let added: pb::AddIdentifierResponse = world.twice(beijing, ADD, &add).await;
    assert_eq!(added.elder.unwrap().version, 2);
    let first_answer = add.clone();
    add.request_id = world.id();
    assert_eq!(world.refusal(beijing, ADD, &add).await, "IDENTIFIER_TAKEN identifier");
    add.elder = "elders/nobody".into();
    assert_eq!(world.refusal(beijing, ADD, &add).await, "RECORD_NOT_FOUND elder");

    // Found by either identifier, by whoever has it in hand.
    for (kind, value) in [(ResidentId, RESIDENT_ID), (SocialSecurityCard, CARD)] {
        let found: pb::Elder = world.ask(unionpay, FIND, &find(kind, value)).await;
        assert_eq!(found.name, registered.name);
    }
    let unknown = find(SeniorDisabilityCard, "BJ0000012345");
    assert_eq!(world.refusal(unionpay, FIND, &unknown).await, "RECORD_NOT_FOUND identifier");
    let aimless = pb::FindElderRequest { purpose: String::new(), ..find(ResidentId, RESIDENT_ID) };
    assert_eq!(world.refusal(unionpay, FIND, &aimless).await, "FIELD_MISSING purpose");
    assert_eq!(world.refusal(&world.gateway_admin, FIND, &aimless).await, "ROLE_NOT_ALLOWED");

    let read = pb::ReadPersonalDataRequest { name: registered.name.clone(), purpose: "补贴审核".into() };
    let record: pb::PersonalDataRecord = world.ask(beijing, READ, &read).await;
    assert_eq!(record.identifiers, [identifier(ResidentId, RESIDENT_ID), identifier(SocialSecurityCard, CARD)]);
    assert_eq!(record.personal_data, Some(data()));
    assert_eq!(world.refusal(hebei, READ, &read).await, "NOT_YOUR_RECORD name");

    // Who looked, at whom, and why.
    let accesses: Vec<AccessRow> = rows(&world).await;
    assert_eq!(accesses.len(), 3);
    let read_row = accesses.iter().find(|row| row.kind == AccessKind::Read).unwrap();
    assert_eq!((&read_row.access, read_row.purpose.as_str()), (&record.audit_record, "补贴审核"));
    assert_eq!(read_row.reader_participant, "regions/110000".parse::<Participant>().unwrap());
    let leaves: Vec<LeafRow> = rows(&world).await;
    let accessed = leaves.iter().filter(|leaf| leaf.kind == "person.accessed");
    assert!(accessed.clone().count() == 3 && accessed.clone().all(|leaf| leaf.author == "gateway"));

    // Nothing of the person is anywhere in clear.
    let evidence: Vec<EvidenceRow> = rows(&world).await;
    let secrets = [RESIDENT_ID, CARD, "a12345678", NAME, "13900000000", "某街"];
    for secret in secrets {
        assert!(leaves.iter().all(|leaf| !leaf.body.contains(secret)), "a leaf holds {secret}");
        let holds = |item: &[u8]| item.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(evidence.iter().all(|row| !holds(&row.item)), "evidence holds {secret}");
    }

    let mut erase = pb::EraseElderRequest {
        request_id: world.id(),
        elder: registered.name.clone(),
        reason: "个人信息保护法第四十七条".into(),
    };
    assert_eq!(world.refusal(hebei, ERASE, &erase).await, "NOT_YOUR_RECORD elder");
    let erased: pb::EraseElderResponse = world.twice(beijing, ERASE, &erase).await;
    assert_eq!(erased.elder.unwrap().state(), pb::PersonState::Erased);
    assert!(rows::<IdentifierRow>(&world).await.is_empty());
    assert!(rows::<PersonDataRow>(&world).await.is_empty() && rows::<PersonKeyRow>(&world).await.is_empty());
    assert_eq!(world.refusal(beijing, READ, &read).await, "PERSON_ERASED name");
    assert_eq!(world.refusal(unionpay, FIND, &find(ResidentId, RESIDENT_ID)).await, "RECORD_NOT_FOUND identifier");
    erase.request_id = world.id();
    assert_eq!(world.refusal(beijing, ERASE, &erase).await, "PERSON_ERASED elder");
    add.elder = registered.name.clone();
    assert_eq!(world.refusal(beijing, ADD, &add).await, "PERSON_ERASED elder");
    // A request from before is still answered as it was.
    let again: pb::AddIdentifierResponse = world.ask(beijing, ADD, &first_answer).await;
    assert_eq!(again.elder.unwrap().version, 2);
    world.stop().await;
}

async fn elders_are_amended_merged_and_listed(database: TestDatabase) {
    const AMEND: &str = method!("ElderService/AmendElder");
    const MERGE: &str = method!("ElderService/MergeElders");
    const DEATH: &str = method!("ElderService/RecordDeath");
    const GET: &str = method!("ElderService/GetElder");
    const LIST: &str = method!("ElderService/ListElders");
    let mut world = World::start(database).await;
    let (beijing, hebei) = (&world.beijing, &world.hebei);

    let items = [
        elder(&world, vec![identifier(ResidentId, RESIDENT_ID)], pb::Sex::Male),
        elder(&world, vec![identifier(ResidentId, "1")], pb::Sex::Male),
        elder(&world, vec![identifier(SocialSecurityCard, CARD)], pb::Sex::Female),
    ];
    let batch = method!("ElderService/BatchRegisterElders");
    let answers: Vec<Result<pb::RegisterElderResponse, _>> = world.bulk(beijing, batch, &items).await;
    assert_eq!(answers[1].as_ref().unwrap_err(), "FIELD_MALFORMED identifiers[0].value");
    let name = |at: usize| answers[at].as_ref().unwrap().elder.as_ref().unwrap().name.clone();
    let (first, second) = (name(0), name(2));

    let mut amend = pb::AmendElderRequest {
        request_id: world.id(),
        salt: vec![1; 32],
        elder: first.clone(),
        expected_version: 7,
        household_division: "130606".into(),
        personal_data: Some(pb::PersonalData { address: "新址".into(), ..data() }),
    };
    assert_eq!(world.refusal(beijing, AMEND, &amend).await, "STATE_NOT_ALLOWED expected_version");
    assert_eq!(world.refusal(hebei, AMEND, &amend).await, "NOT_YOUR_RECORD elder");
    amend.expected_version = 1;
    let amended: pb::AmendElderResponse = world.twice(beijing, AMEND, &amend).await;
    assert_eq!(amended.elder.unwrap().household_region, "regions/130000");
    // The region that pays now may read too.
    let read = pb::ReadPersonalDataRequest { name: first.clone(), purpose: "核对".into() };
    let record: pb::PersonalDataRecord = world.ask(hebei, READ, &read).await;
    assert_eq!(record.personal_data.unwrap().address, "新址");

    let list = |filter: &str| pb::ListEldersRequest { filter: filter.into(), ..Default::default() };
    let of_hebei: pb::ListEldersResponse =
        world.ask(hebei, LIST, &list(r#"household_region = "regions/130000""#)).await;
    assert_eq!(of_hebei.elders.iter().map(|e| &e.name).collect::<Vec<_>>(), [&first]);
    let nowhere: pb::ListEldersResponse =
        world.ask(hebei, LIST, &list(r#"institution_region = "regions/130000""#)).await;
    assert!(nowhere.elders.is_empty());
    assert_eq!(world.refusal(hebei, LIST, &list(r#"full_name = "x""#)).await, "FILTER_FIELD_UNKNOWN filter");
    assert_eq!(world.refusal(hebei, LIST, &list(r#"institution > "x""#)).await, "FILTER_MALFORMED filter");

    let back = pb::AmendElderRequest {
        request_id: world.id(),
        expected_version: 0,
        household_division: "110108".into(),
        ..amend
    };
    let _: pb::AmendElderResponse = world.ask(beijing, AMEND, &back).await;
    let mut merge = pb::MergeEldersRequest {
        request_id: world.id(),
        elder: second.clone(),
        into: second.clone(),
        reason: "同一人".into(),
    };
    assert_eq!(world.refusal(beijing, MERGE, &merge).await, "FIELD_MALFORMED into");
    merge.into = first.clone();
    let merged: pb::MergeEldersResponse = world.twice(beijing, MERGE, &merge).await;
    let merged = merged.elder.unwrap();
    assert_eq!((merged.state(), &merged.merged_into), (pb::PersonState::Merged, &first));
    // Every identifier now leads to the survivor.
    let found: pb::Elder = world.ask(hebei, FIND, &find(SocialSecurityCard, CARD)).await;
    assert_eq!(found.name, first);

    let mut death = pb::RecordDeathRequest {
        request_id: world.id(),
        elder: first.clone(),
        died_on: world.day(1),
        document_number: "京-17".into(),
    };
    assert_eq!(world.refusal(beijing, DEATH, &death).await, "FIELD_OUT_OF_RANGE died_on");
    death.died_on = world.day(0);
    let dead: pb::RecordDeathResponse = world.twice(beijing, DEATH, &death).await;
    assert_eq!(dead.elder.unwrap().state(), pb::PersonState::Deceased);
    let read: pb::Elder = world.ask(hebei, GET, &pb::GetElderRequest { name: first.clone() }).await;
    assert_eq!(read.died_on, world.day(0));
    let missing = pb::GetElderRequest { name: "elders/nobody".into() };
    assert_eq!(world.refusal(hebei, GET, &missing).await, "RECORD_NOT_FOUND name");
    world.stop().await;
}

async fn parties_are_registered_amended_and_erased(database: TestDatabase) {
    const AMEND: &str = method!("ElderService/AmendParty");
    const GET: &str = method!("ElderService/GetParty");
    const ERASE_PARTY: &str = method!("ElderService/EraseParty");
    let mut world = World::start(database).await;
    let (beijing, hebei) = (&world.beijing, &world.hebei);
    let new = |identifiers: Vec<pb::Identifier>| pb::RegisterPartyRequest {
        request_id: world.id(),
        salt: vec![2; 32],
        identifiers,
        personal_data: Some(data()),
    };
    let register = method!("ElderService/RegisterParty");
    let answer: pb::RegisterPartyResponse = world.twice(hebei, register, &new(vec![])).await;
    let party = answer.party.unwrap();
    assert_eq!((party.region.as_str(), party.state()), ("regions/130000", pb::PersonState::Active));
    let unsalted = pb::RegisterPartyRequest { salt: vec![], ..new(vec![]) };
    assert_eq!(world.refusal(hebei, register, &unsalted).await, "FIELD_MISSING salt");
    let batch = method!("ElderService/BatchRegisterParties");
    let items = [new(vec![identifier(SocialSecurityCard, CARD)]), new(vec![identifier(SocialSecurityCard, CARD)])];
    let answers: Vec<Result<pb::RegisterPartyResponse, _>> = world.bulk(hebei, batch, &items).await;
    assert!(answers[0].is_ok());
    assert_eq!(answers[1].as_ref().unwrap_err(), "IDENTIFIER_TAKEN identifiers[0]");

    let amend = |party: &str| pb::AmendPartyRequest {
        request_id: world.id(),
        salt: vec![4; 32],
        party: party.into(),
        identifiers: vec![identifier(ResidentId, OTHER_RESIDENT_ID)],
        personal_data: Some(pb::PersonalData { sex: pb::Sex::Female.into(), ..data() }),
    };
    let amended: pb::AmendPartyResponse = world.twice(hebei, AMEND, &amend(&party.name)).await;
    assert_eq!(amended.party.unwrap().version, 2);
    assert_eq!(world.refusal(beijing, AMEND, &amend(&party.name)).await, "NOT_YOUR_RECORD party");
    let read = pb::ReadPersonalDataRequest { name: party.name.clone(), purpose: "联系监护人".into() };
    let record: pb::PersonalDataRecord = world.ask(hebei, READ, &read).await;
    assert_eq!(record.identifiers, [identifier(ResidentId, OTHER_RESIDENT_ID)]);

    let erase =
        pb::ErasePartyRequest { request_id: world.id(), party: party.name.clone(), reason: "撤回同意".into() };
    assert_eq!(world.refusal(beijing, ERASE_PARTY, &erase).await, "NOT_YOUR_RECORD party");
    let erased: pb::ErasePartyResponse = world.twice(hebei, ERASE_PARTY, &erase).await;
    assert_eq!(erased.party.unwrap().state(), pb::PersonState::Erased);
    let gone: pb::Party = world.ask(beijing, GET, &pb::GetPartyRequest { name: party.name.clone() }).await;
    assert_eq!(gone.state(), pb::PersonState::Erased);
    let elder = pb::GetPartyRequest { name: "elders/1".into() };
    assert_eq!(world.refusal(beijing, GET, &elder).await, "FIELD_MALFORMED name");
    world.stop().await;
}
