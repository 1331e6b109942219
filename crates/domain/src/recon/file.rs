//! The settlement file in CSV: one line per movement, a trailer with control totals.
//!
//! UTF-8, comma-separated, RFC 4180 quoting, the header [`HEADER`] first:
//!
//! | Field | Content |
//! |---|---|
//! | `kind` | `PAYMENT`, `REFUND`, `OPERATING_SUBSIDY` (a bank statement's line), `TRAILER` (last) |
//! | `merchant_id` | the channel's merchant number, up to 15 letters and digits; empty for `OPERATING_SUBSIDY` |
//! | `order_id` | 8 to 32 letters and digits |
//! | `transaction_time` | `YYYYMMDDhhmmss`, Beijing time |
//! | `amount_fen` | integer fen, not negative |
//! | `fee_fen` | the channel's fee on it, integer fen, not negative |
//! | `status` | `SUCCESS`, or `FAILED` (no money moved) |
//! | `institution` | unified social credit code of the payee |
//! | `original_order_id` | the refunded order; `REFUND` only, else empty |
//!
//! The trailer is `TRAILER,{rows},{sum of amount_fen},{sum of fee_fen},,,,,`: the sums run over
//! all lines before it, whatever their kind and status. Voided payments do not appear.

use serde::{Deserialize, Serialize};

use super::packed::PackedLines;
use crate::id::{OrderId, Uscc};
use crate::text_enum;
use crate::time::{Date, Timestamp};

/// The fields of a line, in order.
pub const HEADER: [&str; 9] = [
    "kind",
    "merchant_id",
    "order_id",
    "transaction_time",
    "amount_fen",
    "fee_fen",
    "status",
    "institution",
    "original_order_id",
];

/// The largest amount of a line: one billion yuan. Sums over any file stay far inside `i64`.
pub const AMOUNT_LIMIT_FEN: i64 = 100_000_000_000;

text_enum! {
    /// What a line says happened.
    pub enum LineKind {
        Payment = "PAYMENT",
        Refund = "REFUND",
        /// A line of the bank's statement: an operating subsidy paid out.
        OperatingSubsidy = "OPERATING_SUBSIDY",
    }
}

text_enum! {
    /// Whether the channel moved money.
    pub enum LineStatus {
        Success = "SUCCESS",
        Failed = "FAILED",
    }
}

text_enum! {
    /// What is wrong with a field.
    pub enum FaultReason {
        Missing = "MISSING",
        Malformed = "MALFORMED",
        OutOfRange = "OUT_OF_RANGE",
        CheckDigit = "CHECK_DIGIT",
        /// The row has another number of fields than the header.
        FieldCount = "FIELD_COUNT",
        /// The row cannot be read at all (encoding, quoting).
        Unreadable = "UNREADABLE",
        /// A transaction code that the channel's policy does not name.
        UnknownCode = "UNKNOWN_CODE",
        /// No institution's settlement account has this merchant number.
        UnknownMerchant = "UNKNOWN_MERCHANT",
        /// The transaction that the row undoes cannot be told from the file.
        UnknownOriginal = "UNKNOWN_ORIGINAL",
    }
}

/// One movement as the channel states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettlementLine {
    /// Line in the file, from 1; the header is line 1.
    pub line: i64,
    /// First byte of the line, from 0.
    pub byte_offset: i64,
    pub kind: LineKind,
    pub merchant_id: String,
    pub order_id: String,
    pub transaction_time: Timestamp,
    pub amount_fen: i64,
    pub fee_fen: i64,
    pub status: LineStatus,
    /// Unified social credit code.
    pub institution: String,
    pub original_order_id: Option<String>,
}

/// A line that was set aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LineFault {
    pub line: i64,
    pub byte_offset: i64,
    /// Empty when it is about the whole row.
    pub field: String,
    pub reason: FaultReason,
}

