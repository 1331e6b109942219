//! What follows the run: statements, payouts, the close of a month, vouchers.

use jjj_domain::close::{DecideClose, ProposeClose};
use jjj_tests::both_databases;
use jjj_tests::postgres::TestDatabase;
use jjj_wire::pb;
use prost::Message;

use crate::harness::{World, ask, reason};
use crate::scene::{Payments, book, decide, file, id, orders, past_date, upload};

both_databases!(a_day_is_settled_and_a_month_closed,);

const RUN: &str = "/jjj.gateway.v1.ReconciliationService/StartRun";

macro_rules! settlement {
    ($method:literal) => {
        concat!("/jjj.gateway.v1.SettlementService/", $method)
    };
}
macro_rules! close {
    ($method:literal) => {
        concat!("/jjj.gateway.v1.MonthCloseService/", $method)
    };
}

pub async fn statements(world: &World, filter: &str) -> Vec<pb::SettlementStatement> {
    let request = pb::ListSettlementStatementsRequest { filter: filter.into(), ..Default::default() };
    let path = settlement!("ListSettlementStatements");
    let listed: pb::ListSettlementStatementsResponse = ask(world, &world.unionpay, path, &request).await.unwrap();
    listed.statements
}

pub fn payout(world: &World, reference: &str, amount_fen: i64, end_to_end_id: &str) -> pb::ReportPayoutRequest {
    pb::ReportPayoutRequest {
        request_id: id(world),
        reference: reference.into(),
        end_to_end_id: end_to_end_id.into(),
        amount_fen,
        paid_on: world.clock.now().date().to_string(),
        ..Default::default()
    }
}

