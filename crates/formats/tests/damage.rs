//! Damaged rows are set aside with line, byte, field and reason; damaged and hostile files are
//! refused whole. One table per format.

use std::io::{self, Read};
use std::path::Path;

use jjj_domain::policy::TransactionCodes;
use jjj_domain::recon::FileFormat;
use jjj_domain::recon::bank::MAX_ENTRIES;
use jjj_domain::recon::file::FaultReason;
use jjj_domain::recon::refusal::RefusalReason;
use jjj_domain::time::Date;
use jjj_formats::fixed::{self, Texts, ZM, ZME, position};
use jjj_formats::unionpay::{self, Kind, date_near, time_near};
use jjj_formats::{Context, Record, rows, zip};

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)).unwrap()
}

fn context() -> Context {
    Context { clearing_date: "2026-11-18".parse().unwrap(), codes: TransactionCodes::default() }
}

/// How many rows are taken, and the faults of the others; or the refusal.
type Read_ = Result<(usize, Vec<(i64, i64, String, FaultReason)>), RefusalReason>;

fn read(format: FileFormat, bytes: &[u8]) -> Read_ {
    let (mut taken, mut faults) = (0, Vec::new());
    for row in rows(format, bytes, context()) {
        match row.map_err(|refusal| refusal.reason)? {
            Ok(_) => taken += 1,
            Err(fault) => faults.push((fault.line, fault.byte_offset, fault.field, fault.reason)),
        }
    }
    Ok((taken, faults))
}

fn texts(kind: Kind) -> Texts {
    let (name, width) = if kind == Kind::Zm { ("zm.txt", 607) } else { ("zme.txt", 339) };
    fixed::split(kind.fields(), &golden(name)[..width]).unwrap()
}

#[test]
fn a_damaged_row_of_zm_or_zme_names_its_field() {
    use FaultReason::{Malformed, Missing, OutOfRange, UnknownCode};
    let table: [(Kind, &str, &str, FaultReason); 22] = [
        (Kind::Zm, "transaction_code", "", Missing),
        (Kind::Zm, "transaction_code", "S99", UnknownCode),
        (Kind::Zm, "order_id", "", Missing),
        (Kind::Zm, "order_id", "SHORT", Malformed),
        (Kind::Zm, "order_id", "ORDER-00001", Malformed),
        (Kind::Zm, "trace_number", "", Missing),
        (Kind::Zm, "transmission_time", "", Missing),
        (Kind::Zm, "transmission_time", "1318101500", Malformed),
        (Kind::Zm, "transmission_time", "1118241500", Malformed),
        (Kind::Zm, "transmission_time", "0229101500", Malformed),
        (Kind::Zm, "amount", "", Missing),
        (Kind::Zm, "amount", "999999999999", OutOfRange),
        (Kind::Zm, "fee", "C000000000001", OutOfRange),
        (Kind::Zm, "settlement_amount", "D000000049900", OutOfRange),
        (Kind::Zm, "merchant_id", "", Missing),
        (Kind::Zm, "merchant_id", "商户", Malformed),
        (Kind::Zme, "settlement_amount", "", Missing),
        (Kind::Zme, "previous_trace_number", "", Missing),
        (Kind::Zme, "previous_time", "1117993000", Malformed),
        (Kind::Zme, "previous_clearing_date", "1131", Malformed),
        (Kind::Zme, "previous_amount", "", Missing),
        (Kind::Zme, "transaction_code", "", Missing),
    ];
    for (kind, field, text, reason) in table {
        let (good, mut bad) = (texts(kind), texts(kind));
        bad[position(kind.fields(), field)] = text.into();
        let mut bytes = Vec::new();
        unionpay::write(kind, [good, bad], &mut bytes).unwrap();
        let format = if kind == Kind::Zm { FileFormat::UnionpayZm } else { FileFormat::UnionpayZme };
        let offset = bytes.len() as i64 / 2;
        assert_eq!(read(format, &bytes), Ok((1, vec![(2, offset, field.to_owned(), reason)])), "{field} {text:?}");
    }
}

