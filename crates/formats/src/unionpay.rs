//! UnionPay's daily files of a merchant: ZM (transactions), ZME (errors and adjustments, 差错), and
//! the zip `{merchant}_{YYYYMMDD}.zip` that they come in. The fields are in [`crate::fixed`].

use std::io::{self, BufRead, BufReader, Read, Write};

use jjj_domain::id::OrderId;
use jjj_domain::policy::TransactionCodes;
use jjj_domain::recon::file::{
    AMOUNT_LIMIT_FEN, FaultReason, LineFault, LineKind, LineStatus, SettlementLine, beijing_text,
};
use jjj_domain::recon::refusal::{FileRefusal, RefusalReason};
use jjj_domain::time::{Date, Timestamp};

use crate::fixed::{self, Fault, Field, Texts, ZM, ZME, position};
use crate::zip::{Archive, Writer as ZipWriter};
use crate::{Context, Earlier, Pending, Record, Row, Traced, Void, unreadable};

/// Which of the two kinds of row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Zm,
    Zme,
}

impl Kind {
    pub const fn fields(self) -> &'static [Field] {
        match self {
            Self::Zm => &ZM,
            Self::Zme => &ZME,
        }
    }
}

/// The longest run of bytes without a line end; a file with a longer one is refused whole.
const MAX_ROW_LEN: usize = 64 * 1024;

/// Rows of one ZM or ZME file.
pub struct Reader<R> {
    kind: Kind,
    lines: Lines<R>,
    rows: Rows,
    pending: Pending,
}

impl<R: Read> Reader<R> {
    pub fn new(kind: Kind, source: R, context: Context) -> Self {
        Self { kind, lines: Lines::new(source), rows: Rows::new(context), pending: Pending::default() }
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        let Self { kind, lines, rows, pending } = self;
        pending.next(|pending| {
            match lines.next().map_err(|error| unreadable(&error))? {
                Some(line) => pending.ready.push_back(rows.read(*kind, line?)),
                None => {
                    rows.end()?;
                    pending.is_over = true;
                }
            }
            Ok(())
        })
    }
}

/// Rows of a daily zip. Its members are told by their names: those with `ZME_` and `ZM_` are read,
/// those with `INN` passed over. Lines and bytes are counted on through the members read.
pub struct ArchiveReader<R> {
    lines: Lines<Archive<R>>,
    member: Option<Kind>,
    is_any: bool,
    rows: Rows,
    pending: Pending,
}

impl<R: Read> ArchiveReader<R> {
    pub fn new(source: R, context: Context) -> Self {
        let lines = Lines::new(Archive::new(source));
        Self { lines, member: None, is_any: false, rows: Rows::new(context), pending: Pending::default() }
    }
}

impl<R: Read> Iterator for ArchiveReader<R> {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        let Self { lines, member, is_any, rows, pending } = self;
        pending.next(|pending| {
            if let Some(kind) = *member {
                match lines.next() {
                    Ok(Some(line)) => pending.ready.push_back(rows.read(kind, line?)),
                    Ok(None) => *member = None,
                    Err(error) => return Err(lines.source.get_mut().refusal(&error)),
                }
                return Ok(());
            }
            match lines.source.get_mut().next_member()? {
                Some(name) if name.contains("ZME_") => *member = Some(Kind::Zme),
                Some(name) if name.contains("ZM_") => *member = Some(Kind::Zm),
                Some(name) if name.contains("INN") => {}
                Some(name) => return Err(FileRefusal::new(RefusalReason::MemberUnknown, name)),
                None if !*is_any => return Err(FileRefusal::new(RefusalReason::MemberMissing, "")),
                None => {
                    rows.end()?;
                    pending.is_over = true;
                }
            }
            *is_any |= member.is_some();
            Ok(())
        })
    }
}

/// One line's bytes, without its end, and where it stands.
struct Line {
    bytes: Vec<u8>,
    number: i64,
    byte_offset: i64,
}

/// Lines that end in LF or CR LF.
struct Lines<R> {
    source: BufReader<R>,
    number: i64,
    byte_offset: i64,
}

impl<R: Read> Lines<R> {
    fn new(source: R) -> Self {
        Self { source: BufReader::new(source), number: 0, byte_offset: 0 }
    }

