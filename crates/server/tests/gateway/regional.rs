//! A region's own book, delivered and reconciled over the wire: its leg, its breaks, its view.

use jjj_domain::names::Participant;
use jjj_domain::policy::{self, PolicyKind, SetPolicy};
use jjj_domain::time::Date;
use jjj_tests::both_databases;
use jjj_tests::postgres::TestDatabase;
use jjj_token::merkle::{leaf_hash, root};
use jjj_wire::pb;
use prost::Message;
use tonic::Status;

use crate::harness::{Client, World, ask, reason};
use crate::ledger::events;
use crate::scene::{
    BEGIN, CHUNK, COMPLETE, Payments, begin, decide, file, hebei_admin, id, orders, past_date, unionpay_admin, upload,
};

both_databases!(a_regions_book_is_the_third_leg, a_flood_of_one_book_is_capped, books_are_refused,);

macro_rules! service {
    ($method:literal) => {
        concat!("/jjj.gateway.v1.ReconciliationService/", $method)
    };
}

fn begin_book(world: &World, date: Date, bytes: &[u8]) -> pb::BeginUploadRequest {
    pb::BeginUploadRequest {
        content: pb::FileContent::RegionalBook.into(),
        channel: "channels/unionpay".into(),
        ..begin(world, date, bytes)
    }
}

async fn upload_book(world: &World, region: &Client, date: Date, bytes: &[u8]) -> pb::SettlementFile {
    let wanted = begin_book(world, date, bytes).encode_to_vec();
    let begun = region.call(BEGIN, &wanted, world.now_s()).await.unwrap();
    let name = pb::BeginUploadResponse::decode(begun).unwrap().file.unwrap().name;
    if !bytes.is_empty() {
        let data = bytes.to_vec().into();
        let chunk = pb::UploadChunkRequest { file: name.clone(), offset: 0, data }.encode_to_vec();
        region.call(CHUNK, &chunk, world.now_s()).await.unwrap();
    }
    let complete = pb::CompleteUploadRequest { request_id: id(world), file: name }.encode_to_vec();
    let answer = region.call(COMPLETE, &complete, world.now_s()).await.unwrap();
    pb::CompleteUploadResponse::decode(answer).unwrap().file.unwrap()
}

async fn run(world: &World, date: Date) -> pb::Run {
    let start = pb::StartRunRequest {
        request_id: id(world),
        channel: "channels/unionpay".into(),
        clearing_date: date.to_string(),
        allow_missing_files: false,
    };
    ask::<pb::StartRunResponse>(world, &world.gateway_admin, service!("StartRun"), &start).await.unwrap().run.unwrap()
}

async fn open_breaks(world: &World, client: &Client, more: &str) -> Vec<pb::Break> {
    let filter = format!("state != \"RESOLVED\"{more}");
    let request = pb::ListBreaksRequest { filter, page_size: 1_000, ..Default::default() };
    ask::<pb::ListBreaksResponse>(world, client, service!("ListBreaks"), &request).await.unwrap().breaks
}

fn leg_of(run: &pb::Run) -> pb::LegTotal {
    let region = |leg: &&pb::LegTotal| leg.leg() == pb::Leg::Region && leg.region == "regions/130000";
    run.legs.iter().find(region).cloned().unwrap()
}

