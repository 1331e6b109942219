//! The signal to stop, as every task hears it; and what else must not end a task.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::task::JoinError;

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

/// What a task of ours came to. Nobody cancels one that is waited for, so that it did not end was a panic: its caller's too.
pub(crate) fn joined<T>(ended: Result<T, JoinError>) -> T {
    ended.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))
}

#[cfg(test)]
mod tests {
    use super::{joined, step};

    #[tokio::test]
    async fn a_panic_costs_one_step() {
        assert_eq!(step("a step", async { 1 }).await, Some(1));
        assert_eq!(step("a bug", async { panic!("a bug") }).await, None::<()>);
    }

    #[tokio::test]
    async fn a_tasks_panic_is_its_callers() {
        assert_eq!(joined(tokio::spawn(async { 1 }).await), 1);
        let caller = tokio::spawn(async { joined(tokio::spawn(async { panic!("a bug") }).await) });
        let panicked = caller.await.expect_err("it panics too").into_panic();
        assert_eq!(panicked.downcast_ref(), Some(&"a bug"));
    }
}
