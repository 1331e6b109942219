//! Reservations, in the order in which they were recorded: what the queries' timer walks through.

use jjj_domain::key;
use jjj_domain::row::StoredFault;
use jjj_domain::time::Timestamp;
use jjj_domain::value::{ColumnType, Value};

use crate::Result;
use crate::read::parse;
use crate::session::{Args, Session};

/// A payment that is reserved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reserved {
    pub recorded_at: Timestamp,
    /// `payments/…`.
    pub payment: String,
    /// When its channel is asked again; `None` when it was not asked yet.
    pub due_at: Option<Timestamp>,
}

/// The condition is that of the partial index, in its very words: neither planner would use it else.
pub const RESERVED_AFTER: &str = "SELECT r.recorded_at_us, r.payment, q.due_at_us FROM \
     (SELECT recorded_at_us, payment FROM payments WHERE state = 'RESERVED' \
     AND (recorded_at_us, payment) > ($1, $2) AND recorded_at_us <= $3 ORDER BY recorded_at_us, payment LIMIT $4) AS r \
     LEFT JOIN payment_queries AS q ON q.payment = r.payment ORDER BY r.recorded_at_us, r.payment";

impl Session {
    /// At most `limit` reservations recorded after a place (time and payment) and by `until`, in order.
    pub async fn reserved_after(
        &mut self,
        place: &(Timestamp, String),
        until: Timestamp,
        limit: i64,
    ) -> Result<Vec<Reserved>> {
        let args = key![place.0, place.1, until, limit];
        let types = [ColumnType::Int, ColumnType::Text, ColumnType::Int];
        let rows = self.fetch(RESERVED_AFTER.into(), Args::Values(&args), &types).await?;
        rows.into_iter().map(|row| Ok(Reserved::parse(row)?)).collect()
    }
}

impl Reserved {
    fn parse(row: Vec<Value>) -> Result<Self, StoredFault> {
        let mut cells = row.into_iter();
        let mut cell = || cells.next().unwrap_or(Value::Null);
        Ok(Self {
            recorded_at: parse("payments", "recorded_at_us", cell())?,
            payment: parse("payments", "payment", cell())?,
            due_at: parse("payment_queries", "due_at_us", cell())?,
        })
    }
}
