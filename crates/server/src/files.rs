//! Settlement files: taken in by chunks, each encrypted before it is stored, and read row by row.
//!
//! A file has a key of its own, wrapped under the master key: with the upload while it lasts, with
//! the file's record from its completion on. Memory holds a few chunks and one row, whatever the
//! size of the file.

use std::io;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jjj_domain::guard;
use jjj_domain::recon::bank::BankFile;
use jjj_domain::recon::file::{FaultReason, FileRecord, HEADER, LineFault, ParsedFile, parse_record};
use jjj_domain::recon::run::RunFile;
use jjj_domain::recon::upload::{LISTED_REJECTIONS, Reading, superseded_by};
use jjj_domain::recon::{FileRow, FileState};
use jjj_domain::row::StoredFault;
use jjj_store::StoreError;
use jjj_store::log_tables::{FileChunkRow, UploadRow};
use jjj_token::seal::{self, DataKey, SealError};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use crate::gateway::Gateway;
use crate::keys::random;
use crate::status::Refused;

/// The most bytes of one chunk.
pub const MAX_CHUNK_LEN: usize = 1 << 20;
/// The longest row, in bytes; a file with a longer one is refused whole.
const MAX_ROW_LEN: usize = 64 * 1024;
const BUFFER_LEN: usize = 8 * 1024;
/// Chunks that may wait for the reader of rows.
const AHEAD: usize = 2;
/// How often a chunk is tried against rivals of the same upload.
const ATTEMPTS: usize = 16;

/// The associated data of a file's wrapped key.
fn key_aad(file: &str) -> Vec<u8> {
    format!("jjj-file-key-v1\n{file}").into_bytes()
}

/// The associated data of one chunk: it stands for this piece of this file and no other.
fn chunk_aad(file: &str, index: i64) -> Vec<u8> {
    format!("jjj-file-chunk-v1\n{file}\n{index}").into_bytes()
}

fn failed(error: StoreError) -> Refused {
    Refused::store("reading a file", &error)
}

fn unsealed(error: SealError) -> Refused {
    Refused::internal("sealing a file", &error)
}

/// A new key for a file, wrapped, in base64.
pub fn new_key(gateway: &Gateway, file: &str) -> Result<String, Refused> {
    let key = DataKey::generate(&mut |bytes| bytes.copy_from_slice(random::<32>().as_slice()));
    let wrapped = seal::wrap_key(&gateway.keys.master, &key, &key_aad(file), random());
    Ok(STANDARD.encode(wrapped.map_err(unsealed)?))
}

fn unwrap_key(gateway: &Gateway, file: &str, wrapped: &str) -> Result<DataKey, Refused> {
    let wrapped = STANDARD.decode(wrapped).map_err(|_| unsealed(SealError::NotAKey))?;
    seal::unwrap_key(&gateway.keys.master, &key_aad(file), &wrapped).map_err(unsealed)
}

/// An upload's working row; `None` before its first chunk and after its completion.
pub async fn upload(gateway: &Gateway, file: &str) -> Result<Option<UploadRow>, Refused> {
    let mut session = gateway.store.read().await.map_err(failed)?;
    session.upload(file).await.map_err(failed)
}

/// How many bytes of a file have arrived.
pub async fn received_bytes(gateway: &Gateway, row: &FileRow) -> Result<i64, Refused> {
    match row.state {
        FileState::Uploading => Ok(upload(gateway, &row.file).await?.map_or(0, |u| u.received_bytes)),
        FileState::Received | FileState::Refused | FileState::Superseded => Ok(row.size_bytes),
    }
}

/// Stores what is new of a chunk; the bytes received by now.
pub async fn receive(gateway: &Gateway, row: &FileRow, offset: i64, data: &[u8]) -> Result<i64, Refused> {
    let end = offset.saturating_add(data.len() as i64);
    if data.is_empty() || data.len() > MAX_CHUNK_LEN {
        return Err(guard::out_of_range("data", format!("1..{MAX_CHUNK_LEN} bytes")).into());
    }
    // What can be refused without the upload is, before a first chunk begins one.
    guard::range("offset", offset, 0, row.size_bytes)?;
    if end > row.size_bytes {
        return Err(guard::out_of_range("data", format!("..{} bytes announced", row.size_bytes)).into());
    }
    for _ in 0..ATTEMPTS {
        let Some(upload) = upload(gateway, &row.file).await? else {
            begin(gateway, row).await?;
            continue;
        };
        let received = upload.received_bytes;
        guard::range("offset", offset, 0, received)?;
        if end <= received {
            return Ok(received);
        }
        let fresh = &data[(received - offset) as usize..];
        let key = unwrap_key(gateway, &row.file, &upload.wrapped_key)?;
        let aad = chunk_aad(&row.file, upload.next_chunk);
        let ciphertext = seal::encrypt(&key, &aad, random(), fresh).map_err(unsealed)?;
        let chunk = FileChunkRow { file: row.file.clone(), chunk_index: upload.next_chunk, ciphertext };
        let stored = gateway.store.append_chunk(&chunk, fresh.len() as i64).await;
        if let Some(received) = stored.map_err(|e| Refused::store("storing a chunk", &e))? {
            return Ok(received);
        }
    }
    Err(Refused::Busy)
}

