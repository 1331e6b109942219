//! Files of other makers over the wire: UnionPay's zip run with what it names looked up, a bank's
//! statements as rows, and what is refused.

use jjj_domain::decision::{Call, Command, Decision};
use jjj_domain::institution::{SettlementAccountRow, SettlementAccountState};
use jjj_domain::policy::TransactionCodes;
use jjj_domain::recon::bank::{
    Balance, BankEntry, BankEntryRow, BankStatement, BankStatementRow, EntryDirection, EntryStatus,
};
use jjj_domain::recon::file::{LineKind, LineStatus, SettlementLine};
use jjj_domain::snapshot::{Snapshot, Stop};
use jjj_domain::time::{Date, HOUR_US};
use jjj_formats::camt::{self, Message as CamtMessage, Statement};
use jjj_formats::unionpay::{self, Kind};
use jjj_formats::{Earlier, fixed};
use jjj_store::ListQuery;
use jjj_tests::both_databases;
use jjj_tests::postgres::TestDatabase;
use jjj_wire::pb;
use prost::Message;
use sha2::{Digest, Sha256};
use tonic::Status;

use crate::harness::{INSTITUTION, World, ask, reason};
use crate::scene::{BEGIN, CHUNK, Payments, complete, decide, hebei, id, past_date, unionpay};

both_databases!(
    unionpays_zip_is_run,
    a_banks_statements_become_rows,
    formats_are_refused_where_they_do_not_belong,
    the_expected_merchants_files_are_named,
);

/// Merchant M1 is the institution's.
#[derive(Clone)]
struct Account;

impl Command for Account {
    fn decide(&self, _: &Snapshot, call: &Call) -> Result<Decision, Stop> {
        let row = SettlementAccountRow {
            account: format!("settlementAccounts/{}", call.request_id),
            institution: format!("institutions/{INSTITUTION}"),
            region: hebei(),
            channel: unionpay(),
            merchant_id: "M1".into(),
            account_holder: "三河市燕郊颐养中心".into(),
            bank_code: String::new(),
            account_token: "tok".into(),
            account_last4: "5678".into(),
            effective_from: call.now.date(),
            state: SettlementAccountState::Approved,
            proposed_by: "regions/130000/admins/wang".parse().unwrap(),
            decided_by: Some("regions/130000/admins/guo".parse().unwrap()),
            reason: "首次".into(),
            usable_from_us: Some(call.now),
            recorded_at_us: call.now,
            version: 1,
        };
        let mut decision = Decision::new(call);
        decision.leaf("test.account", &row.account, 1).put(&row).tell(&hebei());
        Ok(decision)
    }
}

fn line(kind: LineKind, merchant: &str, order: &str, date: Date, amount_fen: i64) -> SettlementLine {
    SettlementLine {
        line: 0,
        byte_offset: 0,
        kind,
        merchant_id: merchant.into(),
        order_id: order.into(),
        transaction_time: date.starts_at().plus_us(10 * HOUR_US),
        amount_fen,
        fee_fen: if kind == LineKind::Payment { (amount_fen * 20 + 5_000) / 10_000 } else { 0 },
        status: LineStatus::Success,
        institution: String::new(),
        original_order_id: None,
    }
}

fn payment(order: &str, date: Date, amount_fen: i64) -> SettlementLine {
    line(LineKind::Payment, "M1", order, date, amount_fen)
}

fn zm(lines: &[SettlementLine]) -> Vec<fixed::Texts> {
    lines.iter().map(|line| unionpay::zm_row(line, None, &TransactionCodes::default())).collect()
}

fn zip(date: Date, zm: Vec<fixed::Texts>, zme: Vec<fixed::Texts>) -> Vec<u8> {
    let members = [(Kind::Zm, zm), (Kind::Zme, zme)].map(|(kind, rows)| {
        let mut bytes = Vec::new();
        unionpay::write(kind, rows, &mut bytes).unwrap();
        bytes
    });
    unionpay::write_archive("M1", date, &members[0][..], &members[1][..], Vec::new()).unwrap()
}

