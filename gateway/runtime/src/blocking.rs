//! Work that may block, off the threads that serve requests.

/// Runs `work` in a thread that may block.
///
/// # Panics
/// Passes on a panic of `work`.
pub async fn on_blocking_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(failed) => std::panic::resume_unwind(failed.into_panic()),
    }
}
