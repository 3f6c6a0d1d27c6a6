//! `certs status`: every certificate, list and anchor of a node's configuration, with days left.

use super::day;
use crate::cli::Failure;
use crate::console::{json, say};
use clap::Args;
use serde::Serialize;
use std::path::{Path, PathBuf};
use xinqiao_certs::{Details, Identity, RenewalPlan, RevocationList, State, UnixTime};
use xinqiao_explain::Explanation;
use xinqiao_node::config::Config;

#[derive(Args)]
pub(crate) struct Status {
    /// The node's configuration file (配置文件)
    #[arg(long)]
    config: PathBuf,
    /// One JSON object for each line of the table (JSON 输出)
    #[arg(long)]
    json: bool,
}

/// One line of the table.
#[derive(Serialize)]
struct Row {
    /// The configuration key.
    place: String,
    file: String,
    subject: String,
    issuer: String,
    not_after: Option<u64>,
    days_left: Option<i64>,
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Explanation>,
}

impl Status {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let config = Config::load(&self.config).map_err(|e| Failure::Failed(e.to_string()))?;
        let rows = rows(&config, UnixTime::now());
        if self.json {
            rows.iter().for_each(json);
        } else {
            table(&rows);
        }
        let bad = rows.iter().filter(|row| row.state >= State::Urgent).count();
        match bad {
            0 => Ok(()),
            n => Err(Failure::Failed(format!(
                "{n} urgent or expired; renew: xinqiao certs renew, or certs request and certs install\n{n} 项紧急或已过期，请更新"
            ))),
        }
    }
}

fn rows(config: &Config, now: UnixTime) -> Vec<Row> {
    let mut rows = Vec::new();
    let secret = config.exchange.key_passphrase_file.as_deref();
    let own = [("exchange.certificate".to_owned(), &config.exchange.certificate, Some(&config.exchange.key))];
    let upstreams = config.upstreams.iter().filter_map(|upstream| {
        let place = format!("upstreams.{}.certificate", upstream.member);
        upstream.certificate.as_ref().map(|file| (place, file, upstream.key.as_ref()))
    });
    for (place, file, key) in own.into_iter().chain(upstreams) {
        let before = rows.len();
        rows.extend(certificates(&place, file, now));
        if let Some(key) = key
            && let Some(row) = rows.get_mut(before)
            && let Err(error) = Identity::from_sealed_files(file, key, secret.filter(|_| before == 0), now)
        {
            row.state = State::Expired;
            row.problem = Some(error);
        }
    }
    if let Some(file) = &config.exchange.ocsp {
        rows.push(staple(config, file, now));
    }
    for upstream in &config.upstreams {
        let place = format!("upstreams.{}.authorities", upstream.member);
        rows.extend(certificates(&place, &upstream.authorities, now));
    }
    for recipient in &config.recipients {
        if let Some(push) = &recipient.push {
            let place = format!("recipients.{}.push.authorities", recipient.member);
            rows.extend(certificates(&place, &push.authorities, now));
        }
    }
    for anchor in &config.trust {
        rows.extend(certificates("trust", &anchor.file, now));
    }
    rows.extend(lists(config, now));
    rows
}

fn certificates(place: &str, file: &Path, now: UnixTime) -> Vec<Row> {
    let Ok(text) = crate::cli::certs::read(file) else {
        return vec![Row { place: place.to_owned(), ..unreadable(file) }];
    };
    let all = match Details::read(&file.display().to_string(), &text) {
        Ok(all) => all,
        Err(error) => return vec![failed(place, file, error)],
    };
    all.into_iter()
        .map(|details| Row {
            place: place.to_owned(),
            file: file.display().to_string(),
            not_after: Some(details.not_after),
            days_left: Some(days(details.not_after, now)),
            state: details.plan().state(now.as_secs()),
            subject: details.subject,
            issuer: details.issuer,
            problem: None,
        })
        .collect()
}

