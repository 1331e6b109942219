//! Work on breaks over the wire, and what the gateway does by itself: scheduled runs by two gateways
//! on one database, resolutions by policy.

use std::time::Duration;

use jjj_domain::key;
use jjj_domain::names::Participant;
use jjj_domain::participant::ParticipantRow;
use jjj_domain::policy::{PolicyKind, SetPolicy, defaults};
use jjj_domain::recon::BreakRow;
use jjj_domain::time::Date;
use jjj_tests::both_databases;
use jjj_tests::postgres::TestDatabase;
use jjj_tests::raw::Raw;
use jjj_wire::pb;
use sha2::{Digest, Sha256};

use crate::harness::{Client, World, ask, reason};
use crate::scene::{BEGIN, CHUNK, COMPLETE, Payments, begin, decide, file, hebei_admin, id, orders, past_date, upload};

both_databases!(
    a_break_is_worked_on,
    two_gateways_run_what_is_scheduled_once,
    what_the_policy_names_resolves_itself,
    one_channels_fault_keeps_no_others_breaks,
);

macro_rules! service {
    ($method:literal) => {
        concat!("/jjj.gateway.v1.ReconciliationService/", $method)
    };
}

/// A day whose file lacks the second order; what its run opens.
async fn a_break(world: &World, date: Date) -> pb::Break {
    let paid = orders(&["ORDER0001", "ORDER0002"]);
    decide(world, "gateway", Payments { date, orders: paid.clone() }).await;
    upload(world, date, &file(date, &paid[..1])).await;
    let start = pb::StartRunRequest {
        request_id: id(world),
        channel: "channels/unionpay".into(),
        clearing_date: date.to_string(),
        allow_missing_files: false,
    };
    let run: pb::StartRunResponse = ask(world, &world.gateway_admin, service!("StartRun"), &start).await.unwrap();
    assert_eq!(run.run.unwrap().breaks_open, 1);
    let list = pb::ListBreaksRequest::default();
    let found = ask::<pb::ListBreaksResponse>(world, &world.hebei, service!("ListBreaks"), &list).await.unwrap();
    found.breaks.into_iter().next().unwrap()
}

/// Uploads a document as evidence.
async fn document(world: &World, who: &Client, date: Date, bytes: &[u8]) -> pb::SettlementFile {
    let wanted = pb::BeginUploadRequest {
        format: pb::FileFormat::Other.into(),
        content: pb::FileContent::Evidence.into(),
        sha256: hex::encode(Sha256::digest(bytes)),
        ..begin(world, date, bytes)
    };
    let begun: pb::BeginUploadResponse = ask(world, who, BEGIN, &wanted).await.unwrap();
    let file = begun.file.unwrap().name;
    for (i, data) in bytes.chunks(1 << 20).enumerate() {
        let (offset, data) = ((i << 20) as i64, data.to_vec().into());
        let chunk = pb::UploadChunkRequest { file: file.clone(), offset, data };
        ask::<pb::UploadChunkResponse>(world, who, CHUNK, &chunk).await.unwrap();
    }
    let complete = pb::CompleteUploadRequest { request_id: id(world), file };
    ask::<pb::CompleteUploadResponse>(world, who, COMPLETE, &complete).await.unwrap().file.unwrap()
}

