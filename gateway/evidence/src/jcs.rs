//! RFC 8785, the JSON Canonicalization Scheme: the one byte string for a JSON value.
//!
//! On the hot path nothing here runs: a serde struct whose fields are declared in alphabetical order, with ASCII names
//! and without floating-point numbers, already leaves [`serde_json::to_vec`] in canonical form. The tests of
//! [`crate::entry`], [`crate::manifest`] and [`crate::acknowledgement`] hold their types to that with [`is_jcs`].

use serde_json::{Number, Value};

use crate::json::{self, JsonError, MAX_SAFE_INTEGER};

/// The canonical bytes of `value`. Integers beyond ±(2^53-1), however they were written, are refused, since RFC 8785 would
/// round them and [`is_jcs`] would not take them back.
pub fn to_jcs(value: &Value) -> Result<Vec<u8>, JsonError> {
    let mut out = String::new();
    write_value(value, &mut out)?;
    Ok(out.into_bytes())
}

/// Whether `bytes` are exactly the canonical form of the JSON they hold.
pub fn is_jcs(bytes: &[u8]) -> bool {
    let value =
        json::check(bytes, usize::MAX).ok().and_then(|()| serde_json::from_slice::<Value>(bytes).ok());
    value.is_some_and(|value| to_jcs(&value).is_ok_and(|canonical| canonical == bytes))
}

