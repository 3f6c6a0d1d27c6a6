//! Working days and deadlines. Which days are worked is decided each autumn for the year to come and sometimes
//! changed later, so it is data; outside the data there is no answer, only [`CalendarMissing`].

use crate::date::Date;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;

/// Working days of some years.
#[derive(Clone, Debug)]
pub struct Calendar {
    /// For each year, one bit per day of the year: worked or not.
    years: BTreeMap<u16, [u64; 6]>,
}

/// The calendar has no data for a year that the answer depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CalendarMissing {
    /// The first such year.
    pub year: u16,
}

/// Why a calendar file was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CalendarError(String);

impl Calendar {
    /// Reads a calendar file: for each year, `off` (days not worked) and `work` (weekend days worked) as
    /// `MM-DD`. Every other Saturday and Sunday is free and every other day worked.
    pub fn parse(toml: &str) -> Result<Calendar, CalendarError> {
        let file: File = toml::from_str(toml).map_err(|error| CalendarError(error.to_string()))?;
        let mut years = BTreeMap::new();
        for entry in file.year {
            if years.insert(entry.year, entry.days()?).is_some() {
                return Err(CalendarError(format!("the year {} stands twice; keep one", entry.year)));
            }
        }
        Ok(Calendar { years })
    }

    /// The calendar of the mainland that was compiled in.
    pub fn builtin() -> Calendar {
        Calendar::parse(CN).expect("a test reads the file")
    }

    /// Whether a day is worked.
    pub fn is_working_day(&self, day: Date) -> Result<bool, CalendarMissing> {
        let days = self.years.get(&day.year()).ok_or(CalendarMissing { year: day.year() })?;
        let place = day_of_year(day);
        Ok(days[place / 64] >> (place % 64) & 1 == 1)
    }

    /// The last day for something due within `working_days` of `from`. The day after `from` counts first
    /// (the day itself never does); the deadline is the end of the day returned. Zero gives `from`.
    pub fn deadline(&self, from: Date, working_days: u32) -> Result<Date, CalendarMissing> {
        let mut day = from;
        for _ in 0..working_days {
            loop {
                day = day.plus_days(1).ok_or(CalendarMissing { year: day.year() })?;
                if self.is_working_day(day)? {
                    break;
                }
            }
        }
        Ok(day)
    }

    /// First and last year with data, if there is any.
    pub fn span(&self) -> Option<(u16, u16)> {
        Some((*self.years.first_key_value()?.0, *self.years.last_key_value()?.0))
    }
}

const CN: &str = include_str!("../catalogue/calendar/cn.toml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "id")]
    _id: String,
    #[serde(rename = "title")]
    _title: BTreeMap<String, String>,
    #[serde(rename = "note", default)]
    _note: Option<String>,
    year: Vec<Year>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Year {
    year: u16,
    off: Vec<String>,
    work: Vec<String>,
}

impl Year {
    fn days(&self) -> Result<[u64; 6], CalendarError> {
        let new_year = Date::new(self.year, 1, 1)
            .ok_or_else(|| CalendarError(format!("{} is no year of the calendar", self.year)))?;
        let mut days = [0u64; 6];
        let mut day = new_year;
        while day.year() == self.year {
            if day.weekday() < 5 {
                set(&mut days, day, true);
            }
            match day.plus_days(1) {
                Some(next) => day = next,
                None => break,
            }
        }
        for text in &self.off {
            set(&mut days, self.day(text)?, false);
        }
        for text in &self.work {
            let day = self.day(text)?;
            if day.weekday() < 5 || self.off.contains(text) {
                let problem =
                    "is under `work` but is no weekend day or is also under `off`; correct one of them";
                return Err(CalendarError(format!("{}-{text} {problem}", self.year)));
            }
            set(&mut days, day, true);
        }
        Ok(days)
    }

    fn day(&self, text: &str) -> Result<Date, CalendarError> {
        let whole = format!("{:04}-{text}", self.year);
        let parsed = if text.len() == 5 { Date::parse_accepted(&whole).ok() } else { None };
        let problem = || CalendarError(format!("{whole} is no day; write days as MM-DD"));
        parsed.map(|(day, _)| day).ok_or_else(problem)
    }
}

fn set(days: &mut [u64; 6], day: Date, worked: bool) {
    let place = day_of_year(day);
    let bit = 1u64 << (place % 64);
    if worked {
        days[place / 64] |= bit;
    } else {
        days[place / 64] &= !bit;
    }
}

/// Day of the year, from zero.
fn day_of_year(day: Date) -> usize {
    let new_year = Date::new(day.year(), 1, 1).expect("every year of the calendar has a first day");
    usize::try_from(day.to_days() - new_year.to_days()).expect("a day is not before its year")
}

impl CalendarMissing {
    /// Stable code of the problem.
    pub const CODE: &str = "calendar.missing";

    /// What is missing and what to do, in English and Chinese.
    pub fn text(self) -> (String, String) {
        (
            format!(
                "the working-day calendar has no data for {}; add the year's holiday notice to it",
                self.year
            ),
            format!("工作日历缺少 {} 年数据，请按当年放假通知补充日历文件", self.year),
        )
    }
}

impl fmt::Display for CalendarMissing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text().0)
    }
}

