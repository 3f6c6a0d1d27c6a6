//! The drain signal: said once, heard by all, also by those who ask late.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Tells long polls and background work that the edge is stopping.
#[derive(Debug, Clone, Default)]
pub struct Drain(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    begun: AtomicBool,
    notify: Notify,
}

impl Drain {
    /// A signal not yet given.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives the signal. Again is no harm.
    pub fn begin(&self) {
        self.0.begun.store(true, Ordering::SeqCst);
        self.0.notify.notify_waiters();
    }

    /// Whether it was given.
    #[must_use]
    pub fn begun(&self) -> bool {
        self.0.begun.load(Ordering::SeqCst)
    }

    /// Completes when it is given.
    pub async fn wait(&self) {
        let mut notified = std::pin::pin!(self.0.notify.notified());
        notified.as_mut().enable();
        if !self.begun() {
            notified.await;
        }
    }
}
