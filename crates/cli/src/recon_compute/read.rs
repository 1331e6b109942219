//! Reading both sides. Lines are split as they lie in the buffer; a file with a quotation mark
//! anywhere is read by the CSV reader instead, from its beginning.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail, ensure};
use aws_lc_rs::digest::{Context, SHA256};
use jjj_domain::names::Participant;
use jjj_domain::recon::file::{ControlTotals, FaultReason, FileRecord, HEADER, ParsedFile, parse_record};
use jjj_domain::recon::regional::RegionalBook;
use jjj_domain::recon::stream::{LEDGER_HEADER, LEDGER_OWN, LedgerRows, LineAt, LineRows, Rows};
use jjj_formats::bounded::Bounded;

use super::merge::{Side, spill};
use super::{DayFile, KnownBook, KnownFile, Totals};

/// The longest line, bytes.
const MAX_LINE: usize = 64 << 10;
const BLOCK: usize = 1 << 20;

/// The ledger's side as read.
pub struct Ledger {
    pub rows: LedgerRows,
    spilled: Vec<File>,
}

impl Ledger {
    /// The rows apart from what they share.
    pub fn take_side(&mut self) -> Side {
        Side::new(std::mem::take(&mut self.rows.rows), std::mem::take(&mut self.spilled))
    }
}

/// The files' side as read.
pub struct Files {
    pub rows: LineRows,
    pub names: Vec<String>,
    pub rejected: i64,
    pub totals_agree: bool,
    spilled: Vec<File>,
}

impl Files {
    pub fn take_side(&mut self) -> Side {
        Side::new(std::mem::take(&mut self.rows.rows), std::mem::take(&mut self.spilled))
    }
}

/// Ledger rows, of which none may be damaged.
pub fn ledger(path: &Path, most_bytes: usize) -> anyhow::Result<Ledger> {
    let read = |how: How| {
        let mut ledger = Ledger { rows: LedgerRows::default(), spilled: Vec::new() };
        ledger.rows.rows = Rows::with_room(size_of_file(path)?, most_bytes);
        each_line(path, &LEDGER_HEADER, how, |line, number, _| {
            let taken = match split::<LEDGER_OWN>(line) {
                Some((own, tail)) => ledger.rows.push(own, tail),
                None => Err(("", FaultReason::FieldCount)),
            };
            taken.map_err(|(field, reason)| anyhow!("line {number}: {field} {reason}"))?;
            if ledger.rows.rows.len_bytes() > most_bytes {
                ledger.spilled.push(spill(&mut ledger.rows.rows, spill_file(path)?)?);
            }
            Ok(())
        })?;
        ledger.rows.rows.sort();
        Ok(ledger)
    };
    plainly_or_quoted(read).with_context(|| format!("reading {}", path.display()))
}

/// Settlement files in CSV; a damaged line is set aside.
pub fn files(paths: &[PathBuf], known: &[KnownFile], most_bytes: usize) -> anyhow::Result<Files> {
    let read = |how: How| {
        let mut files = Files {
            rows: LineRows::default(),
            names: Vec::new(),
            rejected: 0,
            totals_agree: true,
            spilled: Vec::new(),
        };
        let sizes: anyhow::Result<Vec<usize>> = paths.iter().map(|path| size_of_file(path)).collect();
        files.rows.rows = Rows::with_room(sizes?.iter().sum(), most_bytes);
        for (at, path) in paths.iter().enumerate() {
            let mut totals = Totals::default();
            let digest = each_line(path, &HEADER, how, |line, number, offset| {
                totals.line(&mut files.rows, line, LineAt { file: at as u32, line: number }, offset);
                if files.rows.rows.len_bytes() > most_bytes {
                    files.spilled.push(spill(&mut files.rows.rows, spill_file(path)?)?);
                }
                Ok(())
            });
            let digest = digest.with_context(|| format!("reading {}", path.display()))?;
            let name = known.iter().find(|f| f.sha256 == digest).map(|f| f.file.clone());
            ensure!(known.is_empty() || name.is_some(), "{} is none of the run's files", path.display());
            let is_given = name.as_ref().is_some_and(|name| files.names.contains(name));
            ensure!(!is_given, "{} is given twice", path.display());
            files.names.push(name.unwrap_or_else(|| format!("files/{}", at + 1)));
            files.rejected += totals.rejected;
            files.totals_agree &= totals.agree();
        }
        if let Some(absent) = known.iter().find(|f| !files.names.contains(&f.file)) {
            bail!("the run's {} (SHA-256 {}) is not given", absent.file, absent.sha256);
        }
        files.rows.rows.sort();
        Ok(files)
    };
    plainly_or_quoted(read)
}

