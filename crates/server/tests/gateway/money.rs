//! Money over the wire: budget to refund, batches, replays, lists, the eligibility list;
//! and two gateways that race for the same month, order, mandate and balance.

use futures_util::future::join_all;
use jjj_domain::care::bill::{BillLineRow, BillRow, BillState, FeeType};
use jjj_domain::care::contract::{Capacity, ContractEvidence, ContractRow, ContractState};
use jjj_domain::care::mandate::{MandateRow, MandateState};
use jjj_domain::decision::{Call, Command, Decision, Leaf};
use jjj_domain::entitlement::{GrantEntitlement, GrantRow, elder_id};
use jjj_domain::ledger::{Account, AccountRow, Book};
use jjj_domain::names::{Name, Participant};
use jjj_domain::payment::{Ask, AuthorizePayment, InstructPayment, PaymentRow};
use jjj_domain::person::{PersonKind, PersonRow, PersonState};
use jjj_domain::policy::{PolicyKind, defaults};
use jjj_domain::record::{RecordKind, RecordRow};
use jjj_domain::row::Row;
use jjj_domain::rules::rating::RecordState;
use jjj_domain::snapshot::{Snapshot, Stop};
use jjj_domain::time::{Month, Timestamp};
use jjj_domain::value::Json;
use jjj_server::bootstrap::fresh_id;
use jjj_server::engine::{Engine, Job, Origin};
use jjj_store::ListQuery;
use jjj_tests::both_databases;
use jjj_tests::postgres::TestDatabase;
use jjj_wire::pb;
use jjj_wire::pb::batch_mutate_result::Outcome;
use prost::Message;
use tonic::{Code, Status};

use crate::harness::{Client, INSTITUTION, World, reason};

both_databases!(
    from_budget_to_refund,
    a_batch_answers_item_by_item,
    a_contradictory_message_is_refused_and_kept,
    the_eligibility_list_says_who_may_pay_how_much,
    an_operating_subsidy_is_claimed_paid_and_returned,
    two_gateways_never_both_win,
);

const ELDER: &str = "elders/01980000-0000-7000-8000-0000000000e1";
const REGION: &str = "regions/110000";
pub const PROGRAMME: &str = "care_subsidy";