/// The control totals of the last line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlTotals {
    pub rows: i64,
    pub amount_fen: i64,
    pub fee_fen: i64,
}

/// One record of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileRecord {
    Line(SettlementLine),
    Trailer(ControlTotals),
}

/// Reads one record's fields.
pub fn parse_record(fields: &[&str], line: i64, byte_offset: i64) -> Result<FileRecord, LineFault> {
    let at = Position { line, byte_offset };
    if fields.len() != HEADER.len() {
        return Err(at.fault("", FaultReason::FieldCount));
    }
    if fields[0] == "TRAILER" {
        let count = |i: usize, name| at.integer(fields[i], name, i64::MAX);
        let totals = ControlTotals {
            rows: count(1, "rows")?,
            amount_fen: count(2, "amount_fen")?,
            fee_fen: count(3, "fee_fen")?,
        };
        return Ok(FileRecord::Trailer(totals));
    }
    parse_line(fields, line, byte_offset).map(FileRecord::Line)
}

/// Reads one line's fields. The first field at fault is named.
pub fn parse_line(fields: &[&str], line: i64, byte_offset: i64) -> Result<SettlementLine, LineFault> {
    let at = Position { line, byte_offset };
    let [kind, merchant, order, time, amount, fee, status, institution, original] = fields else {
        return Err(at.fault("", FaultReason::FieldCount));
    };
    let kind: LineKind = at.parse(kind, "kind")?;
    let merchant_id = match kind {
        LineKind::OperatingSubsidy => String::new(),
        LineKind::Payment | LineKind::Refund => at.merchant(merchant)?,
    };
    Ok(SettlementLine {
        line,
        byte_offset,
        kind,
        merchant_id,
        order_id: at.parse::<OrderId>(order, "order_id")?.to_string(),
        transaction_time: at.time(time)?,
        amount_fen: at.integer(amount, "amount_fen", AMOUNT_LIMIT_FEN)?,
        fee_fen: at.integer(fee, "fee_fen", AMOUNT_LIMIT_FEN)?,
        status: at.parse(status, "status")?,
        institution: at.institution(institution)?,
        original_order_id: match kind {
            LineKind::Refund => Some(at.parse::<OrderId>(original, "original_order_id")?.to_string()),
            LineKind::Payment | LineKind::OperatingSubsidy => None,
        },
    })
}

/// The fields of a line, to write files with (sandbox, tests).
pub fn render_line(line: &SettlementLine) -> [String; 9] {
    [
        line.kind.to_string(),
        line.merchant_id.clone(),
        line.order_id.clone(),
        beijing_text(line.transaction_time),
        line.amount_fen.to_string(),
        line.fee_fen.to_string(),
        line.status.to_string(),
        line.institution.clone(),
        line.original_order_id.clone().unwrap_or_default(),
    ]
}

/// The fields of a trailer.
pub fn render_trailer(totals: ControlTotals) -> [String; 9] {
    let mut fields: [String; 9] = Default::default();
    fields[0] = "TRAILER".to_owned();
    fields[1] = totals.rows.to_string();
    fields[2] = totals.amount_fen.to_string();
    fields[3] = totals.fee_fen.to_string();
    fields
}

/// A file's content, read line by line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParsedFile {
    pub lines: PackedLines,
    pub rejected: Vec<LineFault>,
    pub trailer: Option<ControlTotals>,
    /// Lines after the trailer, or a second trailer: the totals prove nothing.
    pub disordered: bool,
    /// The format has no control totals: there is nothing to compare.
    pub has_no_totals: bool,
}

impl ParsedFile {
    /// Takes in the next record.
    pub fn push(&mut self, record: Result<FileRecord, LineFault>) {
        self.disordered |= self.trailer.is_some();
        match record {
            Ok(FileRecord::Line(line)) => self.lines.push(&line),
            Ok(FileRecord::Trailer(totals)) => self.trailer = Some(totals),
            Err(fault) => self.rejected.push(fault),
        }
    }

