//! The settlement file in CSV; its fields are in [`jjj_domain::recon::file`].

use std::io::{Read, Write};

use csv::ByteRecord;
use jjj_domain::recon::file::{
    ControlTotals, FaultReason, HEADER, LineFault, SettlementLine, parse_record, render_line, render_trailer,
};
use jjj_domain::recon::refusal::{FileRefusal, RefusalReason};

use crate::bounded::Bounded;
use crate::{Pending, Record, Row, unreadable};

/// The longest row, in bytes; a file with a longer one is refused whole.
pub const MAX_ROW_LEN: usize = 64 * 1024;
const BUFFER_LEN: usize = 8 * 1024;

/// Rows of a CSV file. An empty file has none; any other begins with the header.
pub struct Reader<R> {
    rows: csv::Reader<Bounded<R>>,
    row: ByteRecord,
    has_header: bool,
    pending: Pending,
}

impl<R: Read> Reader<R> {
    pub fn new(source: R) -> Self {
        let rows = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .buffer_capacity(BUFFER_LEN)
            .from_reader(Bounded::new(source, MAX_ROW_LEN));
        Self { rows, row: ByteRecord::new(), has_header: false, pending: Pending::default() }
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        let Self { rows, row, has_header, pending } = self;
        pending.next(|pending| {
            let more = rows.read_byte_record(row).map_err(|error| refusal(&error, rows.get_ref()))?;
            rows.get_mut().mark();
            if !more {
                // A file without a byte is empty, not damaged.
                pending.is_over = true;
            } else if *has_header {
                let at = row.position().map_or((1, 0), |p| (p.line() as i64, p.byte() as i64));
                pending.ready.push_back(record(row, at));
            } else if row.iter().eq(HEADER.iter().map(|name| name.as_bytes())) {
                *has_header = true;
            } else {
                return Err(FileRefusal::new(RefusalReason::Header, HEADER.join(",")));
            }
            Ok(())
        })
    }
}

fn refusal<R>(error: &csv::Error, source: &Bounded<R>) -> FileRefusal {
    if source.is_over() {
        FileRefusal::new(RefusalReason::RowTooLong, format!("{MAX_ROW_LEN} bytes"))
    } else {
        FileRefusal::new(RefusalReason::Unreadable, error)
    }
}

fn record(row: &ByteRecord, (line, byte_offset): (i64, i64)) -> Result<Record, LineFault> {
    let fields: Result<Vec<&str>, _> = row.iter().map(std::str::from_utf8).collect();
    let unreadable = |_| LineFault { line, byte_offset, field: String::new(), reason: FaultReason::Unreadable };
    parse_record(&fields.map_err(unreadable)?, line, byte_offset).map(Into::into)
}

/// Writes a file: header, lines, trailer.
pub fn write<'a>(lines: impl IntoIterator<Item = &'a SettlementLine>, to: impl Write) -> Result<(), FileRefusal> {
    let mut out = csv::WriterBuilder::new().flexible(true).from_writer(to);
    let failed = |error: csv::Error| FileRefusal::new(RefusalReason::Unreadable, error);
    out.write_record(HEADER).map_err(failed)?;
    let mut totals = ControlTotals::default();
    for line in lines {
        totals.rows += 1;
        totals.amount_fen += line.amount_fen;
        totals.fee_fen += line.fee_fen;
        out.write_record(render_line(line)).map_err(failed)?;
    }
    out.write_record(render_trailer(totals)).map_err(failed)?;
    out.flush().map_err(|error| unreadable(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jjj_domain::recon::file::FaultReason;

    const GOOD: &str = "PAYMENT,777290058110097,ORDER0001,20261119103000,60000,120,SUCCESS,52131082XXXX00043X,\n";

    type Read = (Vec<SettlementLine>, Vec<LineFault>, Option<ControlTotals>);

    fn read(bytes: &[u8]) -> Result<Read, FileRefusal> {
        let mut read: Read = Default::default();
        for row in Reader::new(bytes) {
            match row? {
                Ok(Record::Line(line)) => read.0.push(line),
                Ok(Record::Trailer(totals)) => read.2 = Some(totals),
                Ok(other) => panic!("{other:?}"),
                Err(fault) => read.1.push(fault),
            }
        }
        Ok(read)
    }

    fn file(rows: &str) -> Vec<u8> {
        format!("{}\n{rows}", HEADER.join(",")).into_bytes()
    }

    #[test]
    fn rows_are_read_and_bad_ones_set_aside_with_line_and_byte() {
        let rows = format!("{GOOD}PAYMENT,short\n{GOOD}TRAILER,3,120000,240,,,,,\n");
        let (lines, rejected, totals) = read(&file(&rows)).unwrap();
        assert_eq!((lines.len(), rejected.len()), (2, 1));
        assert_eq!(totals, Some(ControlTotals { rows: 3, amount_fen: 120_000, fee_fen: 240 }));
        let fault = &rejected[0];
        let offset = (HEADER.join(",").len() + 1 + GOOD.len()) as i64;
        assert_eq!((fault.line, fault.byte_offset, fault.reason), (3, offset, FaultReason::FieldCount));
        assert_eq!(lines[1].line, 4);
    }

    #[test]
    fn line_ends_and_a_byte_order_mark_do_not_matter() {
        let crlf = String::from_utf8(file(GOOD)).unwrap().replace('\n', "\r\n");
        assert_eq!(read(crlf.as_bytes()).unwrap().0.len(), 1);
        let marked = ["\u{feff}".as_bytes(), &file(GOOD)].concat();
        assert_eq!(read(&marked).unwrap().0.len(), 1);
    }

    #[test]
    fn bytes_that_are_no_text_cost_their_row_only() {
        let bytes = [file("").as_slice(), b"PAYMENT,\xff\xfe,ORDER0001,,,,,,\n", GOOD.as_bytes()].concat();
        let (lines, rejected, _) = read(&bytes).unwrap();
        assert_eq!((lines.len(), rejected[0].reason), (1, FaultReason::Unreadable));
    }

    #[test]
    fn a_damaged_file_is_refused_whole() {
        assert_eq!(read(b"PK\x03\x04\x14\x00").unwrap_err().reason, RefusalReason::Header);
        assert_eq!(read(GOOD.as_bytes()).unwrap_err().reason, RefusalReason::Header);
        let endless = file(&format!("\"{}", "x".repeat(MAX_ROW_LEN * 2)));
        assert_eq!(read(&endless).unwrap_err().reason, RefusalReason::RowTooLong);
    }

    #[test]
    fn an_empty_file_is_no_damaged_one() {
        assert_eq!(read(b"").unwrap(), Read::default());
    }

    #[test]
    fn many_long_rows_are_no_row_without_end() {
        let rows = format!("PAYMENT,{}\n", "x".repeat(MAX_ROW_LEN / 2)).repeat(9);
        assert_eq!(read(&file(&rows)).unwrap().1.len(), 9);
    }

    #[test]
    fn what_is_written_reads_back() {
        let (lines, ..) = read(&file(&GOOD.repeat(3))).unwrap();
        let mut bytes = Vec::new();
        write(&lines, &mut bytes).unwrap();
        assert_eq!(bytes, file(&format!("{}TRAILER,3,180000,360,,,,,\n", GOOD.repeat(3))));
        assert_eq!(read(&bytes).unwrap().0, lines);
    }
}
