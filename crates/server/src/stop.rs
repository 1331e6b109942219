//! The signal to stop, as every task hears it.

use tokio::sync::watch;

/// Told once, heard by all clones.
pub(crate) type Stop = watch::Receiver<bool>;

/// Returns when told, or when whoever would tell is gone.
pub(crate) async fn stopped(stop: &mut Stop) {
    let _ = stop.wait_for(|stop| *stop).await;
}