async fn begin(gateway: &Gateway, row: &FileRow) -> Result<(), Refused> {
    let upload = UploadRow {
        upload: row.file.clone(),
        participant: row.sender.clone(),
        declared_bytes: row.size_bytes,
        declared_digest: row.sha256.clone(),
        wrapped_key: new_key(gateway, &row.file)?,
        received_bytes: 0,
        next_chunk: 0,
        begun_at_us: gateway.clock.now(),
    };
    gateway.store.begin_upload(&upload).await.map_err(|e| Refused::store("beginning an upload", &e))
}

/// A file read whole.
pub struct Whole<T> {
    pub size_bytes: i64,
    /// Of the bytes, hex.
    pub sha256: String,
    /// Of the encrypted chunks in their order, hex.
    pub stored_sha256: String,
    /// What its rows came to, or why it is refused whole.
    pub content: Result<T, String>,
}

/// What rows are gathered into.
pub trait Gathers: Default + Send + 'static {
    fn take(&mut self, record: Result<FileRecord, LineFault>);
}

impl Gathers for ParsedFile {
    fn take(&mut self, record: Result<FileRecord, LineFault>) {
        self.push(record);
    }
}

/// Counts, for the file's record; no row is kept.
#[derive(Default)]
pub struct Counted {
    rows: i64,
    rejected_rows: i64,
    rejections: Vec<LineFault>,
}

impl Gathers for Counted {
    fn take(&mut self, record: Result<FileRecord, LineFault>) {
        match record {
            Ok(FileRecord::Line(_)) => self.rows += 1,
            Ok(FileRecord::Trailer(_)) => {}
            Err(fault) => {
                self.rows += 1;
                self.rejected_rows += 1;
                if self.rejections.len() < LISTED_REJECTIONS {
                    self.rejections.push(fault);
                }
            }
        }
    }
}

impl From<Counted> for Reading {
    fn from(counted: Counted) -> Self {
        let Counted { rows, rejected_rows, rejections } = counted;
        Self { rows, rejected_rows, rejections, bank: BankFile::default() }
    }
}

/// Decrypts a file and reads its rows.
pub async fn read<T: Gathers>(gateway: &Gateway, file: &str, wrapped_key: &str) -> Result<Whole<T>, Refused> {
    let key = unwrap_key(gateway, file, wrapped_key)?;
    let (chunks, received) = mpsc::channel(AHEAD);
    let reader = tokio::task::spawn_blocking(move || {
        let mut gathered = T::default();
        read_csv(Chunks { received, current: Zeroizing::default(), at: 0 }, &mut gathered).map(|()| gathered)
    });
    let (mut plain, mut stored) = (Sha256::new(), Sha256::new());
    let (mut size_bytes, mut next) = (0, 0);
    loop {
        // No connection is held while the reader is waited for.
        let chunk = {
            let mut session = gateway.store.read().await.map_err(failed)?;
            session.file_chunks(file, next, 1).await.map_err(failed)?.pop()
        };
        let Some(chunk) = chunk.filter(|c| c.chunk_index == next) else { break };
        stored.update(&chunk.ciphertext);
        let bytes = seal::decrypt(&key, &chunk_aad(file, next), &chunk.ciphertext).map_err(unsealed)?;
        plain.update(&*bytes);
        size_bytes += bytes.len() as i64;
        next += 1;
        // A reader that has refused the file takes no more; the digest is wanted all the same.
        let _ = chunks.send(bytes).await;
    }
    drop(chunks);
    let content = reader.await.map_err(|e| Refused::internal("reading a file", &e))?;
    let (sha256, stored_sha256) = (hex::encode(plain.finalize()), hex::encode(stored.finalize()));
    Ok(Whole { size_bytes, sha256, stored_sha256, content })
}

/// Reads the files of a run, each with those that it replaces. `of_date` are all files of the
/// channel and date.
pub async fn read_for_run(
    gateway: &Gateway,
    wanted: &[&FileRow],
    of_date: &[FileRow],
) -> Result<Vec<RunFile>, Refused> {
    let mut files = Vec::with_capacity(wanted.len());
    for row in wanted {
        let whole = read::<ParsedFile>(gateway, &row.file, &row.wrapped_key).await?;
        let altered = |problem: &str| {
            let fault = StoredFault { table: "file_chunks", column: "ciphertext", problem: problem.to_owned() };
            Refused::internal("reading a file for a run", &fault)
        };
        if whole.sha256 != row.sha256 {
            return Err(altered("are not the bytes that were delivered"));
        }
        files.push(RunFile {
            file: row.file.clone(),
            sha256: row.sha256.clone(),
            supersedes: superseded_by(&row.file, of_date),
            parsed: Arc::new(whole.content.map_err(|problem| altered(&problem))?),
        });
    }
    Ok(files)
}