fn begin(world: &World, date: Date, format: pb::FileFormat, bytes: &[u8]) -> pb::BeginUploadRequest {
    use pb::FileFormat::{Camt053, Camt054, UnionpayZip};
    let is_statement = matches!(format, Camt053 | Camt054);
    let content = if is_statement { pb::FileContent::Statement } else { pb::FileContent::Settlement };
    let name = if format == UnionpayZip { unionpay::archive_name("M1", date) } else { String::new() };
    // A zip's name has the merchant.
    let merchant_id = if is_statement || format == UnionpayZip { "" } else { "M1" };
    pb::BeginUploadRequest {
        request_id: id(world),
        clearing_date: date.to_string(),
        format: format.into(),
        content: content.into(),
        channel: String::new(),
        merchant_id: merchant_id.into(),
        file_name: name,
        size_bytes: bytes.len() as i64,
        sha256: hex::encode(Sha256::digest(bytes)),
    }
}

async fn send(world: &World, wanted: &pb::BeginUploadRequest, bytes: &[u8]) -> Result<pb::SettlementFile, Status> {
    world.unionpay.call(BEGIN, &wanted.encode_to_vec(), world.now_s()).await?;
    let file = format!("files/{}", wanted.request_id);
    let data = bytes.to_vec().into();
    let chunk = pb::UploadChunkRequest { file: file.clone(), offset: 0, data }.encode_to_vec();
    world.unionpay.call(CHUNK, &chunk, world.now_s()).await?;
    complete(world, &file).await
}

pub async fn deliver(world: &World, date: Date, format: pb::FileFormat, bytes: &[u8]) -> pb::SettlementFile {
    send(world, &begin(world, date, format, bytes), bytes).await.unwrap()
}

pub async fn run(world: &World, date: Date) -> pb::Run {
    let request = pb::StartRunRequest {
        request_id: id(world),
        channel: "channels/unionpay".into(),
        clearing_date: date.to_string(),
        allow_missing_files: true,
    };
    let path = "/jjj.gateway.v1.ReconciliationService/StartRun";
    ask::<pb::StartRunResponse>(world, &world.hebei_admin, path, &request).await.unwrap().run.unwrap()
}

pub async fn breaks(world: &World) -> Vec<pb::Break> {
    let request = pb::ListBreaksRequest { page_size: 1_000, ..Default::default() };
    let path = "/jjj.gateway.v1.ReconciliationService/ListBreaks";
    ask::<pb::ListBreaksResponse>(world, &world.gateway_admin, path, &request).await.unwrap().breaks
}

