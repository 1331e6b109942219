//! The gateway's time. A parameter everywhere; read here and in the database only.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jjj_domain::time::Timestamp;
use rustls::pki_types::UnixTime;

/// The system's clock, and in a sandbox an offset that can be advanced. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    offset_us: Arc<AtomicI64>,
}

impl Clock {
    pub fn with_offset_us(offset_us: i64) -> Self {
        Self { offset_us: Arc::new(AtomicI64::new(offset_us)) }
    }

    pub fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        self.shift(Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX)))
    }

    /// A time read elsewhere, the database's, on this clock.
    pub fn shift(&self, real: Timestamp) -> Timestamp {
        real.plus_us(self.offset_us.load(Ordering::Relaxed))
    }

    /// Moves the sandbox's time forward.
    pub fn advance_us(&self, us: i64) {
        self.offset_us.fetch_add(us, Ordering::Relaxed);
    }

    pub fn now_s(&self) -> i64 {
        self.now().0.div_euclid(1_000_000)
    }

    pub(crate) fn unix_time(&self) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_micros(self.now().0.max(0).unsigned_abs()))
    }
}

/// Certificates are judged by the same time as everything else.
impl rustls::time_provider::TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(self.unix_time())
    }
}
