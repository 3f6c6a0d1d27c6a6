//! The only place that prints.

use serde::Serialize;
use std::io::Write;

/// A line for people, on standard output.
pub(crate) fn say(line: impl AsRef<str>) {
    let mut out = std::io::stdout().lock();
    // A reader that went away (a closed pipe) ends the output, not the work.
    let _ = writeln!(out, "{}", line.as_ref());
}

/// One JSON object on a line of its own, on standard output.
pub(crate) fn json(value: &impl Serialize) {
    if let Ok(text) = serde_json::to_string(value) {
        say(text);
    }
}

/// A line for people, on standard error.
pub(crate) fn complain(line: impl AsRef<str>) {
    let _ = writeln!(std::io::stderr().lock(), "xinqiao: {}", line.as_ref());
}

/// Progress: overwritten on a terminal, silent elsewhere.
pub(crate) fn progress(line: impl AsRef<str>) {
    use std::io::IsTerminal;
    let mut err = std::io::stderr().lock();
    if err.is_terminal() {
        let _ = write!(err, "\r\x1b[K{}", line.as_ref());
        let _ = err.flush();
    }
}

/// Ends a line of progress.
pub(crate) fn progress_done() {
    progress("");
}
