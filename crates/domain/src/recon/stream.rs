//! A day as two sorted streams of compact rows, the ledger's and the file's, joined by order id:
//! what `jjj recon compute` goes by, with the rules of [`super::matching`] and the rows of
//! [`super::view`], in memory that does not grow with what matches.
//!
//! A row is one record of bytes: its length, the lengths of its key's parts, the key, what is
//! left. Keys compare as bytes (order id, kind, merchant, time, zero bytes between), so that rows
//! sort, spill and merge without being read.

use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt, HashSet};

use super::booking::Place;
use super::file::{FaultReason, LineKind, LineStatus, SettlementLine, beijing_text, parse_beijing};
use super::matching::{FileLine, LedgerEntry, MatchRule, Matched, Standing, Terms, Unit, UnitKey};
use super::matching::{end_to_end, match_rows};
use super::regional::{Compared, Leg, LegResult, RegionalBook};
use super::rows::BreakClass;
use super::tree::{Frontier, Hash, leaf_hash};
use super::view::{PlainMatch, ViewLine};
use crate::ledger::Book;
use crate::names::Participant;
use crate::time::Date;

/// The fields of a ledger row in CSV, in order.
///
/// | Field | Content |
/// |---|---|
/// | `kind` | `PAYMENT`, `REFUND`, `OPERATING_SUBSIDY` |
/// | `record` | `payments/…`, `refunds/…`, `claims/…` |
/// | `merchant_id`, `order_id` | as the channel has them; `merchant_id` empty for `OPERATING_SUBSIDY` |
/// | `transaction_time` | `YYYYMMDDhhmmss`, Beijing time; empty for `OPERATING_SUBSIDY` |
/// | `amount_fen` | integer fen |
/// | `institution` | unified social credit code of the payee |
/// | `standing` | `POSTED` (money moved), `HELD` (reserved), `GONE` (nothing is booked any more) |
/// | `clearing_date` | `YYYY-MM-DD` |
/// | `region`, `programme` | who pays, under what: `regions/110000`, `care_subsidy` |
/// | `institution_region` | `regions/130000` |
/// | `matched` | empty; `HERE` by a file of this date, `ELSEWHERE` by another date's |
/// | `known` | what has become of its break: empty (none), `RESOLVED`, or the class of the open one |
pub const LEDGER_HEADER: [&str; 14] = [
    "kind",
    "record",
    "merchant_id",
    "order_id",
    "transaction_time",
    "amount_fen",
    "institution",
    "standing",
    "clearing_date",
    "region",
    "programme",
    "institution_region",
    "matched",
    "known",
];

/// Fields of a ledger row before those that many rows share.
pub const LEDGER_OWN: usize = 6;

/// What earlier runs and resolutions have made of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Nothing: its difference is judged.
    No,
    Resolved,
    Open(BreakClass),
}

impl std::str::FromStr for Known {
    type Err = crate::value::UnknownText;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "" => Ok(Self::No),
            "RESOLVED" => Ok(Self::Resolved),
            class => class.parse().map(Self::Open),
        }
    }
}

impl Known {
    fn class(self, unit: &Unit) -> Option<BreakClass> {
        match self {
            Self::No => unit.difference,
            Self::Resolved => None,
            Self::Open(class) => Some(class),
        }
    }
}

/// What is said of a line that no ledger row of the export explains.
#[derive(Clone, Debug)]
pub struct Assigned {
    /// Where the run has put it; `None`: nowhere, or where its ledger row belongs.
    pub place: Option<Place>,
    pub known: Known,
}