async fn unionpays_zip_is_run(database: TestDatabase) {
    let mut world = World::start(database).await;
    let date = past_date(&world);
    let before = date.plus_days(-1);
    decide(&world, "gateway", Account).await;
    decide(&world, "gateway", Payments { date: before, orders: vec![("EARLIER001".into(), 30_000)] }).await;
    let paid = ["ORDER0001", "ORDER0002"].map(|order| (order.to_owned(), 10_000));
    decide(&world, "gateway", Payments { date, orders: paid.to_vec() }).await;

    let first = zip(before, zm(&[payment("EARLIER001", before, 30_000)]), vec![]);
    let file = deliver(&world, before, pb::FileFormat::UnionpayZip, &first).await;
    assert_eq!((file.state(), file.rows, file.rejected_rows), (pb::FileState::Received, 1, 0));
    let balanced = run(&world, before).await;
    assert_eq!(balanced.state(), pb::RunState::Balanced, "{balanced:?}");

    // The day: a payment, one voided, one of a merchant unknown here, a damaged row; ORDER0002 lacks. A
    // chargeback of the day before, and one of nobody knows what.
    let voided = payment("VOIDED001", date, 500);
    let mut rows = zm(&[payment("ORDER0001", date, 10_000), voided.clone(), payment("STRANGE01", date, 100)]);
    let at = |name: &str| fixed::position(&fixed::ZM, name);
    rows[2][at("merchant_id")] = "M2".into();
    let mut void = rows[1].clone();
    void[at("transaction_code")] = "S32".into();
    void[at("original_trace_number")] = rows[1][at("trace_number")].clone();
    void[at("original_time")] = rows[1][at("transmission_time")].clone();
    let mut damaged = rows[0].clone();
    damaged[at("order_id")] = String::new();
    rows.extend([void, damaged]);
    let back = |order: &str, amount_fen: i64| Earlier {
        trace_number: unionpay::trace_of(order),
        time: before.starts_at().plus_us(10 * HOUR_US),
        clearing_date: before,
        amount_fen: Some(amount_fen),
    };
    let adjustment = |order: &str, amount_fen| line(LineKind::Refund, "M1", order, date, amount_fen);
    let adjustments = vec![
        unionpay::zme_row(&adjustment("CHARGE001", 2_000), &back("EARLIER001", 30_000)),
        // The same trace and time, another sum: not that payment.
        unionpay::zme_row(&adjustment("CHARGE002", 3_000), &back("EARLIER001", 99)),
    ];
    let bytes = zip(date, rows, adjustments);
    let file = deliver(&world, date, pb::FileFormat::UnionpayZip, &bytes).await;
    assert_eq!((file.state(), file.rows, file.rejected_rows), (pb::FileState::Received, 7, 1), "{file:?}");
    let rejected = &file.rejections[0];
    assert_eq!((rejected.line, rejected.byte_offset, rejected.field.as_str()), (5, 4 * 609, "order_id"));
    assert_eq!((rejected.reason.as_str(), rejected.message_zh.as_str()), ("MISSING", "缺少内容"));

    let ran = run(&world, date).await;
    let legs: Vec<_> = ran.legs.iter().map(|l| (l.rows, l.matched, l.broken, l.rejected)).collect();
    assert_eq!(legs, [(2, 1, 1, 0), (5, 1, 2, 2)], "{ran:?}");
    assert!(ran.identities.iter().all(|i| i.holds));
    let seen: Vec<(pb::BreakClass, i64)> =
        breaks(&world).await.iter().map(|b| (b.break_class(), b.amount_fen)).collect();
    for expected in [
        (pb::BreakClass::LedgerOnly, 10_000),
        // Whose payment it takes back is known, the refund is not.
        (pb::BreakClass::ChannelOnly, 2_000),
        (pb::BreakClass::RefundOrphan, 3_000),
        (pb::BreakClass::MissingField, 0),
    ] {
        assert!(seen.contains(&expected), "{expected:?} in {seen:?}");
    }
    assert_eq!(seen.len(), 4, "{seen:?}");

    // The corrected file supersedes; the same file twice changes nothing.
    let again = deliver(&world, date, pb::FileFormat::UnionpayZip, &bytes).await;
    assert_eq!((again.state(), &again.superseded_by), (pb::FileState::Superseded, &file.name));
    let corrected = zip(date, zm(&[payment("ORDER0001", date, 10_000), payment("ORDER0002", date, 10_000)]), vec![]);
    let corrected = deliver(&world, date, pb::FileFormat::UnionpayZip, &corrected).await;
    assert_eq!((corrected.state(), corrected.rejected_rows), (pb::FileState::Received, 0));
    let ran = run(&world, date).await;
    assert_eq!((ran.state(), ran.breaks_open), (pb::RunState::Balanced, 0), "{ran:?}");
    world.stop().await;
    world.verify().await;
}

pub fn statement(date: Date, account: &str, closing_fen: i64, paid: &[(&str, i64)]) -> Statement {
    let entry = |(n, (order, amount_fen)): (i64, &(&str, i64))| BankEntry {
        entry: n,
        part: 1,
        statement: 0,
        direction: EntryDirection::Debit,
        amount_fen: *amount_fen,
        entry_fen: -amount_fen,
        entry_status: EntryStatus::Booked,
        is_reversal: false,
        booked_on: Some(date),
        value_on: None,
        end_to_end_id: (*order).into(),
        bank_reference: String::new(),
        counterparty: INSTITUTION.into(),
        counterparty_account: "6200000000005678".into(),
    };
    let total: i64 = paid.iter().map(|(_, fen)| fen).sum();
    let balance = |amount_fen| Some(Balance { on: date, amount_fen });
    let statement = BankStatement {
        reference: format!("S-{account}"),
        account: account.into(),
        opening: balance(1_000_000),
        closing: balance(closing_fen),
        credit_fen: 0,
        debit_fen: total,
        entries: paid.len() as i64,
    };
    Statement { statement, entries: (1..).zip(paid).map(entry).collect() }
}

pub fn camt(message: CamtMessage, statement: Statement, date: Date) -> Vec<u8> {
    let mut bytes = Vec::new();
    camt::write(message, "MSG1", date.starts_at(), &[statement], &mut bytes).unwrap();
    bytes
}

