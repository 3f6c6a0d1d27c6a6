//! Metrics in the Prometheus text format.
//!
//! All names live in one table ([`Metric`]). Label values come from configuration or are fixed
//! words; should a defect let them grow, a family stops at [`SERIES_MAX`] series and counts the
//! rest under `other`, so that metrics can never exhaust memory. Hot paths keep a handle.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use parking_lot::{Mutex, RwLock};

mod table;

pub use table::{Kind, Metric};

/// Most series one family may hold.
pub const SERIES_MAX: usize = 2_000;

const STRIPES: usize = 4;

static NEXT_STRIPE: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static OWN_STRIPE: usize = NEXT_STRIPE.fetch_add(1, Relaxed) % STRIPES;
}

/// The node's registry. One per process, shared by reference count.
pub struct Metrics {
    families: Vec<RwLock<BTreeMap<String, Arc<Series>>>>,
    on_scrape: Mutex<Vec<Filler>>,
}

type Filler = Box<dyn Fn(&Metrics) + Send + Sync>;

/// A handle on one counter.
#[derive(Clone)]
pub struct Counter(Arc<Series>);

/// A handle on one gauge.
#[derive(Clone)]
pub struct Gauge(Arc<Series>);

/// A handle on one histogram.
#[derive(Clone)]
pub struct Histogram(Arc<Series>);

struct Series {
    stripes: [Stripe; STRIPES],
    bounds: &'static [f64],
}

/// Threads add to different cache lines, or counting would cost more than what is counted.
#[repr(align(128))]
struct Stripe {
    /// Counter: the count. Gauge: bits of an f64, in the first stripe only. Histogram: bits of the sum.
    value: AtomicU64,
    /// Histogram only: one per bound, and one for everything above.
    buckets: Box<[AtomicU64]>,
}

