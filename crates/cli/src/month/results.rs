//! The channel's files: what is to be credited, and what came of it.
//!
//! Both are CSV (UTF-8, commas, RFC 4180 quoting) with a header; a row is one line.
//!
//! To be credited: `grant,elder,programme,month,amount_fen,region`.
//!
//! Results, [`HEADER`]:
//!
//! | Field | Content |
//! |---|---|
//! | `grant` | `grants/{uuid}` |
//! | `outcome` | `CREDITED` or `FAILED` |
//! | `amount_fen` | the amount credited, integer fen from 1; empty for `FAILED` |
//! | `reason` | why it failed, 1 to 200 characters; empty for `CREDITED` |

use std::io::{self, BufRead, Read};

use jjj_domain::guard;
use jjj_domain::names::{Collection, Name};
use jjj_domain::recon::file::{FaultReason, LineFault};
use jjj_wire::pb;

/// Columns of the file of what is to be credited.
pub const CREDIT_HEADER: [&str; 6] = ["grant", "elder", "programme", "month", "amount_fen", "region"];

/// Columns of the results.
pub const HEADER: [&str; 4] = ["grant", "outcome", "amount_fen", "reason"];

const MAX_ROW_LEN: usize = 1 << 16;
const MAX_REASON_CHARS: usize = 200;

/// A row, or what is wrong with it. The request has no id yet.
pub type Row = Result<pb::ReportCreditRequest, LineFault>;

/// Reads results line by line: a damaged row costs no other. Fails when the file cannot be read or has
/// another header.
pub fn read(mut file: impl BufRead, mut each: impl FnMut(Row) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut line = Vec::new();
    let (mut number, mut byte_offset) = (0, 0);
    loop {
        let len = next_line(&mut file, &mut line)?;
        if len == 0 {
            anyhow::ensure!(number > 0, "the file is empty; its first line is to be {}", HEADER.join(","));
            return Ok(());
        }
        number += 1;
        let at = Position { line: number, byte_offset };
        byte_offset += len as i64;
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if number == 1 {
            // Spreadsheets put a mark before UTF-8.
            let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
            anyhow::ensure!(text == HEADER.join(",").as_bytes(), "the first line is not {}", HEADER.join(","));
        } else if !text.is_empty() {
            each(at.row(text))?;
        }
    }
}

