//! What a file names by other marks than the ledger's: institutions by merchant numbers, orders by
//! trace numbers of earlier files, a bank's payouts by their end-to-end ids. What cannot be told
//! stays as the file has it, or is set aside.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jjj_domain::institution::{SettlementAccountRow, SettlementAccountState};
use jjj_domain::key;
use jjj_domain::payment::{PaymentRow, RefundRow};
use jjj_domain::policy::TransactionCodes;
use jjj_domain::recon::bank::BankEntry;
use jjj_domain::recon::file::{FaultReason, LineFault, LineKind, ParsedFile, SettlementLine};
use jjj_domain::recon::refusal::FileRefusal;
use jjj_domain::recon::{FileFormat, FileRow, FileState};
use jjj_domain::subsidy::ClaimRow;
use jjj_domain::time::{Date, Timestamp};
use jjj_domain::value::Column;
use jjj_formats::{Earlier, Record, Traced, Void, camt};
use jjj_store::{ListQuery, Op};

use super::{Gathers, failed, read};
use crate::gateway::Gateway;
use crate::status::Refused;

/// A file's rows, before what they name is looked up.
#[derive(Default)]
pub struct Delivered {
    parsed: ParsedFile,
    /// Trace numbers of the first lines; those of later rows are none.
    traces: Vec<u32>,
    traced: Vec<Traced>,
    voids: Vec<Void>,
    entries: Vec<BankEntry>,
}

impl Gathers for Delivered {
    fn take(&mut self, record: Result<Record, LineFault>) -> Result<(), FileRefusal> {
        let push = |parsed: &mut ParsedFile, line| parsed.push(Ok(jjj_domain::recon::file::FileRecord::Line(line)));
        match record {
            Ok(Record::Line(line)) => push(&mut self.parsed, line),
            Ok(Record::Numbered(line, trace)) => {
                self.traces.push(number(&trace));
                push(&mut self.parsed, line);
            }
            Ok(Record::Traced(traced)) => self.traced.push(traced),
            Ok(Record::Void(void)) => self.voids.push(void),
            Ok(Record::Trailer(totals)) => {
                self.parsed.push(Ok(jjj_domain::recon::file::FileRecord::Trailer(totals)));
            }
            Ok(Record::Entry(entry)) => self.entries.push(entry),
            Ok(Record::Statement(_)) => {}
            Err(fault) => self.parsed.push(Err(fault)),
        }
        Ok(())
    }
}

/// A trace number's six digits.
fn number(trace: &str) -> u32 {
    trace.parse().unwrap_or(u32::MAX)
}

/// What a row says of an earlier one: trace number and time.
type Mark = (u32, Timestamp);

fn mark(earlier: &Earlier) -> Mark {
    (number(&earlier.trace_number), earlier.time)
}

/// Orders found in a ZM file by the marks that are wanted, with their amounts.
struct Orders {
    wanted: HashSet<Mark>,
    found: ByMark,
}

/// Amounts and order ids by their marks; a mark has at most [`MOST_OF_A_MARK`].
type ByMark = HashMap<Mark, Vec<(i64, String)>>;

/// More would still be several: none of them is told from the others.
const MOST_OF_A_MARK: usize = 8;

fn note(found: &mut ByMark, mark: Mark, order: (i64, String)) {
    let of_mark = found.entry(mark).or_default();
    if of_mark.len() < MOST_OF_A_MARK {
        of_mark.push(order);
    }
}

impl Gathers for Orders {
    fn take(&mut self, record: Result<Record, LineFault>) -> Result<(), FileRefusal> {
        if let Ok(Record::Numbered(line, trace)) = record {
            let mark = (number(&trace), line.transaction_time);
            if self.wanted.contains(&mark) {
                note(&mut self.found, mark, (line.amount_fen, line.order_id));
            }
        }
        Ok(())
    }
}

/// The lines of a file as the run matches them.
pub async fn lines(
    gateway: &Gateway,
    file: &FileRow,
    codes: &TransactionCodes,
    delivered: Delivered,
) -> Result<ParsedFile, Refused> {
    let Delivered { mut parsed, traces, traced, voids, entries } = delivered;
    parsed.has_no_totals = !jjj_formats::has_trailer(file.format);
    leave_out_voided(&mut parsed, &traces, voids);
    drop(traces);
    parsed.lines.extend(with_orders(gateway, file, codes, traced).await?);
    parsed.lines.extend(payouts(gateway, file, &entries).await?);
    name_institutions(gateway, file, &mut parsed).await?;
    Ok(parsed)
}