impl Metrics {
    /// An empty registry. Metrics without labels are exposed from the start, at zero.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let families = Metric::ALL.iter().map(|_| RwLock::default()).collect();
        let metrics = Arc::new(Self { families, on_scrape: Mutex::default() });
        for metric in Metric::ALL.iter().filter(|m| m.row().labels.is_empty()) {
            metrics.series(*metric, &[]);
        }
        metrics
    }

    /// Adds to a counter. The labels stand in the order of the table.
    pub fn add(&self, metric: Metric, labels: &[&str], count: u64) {
        self.counter(metric, labels).add(count);
    }

    /// Sets a gauge.
    pub fn set(&self, metric: Metric, labels: &[&str], value: f64) {
        self.gauge(metric, labels).set(value);
    }

    /// Records one observation of a histogram.
    pub fn observe(&self, metric: Metric, labels: &[&str], value: f64) {
        self.histogram(metric, labels).observe(value);
    }

    /// A handle to keep on a hot path.
    #[must_use]
    pub fn counter(&self, metric: Metric, labels: &[&str]) -> Counter {
        assert!(metric.kind() == Kind::Counter, "{} is no counter", metric.name());
        Counter(self.series(metric, labels))
    }

    /// A handle to keep on a hot path.
    #[must_use]
    pub fn gauge(&self, metric: Metric, labels: &[&str]) -> Gauge {
        assert!(metric.kind() == Kind::Gauge, "{} is no gauge", metric.name());
        Gauge(self.series(metric, labels))
    }

    /// A handle to keep on a hot path.
    #[must_use]
    pub fn histogram(&self, metric: Metric, labels: &[&str]) -> Histogram {
        assert!(matches!(metric.kind(), Kind::Histogram(_)), "{} is no histogram", metric.name());
        Histogram(self.series(metric, labels))
    }

    /// Forgets all series of a gauge, for those set anew on each scrape.
    pub fn clear(&self, metric: Metric) {
        self.families[metric as usize].write().clear();
    }

    /// Runs `fill` before each exposition: the place for gauges read from elsewhere.
    pub fn on_scrape(&self, fill: impl Fn(&Metrics) + Send + Sync + 'static) {
        self.on_scrape.lock().push(Box::new(fill));
    }

    /// The exposition, text format 0.0.4.
    #[must_use]
    pub fn render(&self) -> String {
        for fill in self.on_scrape.lock().iter() {
            fill(self);
        }
        let mut out = String::with_capacity(16 * 1024);
        for metric in Metric::ALL {
            let family = self.families[*metric as usize].read();
            if !family.is_empty() {
                render_family(&mut out, *metric, &family).expect("writing to a String does not fail");
            }
        }
        out
    }

    fn series(&self, metric: Metric, labels: &[&str]) -> Arc<Series> {
        let row = metric.row();
        assert!(labels.len() == row.labels.len(), "{} takes the labels {:?}", row.name, row.labels);
        let key = key(row.labels, labels);
        let family = &self.families[metric as usize];
        if let Some(series) = family.read().get(&key) {
            return series.clone();
        }
        let mut family = family.write();
        let full = family.len() >= SERIES_MAX && !family.contains_key(&key);
        let key = if full { key_of_others(row.labels) } else { key };
        family.entry(key).or_insert_with(|| Arc::new(Series::new(row.kind))).clone()
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Counter {
    /// Adds `count`.
    pub fn add(&self, count: u64) {
        self.0.stripe().value.fetch_add(count, Relaxed);
    }
}

impl Gauge {
    /// Sets the value.
    pub fn set(&self, value: f64) {
        self.0.stripes[0].value.store(value.to_bits(), Relaxed);
    }

    /// Adds `by`, which may be negative.
    pub fn add(&self, by: f64) {
        add_float(&self.0.stripes[0].value, by);
    }
}

impl Histogram {
    /// Records one observation.
    pub fn observe(&self, value: f64) {
        let bucket = self.0.bounds.partition_point(|bound| *bound < value);
        let stripe = self.0.stripe();
        stripe.buckets[bucket].fetch_add(1, Relaxed);
        add_float(&stripe.value, value);
    }
}

impl Series {
    fn new(kind: Kind) -> Self {
        let bounds = if let Kind::Histogram(bounds) = kind { bounds } else { &[] };
        let buckets = if bounds.is_empty() { 0 } else { bounds.len() + 1 };
        let zeros = || (0..buckets).map(|_| AtomicU64::new(0)).collect();
        Self {
            stripes: std::array::from_fn(|_| Stripe { value: AtomicU64::new(0), buckets: zeros() }),
            bounds,
        }
    }

    fn stripe(&self) -> &Stripe {
        &self.stripes[OWN_STRIPE.with(|own| *own)]
    }

    fn count(&self) -> u64 {
        self.stripes.iter().map(|stripe| stripe.value.load(Relaxed)).sum()
    }

    fn float(&self) -> f64 {
        self.stripes.iter().map(|stripe| f64::from_bits(stripe.value.load(Relaxed))).sum()
    }

    fn bucket(&self, index: usize) -> u64 {
        self.stripes.iter().map(|stripe| stripe.buckets[index].load(Relaxed)).sum()
    }
}

fn add_float(cell: &AtomicU64, by: f64) {
    let added = cell.fetch_update(Relaxed, Relaxed, |bits| Some((f64::from_bits(bits) + by).to_bits()));
    debug_assert!(added.is_ok(), "the closure never declines");
}

/// `a="x",b="y"`, escaped: both the key of a series and its exposition.
fn key(names: &[&str], values: &[&str]) -> String {
    let mut key = String::with_capacity(names.len() * 32);
    for (name, value) in names.iter().zip(values) {
        if !key.is_empty() {
            key.push(',');
        }
        key.push_str(name);
        key.push_str("=\"");
        for c in value.chars() {
            match c {
                '\\' => key.push_str("\\\\"),
                '"' => key.push_str("\\\""),
                '\n' => key.push_str("\\n"),
                c => key.push(c),
            }
        }
        key.push('"');
    }
    key
}

fn key_of_others(names: &[&str]) -> String {
    key(names, &vec!["other"; names.len()])
}

fn render_family(
    out: &mut String,
    metric: Metric,
    family: &BTreeMap<String, Arc<Series>>,
) -> std::fmt::Result {
    let row = metric.row();
    let kind = match row.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram(_) => "histogram",
    };
    writeln!(out, "# HELP {} {}\n# TYPE {} {kind}", row.name, row.help, row.name)?;
    for (labels, series) in family {
        match row.kind {
            Kind::Counter => writeln!(out, "{}{} {}", row.name, braced(labels), series.count())?,
            Kind::Gauge => writeln!(out, "{}{} {}", row.name, braced(labels), series.float())?,
            Kind::Histogram(bounds) => render_histogram(out, row.name, labels, bounds, series)?,
        }
    }
    Ok(())
}

