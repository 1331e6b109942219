//! Settlement files: taken in by chunks, each encrypted before it is stored, and read row by row.
//!
//! A file has a key of its own, wrapped under the master key: with the upload while it lasts, with
//! the file's record from its completion on. Memory holds a few chunks and one row, whatever the
//! size of the file.

mod resolve;

use std::io;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jjj_domain::guard;
use jjj_domain::names::Participant;
use jjj_domain::policy::{self, ChannelPolicy, TransactionCodes};
use jjj_domain::recon::bank::{BankFile, MAX_ENTRIES};
use jjj_domain::recon::file::LineFault;
use jjj_domain::recon::refusal::{FileRefusal, RefusalReason};
use jjj_domain::recon::run::RunFile;
use jjj_domain::recon::upload::{LISTED_REJECTIONS, Reading, earlier_versions};
use jjj_domain::recon::{FileRow, FileState};
use jjj_domain::rejection::{Reason, Rejection};
use jjj_domain::row::StoredFault;
use jjj_domain::time::{DAY_US, Date};
use jjj_formats::{Context, Record};
use jjj_store::log_tables::{FileChunkRow, UploadRow};
use jjj_store::{Begun, StoreError};
use jjj_token::seal::{self, DataKey, SealError};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use self::resolve::Delivered;
use crate::gateway::Gateway;
use crate::keys::random;
use crate::status::Refused;

/// The most bytes of one chunk.
pub const MAX_CHUNK_LEN: usize = 1 << 20;
/// Chunks that may wait for the reader of rows.
const AHEAD: usize = 2;
/// How often a chunk is tried against rivals of the same upload.
const ATTEMPTS: usize = 16;
/// Uploads that a sender may have under way at once: about so many, for two that begin at two replicas do not see
/// each other.
const OPEN_UPLOADS: i64 = 256;
/// More files of one channel and date, or accounts of one merchant number, than there are.
const ALL: i64 = 100_000;

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

const UPLOAD_WITHIN_DAYS: i64 = 7;
/// How long an upload may take, microseconds. What is not complete then begins anew.
pub const UPLOAD_WITHIN_US: i64 = UPLOAD_WITHIN_DAYS * DAY_US;

/// `UPLOAD_LATE` for an upload that has taken too long to be completed; it is swept a day later ([`crate::sweep`]).
pub fn in_time(gateway: &Gateway, upload: &UploadRow) -> Result<(), Rejection> {
    match upload.begun_at_us < gateway.clock.now().plus_us(-UPLOAD_WITHIN_US) {
        true => Err(Reason::UploadLate.field("file").var("name", &upload.upload).var("days", UPLOAD_WITHIN_DAYS)),
        false => Ok(()),
    }
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
    let _turn = gateway.turns.take(&row.sender).await?;
    for _ in 0..ATTEMPTS {
        let Some(upload) = upload(gateway, &row.file).await? else {
            begin(gateway, row).await?;
            continue;
        };
        in_time(gateway, &upload)?;
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
    let begun = gateway.store.begin_upload(&upload, OPEN_UPLOADS).await;
    match begun.map_err(|e| Refused::store("beginning an upload", &e))? {
        Begun::UnderWay => Ok(()),
        // Completed since it was looked at: asked again, the caller hears its state.
        Begun::NotAwaited => Err(Refused::Busy),
        Begun::TooMany => Err(Reason::UploadsUnderWay.var("name", &row.sender).var("limit", OPEN_UPLOADS).into()),
    }
}

/// A file read whole.
pub struct Whole<T> {
    pub size_bytes: i64,
    /// Of the bytes, hex.
    pub sha256: String,
    /// Of the encrypted chunks in their order, hex.
    pub stored_sha256: String,
    /// What its rows came to, or why it is refused whole.
    pub content: Result<T, FileRefusal>,
}

/// What rows are gathered into.
pub trait Gathers: Send + 'static {
    fn take(&mut self, record: Result<Record, LineFault>) -> Result<(), FileRefusal>;
}

/// Counts, for the file's record; no row is kept but a bank's.
#[derive(Default)]
pub struct Counted {
    rows: i64,
    rejected_rows: i64,
    rejections: Vec<LineFault>,
    bank: BankFile,
}

