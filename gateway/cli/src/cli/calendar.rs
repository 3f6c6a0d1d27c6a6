//! `calendar`: when a decision must be published.

use super::Failure;
use crate::console::say;
use clap::Subcommand;
use xinqiao_schemas::Date;

#[derive(Subcommand)]
pub(crate) enum Calendar {
    /// The last day of a term of working days; the day after the decision is the first (期限)
    Deadline {
        /// Day of the decision, 2026-02-13
        date: String,
        /// Working days
        #[arg(long, default_value_t = 7)]
        working_days: u32,
    },
}

impl Calendar {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let Calendar::Deadline { date, working_days } = self;
        let (day, _) = Date::parse_accepted(&date).map_err(|_| {
            Failure::Usage("the date is not of the form 2026-02-13 日期格式应如 2026-02-13".into())
        })?;
        let calendar = xinqiao_schemas::calendar::Calendar::builtin();
        let end = calendar.deadline(day, working_days).map_err(|e| Failure::Failed(e.to_string()))?;
        let mut text = Vec::new();
        end.write_hyphen(&mut text);
        say(String::from_utf8_lossy(&text));
        Ok(())
    }
}
