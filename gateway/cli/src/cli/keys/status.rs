//! `keys status`: a table of all keys.

use super::{Failure, Where};
use crate::console::{self, say};
use clap::Args;
use xinqiao_node::keyring::{KeyView, Keyring};
use xinqiao_runtime::clock::Clock;

#[derive(Args)]
pub(crate) struct Status {
    #[command(flatten)]
    place: Where,
    /// One JSON object per key
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(super) fn run(self) -> Result<(), Failure> {
        let (dir, settings) = self.place.find()?;
        let keys = Keyring::open(&dir, &settings)?.view(Clock::default().now());
        if self.json {
            keys.iter().for_each(|key| console::json(&serde_json::json!(key)));
            return Ok(());
        }
        say(row(["use 用途", "state 状态", "age 天", "left 剩余", "where 位置", "kid 密钥编号"]));
        keys.iter().for_each(|key| say(line(key)));
        Ok(())
    }
}

fn line(key: &KeyView) -> String {
    let left = key.days_left.map_or("-".to_owned(), |days| days.to_string());
    let age = key.age_days.to_string();
    row([key.kind.as_str(), key.state.as_str(), &age, &left, key.place.as_str(), &key.kid])
}

fn row([kind, state, age, left, place, kid]: [&str; 6]) -> String {
    format!("{kind:<16} {state:<10} {age:>6} {left:>8}  {place:<10} {kid}")
}