    /// The sums over the lines that could be read.
    pub fn totals(&self) -> ControlTotals {
        let read = self.lines.totals();
        ControlTotals { rows: read.rows + self.rejected.len() as i64, ..read }
    }

    /// Whether the trailer agrees with the lines. The sums prove nothing once a line was set
    /// aside; then only the number of rows is compared.
    pub fn totals_agree(&self) -> bool {
        if self.has_no_totals {
            return true;
        }
        let Some(stated) = self.trailer else { return false };
        let read = self.totals();
        !self.disordered
            && stated.rows == read.rows
            && (!self.rejected.is_empty() || (stated.amount_fen, stated.fee_fen) == (read.amount_fen, read.fee_fen))
    }
}

/// `YYYYMMDDhhmmss` in Beijing time, seconds truncated.
pub fn beijing_text(at: Timestamp) -> String {
    let date = at.date();
    let seconds = (at.0 - date.starts_at().0) / 1_000_000;
    let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{}{h:02}{m:02}{s:02}", date.to_string().replace('-', ""))
}

/// Reads `YYYYMMDDhhmmss`.
pub fn parse_beijing(text: &str) -> Option<Timestamp> {
    if text.len() != 14 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let date: Date = format!("{}-{}-{}", &text[..4], &text[4..6], &text[6..8]).parse().ok()?;
    let number = |range: std::ops::Range<usize>| text[range].parse::<i64>().ok();
    let (h, m, s) = (number(8..10)?, number(10..12)?, number(12..14)?);
    (h < 24 && m < 60 && s < 60).then(|| date.starts_at().plus_us(((h * 60 + m) * 60 + s) * 1_000_000))
}

#[derive(Clone, Copy)]
struct Position {
    line: i64,
    byte_offset: i64,
}

impl Position {
    fn fault(self, field: &str, reason: FaultReason) -> LineFault {
        LineFault { line: self.line, byte_offset: self.byte_offset, field: field.to_owned(), reason }
    }

