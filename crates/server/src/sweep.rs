//! Uploads that nobody completes: forgotten with their chunks, on every replica. The file's record stays
//! and its upload may begin anew.

use std::sync::Arc;
use std::time::Duration;

use jjj_domain::time::DAY_US;
use jjj_domain::value::Column;
use jjj_store::log_tables::UploadRow;
use jjj_store::{ListQuery, Op, StoreError};

use crate::files::UPLOAD_WITHIN_US;
use crate::gateway::Gateway;
use crate::stop::{Stop, stopped};

const LOOK: Duration = Duration::from_secs(60);
/// Uploads swept in one step.
const MOST: i64 = 100;
/// None is completed so long after it began: a completion that is under way must find its chunks.
const KEPT_US: i64 = UPLOAD_WITHIN_US + DAY_US;

/// Sweeps until told to stop.
pub(crate) async fn run(gateway: Arc<Gateway>, mut stop: Stop) {
    loop {
        if let Some(Err(error)) = crate::stop::step("unfinished uploads", step(&gateway)).await {
            tracing::warn!(cause = crate::status::chain(&error), "uploads that nobody completes could not be swept");
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = stopped(&mut stop) => return,
        }
    }
}

/// Forgets what is due; how many there were.
pub async fn step(gateway: &Gateway) -> Result<usize, StoreError> {
    let begun_before = gateway.clock.now().plus_us(-KEPT_US);
    let predicates = vec![("begun_at_us", Op::Lt, begun_before.to_value())];
    let query = ListQuery { predicates, limit: MOST, ..ListQuery::default() };
    let due: Vec<UploadRow> = gateway.store.read().await?.list(&query).await?;
    for upload in &due {
        gateway.store.sweep_upload(upload).await?;
    }
    Ok(due.len())
}