#[test]
fn a_row_of_another_length_costs_itself_only_and_another_encoding_the_file() {
    let good = golden("zm.txt");
    let whole = |_: ()| (1, 0, String::new(), FaultReason::FieldCount);
    let short = [b"short\r\n", &good[..]].concat();
    assert_eq!(read(FileFormat::UnionpayZm, &short), Ok((2, vec![whole(())])));
    let long = [&[b'x'; 60_000][..], b"\n", &good].concat();
    assert_eq!(read(FileFormat::UnionpayZm, &long), Ok((2, vec![whole(())])));
    // The last row may lack its end, and ends may be LF alone.
    let lf = good[..good.len() - 2].iter().copied().filter(|b| *b != b'\r').collect::<Vec<_>>();
    assert_eq!(read(FileFormat::UnionpayZm, &lf), Ok((2, vec![])));
    assert_eq!(read(FileFormat::UnionpayZm, b""), Ok((0, vec![])), "an empty file is no damaged one");

    let (text, _) = encoding_rs_gbk(&good);
    assert_eq!(read(FileFormat::UnionpayZm, text.repeat(2).as_bytes()).unwrap().0, 2, "rows of ASCII are the same");
    let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(read(FileFormat::UnionpayZm, &utf16), Err(RefusalReason::NoReadableRow));
    assert_eq!(read(FileFormat::UnionpayZme, &good), Err(RefusalReason::NoReadableRow));
    assert_eq!(read(FileFormat::UnionpayZm, &vec![b'x'; 100_000]), Err(RefusalReason::RowTooLong));
}

fn encoding_rs_gbk(bytes: &[u8]) -> (String, bool) {
    let (text, _, is_lossy) = encoding_rs::GBK.decode(bytes);
    (text.into_owned(), is_lossy)
}

#[test]
fn dates_without_a_year_are_resolved_by_the_files() {
    let date = |text: &str| text.parse::<Date>().unwrap();
    for (of_file, mmdd, expected) in [
        ("2026-11-18", "1118", Some("2026-11-18")),
        ("2026-11-18", "1119", Some("2026-11-19")),
        ("2026-11-18", "1120", Some("2025-11-20")),
        ("2027-01-01", "1231", Some("2026-12-31")),
        ("2026-12-31", "0101", Some("2027-01-01")),
        ("2026-12-31", "0102", Some("2026-01-02")),
        ("2028-03-01", "0229", Some("2028-02-29")),
        ("2029-01-15", "0229", Some("2028-02-29")),
        ("2027-03-01", "0229", None),
        ("2026-11-18", "1300", None),
        ("2026-11-18", "11", None),
        ("2026-11-18", "+1+1", None),
    ] {
        assert_eq!(date_near(date(of_file), mmdd), expected.map(date), "{of_file} {mmdd}");
    }
    assert_eq!(time_near(date("2027-01-01"), "1231235959").unwrap().date(), date("2026-12-31"));
    assert_eq!(time_near(date("2027-01-01"), "123123595"), None);
}

#[test]
fn a_void_names_its_purchase() {
    let mut void = texts(Kind::Zm);
    for (name, text) in [
        ("transaction_code", "S32"),
        ("original_trace_number", "000123"),
        ("original_time", "1118101500"),
        ("order_id", ""),
    ] {
        void[position(&ZM, name)] = text.into();
    }
    let mut bytes = Vec::new();
    unionpay::write(Kind::Zm, [texts(Kind::Zm), void], &mut bytes).unwrap();
    let records: Vec<Record> =
        rows(FileFormat::UnionpayZm, &bytes[..], context()).map(|row| row.unwrap().unwrap()).collect();
    let [Record::Numbered(line, trace), Record::Void(void)] = &records[..] else { panic!("{records:?}") };
    assert_eq!((&void.purchase.trace_number, void.purchase.time), (trace, line.transaction_time));
    assert_eq!((&void.merchant_id, void.purchase.amount_fen), (&line.merchant_id, Some(line.amount_fen)));
}