/// Rows straight into the database, by a leaf of their own.
struct Given<F>(&'static str, F);

impl<F: Fn(&mut Leaf) + Send + Sync> Command for Given<F> {
    fn decide(&self, _: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let mut decision = Decision::new(call);
        (self.1)(decision.leaf("test.given", self.0, 1));
        Ok(decision)
    }
}

fn job(world: &World, actor: &str, command: impl Command + 'static) -> Job {
    Job {
        actor: actor.parse().unwrap(),
        request_id: fresh_id(&world.clock),
        origin: Origin::Gateway { content: format!("{actor} {}", fresh_id(&world.clock)) },
        command: Box::new(command),
        sealed_for: None,
        alone: false,
        completes_upload: None,
    }
}

fn month(world: &World) -> Month {
    world.clock.now().month()
}

/// A world with an elder, her assessment, contract, mandate and two bills of this month; only basis,
/// fee type, bill and funds are looked at.
pub async fn start(database: TestDatabase) -> World {
    let world = World::start(database).await;
    let engine = &world.gateway().engine;
    let mut gate = defaults().into_iter().find(|d| d.kind == PolicyKind::Gate).unwrap();
    assert_eq!(gate.scope, format!("110000/{PROGRAMME}"));
    for condition in ["CONTRACT", "CONTRACT_EVIDENCE", "STAY", "RATING"] {
        gate.body["conditions"][condition] = "OFF".into();
    }
    engine.submit(job(&world, "regions/110000/admins/wu", gate)).await.unwrap();
    let month = month(&world);
    engine
        .submit(job(&world, "gateway/admins/li", Given("tests/given", move |leaf: &mut Leaf| given(leaf, month))))
        .await
        .unwrap();
    world
}

fn who(text: &str) -> Participant {
    text.parse().unwrap()
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn given(leaf: &mut Leaf, month: Month) {
    let (first, last) = (month.first_day(), month.plus(12).last_day());
    leaf.put(&PersonRow {
        person: ELDER.into(),
        kind: PersonKind::Elder,
        region: who(REGION),
        household_region: who(REGION),
        household_division: "110108".into(),
        state: PersonState::Active,
        merged_into: None,
        died_on: None,
        reason: String::new(),
        recorded_at_us: Timestamp(0),
        version: 1,
    });
    leaf.put(&RecordRow {
        record: "assessments/a1".into(),
        kind: RecordKind::Assessment,
        issuer: who(REGION),
        subject: ELDER.into(),
        scheme: "GB_T_42195_2022".into(),
        native_level: 4,
        state: RecordState::Valid,
        document_number: "D".into(),
        decided_by: "B".into(),
        decided_on: first,
        valid_from: month.plus(-12).first_day(),
        valid_until: last,
        effective_on: first,
        recorded_at_us: Timestamp(0),
        reason: String::new(),
        supersedes: None,
        content: "{}".into(),
        version: 1,
    });
    leaf.put(&ContractRow {
        contract: "contracts/c1".into(),
        institution: format!("institutions/{INSTITUTION}"),
        person: ELDER.into(),
        registrar: who("regions/130000"),
        institution_region: who("regions/130000"),
        household_region: who(REGION),
        state: ContractState::Active,
        capacity: Capacity::Full,
        parties: Json(vec![]),
        bed_fee_fen: 200_000,
        nursing_fee_fen: 150_000,
        meal_fee_fen: 0,
        other_fee_fen: 0,
        deposit_fen: 0,
        prepaid_months: 1,
        starts_on: first,
        ends_on: last,
        documents: Json(vec![]),
        document_sha256: "00".repeat(32),
        document_number: String::new(),
        signatures: Json(vec![]),
        evidence: ContractEvidence::OnlineFiled,
        filing_number: None,
        filed_on: None,
        attester: None,
        activated_on: Some(first),
        termination_reason: None,
        ended_on: None,
        reason: String::new(),
        effective_on: first,
        recorded_at_us: Timestamp(0),
        version: 1,
    });
    leaf.put(&MandateRow {
        mandate: "mandates/m1".into(),
        person: ELDER.into(),
        contract: "contracts/c1".into(),
        institution_region: who("regions/130000"),
        region: who(REGION),
        programme: PROGRAMME.into(),
        channel: who("channels/unionpay"),
        fee_types: Json(vec![FeeType::Bed, FeeType::Nursing]),
        monthly_cap_fen: 50_000,
        valid_from: first,
        valid_until: last,
        state: MandateState::Active,
        reason: String::new(),
        consent_sha256: "cd".repeat(32),
        recorded_at_us: Timestamp(0),
        version: 1,
    });
    for bill in ["bills/b1", "bills/b2"] {
        leaf.put(&BillRow {
            bill: bill.into(),
            contract: "contracts/c1".into(),
            institution: format!("institutions/{INSTITUTION}"),
            person: ELDER.into(),
            institution_region: who("regions/130000"),
            household_region: who(REGION),
            stay: None,
            month,
            bill_number: String::new(),
            state: BillState::Issued,
            reason: String::new(),
            recorded_at_us: Timestamp(0),
            version: 1,
        });
        for (fee_type, due_fen) in [(FeeType::Bed, 45_000), (FeeType::Nursing, 150_000), (FeeType::Meal, 9_000)] {
            leaf.put(&BillLineRow {
                bill: bill.into(),
                fee_type,
                institution_region: who("regions/130000"),
                household_region: who(REGION),
                due_fen,
                paid_elsewhere_fen: 0,
                posted_fen: 0,
                held_fen: 0,
            });
        }
    }
}

/// Calls a method of a service and reads its answer.
async fn call<A: Message + Default>(
    world: &World,
    client: &Client,
    path: &'static str,
    message: &impl Message,
) -> Result<A, Status> {
    let answer = client.call(path, &message.encode_to_vec(), world.now_s()).await?;
    Ok(A::decode(answer).unwrap())
}

macro_rules! path {
    ($service:literal, $method:literal) => {
        concat!("/jjj.gateway.v1.", $service, "/", $method)
    };
}

fn id(world: &World) -> String {
    fresh_id(&world.clock).to_string()
}

/// 600 yuan on the elder's account, by the calls that put them there.
pub async fn fund(world: &World) {
    let budget = pb::AllotBudgetRequest {
        request_id: id(world),
        programme: PROGRAMME.into(),
        funder_division: "110108".into(),
        budget_year: 2026,
        amount_fen: 1_000_000,
        reference: "D1".into(),
    };
    let allotted: pb::AllotBudgetResponse =
        call(world, &world.beijing, path!("EntitlementService", "AllotBudget"), &budget).await.unwrap();
    assert_eq!(allotted.money_event.unwrap().reporter, REGION);
    let funding = pb::FundChannelRequest {
        request_id: id(world),
        programme: PROGRAMME.into(),
        channel: "channels/unionpay".into(),
        amount_fen: 500_000,
        reference: "F1".into(),
    };
    let _: pb::FundChannelResponse =
        call(world, &world.beijing, path!("EntitlementService", "FundChannel"), &funding).await.unwrap();
    let granted: pb::GrantEntitlementResponse =
        call(world, &world.beijing, path!("EntitlementService", "GrantEntitlement"), &grant(world)).await.unwrap();
    let grant = granted.grant.unwrap();
    assert_eq!((grant.amount_fen, grant.tier.as_str(), grant.state()), (60_000, "1", pb::GrantState::Granted));
    let credit = pb::ReportCreditRequest {
        request_id: id(world),
        grant: grant.name,
        outcome: pb::CreditOutcome::Credited.into(),
        amount_fen: 60_000,
        reason: String::new(),
    };
    let credited: pb::ReportCreditResponse =
        call(world, &world.unionpay, path!("EntitlementService", "ReportCredit"), &credit).await.unwrap();
    assert_eq!(credited.grant.unwrap().state(), pb::GrantState::Credited);
}

fn grant(world: &World) -> pb::GrantEntitlementRequest {
    pb::GrantEntitlementRequest {
        request_id: id(world),
        elder: ELDER.into(),
        programme: PROGRAMME.into(),
        month: month(world).to_string(),
        basis: String::new(),
        channel: "channels/unionpay".into(),
    }
}

pub fn authorize(world: &World, order: &str, amount_fen: i64) -> pb::AuthorizePaymentRequest {
    pb::AuthorizePaymentRequest {
        request_id: id(world),
        bill: "bills/b1".into(),
        fee_type: pb::FeeType::Bed.into(),
        programme: PROGRAMME.into(),
        amount_fen,
        merchant_id: "M1".into(),
        order_id: order.into(),
        transaction_time_us: world.clock.now().0,
        consent_sha256: "ab".repeat(32),
        region: String::new(),
    }
}

async fn balance(world: &World, client: &Client) -> Result<pb::Balance, Status> {
    let channel = if client.actor.starts_with("channels/") { "" } else { "channels/unionpay" };
    let request = pb::GetBalanceRequest {
        elder: ELDER.into(),
        region: REGION.into(),
        programme: PROGRAMME.into(),
        channel: channel.into(),
    };
    call(world, client, path!("EntitlementService", "GetBalance"), &request).await
}

async fn from_budget_to_refund(database: TestDatabase) {
    let mut world = start(database).await;
    fund(&world).await;
    let check = pb::CheckPaymentRequest {
        bill: "bills/b1".into(),
        fee_type: pb::FeeType::Bed.into(),
        programme: PROGRAMME.into(),
        ..Default::default()
    };
    let checked: pb::CheckPaymentResponse =
        call(&world, &world.unionpay, path!("PaymentService", "CheckPayment"), &check).await.unwrap();
    assert_eq!((checked.approvable, checked.payable_fen, checked.available_fen), (true, 45_000, 60_000));
    // The institution's region hears what may be paid of its bill, whatever it asks for.
    for (amount_fen, unmet) in [
        (0, vec![]),
        (45_000, vec![]),
        (50_000, vec![pb::GateCondition::Bill]),
        (1 << 30, vec![pb::GateCondition::Bill]),
    ] {
        let from_hebei = pb::CheckPaymentRequest { channel: "channels/unionpay".into(), amount_fen, ..check.clone() };
        let told: pb::CheckPaymentResponse =
            call(&world, &world.hebei, path!("PaymentService", "CheckPayment"), &from_hebei).await.unwrap();
        assert_eq!((told.payable_fen, told.available_fen), (45_000, 45_000), "{amount_fen}");
        let lacking: Vec<_> = told.conditions.iter().filter(|c| !c.met).map(pb::ConditionResult::condition).collect();
        assert_eq!(lacking, unmet, "{amount_fen}");
        let of_beijing: pb::CheckPaymentResponse =
            call(&world, &world.beijing, path!("PaymentService", "CheckPayment"), &from_hebei).await.unwrap();
        assert_eq!(of_beijing.available_fen, 60_000, "the paying region");
    }
    assert_eq!(checked.conditions.len(), 8);
    assert!(checked.conditions.iter().all(|c| c.met && !c.explanation_zh.is_empty() && !c.explanation_en.is_empty()));
    let meal = pb::CheckPaymentRequest { fee_type: pb::FeeType::Meal.into(), ..check };
    let checked: pb::CheckPaymentResponse =
        call(&world, &world.unionpay, path!("PaymentService", "CheckPayment"), &meal).await.unwrap();
    assert_eq!((checked.approvable, checked.payable_fen), (false, 0));
    let unmet: Vec<_> = checked.conditions.iter().filter(|c| !c.met).map(pb::ConditionResult::condition).collect();
    assert_eq!(unmet, [pb::GateCondition::FeeType]);

    // Authorised: reserved. Sent again, the first answer byte for byte.
    let message = authorize(&world, "ORDER0001", 40_000).encode_to_vec();
    let first =
        world.unionpay.call(path!("PaymentService", "AuthorizePayment"), &message, world.now_s()).await.unwrap();
    let again =
        world.unionpay.call(path!("PaymentService", "AuthorizePayment"), &message, world.now_s()).await.unwrap();
    assert_eq!(first, again);
    let payment = pb::AuthorizePaymentResponse::decode(first).unwrap().payment.unwrap();
    assert_eq!((payment.state(), payment.origin()), (pb::PaymentState::Reserved, pb::PaymentOrigin::Authorised));
    let reserved = balance(&world, &world.unionpay).await.unwrap();
    assert_eq!((reserved.posted_fen, reserved.held_fen, reserved.available_fen), (60_000, 40_000, 20_000));
    assert_eq!(reason(&balance(&world, &world.hebei).await.unwrap_err()), "NOT_YOUR_RECORD");

    let refused: Result<pb::AuthorizePaymentResponse, _> = call(
        &world,
        &world.unionpay,
        path!("PaymentService", "AuthorizePayment"),
        &authorize(&world, "ORDER0002", 6_000),
    )
    .await;
    let refused = refused.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "BILL_LINE_EXCEEDED"));

    let confirm = pb::ConfirmPaymentRequest {
        request_id: id(&world),
        payment: payment.name.clone(),
        amount_fen: 40_000,
        clearing_date: String::new(),
        transaction_time_us: 0,
    };
    let confirmed: pb::ConfirmPaymentResponse =
        call(&world, &world.unionpay, path!("PaymentService", "ConfirmPayment"), &confirm).await.unwrap();
    assert_eq!(confirmed.payment.unwrap().state(), pb::PaymentState::Confirmed);
    let refund = pb::RefundPaymentRequest {
        request_id: id(&world),
        payment: payment.name.clone(),
        order_id: "REFUND0001".into(),
        amount_fen: 15_000,
        transaction_time_us: world.clock.now().0,
        clearing_date: String::new(),
        reason: "left early".into(),
    };
    let refunded: pb::RefundPaymentResponse =
        call(&world, &world.unionpay, path!("PaymentService", "RefundPayment"), &refund).await.unwrap();
    assert_eq!(refunded.refund.unwrap().payment, payment.name);
    let settled = balance(&world, &world.beijing).await.unwrap();
    assert_eq!((settled.posted_fen, settled.held_fen, settled.granted_fen), (35_000, 0, 0));

    // Read back, by those concerned and nobody else.
    let versions = pb::ListPaymentVersionsRequest { name: payment.name.clone(), ..Default::default() };
    let versions: pb::ListPaymentVersionsResponse =
        call(&world, &world.hebei, path!("PaymentService", "ListPaymentVersions"), &versions).await.unwrap();
    let seen: Vec<_> = versions.payments.iter().map(|p| (p.version, p.state(), p.refunded_fen)).collect();
    let (reserved, confirmed) = (pb::PaymentState::Reserved, pb::PaymentState::Confirmed);
    assert_eq!(seen, [(3, confirmed, 15_000), (2, confirmed, 0), (1, reserved, 0)]);
    let query = pb::QueryPaymentRequest { order_id: "ORDER0001".into() };
    let queried: pb::Payment =
        call(&world, &world.unionpay, path!("PaymentService", "QueryPayment"), &query).await.unwrap();
    assert_eq!(queried, versions.payments[0]);
    let unknown = pb::QueryPaymentRequest { order_id: "ORDER0009".into() };
    let unknown: Result<pb::Payment, _> =
        call(&world, &world.unionpay, path!("PaymentService", "QueryPayment"), &unknown).await;
    assert_eq!(reason(&unknown.unwrap_err()), "RECORD_NOT_FOUND");
    let filter = r#"state = "CONFIRMED" AND amount_fen >= "40000""#;
    let list = pb::ListPaymentsRequest { filter: filter.into(), ..Default::default() };
    let listed: pb::ListPaymentsResponse =
        call(&world, &world.beijing, path!("PaymentService", "ListPayments"), &list).await.unwrap();
    assert_eq!(listed.payments.len(), 1);
    let refunds = pb::ListRefundsRequest { filter: format!(r#"payment = "{}""#, payment.name), ..Default::default() };
    let refunds: pb::ListRefundsResponse =
        call(&world, &world.hebei, path!("PaymentService", "ListRefunds"), &refunds).await.unwrap();
    assert_eq!(refunds.refunds[0].reason, "left early");
    let events: pb::ListMoneyEventsResponse = call(
        &world,
        &world.unionpay,
        path!("EntitlementService", "ListMoneyEvents"),
        &pb::ListMoneyEventsRequest::default(),
    )
    .await
    .unwrap();
    assert_eq!(events.money_events.len(), 1, "the budget is none of the channel's business");
    let grants: pb::ListGrantsResponse =
        call(&world, &world.hebei, path!("EntitlementService", "ListGrants"), &pb::ListGrantsRequest::default())
            .await
            .unwrap();
    assert_eq!(grants.grants, []);
    world.stop().await;
}

async fn a_batch_answers_item_by_item(database: TestDatabase) {
    let mut world = start(database).await;
    fund(&world).await;
    let items = [
        authorize(&world, "ORDER0001", 10_000),
        authorize(&world, "ORDER0001", 10_000),
        authorize(&world, "ORDER0002", 40_000),
        authorize(&world, "ORDER0003", 35_000),
    ]
    .map(|item| item.encode_to_vec());
    let path = path!("PaymentService", "BatchAuthorizePayments");
    let answer = world.unionpay.call_batch(path, &items, world.now_s()).await.unwrap();
    let said = |outcome: &Option<Outcome>| match outcome {
        Some(Outcome::Response(bytes)) => {
            let payment = pb::AuthorizePaymentResponse::decode(bytes.clone()).unwrap().payment.unwrap();
            payment.amount_fen.to_string()
        }
        Some(Outcome::Status(bytes)) => reason(&Status::with_details(Code::Unknown, "", bytes.clone())),
        None => "nothing".into(),
    };
    let results: Vec<String> = answer.results.iter().map(|r| said(&r.outcome)).collect();
    assert_eq!(results, ["10000", "ORDER_ID_TAKEN", "BILL_LINE_EXCEEDED", "35000"]);
    let held = balance(&world, &world.unionpay).await.unwrap();
    assert_eq!((held.held_fen, held.available_fen), (45_000, 15_000));
    world.stop().await;
}

/// Reversed after it was confirmed, alone, again and in bulk: each refused, each in the log with its
/// evidence, one finding about the payment.
async fn a_contradictory_message_is_refused_and_kept(database: TestDatabase) {
    let mut world = start(database).await;
    fund(&world).await;
    let authorize = authorize(&world, "ORDER0001", 40_000);
    let path = path!("PaymentService", "AuthorizePayment");
    let answer: pb::AuthorizePaymentResponse = call(&world, &world.unionpay, path, &authorize).await.unwrap();
    let payment = answer.payment.unwrap().name;
    let confirm = pb::ConfirmPaymentRequest {
        request_id: id(&world),
        payment: payment.clone(),
        amount_fen: 40_000,
        ..Default::default()
    };
    let path = path!("PaymentService", "ConfirmPayment");
    let _: pb::ConfirmPaymentResponse = call(&world, &world.unionpay, path, &confirm).await.unwrap();
    let before = (world.leaves().await, balance(&world, &world.unionpay).await.unwrap());

    let reverse =
        || pb::ReversePaymentRequest {
            request_id: id(&world), payment: payment.clone(), reason: "超时冲正".into()
        };
    let (path, first) = (path!("PaymentService", "ReversePayment"), reverse());
    let refused = call::<pb::ReversePaymentResponse>(&world, &world.unionpay, path, &first).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "STATE_NOT_ALLOWED"));
    assert!(refused.message().contains("is CONFIRMED; this needs RESERVED"), "{refused:?}");
    // The same request has the same answer, and leaves nothing more.
    let again = call::<pb::ReversePaymentResponse>(&world, &world.unionpay, path, &first).await.unwrap_err();
    assert_eq!((again.code(), again.message(), reason(&again)), (refused.code(), refused.message(), reason(&refused)));
    assert_eq!(world.leaves().await, before.0 + 1);
    let items = [reverse().encode_to_vec()];
    let path = path!("PaymentService", "BatchReversePayments");
    let answer = world.unionpay.call_batch(path, &items, world.now_s()).await.unwrap();
    let Some(Outcome::Status(bytes)) = &answer.results[0].outcome else { panic!("{answer:?}") };
    assert_eq!(reason(&Status::with_details(Code::Unknown, "", bytes.clone())), "STATE_NOT_ALLOWED");

    let after = balance(&world, &world.unionpay).await.unwrap();
    assert_eq!((after.posted_fen, after.held_fen), (before.1.posted_fen, before.1.held_fen), "nothing moved");
    let path = path!("ReconciliationService", "ListBreaks");
    let found: pb::ListBreaksResponse =
        call(&world, &world.beijing, path, &pb::ListBreaksRequest::default()).await.unwrap();
    let [kept] = &found.breaks[..] else { panic!("{found:?}") };
    assert_eq!((kept.break_class(), kept.state()), (pb::BreakClass::Contradiction, pb::BreakState::New));
    assert_eq!((kept.subject.as_str(), kept.amount_fen, kept.version), (payment.as_str(), 40_000, 2));
    world.stop().await;
    world.verify().await;
}

