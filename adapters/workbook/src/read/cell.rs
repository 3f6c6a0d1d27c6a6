//! The value of one cell against the type of its field: a text, or why it cannot be trusted.

use std::borrow::Cow;

use xinqiao_schemas::{Date, Field, FieldType};

use crate::fault::{self, Problem};

/// What a file says in one cell.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Text(String),
    Number(f64),
    /// A day, and seconds after its beginning.
    Day(Date, u32),
    /// Shown as a date, and none of which is known which.
    NoDay,
    Boolean,
    /// `#N/A` and its like.
    Error,
    /// A formula of which the file does not hold the result, or one that cannot be told from its absence.
    Uncalculated,
    Unreadable,
}

/// The cells of a row, by column number, 1 first.
pub(crate) type Cells = Vec<(u32, Value)>;

impl Value {
    /// What it shows, where that is a text or a number.
    pub(crate) fn text(&self) -> Cow<'_, str> {
        match self {
            Value::Text(text) => Cow::Borrowed(text),
            Value::Number(number) => Cow::Owned(plain(*number).unwrap_or_default()),
            _ => Cow::Borrowed(""),
        }
    }

    pub(crate) fn is_blank(&self) -> bool {
        match self {
            Value::Text(text) => text.chars().all(|c| c.is_whitespace() || c == '\u{FEFF}'),
            _ => false,
        }
    }
}

/// The text that goes on to the record.
pub(crate) fn judged(value: Value, field: Option<&Field>) -> Result<String, &'static Problem> {
    let kind = field.map(Field::kind);
    match value {
        Value::Text(text) => match written(&text, field) {
            Some(problem) => Err(problem),
            None => Ok(text),
        },
        Value::Number(number) => numeric(number, kind),
        Value::Day(date, seconds) => match kind {
            Some(FieldType::Date) => {
                let mut text = Vec::new();
                date.write_slash(&mut text);
                let mut text = String::from_utf8(text).expect("digits and slashes");
                // A time of day is no part of a date: let whoever judges dates say so.
                if seconds != 0 {
                    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
                    text.push_str(&format!(" {hours:02}:{minutes:02}:{:02}", seconds % 60));
                }
                Ok(text)
            }
            _ => Err(&fault::CELL_DATE),
        },
        Value::NoDay if matches!(kind, Some(FieldType::Date)) => Err(&fault::CELL_NO_DAY),
        Value::NoDay => Err(&fault::CELL_DATE),
        Value::Boolean => Err(&fault::CELL_BOOLEAN),
        Value::Error => Err(&fault::CELL_ERROR),
        Value::Uncalculated => Err(&fault::CELL_FORMULA),
        Value::Unreadable => Err(&fault::CELL_UNREADABLE),
    }
}

/// A number where one is wanted, or where it can only be meant one way.
fn numeric(number: f64, kind: Option<&FieldType>) -> Result<String, &'static Problem> {
    let text = plain(number).ok_or(&fault::CELL_DIGITS_LOST)?;
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    match kind {
        Some(FieldType::Number { .. }) => Ok(text),
        // 20261120 as it was typed; fewer digits are a count of days.
        Some(FieldType::Date) if digits && text.len() == 8 => Ok(text),
        Some(FieldType::Date) => Err(&fault::CELL_DATE_SERIAL),
        Some(kind @ FieldType::Code { set, .. }) if digits => {
            if zeros_lost(&text, kind) {
                return Err(&fault::CELL_ZEROS_LOST);
            }
            // Where 01 is a code beside 1, nobody knows which of the two was typed.
            let known = |text: &str| set.values().iter().any(|value| value.code() == text);
            let longer = (1..=8).any(|zeros| known(&format!("{}{text}", "0".repeat(zeros))));
            if known(&text) && !longer { Ok(text) } else { Err(&fault::CELL_NUMBER) }
        }
        _ => Err(&fault::CELL_NUMBER),
    }
}

/// A number as a spreadsheet shows it at its full width of 15 digits, without an exponent; none if it has more before its point.
fn plain(number: f64) -> Option<String> {
    if !number.is_finite() || number.abs() >= 1e15 {
        return None;
    }
    let written = format!("{:.14e}", number.abs());
    let (mantissa, exponent) = written.split_once('e')?;
    let exponent: i32 = exponent.parse().ok()?;
    let digits = mantissa.replace('.', "");
    let mut text = match usize::try_from(exponent) {
        // 999999999999999.6 rounds up to sixteen digits.
        Ok(exponent) if exponent >= digits.len() => return None,
        Ok(exponent) => format!("{}.{}", &digits[..=exponent], &digits[exponent + 1..]),
        Err(_) => {
            let zeros = usize::try_from(-exponent - 1).ok()?;
            format!("0.{}{digits}", "0".repeat(zeros))
        }
    };
    text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
    Some(if number < 0.0 && text != "0" { format!("-{text}") } else { text })
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

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn numbers_are_written_plainly_at_fifteen_digits() {
        for (number, text) in [
            (0.0, Some("0")),
            (-0.0, Some("0")),
            (100.0, Some("100")),
            (0.1 + 0.2, Some("0.3")),
            (-12.5, Some("-12.5")),
            (0.000_001, Some("0.000001")),
            (350_200_100_012_345.0, Some("350200100012345")),
            (999_999_999_999_999.0, Some("999999999999999")),
            (1e15, None),
            (3.502_031_990_010_1e17, None),
            (f64::NAN, None),
        ] {
            assert_eq!(plain(number).as_deref(), text, "{number}");
        }
        assert!(plain(f64::MIN_POSITIVE).is_some_and(|text| text.len() < 400));
    }
}