async fn a_break_is_worked_on(database: TestDatabase) {
    let mut world = World::start(database).await;
    let date = past_date(&world);
    let guo = hebei_admin(&world, "guo").await;
    let item = a_break(&world, date).await;
    let name = item.name.clone();
    assert_eq!((item.age_bucket(), item.cause.as_str()), (pb::AgeBucket::UpTo30, "M1"));
    assert_eq!((item.step(), item.step_by.as_str()), (pb::BreakStep::Opened, "gateway"));

    let comment = |text: &str| pb::CommentBreakRequest {
        request_id: id(&world),
        reconciliation_break: name.clone(),
        text: text.into(),
    };
    let path = service!("CommentBreak");
    let refused = ask::<pb::CommentBreakResponse>(&world, &guo, path, &comment("")).await.unwrap_err();
    assert_eq!(reason(&refused), "FIELD_MISSING");
    let said: pb::CommentBreakResponse = ask(&world, &guo, path, &comment("渠道来电：未扣款")).await.unwrap();
    assert_eq!(said.reconciliation_break.unwrap().note, "渠道来电：未扣款");

    // Two chunks of any bytes.
    let bytes: Vec<u8> = (0..(1 << 20) + 17).map(|n: u32| (n % 251) as u8).collect();
    let stored = document(&world, &guo, date, &bytes).await;
    assert_eq!((stored.state(), stored.rows), (pb::FileState::Received, 0));
    let same = document(&world, &guo, date, &bytes).await;
    assert_eq!(same.state(), pb::FileState::Received, "documents do not supersede one another");
    let attach = |file: &str| pb::AttachEvidenceRequest {
        request_id: id(&world),
        reconciliation_break: name.clone(),
        file: file.into(),
        note: "渠道回函".into(),
    };
    let path = service!("AttachEvidence");
    type Attached = pb::AttachEvidenceResponse;
    let refused = ask::<Attached>(&world, &world.gateway_admin, path, &attach(&stored.name)).await.unwrap_err();
    assert_eq!(reason(&refused), "NOT_YOUR_RECORD");
    let attached: Attached = ask(&world, &guo, path, &attach(&stored.name)).await.unwrap();
    let attachments = attached.reconciliation_break.unwrap().attachments;
    assert_eq!((attachments.len(), attachments[0].sha256.as_str()), (1, stored.sha256.as_str()));
    let read = |file: &str, chunk: i64| pb::ReadAttachmentRequest {
        reconciliation_break: name.clone(),
        file: file.into(),
        chunk,
    };
    let mut whole = Vec::new();
    for chunk in 0..4 {
        let part: pb::ReadAttachmentResponse =
            ask(&world, &world.gateway_admin, service!("ReadAttachment"), &read(&stored.name, chunk)).await.unwrap();
        whole.extend(part.data);
    }
    assert_eq!(whole, bytes);
    for (file, chunk, expected) in [(&same.name, 0, "RECORD_NOT_FOUND"), (&stored.name, -1, "FIELD_OUT_OF_RANGE")] {
        let request = read(file, chunk);
        let refused = ask::<pb::ReadAttachmentResponse>(&world, &guo, service!("ReadAttachment"), &request).await;
        assert_eq!(reason(&refused.unwrap_err()), expected);
    }

    let propose = pb::ProposeResolutionRequest {
        request_id: id(&world),
        reconciliation_break: name.clone(),
        resolution: pb::Resolution::Release.into(),
        reason: "核对凭证".into(),
        elder: String::new(),
    };
    ask::<pb::ProposeResolutionResponse>(&world, &guo, service!("ProposeResolution"), &propose).await.unwrap();
    let withdraw = || pb::WithdrawProposalRequest {
        request_id: id(&world),
        reconciliation_break: name.clone(),
        reason: "金额写错".into(),
    };
    let path = service!("WithdrawProposal");
    type Withdrawn = pb::WithdrawProposalResponse;
    let refused = ask::<Withdrawn>(&world, &world.gateway_admin, path, &withdraw()).await.unwrap_err();
    assert_eq!(reason(&refused), "NOT_YOUR_RECORD");
    let open: Withdrawn = ask(&world, &guo, path, &withdraw()).await.unwrap();
    assert_eq!(open.reconciliation_break.unwrap().state(), pb::BreakState::New);

    let versions = pb::ListBreakVersionsRequest { name: name.clone(), ..Default::default() };
    let history: pb::ListBreakVersionsResponse =
        ask(&world, &guo, service!("ListBreakVersions"), &versions).await.unwrap();
    let steps: Vec<_> = history.breaks.iter().rev().map(pb::Break::step).collect();
    use pb::BreakStep::{Commented, EvidenceAttached, Opened, Proposed, Withdrawn as TakenBack};
    assert_eq!(steps, [Opened, Commented, EvidenceAttached, Proposed, TakenBack]);
    world.stop().await;
    world.verify().await;
}

async fn policy(world: &World, kind: PolicyKind, scope: &str, from: Date, change: impl FnOnce(&mut serde_json::Value)) {
    let of = |d: &SetPolicy| d.kind == kind && (d.scope == scope || d.scope == "default");
    let mut policy = defaults().into_iter().find(of).unwrap();
    policy.scope = scope.into();
    policy.effective_from = from;
    change(&mut policy.body);
    world.decide("gateway/admins/li", policy).await;
}

/// Asks until it is so, for at most a minute.
async fn until<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..600 {
        if let Some(found) = ask().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("not within a minute");
}

async fn runs(world: &World) -> Vec<pb::Run> {
    let list = pb::ListRunsRequest { page_size: 1_000, ..Default::default() };
    ask::<pb::ListRunsResponse>(world, &world.beijing, service!("ListRuns"), &list).await.unwrap().runs
}

async fn clearing_days(world: &World, who: &Client) -> Vec<pb::ClearingDay> {
    let list = pb::ListClearingDaysRequest { channel: "channels/unionpay".into(), days: 6 };
    ask::<pb::ListClearingDaysResponse>(world, who, service!("ListClearingDays"), &list).await.unwrap().days
}

