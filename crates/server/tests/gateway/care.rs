//! Contracts, stays, bills, mandates: an elder of Beijing in an institution of Hebei.

use jjj_tests::both_databases;
use jjj_tests::postgres::TestDatabase;
use jjj_wire::pb;

use crate::harness::{INSTITUTION, World};
use crate::person::registered;
use crate::talk::method;

both_databases!(a_contract_goes_through_its_life, stays_and_bills_follow_the_contract, a_mandate_is_given_and_revoked,);

const CREATE: &str = method!("ContractService/CreateContract");
const SIGN: &str = method!("ContractService/SignContract");
const FILE: &str = method!("ContractService/FileContract");
const ATTEST: &str = method!("ContractService/AttestContract");
const ACTIVATE: &str = method!("ContractService/ActivateContract");

fn institution() -> String {
    format!("institutions/{INSTITUTION}")
}

fn terms(world: &World, elder: &str) -> pb::CreateContractRequest {
    let party = |party: &str, roles: &[pb::PartyRole]| pb::ContractParty {
        party: party.into(),
        roles: roles.iter().map(|role| (*role).into()).collect(),
    };
    pb::CreateContractRequest {
        request_id: world.id(),
        institution: institution(),
        elder: elder.into(),
        parties: vec![
            party(&institution(), &[pb::PartyRole::Institution]),
            party(elder, &[pb::PartyRole::Elder, pb::PartyRole::PaymentObligor]),
        ],
        capacity: pb::LegalCapacity::Full.into(),
        fees: Some(pb::ContractFees { bed_fee_fen: 300_000, nursing_fee_fen: 100_000, ..Default::default() }),
        starts_on: world.day(-60),
        ends_on: world.day(300),
        documents: vec![pb::ContractDocument {
            kind: pb::ContractDocumentKind::ContractText.into(),
            sha256: "a".repeat(64),
            sm3: "b".repeat(64),
            size_bytes: 1_024,
        }],
    }
}

fn signature(world: &World, signer: &str) -> pb::ContractSignature {
    pb::ContractSignature {
        signer: signer.into(),
        method: pb::SignatureMethod::Handwritten.into(),
        document_sha256: "a".repeat(64),
        signed_time_us: world.clock.now().0 - 1_000_000,
        ..Default::default()
    }
}

fn sign(world: &World, contract: &str, signer: &str) -> pb::SignContractRequest {
    let signature = Some(signature(world, signer));
    pb::SignContractRequest { request_id: world.id(), contract: contract.into(), signature }
}

fn attest(world: &World, contract: &str) -> pb::AttestContractRequest {
    pb::AttestContractRequest {
        request_id: world.id(),
        contract: contract.into(),
        attested_on: world.day(-60),
        attester: "廊坊市民政局".into(),
    }
}

fn activate(world: &World, contract: &str) -> pb::ActivateContractRequest {
    pb::ActivateContractRequest { request_id: world.id(), contract: contract.into(), effective_on: world.day(-60) }
}

/// A contract in force, attested by Hebei.
async fn in_force(world: &World, elder: &str) -> pb::Contract {
    let hebei = &world.hebei;
    let created: pb::CreateContractResponse = world.ask(hebei, CREATE, &terms(world, elder)).await;
    let name = created.contract.unwrap().name;
    for signer in [&institution(), elder] {
        let _: pb::SignContractResponse = world.ask(hebei, SIGN, &sign(world, &name, signer)).await;
    }
    let _: pb::AttestContractResponse = world.ask(hebei, ATTEST, &attest(world, &name)).await;
    let active: pb::ActivateContractResponse = world.ask(hebei, ACTIVATE, &activate(world, &name)).await;
    active.contract.unwrap()
}

