//! Points in time as evidence carries them: RFC 3339 in UTC, ending in `Z`, with up to nine decimals of a second
//! and no leap seconds, which not every reader knows. This crate has no clock; it only parses times and orders them.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

/// A well-formed UTC time, kept as its text. Ordered by time.
#[derive(Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Timestamp(String);

impl Timestamp {
    /// Reads `2026-11-21T08:00:00Z` or `2026-11-21T08:00:00.123Z`.
    pub fn parse(text: &str) -> Option<Self> {
        is_timestamp(text).then(|| Self(text.to_owned()))
    }

    /// Whole seconds since 1970-01-01T00:00:00Z. What lies beyond the years 1970 to 9999 becomes the nearest time within.
    pub fn of_unix(seconds: i64) -> Self {
        let seconds = seconds.clamp(0, LAST);
        let (days, rest) = (seconds / 86_400, seconds % 86_400);
        // Years that begin in March have their leap day at the end (Howard Hinnant's days-to-civil).
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
        Self(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"))
    }

    /// The text as it came.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn sort_key(&self) -> (&str, &str) {
        let (seconds, rest) = self.0.split_at(SECONDS);
        (seconds, rest.trim_start_matches('.').trim_end_matches('Z').trim_end_matches('0'))
    }
}

/// 9999-12-31T23:59:59Z.
const LAST: i64 = 253_402_300_799;

/// `2026-11-21T08:00:00`.
const SECONDS: usize = 19;

/// Whether `text` is a time as [`Timestamp`] wants it, without keeping it.
pub fn is_timestamp(text: &str) -> bool {
    let bytes = text.as_bytes();
    let Some(rest) = bytes.get(SECONDS..) else { return false };
    for (index, byte) in bytes[..SECONDS].iter().enumerate() {
        let fits = match index {
            4 | 7 => *byte == b'-',
            10 => *byte == b'T',
            13 | 16 => *byte == b':',
            _ => byte.is_ascii_digit(),
        };
        if !fits {
            return false;
        }
    }
    let number = |from: usize, to: usize| {
        bytes[from..to].iter().fold(0u32, |sum, digit| sum * 10 + u32::from(digit - b'0'))
    };
    let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
    let fraction_fits = match rest {
        [b'Z'] => true,
        [b'.', digits @ .., b'Z'] => (1..=9).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    fraction_fits
        && (1..=12).contains(&month)
        && (1..=days_in(year, month)).contains(&day)
        && number(11, 13) < 24
        && number(14, 16) < 60
        && number(17, 19) < 60
}

fn days_in(year: u32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 31,
    }
}

impl PartialOrd for Timestamp {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timestamp {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // `.5Z` and `.50Z` are one time in two texts; the text settles the tie so that Eq and Ord agree.
        self.sort_key().cmp(&other.sort_key()).then_with(|| self.0.cmp(&other.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if is_timestamp(&text) {
            Ok(Self(text))
        } else {
            Err(D::Error::custom("not an RFC 3339 time in UTC"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_written_as_the_calendar_has_them() {
        for (seconds, text) in [
            (i64::MIN, "1970-01-01T00:00:00Z"),
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_248_000, "2026-11-21T08:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (i64::MAX, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(Timestamp::of_unix(seconds).as_str(), text);
            assert!(is_timestamp(text));
        }
    }

    #[test]
    fn only_utc_times_of_the_calendar_pass() {
        for right in ["2026-11-21T08:00:00Z", "2024-02-29T23:59:59Z", "2026-01-01T00:00:00.123456789Z"] {
            assert!(is_timestamp(right), "{right}");
        }
        for wrong in [
            "",
            "Z",
            "2026-11-21",
            "2026-11-21T08:00:00",
            "2026-11-21T08:00:00+08:00",
            "2026-11-21 08:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "2026-11-21T24:00:00Z",
            "2026-11-21T08:00:00.Z",
            "2026-11-21T08:00:00.1234567890Z",
            "2026-11-21t08:00:00z",
            "2016-12-31T23:59:60Z",
            "二〇二六年十一月",
        ] {
            assert!(!is_timestamp(wrong), "{wrong}");
        }
    }

    #[test]
    fn fractions_order_by_time() {
        let times = [
            "2026-11-21T08:00:00Z",
            "2026-11-21T08:00:00.09Z",
            "2026-11-21T08:00:00.5Z",
            "2026-11-21T08:00:01Z",
        ];
        let parsed: Vec<_> = times.iter().map(|text| Timestamp::parse(text).unwrap()).collect();
        assert!(parsed.is_sorted());
    }
}