/// A purchase and its void moved nothing; a void of none or of several purchases is set aside.
fn leave_out_voided(parsed: &mut ParsedFile, traces: &[u32], voids: Vec<Void>) {
    if voids.is_empty() {
        return;
    }
    type Purchase = (Mark, String, Option<i64>);
    let mut wanted: HashMap<Purchase, Vec<Void>> = HashMap::new();
    for void in voids {
        let purchase = (mark(&void.purchase), void.merchant_id.clone(), void.purchase.amount_fen);
        wanted.entry(purchase).or_default().push(void);
    }
    let mut found: HashMap<Purchase, Vec<usize>> = HashMap::new();
    for (at, (line, trace)) in parsed.lines.unpacked().zip(traces).enumerate() {
        let purchase = ((*trace, line.transaction_time), line.merchant_id.clone(), Some(line.amount_fen));
        if line.kind == LineKind::Payment && wanted.contains_key(&purchase) {
            found.entry(purchase).or_default().push(at);
        }
    }
    let mut gone = HashSet::new();
    for (purchase, voids) in wanted {
        match (&voids[..], found.get(&purchase).map(Vec::as_slice)) {
            ([_], Some([only])) => drop(gone.insert(*only)),
            _ => parsed.rejected.extend(voids.iter().map(|void| LineFault {
                line: void.line,
                byte_offset: void.byte_offset,
                field: "original_trace_number".to_owned(),
                reason: FaultReason::UnknownOriginal,
            })),
        }
    }
    parsed.rejected.sort_by_key(|fault| fault.line);
    let mut at = 0..;
    parsed.lines = std::mem::take(&mut parsed.lines).filter_map(|line| match at.next() {
        Some(at) if gone.contains(&at) => None,
        _ => Some(line),
    });
}

/// Rows that name an earlier movement by its trace, with the order that bears it: as the ledger's
/// refund has it, else as the ZM file of the clearing date has it that the row names.
async fn with_orders(
    gateway: &Gateway,
    file: &FileRow,
    codes: &TransactionCodes,
    traced: Vec<Traced>,
) -> Result<Vec<SettlementLine>, Refused> {
    let mut lines = Vec::with_capacity(traced.len());
    let mut open: BTreeMap<Date, Vec<Traced>> = BTreeMap::new();
    for row in traced {
        match refunded_order(gateway, file, &row.line).await? {
            Some(order) => lines.push(row.of_order(order)),
            None => open.entry(row.earlier.clearing_date).or_default().push(row),
        }
    }
    for (date, rows) in open {
        let orders = orders_of(gateway, file, date, codes, rows.iter().map(|row| mark(&row.earlier)).collect()).await?;
        for row in rows {
            let fits = |amount_fen: i64| row.earlier.amount_fen.is_none_or(|stated| stated == amount_fen);
            let known = orders.get(&mark(&row.earlier)).into_iter().flatten();
            let candidates: BTreeSet<&String> = known.filter(|(fen, _)| fits(*fen)).map(|(_, order)| order).collect();
            let only = candidates.first().filter(|_| candidates.len() == 1).map(|order| (*order).clone());
            // None, or several: nobody can say whose it is.
            lines.push(match only {
                Some(order) => row.of_order(order),
                None => row.line,
            });
        }
    }
    lines.sort_by_key(|line| line.line);
    Ok(lines)
}

/// The order that a refund of the ledger goes back to.
async fn refunded_order(gateway: &Gateway, file: &FileRow, line: &SettlementLine) -> Result<Option<String>, Refused> {
    if line.kind != LineKind::Refund {
        return Ok(None);
    }
    let predicates = vec![("order_id", Op::Eq, line.order_id.to_value()), of_channel(file)];
    let mut session = gateway.store.read().await.map_err(failed)?;
    let query = ListQuery { predicates, limit: 1, ..ListQuery::default() };
    let Some(refund) = session.list::<RefundRow>(&query).await.map_err(failed)?.pop() else { return Ok(None) };
    let payment: Option<PaymentRow> = session.get(key![refund.payment]).await.map_err(failed)?;
    Ok(payment.map(|payment| payment.order_id))
}