/// Reads a line with its end; of one that is too long only the beginning is kept. Its length; 0 at the end.
fn next_line(file: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<usize> {
    line.clear();
    let mut len = file.by_ref().take(MAX_ROW_LEN as u64).read_until(b'\n', line)?;
    let mut rest = Vec::new();
    while len >= MAX_ROW_LEN && !line.ends_with(b"\n") && !rest.ends_with(b"\n") {
        rest.clear();
        match file.by_ref().take(MAX_ROW_LEN as u64).read_until(b'\n', &mut rest)? {
            0 => break,
            more => len += more,
        }
    }
    Ok(len)
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

    fn row(self, text: &[u8]) -> Row {
        let unreadable = || self.fault("", FaultReason::Unreadable);
        if text.len() >= MAX_ROW_LEN - 1 {
            return Err(unreadable());
        }
        let text = std::str::from_utf8(text).map_err(|_| unreadable())?;
        // An open quote would end with the line, and hide what is missing.
        if text.matches('"').count() % 2 == 1 {
            return Err(unreadable());
        }
        let mut record = csv::StringRecord::new();
        let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
        reader.read_record(&mut record).map_err(|_| unreadable())?;
        let fields: Vec<&str> = record.iter().collect();
        let [grant, outcome, amount, reason] = fields[..] else { return Err(self.fault("", FaultReason::FieldCount)) };
        let mut request = pb::ReportCreditRequest { grant: self.grant(grant)?, ..Default::default() };
        match self.present(outcome, "outcome")? {
            "CREDITED" => {
                request.set_outcome(pb::CreditOutcome::Credited);
                request.amount_fen = self.amount(amount)?;
                self.absent(reason, "reason")?;
            }
            "FAILED" => {
                request.set_outcome(pb::CreditOutcome::Failed);
                self.absent(amount, "amount_fen")?;
                request.reason = self.reason(reason)?;
            }
            _ => return Err(self.fault("outcome", FaultReason::Malformed)),
        }
        Ok(request)
    }

    fn present<'a>(self, text: &'a str, field: &str) -> Result<&'a str, LineFault> {
        if text.is_empty() { Err(self.fault(field, FaultReason::Missing)) } else { Ok(text) }
    }

    /// A failed row with an amount, or a credited one with a reason, contradicts itself.
    fn absent(self, text: &str, field: &str) -> Result<(), LineFault> {
        if text.is_empty() { Ok(()) } else { Err(self.fault(field, FaultReason::Malformed)) }
    }

    fn grant(self, text: &str) -> Result<String, LineFault> {
        Name::parse_field("grant", self.present(text, "grant")?, &[Collection::Grant])
            .map(|name| name.to_string())
            .map_err(|_| self.fault("grant", FaultReason::Malformed))
    }

    fn amount(self, text: &str) -> Result<i64, LineFault> {
        if !self.present(text, "amount_fen")?.bytes().all(|b| b.is_ascii_digit()) {
            return Err(self.fault("amount_fen", FaultReason::Malformed));
        }
        let fits = |fen: &i64| (1..=guard::MAX_FEN).contains(fen);
        text.parse().ok().filter(fits).ok_or_else(|| self.fault("amount_fen", FaultReason::OutOfRange))
    }

    fn reason(self, text: &str) -> Result<String, LineFault> {
        if self.present(text.trim(), "reason")?.chars().count() > MAX_REASON_CHARS {
            return Err(self.fault("reason", FaultReason::OutOfRange));
        }
        if text.chars().any(char::is_control) {
            return Err(self.fault("reason", FaultReason::Malformed));
        }
        Ok(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRANT: &str = "grants/01930b5c-0000-7000-8000-000000000001";

    fn rows(text: &[u8]) -> anyhow::Result<Vec<Row>> {
        let mut rows = Vec::new();
        read(text, |row| {
            rows.push(row);
            Ok(())
        })?;
        Ok(rows)
    }

    /// The one row after the header.
    fn row(text: &str) -> Result<(i32, i64, String), (String, FaultReason)> {
        let file = format!("{}\n{}\n", HEADER.join(","), text.replace("GRANT", GRANT));
        let row = rows(file.as_bytes()).unwrap().remove(0);
        row.map(|q| (q.outcome, q.amount_fen, q.reason)).map_err(|fault| {
            assert_eq!(fault.line, 2);
            (fault.field, fault.reason)
        })
    }

    #[test]
    fn a_row_is_a_report_or_names_the_field_at_fault() {
        use FaultReason::{FieldCount, Malformed, Missing, OutOfRange, Unreadable};
        assert_eq!(row("GRANT,CREDITED,60000,"), Ok((1, 60_000, String::new())));
        assert_eq!(row("GRANT,CREDITED,60000,\r"), Ok((1, 60_000, String::new())));
        assert_eq!(row("GRANT,FAILED,,\"户名不符, 已退\""), Ok((2, 0, "户名不符, 已退".to_owned())));
        let long = format!("GRANT,FAILED,,{}", "长".repeat(201));
        let endless = format!("GRANT,FAILED,,{}", "x".repeat(3 * MAX_ROW_LEN));
        for (text, field, reason) in [
            (",CREDITED,60000,", "grant", Missing),
            ("elders/01930b5c-0000-7000-8000-000000000001,CREDITED,60000,", "grant", Malformed),
            ("GRANT,,60000,", "outcome", Missing),
            ("GRANT,credited,60000,", "outcome", Malformed),
            ("GRANT,CREDITED,,", "amount_fen", Missing),
            ("GRANT,CREDITED,600.00,", "amount_fen", Malformed),
            ("GRANT,CREDITED,-1,", "amount_fen", Malformed),
            ("GRANT,CREDITED,0,", "amount_fen", OutOfRange),
            ("GRANT,CREDITED,99999999999999999999,", "amount_fen", OutOfRange),
            ("GRANT,CREDITED,60000,why", "reason", Malformed),
            ("GRANT,FAILED,60000,why", "amount_fen", Malformed),
            ("GRANT,FAILED,,", "reason", Missing),
            ("GRANT,FAILED,,  ", "reason", Missing),
            ("GRANT,FAILED,,a\u{7}b", "reason", Malformed),
            (&long, "reason", OutOfRange),
            (&endless, "", Unreadable),
            ("GRANT,CREDITED,60000", "", FieldCount),
            ("GRANT,CREDITED,60000,,", "", FieldCount),
            ("GRANT,FAILED,,\"open", "", Unreadable),
        ] {
            assert_eq!(row(text), Err((field.to_owned(), reason)), "{}", &text[..text.len().min(80)]);
        }
    }

    #[test]
    fn a_damaged_row_costs_no_other() {
        let header = format!("\u{feff}{}\r\n", HEADER.join(","));
        let good = format!("{GRANT},CREDITED,60000,\n");
        let endless = format!("{},,,\n", "x".repeat(2 * MAX_ROW_LEN));
        let file = [header.as_bytes(), b"\"open,,,\n", b"\xff\xfe,,,\n", endless.as_bytes(), b"\n", good.as_bytes()];
        let rows = rows(&file.concat()).unwrap();
        let lines: Vec<_> = rows.iter().map(|row| row.as_ref().map(|_| ()).map_err(|fault| fault.line)).collect();
        assert_eq!(lines, [Err(2), Err(3), Err(4), Ok(())]);
        let before = header.len() + 9;
        assert_eq!(rows[1].as_ref().unwrap_err().byte_offset, before as i64);
    }

    #[test]
    fn another_header_is_no_such_file() {
        for file in ["", "grant,outcome\n", "grants/x,CREDITED,1,\n"] {
            assert!(rows(file.as_bytes()).is_err(), "{file}");
        }
    }
}
