//! The golden files, made by hand from the published layouts, byte for byte both ways.

use std::path::Path;

use jjj_domain::policy::TransactionCodes;
use jjj_domain::recon::FileFormat;
use jjj_domain::recon::bank::{Balance, BankEntry, BankStatement, EntryDirection, EntryStatus};
use jjj_domain::recon::file::{LineKind, SettlementLine, beijing_text};
use jjj_formats::camt::{self, Message, Statement};
use jjj_formats::fixed::{self, ZM, ZME, position};
use jjj_formats::unionpay::{self, Kind};
use jjj_formats::{Context, Earlier, Record, Traced, csv, rows};

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)).unwrap()
}

fn read(format: FileFormat, name: &str) -> Vec<Record> {
    let context = Context { clearing_date: "2026-11-18".parse().unwrap(), codes: TransactionCodes::default() };
    rows(format, golden(name).as_slice(), context).map(|row| row.unwrap().unwrap()).collect()
}

fn earlier(trace: &str, time: &str, date: &str, amount_fen: Option<i64>) -> Earlier {
    Earlier {
        trace_number: trace.into(),
        time: jjj_domain::recon::file::parse_beijing(time).unwrap(),
        clearing_date: date.parse().unwrap(),
        amount_fen,
    }
}

#[test]
fn zm() {
    let read = read(FileFormat::UnionpayZm, "zm.txt");
    let [Record::Numbered(payment, trace), Record::Traced(refund)] = &read[..] else { panic!("{read:?}") };
    assert_eq!((payment.line, payment.byte_offset, payment.kind), (1, 0, LineKind::Payment));
    assert_eq!((payment.merchant_id.as_str(), payment.order_id.as_str()), ("898131082990001", "20261118ORDER001"));
    assert_eq!((payment.amount_fen, payment.fee_fen, trace.as_str()), (50_000, 100, "000123"));
    assert_eq!(beijing_text(payment.transaction_time), "20261118101500");
    let line = &refund.line;
    assert_eq!((line.line, line.byte_offset, line.kind), (2, 609, LineKind::Refund));
    assert_eq!((line.order_id.as_str(), line.amount_fen, line.fee_fen), ("20261118REFUND01", 10_000, 0));
    assert_eq!(refund.earlier, earlier("000123", "20261118101500", "2026-11-18", None));
    assert_eq!(line.original_order_id.as_deref(), Some("T202611181118101500000123"));

    let bytes = golden("zm.txt");
    let texts: Vec<_> = bytes.chunks(609).map(|row| fixed::split(&ZM, &row[..607]).unwrap()).collect();
    let of = |name: &str| texts[0][position(&ZM, name)].as_str();
    assert_eq!(of("sub_merchant_name"), "三河市燕郊颐养中心");
    assert_eq!(of("merchant_field"), "护理费2026年11月");
    assert_eq!((of("sub_merchant_id"), of("terminal_id")), ("898131082990002", "01080209"));
    let mut written = Vec::new();
    unionpay::write(Kind::Zm, texts, &mut written).unwrap();
    assert_eq!(written, bytes);
}

#[test]
fn zme() {
    let read = read(FileFormat::UnionpayZme, "zme.txt");
    let [Record::Traced(Traced { line, earlier: found })] = &read[..] else { panic!("{read:?}") };
    assert_eq!(
        (line.kind, line.amount_fen, line.order_id.as_str()),
        (LineKind::Refund, 2_000, "E202611181118120000000900")
    );
    assert_eq!(*found, earlier("000077", "20261117093000", "2026-11-17", Some(30_000)));
    let mut texts = unionpay::zme_row(line, found);
    // The sandbox's own trace numbers come from the order.
    texts[position(&ZME, "trace_number")] = "000900".into();
    let mut written = Vec::new();
    unionpay::write(Kind::Zme, [texts], &mut written).unwrap();
    let mut expected = golden("zme.txt");
    // A fee of nothing is written as a debit or a credit of nothing.
    assert_eq!(&expected[126..139], b"C000000000000");
    expected[126..139].copy_from_slice(&written[126..139]);
    assert_eq!(written, expected);
}