/// The orders that bear the marks wanted, from the channel's ZM files of a date as they stand.
async fn orders_of(
    gateway: &Gateway,
    file: &FileRow,
    date: Date,
    codes: &TransactionCodes,
    wanted: HashSet<Mark>,
) -> Result<ByMark, Refused> {
    let predicates = vec![of_channel(file), ("clearing_date", Op::Eq, date.to_value())];
    let mut session = gateway.store.read().await.map_err(failed)?;
    let query = ListQuery { predicates, limit: super::ALL, ..ListQuery::default() };
    let files: Vec<FileRow> = session.list(&query).await.map_err(failed)?;
    drop(session);
    let mut found = ByMark::new();
    let has_orders = |f: &&FileRow| {
        let is_zm = matches!(f.format, FileFormat::UnionpayZip | FileFormat::UnionpayZm);
        is_zm && f.state == FileState::Received && f.sender == file.sender
    };
    for other in files.iter().filter(has_orders) {
        let orders = Orders { wanted: wanted.clone(), found: ByMark::new() };
        let whole = read(gateway, other, &other.wrapped_key, codes, orders).await?;
        // One that is damaged by now names nobody's order; its own run will say so.
        for (mark, orders) in whole.content.map(|orders| orders.found).unwrap_or_default() {
            orders.into_iter().for_each(|order| note(&mut found, mark, order));
        }
    }
    Ok(found)
}

/// A bank's transactions that pay out what the ledger's claims instruct; all others are no lines of
/// the run but of the bank statement alone.
async fn payouts(gateway: &Gateway, file: &FileRow, entries: &[BankEntry]) -> Result<Vec<SettlementLine>, Refused> {
    let mut lines = Vec::new();
    for (number, entry) in (1..).zip(entries) {
        let Some(mut line) = camt::settlement_line(entry, number, file.clearing_date) else { continue };
        let predicates = vec![("order_id", Op::Eq, line.order_id.to_value()), of_channel(file)];
        let mut session = gateway.store.read().await.map_err(failed)?;
        let query = ListQuery { predicates, limit: 1, ..ListQuery::default() };
        let Some(claim) = session.list::<ClaimRow>(&query).await.map_err(failed)?.pop() else { continue };
        if line.institution.is_empty() {
            line.institution = code_of(&claim.institution);
        }
        lines.push(line);
    }
    Ok(lines)
}

/// A merchant number leads to one institution, the one whose settlement account has it; a line of
/// another is set aside.
async fn name_institutions(gateway: &Gateway, file: &FileRow, parsed: &mut ParsedFile) -> Result<(), Refused> {
    let unnamed = parsed.lines.iter().filter(|line| line.institution.is_empty());
    let merchants: HashSet<String> = unnamed.map(|line| line.merchant_id.to_owned()).collect();
    if merchants.is_empty() {
        return Ok(());
    }
    let mut known: HashMap<String, String> = HashMap::new();
    for merchant in merchants {
        let predicates = vec![("merchant_id", Op::Eq, merchant.to_value()), of_channel(file)];
        let mut session = gateway.store.read().await.map_err(failed)?;
        let query = ListQuery { predicates, limit: super::ALL, ..ListQuery::default() };
        let accounts: Vec<SettlementAccountRow> = session.list(&query).await.map_err(failed)?;
        let approved = accounts.into_iter().find(|a| a.state == SettlementAccountState::Approved);
        known.extend(approved.map(|account| (merchant, code_of(&account.institution))));
    }
    let mut rejected = Vec::new();
    parsed.lines = std::mem::take(&mut parsed.lines).filter_map(|mut line| {
        if line.institution.is_empty() {
            let Some(institution) = known.get(&line.merchant_id) else {
                let (line, byte_offset) = (line.line, line.byte_offset);
                let (field, reason) = ("merchant_id".to_owned(), FaultReason::UnknownMerchant);
                rejected.push(LineFault { line, byte_offset, field, reason });
                return None;
            };
            line.institution.clone_from(institution);
        }
        Some(line)
    });
    parsed.rejected.extend(rejected);
    Ok(())
}

fn of_channel(file: &FileRow) -> jjj_store::Predicate {
    ("channel", Op::Eq, file.channel.to_value())
}

/// `institutions/{code}` without its collection.
fn code_of(institution: &str) -> String {
    institution.trim_start_matches("institutions/").to_owned()
}
