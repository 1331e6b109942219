//! Settlement files as the channels and banks make them: readers and writers, bytes in, rows out.
//!
//! Pure: it reads from what it is given, knows no clock and keeps nothing. A file of any size goes
//! through in bounded memory, as an iterator ([`rows`]). What is wrong with a row is a
//! [`LineFault`], and the row is set aside; what is wrong with the file ends it with a
//! [`FileRefusal`], and nothing that was read before counts. `docs/formats.md` has every field.

pub mod bounded;
pub mod camt;
pub mod csv;
pub mod fixed;
pub mod unionpay;
mod xml;
pub mod zip;

use std::collections::VecDeque;
use std::io::{self, Read};

use jjj_domain::policy::TransactionCodes;
use jjj_domain::recon::FileFormat;
use jjj_domain::recon::bank::{BankEntry, BankStatement};
use jjj_domain::recon::file::{ControlTotals, FileRecord, LineFault, SettlementLine};
use jjj_domain::recon::refusal::{FileRefusal, RefusalReason};
use jjj_domain::time::{Date, Timestamp};

/// What a file says, record by record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A movement of money, whole.
    Line(SettlementLine),
    /// A movement of money, and the trace number by which later rows may name it.
    Numbered(SettlementLine, String),
    /// A movement that names an earlier one by its trace: whose order it is has to be looked up.
    Traced(Traced),
    /// A purchase of the same clearing date is void (消费撤销): neither of the two moved money.
    Void(Void),
    /// The CSV's control totals.
    Trailer(ControlTotals),
    /// Follows the last entry of its statement.
    Statement(BankStatement),
    Entry(BankEntry),
}

impl From<FileRecord> for Record {
    fn from(record: FileRecord) -> Self {
        match record {
            FileRecord::Line(line) => Self::Line(line),
            FileRecord::Trailer(totals) => Self::Trailer(totals),
        }
    }
}

/// A line whose order, or whose original order, the format does not state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traced {
    /// As it stands if nobody knows the earlier movement: it bears [`Earlier::key`] for its order
    /// (payments) or for its original order (refunds).
    pub line: SettlementLine,
    pub earlier: Earlier,
}

impl Traced {
    /// The line, of a known order.
    pub fn of_order(self, order_id: String) -> SettlementLine {
        match self.line.original_order_id {
            Some(_) => SettlementLine { original_order_id: Some(order_id), ..self.line },
            None => SettlementLine { order_id, ..self.line },
        }
    }
}

/// How a row names an earlier movement: system trace number (系统跟踪号), time, and what else the format gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Earlier {
    /// Six digits.
    pub trace_number: String,
    pub time: Timestamp,
    /// Its clearing date: as stated, else from its time.
    pub clearing_date: Date,
    /// Its amount, where stated.
    pub amount_fen: Option<i64>,
}

impl Earlier {
    /// An order id of its own for what only its trace names: `T`, clearing date, time, trace number.
    pub fn key(&self) -> String {
        let time = jjj_domain::recon::file::beijing_text(self.time);
        format!("T{}{}{}", self.clearing_date.to_string().replace('-', ""), &time[4..], self.trace_number)
    }
}

/// A row that voids a purchase of the same file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Void {
    pub line: i64,
    pub byte_offset: i64,
    pub merchant_id: String,
    /// The purchase, its amount always stated.
    pub purchase: Earlier,
}

/// One step through a file: a record, or the row set aside in its place. After a refusal there is
/// no further one, and what came before it does not count.
pub type Row = Result<Result<Record, LineFault>, FileRefusal>;

/// What a reader has to know beside the bytes.
#[derive(Clone, Debug)]
pub struct Context {
    /// The file's: dates without a year are resolved by it.
    pub clearing_date: Date,
    /// What the channel's transaction codes mean.
    pub codes: TransactionCodes,
}

/// The rows of a file; evidence has none.
pub fn rows<'a>(format: FileFormat, source: impl Read + 'a, context: Context) -> Box<dyn Iterator<Item = Row> + 'a> {
    match format {
        FileFormat::Csv => Box::new(csv::Reader::new(source)),
        FileFormat::UnionpayZip => Box::new(unionpay::ArchiveReader::new(source, context)),
        FileFormat::UnionpayZm => Box::new(unionpay::Reader::new(unionpay::Kind::Zm, source, context)),
        FileFormat::UnionpayZme => Box::new(unionpay::Reader::new(unionpay::Kind::Zme, source, context)),
        FileFormat::Camt053 => Box::new(camt::Reader::new(camt::Message::Statement, source)),
        FileFormat::Camt054 => Box::new(camt::Reader::new(camt::Message::Notification, source)),
        FileFormat::Other => Box::new(std::iter::empty()),
    }
}

/// Whether files of the format end with control totals of their own.
pub fn has_trailer(format: FileFormat) -> bool {
    format == FileFormat::Csv
}

/// Rows that are ready, until the reader fails or ends.
#[derive(Default)]
struct Pending {
    ready: VecDeque<Result<Record, LineFault>>,
    is_over: bool,
}

impl Pending {
    /// The next row; `advance` makes more ready, or says that there are none.
    fn next(&mut self, mut advance: impl FnMut(&mut Self) -> Result<(), FileRefusal>) -> Option<Row> {
        loop {
            if let Some(row) = self.ready.pop_front() {
                return Some(Ok(row));
            }
            if self.is_over {
                return None;
            }
            if let Err(refusal) = advance(self) {
                self.is_over = true;
                self.ready.clear();
                return Some(Err(refusal));
            }
        }
    }
}

fn unreadable(error: &io::Error) -> FileRefusal {
    FileRefusal::new(RefusalReason::Unreadable, error)
}