    fn next(&mut self) -> io::Result<Option<Result<Line, FileRefusal>>> {
        let mut bytes = Vec::new();
        let n = (&mut self.source).take(MAX_ROW_LEN as u64 + 1).read_until(b'\n', &mut bytes)?;
        if n == 0 {
            return Ok(None);
        }
        self.number += 1;
        if n > MAX_ROW_LEN {
            let detail = format!("line {}: {MAX_ROW_LEN} bytes", self.number);
            return Ok(Some(Err(FileRefusal::new(RefusalReason::RowTooLong, detail))));
        }
        let byte_offset = self.byte_offset;
        self.byte_offset += n as i64;
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
            if bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
        }
        Ok(Some(Ok(Line { bytes, number: self.number, byte_offset })))
    }
}

/// Reads rows, and knows whether any could be read.
struct Rows {
    context: Context,
    rows: u64,
    is_any_readable: bool,
}

impl Rows {
    fn new(context: Context) -> Self {
        Self { context, rows: 0, is_any_readable: false }
    }

    fn read(&mut self, kind: Kind, line: Line) -> Result<Record, LineFault> {
        self.rows += 1;
        let at = At { line: line.number, byte_offset: line.byte_offset, context: &self.context };
        let fields = kind.fields();
        let texts = fixed::split(fields, &line.bytes);
        self.is_any_readable |= texts.is_ok();
        let record = texts.and_then(|texts| match kind {
            Kind::Zm => at.zm(&Values { fields, texts }),
            Kind::Zme => at.zme(&Values { fields, texts }),
        });
        record.map_err(|(field, reason)| LineFault {
            line: line.number,
            byte_offset: line.byte_offset,
            field: field.to_owned(),
            reason,
        })
    }

    /// Several rows none of which has the format's form are no damaged rows but another format.
    fn end(&self) -> Result<(), FileRefusal> {
        if self.rows > 1 && !self.is_any_readable {
            return Err(FileRefusal::new(RefusalReason::NoReadableRow, format!("{} rows", self.rows)));
        }
        Ok(())
    }
}

/// A row's texts by name.
struct Values {
    fields: &'static [Field],
    texts: Texts,
}

impl Values {
    fn get(&self, name: &str) -> &str {
        &self.texts[position(self.fields, name)]
    }

    fn required(&self, name: &'static str) -> Result<&str, Fault> {
        let text = self.get(name);
        if text.is_empty() { Err((name, FaultReason::Missing)) } else { Ok(text) }
    }

    fn amount(&self, name: &'static str) -> Result<i64, Fault> {
        let amount: i64 = self.required(name)?.parse().map_err(|_| (name, FaultReason::Malformed))?;
        if amount <= AMOUNT_LIMIT_FEN { Ok(amount) } else { Err((name, FaultReason::OutOfRange)) }
    }

    /// A sum with its sign, credit plus; an unused one is 0.
    fn sum(&self, name: &'static str) -> Result<i64, Fault> {
        let text = self.get(name);
        if text.is_empty() {
            return Ok(0);
        }
        let amount: i64 = text[1..].parse().map_err(|_| (name, FaultReason::Malformed))?;
        if amount > AMOUNT_LIMIT_FEN {
            return Err((name, FaultReason::OutOfRange));
        }
        Ok(if text.starts_with('D') { -amount } else { amount })
    }

    /// What the merchant is charged; a fee given back is no fee of this row.
    fn fee(&self) -> Result<i64, Fault> {
        let fee = -self.sum("fee")?;
        if fee < 0 { Err(("fee", FaultReason::OutOfRange)) } else { Ok(fee) }
    }

    fn merchant(&self) -> Result<String, Fault> {
        let text = self.required("merchant_id")?;
        let is_plain = text.bytes().all(|b| b.is_ascii_alphanumeric());
        if is_plain { Ok(text.to_owned()) } else { Err(("merchant_id", FaultReason::Malformed)) }
    }
}

/// Where a row stands, and by what it is read.
struct At<'a> {
    line: i64,
    byte_offset: i64,
    context: &'a Context,
}