/// Reads a settlement file's rows. `Err` says why it is refused whole; a bad row is only set aside.
fn read_csv<T: Gathers>(bytes: impl io::Read, into: &mut T) -> Result<(), String> {
    let bounded = Bounded { inner: bytes, since_row: 0 };
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).buffer_capacity(BUFFER_LEN).from_reader(bounded);
    let mut row = csv::ByteRecord::new();
    let mut has_header = false;
    while reader.read_byte_record(&mut row).map_err(|e| e.to_string())? {
        reader.get_mut().since_row = 0;
        let at = row.position().map_or((1, 0), |p| (p.line() as i64, p.byte() as i64));
        if has_header {
            into.take(record(&row, at));
        } else if row.iter().eq(HEADER.iter().map(|name| name.as_bytes())) {
            has_header = true;
        } else {
            return Err(format!("the first line is not {}", HEADER.join(",")));
        }
    }
    // A file without a byte is empty, not damaged.
    Ok(())
}

fn record(row: &csv::ByteRecord, (line, byte_offset): (i64, i64)) -> Result<FileRecord, LineFault> {
    let fields: Result<Vec<&str>, _> = row.iter().map(std::str::from_utf8).collect();
    let unreadable = |_| LineFault { line, byte_offset, field: String::new(), reason: FaultReason::Unreadable };
    parse_record(&fields.map_err(unreadable)?, line, byte_offset)
}

/// Gives up on a row without end.
struct Bounded<R> {
    inner: R,
    since_row: usize,
}

impl<R: io::Read> io::Read for Bounded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.since_row > MAX_ROW_LEN {
            return Err(io::Error::other(format!("a row is longer than {MAX_ROW_LEN} bytes")));
        }
        let n = self.inner.read(into)?;
        self.since_row += n;
        Ok(n)
    }
}

/// Chunks as they come, as one stream of bytes.
struct Chunks {
    received: mpsc::Receiver<Zeroizing<Vec<u8>>>,
    current: Zeroizing<Vec<u8>>,
    at: usize,
}

impl io::Read for Chunks {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.at == self.current.len() {
            let Some(next) = self.received.blocking_recv() else { return Ok(0) };
            (self.current, self.at) = (next, 0);
        }
        let n = into.len().min(self.current.len() - self.at);
        into[..n].copy_from_slice(&self.current[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "PAYMENT,777290058110097,ORDER0001,20261119103000,60000,120,SUCCESS,52131082XXXX00043X,\n";

    fn read(bytes: &[u8]) -> Result<ParsedFile, String> {
        let mut parsed = ParsedFile::default();
        read_csv(bytes, &mut parsed).map(|()| parsed)
    }

    fn file(rows: &str) -> Vec<u8> {
        format!("{}\n{rows}", HEADER.join(",")).into_bytes()
    }

    #[test]
    fn rows_are_read_and_bad_ones_set_aside_with_line_and_byte() {
        let rows = format!("{GOOD}PAYMENT,short\n{GOOD}TRAILER,3,120000,240,,,,,\n");
        let parsed = read(&file(&rows)).unwrap();
        assert_eq!((parsed.lines.len(), parsed.rejected.len()), (2, 1));
        assert!(parsed.totals_agree());
        let fault = &parsed.rejected[0];
        let offset = (HEADER.join(",").len() + 1 + GOOD.len()) as i64;
        assert_eq!((fault.line, fault.byte_offset, fault.reason), (3, offset, FaultReason::FieldCount));
        assert_eq!(parsed.lines[1].line, 4);
    }

    #[test]
    fn line_ends_and_a_byte_order_mark_do_not_matter() {
        let crlf = String::from_utf8(file(GOOD)).unwrap().replace('\n', "\r\n");
        assert_eq!(read(crlf.as_bytes()).unwrap().lines.len(), 1);
        let marked = ["\u{feff}".as_bytes(), &file(GOOD)].concat();
        assert_eq!(read(&marked).unwrap().lines.len(), 1);
    }

    #[test]
    fn bytes_that_are_no_text_cost_their_row_only() {
        let bytes = [file("").as_slice(), b"PAYMENT,\xff\xfe,ORDER0001,,,,,,\n", GOOD.as_bytes()].concat();
        let parsed = read(&bytes).unwrap();
        assert_eq!((parsed.lines.len(), parsed.rejected[0].reason), (1, FaultReason::Unreadable));
    }

    #[test]
    fn a_damaged_file_is_refused_whole() {
        assert!(read(b"PK\x03\x04\x14\x00").unwrap_err().contains("the first line is not kind,"));
        assert!(read(GOOD.as_bytes()).is_err(), "no header");
        let endless = file(&format!("\"{}", "x".repeat(MAX_ROW_LEN * 2)));
        assert!(read(&endless).unwrap_err().contains("a row is longer than"));
    }

    #[test]
    fn an_empty_file_is_no_damaged_one() {
        assert_eq!(read(b"").unwrap(), ParsedFile::default());
    }

    #[test]
    fn many_long_rows_are_no_row_without_end() {
        let rows = format!("PAYMENT,{}\n", "x".repeat(MAX_ROW_LEN / 2)).repeat(9);
        assert_eq!(read(&file(&rows)).unwrap().rejected.len(), 9);
    }
}