#[test]
fn zips_of_other_members() {
    let zip = |members: &[(&str, &[u8])]| {
        let mut writer = zip::Writer::new(Vec::new());
        for (name, content) in members {
            writer.member(name, &mut &content[..]).unwrap();
        }
        writer.finish().unwrap()
    };
    let zm = golden("zm.txt");
    let of = |members: &[(&str, &[u8])]| read(FileFormat::UnionpayZip, &zip(members));
    assert_eq!(of(&[("INN_ZM_1", &zm), ("INN_ZME_1", b"")]), Ok((2, vec![])));
    assert_eq!(of(&[("ZM_1", b"")]), Ok((0, vec![])), "an empty member is an empty file");
    assert_eq!(of(&[("INN_1", &zm)]), Err(RefusalReason::MemberMissing));
    assert_eq!(of(&[("ZM_1", &zm), ("README.txt", b"")]), Err(RefusalReason::MemberUnknown));
    assert_eq!(of(&[("../ZM_1", &zm)]), Err(RefusalReason::MemberName));
    assert_eq!(read(FileFormat::UnionpayZip, &zm), Err(RefusalReason::ArchiveDamaged));
    assert_eq!(read(FileFormat::UnionpayZip, b""), Err(RefusalReason::ArchiveDamaged));
    let whole = zip(&[("ZM_1", &zm), ("ZME_1", &golden("zme.txt"))]);
    for len in 0..whole.len() {
        assert!(read(FileFormat::UnionpayZip, &whole[..len]).is_err(), "cut at {len}");
    }
}

fn statement(change: impl Fn(String) -> String) -> Read_ {
    let text = change(String::from_utf8(golden("camt053.xml")).unwrap());
    read(FileFormat::Camt053, text.as_bytes())
}

#[test]
fn a_damaged_entry_is_set_aside_and_still_counts_in_the_balance() {
    use FaultReason::{Malformed, Missing, OutOfRange};
    type Change = (&'static str, &'static str);
    let table: [(Change, &str, FaultReason); 10] = [
        (("<BookgDt><Dt>2026-11-18", "<BookgDt><Dt>2026-13-18"), "Ntry/BookgDt", Malformed),
        (("<ValDt><Dt>2026-11-18</Dt></ValDt>", "<ValDt></ValDt>"), "Ntry/ValDt", Malformed),
        (
            ("<BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>ICDT</Cd><SubFmlyCd>DMCT</SubFmlyCd></Fmly></Domn></BkTxCd>", ""),
            "Ntry/BkTxCd",
            Missing,
        ),
        (("<NbOfTxs>2</NbOfTxs>", "<NbOfTxs>3</NbOfTxs>"), "Ntry/NtryDtls/Btch", OutOfRange),
        (("\">500.05</Amt>", "\">500.04</Amt>"), "Ntry/NtryDtls", OutOfRange),
        (("<Amt Ccy=\"CNY\">500.05</Amt>", ""), "Ntry/NtryDtls/TxDtls/Amt", Missing),
        (("\">500.05</Amt>", "\">500.055</Amt>"), "Ntry/NtryDtls/TxDtls/Amt", Malformed),
        // A byte order mark where decimals are: found by fuzzing.
        (("\">500.05</Amt>", "\">500.0\u{feff}5</Amt>"), "Ntry/NtryDtls/TxDtls/Amt", Malformed),
        (
            ("20261118CLAIM001", "2026111800000000000000000000CLAIM001"),
            "Ntry/NtryDtls/TxDtls/Refs/EndToEndId",
            Malformed,
        ),
        (("<Sts><Cd>BOOK</Cd></Sts>", "<Sts><Cd>BOOK</Cd></Sts><Odd/>"), "Ntry/Odd", Malformed),
    ];
    let byte = String::from_utf8(golden("camt053.xml")).unwrap().find("<Ntry>").unwrap() as i64;
    for ((from, to), field, reason) in table {
        let read = statement(|text| {
            assert!(text.contains(from), "{from}");
            text.replacen(from, to, 1)
        });
        assert_eq!(read, Ok((2, vec![(1, byte, field.to_owned(), reason)])), "{to}");
    }
}