/// Regions' books in CSV, by region: `region`'s own, or all that the day knows of.
pub fn books(paths: &[PathBuf], day: &DayFile, region: Option<&Participant>) -> anyhow::Result<Vec<RegionalBook>> {
    let is_wanted = |book: &&KnownBook| region.is_none_or(|region| *region == book.region);
    let known: Vec<&KnownBook> = day.books.iter().filter(is_wanted).collect();
    let mut books: Vec<RegionalBook> = Vec::new();
    for path in paths {
        let read = |how: How| {
            let mut parsed = ParsedFile::default();
            let digest = each_line(path, &HEADER, how, |line, number, offset| {
                parsed.push(parse_record(&line.split(',').collect::<Vec<_>>(), number, offset as i64));
                Ok(())
            })?;
            Ok((parsed, digest))
        };
        let (parsed, digest) = plainly_or_quoted(read).with_context(|| format!("reading {}", path.display()))?;
        let whose = match known.iter().find(|book| book.sha256 == digest) {
            Some(book) => Some(&book.region),
            None => region.filter(|_| day.books.is_empty()),
        };
        let whose = whose.with_context(|| format!("{} is none of the run's books", path.display()))?;
        ensure!(books.iter().all(|book| book.region != *whose), "{whose}: two books are given");
        books.push(RegionalBook::new(whose.clone(), "book", &digest, parsed.into()));
    }
    if let Some(absent) = known.iter().find(|known| books.iter().all(|book| book.region != known.region)) {
        bail!("the run's book of {} (SHA-256 {}) is not given", absent.region, absent.sha256);
    }
    books.sort_by(|a, b| a.region.cmp(&b.region));
    Ok(books)
}

impl Totals {
    fn line(&mut self, rows: &mut LineRows, line: &str, at: LineAt, offset: u64) {
        self.disordered |= self.trailer.is_some();
        self.read.rows += 1;
        let plain = split::<8>(line).and_then(|(first, last)| {
            let [kind, merchant, order, time, amount, fee, status, institution] = first;
            let shared_len = status.len() + 1 + institution.len();
            let shared = &line[line.len() - last.len() - 1 - shared_len..line.len() - last.len() - 1];
            rows.push(&[kind, merchant, order, time, amount, fee, status, institution, last], shared, at).ok()
        });
        let read = match plain {
            Some(money) => Ok(money),
            None => match parse_record(&line.split(',').collect::<Vec<_>>(), at.line, offset as i64) {
                Ok(FileRecord::Line(read)) => {
                    rows.push_line(&read, at.file);
                    Ok([read.amount_fen, read.fee_fen])
                }
                Ok(FileRecord::Trailer(totals)) => Err(Some(totals)),
                Err(_) => Err(None),
            },
        };
        match read {
            Ok([amount_fen, fee_fen]) => {
                self.read.amount_fen += amount_fen;
                self.read.fee_fen += fee_fen;
            }
            Err(Some(totals)) => {
                self.read.rows -= 1;
                self.trailer = Some(totals);
            }
            Err(None) => self.rejected += 1,
        }
    }

    /// As [`jjj_domain::recon::file::ParsedFile::totals_agree`].
    fn agree(&self) -> bool {
        let sums = |t: ControlTotals| (t.amount_fen, t.fee_fen);
        self.trailer.is_some_and(|stated| {
            let same = self.rejected > 0 || sums(stated) == sums(self.read);
            !self.disordered && stated.rows == self.read.rows && same
        })
    }
}

/// Whether quotation marks may be met.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Plainly,
    Quoted,
}

/// A quotation mark, where none was expected.
#[derive(Debug, thiserror::Error)]
#[error("a quotation mark")]
struct QuotationMark;

fn plainly_or_quoted<T>(read: impl Fn(How) -> anyhow::Result<T>) -> anyhow::Result<T> {
    match read(How::Plainly) {
        Err(error) if error.is::<QuotationMark>() => read(How::Quoted),
        told => told,
    }
}