/// A field at fault.
pub type Fault = (&'static str, FaultReason);

/// Rows of one side, to be sorted by key.
#[derive(Default)]
pub struct Rows {
    bytes: Vec<u8>,
    /// The first bytes of each key, and where its record begins.
    index: Vec<(u128, u32)>,
}

impl Rows {
    /// Bytes held.
    pub fn len_bytes(&self) -> usize {
        self.bytes.len() + self.index.len() * size_of::<(u128, u32)>()
    }

    fn push(&mut self, kind: LineKind, [order, merchant, time]: [&[u8]; 3], rest: [&[u8]; 3]) {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0, 0, order.len() as u8, merchant.len() as u8, time.len() as u8]);
        for part in [order, &[0, kind as u8 + 1], merchant, &[0], time] {
            self.bytes.extend_from_slice(part);
        }
        let mut prefix = [0; 16];
        let key = &self.bytes[at + HEAD_LEN..];
        let n = key.len().min(16);
        prefix[..n].copy_from_slice(&key[..n]);
        rest.iter().for_each(|part| self.bytes.extend_from_slice(part));
        let len = (self.bytes.len() - at) as u16;
        self.bytes[at..at + 2].copy_from_slice(&len.to_le_bytes());
        self.index.push((u128::from_be_bytes(prefix), at as u32));
    }

    /// Room for a file of so many bytes, as far as `most_bytes`: growing would hold it twice.
    pub fn with_room(file_bytes: usize, most_bytes: usize) -> Self {
        let bytes = file_bytes.saturating_mul(3).div_ceil(2).min(most_bytes);
        Self { bytes: Vec::with_capacity(bytes), index: Vec::with_capacity(bytes / 64) }
    }

    pub fn sort(&mut self) {
        let bytes = &self.bytes;
        let key = |at: u32| Record(record_at(bytes, at as usize)).key();
        self.index.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| key(a.1).cmp(key(b.1))));
    }

    /// The records in the order in which they were taken in, or sorted.
    pub fn records(&self) -> impl Iterator<Item = &[u8]> {
        self.index.iter().map(|(_, at)| record_at(&self.bytes, *at as usize))
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.index.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }
}

/// Bytes before a record's key.
const HEAD_LEN: usize = 5;

fn record_at(bytes: &[u8], at: usize) -> &[u8] {
    let len = usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    &bytes[at..at + len]
}

#[derive(Clone, Copy)]
struct Record<'a>(&'a [u8]);

impl<'a> Record<'a> {
    fn len(self, part: usize) -> usize {
        usize::from(self.0[2 + part])
    }

    fn key_len(self) -> usize {
        self.len(0) + self.len(1) + self.len(2) + 3
    }

    fn key(self) -> &'a [u8] {
        &self.0[HEAD_LEN..HEAD_LEN + self.key_len()]
    }

    fn order(self) -> &'a [u8] {
        &self.0[HEAD_LEN..HEAD_LEN + self.len(0)]
    }

    fn kind(self) -> LineKind {
        LineKind::ALL[usize::from(self.0[HEAD_LEN + self.len(0) + 1]) - 1]
    }

    fn merchant(self) -> &'a [u8] {
        let at = HEAD_LEN + self.len(0) + 2;
        &self.0[at..at + self.len(1)]
    }

    fn time(self) -> &'a [u8] {
        let at = HEAD_LEN + self.len(0) + self.len(1) + 3;
        &self.0[at..at + self.len(2)]
    }

    fn int(self, at: usize) -> i64 {
        let at = HEAD_LEN + self.key_len() + at;
        i64::from_le_bytes(self.0[at..at + 8].try_into().expect("eight bytes"))
    }

    fn after(self, at: usize) -> &'a [u8] {
        &self.0[HEAD_LEN + self.key_len() + at..]
    }

    fn unit_key(self) -> UnitKey {
        let owned = |bytes| text(bytes).to_owned();
        UnitKey {
            kind: self.kind(),
            merchant_id: owned(self.merchant()),
            order_id: owned(self.order()),
            transaction_time: owned(self.time()),
        }
    }
}

/// What was checked to be plain text when it was taken in.
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("checked when it was taken in")
}

/// The order id of a record, by which sides are joined.
pub fn order_of(record: &[u8]) -> &[u8] {
    Record(record).order()
}

/// The key of a record, by which rows are sorted.
pub fn key_of(record: &[u8]) -> &[u8] {
    Record(record).key()
}

/// Values that many rows share, each read once.
struct Shared<T> {
    known: HashMap<Box<str>, u32>,
    values: Vec<T>,
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self { known: HashMap::new(), values: Vec::new() }
    }
}

impl<T> Shared<T> {
    fn number(&mut self, of: &str, read: impl FnOnce(&str) -> Result<T, Fault>) -> Result<u32, Fault> {
        if let Some(number) = self.known.get(of) {
            return Ok(*number);
        }
        let number = self.values.len() as u32;
        self.values.push(read(of)?);
        self.known.insert(of.into(), number);
        Ok(number)
    }
}

