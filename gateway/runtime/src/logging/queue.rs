//! Lines between the threads that log and the one that writes.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tracing_subscriber::fmt::MakeWriter;

use crate::metrics::Counter;

/// Lines beyond this wait nowhere: they are dropped and counted.
const HELD_MAX: usize = 4 * 1024 * 1024;
/// Lines are gathered this long, or until there are this many bytes: waking the writer costs more than a line.
const GATHER: Duration = Duration::from_millis(20);
const GATHERED: usize = 64 * 1024;

/// A bounded queue of lines.
#[derive(Clone)]
pub struct LineQueue(Arc<Queue>);

struct Queue {
    held: Mutex<Held>,
    filled: Condvar,
    dropped: Counter,
}

#[derive(Default)]
struct Held {
    bytes: Vec<u8>,
    closed: bool,
}

/// Writes whole lines into the queue.
pub struct LineWriter<'a>(&'a LineQueue);

impl LineQueue {
    pub(super) fn new(dropped: Counter) -> Self {
        Self(Arc::new(Queue { held: Mutex::default(), filled: Condvar::new(), dropped }))
    }

    /// Writes what comes until the queue is closed and empty. Lines an output refuses are lost.
    pub(super) fn write_to(&self, mut output: impl Write) {
        let mut batch = Vec::new();
        loop {
            {
                let mut held = self.0.held.lock();
                while held.bytes.is_empty() && !held.closed {
                    self.0.filled.wait(&mut held);
                }
                if held.bytes.is_empty() {
                    return;
                }
                let until = Instant::now() + GATHER;
                while held.bytes.len() < GATHERED && !held.closed {
                    if self.0.filled.wait_until(&mut held, until).timed_out() {
                        break;
                    }
                }
                std::mem::swap(&mut batch, &mut held.bytes);
            }
            if output.write_all(&batch).and_then(|()| output.flush()).is_err() {
                self.0.dropped.add(batch.iter().filter(|byte| **byte == b'\n').count() as u64);
            }
            batch.clear();
            batch.shrink_to(64 * 1024);
        }
    }

    pub(super) fn close(&self) {
        self.0.held.lock().closed = true;
        self.0.filled.notify_one();
    }

    fn push(&self, line: &[u8]) {
        let mut held = self.0.held.lock();
        if held.closed || held.bytes.len() + line.len() > HELD_MAX {
            drop(held);
            self.0.dropped.add(1);
            return;
        }
        let before = held.bytes.len();
        held.bytes.extend_from_slice(line);
        let after = held.bytes.len();
        drop(held);
        if before == 0 || (before < GATHERED && after >= GATHERED) {
            self.0.filled.notify_one();
        }
    }
}

impl<'a> MakeWriter<'a> for LineQueue {
    type Writer = LineWriter<'a>;

    fn make_writer(&'a self) -> LineWriter<'a> {
        LineWriter(self)
    }
}

impl Write for LineWriter<'_> {
    /// The formatter hands over one whole line at a time.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Metric, Metrics};

    #[test]
    fn an_output_that_takes_nothing_costs_lines_not_memory() {
        let metrics = Metrics::new();
        let queue = LineQueue::new(metrics.counter(Metric::LogLinesDropped, &[]));
        let line = [b'x'; 1024];
        for _ in 0..HELD_MAX / 1024 + 7 {
            queue.push(&line);
        }
        assert_eq!(queue.0.held.lock().bytes.len(), HELD_MAX);
        assert!(metrics.render().contains("xinqiao_log_lines_dropped_total 7\n"));
        queue.close();
        let mut written = Vec::new();
        queue.write_to(&mut written);
        assert_eq!(written.len(), HELD_MAX);
    }
}
