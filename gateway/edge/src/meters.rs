//! The edge's hot metrics with their handles kept, so that no request looks one up by its labels.

use std::sync::Arc;
use std::time::Duration;

use xinqiao_runtime::metrics::{Counter, Histogram, Metric, Metrics};

/// What every request of an edge counts on.
pub(super) struct Meters {
    pub(super) metrics: Arc<Metrics>,
    pub(super) sent: Counter,
    pub(super) received: Counter,
}

/// Route template and status.
pub(super) type Outcome = (&'static str, u16);

/// The metrics of one outcome.
pub(super) struct OutcomeMeters {
    outcome: Outcome,
    count: Counter,
    time: Histogram,
}

impl Meters {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            sent: metrics.counter(Metric::HttpSentBytes, &[]),
            received: metrics.counter(Metric::HttpReceivedBytes, &[]),
            metrics,
        }
    }

    pub(super) fn of(&self, outcome: Outcome) -> OutcomeMeters {
        let (route, status) = outcome;
        OutcomeMeters {
            outcome,
            count: self.metrics.counter(Metric::HttpRequests, &[route, &status.to_string()]),
            time: self.metrics.histogram(Metric::HttpRequestSeconds, &[route]),
        }
    }
}

impl OutcomeMeters {
    pub(super) fn is_of(&self, outcome: Outcome) -> bool {
        self.outcome == outcome
    }

    pub(super) fn observe(&self, elapsed: Duration) {
        self.count.add(1);
        self.time.observe(elapsed.as_secs_f64());
    }
}
