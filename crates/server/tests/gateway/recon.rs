//! A day reconciled over the wire: run, breaks, resolutions, views, reports.

use std::time::Instant;

use jjj_tests::both_databases;
use jjj_tests::campaign::sized;
use jjj_tests::postgres::TestDatabase;
use jjj_token::merkle::{leaf_hash, root};
use jjj_wire::pb;
use jjj_wire::pb::batch_mutate_result::Outcome;
use prost::Message;

use crate::harness::{Client, World, ask, reason};
use crate::scene::{Payments, decide, file, hebei_admin, id, orders, past_date, upload};

both_databases!(a_day_is_run_resolved_signed_and_reported, runs_are_refused, a_large_day_is_one_run,);

macro_rules! service {
    ($method:literal) => {
        concat!("/jjj.gateway.v1.ReconciliationService/", $method)
    };
}

fn run_request(world: &World, date: impl ToString) -> pb::StartRunRequest {
    pb::StartRunRequest {
        request_id: id(world),
        channel: "channels/unionpay".into(),
        clearing_date: date.to_string(),
        allow_missing_files: false,
    }
}

async fn breaks(world: &World, client: &Client, filter: &str) -> Vec<pb::Break> {
    let request = pb::ListBreaksRequest { filter: filter.into(), page_size: 1_000, ..Default::default() };
    ask::<pb::ListBreaksResponse>(world, client, service!("ListBreaks"), &request).await.unwrap().breaks
}

fn propose(world: &World, name: &str, resolution: pb::Resolution) -> pb::ProposeResolutionRequest {
    pb::ProposeResolutionRequest {
        request_id: id(world),
        reconciliation_break: name.into(),
        resolution: resolution.into(),
        reason: "核对凭证".into(),
        elder: String::new(),
    }
}

fn decision(world: &World, name: &str, expected_version: i64, approve: bool) -> pb::DecideResolutionRequest {
    pb::DecideResolutionRequest {
        request_id: id(world),
        reconciliation_break: name.into(),
        expected_version,
        approve,
        reason: "复核".into(),
    }
}

