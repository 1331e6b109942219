//! LibreOffice itself opens what administrators are handed: every workbook, cell by cell against the same
//! report in JSON; and a settlement file that it saved is read. Runs where LibreOffice is installed;
//! `./campaign` installs it, `./test` does not.

use std::path::Path;
use std::process::{Command, Stdio};

use jjj_domain::policy::TransactionCodes;
use jjj_domain::recon::FileFormat;
use jjj_domain::recon::file::{LineKind, LineStatus, SettlementLine};
use jjj_domain::time::{Date, Timestamp};
use jjj_formats::{Context, Record, rows};
use jjj_tests::gateway::{Site, jjj, workspace};
use jjj_tests::postgres::TestDatabase;
use jjj_tests::python::python;
use jjj_tests::world::{self, BOOK, CHEN, Systems, UNIONPAY, World, authorise, done};
use serde_json::json;

/// Whether LibreOffice is here; a campaign without it has failed.
fn is_here() -> bool {
    let version = Command::new("soffice").arg("--version").stdin(Stdio::null()).output();
    let is_here = version.is_ok_and(|output| output.status.success());
    assert!(is_here || std::env::var_os("JJJ_CAMPAIGN").is_none(), "./campaign needs LibreOffice");
    if !is_here {
        println!("LibreOffice is not installed: nothing was compared");
    }
    is_here
}

fn script(what: &str, folder: &Path) {
    let output = Command::new(python())
        .arg(workspace().join("tests/python/libreoffice.py"))
        .args([what.as_ref(), folder.as_os_str()])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .expect("python runs");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{said}");
    println!("{said}");
}

fn line(order: &str, at: Timestamp, amount_fen: i64, institution: &str) -> SettlementLine {
    SettlementLine {
        line: 0,
        byte_offset: 0,
        kind: LineKind::Payment,
        merchant_id: "098110000000001".into(),
        order_id: order.into(),
        transaction_time: at,
        amount_fen,
        fee_fen: (amount_fen * 20 + 5_000) / 10_000,
        status: LineStatus::Success,
        institution: institution.replace("institutions/", ""),
        original_order_id: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_workbook_is_the_report() {
    if !is_here() {
        return;
    }
    let database = TestDatabase::sqlite();
    let site = Site::init(database.url());
    let gateway = site.serve();
    let systems = Systems::of(&gateway);
    let world = World::build(&systems, 2, 4).await;
    // A name that a spreadsheet might run.
    let rename = json!({"institution": world.institutions[0], "display_name": "=HYPERLINK(\"http://x\";\"燕郊颐养院\")",
                        "division_code": "131082", "beds": "100", "residents": "40",
                        "state": "INSTITUTION_STATE_OPERATING"});
    done(&systems.hebei, "InstitutionService/UpdateInstitution", rename).await;
    let at = Timestamp(systems.unionpay.client.now_us() / 1_000_000 * 1_000_000);
    let mut lines = Vec::new();
    for (n, bill) in world.bills.iter().enumerate() {
        let (order, amount_fen) = (format!("OFFICE{n:04}"), 12_345 + n as i64);
        let mut ask = authorise(bill, amount_fen, &order, at.0);
        ask["merchant_id"] = "098110000000001".into();
        let payment = done(&systems.unionpay, "PaymentService/AuthorizePayment", ask).await["payment"]["name"].take();
        // The last stays reserved: what is held of an account counts against it.
        if n < 3 {
            let confirm = json!({"payment": payment, "amount_fen": amount_fen.to_string(),
                                 "clearing_date": world.yesterday});
            done(&systems.unionpay, "PaymentService/ConfirmPayment", confirm).await;
            lines.push(line(&order, at, amount_fen, &world.institutions[n % 2]));
        }
    }
    // One matches; another amount; one that is not there; one that nobody knows.
    lines[1].amount_fen -= 45;
    lines.remove(2);
    lines.push(line("STRANGER01", at, 123_456_789, &world.institutions[1]));
    world::deliver(&systems.unionpay, &world.yesterday, &world::settlement_file(&lines)).await;
    let of_date = json!({"channel": UNIONPAY, "clearing_date": world.yesterday});
    done(&systems.chen, "ReconciliationService/StartRun", of_date.clone()).await;
    let of_cycle = ["settle", "prepare", UNIONPAY, &world.yesterday];

    let folder = tempfile::tempdir().expect("a folder");
    let sandbox = site.dir().display().to_string();
    let types = |args: &[&str]| {
        let output = jjj(&[args, &["--as", CHEN, "--sandbox", &sandbox, "--gateway", &gateway.address]].concat());
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    types(&of_cycle);
    let run = format!("runs/unionpay-{}-1", world.yesterday.replace('-', ""));
    let reports: [&[&str]; 8] = [
        &["run", &run],
        &["ageing"],
        &["breaks"],
        &["trial-balance", BOOK],
        &["trial-balance", BOOK, "--month", &world.month],
        &["month", &world.month],
        &["settlement", "--from", &world.yesterday],
        &["vouchers", BOOK, &world.month],
    ];
    for (n, report) in reports.iter().enumerate() {
        for (lang, ending) in [("zh", "json"), ("zh", "xlsx"), ("en", "json"), ("en", "xlsx")] {
            let out = folder.path().join(format!("{n}-{}-{lang}.{ending}", report[0])).display().to_string();
            types(&[&["report"], *report, &["--lang", lang, "--out", &out]].concat());
        }
    }
    script("compare", folder.path());
    assert!(gateway.stop().success());
}

/// Long digits and leading zeros are texts, if they are opened as texts.
#[test]
fn a_settlement_file_that_libreoffice_saved_is_read() {
    if !is_here() {
        return;
    }
    let date: Date = "2026-11-18".parse().expect("a date");
    let at = date.starts_at().plus_us(60_000_000);
    let mut lines = vec![
        line("20261118000000000001", at, 50_000, "52131082XXXX00043X"),
        line("00000000000000000012345678901234", at, 1, "52131082XXXX00043X"),
        line("1E10000000", at, 999_999_999, "52131082XXXX00043X"),
    ];
    let refund = SettlementLine { kind: LineKind::Refund, ..line("REFUND0001", at, 10_000, "52131082XXXX00043X") };
    lines.push(SettlementLine { original_order_id: Some(lines[0].order_id.clone()), ..refund });
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("day.csv"), world::settlement_file(&lines)).expect("a file");
    script("resave", folder.path());
    let bytes = std::fs::read(folder.path().join("resaved.csv")).expect("LibreOffice's file");
    assert!(bytes.contains(&b'"'), "texts are quoted");
    let context = Context { clearing_date: date, codes: TransactionCodes::default() };
    let records = rows(FileFormat::Csv, &bytes[..], context).map(|row| row.expect("taken").expect("no row set aside"));
    let mut read = Vec::new();
    for record in records {
        match record {
            Record::Line(line) => read.push(SettlementLine { line: 0, byte_offset: 0, ..line }),
            Record::Trailer(totals) => assert_eq!(totals.rows, 4),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(read, lines);
}