/// What ledger rows share.
struct EntryTail {
    institution: String,
    standing: Standing,
    clearing_date: Date,
    clearing_date_text: String,
    place: Place,
    matched: Matched,
    known: Known,
    /// Nothing beside the row itself keeps it from matching plainly.
    plain: bool,
}

struct LineTail {
    status: LineStatus,
    institution: String,
}

/// The ledger's side.
#[derive(Default)]
pub struct LedgerRows {
    pub rows: Rows,
    tails: Shared<EntryTail>,
    times: Times,
}

/// The file's side.
#[derive(Default)]
pub struct LineRows {
    pub rows: Rows,
    /// Orders that refunds name.
    refunded: HashSet<Box<str>>,
    tails: Shared<LineTail>,
    times: Times,
}

/// Times whose date was the last one's need only their digits looked at.
#[derive(Default)]
struct Times([u8; 8]);

impl Times {
    fn is_time(&mut self, text: &str) -> bool {
        let bytes = text.as_bytes();
        let two = |at: usize| (bytes[at] - b'0') * 10 + bytes[at + 1] - b'0';
        if bytes.len() != 14 || !bytes.iter().all(u8::is_ascii_digit) {
            return false;
        }
        if bytes[..8] == self.0 {
            return two(8) < 24 && two(10) < 60 && two(12) < 60;
        }
        let is_time = parse_beijing(text).is_some();
        if is_time {
            self.0.copy_from_slice(&bytes[..8]);
        }
        is_time
    }
}

fn digits(field: &'static str, text: &str) -> Result<i64, Fault> {
    let fault = |reason| Err((field, reason));
    match text.as_bytes() {
        [] => fault(FaultReason::Missing),
        digits if !digits.iter().all(u8::is_ascii_digit) => fault(FaultReason::Malformed),
        digits if digits.len() > 18 => fault(FaultReason::OutOfRange),
        digits => Ok(digits.iter().fold(0, |n, d| n * 10 + i64::from(d - b'0'))),
    }
}

fn kind_of(text: &str) -> Result<LineKind, Fault> {
    text.parse().map_err(|_| ("kind", FaultReason::Malformed))
}

fn alphanumeric(field: &'static str, text: &str, most: usize) -> Result<(), Fault> {
    let plain = text.len() <= most && text.bytes().all(|b| b.is_ascii_alphanumeric());
    if plain { Ok(()) } else { Err((field, FaultReason::Malformed)) }
}

impl LedgerRows {
    /// Takes in a row: its own fields, and the others as they stand, commas between.
    pub fn push(&mut self, own: [&str; LEDGER_OWN], tail: &str) -> Result<(), Fault> {
        let [kind, record, merchant, order, time, amount] = own;
        let kind = kind_of(kind)?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'-' | b'_' | b'.');
        if !(1..=100).contains(&record.len()) || !record.bytes().all(plain) {
            return Err(("record", FaultReason::Malformed));
        }
        alphanumeric("merchant_id", merchant, 15)?;
        alphanumeric("order_id", order, 32)?;
        let is_timeless = kind == LineKind::OperatingSubsidy;
        let is_right = if is_timeless { time.is_empty() } else { self.times.is_time(time) };
        if !is_right {
            return Err(("transaction_time", FaultReason::Malformed));
        }
        let amount_fen = digits("amount_fen", amount)?;
        let tail = self.tails.number(tail, entry_tail)?;
        let key = [order, merchant, time].map(str::as_bytes);
        self.rows.push(kind, key, [&amount_fen.to_le_bytes(), &tail.to_le_bytes(), record.as_bytes()]);
        Ok(())
    }
}