async fn the_eligibility_list_says_who_may_pay_how_much(database: TestDatabase) {
    let mut world = start(database).await;
    let request = pb::ListEligibilityRequest {
        region: REGION.into(),
        programme: PROGRAMME.into(),
        date: world.clock.now().date().to_string(),
        page_size: 3,
        ..Default::default()
    };
    let path = path!("PaymentService", "ListEligibility");
    let nobody: pb::ListEligibilityResponse = call(&world, &world.unionpay, path, &request).await.unwrap();
    assert_eq!(nobody, pb::ListEligibilityResponse::default());
    fund(&world).await;
    let mut found = Vec::new();
    let mut next = request.clone();
    let mut pages = 0;
    loop {
        let page: pb::ListEligibilityResponse = call(&world, &world.unionpay, path, &next).await.unwrap();
        found.extend(page.eligibilities.iter().map(|e| (e.bill.clone(), e.fee_type(), e.payable_fen)));
        pages += 1;
        if page.next_page_token.is_empty() {
            break;
        }
        next.page_token = page.next_page_token;
    }
    let line = |bill: &str, fee, fen| (bill.to_owned(), fee, fen);
    let expected = [
        line("bills/b1", pb::FeeType::Bed, 45_000),
        line("bills/b1", pb::FeeType::Nursing, 60_000),
        line("bills/b2", pb::FeeType::Bed, 45_000),
        line("bills/b2", pb::FeeType::Nursing, 60_000),
    ];
    assert_eq!((found.as_slice(), pages), (expected.as_slice(), 2));
    let filtered = pb::ListEligibilityRequest {
        filter: r#"fee_type = "NURSING" AND bill = "bills/b2""#.into(),
        ..request.clone()
    };
    let filtered: pb::ListEligibilityResponse = call(&world, &world.unionpay, path, &filtered).await.unwrap();
    assert_eq!(filtered.eligibilities.len(), 1);
    let yesterday = world.clock.now().date().plus_days(-1).to_string();
    for (client, spoilt, expected) in [
        (&world.unionpay, pb::ListEligibilityRequest { date: yesterday, ..request.clone() }, "FIELD_OUT_OF_RANGE"),
        (
            &world.unionpay,
            pb::ListEligibilityRequest { page_token: "x".into(), ..request.clone() },
            "PAGE_TOKEN_MALFORMED",
        ),
        (
            &world.hebei,
            pb::ListEligibilityRequest { channel: "channels/unionpay".into(), ..request.clone() },
            "NOT_YOUR_RECORD",
        ),
        (&world.beijing, request.clone(), "FIELD_MISSING"),
    ] {
        let refused: Result<pb::ListEligibilityResponse, _> = call(&world, client, path, &spoilt).await;
        assert_eq!(reason(&refused.unwrap_err()), expected);
    }
    world.stop().await;
}