async fn a_banks_statements_become_rows(database: TestDatabase) {
    use pb::FileFormat::{Camt053, Camt054};
    let mut world = World::start(database).await;
    let date = past_date(&world);
    let paid = [("PAYOUT0001", 40_000), ("PAYOUT0002", 60_000)];
    let bytes = camt(CamtMessage::Statement, statement(date, "A1", 900_000, &paid), date);
    let file = deliver(&world, date, Camt053, &bytes).await;
    assert_eq!((file.state(), file.rows, file.rejected_rows), (pb::FileState::Received, 2, 0), "{file:?}");
    let again = deliver(&world, date, Camt053, &bytes).await;
    assert_eq!(again.state(), pb::FileState::Superseded);
    // Another account's statement and a notice stand beside it.
    let other = camt(CamtMessage::Statement, statement(date, "A2", 1_000_000, &[]), date);
    let other = deliver(&world, date, Camt053, &other).await;
    let notice = camt(CamtMessage::Notification, statement(date, "A1", 0, &paid[..1]), date);
    let notice = deliver(&world, date, Camt054, &notice).await;
    assert_eq!((other.state(), notice.state()), (pb::FileState::Received, pb::FileState::Received));

    let unbalanced = camt(CamtMessage::Statement, statement(date, "A1", 900_001, &paid), date);
    let refused = deliver(&world, date, Camt053, &unbalanced).await;
    assert_eq!((refused.state(), refused.refusal.as_str()), (pb::FileState::Refused, "BALANCE"));
    assert_eq!((refused.refusal_detail.as_str(), refused.rows), ("S-A1", 0));
    assert_eq!(refused.refusal_message_zh, "期初余额加发生额不等于期末余额");
    let text = String::from_utf8(bytes).unwrap();
    let hostile = text.replacen("<Document", "<!DOCTYPE x [<!ENTITY a SYSTEM \"file:///etc/passwd\">]><Document", 1);
    let hostile = deliver(&world, date, Camt053, hostile.as_bytes()).await;
    assert_eq!((hostile.state(), hostile.refusal.as_str()), (pb::FileState::Refused, "XML_DOCUMENT_TYPE"));

    let mut session = world.gateway().store.read().await.unwrap();
    let query = ListQuery { limit: 100, ..ListQuery::default() };
    let statements: Vec<BankStatementRow> = session.list(&query).await.unwrap();
    let entries: Vec<BankEntryRow> = session.list(&query).await.unwrap();
    drop(session);
    let of = |name: &str| statements.iter().find(|s| s.file == name).unwrap();
    assert_eq!((statements.len(), entries.len()), (3, 3), "none of the refused and the repeated");
    let first = of(&file.name);
    assert_eq!((first.opening_fen, first.closing_fen, first.debit_fen), (Some(1_000_000), Some(900_000), 100_000));
    assert_eq!((of(&notice.name).opening_fen, of(&other.name).entries), (None, 0));
    let entry = entries.iter().find(|e| e.file == file.name && e.entry == 2).unwrap();
    assert_eq!((entry.end_to_end_id.as_str(), entry.entry_fen, entry.booked_on), ("PAYOUT0002", -60_000, date));
    assert_eq!((entry.counterparty.as_str(), entry.counterparty_last4.as_str()), (INSTITUTION, "5678"));

    // A corrected statement of the account replaces its own and no other.
    let corrected = camt(CamtMessage::Statement, statement(date, "A1", 960_000, &paid[..1]), date);
    let corrected = deliver(&world, date, Camt053, &corrected).await;
    let get = async |name: &str| {
        let request = pb::GetSettlementFileRequest { name: name.into() };
        let path = "/jjj.gateway.v1.ChannelService/GetSettlementFile";
        ask::<pb::SettlementFile>(&world, &world.unionpay, path, &request).await.unwrap()
    };
    assert_eq!(get(&file.name).await.superseded_by, corrected.name);
    assert_eq!(get(&other.name).await.state(), pb::FileState::Received);
    assert_eq!(get(&notice.name).await.state(), pb::FileState::Received);
    // Nothing in it is an operating subsidy of the ledger: the run leaves it to the statements.
    let ran = run(&world, date).await;
    assert_eq!((ran.state(), ran.legs[1].rows), (pb::RunState::Balanced, 0), "{ran:?}");
    world.stop().await;
    world.verify().await;
}