fn entry_tail(tail: &str) -> Result<EntryTail, Fault> {
    let fields: Vec<&str> = tail.split(',').collect();
    let [institution, standing, date, region, programme, institution_region, matched, known] = fields[..] else {
        return Err(("", FaultReason::FieldCount));
    };
    let malformed = |field| (field, FaultReason::Malformed);
    let parse = |field, text: &str| text.parse::<Participant>().map_err(|_| malformed(field));
    alphanumeric("institution", institution, 18)?;
    let standing = standing.parse().map_err(|_| malformed("standing"))?;
    let clearing_date: Date = date.parse().map_err(|_| malformed("clearing_date"))?;
    let place = Place {
        book: Book::new(parse("region", region)?, programme).map_err(|_| malformed("programme"))?,
        institution_region: match institution_region {
            "" => None,
            region => Some(parse("institution_region", region)?),
        },
        person: None,
        record: None,
    };
    let matched = match matched {
        "" => Matched::No,
        "HERE" => Matched::Here,
        "ELSEWHERE" => Matched::Elsewhere,
        _ => return Err(malformed("matched")),
    };
    let known = known.parse().map_err(|_| malformed("known"))?;
    let fresh = known == Known::No && matched != Matched::Elsewhere && standing == Standing::Posted;
    Ok(EntryTail {
        institution: institution.to_owned(),
        standing,
        clearing_date,
        clearing_date_text: date.to_owned(),
        plain: fresh && place.institution_region.is_some(),
        place,
        matched,
        known,
    })
}

/// Where a line stands: the number of its file, and its own.
#[derive(Clone, Copy, Debug)]
pub struct LineAt {
    pub file: u32,
    pub line: i64,
}

impl LineRows {
    /// Takes in a line's fields as they stand in the settlement file. `shared` are status and
    /// institution with the comma between. Says no to whatever is not plainly right:
    /// [`super::file::parse_line`] then says what is wrong, or reads it for [`Self::push_line`].
    pub fn push(&mut self, fields: &[&str; 9], shared: &str, at: LineAt) -> Result<[i64; 2], Fault> {
        let [kind, merchant, order, time, amount, fee, _, _, original] = fields;
        let kind = kind_of(kind)?;
        let odd = |field| (field, FaultReason::Malformed);
        if kind == LineKind::OperatingSubsidy || merchant.is_empty() || order.len() < 8 {
            return Err(odd("kind"));
        }
        alphanumeric("merchant_id", merchant, 15)?;
        alphanumeric("order_id", order, 32)?;
        if !self.times.is_time(time) {
            return Err(odd("transaction_time"));
        }
        let money = [digits("amount_fen", amount)?, digits("fee_fen", fee)?];
        if money.iter().any(|fen| *fen > 100_000_000_000) {
            return Err(odd("amount_fen"));
        }
        let original = if kind == LineKind::Refund { *original } else { "" };
        if kind == LineKind::Refund && original.len() < 8 {
            return Err(odd("original_order_id"));
        }
        alphanumeric("original_order_id", original, 32)?;
        let tail = self.tails.number(shared, |shared| {
            let (status, institution) = shared.split_once(',').ok_or(odd("status"))?;
            let institution = institution.parse::<crate::id::Uscc>().map_err(|_| odd("institution"))?;
            let status = status.parse().map_err(|_| odd("status"))?;
            Ok(LineTail { status, institution: institution.to_string() })
        })?;
        self.refers_to(kind, original);
        let key = [order.as_bytes(), merchant.as_bytes(), time.as_bytes()];
        self.put(kind, key, original.as_bytes(), money, tail, at);
        Ok(money)
    }

    /// Takes in a line that was read otherwise.
    pub fn push_line(&mut self, line: &SettlementLine, file: u32) {
        let key = line.key();
        let shared = format!("{},{}", line.status, line.institution);
        let tail =
            self.tails.number(&shared, |_| Ok(LineTail { status: line.status, institution: line.institution.clone() }));
        let Ok(tail) = tail else { return };
        let original = match line.kind {
            LineKind::Payment => String::new(),
            LineKind::Refund => line.original_order_id.clone().unwrap_or_default(),
            // A statement's line has no time in its key.
            LineKind::OperatingSubsidy => beijing_text(line.transaction_time),
        };
        self.refers_to(line.kind, &original);
        let parts = [&key.order_id, &key.merchant_id, &key.transaction_time].map(|part| part.as_bytes());
        let at = LineAt { file, line: line.line };
        self.put(line.kind, parts, original.as_bytes(), [line.amount_fen, line.fee_fen], tail, at);
    }

    fn refers_to(&mut self, kind: LineKind, original: &str) {
        if kind == LineKind::Refund && !self.refunded.contains(original) {
            self.refunded.insert(original.into());
        }
    }