impl Gathers for Counted {
    fn take(&mut self, record: Result<Record, LineFault>) -> Result<(), FileRefusal> {
        match record {
            Ok(Record::Line(_) | Record::Numbered(..) | Record::Traced(_) | Record::Void(_)) => self.rows += 1,
            Ok(Record::Trailer(_)) => {}
            Ok(Record::Entry(entry)) => {
                self.rows += 1;
                self.bank.entries.push(entry);
            }
            Ok(Record::Statement(statement)) => self.bank.statements.push(statement),
            Err(fault) => {
                self.rows += 1;
                self.rejected_rows += 1;
                if self.rejections.len() < LISTED_REJECTIONS {
                    self.rejections.push(fault);
                }
            }
        }
        if self.bank.entries.len() + self.bank.statements.len() > MAX_ENTRIES {
            return Err(FileRefusal::new(RefusalReason::TooManyEntries, MAX_ENTRIES));
        }
        Ok(())
    }
}

impl From<Counted> for Reading {
    fn from(counted: Counted) -> Self {
        let Counted { rows, rejected_rows, rejections, bank } = counted;
        Self { rows, rejected_rows, rejections, bank }
    }
}

/// What the channel's transaction codes mean on a date.
pub async fn codes(gateway: &Gateway, channel: &Participant, date: Date) -> Result<TransactionCodes, Refused> {
    let policy = gateway.engine.read(|snapshot, _| policy::find::<ChannelPolicy>(snapshot, channel.code(), date));
    Ok(policy.await?.map(|policy| policy.transaction_codes.clone()).unwrap_or_default())
}

/// Decrypts a file and reads its rows into `gathered`.
pub async fn read<T: Gathers>(
    gateway: &Gateway,
    row: &FileRow,
    wrapped_key: &str,
    codes: &TransactionCodes,
    mut gathered: T,
) -> Result<Whole<T>, Refused> {
    let file = row.file.as_str();
    let key = unwrap_key(gateway, file, wrapped_key)?;
    let (chunks, received) = mpsc::channel(AHEAD);
    let (format, context) = (row.format, Context { clearing_date: row.clearing_date, codes: codes.clone() });
    let reader = tokio::task::spawn_blocking(move || {
        let bytes = Chunks { received, current: Zeroizing::default(), at: 0 };
        jjj_formats::rows(format, bytes, context).try_for_each(|record| gathered.take(record?))?;
        Ok(gathered)
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

/// A chunk of a file as it was sent, its number from 0; empty beyond the last.
pub async fn chunk(gateway: &Gateway, row: &FileRow, index: i64) -> Result<Vec<u8>, Refused> {
    guard::range("chunk", index, 0, i64::MAX)?;
    let key = unwrap_key(gateway, &row.file, &row.wrapped_key)?;
    let mut session = gateway.store.read().await.map_err(failed)?;
    let chunk = session.file_chunks(&row.file, index, 1).await.map_err(failed)?.pop();
    let Some(chunk) = chunk.filter(|c| c.chunk_index == index) else { return Ok(Vec::new()) };
    Ok(seal::decrypt(&key, &chunk_aad(&row.file, index), &chunk.ciphertext).map_err(unsealed)?.to_vec())
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
        let codes = codes(gateway, &row.channel, row.clearing_date).await?;
        let whole = read(gateway, row, &row.wrapped_key, &codes, Delivered::default()).await?;
        let altered = |problem: &str| {
            let fault = StoredFault { table: "file_chunks", column: "ciphertext", problem: problem.to_owned() };
            Refused::internal("reading a file for a run", &fault)
        };
        if whole.sha256 != row.sha256 {
            return Err(altered("are not the bytes that were delivered"));
        }
        let delivered = whole.content.map_err(|refusal| altered(refusal.reason.message_en()))?;
        let parsed = resolve::lines(gateway, row, &codes, delivered).await?;
        files.push(RunFile {
            file: row.file.clone(),
            sha256: row.sha256.clone(),
            merchant_id: row.merchant_id.clone(),
            supersedes: earlier_versions(&row.file, of_date),
            parsed: Arc::new(parsed),
        });
    }
    Ok(files)
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
    use jjj_domain::recon::bank::{BankEntry, EntryDirection, EntryStatus};

    /// However many statements they are spread over.
    #[test]
    fn a_file_has_only_so_many_entries() {
        let entry = BankEntry {
            entry: 1,
            part: 0,
            statement: 0,
            direction: EntryDirection::Debit,
            amount_fen: 1,
            entry_fen: -1,
            entry_status: EntryStatus::Booked,
            is_reversal: false,
            booked_on: None,
            value_on: None,
            end_to_end_id: String::new(),
            bank_reference: String::new(),
            counterparty: String::new(),
            counterparty_account: String::new(),
        };
        let mut counted = Counted::default();
        for _ in 0..MAX_ENTRIES {
            counted.take(Ok(Record::Entry(entry.clone()))).expect("taken");
        }
        let refusal = counted.take(Ok(Record::Entry(entry))).expect_err("one too many");
        assert_eq!(refusal.reason, RefusalReason::TooManyEntries);
    }
}