async fn a_day_is_settled_and_a_month_closed(database: TestDatabase) {
    let mut world = World::start(database).await;
    let date = past_date(&world);
    let paid = orders(&["ORDER0001", "ORDER0002", "ORDER0003"]);
    decide(&world, "gateway", Payments { date, orders: paid.clone() }).await;
    upload(&world, date, &file(date, &paid)).await;
    let start = pb::StartRunRequest {
        request_id: id(&world),
        channel: "channels/unionpay".into(),
        clearing_date: date.to_string(),
        allow_missing_files: false,
    };
    let prepare = pb::PrepareSettlementRequest {
        request_id: id(&world),
        channel: "channels/unionpay".into(),
        clearing_date: date.to_string(),
    };
    let path = settlement!("PrepareSettlement");
    type Prepared = pb::PrepareSettlementResponse;
    let early = ask::<Prepared>(&world, &world.hebei_admin, path, &prepare).await.unwrap_err();
    assert_eq!(reason(&early), "RUN_MISSING");
    let run: pb::StartRunResponse = ask(&world, &world.hebei_admin, RUN, &start).await.unwrap();
    let run = run.run.unwrap();
    let numbers: std::collections::BTreeSet<i32> = run.identities.iter().map(|i| i.number).collect();
    assert_eq!(numbers.into_iter().collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7, 8], "no month is closed yet");
    assert!(run.identities.iter().all(|i| i.holds), "{:?}", run.identities);
    let foreign = ask::<Prepared>(&world, &world.unionpay, path, &prepare).await.unwrap_err();
    assert_eq!(reason(&foreign), "ROLE_NOT_ALLOWED");

    // On PostgreSQL the journal's last entries are numbered a moment later: it is waited for.
    let first = world.hebei_admin.call(path, &prepare.encode_to_vec(), world.now_s()).await.unwrap();
    let again = world.hebei_admin.call(path, &prepare.encode_to_vec(), world.now_s()).await.unwrap();
    assert_eq!(first, again, "the first answer, byte for byte");
    let cycle = Prepared::decode(first).unwrap().cycle.unwrap();
    assert_eq!((cycle.clearing_date, cycle.version), (date.to_string(), 1));

    let stated = statements(&world, r#"state = "OPEN""#).await;
    let (of_fee, of_institution): (Vec<_>, Vec<_>) = stated.iter().partition(|s| s.institution.is_empty());
    let [fee, stated] = [of_fee[0], of_institution[0]];
    let gross: i64 = paid.iter().map(|(_, fen)| fen).sum();
    assert_eq!((stated.gross_fen, stated.net_fen, fee.net_fen), (gross, gross - stated.fees_fen, stated.fees_fen));
    let get = pb::GetSettlementStatementRequest { name: stated.name.clone() };
    let path = settlement!("GetSettlementStatement");
    let get_fee = pb::GetSettlementStatementRequest { name: fee.name.clone() };
    for reader in [&world.beijing, &world.hebei_admin, &world.unionpay] {
        ask::<pb::SettlementStatement>(&world, reader, path, &get).await.unwrap();
        // The channel's own fees do not concern the institution's region.
        let read = ask::<pb::SettlementStatement>(&world, reader, path, &get_fee).await;
        assert_eq!(read.is_ok(), !std::ptr::eq(reader, &world.hebei_admin));
    }

    let path = settlement!("ReportPayout");
    type Reported = pb::ReportPayoutResponse;
    let short = payout(&world, "P1", stated.net_fen - 100, &stated.end_to_end_id);
    let answer: Reported = ask(&world, &world.unionpay, path, &short).await.unwrap();
    let reported = answer.payout.unwrap();
    assert_eq!((reported.state(), reported.rule()), (pb::PayoutState::Matched, pb::PayoutRule::EndToEndId));
    assert!(reported.reconciliation_break.starts_with("breaks/"));
    let items = [payout(&world, "P2", fee.net_fen, "").encode_to_vec(), payout(&world, "P1", 1, "").encode_to_vec()];
    let answer = world.unionpay.call_batch(settlement!("BatchReportPayouts"), &items, world.now_s()).await.unwrap();
    let outcomes: Vec<bool> = answer
        .results
        .iter()
        .map(|r| matches!(r.outcome, Some(pb::batch_mutate_result::Outcome::Response(_))))
        .collect();
    assert_eq!(outcomes, [true, false], "a reference is reported once");
    assert!(statements(&world, r#"state = "OPEN""#).await.is_empty());
    let stray: Reported = ask(&world, &world.unionpay, path, &payout(&world, "P3", 7, "")).await.unwrap();
    let again = pb::MatchPayoutRequest { request_id: id(&world), payout: stray.payout.unwrap().name };
    let path = settlement!("MatchPayout");
    let still = ask::<pb::MatchPayoutResponse>(&world, &world.gateway_admin, path, &again).await.unwrap_err();
    assert_eq!(reason(&still), "STATE_NOT_ALLOWED", "nothing has changed");
    let list = pb::ListPayoutsRequest { filter: r#"state = "UNMATCHED""#.into(), ..Default::default() };
    let listed: pb::ListPayoutsResponse =
        ask(&world, &world.unionpay, settlement!("ListPayouts"), &list).await.unwrap();
    assert_eq!(listed.payouts.len(), 1);

    reports(&world, date, stated).await;
    close_last_month(&world).await;
    world.stop().await;
    world.verify().await;
}

async fn close_last_month(world: &World) {
    // The first of a month is too early, by policy.
    if world.clock.now().date().plus_days(-1).month() != world.clock.now().month() {
        return;
    }
    let month = world.clock.now().month().plus(-1);
    let reason = String::from("月结");
    decide(world, "regions/110000/admins/chen", ProposeClose { book: book(), month, reason: reason.clone() }).await;
    decide(world, "regions/110000/admins/liu", DecideClose { book: book(), month, approve: true, reason }).await;
    let list = pb::ListClosesRequest::default();
    let listed: pb::ListClosesResponse = ask(world, &world.beijing, close!("ListCloses"), &list).await.unwrap();
    assert_eq!((listed.closes.len(), listed.closes[0].state()), (1, pb::CloseState::Closed));
    let none: pb::ListClosesResponse = ask(world, &world.hebei, close!("ListCloses"), &list).await.unwrap();
    assert!(none.closes.is_empty(), "another region's book");

    let now = world.clock.now().month().to_string();
    let request = pb::ListVouchersRequest { book: book().to_string(), month: now.clone() };
    let vouchers: pb::ListVouchersResponse =
        ask(world, &world.beijing, close!("ListVouchers"), &request).await.unwrap();
    assert!(!vouchers.closed && vouchers.debit_fen == vouchers.credit_fen && vouchers.debit_fen > 0);
    let kinds: Vec<&str> = vouchers.vouchers.iter().map(|v| v.kind.as_str()).collect();
    for kind in ["CONFIRMED", "MATCHED", "SETTLED", "SETTLED_FEE"] {
        assert!(kinds.contains(&kind), "{kinds:?}");
    }
    let trial = pb::GetTrialBalanceRequest { book: book().to_string(), booking_month: now };
    let path = "/jjj.gateway.v1.LedgerService/GetTrialBalance";
    let trial: pb::TrialBalance = ask(world, &world.beijing, path, &trial).await.unwrap();
    assert_eq!(trial.accounts.iter().map(|a| a.closing_fen).sum::<i64>(), 0);
    assert_eq!(trial.accounts.iter().map(|a| a.debit_fen).sum::<i64>(), vouchers.debit_fen);
}

/// Statements and vouchers as reports, for those who may read the records.
async fn reports(world: &World, date: jjj_domain::time::Date, stated: &pb::SettlementStatement) {
    use pb::ReportFormat::{Csv, Html, Json, Text, Xlsx};
    use pb::ReportKind::{Settlement, Vouchers};
    const PATH: &str = "/jjj.gateway.v1.ReportService/GetReport";
    let month = world.clock.now().month().to_string();
    let request = |kind: pb::ReportKind, format: pb::ReportFormat| pb::GetReportRequest {
        kind: kind.into(),
        format: format.into(),
        language: pb::ReportLanguage::Zh.into(),
        from_date: if kind == Settlement { date.to_string() } else { String::new() },
        book: if kind == Vouchers { book().to_string() } else { String::new() },
        month: if kind == Vouchers { month.clone() } else { String::new() },
        ..Default::default()
    };
    let json = async |reader, kind| -> serde_json::Value {
        let report: pb::Report = ask(world, reader, PATH, &request(kind, Json)).await.unwrap();
        serde_json::from_slice(&report.content).unwrap()
    };
    let settlement = json(&world.gateway_admin, Settlement).await;
    let rows = settlement["tables"]["statements"]["rows"].as_array().unwrap();
    let row = rows.iter().find(|row| row["statement"] == stated.name.as_str()).unwrap();
    assert_eq!((&row["net_fen"], &row["state"]), (&stated.net_fen.into(), &"SETTLED".into()));
    assert_eq!(row["paid_fen"], stated.net_fen - 100);
    let sum = |table: &str, of: &str| -> i64 {
        settlement["tables"][table]["rows"].as_array().unwrap().iter().map(|row| row[of].as_i64().unwrap()).sum()
    };
    assert_eq!(sum("cycles", "net_fen"), sum("statements", "net_fen"));
    assert_eq!(sum("institutions", "net_fen"), stated.net_fen, "without the channel's fee");
    assert_eq!(sum("funders", "gross_fen"), stated.funders.iter().map(|f| f.gross_fen).sum::<i64>());
    // The channel's own fees do not concern the institution's region.
    let of_hebei = json(&world.hebei_admin, Settlement).await;
    let of_hebei = of_hebei["tables"]["statements"]["rows"].as_array().unwrap();
    assert!(of_hebei.len() == 1 && of_hebei[0]["statement"] == stated.name.as_str(), "{of_hebei:?}");
    let undated = pb::GetReportRequest { from_date: String::new(), ..request(Settlement, Csv) };
    let open: pb::Report = ask(world, &world.gateway_admin, PATH, &undated).await.unwrap();
    assert_eq!(String::from_utf8(open.content).unwrap().lines().count(), 1, "nothing waits for its payout");

    // One of the eight connections is enough: many at once would wait for each other's second.
    let gateway = world.gateway();
    let held = futures_util::future::join_all((0..7).map(|_| gateway.store.read())).await;
    let vouchers = json(&world.gateway_admin, Vouchers).await;
    drop((held, gateway));
    assert_eq!(vouchers["facts"]["state"], "OPEN");
    assert_eq!(vouchers["facts"]["debit_fen"], vouchers["facts"]["credit_fen"]);
    let lines = vouchers["tables"]["vouchers"]["rows"].as_array().unwrap();
    assert!(lines.iter().any(|line| line["entry"] == "SETTLED" && line["credit_fen"].as_i64() > Some(0)));
    let refused = ask::<pb::Report>(world, &world.hebei_admin, PATH, &request(Vouchers, Text)).await.unwrap_err();
    assert_eq!(reason(&refused), "NOT_YOUR_RECORD");
    for kind in [Settlement, Vouchers] {
        for (format, begins) in [(Text, ""), (Html, "<!DOCTYPE html>"), (Xlsx, "PK")] {
            let report: pb::Report = ask(world, &world.gateway_admin, PATH, &request(kind, format)).await.unwrap();
            assert!(report.content.starts_with(begins.as_bytes()) && !report.content.is_empty());
        }
    }
    let more = pb::GetReportRequest { book: book().to_string(), ..request(Settlement, Text) };
    assert_eq!(
        reason(&ask::<pb::Report>(world, &world.gateway_admin, PATH, &more).await.unwrap_err()),
        "FIELD_MALFORMED"
    );
}
