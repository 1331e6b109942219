//! Uploads under way: chunks arrive in order, each durable before it is acknowledged.

use jjj_domain::key;
use jjj_domain::recon::FileRow;
use jjj_domain::row::Row;
use jjj_domain::value::{Column, ColumnType, Value};

use crate::Result;
use crate::dialect::Shape;
use crate::log_tables::{FileChunkRow, UploadRow};
use crate::read::{ListQuery, Op};
use crate::session::{Args, Session};
use crate::store::Store;
use crate::write::WriteTx;

const ADVANCE: &str = "UPDATE uploads SET received_bytes = received_bytes + $1, next_chunk = next_chunk + 1 \
     WHERE upload = $2 AND next_chunk = $3 AND received_bytes + $1 <= declared_bytes RETURNING received_bytes";
const UPLOADING: &str = "SELECT COUNT(*) FROM files WHERE file = $1 AND state = 'UPLOADING'";
const OPEN: &str = "SELECT COUNT(*) FROM uploads WHERE participant = $1 AND upload <> $2";
const CHUNK_KEYS: &str = "SELECT chunk_index FROM file_chunks WHERE file = $1";

/// What came of beginning an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It is under way, since now or before.
    UnderWay,
    /// Its file is complete, or there is none.
    NotAwaited,
    /// Its sender has as many others under way as it may.
    TooMany,
}

impl Store {
    /// Begins an upload of an awaited file, if its sender has fewer than `most` others under way. Beginning
    /// it again changes nothing.
    pub async fn begin_upload(&self, upload: &UploadRow, most: i64) -> Result<Begun> {
        let mut tx = self.begin_small_write().await?;
        let sender = upload.participant.to_value();
        let begun = match tx.is_uploading(&upload.upload).await? {
            false => Begun::NotAwaited,
            true if tx.session.int(OPEN, &[sender, upload.upload.to_value()]).await? >= Some(most) => Begun::TooMany,
            true => {
                tx.begin_upload(upload).await?;
                Begun::UnderWay
            }
        };
        tx.commit().await?;
        Ok(begun)
    }

    /// Forgets an upload: with its chunks while its file is not complete, else its working row alone. An
    /// upload that begins anew meanwhile is left alone.
    pub async fn sweep_upload(&self, upload: &UploadRow) -> Result<()> {
        let mut tx = self.begin_small_write().await?;
        let is_uploading = tx.is_uploading(&upload.upload).await?;
        let now = tx.session.upload(&upload.upload).await?;
        match (now.is_some_and(|now| now.begun_at_us == upload.begun_at_us), is_uploading) {
            (false, _) => {}
            (true, true) => tx.abandon_upload(&upload.upload).await?,
            (true, false) => tx.finish_upload(&upload.upload).await?,
        }
        tx.commit().await
    }

    /// Stores the next chunk of an upload. `plain_bytes` counts towards the declared
    /// size. The bytes received by now; `None` when this is not the next chunk, the
    /// declared size is exceeded or there is no such upload.
    pub async fn append_chunk(&self, chunk: &FileChunkRow, plain_bytes: i64) -> Result<Option<i64>> {
        let mut tx = self.begin_small_write().await?;
        let args = key![plain_bytes, chunk.file, chunk.chunk_index];
        let advanced = tx.session.int(ADVANCE, &args).await?;
        match advanced {
            None => tx.rollback().await?,
            Some(_) => {
                tx.insert(std::slice::from_ref(chunk), Shape::Insert).await?;
                tx.commit().await?;
            }
        }
        Ok(advanced)
    }
}

impl Session {
    pub async fn upload(&mut self, upload: &str) -> Result<Option<UploadRow>> {
        self.get(vec![Value::Text(upload.to_owned())]).await
    }

    /// Chunks of a file from an index on, in order.
    pub async fn file_chunks(&mut self, file: &str, from_chunk: i64, limit: i64) -> Result<Vec<FileChunkRow>> {
        let predicates =
            vec![("file", Op::Eq, Value::Text(file.to_owned())), ("chunk_index", Op::Ge, Value::Int(from_chunk))];
        self.list(&ListQuery { predicates, limit, ..ListQuery::default() }).await
    }
}

impl WriteTx {
    /// Whether a file is awaited, and stays so until this transaction ends.
    async fn is_uploading(&mut self, file: &str) -> Result<bool> {
        let key = vec![Value::Text(file.to_owned())];
        self.lock(&[(FileRow::spec(), key.clone())], &[]).await?;
        Ok(self.session.int(UPLOADING, &key).await? == Some(1))
    }

    /// Begins an upload, whether or not its file is awaited: see [`Store::begin_upload`].
    pub async fn begin_upload(&mut self, upload: &UploadRow) -> Result<()> {
        self.insert(std::slice::from_ref(upload), Shape::InsertIgnore).await
    }

    /// Ends an upload that was completed: its row goes, its chunks stay.
    pub async fn finish_upload(&mut self, upload: &str) -> Result<()> {
        self.delete(UploadRow::spec(), vec![vec![Value::Text(upload.to_owned())]]).await
    }

    /// Forgets an upload that will not be completed, with its chunks.
    pub async fn abandon_upload(&mut self, upload: &str) -> Result<()> {
        // Its row first: a chunk that comes meanwhile waits for it, and finds no upload.
        self.finish_upload(upload).await?;
        let file = Value::Text(upload.to_owned());
        let args = Args::Values(std::slice::from_ref(&file));
        let chunks = self.session.fetch(CHUNK_KEYS.into(), args, &[ColumnType::Int]).await?;
        let keys = chunks.into_iter().map(|mut row| vec![file.clone(), row.remove(0)]).collect();
        self.delete(FileChunkRow::spec(), keys).await
    }
}