async fn a_contract_goes_through_its_life(database: TestDatabase) {
    const AMEND: &str = method!("ContractService/AmendContract");
    const TERMINATE: &str = method!("ContractService/TerminateContract");
    const VOID: &str = method!("ContractService/VoidContract");
    const GET: &str = method!("ContractService/GetContract");
    const LIST: &str = method!("ContractService/ListContracts");
    const VERSIONS: &str = method!("ContractService/ListContractVersions");
    let mut world = World::start(database).await;
    let (hebei, beijing) = (&world.hebei, &world.beijing);
    let elder = registered(&world).await;

    type Spoil = fn(&mut pb::CreateContractRequest);
    let table: [(Spoil, &str); 6] = [
        (|r| r.elder = "elders/nobody".into(), "RECORD_NOT_FOUND elder"),
        (|r| r.parties.truncate(1), "PARTY_MISSING parties"),
        (|r| r.capacity = pb::LegalCapacity::Limited.into(), "GUARDIAN_MISSING parties"),
        (|r| r.fees.as_mut().unwrap().deposit_fen = 9_000_000_000, "CAP_EXCEEDED fees.deposit_fen"),
        (|r| r.ends_on = "2000-01-01".into(), "DATE_ORDER ends_on"),
        (|r| r.documents[0].sha256 = "z".into(), "FIELD_MALFORMED documents[0].sha256"),
    ];
    for (spoil, expected) in table {
        let mut request = terms(&world, &elder);
        spoil(&mut request);
        assert_eq!(world.refusal(hebei, CREATE, &request).await, expected);
    }
    assert_eq!(world.refusal(&world.unionpay, CREATE, &terms(&world, &elder)).await, "ROLE_NOT_ALLOWED");

    // Beijing is the registrar of this one and files it online.
    let created: pb::CreateContractResponse = world.twice(beijing, CREATE, &terms(&world, &elder)).await;
    let created = created.contract.unwrap();
    assert_eq!((created.registrar.as_str(), created.state()), ("regions/110000", pb::ContractState::Draft));
    let name = created.name.clone();
    let file = |contract: &str, number: &str| pb::FileContractRequest {
        request_id: world.id(),
        contract: contract.into(),
        filing_number: number.into(),
        filed_on: world.day(-1),
    };
    assert_eq!(world.refusal(beijing, FILE, &file(&name, "京网签1")).await, "SIGNATURE_MISSING contract");
    assert_eq!(world.refusal(hebei, SIGN, &sign(&world, &name, &elder)).await, "NOT_YOUR_RECORD contract");
    let _: pb::SignContractResponse = world.twice(beijing, SIGN, &sign(&world, &name, &institution())).await;
    let items = [sign(&world, &name, &institution()), sign(&world, &name, &elder)];
    let batch = method!("ContractService/BatchSignContracts");
    let answers: Vec<Result<pb::SignContractResponse, _>> = world.bulk(beijing, batch, &items).await;
    assert_eq!(answers[0].as_ref().unwrap_err(), "RECORD_EXISTS signature.signer");
    let signed = answers[1].as_ref().unwrap().contract.as_ref().unwrap();
    assert_eq!((signed.state(), signed.signatures.len()), (pb::ContractState::Signed, 2));
    assert_eq!(signed.signatures[0].attested_by, "regions/110000");

    assert_eq!(world.refusal(beijing, FILE, &file(&name, "京网签1")).await, "STATE_NOT_ALLOWED contract");
    let scope = pb::SetSigningScopeRequest {
        request_id: world.id(),
        institution: institution(),
        in_scope: true,
        effective_on: "2024-06-01".into(),
        document_number: String::new(),
    };
    let _: pb::SetSigningScopeResponse = world.ask(hebei, method!("InstitutionService/SetSigningScope"), &scope).await;
    let filed: pb::FileContractResponse = world.twice(beijing, FILE, &file(&name, "京网签1")).await;
    assert_eq!(filed.contract.unwrap().evidence(), pb::ContractEvidence::OnlineFiled);
    let batch = method!("ContractService/BatchFileContracts");
    let answers: Vec<Result<pb::FileContractResponse, _>> = world.bulk(beijing, batch, &[file(&name, "京网签2")]).await;
    assert_eq!(answers[0].as_ref().unwrap_err(), "STATE_NOT_ALLOWED contract");

    let late = pb::ActivateContractRequest { effective_on: world.day(999), ..activate(&world, &name) };
    assert_eq!(world.refusal(beijing, ACTIVATE, &late).await, "FIELD_OUT_OF_RANGE effective_on");
    let batch = method!("ContractService/BatchActivateContracts");
    let items = [activate(&world, &name), activate(&world, "contracts/none")];
    let answers: Vec<Result<pb::ActivateContractResponse, _>> = world.bulk(beijing, batch, &items).await;
    assert!(answers[0].as_ref().unwrap().contract.as_ref().unwrap().in_force);
    assert_eq!(answers[1].as_ref().unwrap_err(), "RECORD_NOT_FOUND contract");

    let attested = in_force(&world, &elder).await;
    let batch = method!("ContractService/BatchCreateContracts");
    let answers: Vec<Result<pb::CreateContractResponse, _>> =
        world.bulk(hebei, batch, &[terms(&world, &elder), pb::CreateContractRequest::default()]).await;
    let draft = answers[0].as_ref().unwrap().contract.clone().unwrap();
    assert_eq!(answers[1].as_ref().unwrap_err(), "FIELD_MISSING request_id");
    let batch = method!("ContractService/BatchAttestContracts");
    let answers: Vec<Result<pb::AttestContractResponse, _>> =
        world.bulk(hebei, batch, &[attest(&world, &draft.name)]).await;
    assert_eq!(answers[0].as_ref().unwrap_err(), "SIGNATURE_MISSING contract");

    let amend = |expected_version| {
        let terms = terms(&world, &elder);
        pb::AmendContractRequest {
            request_id: world.id(),
            contract: name.clone(),
            expected_version,
            parties: terms.parties,
            capacity: terms.capacity,
            fees: Some(pb::ContractFees { bed_fee_fen: 320_000, ..Default::default() }),
            ends_on: terms.ends_on,
            documents: terms.documents,
            signatures: vec![signature(&world, &institution()), signature(&world, &elder)],
            evidence: pb::ContractEvidence::OnlineFiled.into(),
            filing_number: "京网签9".into(),
            effective_on: world.day(-2),
            reason: "调价".into(),
        }
    };
    assert_eq!(world.refusal(beijing, AMEND, &amend(1)).await, "STATE_NOT_ALLOWED expected_version");
    let unsigned = pb::AmendContractRequest { signatures: vec![], ..amend(0) };
    assert_eq!(world.refusal(beijing, AMEND, &unsigned).await, "SIGNATURE_MISSING signatures");
    let amended: pb::AmendContractResponse = world.twice(beijing, AMEND, &amend(0)).await;
    let amended = amended.contract.unwrap();
    assert_eq!((amended.filing_number.as_str(), amended.fees.unwrap().bed_fee_fen), ("京网签9", 320_000));

    let terminate = |contract: &str| pb::TerminateContractRequest {
        request_id: world.id(),
        contract: contract.into(),
        termination_reason: pb::TerminationReason::Agreement.into(),
        ended_on: world.day(0),
        reason: String::new(),
    };
    assert_eq!(world.refusal(hebei, TERMINATE, &terminate(&name)).await, "NOT_YOUR_RECORD contract");
    assert_eq!(world.refusal(hebei, TERMINATE, &terminate(&draft.name)).await, "STATE_NOT_ALLOWED contract");
    let ended: pb::TerminateContractResponse = world.twice(hebei, TERMINATE, &terminate(&attested.name)).await;
    let ended = ended.contract.unwrap();
    assert_eq!((ended.state(), ended.in_force), (pb::ContractState::Terminated, false));
    let void = |contract: &str, reason: &str| pb::VoidContractRequest {
        request_id: world.id(),
        contract: contract.into(),
        reason: reason.into(),
        document_number: "冀法〔2026〕1号".into(),
    };
    assert_eq!(world.refusal(hebei, VOID, &void(&draft.name, "")).await, "FIELD_MISSING reason");
    let voided: pb::VoidContractResponse = world.twice(hebei, VOID, &void(&draft.name, "重复登记")).await;
    assert_eq!(voided.contract.unwrap().document_number, "冀法〔2026〕1号");

    let list = |filter: &str| pb::ListContractsRequest { filter: filter.into(), ..Default::default() };
    for (filter, mut expected) in [
        ("".to_owned(), vec![&name, &attested.name, &draft.name]),
        (r#"in_force = "true""#.into(), vec![&name]),
        (r#"in_force = "false""#.into(), vec![&attested.name, &draft.name]),
        (r#"filing_number = "京网签9""#.into(), vec![&name]),
        (format!(r#"elder = "{elder}" AND evidence = "REGION_ATTESTED""#), vec![&attested.name]),
    ] {
        let page: pb::ListContractsResponse = world.ask(hebei, LIST, &list(&filter)).await;
        expected.sort();
        assert_eq!(page.contracts.iter().map(|c| &c.name).collect::<Vec<_>>(), expected, "{filter}");
    }
    assert_eq!(world.refusal(hebei, LIST, &list(r#"in_force = "x""#)).await, "FILTER_MALFORMED filter");
    assert_eq!(world.refusal(&world.unionpay, LIST, &list("")).await, "ROLE_NOT_ALLOWED");
    let read: pb::Contract = world.ask(hebei, GET, &pb::GetContractRequest { name: name.clone() }).await;
    assert_eq!(read, amended);
    let missing = pb::GetContractRequest { name: "contracts/none".into() };
    assert_eq!(world.refusal(hebei, GET, &missing).await, "RECORD_NOT_FOUND name");
    let versions = pb::ListContractVersionsRequest { name, ..Default::default() };
    let page: pb::ListContractVersionsResponse = world.ask(hebei, VERSIONS, &versions).await;
    assert_eq!(page.contracts.iter().map(|c| c.version).collect::<Vec<_>>(), [6, 5, 4, 3, 2, 1]);
    let bad = pb::ListContractVersionsRequest { page_token: "x".into(), ..versions };
    assert_eq!(world.refusal(hebei, VERSIONS, &bad).await, "PAGE_TOKEN_MALFORMED page_token");
    world.stop().await;
}

async fn stays_and_bills_follow_the_contract(database: TestDatabase) {
    let mut world = World::start(database).await;
    let elder = registered(&world).await;
    let contract = in_force(&world, &elder).await;
    let stay = stays(&world, &elder, &contract.name).await;
    bills(&world, &elder, &contract.name, &stay).await;
    world.stop().await;
}

async fn stays(world: &World, elder: &str, contract: &str) -> String {
    const ADMIT: &str = method!("StayService/AdmitElder");
    const END: &str = method!("StayService/EndStay");
    const AMEND: &str = method!("StayService/AmendStay");
    const VOID: &str = method!("StayService/VoidStay");
    const GET: &str = method!("StayService/GetStay");
    const LIST: &str = method!("StayService/ListStays");
    const VERSIONS: &str = method!("StayService/ListStayVersions");
    const ELDERS: &str = method!("ElderService/ListElders");
    let (hebei, beijing) = (&world.hebei, &world.beijing);
    let admit = |days| pb::AdmitElderRequest {
        request_id: world.id(),
        elder: elder.into(),
        institution: institution(),
        contract: contract.into(),
        admitted_on: world.day(days),
    };
    assert_eq!(world.refusal(hebei, ADMIT, &admit(1)).await, "FIELD_OUT_OF_RANGE admitted_on");
    assert_eq!(world.refusal(beijing, ADMIT, &admit(-40)).await, "NOT_YOUR_RECORD institution");
    let admitted: pb::AdmitElderResponse = world.twice(hebei, ADMIT, &admit(-40)).await;
    let stay = admitted.stay.unwrap().name;
    let batch = method!("StayService/BatchAdmitElders");
    let answers: Vec<Result<pb::AdmitElderResponse, _>> = world.bulk(hebei, batch, &[admit(-30)]).await;
    assert_eq!(answers[0].as_ref().unwrap_err(), "STAY_OVERLAPS admitted_on");

    // The elder is found by where she lives.
    let where_ = |filter: String| pb::ListEldersRequest { filter, ..Default::default() };
    let there = format!(r#"institution = "{}" AND institution_region = "regions/130000""#, institution());
    let living: pb::ListEldersResponse = world.ask(beijing, ELDERS, &where_(there.clone())).await;
    assert_eq!(living.elders.iter().map(|e| e.name.as_str()).collect::<Vec<_>>(), [elder]);
    let elsewhere = where_(r#"institution_region = "regions/110000""#.into());
    let none: pb::ListEldersResponse = world.ask(beijing, ELDERS, &elsewhere).await;
    assert!(none.elders.is_empty());

    let amend = |left_on: String| pb::AmendStayRequest {
        request_id: world.id(),
        stay: stay.clone(),
        expected_version: 0,
        contract: contract.into(),
        admitted_on: world.day(-50),
        left_on,
        reason: "更正".into(),
    };
    assert_eq!(world.refusal(hebei, AMEND, &amend(world.day(-1))).await, "STATE_NOT_ALLOWED left_on");
    let amended: pb::AmendStayResponse = world.twice(hebei, AMEND, &amend(String::new())).await;
    assert_eq!(amended.stay.unwrap().admitted_on, world.day(-50));
    let end = |stay: &str, left_on: String| pb::EndStayRequest {
        request_id: world.id(),
        stay: stay.into(),
        left_on,
        end_reason: pb::StayEndReason::Left.into(),
    };
    assert_eq!(world.refusal(hebei, END, &end(&stay, world.day(-51))).await, "DATE_ORDER left_on");
    let ended: pb::EndStayResponse = world.twice(hebei, END, &end(&stay, world.day(-10))).await;
    assert_eq!(ended.stay.unwrap().state(), pb::StayState::Ended);
    let none: pb::ListEldersResponse = world.ask(beijing, ELDERS, &where_(there)).await;
    assert!(none.elders.is_empty(), "she has left");

    let answers: Vec<Result<pb::AdmitElderResponse, _>> = world.bulk(hebei, batch, &[admit(-5)]).await;
    let second = answers[0].as_ref().unwrap().stay.clone().unwrap().name;
    let batch = method!("StayService/BatchEndStays");
    let items = [end(&stay, world.day(-9)), end(&second, world.day(0))];
    let answers: Vec<Result<pb::EndStayResponse, _>> = world.bulk(hebei, batch, &items).await;
    assert_eq!(answers[0].as_ref().unwrap_err(), "STATE_NOT_ALLOWED stay");
    assert!(answers[1].is_ok());
    let void = |stay: &str| pb::VoidStayRequest { request_id: world.id(), stay: stay.into(), reason: "误录".into() };
    let _: pb::VoidStayResponse = world.twice(hebei, VOID, &void(&second)).await;
    assert_eq!(world.refusal(hebei, VOID, &void(&second)).await, "STATE_NOT_ALLOWED stay");

    let list = |filter: String| pb::ListStaysRequest { filter, ..Default::default() };
    for (days, expected) in [(-51, vec![]), (-50, vec![&stay]), (-11, vec![&stay]), (-10, vec![]), (-3, vec![])] {
        let on = list(format!(r#"on = "{}""#, world.day(days)));
        let page: pb::ListStaysResponse = world.ask(beijing, LIST, &on).await;
        assert_eq!(page.stays.iter().map(|s| &s.name).collect::<Vec<_>>(), expected, "{days}");
    }
    assert_eq!(world.refusal(beijing, LIST, &list(r#"on = "x""#.into())).await, "FILTER_MALFORMED filter");
    let get = pb::GetStayRequest { name: stay.clone() };
    let read: pb::Stay = world.ask(beijing, GET, &get).await;
    assert_eq!((read.left_on, read.end_reason), (world.day(-10), pb::StayEndReason::Left.into()));
    assert_eq!(world.refusal(&world.unionpay, GET, &get).await, "ROLE_NOT_ALLOWED");
    let versions = pb::ListStayVersionsRequest { name: stay.clone(), ..Default::default() };
    let page: pb::ListStayVersionsResponse = world.ask(beijing, VERSIONS, &versions).await;
    assert_eq!(page.stays.iter().map(|s| s.version).collect::<Vec<_>>(), [3, 2, 1]);
    let none = pb::ListStayVersionsRequest { name: "stays/none".into(), ..Default::default() };
    assert_eq!(world.refusal(beijing, VERSIONS, &none).await, "RECORD_NOT_FOUND name");
    stay
}

async fn bills(world: &World, elder: &str, contract: &str, stay: &str) {
    const PUBLISH: &str = method!("BillService/PublishBill");
    const AMEND: &str = method!("BillService/AmendBill");
    const VOID: &str = method!("BillService/VoidBill");
    const GET: &str = method!("BillService/GetBill");
    const LIST: &str = method!("BillService/ListBills");
    const VERSIONS: &str = method!("BillService/ListBillVersions");
    let (hebei, beijing) = (&world.hebei, &world.beijing);
    let line =
        |fee_type: pb::FeeType, due_fen| pb::BillLine { fee_type: fee_type.into(), due_fen, ..Default::default() };
    let month = |days| world.day(days)[..7].to_owned();
    let publish = |month: String| pb::PublishBillRequest {
        request_id: world.id(),
        institution: institution(),
        elder: elder.into(),
        contract: contract.into(),
        stay: String::new(),
        month,
        lines: vec![line(pb::FeeType::Bed, 300_000), line(pb::FeeType::Nursing, 100_000)],
        bill_number: "7".into(),
    };
    assert_eq!(world.refusal(hebei, PUBLISH, &publish(month(90))).await, "MONTH_IN_FUTURE month");
    assert_eq!(world.refusal(beijing, PUBLISH, &publish(month(-40))).await, "NOT_YOUR_RECORD institution");
    let published: pb::PublishBillResponse = world.twice(hebei, PUBLISH, &publish(month(-40))).await;
    let bill = published.bill.unwrap();
    assert_eq!((bill.stay.as_str(), bill.lines.len(), bill.lines[0].open_fen), (stay, 2, 300_000));
    let batch = method!("BillService/BatchPublishBills");
    let answers: Vec<Result<pb::PublishBillResponse, _>> =
        world.bulk(hebei, batch, &[publish(month(-40)), publish("2026".into())]).await;
    assert_eq!(answers[0].as_ref().unwrap_err(), "RECORD_EXISTS month");
    assert_eq!(answers[1].as_ref().unwrap_err(), "FIELD_MALFORMED month");

    let amend = |bill: &str, lines: Vec<pb::BillLine>| pb::AmendBillRequest {
        request_id: world.id(),
        bill: bill.into(),
        expected_version: 0,
        lines,
        reason: "更正".into(),
    };
    assert_eq!(world.refusal(hebei, AMEND, &amend(&bill.name, vec![])).await, "FIELD_MISSING lines");
    let two = vec![line(pb::FeeType::Bed, 1), line(pb::FeeType::Bed, 2)];
    assert_eq!(world.refusal(hebei, AMEND, &amend(&bill.name, two)).await, "FIELD_REPEATED lines");
    let amended: pb::AmendBillResponse =
        world.twice(hebei, AMEND, &amend(&bill.name, vec![line(pb::FeeType::Bed, 310_000)])).await;
    assert_eq!(amended.bill.unwrap().lines.iter().map(|l| l.due_fen).collect::<Vec<_>>(), [310_000]);
    let batch = method!("BillService/BatchAmendBills");
    let items =
        [amend(&bill.name, vec![line(pb::FeeType::Meal, 5)]), amend("bills/none", vec![line(pb::FeeType::Bed, 1)])];
    let answers: Vec<Result<pb::AmendBillResponse, _>> = world.bulk(hebei, batch, &items).await;
    assert_eq!(answers[0].as_ref().unwrap().bill.as_ref().unwrap().version, 3);
    assert_eq!(answers[1].as_ref().unwrap_err(), "RECORD_NOT_FOUND bill");

    let list = |filter: String| pb::ListBillsRequest { filter, ..Default::default() };
    let of_month = list(format!(r#"elder = "{elder}" AND month = "{}""#, month(-40)));
    let page: pb::ListBillsResponse = world.ask(beijing, LIST, &of_month).await;
    assert_eq!((page.bills.len(), page.bills[0].lines[0].due_fen), (1, 5));
    assert_eq!(world.refusal(beijing, LIST, &list(r#"due_fen = "1""#.into())).await, "FILTER_FIELD_UNKNOWN filter");

    let void = || pb::VoidBillRequest { request_id: world.id(), bill: bill.name.clone(), reason: "作废".into() };
    assert_eq!(world.refusal(beijing, VOID, &void()).await, "NOT_YOUR_RECORD bill");
    let voided: pb::VoidBillResponse = world.twice(hebei, VOID, &void()).await;
    let voided = voided.bill.unwrap();
    assert_eq!((voided.state(), voided.lines[0].due_fen), (pb::BillState::Voided, 5));
    assert_eq!(world.refusal(hebei, VOID, &void()).await, "STATE_NOT_ALLOWED bill");
    let read: pb::Bill = world.ask(beijing, GET, &pb::GetBillRequest { name: bill.name.clone() }).await;
    assert_eq!((read.version, read.lines.len()), (4, 1));
    let own = pb::GetBillRequest { name: bill.name.clone() };
    assert_eq!(world.refusal(&world.unionpay, GET, &own).await, "ROLE_NOT_ALLOWED");
    let missing = pb::GetBillRequest { name: "bills/none".into() };
    assert_eq!(world.refusal(beijing, GET, &missing).await, "RECORD_NOT_FOUND name");
    let versions = pb::ListBillVersionsRequest { name: bill.name.clone(), ..Default::default() };
    let page: pb::ListBillVersionsResponse = world.ask(beijing, VERSIONS, &versions).await;
    assert_eq!(page.bills.iter().map(|b| b.version).collect::<Vec<_>>(), [4, 3, 2, 1]);
    let none = pb::ListBillVersionsRequest { name: "bills/none".into(), ..versions };
    assert_eq!(world.refusal(beijing, VERSIONS, &none).await, "RECORD_NOT_FOUND name");
}

async fn a_mandate_is_given_and_revoked(database: TestDatabase) {
    const CREATE: &str = method!("MandateService/CreateMandate");
    const REVOKE: &str = method!("MandateService/RevokeMandate");
    const GET: &str = method!("MandateService/GetMandate");
    const LIST: &str = method!("MandateService/ListMandates");
    let mut world = World::start(database).await;
    let (hebei, beijing) = (&world.hebei, &world.beijing);
    let elder = registered(&world).await;
    let contract = in_force(&world, &elder).await.name;
    let good = || pb::CreateMandateRequest {
        request_id: world.id(),
        programme: "care_subsidy".into(),
        elder: elder.clone(),
        contract: contract.clone(),
        channel: "channels/unionpay".into(),
        fee_types: vec![pb::FeeType::Bed.into(), pb::FeeType::Nursing.into()],
        monthly_cap_fen: 60_000,
        valid_from: world.day(0),
        valid_until: world.day(100),
        consent_sha256: "c".repeat(64),
    };
    type Spoil = fn(&mut pb::CreateMandateRequest);
    let table: [(Spoil, &str); 5] = [
        (|r| r.programme = "none".into(), "POLICY_MISSING"),
        (|r| r.channel = "channels/none".into(), "PARTICIPANT_NOT_ACTIVE channel"),
        (|r| r.fee_types.clear(), "FIELD_MISSING fee_types"),
        (|r| r.monthly_cap_fen = 0, "FIELD_OUT_OF_RANGE monthly_cap_fen"),
        (|r| r.valid_until = "2000-01-01".into(), "DATE_ORDER valid_until"),
    ];
    for (spoil, expected) in table {
        let mut request = good();
        spoil(&mut request);
        assert_eq!(world.refusal(beijing, CREATE, &request).await, expected);
    }
    assert_eq!(world.refusal(hebei, CREATE, &good()).await, "NOT_YOUR_RECORD elder");
    let created: pb::CreateMandateResponse = world.twice(beijing, CREATE, &good()).await;
    let mandate = created.mandate.unwrap();
    assert!(mandate.in_force);
    let later = pb::CreateMandateRequest { valid_from: world.day(50), ..good() };
    let batch = method!("MandateService/BatchCreateMandates");
    let answers: Vec<Result<pb::CreateMandateResponse, _>> =
        world.bulk(beijing, batch, &[later, pb::CreateMandateRequest { elder: "x".into(), ..good() }]).await;
    let later = answers[0].as_ref().unwrap().mandate.clone().unwrap();
    assert!(!later.in_force);
    assert_eq!(answers[1].as_ref().unwrap_err(), "FIELD_MALFORMED elder");

    let list = |filter: &str| pb::ListMandatesRequest { filter: filter.into(), ..Default::default() };
    for (filter, expected) in [(r#"in_force = "true""#, &mandate), (r#"in_force = "false""#, &later)] {
        let page: pb::ListMandatesResponse = world.ask(&world.unionpay, LIST, &list(filter)).await;
        assert_eq!(page.mandates, std::slice::from_ref(expected), "{filter}");
    }
    assert_eq!(world.refusal(beijing, LIST, &list("x = \"1\"")).await, "FILTER_FIELD_UNKNOWN filter");
    let revoke =
        || pb::RevokeMandateRequest { request_id: world.id(), mandate: mandate.name.clone(), reason: "撤销".into() };
    assert_eq!(world.refusal(hebei, REVOKE, &revoke()).await, "NOT_YOUR_RECORD mandate");
    let revoked: pb::RevokeMandateResponse = world.twice(beijing, REVOKE, &revoke()).await;
    assert_eq!(revoked.mandate.unwrap().state(), pb::MandateState::Revoked);
    assert_eq!(world.refusal(beijing, REVOKE, &revoke()).await, "STATE_NOT_ALLOWED mandate");
    let read: pb::Mandate = world.ask(hebei, GET, &pb::GetMandateRequest { name: mandate.name.clone() }).await;
    assert_eq!((read.state(), read.in_force), (pb::MandateState::Revoked, false));
    let missing = pb::GetMandateRequest { name: "mandates/none".into() };
    assert_eq!(world.refusal(hebei, GET, &missing).await, "RECORD_NOT_FOUND name");
    world.stop().await;
}
