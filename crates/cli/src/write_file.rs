//! `jjj recon write-file`: settlement files in every format, from lines in our own CSV. For the
//! sandbox and for tests: a channel writes its files by itself.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use clap::ValueEnum;
use jjj_domain::policy::TransactionCodes;
use jjj_domain::recon::bank::{Balance, BankEntry, BankStatement, EntryDirection, EntryStatus};
use jjj_domain::recon::file::{LineKind, LineStatus, SettlementLine};
use jjj_domain::time::Date;
use jjj_formats::camt::{self, Message, Statement};
use jjj_formats::unionpay::{self, Kind};
use jjj_formats::{Earlier, Record, csv};

#[derive(clap::Args)]
pub struct Args {
    /// Format to write.
    #[arg(long)]
    format: Format,
    /// Lines: a settlement file in CSV.
    lines: PathBuf,
    /// File to write.
    out: PathBuf,
    /// Clearing date, YYYY-MM-DD.
    #[arg(long)]
    date: Date,
    /// CSV with the payments that refunds and adjustments go back to, beside the lines themselves.
    #[arg(long, value_name = "CSV")]
    earlier: Vec<PathBuf>,
    /// zip: CSV with the lines of the ZME member.
    #[arg(long, value_name = "CSV")]
    adjustments: Option<PathBuf>,
    /// zip: merchant number in the members' names; default: the first line's.
    #[arg(long)]
    merchant: Option<String>,
    /// camt: the account.
    #[arg(long, default_value = "SANDBOX0001")]
    account: String,
    /// camt053: opening balance, fen.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    opening_fen: i64,
    /// camt: all lines in one entry.
    #[arg(long)]
    bulk: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// Our CSV, with its trailer.
    Csv,
    /// UnionPay ZM: payments and refunds.
    Zm,
    /// UnionPay ZME: adjustments; each line names an earlier payment.
    Zme,
    /// UnionPay's daily zip.
    Zip,
    /// ISO 20022 statement: OPERATING_SUBSIDY lines as debits.
    Camt053,
    /// ISO 20022 notice: the same without balances.
    Camt054,
}