impl std::error::Error for CalendarMissing {}

impl fmt::Display for CalendarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CalendarError {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cn() -> Calendar {
        Calendar::builtin()
    }

    fn date(text: &str) -> Date {
        Date::parse_accepted(text).unwrap().0
    }

    #[test]
    fn worked_cases() {
        let calendar = cn();
        for (decided, deadline) in [
            ("2018-07-20", "2018-07-31"),
            ("2018-02-09", "2018-02-24"),
            ("2018-09-28", "2018-10-12"),
            ("2026-02-13", "2026-03-02"),
            ("2026-09-30", "2026-10-15"),
            ("2026-11-20", "2026-12-01"),
            ("2017-04-30", "2017-05-10"),
        ] {
            assert_eq!(calendar.deadline(date(decided), 7), Ok(date(deadline)), "{decided}");
        }
        assert_eq!(calendar.deadline(date("2026-12-24"), 7), Err(CalendarMissing { year: 2027 }));
    }

    #[test]
    fn make_up_days_are_worked_and_holidays_are_not() {
        let calendar = cn();
        for day in ["2017-01-22", "2018-12-29", "2025-10-11", "2026-01-04", "2026-02-28", "2026-09-20"] {
            assert_eq!(calendar.is_working_day(date(day)), Ok(true), "{day}");
        }
        for day in ["2026-01-02", "2026-02-23", "2026-04-06", "2026-06-19", "2026-10-07", "2026-11-21"] {
            assert_eq!(calendar.is_working_day(date(day)), Ok(false), "{day}");
        }
    }

    #[test]
    fn outside_the_data_there_is_no_answer() {
        let calendar = cn();
        assert_eq!(calendar.span(), Some((2004, 2026)));
        assert_eq!(calendar.is_working_day(date("2003-12-31")), Err(CalendarMissing { year: 2003 }));
        assert_eq!(calendar.deadline(date("2027-01-01"), 1), Err(CalendarMissing { year: 2027 }));
        assert_eq!(calendar.deadline(date("2003-12-31"), 1).map(Date::year), Ok(2004));
        assert_eq!(calendar.deadline(date("9999-12-31"), 1), Err(CalendarMissing { year: 9999 }));
    }

    #[test]
    fn a_faulty_file_is_not_taken() {
        let file =
            |year: &str| format!("id = \"x\"\ntitle = {{ en = \"x\", zh = \"x\" }}\n[[year]]\n{year}\n");
        for year in [
            "year = 2026\noff = [\"02-30\"]\nwork = []",
            "year = 2026\noff = [\"2-3\"]\nwork = []",
            "year = 2026\noff = []\nwork = [\"01-05\"]",
            "year = 2026\noff = [\"01-04\"]\nwork = [\"01-04\"]",
            "year = 0\noff = []\nwork = []",
            "year = 2026\noff = []\nwork = []\nextra = 1",
            "year = 2026\noff = []\nwork = []\n[[year]]\nyear = 2026\noff = []\nwork = []",
        ] {
            assert!(Calendar::parse(&file(year)).is_err(), "{year}");
        }
        assert!(Calendar::parse(&file("year = 2026\noff = []\nwork = [\"01-04\"]")).is_ok());
    }

    proptest! {
        #[test]
        fn a_deadline_leaves_exactly_the_working_days_between(start in 12_418i32..20_600, working in 0u32..30) {
            let calendar = cn();
            let from = Date::from_days(start).unwrap();
            let last = calendar.deadline(from, working).unwrap();
            let worked = (start + 1..=last.to_days())
                .filter(|day| calendar.is_working_day(Date::from_days(*day).unwrap()).unwrap())
                .count();
            prop_assert_eq!(worked, working as usize);
            prop_assert!(working == 0 || calendar.is_working_day(last).unwrap());
        }
    }
}