    /// Whether a ledger row is a payment that a line refunds.
    pub fn refunds(&self, entry: &[u8]) -> bool {
        let entry = Record(entry);
        !self.refunded.is_empty() && entry.kind() == LineKind::Payment && self.refunded.contains(text(entry.order()))
    }

    fn put(&mut self, kind: LineKind, key: [&[u8]; 3], original: &[u8], money: [i64; 2], tail: u32, at: LineAt) {
        let mut rest = [0; LINE_LEN];
        rest[..8].copy_from_slice(&money[0].to_le_bytes());
        rest[8..12].copy_from_slice(&tail.to_le_bytes());
        rest[12..20].copy_from_slice(&money[1].to_le_bytes());
        rest[20..28].copy_from_slice(&at.line.to_le_bytes());
        rest[28..].copy_from_slice(&at.file.to_le_bytes());
        self.rows.push(kind, key, [&rest, original, &[]]);
    }
}

/// Amount, shared values, fee, line, file.
const LINE_LEN: usize = 8 + 4 + 8 + 8 + 4;
/// Amount, shared values.
const ENTRY_LEN: usize = 8 + 4;

/// What a view's rows are rendered from, beside the rows themselves.
pub struct Day<'a> {
    pub terms: &'a Terms,
    /// Names of the files, by number.
    pub files: &'a [String],
    /// Lines that no row of the export explains, by reference.
    pub assigned: &'a BTreeMap<String, Assigned>,
    /// The region whose view is wanted; `None`: all of them, and the whole.
    pub region: Option<&'a Participant>,
    /// Regions' books whose legs are wanted, by region.
    pub books: &'a [RegionalBook],
    pub ledger: &'a LedgerRows,
    pub lines: &'a LineRows,
}

/// Records of some orders, each order's together: how many of the ledger's and of the file's,
/// then they.
#[derive(Default)]
pub struct Batch {
    bytes: Vec<u8>,
    open: Option<(usize, [u32; 2])>,
}

impl Batch {
    pub fn len_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Begins an order.
    pub fn begin(&mut self) {
        self.open = Some((self.bytes.len(), [0, 0]));
        self.bytes.extend_from_slice(&[0; 8]);
    }

    /// A record of the order; the ledger's come first.
    pub fn take(&mut self, record: &[u8], is_line: bool) {
        self.bytes.extend_from_slice(record);
        if let Some((at, counts)) = &mut self.open {
            counts[usize::from(is_line)] += 1;
            self.bytes[*at..*at + 4].copy_from_slice(&counts[0].to_le_bytes());
            self.bytes[*at + 4..*at + 8].copy_from_slice(&counts[1].to_le_bytes());
        }
    }

    fn orders(&self) -> impl Iterator<Item = (Vec<Record<'_>>, usize)> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let count = |at: usize| u32::from_le_bytes(self.bytes[at..at + 4].try_into().expect("four bytes")) as usize;
            if at == self.bytes.len() {
                return None;
            }
            let (entries, lines) = (count(at), count(at + 4));
            at += 8;
            let mut records = Vec::with_capacity(entries + lines);
            for _ in 0..entries + lines {
                let record = record_at(&self.bytes, at);
                at += record.len();
                records.push(Record(record));
            }
            Some((records, entries))
        })
    }
}

/// A view's row: its hash, its bytes when they are wanted, in whose views it is.
pub struct Rendered<'a> {
    pub hash: Hash,
    pub regions: [Option<&'a Participant>; 2],
    pub is_refund: bool,
    pub amount_fen: i64,
}

/// What a batch came to.
#[derive(Default)]
pub struct Found<'a> {
    pub rows: Vec<Rendered<'a>>,
    /// The rows' bytes, a line feed after each, when they are wanted.
    pub bodies: Vec<u8>,
    pub breaks: BTreeMap<BreakClass, i64>,
    rest: Rest,
    /// Rows of books that agree plainly, and units compared with books; books by their number.
    agreeing: Vec<(usize, usize)>,
    compared: Vec<(usize, Compared)>,
}

/// What no end-to-end key has joined.
#[derive(Default)]
pub struct Rest {
    entries: Vec<LedgerEntry>,
    lines: Vec<FileLine>,
    seen: BTreeMap<String, (Place, Known)>,
}

