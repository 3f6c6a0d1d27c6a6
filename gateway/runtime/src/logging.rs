//! Structured logs: JSON lines for machines or text for people, written behind the request's back.
//!
//! The access log is the target `xinqiao::access`, one event per request, made by the edge from
//! bounded words only; `filter` can turn it off. A panic is logged by its place, never by its
//! message, which might hold a value. A full output loses lines, and counts them, before it slows a request.

use std::io::Write;

use tracing::Subscriber;
use tracing_subscriber::filter::{EnvFilter, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};

use crate::metrics::{Metric, Metrics};

mod access;
mod queue;

use access::AccessLayer;
pub use queue::LineQueue;

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// One JSON object a line.
    #[default]
    Json,
    /// For people.
    Text,
}

/// The filter or the global logger could not be set.
#[derive(Debug)]
pub struct LogError(String);

/// Keeps the log running; dropping it writes what is left.
pub struct LogGuard {
    queue: LineQueue,
    writer: Option<std::thread::JoinHandle<()>>,
}

/// Starts logging to `output` for the whole process. `filter` is in `tracing`'s own language, such as
/// `info,xinqiao::access=warn`.
///
/// # Errors
/// The filter does not parse, or a logger was set before.
pub fn init(
    format: Format,
    filter: &str,
    output: impl Write + Send + 'static,
    metrics: &Metrics,
) -> Result<LogGuard, LogError> {
    let queue = LineQueue::new(metrics.counter(Metric::LogLinesDropped, &[]));
    let subscriber = subscriber(format, filter, queue.clone())?;
    tracing::subscriber::set_global_default(subscriber).map_err(|error| LogError(error.to_string()))?;
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(String::new, ToString::to_string);
        tracing::error!(target: "xinqiao::panic", place, "a defect: this work was abandoned");
    }));
    let writer = queue.clone();
    let writer = std::thread::Builder::new()
        .name("log".into())
        .spawn(move || writer.write_to(output))
        .map_err(|error| LogError(error.to_string()))?;
    Ok(LogGuard { queue, writer: Some(writer) })
}

/// The subscriber [`init`] installs, for those who install it themselves.
///
/// # Errors
/// The filter does not parse.
pub fn subscriber<W>(
    format: Format,
    filter: &str,
    writer: W,
) -> Result<Box<dyn Subscriber + Send + Sync>, LogError>
where
    W: for<'a> MakeWriter<'a> + Clone + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(filter).map_err(|error| LogError(error.to_string()))?;
    let registry = tracing_subscriber::registry().with(filter);
    let others = filter_fn(|metadata| metadata.target() != access::TARGET);
    let access = AccessLayer { format, writer: writer.clone() };
    let registry = registry.with(access);
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(false);
    Ok(match format {
        Format::Json => {
            let lines = lines.json().flatten_event(true).with_current_span(false).with_span_list(false);
            Box::new(registry.with(lines.with_filter(others)))
        }
        Format::Text => Box::new(registry.with(lines.with_filter(others))),
    })
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has nothing left to write.
            let _ended = writer.join();
        }
    }
}

impl std::fmt::Display for LogError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "logging cannot start: {}", self.0)
    }
}

impl std::error::Error for LogError {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[derive(Clone, Default)]
    struct Shared(Arc<parking_lot::Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_wrong_filter_is_refused() {
        assert!(subscriber(Format::Json, "info,=,", std::io::sink).is_err());
    }

    #[test]
    fn access_lines_look_like_the_others_in_both_formats() {
        for format in [Format::Json, Format::Text] {
            let output = Shared::default();
            let writer = output.clone();
            let subscriber = subscriber(format, "info", move || writer.clone()).unwrap();
            tracing::subscriber::with_default(subscriber, || {
                for _ in 0..2 {
                    tracing::info!(target: "xinqiao::access", member = "部\"a", status = 201, complete = true);
                }
                tracing::info!(target: "xinqiao::other", member = "部\"a", status = 201, complete = true);
                tracing::debug!(target: "xinqiao::access", "filtered out");
            });
            let text = String::from_utf8(output.0.lock().clone()).unwrap();
            let lines: Vec<&str> = text.lines().collect();
            assert_eq!(lines.len(), 3, "{text}");
            if format == Format::Json {
                let parse = |line: &str| {
                    let mut value: serde_json::Value = serde_json::from_str(line).unwrap();
                    value["timestamp"] = value["timestamp"].as_str().unwrap().len().into();
                    value["target"] = "".into();
                    value
                };
                assert_eq!(parse(lines[0]), parse(lines[2]));
                assert_eq!(parse(lines[0])["member"], "部\"a");
            } else {
                assert_eq!(lines[0][27..].replace("access", "other"), lines[2][27..]);
            }
        }
    }

    #[test]
    fn lines_are_json_panics_show_their_place_only_and_the_end_writes_the_rest() {
        let output = Shared::default();
        let guard = init(Format::Json, "info,quiet=off", output.clone(), &Metrics::new()).unwrap();
        tracing::info!(target: "xinqiao::access", member = "dept-a", status = 201);
        tracing::error!(target: "quiet", "not shown");
        let panicked = std::thread::spawn(|| panic!("canary-value")).join();
        drop(guard);
        assert!(panicked.is_err());
        let text = String::from_utf8(output.0.lock().clone()).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert_eq!((lines[0]["member"].as_str(), lines[0]["status"].as_u64()), (Some("dept-a"), Some(201)));
        assert!(lines[1]["place"].as_str().unwrap().contains("logging.rs"));
        assert!(!text.contains("canary-value"));
        let second = init(Format::Json, "info", output, &Metrics::new());
        assert!(second.is_err(), "a process has one log");
    }
}