async fn a_day_is_run_resolved_signed_and_reported(database: TestDatabase) {
    let mut world = World::start(database).await;
    let date = past_date(&world);
    let guo = hebei_admin(&world, "guo").await;
    let paid = orders(&["ORDER0001", "ORDER0002", "ORDER0003", "ORDER0004"]);
    decide(&world, "gateway", Payments { date, orders: paid.clone() }).await;
    // The third is not in the file, and the file has one more.
    let stated = [&paid[..2], &paid[3..], &[("UNKNOWN01".to_owned(), 7_700)]].concat();
    let stored = upload(&world, date, &file(date, &stated)).await;

    let start = run_request(&world, date);
    let first = world.hebei_admin.call(service!("StartRun"), &start.encode_to_vec(), world.now_s()).await.unwrap();
    let run = pb::StartRunResponse::decode(first.clone()).unwrap().run.unwrap();
    assert_eq!(run.state(), pb::RunState::WithBreaks, "{run:?}");
    assert_eq!((run.breaks_opened, run.breaks_open, run.files_complete), (2, 2, true));
    let legs: Vec<_> = run.legs.iter().map(|l| (l.rows, l.matched, l.broken, l.rejected)).collect();
    assert_eq!(legs, [(4, 3, 1, 0), (4, 3, 1, 0)]);
    assert!(run.identities.iter().all(|i| i.holds) && !run.identities.is_empty());
    assert_eq!(run.expected_files[0].sha256, stored.sha256);
    assert!(run.ledger_number > 0 && run.root_hash.len() == 32);
    let again = world.hebei_admin.call(service!("StartRun"), &start.encode_to_vec(), world.now_s()).await.unwrap();
    assert_eq!(first, again, "the first answer, byte for byte");

    let get = pb::GetRunRequest { name: run.name.clone() };
    assert_eq!(ask::<pb::Run>(&world, &world.beijing, service!("GetRun"), &get).await.unwrap(), run);
    let list = pb::ListRunsRequest { filter: format!("clearing_date = \"{date}\""), ..Default::default() };
    let runs: pb::ListRunsResponse = ask(&world, &world.beijing, service!("ListRuns"), &list).await.unwrap();
    assert_eq!(runs.runs, std::slice::from_ref(&run));

    let seen = breaks(&world, &world.beijing, "").await;
    assert_eq!(seen, breaks(&world, &world.hebei, "").await);
    let of = |class: pb::BreakClass| seen.iter().find(|b| b.break_class() == class).unwrap().clone();
    let (ledger_only, channel_only) = (of(pb::BreakClass::LedgerOnly), of(pb::BreakClass::ChannelOnly));
    assert_eq!((ledger_only.amount_fen, channel_only.amount_fen), (10_200, 7_700));
    // From 23:00 the clearing date is tomorrow's; ages count calendar days.
    let age_days = world.clock.now().date().days_since(date) as i32;
    assert_eq!((ledger_only.elder.as_str(), ledger_only.age_days), ("elders/e1", age_days));
    assert_eq!(
        breaks(&world, &guo, r#"break_class = "LEDGER_ONLY" AND state = "NEW""#).await,
        std::slice::from_ref(&ledger_only)
    );

    resolve_singly(&world, &ledger_only).await;
    resolve_in_bulk(&world, &channel_only).await;
    assert!(breaks(&world, &guo, r#"state != "RESOLVED""#).await.is_empty());
    sign(&world, &guo, &run).await;
    report(&world, &run).await;
    world.stop().await;
    world.verify().await;
}

async fn resolve_singly(world: &World, item: &pb::Break) {
    let (wang, li) = (&world.hebei_admin, &world.gateway_admin);
    let assign = pb::AssignBreakRequest {
        request_id: id(world),
        reconciliation_break: item.name.clone(),
        assignee: "regions/130000/admins/wang".into(),
    };
    let assigned: pb::AssignBreakResponse = ask(world, li, service!("AssignBreak"), &assign).await.unwrap();
    assert_eq!(assigned.reconciliation_break.unwrap().state(), pb::BreakState::Assigned);

    let propose_as = |resolution| propose(world, &item.name, resolution);
    let path = service!("ProposeResolution");
    type Proposed = pb::ProposeResolutionResponse;
    let refused = ask::<Proposed>(world, wang, path, &propose_as(pb::Resolution::Repay)).await.unwrap_err();
    assert_eq!(reason(&refused), "RESOLUTION_NOT_ALLOWED");
    let refused = ask::<Proposed>(world, wang, path, &propose_as(pb::Resolution::Unspecified)).await.unwrap_err();
    assert_eq!(reason(&refused), "ENUM_UNSPECIFIED");
    let refused = ask::<Proposed>(world, &world.beijing, path, &propose_as(pb::Resolution::Release)).await.unwrap_err();
    assert_eq!(reason(&refused), "ROLE_NOT_ALLOWED");
    let proposed: Proposed = ask(world, wang, path, &propose_as(pb::Resolution::Release)).await.unwrap();
    let version = proposed.reconciliation_break.unwrap().version;

    let path = service!("DecideResolution");
    type Decided = pb::DecideResolutionResponse;
    for (who, seen, expected) in [(wang, version, "SAME_PERSON"), (li, version - 1, "STATE_NOT_ALLOWED")] {
        let refused = ask::<Decided>(world, who, path, &decision(world, &item.name, seen, true)).await.unwrap_err();
        assert_eq!(reason(&refused), expected);
    }
    let declined: Decided = ask(world, li, path, &decision(world, &item.name, version, false)).await.unwrap();
    assert_eq!(declined.reconciliation_break.unwrap().state(), pb::BreakState::Assigned);
    ask::<Proposed>(world, wang, service!("ProposeResolution"), &propose_as(pb::Resolution::Release)).await.unwrap();
    let approved: Decided = ask(world, li, path, &decision(world, &item.name, 0, true)).await.unwrap();
    let approved = approved.reconciliation_break.unwrap();
    assert_eq!(approved.state(), pb::BreakState::Resolved);
    assert_eq!((approved.decided_by.as_str(), approved.entries.len()), ("gateway/admins/li", 1));

    let stranger = pb::ProposeResolutionRequest { elder: "elders/e1".into(), ..propose_as(pb::Resolution::Release) };
    let refused = ask::<Proposed>(world, wang, service!("ProposeResolution"), &stranger).await.unwrap_err();
    assert_eq!(reason(&refused), "STATE_NOT_ALLOWED");

    let versions = pb::ListBreakVersionsRequest { name: item.name.clone(), ..Default::default() };
    let versions: pb::ListBreakVersionsResponse =
        ask(world, wang, service!("ListBreakVersions"), &versions).await.unwrap();
    assert_eq!(versions.breaks[0], approved);
    let numbers: Vec<i64> = versions.breaks.iter().map(|b| b.version).collect();
    assert_eq!(numbers, (1..=numbers.len() as i64).rev().collect::<Vec<_>>());
    assert_eq!(versions.breaks.last().unwrap(), item);
    let get = pb::GetBreakRequest { name: item.name.clone() };
    assert_eq!(ask::<pb::Break>(world, &world.hebei, service!("GetBreak"), &get).await.unwrap(), approved);
}

async fn resolve_in_bulk(world: &World, item: &pb::Break) {
    let missing = format!("breaks/{}", "0".repeat(32));
    let items = [&item.name, &missing].map(|name| propose(world, name, pb::Resolution::Repay).encode_to_vec());
    let path = service!("BatchProposeResolutions");
    let answer = world.hebei_admin.call_batch(path, &items, world.now_s()).await.unwrap();
    assert!(matches!(answer.results[0].outcome, Some(Outcome::Response(_))));
    assert!(matches!(answer.results[1].outcome, Some(Outcome::Status(_))));
    let items = [decision(world, &item.name, 0, true).encode_to_vec()];
    let path = service!("BatchDecideResolutions");
    let answer = world.gateway_admin.call_batch(path, &items, world.now_s()).await.unwrap();
    let Some(Outcome::Response(bytes)) = &answer.results[0].outcome else { panic!("{answer:?}") };
    let decided = pb::DecideResolutionResponse::decode(bytes.as_ref()).unwrap().reconciliation_break.unwrap();
    assert_eq!(decided.resolution(), pb::Resolution::Repay);
}

async fn sign(world: &World, guo: &Client, run: &pb::Run) {
    let name = format!("{}/views/130000", run.name);
    assert!(run.views.contains(&name));
    let mut request = pb::GetViewRequest { name: name.clone(), page_size: 2, page_token: String::new() };
    let mut hashes = Vec::new();
    let mut broken = 0;
    let view = loop {
        let view: pb::View = ask(world, guo, service!("GetView"), &request).await.unwrap();
        hashes.extend(view.page_rows.iter().map(|row| leaf_hash(row.body.as_bytes())));
        broken += view.page_rows.iter().filter(|row| !row.unit_break.is_empty()).count();
        if view.next_page_token.is_empty() {
            break view;
        }
        request.page_token = view.next_page_token;
    };
    assert_eq!((hashes.len() as i64, broken), (view.rows, 2));
    assert_eq!(root(&hashes).as_slice(), view.root_hash, "whoever has the rows has the root");
    let whole = pb::GetViewRequest { name: format!("{}/views/gateway", run.name), ..Default::default() };
    let all: pb::View = ask(world, &world.gateway_admin, service!("GetView"), &whole).await.unwrap();
    assert_eq!(all.page_rows.len() as i64, all.rows);
    let refused = ask::<pb::View>(world, guo, service!("GetView"), &whole).await.unwrap_err();
    assert_eq!(reason(&refused), "RECORD_NOT_FOUND");

    let signature = |root_hash: Vec<u8>, differences: Vec<pb::ViewDifference>| pb::SignViewRequest {
        request_id: id(world),
        view: name.clone(),
        root_hash,
        differences,
    };
    let path = service!("SignView");
    type Signed = pb::SignViewResponse;
    let (right, wrong) = (view.root_hash.clone(), vec![7; 32]);
    for (who, request, expected) in [
        (&world.hebei_admin, signature(right.clone(), vec![]), "SAME_PERSON"),
        (guo, signature(wrong, vec![]), "ROOT_MISMATCH"),
        (guo, signature(vec![], vec![]), "FIELD_MISSING"),
        (&world.gateway_admin, signature(right.clone(), vec![]), "NOT_YOUR_RECORD"),
    ] {
        let refused = ask::<Signed>(world, who, path, &request).await.unwrap_err();
        assert_eq!(reason(&refused), expected);
    }
    let note =
        pb::ViewDifference {
            record: "payments/ORDER0001".into(), note: "我方无此笔".into(), ..Default::default()
        };
    let disputed: Signed = ask(world, guo, path, &signature(right.clone(), vec![note])).await.unwrap();
    assert_eq!(disputed.view.unwrap().state(), pb::ViewState::Disputed);
    let agreed: Signed = ask(world, guo, path, &signature(right, vec![])).await.unwrap();
    let agreed = agreed.view.unwrap();
    assert_eq!((agreed.state(), agreed.signed_by.as_str()), (pb::ViewState::Agreed, "regions/130000/admins/guo"));
}

async fn report(world: &World, run: &pb::Run) {
    use pb::ReportFormat::{Csv, Html, Json, Text, Xlsx};
    use pb::ReportKind::{Ageing, Breaks, Month, Run, TrialBalance};
    use pb::ReportLanguage::{En, Zh};
    const PATH: &str = "/jjj.gateway.v1.ReportService/GetReport";
    let request = |kind: pb::ReportKind, format: pb::ReportFormat, language: pb::ReportLanguage| pb::GetReportRequest {
        kind: kind.into(),
        format: format.into(),
        language: language.into(),
        run: if kind == Run { run.name.clone() } else { String::new() },
        book: if kind == TrialBalance { "110000/care_subsidy".into() } else { String::new() },
        month: if kind == Month { run.clearing_date[..7].to_owned() } else { String::new() },
        ..Default::default()
    };
    let made = async |kind, format, language| {
        let report: pb::Report = ask(world, &world.hebei_admin, PATH, &request(kind, format, language)).await.unwrap();
        report
    };
    let text = async |kind, format, language| String::from_utf8(made(kind, format, language).await.content).unwrap();
    assert!(text(Run, Text, Zh).await.contains("对账日报"));
    assert!(text(Run, Text, En).await.contains("Daily reconciliation"));
    let json: serde_json::Value = serde_json::from_str(&text(Run, Json, En).await).unwrap();
    assert_eq!(json["facts"]["state"], pb::RunState::try_from(run.state).unwrap().as_str_name()["RUN_STATE_".len()..]);
    let breaks = json["tables"]["breaks"]["rows"].as_array().unwrap().len();
    assert_eq!(breaks, 2);
    let csv = made(Run, Csv, Zh).await;
    assert_eq!(csv.media_type, "text/csv; charset=utf-8");
    assert_eq!(csv.file_name, format!("run-{}.csv", run.name.trim_start_matches("runs/")));
    let csv = String::from_utf8(csv.content).unwrap();
    assert!(csv.starts_with("\u{feff}priority,class,state,amount_fen,") && csv.lines().count() == breaks + 1, "{csv}");
    for kind in [Run, Ageing, Breaks, Month] {
        assert!(made(kind, Xlsx, Zh).await.content.starts_with(b"PK"));
        assert!(text(kind, Html, En).await.starts_with("<!DOCTYPE html>"));
    }
    // A book is its region's to read.
    let foreign = request(TrialBalance, Text, Zh);
    let refused = ask::<pb::Report>(world, &world.hebei_admin, PATH, &foreign).await.unwrap_err();
    assert_eq!(reason(&refused), "NOT_YOUR_RECORD");
    let balance: pb::Report = ask(world, &world.gateway_admin, PATH, &request(TrialBalance, Json, Zh)).await.unwrap();
    let balance: serde_json::Value = serde_json::from_slice(&balance.content).unwrap();
    assert_eq!(balance["facts"]["balances"], "true");
    assert_eq!(balance["facts"]["debit_fen"], balance["facts"]["credit_fen"]);
    // What a month's sums are of is what the lists have.
    let month: serde_json::Value = serde_json::from_str(&text(Month, Json, Zh).await).unwrap();
    let payments: pb::ListPaymentsResponse = ask(
        world,
        &world.hebei_admin,
        "/jjj.gateway.v1.PaymentService/ListPayments",
        &pb::ListPaymentsRequest { filter: "state = \"CONFIRMED\"".into(), page_size: 1_000, ..Default::default() },
    )
    .await
    .unwrap();
    let of_month: Vec<_> =
        payments.payments.iter().filter(|p| p.clearing_date[..7] == run.clearing_date[..7]).collect();
    let sum = |name: &str| {
        let rows = month["tables"]["programmes"]["rows"].as_array().unwrap();
        rows.iter().map(|row| row[name].as_i64().unwrap()).sum::<i64>()
    };
    assert_eq!(sum("payments"), of_month.len() as i64);
    assert_eq!(sum("paid_fen"), of_month.iter().map(|p| p.amount_fen).sum::<i64>());
    let more = pb::GetReportRequest { month: "2026-11".into(), ..request(Run, Text, Zh) };
    assert_eq!(
        reason(&ask::<pb::Report>(world, &world.hebei_admin, PATH, &more).await.unwrap_err()),
        "FIELD_MALFORMED"
    );
    let unspecified = request(Run, pb::ReportFormat::Unspecified, En);
    let refused = ask::<pb::Report>(world, &world.hebei_admin, PATH, &unspecified).await.unwrap_err();
    assert_eq!(reason(&refused), "ENUM_UNSPECIFIED");
}

async fn runs_are_refused(database: TestDatabase) {
    let mut world = World::start(database).await;
    let date = past_date(&world);
    let leaves = world.leaves().await;
    let today = world.clock.now().clearing_date();
    type Spoil<'a> = &'a dyn Fn(&mut pb::StartRunRequest);
    let table: [(Spoil<'_>, &str); 5] = [
        (&|_| (), "FILE_MISSING"),
        (&|q| q.clearing_date = today.to_string(), "FIELD_OUT_OF_RANGE"),
        (&|q| q.clearing_date = "yesterday".into(), "FIELD_MALFORMED"),
        (&|q| q.channel = "regions/110000".into(), "FIELD_MALFORMED"),
        (&|q| q.channel = "channels/nobody".into(), "POLICY_MISSING"),
    ];
    let path = service!("StartRun");
    for (spoil, expected) in table {
        let mut request = run_request(&world, date);
        spoil(&mut request);
        let refused = ask::<pb::StartRunResponse>(&world, &world.hebei_admin, path, &request).await.unwrap_err();
        assert_eq!(reason(&refused), expected);
    }
    let request = run_request(&world, date);
    for client in [&world.hebei, &world.unionpay] {
        let refused = ask::<pb::StartRunResponse>(&world, client, path, &request).await.unwrap_err();
        assert_eq!(reason(&refused), "ROLE_NOT_ALLOWED");
    }
    assert_eq!(world.leaves().await, leaves);

    let anyway = pb::StartRunRequest { allow_missing_files: true, ..run_request(&world, date) };
    let run: pb::StartRunResponse = ask(&world, &world.hebei_admin, path, &anyway).await.unwrap();
    let run = run.run.unwrap();
    assert_eq!((run.state(), run.files_complete), (pb::RunState::Incomplete, false));
    assert_eq!(run.expected_files, [pb::ExpectedFile::default()]);
    // The file arrives; the next run is a new one.
    upload(&world, date, &file(date, &[])).await;
    let second: pb::StartRunResponse = ask(&world, &world.hebei_admin, path, &run_request(&world, date)).await.unwrap();
    let second = second.run.unwrap();
    assert_eq!((second.state(), second.number), (pb::RunState::Balanced, 2));
    let list = |page_token: String| pb::ListRunsRequest { page_size: 1, page_token, ..Default::default() };
    let page: pb::ListRunsResponse =
        ask(&world, &world.beijing, service!("ListRuns"), &list(String::new())).await.unwrap();
    assert_eq!(page.runs[0].name, second.name, "newest first");
    let page: pb::ListRunsResponse =
        ask(&world, &world.beijing, service!("ListRuns"), &list(page.next_page_token)).await.unwrap();
    assert_eq!((page.runs[0].name.as_str(), page.next_page_token.as_str()), (run.name.as_str(), ""));
    world.stop().await;
    world.verify().await;
}

async fn a_large_day_is_one_run(database: TestDatabase) {
    let mut world = World::start(database).await;
    let date = past_date(&world);
    let all: Vec<(String, i64)> = (0..rows()).map(|n| (format!("ORDER{n:06}"), 10_000 + n)).collect();
    for part in all.chunks(2_000) {
        decide(&world, "gateway", Payments { date, orders: part.to_vec() }).await;
    }
    upload(&world, date, &file(date, &all)).await;
    let begun = Instant::now();
    let run: pb::StartRunResponse =
        ask(&world, &world.hebei_admin, service!("StartRun"), &run_request(&world, date)).await.unwrap();
    eprintln!("{} rows in {:?}", all.len(), begun.elapsed());
    let run = run.run.unwrap();
    assert_eq!(run.state(), pb::RunState::Balanced, "{run:?}");
    assert_eq!(run.legs[1].matched, rows());
    world.stop().await;
    world.verify().await;
}

fn rows() -> i64 {
    sized(1_500, 20_000) as i64
}