async fn a_regions_book_is_the_third_leg(database: TestDatabase) {
    let mut world = World::start(database).await;
    let date = past_date(&world);
    let guo = hebei_admin(&world, "guo").await;
    let mut body = policy::defaults().into_iter().find(|d| d.scope == "unionpay").unwrap().body;
    body["expected_books"] = vec!["regions/130000"].into();
    let policy = SetPolicy {
        kind: PolicyKind::Channel,
        scope: "unionpay".into(),
        effective_from: date.plus_days(-1),
        body,
        reason: "Hebei keeps a book".into(),
    };
    decide(&world, "gateway/admins/li", policy).await;
    let paid = orders(&["ORDER0001", "ORDER0002", "ORDER0003"]);
    decide(&world, "gateway", Payments { date, orders: paid.clone() }).await;
    upload(&world, date, &file(date, &paid)).await;

    // Expected and absent: a break of Hebei's, which holds up nothing.
    let first = run(&world, date).await;
    assert_eq!((first.state(), first.files_complete), (pb::RunState::WithBreaks, true), "{first:?}");
    assert_eq!((leg_of(&first).rows, leg_of(&first).file.as_str()), (0, ""));
    let absent = open_breaks(&world, &guo, "").await;
    assert_eq!(absent.iter().map(pb::Break::break_class).collect::<Vec<_>>(), [pb::BreakClass::FileMissing]);
    assert_eq!(absent[0].book_region, "regions/130000");
    assert!(open_breaks(&world, &world.beijing, "").await.is_empty(), "none of Beijing's");

    // The first for another amount, the second not at all, one that nobody else has.
    let mut stated = paid.clone();
    stated[0].1 += 5;
    stated[1].0 = "ALONE0001".into();
    let wrong = upload_book(&world, &world.hebei, date, &file(date, &stated)).await;
    assert_eq!((wrong.state(), wrong.rows), (pb::FileState::Received, 3));
    let second = run(&world, date).await;
    let leg = leg_of(&second);
    assert_eq!((leg.rows, leg.matched, leg.broken, leg.rejected), (3, 1, 2, 0));
    assert_eq!((&leg.file, &leg.sha256), (&wrong.name, &wrong.sha256));
    let ledger = |run: &pb::Run| run.legs[..2].to_vec();
    assert_eq!(ledger(&first), ledger(&second), "the other legs stand as they stood");
    let mut open = open_breaks(&world, &guo, r#" AND book_region = "regions/130000""#).await;
    open.sort_by_key(|b| b.break_class);
    let found: Vec<_> = open.iter().map(|b| (b.break_class(), b.amount_fen, b.rule.as_str())).collect();
    use pb::BreakClass::{AmountMismatch, RegionMissing, RegionOnly};
    let apart = "REGION_APART";
    assert_eq!(
        found,
        [(RegionOnly, 10_100, apart), (RegionMissing, 10_100, apart), (AmountMismatch, 5, apart)],
        "{open:?}"
    );
    let amounts = &open[2].fields[0];
    assert_eq!(
        (amounts.ledger.as_str(), amounts.channel.as_str(), amounts.region.as_str()),
        ("10000", "10000", "10005")
    );
    // Beijing pays what Hebei's book is wrong about; of what Hebei alone has it knows nothing.
    assert_eq!(open_breaks(&world, &world.beijing, "").await.len(), 2);

    view_has_the_book(&world, &guo, &second).await;
    resolve(&world, &guo, &open[0]).await;

    // Corrected: the earlier one is kept, its breaks are over, and what was settled is not opened again.
    let right = upload_book(&world, &world.hebei, date, &file(date, &paid)).await;
    let get = pb::GetSettlementFileRequest { name: wrong.name.clone() }.encode_to_vec();
    let kept = world.hebei.call("/jjj.gateway.v1.ChannelService/GetSettlementFile", &get, world.now_s()).await.unwrap();
    let kept = pb::SettlementFile::decode(kept).unwrap();
    assert_eq!((kept.state(), &kept.superseded_by), (pb::FileState::Superseded, &right.name));
    let third = run(&world, date).await;
    assert_eq!((third.state(), leg_of(&third).matched), (pb::RunState::Balanced, 3));
    assert!(open_breaks(&world, &guo, "").await.is_empty());
    let days = pb::ListClearingDaysRequest { channel: "channels/unionpay".into(), days: 30 };
    let days: pb::ListClearingDaysResponse = ask(&world, &guo, service!("ListClearingDays"), &days).await.unwrap();
    let day = days.days.iter().find(|day| day.clearing_date == date.to_string()).unwrap();
    assert_eq!((day.expected_books, day.arrived_books, &day.region_legs), (1, 1, &vec![leg_of(&third)]));
    let report = pb::GetReportRequest {
        kind: pb::ReportKind::Run.into(),
        format: pb::ReportFormat::Json.into(),
        language: pb::ReportLanguage::Zh.into(),
        run: third.name.clone(),
        ..Default::default()
    };
    let report: pb::Report = ask(&world, &guo, "/jjj.gateway.v1.ReportService/GetReport", &report).await.unwrap();
    let report: serde_json::Value = serde_json::from_slice(&report.content).unwrap();
    assert_eq!(report["tables"]["legs"]["rows"].as_array().unwrap().len(), 3, "{report:#}");
    world.stop().await;
    world.verify().await;
}

/// Hebei signs rows that end with its book; Beijing's are without it.
async fn view_has_the_book(world: &World, guo: &Client, run: &pb::Run) {
    let view = async |client: &Client, code: &str| -> pb::View {
        let request = pb::GetViewRequest { name: format!("{}/views/{code}", run.name), ..Default::default() };
        ask(world, client, service!("GetView"), &request).await.unwrap()
    };
    let own = view(guo, "130000").await;
    assert_eq!((own.rows, own.page_rows.len()), (3 + 1 + 3, 7));
    let hashes: Vec<_> = own.page_rows.iter().map(|row| leaf_hash(row.body.as_bytes())).collect();
    assert_eq!(root(&hashes).as_slice(), own.root_hash);
    assert!(own.page_rows[3].body.starts_with(r#"{"book":"regions/130000","broken":"2","#), "{:?}", own.page_rows[3]);
    assert_eq!(own.page_rows.iter().filter(|row| !row.unit_break.is_empty()).count(), 3);
    assert_eq!(view(&world.beijing, "110000").await.rows, 3);
    let sign = pb::SignViewRequest {
        request_id: id(world),
        view: own.name.clone(),
        root_hash: own.root_hash.clone(),
        differences: vec![],
    };
    let signed: pb::SignViewResponse = ask(world, guo, service!("SignView"), &sign).await.unwrap();
    assert_eq!(signed.view.unwrap().state(), pb::ViewState::Agreed);
}

/// Only what books nothing resolves it, by two people.
async fn resolve(world: &World, guo: &Client, item: &pb::Break) {
    let propose = |resolution: pb::Resolution| pb::ProposeResolutionRequest {
        request_id: id(world),
        reconciliation_break: item.name.clone(),
        resolution: resolution.into(),
        reason: "账册笔误".into(),
        elder: String::new(),
    };
    type Proposed = pb::ProposeResolutionResponse;
    let path = service!("ProposeResolution");
    let refused = ask::<Proposed>(world, guo, path, &propose(pb::Resolution::WriteOff)).await.unwrap_err();
    assert_eq!(reason(&refused), "RESOLUTION_NOT_ALLOWED");
    ask::<Proposed>(world, guo, path, &propose(pb::Resolution::CorrectRecord)).await.unwrap();
    let decide = pb::DecideResolutionRequest {
        request_id: id(world),
        reconciliation_break: item.name.clone(),
        expected_version: 0,
        approve: true,
        reason: "复核".into(),
    };
    let decided: pb::DecideResolutionResponse =
        ask(world, &world.gateway_admin, service!("DecideResolution"), &decide).await.unwrap();
    let decided = decided.reconciliation_break.unwrap();
    assert_eq!((decided.state(), decided.entries.len()), (pb::BreakState::Resolved, 0));
}

async fn a_flood_of_one_book_is_capped(database: TestDatabase) {
    let mut world = World::start(database).await;
    let date = past_date(&world);
    let guo = hebei_admin(&world, "guo").await;
    let mut body = policy::defaults().into_iter().find(|d| d.kind == PolicyKind::Breaks).unwrap().body;
    body["most_book_breaks"] = 2.into();
    let (kind, scope, effective_from) = (PolicyKind::Breaks, "unionpay".to_owned(), date.plus_days(-1));
    decide(&world, "gateway/admins/li", SetPolicy { kind, scope, effective_from, body, reason: "two".into() }).await;
    let paid = orders(&["ORDER0001", "ORDER0002", "ORDER0003", "ORDER0004", "ORDER0005"]);
    decide(&world, "gateway", Payments { date, orders: paid.clone() }).await;
    upload(&world, date, &file(date, &paid)).await;

    upload_book(&world, &world.hebei, date, &file(date, &[])).await;
    let ran = run(&world, date).await;
    assert_eq!((ran.state(), ran.breaks_open), (pb::RunState::WithBreaks, 2), "{ran:?}");
    let alerts = async || {
        let path = service!("ListAlerts");
        let listed: pb::ListAlertsResponse = ask(&world, &guo, path, &pb::ListAlertsRequest::default()).await.unwrap();
        let [alert] = &listed.alerts[..] else { panic!("{listed:?}") };
        alert.clone()
    };
    let told = alerts().await;
    its_channel_has_its_own_reports(&world, &ran).await;
    it_is_told_to_its_region_alone(&world, &told).await;
    let fen = |orders: &[(String, i64)]| orders.iter().map(|(_, fen)| fen).sum::<i64>();
    assert_eq!((told.break_class(), told.members, told.unopened), (pb::BreakClass::RegionMissing, 2, 3));
    assert_eq!(told.amount_fen + told.unopened_fen, fen(&paid));
    // One is settled: the next takes its place.
    let open = open_breaks(&world, &guo, "").await;
    resolve(&world, &guo, &open[0]).await;
    run(&world, date).await;
    assert_eq!((open_breaks(&world, &guo, "").await.len(), alerts().await.unopened), (2, 2));
    upload_book(&world, &world.hebei, date, &file(date, &paid)).await;
    assert_eq!(run(&world, date).await.state(), pb::RunState::Balanced);
    let told = alerts().await;
    assert_eq!((told.state(), told.members, told.unopened), (pb::AlertState::Over, 0, 0));
    world.stop().await;
    world.verify().await;
}

/// Neither the channel nor the region that pays hears how Hebei keeps its book.
async fn it_is_told_to_its_region_alone(world: &World, alert: &pb::Alert) {
    let listed = async |client: &Client| {
        let request = pb::ListAlertsRequest::default();
        ask::<pb::ListAlertsResponse>(world, client, service!("ListAlerts"), &request).await.unwrap().alerts
    };
    assert_eq!(listed(&world.gateway_admin).await, std::slice::from_ref(alert));
    assert_eq!(listed(&world.hebei).await, std::slice::from_ref(alert));
    assert!(listed(&world.beijing).await.is_empty());
    // Numbered within some 20 ms.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    for (client, told) in [(&world.hebei, 1), (&world.beijing, 0), (&world.unionpay, 0)] {
        let events = events(world, client, 0).await.unwrap();
        assert_eq!(events.iter().filter(|event| event.record == alert.name).count(), told, "{}", client.actor);
        assert!(!events.is_empty(), "{} is told something", client.actor);
    }
}

/// UnionPay's people get the run and their statements, without what is wrong in a region's book; another channel's
/// run is not there, and books and months of the regions are theirs.
async fn its_channel_has_its_own_reports(world: &World, run: &pb::Run) {
    const PATH: &str = "/jjj.gateway.v1.ReportService/GetReport";
    let he = unionpay_admin(world).await;
    let of = |kind: pb::ReportKind| pb::GetReportRequest {
        kind: kind.into(),
        format: pb::ReportFormat::Json.into(),
        language: pb::ReportLanguage::En.into(),
        ..Default::default()
    };
    let of_run = pb::GetReportRequest { run: run.name.clone(), ..of(pb::ReportKind::Run) };
    let breaks = async |client: &Client| -> usize {
        let report: pb::Report = ask(world, client, PATH, &of_run).await.unwrap();
        let report: serde_json::Value = serde_json::from_slice(&report.content).unwrap();
        report["tables"]["breaks"]["rows"].as_array().unwrap().len()
    };
    assert_eq!((breaks(&world.gateway_admin).await, breaks(&he).await), (2, 0));
    assert!(open_breaks(world, &he, "").await.is_empty());
    let one = open_breaks(world, &world.gateway_admin, "").await.remove(0);
    let get = pb::GetBreakRequest { name: one.name };
    let hidden = ask::<pb::Break>(world, &he, service!("GetBreak"), &get).await.unwrap_err();
    assert_eq!(reason(&hidden), "RECORD_NOT_FOUND");
    let listed: pb::ListAlertsResponse =
        ask(world, &he, service!("ListAlerts"), &pb::ListAlertsRequest::default()).await.unwrap();
    assert!(listed.alerts.is_empty());
    ask::<pb::Report>(world, &he, PATH, &of(pb::ReportKind::Settlement)).await.unwrap();
    let book = "110000/care_subsidy".to_owned();
    for (client, request, refused) in [
        (&he, pb::GetReportRequest { run: "runs/bank-20261101-1".into(), ..of_run.clone() }, "RECORD_NOT_FOUND"),
        (&he, pb::GetReportRequest { book, ..of(pb::ReportKind::TrialBalance) }, "NOT_YOUR_RECORD"),
        (&world.unionpay, of_run.clone(), "ROLE_NOT_ALLOWED"),
    ] {
        assert_eq!(reason(&ask::<pb::Report>(world, client, PATH, &request).await.unwrap_err()), refused);
    }
}

async fn books_are_refused(database: TestDatabase) {
    let mut world = World::start(database).await;
    let date = past_date(&world);
    let bytes = file(date, &orders(&["ORDER0001"]));
    let good = begin_book(&world, date, &bytes);
    let begin = async |client: &Client, wanted: &pb::BeginUploadRequest| -> Result<(), Status> {
        client.call(BEGIN, &wanted.encode_to_vec(), world.now_s()).await.map(drop)
    };
    type Spoil = fn(&mut pb::BeginUploadRequest);
    let table: [(Spoil, &str); 5] = [
        (|q| q.channel = String::new(), "FIELD_MISSING"),
        (|q| q.merchant_id = "M1".into(), "FIELD_NOT_APPLICABLE"),
        (|q| q.size_bytes = (256 << 20) + 1, "FIELD_OUT_OF_RANGE"),
        (|q| q.format = pb::FileFormat::UnionpayZm.into(), "FIELD_NOT_APPLICABLE"),
        (|q| q.content = pb::FileContent::Settlement.into(), "ROLE_NOT_ALLOWED"),
    ];
    for (spoil, expected) in table {
        let mut wanted = good.clone();
        spoil(&mut wanted);
        assert_eq!(reason(&begin(&world.hebei, &wanted).await.unwrap_err()), expected);
    }
    assert_eq!(reason(&begin(&world.unionpay, &good).await.unwrap_err()), "ROLE_NOT_ALLOWED");
    // A channel that is no region has no book to expect.
    let mut body = policy::defaults().into_iter().find(|d| d.scope == "unionpay").unwrap().body;
    body["expected_books"] = vec!["channels/unionpay"].into();
    let parsed: policy::ChannelPolicy = serde_json::from_value(body).unwrap();
    let refused = policy::PolicyBody::check(&parsed).unwrap_err();
    let channel: Participant = "channels/unionpay".parse().unwrap();
    assert_eq!(refused, format!("expected_books: {channel} is no region"));
    world.stop().await;
}
