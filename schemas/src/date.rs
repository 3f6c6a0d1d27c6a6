//! Business dates: a day of the Gregorian calendar, no time of day, no time zone.
//!
//! Records write dates as text in several spellings; this module turns each accepted spelling into one
//! [`Date`] and refuses what only looks like a date. Whatever the host's clock is set to, "today" in
//! this trade is the day in +08:00 ([`Date::business_day`]).

use std::fmt;

/// A day of the Gregorian calendar from 0001-01-01 to 9999-12-31.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    year: u16,
    month: u8,
    day: u8,
}

/// How an accepted date was written. Everything but [`Spelling::Slash`] is a spelling to be normalised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Spelling {
    /// `2018/07/20`: the form templates ask for, written out again as it came.
    Slash,
    /// `2018/7/20`: slashes, but a month or day of one digit.
    ShortSlash,
    /// `2018-07-20` or `2018-7-20`.
    Hyphen,
    /// `2018.07.20` or `2018.7.20`.
    Dot,
    /// `20180720`.
    Compact,
    /// `长期`: no end date, stored as 2099/12/31.
    LongTerm,
}

/// Why a text is not an accepted date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DateError {
    /// Nothing was given.
    Empty,
    /// Not one of the accepted spellings.
    Spelling,
    /// Two different separators, such as `2018-07/20`.
    MixedSeparators,
    /// Written like a date, but there is no such day (`2018/13/45`).
    NoSuchDay,
}

/// The day that stands for 长期 (no end).
pub const LONG_TERM: Date = Date { year: 2099, month: 12, day: 31 };

impl Date {
    /// The day, if there is one: years 1 to 9999, months 1 to 12, days as the month has them.
    pub const fn new(year: u16, month: u8, day: u8) -> Option<Date> {
        if year == 0 || year > 9999 || day == 0 || day > days_in_month(year, month) {
            return None;
        }
        Some(Date { year, month, day })
    }

    /// Reads any accepted spelling and says which it was.
    pub fn parse_accepted(text: &str) -> Result<(Date, Spelling), DateError> {
        let bytes = text.as_bytes();
        match bytes.len() {
            0 => Err(DateError::Empty),
            8 if bytes.iter().all(u8::is_ascii_digit) => {
                let (year, month, day) = (number(&bytes[..4]), number(&bytes[4..6]), number(&bytes[6..]));
                Date::checked(year, month, day).map(|date| (date, Spelling::Compact))
            }
            6 if text == "长期" => Ok((LONG_TERM, Spelling::LongTerm)),
            8..=10 => separated(bytes),
            _ => Err(DateError::Spelling),
        }
    }

    /// The day in Asia/Shanghai (+08:00, no daylight saving) at a moment in Unix seconds. Moments outside
    /// the years 1 to 9999 give the nearest representable day.
    pub fn business_day(unix_seconds: i64) -> Date {
        let days = unix_seconds.saturating_add(8 * 3600).div_euclid(86_400);
        let days = days.clamp(i64::from(MIN_DAYS), i64::from(MAX_DAYS));
        Date::from_days(i32::try_from(days).expect("clamped to the calendar's range"))
            .expect("clamped to the calendar's range")
    }

    /// The day so many days after 1970-01-01 (before it, if negative).
    pub fn from_days(days: i32) -> Option<Date> {
        if !(MIN_DAYS..=MAX_DAYS).contains(&days) {
            return None;
        }
        // Years run from March here, so that the leap day is the last of a year (H. Hinnant's method).
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let of_era = shifted.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        let year = year_of_era + era * 400 + i32::from(month <= 2);
        Date::new(u16::try_from(year).ok()?, u8::try_from(month).ok()?, u8::try_from(day).ok()?)
    }

    /// Days since 1970-01-01 (negative before it).
    pub fn to_days(self) -> i32 {
        let year = i32::from(self.year) - i32::from(self.month <= 2);
        let from_march = (i32::from(self.month) + 9) % 12;
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let of_year = (153 * from_march + 2) / 5 + i32::from(self.day) - 1;
        era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year - 719_468
    }

    /// The day `days` later (earlier, if negative), if the calendar reaches that far.
    pub fn plus_days(self, days: i32) -> Option<Date> {
        Date::from_days(self.to_days().checked_add(days)?)
    }

    /// The same day `months` later; where that month is shorter, its last day.
    pub fn plus_months(self, months: u16) -> Option<Date> {
        let months = u32::from(self.year) * 12 + u32::from(self.month) - 1 + u32::from(months);
        let year = u16::try_from(months / 12).ok().filter(|year| *year <= 9999)?;
        let month = u8::try_from(months % 12 + 1).expect("a remainder of 12 plus one");
        Date::new(year, month, self.day.min(days_in_month(year, month)))
    }