fn staple(config: &Config, file: &Path, now: UnixTime) -> Row {
    let place = "exchange.ocsp";
    let Ok(response) = crate::cli::certs::read(file) else {
        return Row { place: place.to_owned(), ..unreadable(file) };
    };
    let exchange = &config.exchange;
    let secret = exchange.key_passphrase_file.as_deref();
    let identity = Identity::from_sealed_files(&exchange.certificate, &exchange.key, secret, now);
    match identity.and_then(|identity| identity.with_ocsp(&response, now)) {
        Ok(identity) => Row {
            place: place.to_owned(),
            file: file.display().to_string(),
            subject: "OCSP good".to_owned(),
            issuer: String::new(),
            not_after: identity.ocsp_next_update(),
            days_left: identity.ocsp_next_update().map(|end| days(end, now)),
            state: State::Ok,
            problem: None,
        },
        Err(error) => failed(place, file, error),
    }
}

/// Deltas stand in the row of the list they change.
fn lists(config: &Config, now: UnixTime) -> Vec<Row> {
    let place = "revocation.lists";
    let files: Vec<&PathBuf> = config.revocation.lists.iter().map(|list| &list.file).collect();
    let grace = config.revocation.grace_hours.seconds();
    let all = match RevocationList::from_files(&files) {
        Ok(all) => all,
        Err(error) => {
            let file = error.place().unwrap_or_default().to_owned();
            return vec![failed(place, Path::new(&file), error)];
        }
    };
    all.iter()
        .map(|list| {
            let next = list.next_update();
            let plan = next.map(|next| RenewalPlan::of_list(list.this_update(), next, grace));
            Row {
                place: place.to_owned(),
                file: list.name().to_owned(),
                subject: format!(
                    "CRL {} ({} revoked)",
                    list.number().map(|n| format!("0x{n}")).unwrap_or_default(),
                    list.entries()
                ),
                issuer: list.issuer().to_owned(),
                not_after: next,
                days_left: next.map(|next| days(next, now)),
                state: plan.map_or(State::Ok, |plan| plan.state(now.as_secs())),
                problem: None,
            }
        })
        .collect()
}

fn unreadable(file: &Path) -> Row {
    let problem = Explanation::new(
        "file.unreadable",
        "cannot be read; check the path and its permissions",
        "无法读取，请检查路径与权限",
    )
    .at(file.display().to_string());
    failed("", file, problem)
}

fn failed(place: &str, file: &Path, problem: Explanation) -> Row {
    Row {
        place: place.to_owned(),
        file: file.display().to_string(),
        subject: String::new(),
        issuer: String::new(),
        not_after: None,
        days_left: None,
        state: State::Expired,
        problem: Some(problem),
    }
}

fn days(end: u64, now: UnixTime) -> i64 {
    let (end, now) = (i64::try_from(end), i64::try_from(now.as_secs()));
    (end.unwrap_or(i64::MAX) - now.unwrap_or(i64::MAX)).div_euclid(86_400)
}

fn table(rows: &[Row]) {
    say("state 状态   days 天数  until 到期     what 内容");
    for row in rows {
        let left = row.days_left.map_or_else(|| "-".to_owned(), |days| days.to_string());
        let until = row.not_after.map_or_else(|| "-".to_owned(), day);
        say(format!(
            "{:<12} {left:>9}  {until:<12}  {}: {}; issuer 签发者 {}; {}",
            words(row.state),
            row.place,
            row.subject,
            row.issuer,
            row.file
        ));
        if let Some(problem) = &row.problem {
            say(format!("    {}: {}\n    {}", problem.code(), problem.english(), problem.chinese()));
        }
    }
}

fn words(state: State) -> &'static str {
    match state {
        State::Ok => "ok 正常",
        State::Renew => "renew 应更新",
        State::Urgent => "urgent 紧急",
        State::Expired => "expired 失效",
    }
}
