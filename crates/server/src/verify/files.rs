//! Stored files: their chunks, in order, hash to what the leaf of the file says.

use std::collections::HashSet;

use jjj_domain::recon::FileRow;
use jjj_domain::row::{Row, TableSpec};
use jjj_domain::snapshot::Load;
use jjj_domain::value::Value;
use jjj_store::log_tables::{FileChunkRow, UploadRow};
use jjj_store::{Session, StoreError};
use sha2::{Digest, Sha256};

use super::digest::sha256_hex;
use super::report::{Check, Findings};
use super::scan::Scan;

/// The file whose chunks are being read.
struct Reading {
    file: String,
    chunks: i64,
    hash: Sha256,
    is_whole: bool,
}

pub async fn check(session: &mut Session, findings: &mut Findings) -> Result<(), StoreError> {
    let mut seen = HashSet::new();
    let mut reading: Option<Reading> = None;
    let mut scan = Scan::of(FileChunkRow::spec());
    while let Some(page) = scan.page(session).await? {
        for values in page {
            let chunk = FileChunkRow::from_values(values)?;
            if reading.as_ref().is_none_or(|r| r.file != chunk.file) {
                end(session, reading.take(), &mut seen, findings).await?;
            }
            let file = || chunk.file.clone();
            let now =
                reading.get_or_insert_with(|| Reading { file: file(), chunks: 0, hash: Sha256::new(), is_whole: true });
            if chunk.chunk_index != now.chunks {
                now.is_whole = false;
                let key = format!("{}, {}", chunk.file, chunk.chunk_index);
                let problem = format!("chunk {} is missing", now.chunks);
                findings.column(Check::File, "file_chunks", key, "chunk_index", problem);
            }
            now.chunks = chunk.chunk_index + 1;
            now.hash.update(&chunk.ciphertext);
        }
    }
    end(session, reading, &mut seen, findings).await?;
    missing(session, &seen, findings).await
}

async fn end(
    session: &mut Session,
    reading: Option<Reading>,
    seen: &mut HashSet<String>,
    findings: &mut Findings,
) -> Result<(), StoreError> {
    let Some(read) = reading else { return Ok(()) };
    let digest = stored_digest(session, &read.file).await?;
    if digest.is_empty() {
        if !is_uploading(session, &read.file).await? {
            findings.row(Check::File, "file_chunks", &read.file, "chunks of no file");
        }
    } else if read.is_whole && hex::encode(read.hash.finalize()) != digest {
        let problem = "the chunks do not hash to the file's stored_sha256";
        findings.column(Check::File, "file_chunks", &read.file, "ciphertext", problem);
    }
    seen.insert(read.file);
    Ok(())
}

/// Empty for a file that is not there, or not whole yet. Read as stored: what does not parse is
/// found by the fold.
async fn stored_digest(session: &mut Session, file: &str) -> Result<String, StoreError> {
    let row = raw(session, FileRow::spec(), file).await?;
    Ok(row.map(|values| digest_of(&values)).unwrap_or_default())
}

async fn is_uploading(session: &mut Session, upload: &str) -> Result<bool, StoreError> {
    Ok(raw(session, UploadRow::spec(), upload).await?.is_some())
}

async fn raw(session: &mut Session, spec: &'static TableSpec, key: &str) -> Result<Option<Vec<Value>>, StoreError> {
    let load = Load { spec, columns: spec.key, values: vec![Value::Text(key.to_owned())] };
    Ok(session.load_values(&[load]).await?.into_iter().flatten().next())
}

fn digest_of(file: &[Value]) -> String {
    let at = FileRow::spec().column("stored_sha256").expect("the table has the column");
    file[at].to_string()
}

/// Files that have a digest, of more than nothing, and no chunk.
async fn missing(session: &mut Session, seen: &HashSet<String>, findings: &mut Findings) -> Result<(), StoreError> {
    let mut scan = Scan::of(FileRow::spec());
    while let Some(page) = scan.page(session).await? {
        for values in page {
            let file = FileRow::spec().key_of(&values)[0].to_string();
            let digest = digest_of(&values);
            if !digest.is_empty() && digest != sha256_hex([]) && !seen.contains(&file) {
                findings.row(Check::File, "file_chunks", &file, "the file's chunks are missing");
            }
        }
    }
    Ok(())
}