fn write_value(value: &Value, out: &mut String) -> Result<(), JsonError> {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => write_number(number, out)?,
        Value::String(text) => write_string(text, out),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_value(item, out)?;
            }
            out.push(']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by(|(left, _), (right, _)| left.encode_utf16().cmp(right.encode_utf16()));
            out.push('{');
            for (index, (name, member)) in members.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_string(name, out);
                out.push(':');
                write_value(member, out)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

fn write_string(text: &str, out: &mut String) {
    use std::fmt::Write;
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            control if control < ' ' => {
                write!(out, "\\u{:04x}", u32::from(control)).expect("writing to a string cannot fail");
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

fn write_number(number: &Number, out: &mut String) -> Result<(), JsonError> {
    if let Some(integer) = number.as_i64() {
        if integer.unsigned_abs() > MAX_SAFE_INTEGER {
            return Err(JsonError::UnsafeNumber);
        }
        out.push_str(&integer.to_string());
        return Ok(());
    }
    match number.as_f64() {
        Some(float) if float.is_finite() && !number.is_u64() && !is_unsafe_integer(float) => {
            write_float(float, out);
            Ok(())
        }
        _ => Err(JsonError::UnsafeNumber),
    }
}

/// Whether a float would be written as an integer beyond ±(2^53-1), which no reader here takes.
fn is_unsafe_integer(float: f64) -> bool {
    (MAX_SAFE_INTEGER as f64) < float.abs() && float.abs() < 1e21
}

/// ECMAScript's `Number::toString` (RFC 8785 section 3.2.2.3).
fn write_float(float: f64, out: &mut String) {
    if float == 0.0 {
        out.push('0');
        return;
    }
    if float < 0.0 {
        out.push('-');
    }
    let scientific = shortest(float.abs());
    let (mantissa, exponent) = scientific.split_once('e').expect("{:e} writes an exponent");
    let exponent: i32 = exponent.parse().expect("{:e} writes a decimal exponent");
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let count = i32::try_from(digits.len()).expect("a double has at most 17 digits");
    let zeros = |count: i32| "0".repeat(usize::try_from(count).expect("counts below are positive"));
    let point = exponent + 1;
    if count <= point && point <= 21 {
        out.push_str(&digits);
        out.push_str(&zeros(point - count));
    } else if 0 < point && point <= 21 {
        let (whole, fraction) = digits.split_at(usize::try_from(point).expect("positive"));
        out.push_str(whole);
        out.push('.');
        out.push_str(fraction);
    } else if -6 < point && point <= 0 {
        out.push_str("0.");
        out.push_str(&zeros(-point));
        out.push_str(&digits);
    } else {
        let (first, rest) = digits.split_at(1);
        out.push_str(first);
        if !rest.is_empty() {
            out.push('.');
            out.push_str(rest);
        }
        out.push_str(if exponent < 0 { "e-" } else { "e+" });
        out.push_str(&exponent.abs().to_string());
    }
}

/// The fewest digits that read back to the same double; among those, the closest to it, and even on a tie.
fn shortest(float: f64) -> String {
    let shortest = format!("{float:e}");
    let digits = shortest.bytes().take_while(|byte| *byte != b'e').filter(u8::is_ascii_digit).count();
    // `{:e}` does not promise the tie; the exact expansion rounded to as many digits does.
    let rounded = format!("{float:.*e}", digits - 1);
    if rounded.parse() == Ok(float) { rounded } else { shortest }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        let value: Value = serde_json::from_str(text).unwrap();
        String::from_utf8(to_jcs(&value).unwrap()).unwrap()
    }

    #[test]
    fn rfc_8785_section_3_2_2_sample() {
        let input = r#"{
            "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
            "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
            "literals": [null, true, false]
        }"#;
        let expected = "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\
                        \"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}";
        assert_eq!(canonical(input), expected);
    }

    #[test]
    fn rfc_8785_section_3_2_3_sorts_by_utf16_code_units() {
        let input = r#"{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh",
            "1":"One","\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}"#;
        let sorted = ["Carriage Return", "One", "Control", "Latin Small", "Euro Sign", "Emoji", "Hebrew"];
        let output = canonical(input);
        let places: Vec<_> = sorted.iter().map(|name| output.find(name).unwrap()).collect();
        assert!(places.is_sorted(), "{output}");
    }

    #[test]
    fn rfc_8785_appendix_b_numbers() {
        for (bits, expected) in [
            (0x0000_0000_0000_0000u64, "0"),
            (0x8000_0000_0000_0000, "0"),
            (0x0000_0000_0000_0001, "5e-324"),
            (0x8000_0000_0000_0001, "-5e-324"),
            (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
            (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
            (0x4340_0000_0000_0000, "9007199254740992"),
            (0xc340_0000_0000_0000, "-9007199254740992"),
            (0x4430_0000_0000_0000, "295147905179352830000"),
            (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
            (0x44b5_2d02_c7e1_4af6, "1e+23"),
            (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
            (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
            (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
            (0x444b_1ae4_d6e2_ef50, "1e+21"),
            (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
            (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
            (0x41b3_de43_5555_5553, "333333333.3333332"),
            (0x41b3_de43_5555_5554, "333333333.33333325"),
            (0x41b3_de43_5555_5555, "333333333.3333333"),
            (0x41b3_de43_5555_5556, "333333333.3333334"),
            (0x41b3_de43_5555_5557, "333333333.33333343"),
            (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
            (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
        ] {
            let mut out = String::new();
            write_float(f64::from_bits(bits), &mut out);
            assert_eq!(out, expected, "{bits:016x}");
        }
    }

    #[test]
    fn integers_that_would_be_rounded_are_refused() {
        for text in [
            "9007199254740992",
            "-9007199254740992",
            "18446744073709551615",
            "9007199254740992.0",
            "-4e17",
            "444444444444444444.4",
        ] {
            let value: Value = serde_json::from_str(text).unwrap();
            assert_eq!(to_jcs(&value), Err(JsonError::UnsafeNumber), "{text}");
        }
        assert_eq!(canonical("9007199254740991"), "9007199254740991");
        assert_eq!(canonical("9007199254740991.0"), "9007199254740991");
        assert_eq!(canonical("1e21"), "1e+21");
    }

    #[test]
    fn is_jcs_knows_other_spellings() {
        assert!(is_jcs(r#"{"a":[1,"桥"],"b":null}"#.as_bytes()));
        for other in [
            r#"{"b":null,"a":1}"#,
            r#"{"a": 1}"#,
            r#"{"a":"\u6865"}"#,
            r#"{"a":1.0}"#,
            r#"{"a":1,"a":1}"#,
            "{",
        ] {
            assert!(!is_jcs(other.as_bytes()), "{other}");
        }
    }
}
