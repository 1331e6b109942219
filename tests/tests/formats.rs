//! Settlement files across tools, both ways: the command line writes, Python reads; Python writes,
//! the readers read.

use std::path::Path;
use std::process::Command;

use jjj_domain::policy::TransactionCodes;
use jjj_domain::recon::FileFormat;
use jjj_domain::recon::bank::EntryDirection;
use jjj_formats::{Context, Record, rows};
use jjj_tests::gateway::{binary, workspace};
use jjj_tests::python::python;

fn script(what: &str, folder: &Path) {
    let output = Command::new(python())
        .arg(workspace().join("tests/python/formats.py"))
        .args([what.as_ref(), folder.as_os_str()])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .expect("python runs");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

fn write_file(folder: &Path, format: &str, out: &str, lines: &str, more: &[&str]) {
    std::fs::write(folder.join("lines.csv"), csv(lines)).expect("a file");
    let output = Command::new(binary())
        .args(["recon", "write-file", "--format", format, "--date", "2026-11-18"])
        .args(more)
        .arg(folder.join("lines.csv"))
        .arg(folder.join(out))
        .output()
        .expect("jjj runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn csv(lines: &str) -> String {
    let header = jjj_domain::recon::file::HEADER.join(",");
    format!("{header}\n{lines}")
}

#[test]
fn what_we_write_others_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let payment = "PAYMENT,898131082990001,20261118ORDER001,20261118101500,50000,100,SUCCESS,52131082XXXX00043X,\n";
    let refund =
        "REFUND,898131082990001,20261118REFUND01,20261118150000,10000,0,SUCCESS,52131082XXXX00043X,20261118ORDER001\n";
    let back = refund.replace("REFUND01", "CHARGE01").replace("10000", "2000");
    std::fs::write(folder.path().join("back.csv"), csv(&back)).expect("a file");
    let adjustments = folder.path().join("back.csv").display().to_string();
    let lines = format!("{payment}{refund}");
    write_file(folder.path(), "zip", "zm.zip", &lines, &["--adjustments", &adjustments]);
    let paid = "OPERATING_SUBSIDY,,20261118CLAIM001,20261118160000,100000,0,SUCCESS,52131082XXXX00043X,\n\
                OPERATING_SUBSIDY,,20261118CLAIM002,20261118160000,50005,0,SUCCESS,52131082XXXX00043X,\n";
    write_file(folder.path(), "camt053", "camt053.xml", paid, &["--opening-fen", "1000000", "--bulk"]);
    write_file(folder.path(), "camt054", "camt054.xml", paid, &[]);
    script("check", folder.path());
}

#[test]
fn what_others_write_we_read() {
    let folder = tempfile::tempdir().expect("a folder");
    script("make", folder.path());
    let read = |format: FileFormat, name: &str| -> Vec<Record> {
        let bytes = std::fs::read(folder.path().join(name)).expect("a file");
        let context = Context { clearing_date: "2026-11-18".parse().unwrap(), codes: TransactionCodes::default() };
        rows(format, bytes.as_slice(), context).map(|row| row.expect("not refused").expect("not set aside")).collect()
    };
    for name in ["streamed.zip", "stored.zip"] {
        let records = read(FileFormat::UnionpayZip, name);
        let [Record::Numbered(first, _), Record::Numbered(second, _)] = &records[..] else { panic!("{records:?}") };
        assert_eq!((first.order_id.as_str(), first.amount_fen), ("PYTHON0001", 12_345));
        assert_eq!((second.order_id.as_str(), second.amount_fen), ("PYTHON0002", 1));
        // 23:30 of the day before belongs to this clearing date.
        assert_eq!(first.transaction_time.clearing_date(), "2026-11-18".parse().unwrap());
    }
    let records = read(FileFormat::Camt053, "statement.xml");
    let [Record::Entry(entry), Record::Statement(statement)] = &records[..] else { panic!("{records:?}") };
    assert_eq!((entry.end_to_end_id.as_str(), entry.amount_fen), ("20261118CLAIM009", 20_000));
    assert_eq!((entry.direction, entry.bank_reference.as_str()), (EntryDirection::Debit, "BANK0001"));
    let balances = [statement.opening, statement.closing].map(|balance| balance.unwrap().amount_fen);
    assert_eq!((balances, statement.account.as_str()), ([50_000, 30_000], "6200000000001234"));
}