impl<'a> Day<'a> {
    /// Joins and renders a batch; `bodies` says whether the rows' bytes are wanted.
    pub fn work(&self, batch: &Batch, bodies: bool) -> Found<'a> {
        let mut found = Found::default();
        let mut body = Vec::with_capacity(1024);
        let date = self.terms.clearing_date.to_string();
        for (records, entries) in batch.orders() {
            let (entries, lines) = records.split_at(entries);
            if let ([entry], [line]) = (entries, lines)
                && let Some(plain) = self.plain(*entry, *line, &date)
            {
                let tail = self.entry_tail(*entry);
                if self.is_wanted(Some(&tail.place)) {
                    body.clear();
                    plain.write_body(&mut body);
                    let (amount_fen, is_refund) = (plain.amount_fen, plain.kind == LineKind::Refund);
                    found.render(&body, bodies, Some(&tail.place), is_refund, amount_fen);
                    self.plain_with_books(&plain, [*entry, *line], tail, &mut found);
                }
                continue;
            }
            self.order(entries, lines, bodies, &mut found);
        }
        found
    }

    fn entry_tail(&self, entry: Record) -> &'a EntryTail {
        let number = u32::from_le_bytes(entry.after(8)[..4].try_into().expect("four bytes"));
        &self.ledger.tails.values[number as usize]
    }

    fn line_tail(&self, line: Record) -> &'a LineTail {
        let number = u32::from_le_bytes(line.after(8)[..4].try_into().expect("four bytes"));
        &self.lines.tails.values[number as usize]
    }

    /// The two rows of an order as a match without a difference; `None` when the rules must say.
    fn plain<'b>(&'b self, entry: Record<'b>, line: Record<'b>, date: &'b str) -> Option<PlainMatch<'b>> {
        let (tail, stated) = (self.entry_tail(entry), self.line_tail(line));
        let (amount_fen, fee_fen) = (entry.int(0), line.int(12));
        let same = entry.key() == line.key() && amount_fen == line.int(0) && tail.institution == stated.institution;
        let moved = tail.plain && stated.status == LineStatus::Success;
        let fee = match (line.kind(), self.terms.fee) {
            (LineKind::Payment, Some(rule)) => rule.of(amount_fen),
            _ => fee_fen,
        };
        (same && moved && fee == fee_fen && line.kind() != LineKind::OperatingSubsidy).then(|| PlainMatch {
            kind: entry.kind(),
            merchant_id: text(entry.merchant()),
            order_id: text(entry.order()),
            transaction_time: text(entry.time()),
            clearing_date: date,
            region: tail.place.book.region().as_str(),
            programme: tail.place.book.programme(),
            institution_region: tail.place.institution_region.as_ref().map_or("", Participant::as_str),
            record: text(entry.after(ENTRY_LEN)),
            institution: &tail.institution,
            amount_fen,
            entry_clearing_date: &tail.clearing_date_text,
            fee_fen,
        })
    }

    /// An order's rows by the rules: what its keys join is rendered, what they do not is kept.
    fn order(&self, entries: &[Record], lines: &[Record], bodies: bool, found: &mut Found<'a>) {
        let is_here = |entry: &Record| self.entry_tail(*entry).clearing_date == self.terms.clearing_date;
        let mut by_key: BTreeMap<&[u8], (Vec<LedgerEntry>, Vec<FileLine>)> = BTreeMap::new();
        let mut seen: BTreeMap<String, (&'a Place, Known)> = BTreeMap::new();
        for entry in entries.iter().filter(|entry| !lines.is_empty() || is_here(entry)) {
            let tail = self.entry_tail(*entry);
            let row = self.entry(*entry, tail);
            seen.insert(row.record.clone(), (&tail.place, tail.known));
            by_key.entry(entry.key()).or_default().0.push(row);
        }
        for line in lines {
            let line_row = self.line(*line);
            // In one region's export, what has no row there is another's unless it is said to be its own.
            if self.region.is_none() || !entries.is_empty() || self.assigned.contains_key(&line_row.reference()) {
                by_key.entry(line.key()).or_default().1.push(line_row);
            }
        }
        for (entries, lines) in by_key.into_values() {
            if entries.is_empty() || lines.is_empty() {
                let place = |e: &LedgerEntry| {
                    let (place, known) = seen[&e.record];
                    (e.record.clone(), (place.clone(), known))
                };
                found.rest.seen.extend(entries.iter().map(place));
                found.rest.entries.extend(entries);
                found.rest.lines.extend(lines);
                continue;
            }
            let unit = end_to_end(entries, lines, self.terms);
            let (place, known) = seen[&unit.entries[0].record];
            self.unit(&unit, Some(place), known, bodies, found);
        }
    }

    fn unit(&self, unit: &Unit, place: Option<&'a Place>, known: Known, bodies: bool, found: &mut Found<'a>) {
        if !self.is_wanted(place) {
            return;
        }
        let class = known.class(unit);
        let line = ViewLine::of(unit, class, place, self.terms.clearing_date);
        if let Some(class) = class {
            *found.breaks.entry(class).or_default() += 1;
        }
        let is_refund = line.kind == LineKind::Refund;
        found.render(line.body().as_bytes(), bodies, place, is_refund, line.amount_fen());
        self.with_books(unit, place, found);
    }

    /// The books of the regions in whose views a unit is.
    fn books_of(&self, place: Option<&Place>) -> impl Iterator<Item = (usize, &'a RegionalBook)> {
        let regions = place.map(|p| [Some(p.book.region()), p.institution_region.as_ref()]);
        let is_wanted = move |book: &&RegionalBook| regions.is_some_and(|of| of.contains(&Some(&book.region)));
        let books: Vec<_> = self.books.iter().enumerate().filter(|(_, book)| is_wanted(book)).collect();
        books.into_iter()
    }

    fn with_books(&self, unit: &Unit, place: Option<&Place>, found: &mut Found<'a>) {
        for (number, book) in self.books_of(place) {
            found.compared.extend(book.compare(unit, self.terms.clearing_date).map(|compared| (number, compared)));
        }
    }

    fn plain_with_books(&self, plain: &PlainMatch, rows: [Record; 2], tail: &EntryTail, found: &mut Found<'a>) {
        let party = [plain.merchant_id, plain.institution];
        for (number, book) in self.books_of(Some(&tail.place)) {
            match book.plain_row(plain.kind, plain.order_id, party, plain.amount_fen) {
                Some(row) => found.agreeing.push((number, row)),
                None => {
                    let unit = end_to_end(vec![self.entry(rows[0], tail)], vec![self.line(rows[1])], self.terms);
                    let compared = book.compare(&unit, self.terms.clearing_date);
                    found.compared.extend(compared.map(|compared| (number, compared)));
                }
            }
        }
    }

    fn is_wanted(&self, place: Option<&Place>) -> bool {
        let Some(region) = self.region else { return true };
        place.is_some_and(|p| p.book.region() == region || p.institution_region.as_ref() == Some(region))
    }

    fn entry(&self, entry: Record, tail: &EntryTail) -> LedgerEntry {
        LedgerEntry {
            record: text(entry.after(ENTRY_LEN)).to_owned(),
            key: entry.unit_key(),
            book: tail.place.book.to_string(),
            institution: tail.institution.clone(),
            amount_fen: entry.int(0),
            standing: tail.standing,
            state: tail.standing.to_string(),
            clearing_date: tail.clearing_date,
            matched: tail.matched,
        }
    }

    fn line(&self, line: Record) -> FileLine {
        let tail = self.line_tail(line);
        let rest = text(line.after(LINE_LEN));
        let file = u32::from_le_bytes(line.after(28)[..4].try_into().expect("four bytes"));
        let time = if line.kind() == LineKind::OperatingSubsidy { rest } else { text(line.time()) };
        FileLine {
            file: self.files.get(file as usize).map_or("", String::as_str).into(),
            line: Arc::new(SettlementLine {
                line: line.int(20),
                byte_offset: 0,
                kind: line.kind(),
                merchant_id: text(line.merchant()).to_owned(),
                order_id: text(line.order()).to_owned(),
                transaction_time: parse_beijing(time).expect("checked when it was taken in"),
                amount_fen: line.int(0),
                fee_fen: line.int(12),
                status: tail.status,
                institution: tail.institution.clone(),
                original_order_id: (line.kind() == LineKind::Refund).then(|| rest.to_owned()),
            }),
        }
    }

    /// What no end-to-end key has joined, by the other rules; the last rows of the views.
    pub fn rest(&self, rest: &'a Rest, bodies: bool) -> Found<'a> {
        let mut found = Found::default();
        let assigned = |unit: &Unit| self.assigned.get(&unit.lines.first()?.reference());
        for mut unit in match_rows(rest.entries.clone(), rest.lines.clone(), self.terms) {
            let (place, known) = match unit.entries.first() {
                Some(entry) => {
                    let (place, known) = &rest.seen[&entry.record];
                    (Some(place), *known)
                }
                None => assigned(&unit).map_or((None, Known::No), |a| (a.place.as_ref(), a.known)),
            };
            if unit.entries.is_empty() && known == Known::Resolved {
                unit.rule = MatchRule::Earlier;
            }
            self.unit(
                &unit,
                place.filter(|_| unit.money_lines().next().is_some() || !unit.entries.is_empty()),
                known,
                bodies,
                &mut found,
            );
        }
        found
    }
}

impl<'a> Found<'a> {
    fn render(&mut self, body: &[u8], keep: bool, place: Option<&'a Place>, is_refund: bool, amount_fen: i64) {
        let paying = place.map(|p| p.book.region());
        let other = place.and_then(|p| p.institution_region.as_ref()).filter(|region| Some(*region) != paying);
        self.rows.push(Rendered { hash: leaf_hash(body), regions: [paying, other], is_refund, amount_fen });
        if keep {
            self.bodies.extend_from_slice(body);
            self.bodies.push(b'\n');
        }
    }

    /// Hands over what is left for [`Day::rest`], and what concerns books.
    pub fn leave(&mut self, rest: &mut Rest, legs: &mut [Leg<&RegionalBook>]) {
        self.agreeing.drain(..).for_each(|(book, row)| legs[book].agree(row));
        self.compared.drain(..).for_each(|(book, compared)| legs[book].add(compared));
        rest.entries.append(&mut self.rest.entries);
        rest.lines.append(&mut self.rest.lines);
        rest.seen.append(&mut self.rest.seen);
    }
}

/// Views as their rows come.
#[derive(Default)]
pub struct Views {
    pub of: BTreeMap<Participant, ViewTotals>,
    pub breaks: BTreeMap<BreakClass, i64>,
}

/// One view so far.
#[derive(Default)]
pub struct ViewTotals {
    tree: Frontier,
    pub debit_fen: i64,
    pub credit_fen: i64,
}

impl ViewTotals {
    pub fn rows(&self) -> u64 {
        self.tree.rows()
    }

    pub fn root(&self) -> Hash {
        self.tree.root()
    }

    fn add(&mut self, row: &Rendered) {
        self.tree.push(row.hash);
        *(if row.is_refund { &mut self.credit_fen } else { &mut self.debit_fen }) += row.amount_fen;
    }
}

impl Views {
    /// Takes in the lines of a region's book, after all units.
    pub fn add_leg(&mut self, leg: &LegResult, only: Option<&Participant>) {
        let whole = only.is_none().then(Participant::gateway);
        for participant in [Some(leg.region.clone()), whole].into_iter().flatten() {
            let view = self.of.entry(participant).or_default();
            leg.bodies().for_each(|body| view.tree.push(leaf_hash(body.as_bytes())));
        }
        for class in leg.lines.iter().filter_map(|line| line.difference) {
            *self.breaks.entry(class).or_default() += 1;
        }
    }

    /// Takes in rows. `only` one region's, or everybody's and the gateway's.
    pub fn add(&mut self, found: &Found, only: Option<&Participant>) {
        for row in &found.rows {
            for region in row.regions.iter().flatten().filter(|region| only.is_none_or(|only| **region == only)) {
                match self.of.get_mut(*region) {
                    Some(view) => view.add(row),
                    None => self.of.entry((*region).clone()).or_default().add(row),
                }
            }
            if only.is_none() {
                self.of.entry(Participant::gateway()).or_default().add(row);
            }
        }
        for (class, n) in &found.breaks {
            *self.breaks.entry(*class).or_default() += n;
        }
    }
}
