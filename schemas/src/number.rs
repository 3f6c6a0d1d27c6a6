//! Decimal numbers as text: amounts keep every digit, so no floating point is ever involved.

use std::borrow::Cow;
use std::fmt;

/// Why a text is not the number it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NumberError {
    /// Nothing was given.
    Empty,
    /// Not a plain decimal: letters, an exponent, a unit, two points, full-width digits.
    Character,
    /// Digits grouped by commas or spaces, such as `2,000`.
    Grouping,
    /// A negative number where none may stand.
    Negative,
    /// More digits before the point than the field holds.
    TooLarge,
    /// More digits after the point than the field holds.
    TooPrecise,
}

/// Checks a decimal for a field of `precision` digits, `scale` of them after the point, and gives its
/// normal form: no plus sign, no needless zero (`0200.50` is `200.5`). Borrowed means that it already was
/// normal. Needless zeros do not count as digits.
pub fn check(text: &str, precision: u32, scale: u32) -> Result<Cow<'_, str>, NumberError> {
    let parts = Parts::of(text)?;
    if parts.fraction.len() > scale as usize {
        return Err(NumberError::TooPrecise);
    }
    if parts.whole.len() > precision.saturating_sub(scale) as usize {
        return Err(NumberError::TooLarge);
    }
    Ok(parts.normal(text))
}

/// As [`check`], for amounts and counts: a number below zero is refused.
pub fn check_not_negative(text: &str, precision: u32, scale: u32) -> Result<Cow<'_, str>, NumberError> {
    let normal = check(text, precision, scale)?;
    if normal.starts_with('-') { Err(NumberError::Negative) } else { Ok(normal) }
}

/// The number times ten to the power of `by`, exactly, in normal form: `shift_point("2000", -4)` turns
/// yuan into 万元 and gives `0.2`.
pub fn shift_point(text: &str, by: i8) -> Result<String, NumberError> {
    let parts = Parts::of(text)?;
    let mut digits = format!("{}{}", parts.whole, parts.fraction);
    let mut point = i32::try_from(parts.whole.len()).map_err(|_| NumberError::TooLarge)? + i32::from(by);
    while point < 0 {
        digits.insert(0, '0');
        point += 1;
    }
    let mut point = usize::try_from(point).expect("raised to zero just now");
    while digits.len() < point {
        digits.push('0');
    }
    let leading = digits[..point].bytes().take_while(|digit| *digit == b'0').count();
    digits.drain(..leading);
    point -= leading;
    let (whole, fraction) = digits.split_at(point);
    let shifted = Parts { negative: parts.negative, whole, fraction: fraction.trim_end_matches('0') };
    Ok(shifted.text())
}

/// Compares two decimals by value.
pub fn compare(left: &str, right: &str) -> Result<std::cmp::Ordering, NumberError> {
    let (left, right) = (Parts::of(left)?, Parts::of(right)?);
    let size = left
        .whole
        .len()
        .cmp(&right.whole.len())
        .then_with(|| left.whole.cmp(right.whole))
        .then_with(|| left.fraction.cmp(right.fraction));
    Ok(match (left.negative, right.negative) {
        (false, false) => size,
        (true, true) => size.reverse(),
        (true, false) => std::cmp::Ordering::Less,
        (false, true) => std::cmp::Ordering::Greater,
    })
}

/// A decimal without needless zeros; zero itself has neither whole digits nor a fraction nor a sign.
struct Parts<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Result<Parts<'a>, NumberError> {
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        if unsigned.is_empty() {
            return Err(if text.is_empty() { NumberError::Empty } else { NumberError::Character });
        }
        let (whole, fraction) = match unsigned.split_once('.') {
            Some((_, "")) => return Err(NumberError::Character),
            Some(parts) => parts,
            None => (unsigned, ""),
        };
        if whole.is_empty() {
            return Err(NumberError::Character);
        }
        for byte in whole.bytes().chain(fraction.bytes()) {
            if !byte.is_ascii_digit() {
                return Err(if matches!(byte, b',' | b' ') && grouped(whole) {
                    NumberError::Grouping
                } else {
                    NumberError::Character
                });
            }
        }
        let whole = whole.trim_start_matches('0');
        let fraction = fraction.trim_end_matches('0');
        let zero = whole.is_empty() && fraction.is_empty();
        Ok(Parts { negative: text.starts_with('-') && !zero, whole, fraction })
    }

    fn normal(&self, text: &'a str) -> Cow<'a, str> {
        let whole = self.whole.len().max(1);
        let point = if self.fraction.is_empty() { 0 } else { 1 + self.fraction.len() };
        if text.len() == whole + point + usize::from(self.negative) && !text.starts_with('+') {
            return Cow::Borrowed(text);
        }
        Cow::Owned(self.text())
    }

    fn text(&self) -> String {
        let sign = if self.negative { "-" } else { "" };
        let whole = if self.whole.is_empty() { "0" } else { self.whole };
        match self.fraction {
            "" => format!("{sign}{whole}"),
            fraction => format!("{sign}{whole}.{fraction}"),
        }
    }
}

fn grouped(whole: &str) -> bool {
    let mut groups = whole.split([',', ' ']);
    let first = groups.next().unwrap_or("");
    let digits = |group: &str| group.bytes().all(|byte| byte.is_ascii_digit());
    (1..=3).contains(&first.len()) && digits(first) && groups.all(|group| group.len() == 3 && digits(group))
}