/// Calls with each line after the header, its number and its first byte; the file's SHA-256, hex.
fn each_line(
    path: &Path,
    header: &[&str],
    how: How,
    mut each: impl FnMut(&str, i64, u64) -> anyhow::Result<()>,
) -> anyhow::Result<String> {
    let mut file = Hashed { inner: File::open(path)?, digest: Context::new(&SHA256) };
    let mut has_header = false;
    let mut take = |line: &[u8], number: i64, offset: u64| {
        // Bytes that are no text are a damaged line, as a lone quotation mark is.
        let line = std::str::from_utf8(line).unwrap_or("\"");
        if has_header {
            return each(line, number, offset);
        }
        has_header = line.strip_prefix('\u{feff}').unwrap_or(line).split(',').eq(header.iter().copied());
        if has_header { Ok(()) } else { Err(anyhow!("the first line is not {}", header.join(","))) }
    };
    match how {
        How::Plainly => plain_lines(&mut file, &mut take)?,
        How::Quoted => quoted_lines(&mut file, &mut take)?,
    }
    Ok(hex::encode(file.digest.finish()))
}

fn plain_lines(
    file: &mut impl Read,
    take: &mut impl FnMut(&[u8], i64, u64) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut buffer = vec![0; BLOCK + MAX_LINE];
    let (mut held, mut offset, mut number) = (0, 0, 0);
    loop {
        let n = file.read(&mut buffer[held..])?;
        if memchr::memchr(b'"', &buffer[held..held + n]).is_some() {
            return Err(QuotationMark.into());
        }
        let end = held + n;
        let mut from = 0;
        while let Some(len) = memchr::memchr(b'\n', &buffer[from..end]).or((n == 0 && from < end).then_some(end - from))
        {
            number += 1;
            let line = &buffer[from..from + len];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if !line.is_empty() {
                take(line, number, offset)?;
            }
            offset += len as u64 + 1;
            from = (from + len + 1).min(end);
        }
        if n == 0 {
            return Ok(());
        }
        held = end - from;
        ensure!(held <= MAX_LINE, "a line is longer than {MAX_LINE} bytes");
        buffer.copy_within(from..end, 0);
    }
}

fn quoted_lines(
    file: &mut impl Read,
    take: &mut impl FnMut(&[u8], i64, u64) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let bounded = Bounded::new(file, MAX_LINE);
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bounded);
    let mut row = csv::ByteRecord::new();
    loop {
        let more = reader.read_byte_record(&mut row);
        ensure!(!reader.get_ref().is_over(), "a line is longer than {MAX_LINE} bytes");
        reader.get_mut().mark();
        if !more? {
            return Ok(());
        }
        let (number, offset) = row.position().map_or((0, 0), |at| (at.line() as i64, at.byte()));
        // No right field holds a comma; one that does makes the line a damaged one.
        let is_plain = row.iter().all(|field| memchr::memchr(b',', field).is_none());
        let line: Vec<u8> = row.iter().collect::<Vec<_>>().join(&b',');
        take(if is_plain { &line } else { b"\"" }, number, offset)?;
    }
}

/// The first `N` fields of a line, and the rest of it; `None` when it has no more than `N`.
fn split<const N: usize>(line: &str) -> Option<([&str; N], &str)> {
    let mut fields = [""; N];
    let mut from = 0;
    let mut commas = memchr::memchr_iter(b',', line.as_bytes());
    for field in &mut fields {
        let comma = commas.next()?;
        *field = &line[from..comma];
        from = comma + 1;
    }
    Some((fields, &line[from..]))
}

/// Hashes what is read.
struct Hashed {
    inner: File,
    digest: Context,
}

impl Read for Hashed {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(into)?;
        self.digest.update(&into[..n]);
        Ok(n)
    }
}

fn size_of_file(path: &Path) -> anyhow::Result<usize> {
    let size = std::fs::metadata(path).with_context(|| format!("reading {}", path.display()))?.len();
    Ok(size as usize)
}

/// A file without a name, beside another.
fn spill_file(beside: &Path) -> std::io::Result<File> {
    let folder = beside.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    tempfile::tempfile_in(folder)
}