/// Days that nobody ran, as after an outage: caught up in date order, each once, whoever finds them.
async fn two_gateways_run_what_is_scheduled_once(database: TestDatabase) {
    let mut world = World::start(database).await;
    let is_postgres = matches!(world.gateway().store.dialect(), jjj_store::dialect::Dialect::Postgres);
    // SQLite has one gateway a file.
    let mut second = if is_postgres { Some(world.replica().await) } else { None };
    let yesterday = world.clock.now().clearing_date().plus_days(-1);
    let first = yesterday.plus_days(-5);
    let paid = orders(&["ORDER0001", "ORDER0002"]);
    decide(&world, "gateway", Payments { date: first, orders: paid.clone() }).await;
    upload(&world, first, &file(first, &paid)).await;
    let schedule = serde_json::json!({"not_before": "00:00", "latest": "00:00"});
    policy(&world, PolicyKind::Channel, "unionpay", first, |body| body["schedule"] = schedule).await;
    // Yesterday's is due at midnight: it may be or not, by when the test runs.
    let made = until(async || Some(runs(&world).await).filter(|runs| runs.len() >= 5)).await;
    let mut by_time: Vec<_> = made.iter().map(|run| (run.recorded_time_us, run.clearing_date.clone())).collect();
    by_time.sort();
    let dates: Vec<String> = by_time.into_iter().map(|(_, date)| date).collect();
    let expected: Vec<String> = (0..dates.len() as i64).map(|n| first.plus_days(n).to_string()).collect();
    assert_eq!(dates, expected, "each once, in date order");
    assert!(made.iter().all(|run| run.started_by == "gateway" && run.number == 1));
    let of = |runs: &[pb::Run], date: Date| -> Vec<pb::RunState> {
        runs.iter().filter(|run| run.clearing_date == date.to_string()).map(pb::Run::state).collect()
    };
    assert_eq!(of(&made, first), [pb::RunState::Balanced]);
    assert_eq!(of(&made, first.plus_days(1)), [pb::RunState::Incomplete], "made without its file");
    let shown = clearing_days(&world, &world.hebei_admin).await;
    let day = shown.iter().find(|day| day.clearing_date == first.to_string()).unwrap();
    assert_eq!((day.arrived_files, day.expected_files, day.run_due_time_us), (1, 1, 0));
    assert_eq!(day.signatures.len(), 3);

    // A file that comes after all is run, by one of them.
    let late = first.plus_days(2);
    upload(&world, late, &file(late, &[])).await;
    let again = until(async || {
        let made = runs(&world).await;
        (of(&made, late).len() == 2).then_some(made)
    });
    assert!(of(&again.await, late).contains(&pb::RunState::Balanced));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(of(&runs(&world).await, late).len(), 2, "and not again");
    if let Some((handle, stop)) = second.take() {
        drop(stop);
        handle.join().await;
    }
    world.stop().await;
    world.verify().await;
}

async fn releasing_small_ones(world: &World, date: Date) {
    policy(world, PolicyKind::Breaks, "unionpay", date, |body| {
        body["automatic"] = serde_json::json!([
            {"name": "small_release", "class": "LEDGER_ONLY", "resolution": "RELEASE", "most_fen": 20_000},
        ]);
    })
    .await;
}

async fn resolved(world: &World, name: &str) -> pb::Break {
    let get = pb::GetBreakRequest { name: name.to_owned() };
    until(async || {
        let found: pb::Break = ask(world, &world.hebei, service!("GetBreak"), &get).await.unwrap();
        (found.state() == pb::BreakState::Resolved).then_some(found)
    })
    .await
}

/// Others have a break that cannot be read any more.
async fn one_channels_fault_keeps_no_others_breaks(database: TestDatabase) {
    let mut world = World::start(database).await;
    let date = past_date(&world);
    let item = a_break(&world, date).await;
    let mut tx = world.gateway().store.begin_write().await.unwrap();
    let of_unionpay: Option<BreakRow> = tx.session().get(key![item.name.clone()]).await.unwrap();
    let unionpay: Option<ParticipantRow> = tx.session().get(key!["channels/unionpay".to_owned()]).await.unwrap();
    let (of_unionpay, unionpay) = (of_unionpay.unwrap(), unionpay.unwrap());
    // They are gone through in any order.
    for n in 0..8 {
        let channel: Participant = format!("channels/bank{n}").parse().unwrap();
        tx.put(&[ParticipantRow { participant: channel.clone(), ..unionpay.clone() }]).await.unwrap();
        let (break_name, channel) = (format!("breaks/faulty{n}"), Some(channel));
        tx.put(&[BreakRow { break_name, channel, ..of_unionpay.clone() }]).await.unwrap();
    }
    tx.commit().await.unwrap();
    let mut raw = Raw::open(&world.database).await;
    raw.run("UPDATE breaks SET fields = 'none' WHERE break_name LIKE 'breaks/faulty%'").await;
    world.gateway().registry.refresh().await.unwrap();
    releasing_small_ones(&world, date).await;
    assert_eq!(resolved(&world, &item.name).await.decided_by, "gateway");
    world.stop().await;
}

async fn what_the_policy_names_resolves_itself(database: TestDatabase) {
    let mut world = World::start(database).await;
    let date = past_date(&world);
    releasing_small_ones(&world, date).await;
    let item = a_break(&world, date).await;
    let resolved = resolved(&world, &item.name).await;
    assert_eq!((resolved.decided_by.as_str(), resolved.step()), ("gateway", pb::BreakStep::Automatic));
    assert_eq!(resolved.policy, format!("policies/breaks/unionpay/{date}/1#small_release"));
    assert_eq!(resolved.entries.len(), 1);
    world.stop().await;
    world.verify().await;
}
