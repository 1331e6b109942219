//! A bank's statements through the real service: the balance of the prefund and the payouts that left it, proven by
//! the run of the statement's date.

use jjj_domain::policy::{self, SetPolicy};
use jjj_domain::recon::bank::Balance;
use jjj_domain::time::Date;
use jjj_formats::camt::Message as CamtMessage;
use jjj_tests::both_databases;
use jjj_tests::postgres::TestDatabase;
use jjj_wire::pb;

use crate::formats::{breaks, camt, deliver, run, statement};
use crate::harness::{World, ask, reason};
use crate::scene::{Payments, decide, file, id, orders, past_date, upload};
use crate::settlement::{payout, statements};

both_databases!(a_statement_proves_balance_and_payouts,);

const ACCOUNT: &str = "11001018400000001234";

/// The channel's statements are of the prefund, and show its payouts within two working days.
fn terms() -> SetPolicy {
    let default = policy::defaults().into_iter().find(|d| d.scope == "unionpay").unwrap();
    let mut body = default.body;
    body["bank_accounts"] =
        serde_json::json!([{"account": ACCOUNT, "ledger": "prefund", "books": ["110000/care_subsidy"]}]);
    body["payout_proof"] = serde_json::json!({"working_days": 2});
    SetPolicy { body, reason: "statements".into(), ..default }
}

async fn reported(world: &World, reference: &str, amount_fen: i64, paid_on: Date, end_to_end_id: &str) -> pb::Payout {
    let paid_on = paid_on.to_string();
    let request = pb::ReportPayoutRequest { paid_on, ..payout(world, reference, amount_fen, end_to_end_id) };
    let path = "/jjj.gateway.v1.SettlementService/ReportPayout";
    let answer: pb::ReportPayoutResponse = ask(world, &world.unionpay, path, &request).await.unwrap();
    answer.payout.unwrap()
}

async fn payouts(world: &World, filter: &str) -> Vec<pb::Payout> {
    let list = pb::ListPayoutsRequest { filter: filter.into(), ..Default::default() };
    let path = "/jjj.gateway.v1.SettlementService/ListPayouts";
    ask::<pb::ListPayoutsResponse>(world, &world.unionpay, path, &list).await.unwrap().payouts
}

/// Open breaks: class, amount.
async fn open(world: &World) -> Vec<(pb::BreakClass, i64)> {
    let open = breaks(world).await.into_iter().filter(|b| b.state() != pb::BreakState::Resolved);
    let mut open: Vec<_> = open.map(|b| (b.break_class(), b.amount_fen)).collect();
    open.sort_by_key(|(class, fen)| (*class as i32, *fen));
    open
}

/// The bank's file of a date; its opening balance is what makes it add up.
async fn stated(world: &World, date: Date, closing_fen: i64, paid: &[(&str, i64)]) -> pb::SettlementFile {
    let mut stated = statement(date, ACCOUNT, closing_fen, paid);
    let total: i64 = paid.iter().map(|(_, fen)| fen).sum();
    stated.statement.opening = Some(Balance { on: date, amount_fen: closing_fen + total });
    let bytes = camt(CamtMessage::Statement, stated, date);
    let file = deliver(world, date, pb::FileFormat::Camt053, &bytes).await;
    assert_eq!(file.state(), pb::FileState::Received, "{file:?}");
    file
}