#[test]
fn a_damaged_message_is_refused_whole() {
    use RefusalReason::*;
    let deep = format!("<MsgId>{}", "<a>".repeat(40));
    let long = format!("<MsgId>{}", "x".repeat(200_000));
    let many = format!("<MsgId>{}", "<a/>".repeat(10_000));
    let table: [((&str, &str), RefusalReason); 30] = [
        (("8499.95", "8499.96"), Balance),
        (("<Cd>CLBD</Cd>", "<Cd>ITBD</Cd>"), Balance),
        (("<Cd>CLBD</Cd>", "<Cd>OPBD</Cd>"), Balance),
        // An amount that cannot be read leaves nothing to prove the balance with.
        (("1500.05", "x"), Balance),
        (("<Sts><Cd>BOOK", "<Sts><Cd>ODD"), Balance),
        (("Ccy=\"CNY\">1500.05", "Ccy=\"EUR\">1500.05"), Currency),
        (("<Ccy>CNY", "<Ccy>USD"), Currency),
        (("<Amt Ccy=\"CNY\">10000.00", "<Amt>10000.00"), Schema),
        (("10000.00", "1e4"), Schema),
        (("<MsgId>ABC20261118</MsgId>", ""), Schema),
        (("<Id>STMT20261118</Id>", ""), Schema),
        (("<Id>STMT20261118</Id>", "<Id>STMT</Id><Id>STMT</Id>"), Schema),
        (("</Acct>", "</Acct><Unknown/>"), Schema),
        (("</Acct>", "</Acct>text"), Schema),
        (("</Stmt>", "<TxsSummry/></Stmt>"), Schema),
        (("<BkToCstmrStmt>", "<BkToCstmrStmt><a xmlns=\"other\"/>"), Schema),
        (("053.001.14", "053.001.07"), MessageUnknown),
        (("053.001.14", "054.001.14"), MessageUnknown),
        (("urn:iso", "urn:os"), MessageUnknown),
        (("<Document ", "<!DOCTYPE Document [<!ENTITY a \"b\">]><Document "), XmlDocumentType),
        (("<Document ", "<!DOCTYPE Document SYSTEM \"file:///etc/passwd\"><Document "), XmlDocumentType),
        (("STMT20261118", "&xxe;"), XmlEntity),
        (("<MsgId>", "<MsgId>\0"), XmlMalformed),
        (("<MsgId>", "<MsgId>&#0;"), XmlMalformed),
        (("</Stmt>", ""), XmlMalformed),
        (("</Document>", "</Document><a/>"), XmlMalformed),
        (("<MsgId>", &deep), XmlTooLarge),
        (("<MsgId>", &long), XmlTooLarge),
        (("<MsgId>", &many), XmlTooLarge),
        (("encoding=\"UTF-8\"", "encoding=\"GBK\""), Encoding),
    ];
    for ((from, to), expected) in table {
        let found = statement(|text| {
            assert!(text.contains(from), "{from}");
            text.replacen(from, to, 1)
        });
        assert_eq!(found, Err(expected), "{}", &to[..to.len().min(60)]);
    }
    assert_eq!(read(FileFormat::Camt053, b""), Err(XmlMalformed));
    assert_eq!(read(FileFormat::Camt053, b"\xff\xfe<\0D\0"), Err(Encoding));
    assert_eq!(read(FileFormat::Camt053, &golden("camt054.xml")), Err(MessageUnknown));
    let latin = golden("camt053.xml").iter().map(|b| if *b == b'&' { 0xff } else { *b }).collect::<Vec<_>>();
    assert_eq!(read(FileFormat::Camt053, &latin), Err(Encoding));
    let good = golden("camt053.xml");
    for len in 0..good.len() - 1 {
        assert!(read(FileFormat::Camt053, &good[..len]).is_err(), "cut at {len}");
    }
}

/// Its transactions become rows in one transaction of the database.
#[test]
fn an_entry_has_only_so_many_transactions() {
    let more = |n: usize| {
        let part = "<TxDtls><Amt Ccy=\"CNY\">1.00</Amt><CdtDbtInd>DBIT</CdtDbtInd></TxDtls>".repeat(n);
        statement(|text| text.replacen("</NtryDtls>", &format!("{part}</NtryDtls>"), 1))
    };
    // The golden entry has two; with so many they no longer add up to it, which costs the entry alone.
    let (_, faults) = more(MAX_ENTRIES - 2).expect("taken");
    assert!(faults.iter().all(|(entry, ..)| *entry == 1) && !faults.is_empty(), "{:?}", faults.first());
    assert_eq!(more(MAX_ENTRIES - 1), Err(RefusalReason::TooManyEntries));
}

