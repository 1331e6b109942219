//! The signal to stop, as every task hears it; and what else must not end a task.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use tokio::sync::watch;

/// Told once, heard by all clones.
pub(crate) type Stop = watch::Receiver<bool>;

/// Returns when told, or when whoever would tell is gone.
pub(crate) async fn stopped(stop: &mut Stop) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// A step of a task that goes on until it is told to stop. A panic is a bug of ours: it is logged, and costs this
/// step only.
pub(crate) async fn step<T>(what: &'static str, step: impl Future<Output = T>) -> Option<T> {
    let done = AssertUnwindSafe(step).catch_unwind().await;
    done.inspect_err(|_| tracing::error!(what, "a step panicked; the next one goes on")).ok()
}

#[cfg(test)]
mod tests {
    use super::step;

    #[tokio::test]
    async fn a_panic_costs_one_step() {
        assert_eq!(step("a step", async { 1 }).await, Some(1));
        assert_eq!(step("a bug", async { panic!("a bug") }).await, None::<()>);
    }
}