/// What the file said is read again, by those who may read the file.
async fn as_stated(world: &World, file: &pb::SettlementFile, paid: &[(&str, i64)], closing_fen: i64) {
    let (get, list) =
        ("/jjj.gateway.v1.ChannelService/GetBankStatement", "/jjj.gateway.v1.ChannelService/ListBankStatements");
    let filter = format!(r#"account = "{ACCOUNT}" AND clearing_date = "{}""#, file.clearing_date);
    let of_account = pb::ListBankStatementsRequest { filter, ..Default::default() };
    let listed: pb::ListBankStatementsResponse = ask(world, &world.unionpay, list, &of_account).await.unwrap();
    let [stated] = &listed.statements[..] else { panic!("{listed:?}") };
    assert_eq!((&stated.file, stated.file_state()), (&file.name, pb::FileState::Received));
    let out: i64 = paid.iter().map(|(_, fen)| fen).sum();
    assert_eq!((stated.opening_fen, stated.closing_fen), (Some(closing_fen + out), Some(closing_fen)));
    assert_eq!((stated.debit_fen, stated.entries), (out, paid.len() as i64));
    let none: pb::ListBankStatementsResponse = ask(world, &world.beijing, list, &of_account).await.unwrap();
    assert!(none.statements.is_empty(), "no file of Beijing's");

    let mut page = pb::GetBankStatementRequest { name: stated.name.clone(), page_size: 1, ..Default::default() };
    let mut found = Vec::new();
    loop {
        let answer: pb::BankStatement = ask(world, &world.gateway_admin, get, &page).await.unwrap();
        assert!(answer.page_entries.len() <= 1 && answer.closing_fen == stated.closing_fen);
        found.extend(answer.page_entries);
        page.page_token = answer.next_page_token;
        if page.page_token.is_empty() {
            break;
        }
    }
    let found: Vec<_> = found.iter().map(|e| (e.name.clone(), e.direction(), e.amount_fen)).collect();
    let entry =
        |(n, (_, fen)): (usize, &(&str, i64))| (format!("{}#{}.1", file.name, n + 1), pb::EntryDirection::Debit, *fen);
    assert_eq!(found, paid.iter().enumerate().map(entry).collect::<Vec<_>>());
    let (id, fen) = paid[0];
    let filter =
        format!(r#"end_to_end_id = "{id}" AND amount_fen >= "{fen}" AND status = "BOOKED" AND reversal = "false""#);
    let one = pb::GetBankStatementRequest { filter, page_size: 0, page_token: String::new(), ..page.clone() };
    let answer: pb::BankStatement = ask(world, &world.unionpay, get, &one).await.unwrap();
    assert_eq!(answer.page_entries.len(), 1);
    for (reader, request, refused) in [
        (&world.beijing, one.clone(), "RECORD_NOT_FOUND"),
        (
            &world.unionpay,
            pb::GetBankStatementRequest { name: format!("{}/statements/7", file.name), ..one.clone() },
            "RECORD_NOT_FOUND",
        ),
        (&world.unionpay, pb::GetBankStatementRequest { name: file.name.clone(), ..one.clone() }, "FIELD_MALFORMED"),
        (&world.unionpay, pb::GetBankStatementRequest { filter: "page = 1".into(), ..one }, "FILTER_FIELD_UNKNOWN"),
    ] {
        assert_eq!(reason(&ask::<pb::BankStatement>(world, reader, get, &request).await.unwrap_err()), refused);
    }
}

async fn a_statement_proves_balance_and_payouts(database: TestDatabase) {
    let mut world = World::start(database).await;
    let date = past_date(&world);
    decide(&world, "gateway", terms()).await;
    let paid = orders(&["ORDER0001", "ORDER0002", "ORDER0003"]);
    decide(&world, "gateway", Payments { date, orders: paid.clone() }).await;
    upload(&world, date, &file(date, &paid)).await;
    assert_eq!(run(&world, date).await.state(), pb::RunState::Balanced);
    let prepare = pb::PrepareSettlementRequest {
        request_id: id(&world),
        channel: "channels/unionpay".into(),
        clearing_date: date.to_string(),
    };
    let path = "/jjj.gateway.v1.SettlementService/PrepareSettlement";
    ask::<pb::PrepareSettlementResponse>(&world, &world.hebei_admin, path, &prepare).await.unwrap();
    let due = statements(&world, r#"state = "OPEN""#).await;
    let of_institution = due.iter().find(|s| !s.institution.is_empty()).unwrap();
    let fee = due.iter().find(|s| s.institution.is_empty()).unwrap();

    // Paid and booked by the bank the day after.
    let next = date.plus_days(1);
    let first = reported(&world, "P1", of_institution.net_fen, next, &of_institution.end_to_end_id).await;
    let second = reported(&world, "P2", fee.net_fen, next, "").await;
    assert_eq!([first.proof(), second.proof()], [pb::PayoutProofState::Awaited; 2]);
    let gross: i64 = paid.iter().map(|(_, fen)| fen).sum();
    let placed = gross + 1_000_000;
    let entries = [(of_institution.end_to_end_id.as_str(), of_institution.net_fen), ("NOTPROVIDED", fee.net_fen)];
    let statement = stated(&world, next, placed - gross, &entries).await;
    let ran = run(&world, next).await;
    assert_eq!((ran.state(), open(&world).await), (pb::RunState::Balanced, vec![]), "{ran:?}");
    let proven = payouts(&world, r#"proof = "PROVEN""#).await;
    let rules: Vec<_> = proven.iter().map(|p| (p.name.clone(), p.proof_rule(), p.bank_entries.clone())).collect();
    let entry = |n: i64| vec![format!("{}#{n}.1", statement.name)];
    assert_eq!(rules.len(), 2);
    assert!(rules.contains(&(first.name.clone(), pb::ProofRule::EndToEndId, entry(1))), "{rules:?}");
    assert!(rules.contains(&(second.name.clone(), pb::ProofRule::AmountAndDate, entry(2))), "{rules:?}");
    assert!(proven.iter().all(|p| p.proven_on == next.to_string()));

    as_stated(&world, &statement, &entries, placed - gross).await;

    // Run again, nothing changes; a corrected statement takes its place: less is left, and money went nobody
    // knows where, while the fee is not on it.
    let versions = |payouts: &[pb::Payout]| payouts.iter().map(|p| p.version).collect::<Vec<_>>();
    run(&world, next).await;
    assert_eq!(versions(&payouts(&world, "").await), versions(&proven));
    let strange = [entries[0], ("STRANGE", 777_000)];
    let corrected = stated(&world, next, placed - gross - 5, &strange).await;
    run(&world, next).await;
    let found = [(pb::BreakClass::BalanceMismatch, 5), (pb::BreakClass::PayoutMismatch, 777_000)];
    assert_eq!(open(&world).await, found);
    let still = payouts(&world, r#"proof = "PROVEN""#).await;
    assert_eq!(still.iter().map(|p| &p.bank_entries[0]).collect::<Vec<_>>(), [&format!("{}#1.1", corrected.name)]);

    // A week later the fee is overdue; the balance agrees, which ends its break.
    let later = date.plus_days(15);
    stated(&world, later, placed - gross, &[]).await;
    run(&world, later).await;
    let found = [(pb::BreakClass::PayoutMismatch, 777_000), (pb::BreakClass::PayoutMissing, fee.net_fen)];
    assert_eq!(open(&world).await, found);
    // Right at last.
    stated(&world, next, placed - gross, &entries).await;
    let ran = run(&world, next).await;
    assert_eq!((ran.state(), open(&world).await), (pb::RunState::Balanced, vec![]), "{ran:?}");
    world.stop().await;
    world.verify().await;
}