fn render_histogram(
    out: &mut String,
    name: &str,
    labels: &str,
    bounds: &[f64],
    series: &Series,
) -> std::fmt::Result {
    let comma = if labels.is_empty() { "" } else { "," };
    let mut count = 0;
    for index in 0..=bounds.len() {
        count += series.bucket(index);
        match bounds.get(index) {
            Some(bound) => writeln!(out, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {count}")?,
            None => writeln!(out, "{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {count}")?,
        }
    }
    let sum = series.float();
    let labels = braced(labels);
    writeln!(out, "{name}_sum{labels} {sum}\n{name}_count{labels} {count}")
}

fn braced(labels: &str) -> String {
    if labels.is_empty() { String::new() } else { format!("{{{labels}}}") }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Compares a generated page with `docs/<name>`, or writes it when `XINQIAO_BLESS` is set.
    pub(crate) fn compare_page(name: &str, page: &str) {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
        if std::env::var_os("XINQIAO_BLESS").is_some() {
            std::fs::write(&path, page).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == page,
            "docs/{name} differs from the code: run with XINQIAO_BLESS=1 and review the change"
        );
    }

    #[test]
    fn the_page_of_metrics_is_the_table() {
        let mut page = String::from(
            "# Metrics\n\nThe local listener serves these at `/metrics` in the Prometheus text format. Labels are bounded: names from\n\
             configuration or fixed words, never a record, subject or file name. This page is compared with\n\
             `gateway/runtime/src/metrics/table.rs` by a test; `XINQIAO_BLESS=1 cargo test -p xinqiao-runtime page_of` writes it anew.\n\n\
             | name | kind | labels | meaning |\n|---|---|---|---|\n",
        );
        for metric in Metric::ALL {
            let row = metric.row();
            let kind = match row.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram(_) => "histogram",
            };
            writeln!(page, "| `{}` | {kind} | {} | {} |", row.name, row.labels.join(", "), row.help).unwrap();
        }
        compare_page("metrics.md", &page);
    }

    #[test]
    fn names_follow_the_house_style() {
        let mut seen = std::collections::HashSet::new();
        for metric in Metric::ALL {
            let name = metric.name();
            assert!(seen.insert(name), "{name} stands twice");
            assert!(name.starts_with("xinqiao_"), "{name}");
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
            assert_eq!(name.ends_with("_total"), metric.kind() == Kind::Counter, "{name}");
        }
    }

    #[test]
    fn counters_gauges_and_histograms_are_exposed() {
        let metrics = Metrics::new();
        metrics.add(Metric::HttpProblems, &["body.too-large"], 2);
        metrics.add(Metric::HttpProblems, &["body.too-large"], 3);
        metrics.set(Metric::QueuePendingRecords, &["a\"b"], 1.5);
        metrics.observe(Metric::HttpRequestSeconds, &["/v1/keys"], 0.003);
        metrics.observe(Metric::HttpRequestSeconds, &["/v1/keys"], 60.0);
        metrics.on_scrape(|m| m.set(Metric::ClockHealthy, &[], 1.0));
        let text = metrics.render();
        for line in [
            "# TYPE xinqiao_http_problems_total counter",
            "xinqiao_http_problems_total{code=\"body.too-large\"} 5",
            "xinqiao_queue_pending_records{stream=\"a\\\"b\"} 1.5",
            "xinqiao_http_request_seconds_bucket{route=\"/v1/keys\",le=\"0.0025\"} 0",
            "xinqiao_http_request_seconds_bucket{route=\"/v1/keys\",le=\"0.005\"} 1",
            "xinqiao_http_request_seconds_bucket{route=\"/v1/keys\",le=\"+Inf\"} 2",
            "xinqiao_http_request_seconds_sum{route=\"/v1/keys\"} 60.003",
            "xinqiao_http_request_seconds_count{route=\"/v1/keys\"} 2",
            "xinqiao_clock_healthy 1",
            "xinqiao_commit_groups_total 0",
        ] {
            assert!(text.lines().any(|l| l == line), "missing {line} in\n{text}");
        }
    }

    #[test]
    fn a_family_never_outgrows_its_cap() {
        let metrics = Metrics::new();
        for i in 0..SERIES_MAX + 50 {
            metrics.add(Metric::HttpProblems, &[&i.to_string()], 1);
        }
        let text = metrics.render();
        assert!(text.contains("xinqiao_http_problems_total{code=\"other\"} 50\n"));
        assert_eq!(text.matches("xinqiao_http_problems_total{").count(), SERIES_MAX + 1);
    }
}
