//! What two builds took for the same work, and the ratio of them round by round.

use super::super::load::Outcome;
use super::super::machine::Spent;
use super::super::{median, say};

/// One build's turn in one round.
#[derive(Clone, Copy)]
pub(super) struct Sample {
    /// Records, or connections, per second.
    rate: f64,
    /// Milliseconds that 99 of 100 requests stay below; not a number where the work is no series of like requests.
    p99: f64,
    /// Microseconds of server CPU per record, or connection.
    cpu: f64,
    /// The same of the generator or client.
    generator: f64,
    /// Cores that others took.
    others: f64,
}

impl Sample {
    /// Of a load.
    pub(super) fn of(outcome: &Outcome) -> Self {
        let count = if outcome.records > 0 { outcome.records } else { outcome.requests };
        Self { p99: outcome.p99, ..Self::spent(count, &outcome.spent) }
    }

    /// Of so many records.
    pub(super) fn spent(count: u64, spent: &Spent) -> Self {
        let count = count.max(1) as f64;
        Self {
            rate: count / spent.wall.as_secs_f64(),
            p99: f64::NAN,
            cpu: spent.server.as_secs_f64() * 1e6 / count,
            generator: spent.generator.as_secs_f64() * 1e6 / count,
            others: spent.others,
        }
    }
}

/// A work and its rounds.
pub(super) struct Work {
    name: String,
    rounds: Vec<[Sample; 2]>,
}

impl Work {
    /// Without any round yet.
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), rounds: Vec::new() }
    }

    /// One round: this build's turn and the other's.
    pub(super) fn add(&mut self, this: Sample, other: Sample) {
        self.rounds.push([this, other]);
    }

    /// Says what the rounds gave.
    pub(super) fn tell(&self) {
        say(format!("\n== {}", self.name));
        say("              per second    p99 ms   server CPU µs   generator CPU µs   others, cores");
        for (side, who) in ["this", "other"].into_iter().enumerate() {
            let of = |what: fn(&Sample) -> f64| median(self.rounds.iter().map(|r| what(&r[side])).collect());
            say(format!(
                "{who:<10} {:13.0} {:>9} {:15.2} {:18.2} {:15.2}",
                of(|s| s.rate),
                shown(of(|s| s.p99)),
                of(|s| s.cpu),
                of(|s| s.generator),
                of(|s| s.others),
            ));
        }
        for (what, ratio) in [("CPU", self.cpu()), ("rate", self.rate()), ("p99", self.p99())] {
            if !ratio.middle.is_nan() {
                say(format!("this/other, {what:<5} {}", ratio.text()));
            }
        }
    }

    fn cpu(&self) -> Ratio {
        self.ratio(|s| s.cpu)
    }

    fn rate(&self) -> Ratio {
        self.ratio(|s| s.rate)
    }

    fn p99(&self) -> Ratio {
        self.ratio(|s| s.p99)
    }

    fn ratio(&self, of: impl Fn(&Sample) -> f64) -> Ratio {
        let ratios: Vec<f64> = self.rounds.iter().map(|[this, other]| of(this) / of(other)).collect();
        Ratio {
            least: ratios.iter().copied().fold(f64::NAN, f64::min),
            most: ratios.iter().copied().fold(f64::NAN, f64::max),
            middle: median(ratios),
        }
    }
}

/// The ratios of the rounds.
struct Ratio {
    middle: f64,
    least: f64,
    most: f64,
}

impl Ratio {
    fn text(&self) -> String {
        match self.middle.is_nan() {
            true => "-".to_owned(),
            false => format!("{:.3} ({:.3} to {:.3})", self.middle, self.least, self.most),
        }
    }
}

fn shown(value: f64) -> String {
    if value.is_nan() { "-".to_owned() } else { format!("{value:.2}") }
}

/// All works at a glance.
pub(super) fn summary(works: &[Work]) {
    say(
        "\n== this/other: the middle of the rounds' ratios (least to most); below 1 is better for CPU and p99",
    );
    let width = works.iter().map(|work| work.name.chars().count()).max().unwrap_or(0);
    let columns = ["server CPU", "rate", "p99"];
    say(format!("{:<width$}   {:<24} {:<24} {}", "", columns[0], columns[1], columns[2]));
    for work in works {
        let (cpu, rate, p99) = (work.cpu().text(), work.rate().text(), work.p99().text());
        say(format!("{:<width$}   {cpu:<24} {rate:<24} {p99}", work.name));
    }
}