pub fn write(args: &Args) -> anyhow::Result<ExitCode> {
    let lines = read(&args.lines)?;
    let mut known: HashMap<String, SettlementLine> = HashMap::new();
    for path in &args.earlier {
        known.extend(payments(read(path)?));
    }
    let earlier = Payments { own: payments(lines.clone()), earlier: known };
    let mut out = BufWriter::new(File::create(&args.out).with_context(|| format!("writing {}", args.out.display()))?);
    match args.format {
        Format::Csv => csv::write(&lines, &mut out).map_err(|refusal| anyhow::anyhow!(refusal.detail))?,
        Format::Zm => out.write_all(&zm(&lines, &earlier)?)?,
        Format::Zme => out.write_all(&zme(&lines, &earlier)?)?,
        Format::Zip => {
            let adjustments = args.adjustments.as_ref().map_or(Ok(Vec::new()), |path| read(path))?;
            let merchant = args.merchant.as_ref().or_else(|| lines.first().map(|line| &line.merchant_id));
            let merchant = merchant.context("no line names the merchant; give --merchant")?;
            let (zm, zme) = (zm(&lines, &earlier)?, zme(&adjustments, &earlier)?);
            unionpay::write_archive(merchant, args.date, &zm[..], &zme[..], &mut out)?;
        }
        Format::Camt053 => bank(args, Message::Statement, &lines, &mut out)?,
        Format::Camt054 => bank(args, Message::Notification, &lines, &mut out)?,
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// The lines of a CSV; a bad one ends it.
fn read(path: &Path) -> anyhow::Result<Vec<SettlementLine>> {
    let file = File::open(path).with_context(|| format!("reading {}", path.display()))?;
    let mut lines = Vec::new();
    for row in csv::Reader::new(BufReader::new(file)) {
        match row {
            Ok(Ok(Record::Line(line))) => lines.push(line),
            Ok(Ok(_)) => {}
            Ok(Err(fault)) => {
                bail!("{} line {}: {} {}", path.display(), fault.line, fault.field, fault.reason.message_en())
            }
            Err(refusal) => bail!("{}: {} ({})", path.display(), refusal.reason.message_en(), refusal.detail),
        }
    }
    Ok(lines)
}

fn payments(lines: Vec<SettlementLine>) -> HashMap<String, SettlementLine> {
    lines.into_iter().filter(|l| l.kind == LineKind::Payment).map(|l| (l.order_id.clone(), l)).collect()
}

/// Payments that lines may go back to.
struct Payments {
    own: HashMap<String, SettlementLine>,
    earlier: HashMap<String, SettlementLine>,
}

impl Payments {
    fn find(&self, order_id: &str) -> anyhow::Result<Earlier> {
        let payment = self.earlier.get(order_id).or_else(|| self.own.get(order_id));
        let payment = payment.with_context(|| format!("no line pays {order_id}; give its file with --earlier"))?;
        Ok(Earlier {
            trace_number: unionpay::trace_of(order_id),
            time: payment.transaction_time,
            clearing_date: payment.transaction_time.clearing_date(),
            amount_fen: Some(payment.amount_fen),
        })
    }
}

/// What moved money; the formats beside the CSV know nothing else.
fn moved(lines: &[SettlementLine]) -> impl Iterator<Item = &SettlementLine> {
    lines.iter().filter(|line| line.status == LineStatus::Success)
}

fn zm(lines: &[SettlementLine], payments: &Payments) -> anyhow::Result<Vec<u8>> {
    let codes = TransactionCodes::default();
    let mut rows = Vec::new();
    for line in moved(lines).filter(|line| line.kind != LineKind::OperatingSubsidy) {
        let earlier = line.original_order_id.as_deref().map(|order| payments.find(order)).transpose()?;
        rows.push(unionpay::zm_row(line, earlier.as_ref(), &codes));
    }
    let mut bytes = Vec::new();
    unionpay::write(Kind::Zm, rows, &mut bytes)?;
    Ok(bytes)
}

fn zme(lines: &[SettlementLine], payments: &Payments) -> anyhow::Result<Vec<u8>> {
    let mut rows = Vec::new();
    for line in moved(lines).filter(|line| line.kind != LineKind::OperatingSubsidy) {
        let order = line.original_order_id.as_ref().unwrap_or(&line.order_id);
        rows.push(unionpay::zme_row(line, &payments.find(order)?));
    }
    let mut bytes = Vec::new();
    unionpay::write(Kind::Zme, rows, &mut bytes)?;
    Ok(bytes)
}

fn bank(args: &Args, message: Message, lines: &[SettlementLine], out: impl Write) -> anyhow::Result<()> {
    let paid: Vec<&SettlementLine> = moved(lines).filter(|line| line.kind == LineKind::OperatingSubsidy).collect();
    ensure!(paid.len() == lines.len(), "a bank's file takes OPERATING_SUBSIDY lines that succeeded");
    let total: i64 = paid.iter().map(|line| line.amount_fen).sum();
    let entry = |(n, line): (i64, &&SettlementLine)| BankEntry {
        entry: if args.bulk { 1 } else { n },
        part: if args.bulk { n } else { 1 },
        statement: 0,
        direction: EntryDirection::Debit,
        amount_fen: line.amount_fen,
        entry_fen: -if args.bulk { total } else { line.amount_fen },
        entry_status: EntryStatus::Booked,
        is_reversal: false,
        booked_on: Some(args.date),
        value_on: Some(args.date),
        end_to_end_id: line.order_id.clone(),
        bank_reference: String::new(),
        counterparty: line.institution.clone(),
        counterparty_account: String::new(),
    };
    let entries: Vec<BankEntry> = (1..).zip(&paid).map(entry).collect();
    let balance = |amount_fen| Some(Balance { on: args.date, amount_fen });
    let reference = format!("STMT{}", args.date.to_string().replace('-', ""));
    let statement = BankStatement {
        reference: reference.clone(),
        account: args.account.clone(),
        opening: balance(args.opening_fen),
        closing: balance(args.opening_fen - total),
        credit_fen: 0,
        debit_fen: total,
        entries: entries.len() as i64,
    };
    // The morning after: no clock is asked, so that the same lines give the same file.
    let created_at = args.date.plus_days(1).starts_at();
    camt::write(message, &reference, created_at, &[Statement { statement, entries }], out)?;
    Ok(())
}
