//! The value of one cell against the type of its field: a text, or why it cannot be trusted.

use xinqiao_schemas::{Field, FieldType};

use crate::fault::{self, Problem};

/// What a file says in one cell.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Text(String),
}

/// The cells of a row, by column number, 1 first.
pub(crate) type Cells = Vec<(u32, Value)>;

impl Value {
    pub(crate) fn text(&self) -> &str {
        match self {
            Value::Text(text) => text,
        }
    }

    pub(crate) fn is_blank(&self) -> bool {
        self.text().chars().all(|c| c.is_whitespace() || c == '\u{FEFF}')
    }
}

/// The text that goes on to the record.
pub(crate) fn judged(value: Value, field: Option<&Field>) -> Result<String, &'static Problem> {
    match value {
        Value::Text(text) => match written(&text, field) {
            Some(problem) => Err(problem),
            None => Ok(text),
        },
    }
}

/// Traces of a spreadsheet in a text.
fn written(text: &str, field: Option<&Field>) -> Option<&'static Problem> {
    let seen = text.trim();
    if is_error(seen) {
        return Some(&fault::CELL_ERROR);
    }
    if seen.starts_with("=\"") {
        return Some(&fault::CELL_FORMULA_TEXT);
    }
    // In running text an apostrophe may open a quotation; before digits or a code it is the spreadsheet's mark.
    if let Some(rest) = seen.strip_prefix('\'')
        && !rest.is_empty()
        && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"-/.:".contains(&b))
    {
        return Some(&fault::CELL_APOSTROPHE);
    }
    if is_scientific(seen) {
        return Some(&fault::CELL_SCIENTIFIC);
    }
    match field?.kind() {
        FieldType::Date if seen.len() == 5 && seen.bytes().all(|b| b.is_ascii_digit()) => {
            Some(&fault::CELL_DATE_SERIAL)
        }
        kind if zeros_lost(seen, kind) => Some(&fault::CELL_ZEROS_LOST),
        _ => None,
    }
}

/// True where digits are no code of the set, but are with zeros before them.
pub(crate) fn zeros_lost(seen: &str, kind: &FieldType) -> bool {
    let FieldType::Code { set, .. } = kind else { return false };
    let known = |text: &str| {
        set.values().iter().any(|v| v.code() == text || v.accept.iter().any(|accepted| **accepted == *text))
    };
    let digits = !seen.is_empty() && seen.len() < 12 && seen.bytes().all(|b| b.is_ascii_digit());
    digits && !known(seen) && (1..=8).any(|zeros| known(&format!("{}{seen}", "0".repeat(zeros))))
}

fn is_error(seen: &str) -> bool {
    const ERRORS: [&str; 14] = [
        "#N/A",
        "#REF!",
        "#VALUE!",
        "#DIV/0!",
        "#NAME?",
        "#NULL!",
        "#NUM!",
        "#SPILL!",
        "#CALC!",
        "#GETTING_DATA",
        "#FIELD!",
        "#BLOCKED!",
        "#CONNECT!",
        "#UNKNOWN!",
    ];
    ERRORS.contains(&seen)
        || (seen.len() >= 2 && seen.bytes().all(|b| b == b'#'))
        || seen.strip_prefix("Err:").is_some_and(|n| n.len() == 3 && n.bytes().all(|b| b.is_ascii_digit()))
}

/// `3.50203E+17`, as spreadsheet programs write it.
fn is_scientific(seen: &str) -> bool {
    let Some((mantissa, exponent)) = seen.split_once("E+").or_else(|| seen.split_once("e+")) else {
        return false;
    };
    let mantissa = mantissa.strip_prefix('-').unwrap_or(mantissa);
    let (whole, behind) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    whole.len() == 1
        && digits(whole)
        && digits(behind)
        && (2..=3).contains(&exponent.len())
        && digits(exponent)
}
