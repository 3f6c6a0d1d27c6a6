//! The access log's own writer: one line per request must cost well under a microsecond, and the
//! general formatter takes ten times that. The lines look the same.

use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::io::Write as _;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::{Context, Layer};

use super::Format;

/// The target of access events.
pub(super) const TARGET: &str = "xinqiao::access";

/// Writes access events and nothing else.
pub(super) struct AccessLayer<W> {
    pub(super) format: Format,
    pub(super) writer: W,
}

thread_local! {
    static LINE: RefCell<String> = const { RefCell::new(String::new()) };
}

impl<S, W> Layer<S> for AccessLayer<W>
where
    S: Subscriber,
    W: for<'a> MakeWriter<'a> + 'static,
{
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() != TARGET {
            return;
        }
        LINE.with_borrow_mut(|line| {
            line.clear();
            // Writing to a String does not fail, and a log that cannot be written has nobody to tell.
            let formatted = format_line(self.format, event, line);
            let _written = formatted.map(|()| self.writer.make_writer().write_all(line.as_bytes()));
        });
    }
}

fn format_line(format: Format, event: &Event<'_>, line: &mut String) -> fmt::Result {
    let level = event.metadata().level();
    match format {
        Format::Json => {
            line.push_str("{\"timestamp\":\"");
            SystemTime.format_time(&mut Writer::new(line))?;
            write!(line, "\",\"level\":\"{level}\",\"target\":\"{TARGET}\"")?;
        }
        Format::Text => {
            SystemTime.format_time(&mut Writer::new(line))?;
            write!(line, " {level:>5} {TARGET}:")?;
        }
    }
    event.record(&mut Fields { format, line });
    line.push_str(if format == Format::Json { "}\n" } else { "\n" });
    Ok(())
}

struct Fields<'a> {
    format: Format,
    line: &'a mut String,
}

impl Fields<'_> {
    fn name(&mut self, field: &Field) {
        match self.format {
            Format::Json => {
                self.line.push_str(",\"");
                self.line.push_str(field.name());
                self.line.push_str("\":");
            }
            Format::Text => {
                self.line.push(' ');
                self.line.push_str(field.name());
                self.line.push('=');
            }
        }
    }

    fn plain(&mut self, field: &Field, value: impl fmt::Display) {
        self.name(field);
        write!(self.line, "{value}").expect("writing to a String does not fail");
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.name(field);
        let simple = value.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\');
        if simple {
            self.line.push('"');
            self.line.push_str(value);
            self.line.push('"');
        } else {
            self.line.push_str(&serde_json::Value::from(value).to_string());
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.plain(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.plain(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.plain(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}