#[test]
fn the_zip_of_another_tool() {
    let read = read(FileFormat::UnionpayZip, "898131082990001_20261118.zip");
    assert_eq!(read.len(), 3);
    let Record::Traced(Traced { line, .. }) = &read[2] else { panic!("{read:?}") };
    assert_eq!((line.line, line.byte_offset), (3, 2 * 609), "lines run on through the members");
}

#[test]
fn settlement_csv() {
    let read = read(FileFormat::Csv, "settlement.csv");
    let lines: Vec<&SettlementLine> = read
        .iter()
        .filter_map(|record| match record {
            Record::Line(line) => Some(line),
            _ => None,
        })
        .collect();
    let mut written = Vec::new();
    csv::write(lines, &mut written).unwrap();
    assert_eq!(String::from_utf8(written).unwrap(), String::from_utf8(golden("settlement.csv")).unwrap());
}

fn entry(entry: i64, part: i64, direction: EntryDirection, amount_fen: i64, entry_fen: i64) -> BankEntry {
    BankEntry {
        entry,
        part,
        statement: 0,
        direction,
        amount_fen,
        entry_fen,
        entry_status: EntryStatus::Booked,
        is_reversal: false,
        booked_on: Some("2026-11-18".parse().unwrap()),
        value_on: Some("2026-11-18".parse().unwrap()),
        end_to_end_id: String::new(),
        bank_reference: String::new(),
        counterparty: String::new(),
        counterparty_account: String::new(),
    }
}

fn both_ways(message: Message, format: FileFormat, name: &str, id: &str, time: &str, expected: Statement) {
    let mut read = read(format, name);
    assert_eq!(read.pop(), Some(Record::Statement(expected.statement.clone())));
    let entries: Vec<Record> = expected.entries.iter().cloned().map(Record::Entry).collect();
    assert_eq!(read, entries);
    let mut written = Vec::new();
    let created_at = jjj_domain::recon::file::parse_beijing(time).unwrap();
    camt::write(message, id, created_at, &[expected], &mut written).unwrap();
    assert_eq!(String::from_utf8(written).unwrap(), String::from_utf8(golden(name)).unwrap());
}

#[test]
fn camt053() {
    let on = "2026-11-18".parse().unwrap();
    let balance = |amount_fen| Some(Balance { on, amount_fen });
    let entries = vec![
        BankEntry {
            end_to_end_id: "20261118CLAIM001".into(),
            bank_reference: "BR000001".into(),
            counterparty: "52131082XXXX00043X".into(),
            counterparty_account: "1300001040005678".into(),
            ..entry(1, 1, EntryDirection::Debit, 100_000, -150_005)
        },
        entry(1, 2, EntryDirection::Debit, 50_005, -150_005),
        BankEntry {
            entry_status: EntryStatus::Pending,
            booked_on: None,
            value_on: None,
            bank_reference: "INT&1".into(),
            ..entry(2, 0, EntryDirection::Credit, 700, 700)
        },
    ];
    let statement = BankStatement {
        reference: "STMT20261118".into(),
        account: "1100001040001234".into(),
        opening: balance(1_000_000),
        closing: balance(849_995),
        credit_fen: 0,
        debit_fen: 150_005,
        entries: 2,
    };
    let expected = Statement { statement, entries };
    both_ways(Message::Statement, FileFormat::Camt053, "camt053.xml", "ABC20261118", "20261119080000", expected);
}

#[test]
fn camt054() {
    let entries = vec![BankEntry {
        is_reversal: true,
        value_on: None,
        end_to_end_id: "20261118CLAIM001".into(),
        counterparty: "52131082XXXX00043X".into(),
        ..entry(1, 1, EntryDirection::Credit, 100_000, 100_000)
    }];
    let statement = BankStatement {
        reference: "NTFCTN1".into(),
        account: "1100001040001234".into(),
        opening: None,
        closing: None,
        credit_fen: 100_000,
        debit_fen: 0,
        entries: 1,
    };
    let expected = Statement { statement, entries };
    both_ways(Message::Notification, FileFormat::Camt054, "camt054.xml", "ABC20261118N", "20261118160000", expected);
}