impl NumberError {
    /// Stable code of the problem.
    pub const fn code(self) -> &'static str {
        match self {
            NumberError::Empty => "number.empty",
            NumberError::Character => "number.character",
            NumberError::Grouping => "number.grouping",
            NumberError::Negative => "number.negative",
            NumberError::TooLarge => "number.too-large",
            NumberError::TooPrecise => "number.too-precise",
        }
    }

    /// What is wrong and what to do, in English and Chinese.
    pub const fn text(self) -> (&'static str, &'static str) {
        match self {
            NumberError::Empty => ("no number is given; fill it in", "数值为空，请填写"),
            NumberError::Character => (
                "not a plain decimal number; use digits and at most one point, without units",
                "不是十进制数，请只填数字和至多一个小数点，不要带单位",
            ),
            NumberError::Grouping => (
                "the digits are grouped; leave out commas and spaces",
                "数值中有千分位分隔，请去掉逗号和空格",
            ),
            NumberError::Negative => ("the number is negative; check it", "数值为负，请核对"),
            NumberError::TooLarge => (
                "more digits before the point than the field holds; check number and unit",
                "整数位超长，请核对数值和单位",
            ),
            NumberError::TooPrecise => (
                "more digits after the point than the field holds; check number and unit",
                "小数位超长，请核对数值和单位",
            ),
        }
    }
}

impl fmt::Display for NumberError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text().0)
    }
}

impl std::error::Error for NumberError {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cmp::Ordering;

    #[test]
    fn normal_forms() {
        for (text, normal) in [
            ("0.2", "0.2"),
            ("2000", "2000"),
            ("0", "0"),
            ("-0.00", "0"),
            ("+5", "5"),
            ("007.500", "7.5"),
            ("-1.50", "-1.5"),
            ("123456789012.123456", "123456789012.123456"),
            ("000123456789012.1234560000", "123456789012.123456"),
        ] {
            assert_eq!(check(text, 18, 6).as_deref(), Ok(normal), "{text}");
            assert_eq!(matches!(check(text, 18, 6), Ok(Cow::Borrowed(_))), text == normal, "{text}");
        }
    }

    #[test]
    fn refused_numbers_say_why() {
        for (text, error) in [
            ("", NumberError::Empty),
            ("-", NumberError::Character),
            (".5", NumberError::Character),
            ("5.", NumberError::Character),
            ("1.2.3", NumberError::Character),
            ("1e3", NumberError::Character),
            ("２０", NumberError::Character),
            ("2000元", NumberError::Character),
            ("NaN", NumberError::Character),
            ("2,000", NumberError::Grouping),
            ("12 000.5", NumberError::Grouping),
            ("2,00", NumberError::Character),
            ("1234567890123", NumberError::TooLarge),
            ("0.1234567", NumberError::TooPrecise),
        ] {
            assert_eq!(check(text, 18, 6), Err(error), "{text}");
        }
        assert_eq!(check_not_negative("-1", 18, 6), Err(NumberError::Negative));
        assert_eq!(check_not_negative("-0", 18, 6).as_deref(), Ok("0"));
    }

    #[test]
    fn yuan_become_ten_thousands_exactly() {
        for (yuan, shifted) in [
            ("2000", "0.2"),
            ("1", "0.0001"),
            ("0.01", "0.000001"),
            ("10000", "1"),
            ("123456.78", "12.345678"),
            ("0", "0"),
            ("-50000", "-5"),
        ] {
            assert_eq!(shift_point(yuan, -4).as_deref(), Ok(shifted), "{yuan}");
            assert_eq!(shift_point(shifted, 4).as_deref(), check(yuan, 30, 10).as_deref(), "{yuan}");
        }
    }

    proptest! {
        #[test]
        fn values_survive_normalising_and_shifting(value in -10_000_000_000i64..10_000_000_000, scale in 0usize..7) {
            let plain = |value: i64, scale: usize| {
                let sign = if value < 0 { "-" } else { "" };
                let power = 10i64.pow(u32::try_from(scale).unwrap());
                if scale == 0 { value.to_string() } else { format!("{sign}{}.{:0scale$}", value.abs() / power, value.abs() % power) }
            };
            let text = plain(value, scale);
            let normal = check(&text, 30, 10).unwrap().into_owned();
            prop_assert_eq!(compare(&text, &normal), Ok(Ordering::Equal));
            prop_assert!(matches!(check(&normal, 30, 10), Ok(Cow::Borrowed(_))));
            let by = i8::try_from(scale).unwrap();
            let (shifted, whole) = (shift_point(&text, by).unwrap(), value.to_string());
            prop_assert_eq!(shifted, whole);
        }

        #[test]
        fn order_is_the_order_of_values(left in -100_000i64..100_000, right in -100_000i64..100_000) {
            let text = |value: i64| shift_point(&value.to_string(), -3).unwrap();
            prop_assert_eq!(compare(&text(left), &text(right)), Ok(left.cmp(&right)));
        }

        #[test]
        fn any_text_is_read_without_panic(text in "\\PC{0,16}|[-+0-9., ]{0,16}", by in -20i8..20) {
            let _ = (check(&text, 18, 6), shift_point(&text, by), compare(&text, "1"));
        }
    }
}