    fn present<'a>(self, text: &'a str, field: &str) -> Result<&'a str, LineFault> {
        if text.is_empty() { Err(self.fault(field, FaultReason::Missing)) } else { Ok(text) }
    }

    fn parse<T: std::str::FromStr>(self, text: &str, field: &str) -> Result<T, LineFault> {
        self.present(text, field)?.parse().map_err(|_| self.fault(field, FaultReason::Malformed))
    }

    fn merchant(self, text: &str) -> Result<String, LineFault> {
        let text = self.present(text, "merchant_id")?;
        let plain = text.len() <= 15 && text.bytes().all(|b| b.is_ascii_alphanumeric());
        if plain { Ok(text.to_owned()) } else { Err(self.fault("merchant_id", FaultReason::Malformed)) }
    }

    fn institution(self, text: &str) -> Result<String, LineFault> {
        use crate::id::NotAnId;
        match self.present(text, "institution")?.parse::<Uscc>() {
            Ok(uscc) => Ok(uscc.to_string()),
            Err(NotAnId::CheckDigit(_)) => Err(self.fault("institution", FaultReason::CheckDigit)),
            Err(_) => Err(self.fault("institution", FaultReason::Malformed)),
        }
    }

    fn time(self, text: &str) -> Result<Timestamp, LineFault> {
        let text = self.present(text, "transaction_time")?;
        parse_beijing(text).ok_or_else(|| self.fault("transaction_time", FaultReason::Malformed))
    }

    fn integer(self, text: &str, field: &str, limit: i64) -> Result<i64, LineFault> {
        let text = self.present(text, field)?;
        if !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(self.fault(field, FaultReason::Malformed));
        }
        text.parse().ok().filter(|n| *n <= limit).ok_or_else(|| self.fault(field, FaultReason::OutOfRange))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: [&str; 9] = [
        "PAYMENT",
        "777290058110097",
        "ORDER0001",
        "20261119103000",
        "60000",
        "120",
        "SUCCESS",
        "52131082XXXX00043X",
        "",
    ];

    fn with(field: usize, text: &'static str) -> Result<SettlementLine, LineFault> {
        let mut fields = GOOD;
        fields[field] = text;
        parse_line(&fields, 7, 421)
    }

    #[test]
    fn a_bad_row_names_line_byte_field_and_reason() {
        use FaultReason::*;
        for (field, text, reason) in [
            (0, "", Missing),
            (0, "VOID", Malformed),
            (1, "", Missing),
            (1, "1234567890123456", Malformed),
            (2, "short", Malformed),
            (2, "ORDER-0001", Malformed),
            (3, "20261319103000", Malformed),
            (3, "20261119106000", Malformed),
            (3, "2026111910300", Malformed),
            (4, "-1", Malformed),
            (4, "1.00", Malformed),
            (4, "100000000001", OutOfRange),
            (4, "99999999999999999999", OutOfRange),
            (5, "", Missing),
            (6, "OK", Malformed),
            (7, "52131082XXXX000439", CheckDigit),
            (7, "52131082", Malformed),
        ] {
            let fault = with(field, text).unwrap_err();
            let expected = LineFault { line: 7, byte_offset: 421, field: HEADER[field].to_owned(), reason };
            assert_eq!(fault, expected, "{text:?}");
        }
        assert_eq!(parse_line(&GOOD[..8], 1, 0).unwrap_err().reason, FieldCount);
        let mut refund = GOOD;
        refund[0] = "REFUND";
        assert_eq!(parse_line(&refund, 1, 0).unwrap_err().field, "original_order_id");
    }

    #[test]
    fn the_trailer_is_compared_with_what_was_read() {
        let file = |trailer: [&str; 9]| {
            let mut file = ParsedFile::default();
            file.push(parse_record(&GOOD, 2, 90));
            file.push(parse_record(&trailer, 3, 180));
            file
        };
        let trailer = |rows, amount, fee| ["TRAILER", rows, amount, fee, "", "", "", "", ""];
        assert!(file(trailer("1", "60000", "120")).totals_agree());
        assert!(!file(trailer("2", "60000", "120")).totals_agree());
        assert!(!file(trailer("1", "60001", "120")).totals_agree());
        assert!(!file(trailer("1", "60000", "119")).totals_agree());
        let mut without = ParsedFile::default();
        without.push(parse_record(&GOOD, 2, 90));
        assert!(!without.totals_agree(), "no trailer");
        let mut after = file(trailer("2", "120000", "240"));
        after.push(parse_record(&GOOD, 4, 200));
        assert!(!after.totals_agree(), "a line after the trailer");
    }

    #[test]
    fn a_row_set_aside_leaves_only_the_row_count_to_compare() {
        let mut file = ParsedFile::default();
        file.push(parse_record(&GOOD, 2, 90));
        file.push(parse_record(&["PAYMENT"], 3, 180));
        file.push(parse_record(&["TRAILER", "2", "99", "0", "", "", "", "", ""], 4, 190));
        assert!(file.totals_agree());
    }

    proptest! {
        #[test]
        fn what_is_rendered_reads_back(amount in 0..AMOUNT_LIMIT_FEN, fee in 0..1_000_000i64, second in 0i64..4_000_000_000) {
            let mut line = parse_line(&GOOD, 2, 0).unwrap();
            line.amount_fen = amount;
            line.fee_fen = fee;
            line.transaction_time = Timestamp(second * 1_000_000);
            let fields = render_line(&line);
            prop_assert_eq!(parse_line(&fields.each_ref().map(String::as_str), 2, 0), Ok(line));
        }

        #[test]
        fn no_input_panics(fields in proptest::collection::vec(".{0,20}", 0..11)) {
            let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
            let _ = parse_record(&fields, 1, 0);
        }
    }
}