async fn formats_are_refused_where_they_do_not_belong(database: TestDatabase) {
    let mut world = World::start(database).await;
    let date = past_date(&world);
    let bytes = zip(date, vec![], vec![]);
    let good = begin(&world, date, pb::FileFormat::UnionpayZip, &bytes);
    type Spoil = fn(&mut pb::BeginUploadRequest);
    let table: [(Spoil, &str); 7] = [
        (|q| q.file_name.clear(), "FIELD_MISSING"),
        (|q| q.format = pb::FileFormat::UnionpayZm.into(), "FIELD_MISSING"),
        (|q| q.content = pb::FileContent::Statement.into(), "FIELD_NOT_APPLICABLE"),
        (|q| q.format = pb::FileFormat::Camt053.into(), "FIELD_NOT_APPLICABLE"),
        (|q| q.clearing_date = "2026-01-01".into(), "FIELD_MALFORMED"),
        (|q| q.merchant_id = "M2".into(), "FIELD_MALFORMED"),
        (|q| q.file_name = "day.zip".into(), "FIELD_MALFORMED"),
    ];
    let leaves = world.leaves().await;
    for (n, (spoil, expected)) in table.into_iter().enumerate() {
        let mut wanted = good.clone();
        spoil(&mut wanted);
        let refused = world.unionpay.call(BEGIN, &wanted.encode_to_vec(), world.now_s()).await.unwrap_err();
        assert_eq!(reason(&refused), expected, "{n}");
    }
    assert_eq!(world.leaves().await, leaves);
    assert_eq!(send(&world, &good, &bytes).await.unwrap().state(), pb::FileState::Received);
    // A zip cut short is kept and refused; a bare ZM and a bare ZME stand side by side.
    let cut = deliver(&world, date, pb::FileFormat::UnionpayZip, &bytes[..bytes.len() - 9]).await;
    assert_eq!((cut.state(), cut.refusal.as_str()), (pb::FileState::Refused, "ARCHIVE_DAMAGED"));
    let other = date.plus_days(-1);
    let mut zm_bytes = Vec::new();
    unionpay::write(Kind::Zm, zm(&[payment("ORDER0001", other, 100)]), &mut zm_bytes).unwrap();
    let back =
        Earlier { trace_number: "000001".into(), time: other.starts_at(), clearing_date: other, amount_fen: Some(100) };
    let mut zme_bytes = Vec::new();
    let adjustment = line(LineKind::Refund, "M1", "CHARGE001", other, 100);
    unionpay::write(Kind::Zme, [unionpay::zme_row(&adjustment, &back)], &mut zme_bytes).unwrap();
    let zm_file = deliver(&world, other, pb::FileFormat::UnionpayZm, &zm_bytes).await;
    let zme_file = deliver(&world, other, pb::FileFormat::UnionpayZme, &zme_bytes).await;
    assert_eq!((zm_file.rows, zme_file.rows), (1, 1));
    let request = pb::GetSettlementFileRequest { name: zm_file.name };
    let path = "/jjj.gateway.v1.ChannelService/GetSettlementFile";
    let known: pb::SettlementFile = ask(&world, &world.unionpay, path, &request).await.unwrap();
    assert_eq!(known.state(), pb::FileState::Received);
    world.stop().await;
    world.verify().await;
}

async fn the_expected_merchants_files_are_named(database: TestDatabase) {
    let mut world = World::start(database).await;
    let date = past_date(&world);
    let body = serde_json::json!({
        "prefunded": true, "fee_bearer": "INSTITUTION", "grace_working_days": 1, "refund_months": 11,
        "expected_files": 1, "expected_merchants": ["M1", "M2"],
    });
    let request = pb::SetPolicyRequest {
        request_id: id(&world),
        kind: "channel".into(),
        scope: "unionpay".into(),
        effective_from: date.to_string(),
        body: body.to_string(),
        reason: "按商户交付".into(),
    };
    let path = "/jjj.gateway.v1.PolicyService/SetPolicy";
    ask::<pb::SetPolicyResponse>(&world, &world.gateway_admin, path, &request).await.unwrap();
    let bytes = zip(date, vec![], vec![]);
    let file = deliver(&world, date, pb::FileFormat::UnionpayZip, &bytes).await;
    assert_eq!(file.merchant_id, "M1", "by the zip's name");
    let ran = run(&world, date).await;
    assert_eq!(ran.state(), pb::RunState::Incomplete);
    let files: Vec<(&str, &str)> =
        ran.expected_files.iter().map(|f| (f.merchant_id.as_str(), f.file.as_str())).collect();
    assert_eq!(files, [("M1", file.name.as_str()), ("M2", "")], "an absent file is not an empty one");
    let missing = breaks(&world).await;
    assert_eq!((missing.len(), missing[0].break_class()), (1, pb::BreakClass::FileMissing));
    assert_eq!(missing[0].subject, format!("channels/unionpay {date} M2"));
    world.stop().await;
    world.verify().await;
}
