//! Uploads under way: chunks arrive in order, each durable before it is acknowledged.

use jjj_domain::key;
use jjj_domain::row::Row;
use jjj_domain::value::{ColumnType, Value};

use crate::Result;
use crate::dialect::Shape;
use crate::log_tables::{FileChunkRow, UploadRow};
use crate::read::{ListQuery, Op};
use crate::session::{Args, Session};
use crate::store::Store;
use crate::write::WriteTx;

const ADVANCE: &str = "UPDATE uploads SET received_bytes = received_bytes + $1, next_chunk = next_chunk + 1 \
     WHERE upload = $2 AND next_chunk = $3 AND received_bytes + $1 <= declared_bytes RETURNING received_bytes";
const CHUNK_KEYS: &str = "SELECT chunk_index FROM file_chunks WHERE file = $1";

impl Store {
    /// Begins an upload; beginning it again changes nothing.
    pub async fn begin_upload(&self, upload: &UploadRow) -> Result<()> {
        let mut tx = self.begin_small_write().await?;
        tx.insert(std::slice::from_ref(upload), Shape::InsertIgnore).await?;
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
    /// Ends an upload that was completed: its row goes, its chunks stay.
    pub async fn finish_upload(&mut self, upload: &str) -> Result<()> {
        self.delete(UploadRow::spec(), vec![vec![Value::Text(upload.to_owned())]]).await
    }

    /// Forgets an upload that will not be completed, with its chunks.
    pub async fn abandon_upload(&mut self, upload: &str) -> Result<()> {
        let file = Value::Text(upload.to_owned());
        let args = Args::Values(std::slice::from_ref(&file));
        let chunks = self.session.fetch(CHUNK_KEYS.into(), args, &[ColumnType::Int]).await?;
        let keys = chunks.into_iter().map(|mut row| vec![file.clone(), row.remove(0)]).collect();
        self.delete(FileChunkRow::spec(), keys).await?;
        self.finish_upload(upload).await
    }
}