    /// The year, 1 to 9999.
    pub const fn year(self) -> u16 {
        self.year
    }

    /// The month, 1 to 12.
    pub const fn month(self) -> u8 {
        self.month
    }

    /// The day of the month, 1 to 31.
    pub const fn day(self) -> u8 {
        self.day
    }

    /// Day of the week, Monday = 0 to Sunday = 6.
    pub fn weekday(self) -> u8 {
        u8::try_from((self.to_days() + 3).rem_euclid(7)).expect("a remainder of 7")
    }

    /// Writes `2018/07/20`, the form the templates ask for.
    pub fn write_slash(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.digits(b'/'));
    }

    /// Writes `2018-07-20` (ISO 8601).
    pub fn write_hyphen(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.digits(b'-'));
    }

    fn digits(&self, separator: u8) -> [u8; 10] {
        let digit = |value: u16| b'0' + u8::try_from(value % 10).expect("a remainder of 10");
        let (year, month, day) = (self.year, u16::from(self.month), u16::from(self.day));
        [
            digit(year / 1000),
            digit(year / 100),
            digit(year / 10),
            digit(year),
            separator,
            digit(month / 10),
            digit(month),
            separator,
            digit(day / 10),
            digit(day),
        ]
    }

    fn checked(year: u16, month: u16, day: u16) -> Result<Date, DateError> {
        let narrow = |value: u16| u8::try_from(value).map_err(|_| DateError::NoSuchDay);
        Date::new(year, narrow(month)?, narrow(day)?).ok_or(DateError::NoSuchDay)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

/// A birth date can be a date too, so debugging output shows the year only.
impl fmt::Debug for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Date({:04}-..)", self.year)
    }
}

impl DateError {
    /// Stable code of the problem.
    pub const fn code(self) -> &'static str {
        match self {
            DateError::Empty => "date.empty",
            DateError::Spelling => "date.spelling",
            DateError::MixedSeparators => "date.mixed-separators",
            DateError::NoSuchDay => "date.no-such-day",
        }
    }

    /// What is wrong and what to do, in English and Chinese.
    pub const fn text(self) -> (&'static str, &'static str) {
        match self {
            DateError::Empty => {
                ("no date is given; write it as 2018/07/20", "日期为空，请按 2018/07/20 的格式填写")
            }
            DateError::Spelling => (
                "not a date in an accepted spelling; write it as 2018/07/20",
                "日期写法无法识别，请按 2018/07/20 的格式填写",
            ),
            DateError::MixedSeparators => (
                "the date mixes two separators; write it as 2018/07/20",
                "日期混用了两种分隔符，请按 2018/07/20 的格式填写",
            ),
            DateError::NoSuchDay => (
                "there is no such day in the calendar; check month and day",
                "日历中没有这一天，请核对月份和日期",
            ),
        }
    }
}

impl fmt::Display for DateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text().0)
    }
}

impl std::error::Error for DateError {}

const MIN_DAYS: i32 = -719_162;
const MAX_DAYS: i32 = 2_932_896;

const fn days_in_month(year: u16, month: u8) -> u8 {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400) => 29,
        2 => 28,
        _ => 0,
    }
}

fn separated(bytes: &[u8]) -> Result<(Date, Spelling), DateError> {
    if !bytes[..4].iter().all(u8::is_ascii_digit) {
        return Err(DateError::Spelling);
    }
    let separator = bytes[4];
    let spelling = match separator {
        b'/' => Spelling::Slash,
        b'-' => Spelling::Hyphen,
        b'.' => Spelling::Dot,
        _ => return Err(DateError::Spelling),
    };
    let rest = &bytes[5..];
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (month, tail) = rest.split_at(digits);
    let Some((second, day)) = tail.split_first() else { return Err(DateError::Spelling) };
    let part = |digits: &[u8]| matches!(digits.len(), 1 | 2) && digits.iter().all(u8::is_ascii_digit);
    if !part(month) || !part(day) {
        return Err(DateError::Spelling);
    }
    if *second != separator {
        let known = matches!(second, b'/' | b'-' | b'.');
        return Err(if known { DateError::MixedSeparators } else { DateError::Spelling });
    }
    let date = Date::checked(number(&bytes[..4]), number(month), number(day))?;
    let spelling =
        if spelling == Spelling::Slash && bytes.len() < 10 { Spelling::ShortSlash } else { spelling };
    Ok((date, spelling))
}