#[test]
fn stated_totals_must_be_those_of_the_entries() {
    let with = |summary: &str| {
        let summary = format!("<TxsSummry>{summary}</TxsSummry>");
        statement(|text| text.replacen("<Ntry>", &format!("{summary}<Ntry>"), 1))
    };
    let total = |number: &str, sum: &str| format!("<NbOfNtries>{number}</NbOfNtries><Sum>{sum}</Sum>");
    let net = |sum: &str, way: &str| format!("<TtlNetNtry><Amt>{sum}</Amt><CdtDbtInd>{way}</CdtDbtInd></TtlNetNtry>");
    let all = |inner: String| with(&format!("<TtlNtries>{inner}</TtlNtries>"));
    let good = Ok((4, vec![]));
    assert_eq!(all(total("2", "1507.05") + &net("1493.05", "DBIT")), good);
    assert_eq!(with(&format!("<TtlCdtNtries>{}</TtlCdtNtries>", total("1", "7.00"))), good);
    assert_eq!(with(&format!("<TtlDbtNtries>{}</TtlDbtNtries>", total("1", "1500.0500"))), good);
    for bad in [total("3", "1507.05"), total("2", "1507.06"), total("2", "x"), net("1493.05", "CRDT")] {
        assert_eq!(all(bad.clone()), Err(RefusalReason::ControlTotal), "{bad}");
    }
}

/// The golden rows again and again, each time of another order: a file of any size.
struct Endless {
    rows: Vec<u8>,
    left: usize,
    at: usize,
}

impl Endless {
    fn new(times: usize) -> Self {
        Self { rows: golden("zm.txt"), left: times, at: 0 }
    }

    fn turn(&mut self) {
        (self.at, self.left) = (0, self.left - 1);
        // Knuth's multiplier: digits as unlike each other as those of real orders.
        let number = (self.left as u64).wrapping_mul(6_364_136_223_846_793_005) >> 20;
        let digits = format!("{:014}", number % 100_000_000_000_000);
        self.rows[28..34].copy_from_slice(&digits.as_bytes()[..6]);
        self.rows[112..120].copy_from_slice(&digits.as_bytes()[6..]);
    }
}

impl Read for Endless {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.left > 0 && self.at == self.rows.len() {
            self.turn();
        }
        if self.left == 0 {
            return Ok(0);
        }
        let n = into.len().min(self.rows.len() - self.at);
        into[..n].copy_from_slice(&self.rows[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

/// Most memory that the process has had, KiB.
fn peak_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find(|line| line.starts_with("VmHWM:"))?.split_whitespace().nth(1)?.parse().ok()
}

#[test]
fn a_file_of_any_size_streams_through_in_bounded_memory() {
    let is_campaign = std::env::var_os("JJJ_CAMPAIGN").is_some();
    let times = if is_campaign { 4_000_000 } else { 50_000 };
    let before = peak_kib();
    let n = rows(FileFormat::UnionpayZm, Endless::new(times), context()).filter(|row| matches!(row, Ok(Ok(_)))).count();
    assert_eq!(n, 2 * times);
    let mut packed = zip::Writer::new(Vec::new());
    packed.member("ZM_1", &mut Endless::new(times.min(400_000))).unwrap();
    let packed = packed.finish().unwrap();
    let n = rows(FileFormat::UnionpayZip, &packed[..], context()).filter(|row| matches!(row, Ok(Ok(_)))).count();
    assert_eq!(n, 2 * times.min(400_000));
    if let (Some(before), Some(after)) = (before, peak_kib()) {
        let packed_kib = packed.len() as u64 / 1024;
        assert!(after - before < 16 * 1024 + 3 * packed_kib, "{} KiB for {times} rows", after - before);
    }
}

#[test]
fn an_unused_field_of_zme_is_not_needed() {
    let texts = texts(Kind::Zme);
    assert!(texts[position(&ZME, "account")].is_empty());
    assert_eq!(read(FileFormat::UnionpayZme, &golden("zme.txt")), Ok((1, vec![])));
}