impl At<'_> {
    fn time(&self, values: &Values, name: &'static str) -> Result<Timestamp, Fault> {
        let text = values.required(name)?;
        time_near(self.context.clearing_date, text).ok_or((name, FaultReason::Malformed))
    }

    fn zm(&self, values: &Values) -> Result<Record, Fault> {
        let code = values.required("transaction_code")?;
        let codes = &self.context.codes;
        let is = |of: &[String]| of.iter().any(|known| known == code);
        if is(&codes.payment) {
            let line = self.zm_line(values, LineKind::Payment, 1)?;
            return Ok(Record::Numbered(line, values.get("trace_number").to_owned()));
        }
        if is(&codes.refund) {
            let earlier = self.earlier(values, "original_trace_number", "original_time", None, None)?;
            let line = self.zm_line(values, LineKind::Refund, -1)?;
            let line = SettlementLine { original_order_id: Some(earlier.key()), ..line };
            return Ok(Record::Traced(Traced { line, earlier }));
        }
        if is(&codes.void) {
            let amount = Some("amount");
            let purchase = self.earlier(values, "original_trace_number", "original_time", None, amount)?;
            let (line, byte_offset) = (self.line, self.byte_offset);
            return Ok(Record::Void(Void { line, byte_offset, merchant_id: values.merchant()?, purchase }));
        }
        Err(("transaction_code", FaultReason::UnknownCode))
    }

    /// A line of ZM; what is settled must go the kind's way.
    fn zm_line(&self, values: &Values, kind: LineKind, way: i64) -> Result<SettlementLine, Fault> {
        if values.sum("settlement_amount")? * way < 0 {
            return Err(("settlement_amount", FaultReason::OutOfRange));
        }
        let order = values.required("order_id")?;
        let order: OrderId = order.parse().map_err(|_| ("order_id", FaultReason::Malformed))?;
        values.required("trace_number")?;
        self.line(values, kind, order.to_string())
    }

    fn line(&self, values: &Values, kind: LineKind, order_id: String) -> Result<SettlementLine, Fault> {
        Ok(SettlementLine {
            line: self.line,
            byte_offset: self.byte_offset,
            kind,
            merchant_id: values.merchant()?,
            order_id,
            transaction_time: self.time(values, "transmission_time")?,
            amount_fen: values.amount("amount")?,
            fee_fen: values.fee()?,
            status: LineStatus::Success,
            institution: String::new(),
            original_order_id: None,
        })
    }

    fn earlier(
        &self,
        values: &Values,
        trace: &'static str,
        time: &'static str,
        date: Option<&'static str>,
        amount: Option<&'static str>,
    ) -> Result<Earlier, Fault> {
        let at = self.time(values, time)?;
        let clearing_date = match date {
            None => at.clearing_date(),
            Some(name) => {
                date_near(self.context.clearing_date, values.required(name)?).ok_or((name, FaultReason::Malformed))?
            }
        };
        Ok(Earlier {
            trace_number: values.required(trace)?.to_owned(),
            time: at,
            clearing_date,
            amount_fen: amount.map(|name| values.amount(name)).transpose()?,
        })
    }

    /// What is settled says which way the money goes: credit is a payment after all, debit money back.
    fn zme(&self, values: &Values) -> Result<Record, Fault> {
        values.required("transaction_code")?;
        let settled = values.required("settlement_amount")?;
        let (date, amount) = (Some("previous_clearing_date"), Some("previous_amount"));
        let earlier = self.earlier(values, "previous_trace_number", "previous_time", date, amount)?;
        let trace = values.required("trace_number")?;
        let line = if settled.starts_with('C') {
            self.line(values, LineKind::Payment, earlier.key())?
        } else {
            let time = self.time(values, "transmission_time")?;
            let date = self.context.clearing_date.to_string().replace('-', "");
            let own = format!("E{date}{}{trace}", &beijing_text(time)[4..]);
            let line = self.line(values, LineKind::Refund, own)?;
            SettlementLine { original_order_id: Some(earlier.key()), ..line }
        };
        Ok(Record::Traced(Traced { line, earlier }))
    }
}

/// The date of `MMDD`: the latest that is at most a day after the file's clearing date. The file of
/// 1 January has times of 31 December; a time of 23:30 belongs to the next clearing date.
pub fn date_near(clearing_date: Date, mmdd: &str) -> Option<Date> {
    if mmdd.len() != 4 || !mmdd.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (month, day) = (mmdd.get(..2)?.parse().ok()?, mmdd.get(2..4)?.parse().ok()?);
    let latest = clearing_date.plus_days(1);
    let years = [latest.year(), latest.year() - 1];
    years.into_iter().filter_map(|year| Date::new(year, month, day)).find(|date| *date <= latest)
}

/// The time of `MMDDhhmmss`, Beijing time, its year as by [`date_near`].
pub fn time_near(clearing_date: Date, text: &str) -> Option<Timestamp> {
    if text.len() != 10 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let date = date_near(clearing_date, &text[..4])?.to_string().replace('-', "");
    jjj_domain::recon::file::parse_beijing(&format!("{date}{}", &text[4..]))
}

/// A six-digit trace number for an order: what the sandbox's files give it.
pub fn trace_of(order_id: &str) -> String {
    let mut crc = flate2::Crc::new();
    crc.update(order_id.as_bytes());
    format!("{:06}", crc.sum() % 1_000_000)
}