async fn an_operating_subsidy_is_claimed_paid_and_returned(database: TestDatabase) {
    let mut world = start(database).await;
    let past = month(&world).plus(-1);
    let stays = Given("tests/stays", move |leaf: &mut Leaf| {
        leaf.put(&jjj_domain::care::stay::StayRow {
            stay: "stays/s1".into(),
            contract: Some("contracts/c1".into()),
            institution: format!("institutions/{INSTITUTION}"),
            person: ELDER.into(),
            institution_region: who("regions/130000"),
            household_region: who(REGION),
            admitted_on: past.first_day(),
            left_on: None,
            state: jjj_domain::care::stay::StayState::Admitted,
            end_reason: None,
            reason: String::new(),
            recorded_at_us: Timestamp(0),
            version: 1,
        });
    });
    world.gateway().engine.submit(job(&world, "gateway/admins/li", stays)).await.unwrap();
    let create = pb::CreateClaimRequest {
        request_id: id(&world),
        institution: format!("institutions/{INSTITUTION}"),
        payer: REGION.into(),
        month: past.to_string(),
    };
    let created: pb::CreateClaimResponse =
        call(&world, &world.hebei, path!("OperatingSubsidyService", "CreateClaim"), &create).await.unwrap();
    let claim = created.claim.unwrap();
    assert_eq!((claim.amount_fen, claim.stays.len(), claim.state()), (70_000, 1, pb::ClaimState::Claimed));
    let approve = pb::ApproveClaimRequest {
        request_id: id(&world),
        claim: claim.name.clone(),
        amount_fen: 70_000,
        funder_division: "110108".into(),
        channel: "channels/unionpay".into(),
    };
    let approved: pb::ApproveClaimResponse =
        call(&world, &world.beijing, path!("OperatingSubsidyService", "ApproveClaim"), &approve).await.unwrap();
    assert_eq!(approved.claim.unwrap().channel, "channels/unionpay");
    let confirm = pb::ConfirmPayoutRequest {
        request_id: id(&world),
        claim: claim.name.clone(),
        amount_fen: 70_000,
        order_id: "PAYOUT0001".into(),
        clearing_date: world.clock.now().clearing_date().to_string(),
    };
    let paid: pb::ConfirmPayoutResponse =
        call(&world, &world.unionpay, path!("OperatingSubsidyService", "ConfirmPayout"), &confirm).await.unwrap();
    assert_eq!(paid.claim.unwrap().state(), pb::ClaimState::Paid);
    let back = pb::ReturnPayoutRequest { request_id: id(&world), claim: claim.name, reason: "account closed".into() };
    let returned: pb::ReturnPayoutResponse =
        call(&world, &world.unionpay, path!("OperatingSubsidyService", "ReturnPayout"), &back).await.unwrap();
    assert_eq!(returned.claim.unwrap().state(), pb::ClaimState::Returned);
    let list = pb::ListClaimsRequest { filter: r#"state = "RETURNED""#.into(), ..Default::default() };
    let listed: pb::ListClaimsResponse =
        call(&world, &world.beijing, path!("OperatingSubsidyService", "ListClaims"), &list).await.unwrap();
    assert_eq!(listed.claims[0].reason, "account closed");
    world.stop().await;
}

/// Decisions that rest on an absence or on a sum, on two gateways at once.
async fn two_gateways_never_both_win(database: TestDatabase) {
    let mut world = start(database).await;
    fund(&world).await;
    let (other, stop) = world.replica().await;
    let (here, there) = (world.gateway(), other.gateway.clone());
    let engines = [&here.engine, &there.engine];

    // Ten months of back-pay at most; each is asked for four times on each side.
    let months: Vec<Month> = (-6..2).map(|n| month(&world).plus(n)).collect();
    let grants = months.iter().map(|month| GrantEntitlement {
        person: name(ELDER),
        programme: PROGRAMME.into(),
        month: *month,
        basis: None,
        channel: who("channels/unionpay"),
    });
    race(&world, engines, REGION, grants.collect()).await;
    let authorize = |order: usize, amount_fen| AuthorizePayment {
        ask: Ask {
            bill: name("bills/b1"),
            fee_type: FeeType::Nursing,
            region: None,
            programme: PROGRAMME.into(),
            channel: who("channels/unionpay"),
            amount_fen,
        },
        merchant_id: "M1".into(),
        order_id: format!("ORDER{order:06}").parse().unwrap(),
        transaction_time: world.clock.now(),
        consent: "ab".repeat(32).parse().unwrap(),
    };
    // Each order once, whoever asks; 600 yuan for all.
    let wins = race(&world, engines, "channels/unionpay", (0..8).map(|n| authorize(n, 100)).collect()).await;
    assert_eq!(wins, 8);
    let instruct = InstructPayment {
        mandate: name("mandates/m1"),
        bill: name("bills/b2"),
        fee_type: FeeType::Nursing,
        amount_fen: 20_000,
    };
    let wins = race(&world, engines, REGION, vec![instruct]).await;
    assert_eq!(wins, 2, "the mandate's cap is 500 yuan a month");
    let wins = race(&world, engines, "channels/unionpay", (10..14).map(|n| authorize(n, 7_000)).collect()).await;
    assert_eq!(wins, 2, "600 less 408 yuan are left");
    drop(stop);
    drop((here, there));
    other.join().await;
    world.stop().await;

    let store = world.store().await;
    let mut session = store.read().await.unwrap();
    let all = ListQuery { limit: 1_000, ..ListQuery::default() };
    let grants: Vec<GrantRow> = session.list(&all).await.unwrap();
    let mut granted: Vec<Month> = grants.iter().map(|g| g.month).collect();
    granted.sort();
    assert_eq!(granted, months, "each month once");
    let payments: Vec<PaymentRow> = session.list(&all).await.unwrap();
    let held: i64 = payments.iter().map(|p| p.amount_fen).sum();
    let book = Book::new(who(REGION), PROGRAMME).unwrap();
    let account = Account::entitlement(&book, elder_id(ELDER), &who("channels/unionpay"));
    let row: AccountRow = session.get(jjj_domain::key![account]).await.unwrap().unwrap();
    assert_eq!((row.posted_fen, row.held_fen), (60_000, -held));
    assert!(row.available_fen() >= 0);
    assert_eq!(session.count(PaymentRow::spec(), &ListQuery::default()).await.unwrap(), payments.len() as i64);
}

/// Every command four times on each engine, all at once; how many were accepted.
async fn race<C: Command + Clone + 'static>(
    world: &World,
    engines: [&Engine; 2],
    actor: &str,
    commands: Vec<C>,
) -> usize {
    let jobs = commands.iter().flat_map(|command| (0..8).map(move |n| (n % 2, command.clone())));
    let calls = jobs.map(|(at, command)| engines[at].submit(job(world, actor, command)));
    join_all(calls).await.iter().filter(|outcome| outcome.is_ok()).count()
}