/// The value of at most four ASCII digits.
fn number(digits: &[u8]) -> u16 {
    digits.iter().fold(0, |value, digit| value * 10 + u16::from(digit - b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn date(year: u16, month: u8, day: u8) -> Date {
        Date::new(year, month, day).unwrap()
    }

    #[test]
    fn accepted_spellings_name_the_same_day() {
        for (text, spelling) in [
            ("2018/07/20", Spelling::Slash),
            ("2018/7/20", Spelling::ShortSlash),
            ("2018-07-20", Spelling::Hyphen),
            ("2018-7-20", Spelling::Hyphen),
            ("2018.07.20", Spelling::Dot),
            ("20180720", Spelling::Compact),
        ] {
            assert_eq!(Date::parse_accepted(text), Ok((date(2018, 7, 20), spelling)), "{text}");
        }
        assert_eq!(Date::parse_accepted("长期"), Ok((date(2099, 12, 31), Spelling::LongTerm)));
        assert_eq!(Date::parse_accepted("2024/2/29").map(|(day, _)| day), Ok(date(2024, 2, 29)));
    }

    #[test]
    fn refused_spellings_say_why() {
        for (text, error) in [
            ("", DateError::Empty),
            ("2018/13/45", DateError::NoSuchDay),
            ("2023/02/29", DateError::NoSuchDay),
            ("1900-02-29", DateError::NoSuchDay),
            ("20180732", DateError::NoSuchDay),
            ("0000/01/01", DateError::NoSuchDay),
            ("2018-07/20", DateError::MixedSeparators),
            ("2018/07.20", DateError::MixedSeparators),
            ("2018/07", DateError::Spelling),
            ("2018/07/20 ", DateError::Spelling),
            ("2018年7月", DateError::Spelling),
            ("18/07/2018", DateError::Spelling),
            ("2018//0720", DateError::Spelling),
            ("2018/+7/20", DateError::Spelling),
            ("2018/7/20Z", DateError::Spelling),
            ("２０１８", DateError::Spelling),
            ("null", DateError::Spelling),
        ] {
            assert_eq!(Date::parse_accepted(text), Err(error), "{text}");
        }
    }

    #[test]
    fn the_business_day_begins_at_sixteen_utc() {
        assert_eq!(Date::business_day(0), date(1970, 1, 1));
        let noon_utc = 1_795_262_400; // 2026-11-21T12:00:00Z
        assert_eq!(Date::business_day(noon_utc), date(2026, 11, 21));
        assert_eq!(Date::business_day(noon_utc + 4 * 3600 - 1), date(2026, 11, 21));
        assert_eq!(Date::business_day(noon_utc + 4 * 3600), date(2026, 11, 22));
        assert_eq!(Date::business_day(i64::MIN), date(1, 1, 1));
        assert_eq!(Date::business_day(i64::MAX), date(9999, 12, 31));
    }

    #[test]
    fn the_ends_of_the_calendar_hold() {
        assert_eq!(date(1, 1, 1).to_days(), MIN_DAYS);
        assert_eq!(date(9999, 12, 31).to_days(), MAX_DAYS);
        assert_eq!(Date::from_days(MIN_DAYS - 1), None);
        assert_eq!(Date::from_days(MAX_DAYS + 1), None);
        assert_eq!(date(2018, 7, 20).weekday(), 4);
        assert_eq!(date(2026, 11, 30).plus_months(3), Date::new(2027, 2, 28));
        assert_eq!(date(9999, 12, 1).plus_months(1), None);
    }

    #[test]
    fn debug_output_never_shows_a_full_birth_date() {
        assert_eq!(format!("{:?}", date(1990, 1, 2)), "Date(1990-..)");
    }

    proptest! {
        #[test]
        fn days_and_dates_are_one_to_one(days in MIN_DAYS..=MAX_DAYS) {
            let day = Date::from_days(days).unwrap();
            prop_assert_eq!(day.to_days(), days);
            if let Some(next) = Date::from_days(days + 1) {
                prop_assert!(next > day);
                prop_assert_eq!(next.weekday(), (day.weekday() + 1) % 7);
            }
        }

        #[test]
        fn what_is_written_reads_back(days in MIN_DAYS..=MAX_DAYS) {
            let day = Date::from_days(days).unwrap();
            let mut slash = Vec::new();
            day.write_slash(&mut slash);
            let slash = String::from_utf8(slash).unwrap();
            prop_assert_eq!(Date::parse_accepted(&slash), Ok((day, Spelling::Slash)));
            let mut hyphen = Vec::new();
            day.write_hyphen(&mut hyphen);
            prop_assert_eq!(String::from_utf8(hyphen).unwrap(), day.to_string());
        }

        #[test]
        fn any_text_is_read_without_panic(text in "\\PC{0,14}|[0-9/.-]{0,11}") {
            if let Ok((day, Spelling::Slash)) = Date::parse_accepted(&text) {
                prop_assert_eq!(day.to_string().replace('-', "/"), text);
            }
        }
    }
}