fn set(fields: &[Field], texts: &mut Texts, values: &[(&str, String)]) {
    for (name, text) in values {
        texts[position(fields, name)].clone_from(text);
    }
}

fn mmdd(date: Date) -> String {
    date.to_string().replace('-', "")[4..].to_owned()
}

fn signed(amount_fen: i64) -> String {
    format!("{}{:012}", if amount_fen < 0 { 'D' } else { 'C' }, amount_fen.unsigned_abs())
}

/// What is settled of a line: of a refund a debit, even of nothing.
fn settled(line: &SettlementLine) -> String {
    match line.kind {
        LineKind::Refund => format!("D{:012}", line.amount_fen + line.fee_fen),
        LineKind::Payment | LineKind::OperatingSubsidy => signed(line.amount_fen - line.fee_fen),
    }
}

/// The texts of a ZM row. A refund needs the earlier movement; voids are not written.
pub fn zm_row(line: &SettlementLine, earlier: Option<&Earlier>, codes: &TransactionCodes) -> Texts {
    let mut texts = vec![String::new(); ZM.len()];
    let known = match line.kind {
        LineKind::Refund => &codes.refund,
        LineKind::Payment | LineKind::OperatingSubsidy => &codes.payment,
    };
    let values = [
        ("transaction_code", known.first().cloned().unwrap_or_default()),
        ("trace_number", trace_of(&line.order_id)),
        ("transmission_time", beijing_text(line.transaction_time)[4..].to_owned()),
        ("amount", format!("{:012}", line.amount_fen)),
        ("order_id", line.order_id.clone()),
        ("fee", signed(-line.fee_fen)),
        ("settlement_amount", settled(line)),
        ("merchant_id", line.merchant_id.clone()),
    ];
    set(&ZM, &mut texts, &values);
    if let Some(earlier) = earlier {
        let time = beijing_text(earlier.time)[4..].to_owned();
        let values = [("original_trace_number", earlier.trace_number.clone()), ("original_time", time)];
        set(&ZM, &mut texts, &values);
    }
    texts
}

/// The texts of a ZME row: money back (`REFUND`), or a payment after all.
pub fn zme_row(line: &SettlementLine, earlier: &Earlier) -> Texts {
    let mut texts = vec![String::new(); ZME.len()];
    let values = [
        ("transaction_code", if line.kind == LineKind::Refund { "E23" } else { "E20" }.to_owned()),
        ("trace_number", trace_of(&line.order_id)),
        ("transmission_time", beijing_text(line.transaction_time)[4..].to_owned()),
        ("amount", format!("{:012}", line.amount_fen)),
        ("previous_trace_number", earlier.trace_number.clone()),
        ("previous_time", beijing_text(earlier.time)[4..].to_owned()),
        ("previous_clearing_date", mmdd(earlier.clearing_date)),
        ("previous_amount", format!("{:012}", earlier.amount_fen.unwrap_or(line.amount_fen))),
        ("fee", signed(-line.fee_fen)),
        ("settlement_amount", settled(line)),
        ("merchant_id", line.merchant_id.clone()),
    ];
    set(&ZME, &mut texts, &values);
    texts
}

/// Writes rows, each ended by CR LF.
pub fn write(kind: Kind, rows: impl IntoIterator<Item = Texts>, mut to: impl Write) -> io::Result<()> {
    for texts in rows {
        let row = fixed::join(kind.fields(), &texts);
        let row = row.map_err(|(field, reason)| io::Error::other(format!("{field}: {}", reason.message_en())))?;
        to.write_all(&row)?;
        to.write_all(b"\r\n")?;
    }
    to.flush()
}

/// Writes a merchant's daily zip from the bytes of its ZM and ZME members.
pub fn write_archive<W: Write>(
    merchant_id: &str,
    clearing_date: Date,
    mut zm: impl Read,
    mut zme: impl Read,
    to: W,
) -> io::Result<W> {
    let date = clearing_date.to_string().replace('-', "");
    let mut archive = ZipWriter::new(to);
    archive.member(&format!("INN{}ZM_{merchant_id}", &date[2..]), &mut zm)?;
    archive.member(&format!("INN{}ZME_{merchant_id}", &date[2..]), &mut zme)?;
    archive.finish()
}

/// The name of a merchant's daily zip.
pub fn archive_name(merchant_id: &str, clearing_date: Date) -> String {
    format!("{merchant_id}_{}.zip", clearing_date.to_string().replace('-', ""))
}
