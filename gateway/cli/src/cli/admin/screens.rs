//! What an officer reads: English and Chinese side by side.

use super::table::table;
use crate::console::say;
use std::fmt::Display;
use xinqiao_server::officers::{
    Affected, AnchorView, Difference, KeyView, Lifted, List, LockoutView, LogEntryView, Member, PolicyView,
    Progress, ProposalView, Rehearsal, Reloaded, Screen, StatusRow, Suspension,
};

/// What may be missing.
fn or_dash(value: Option<&impl Display>) -> String {
    value.map_or_else(|| "-".to_owned(), ToString::to_string)
}

/// Several of a kind on one line, as they stand.
fn joined(all: &[impl Display]) -> String {
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn list(all: &[String]) -> String {
    if all.is_empty() { "(none 无)".to_owned() } else { joined(all) }
}

pub(super) fn status(screen: &Screen) {
    say(format!("node 节点 {}   epoch 纪元 {}", screen.node, screen.epoch));
    say("health 健康状态");
    for check in &screen.checks {
        say(format!("  {} {}", check.name, check.state.as_str()));
        for advice in [&check.advice, &check.advice_zh].into_iter().filter(|a| !a.is_empty()) {
            say(format!("    {advice}"));
        }
    }
    say("certificates and lists that run out 即将到期的证书与吊销列表");
    certificate_rows(&screen.certificates);
    say("proposals that wait for an officer 待批提案");
    proposal_rows(&screen.proposals);
    say("streams on hold 已暂停的数据流");
    say(format!("  {}", list(&screen.held)));
    say("pushing given up 已放弃推送");
    say(format!("  {}", list(&screen.dead)));
    say("withheld records 暂扣记录");
    let rows: Vec<_> =
        screen.withheld.iter().map(|w| vec![w.stream.clone(), w.records.to_string()]).collect();
    table(&["stream 数据流", "records 记录"], &rows);
    say("locked out 已锁定");
    lockout_rows(&screen.locked_out);
    say(format!("records waiting for recipients 待接收记录 {}", screen.pending_records));
}

pub(super) fn members(all: &List<Member>) {
    let one = |m: &Member| {
        let state = if m.suspended { "suspended 已停用" } else { "active 正常" };
        vec![m.name.clone(), m.role.to_string(), state.to_owned(), m.title.clone()]
    };
    let rows: Vec<_> = all.items.iter().map(one).collect();
    table(&["name 名称", "role 角色", "state 状态", "title 称谓"], &rows);
}

pub(super) fn member(member: &Member) {
    pretty(member, "");
}

/// JSON with its members in the order of their names.
fn pretty(value: &impl serde::Serialize, indent: &str) {
    let text = serde_json::to_value(value).and_then(|value| serde_json::to_string_pretty(&value));
    text.iter().flat_map(|text| text.lines()).for_each(|line| say(format!("{indent}{line}")));
}

pub(super) fn trust(all: &List<AnchorView>) {
    let one = |a: &AnchorView| vec![a.name.clone(), joined(&a.domains), joined(&a.roles), a.digest.clone()];
    let rows: Vec<_> = all.items.iter().map(one).collect();
    table(&["name 名称", "domains 信任域", "roles 角色", "digest 摘要"], &rows);
}

pub(super) fn policies(all: &List<PolicyView>) {
    let one =
        |p: &PolicyView| vec![p.id.clone(), p.from.as_str().to_owned(), p.digest.clone(), p.rules.clone()];
    let rows: Vec<_> = all.items.iter().map(one).collect();
    table(&["policy 策略", "from 来源", "digest 摘要", "rules 规则摘要"], &rows);
}

pub(super) fn certificates(all: &List<StatusRow>) {
    certificate_rows(&all.items);
}

fn certificate_rows(all: &[StatusRow]) {
    let one = |row: &StatusRow| {
        let (kind, state) = (row.kind.as_str().to_owned(), row.state.as_str().to_owned());
        let days = or_dash(row.days_left.as_ref());
        vec![kind, state, days, row.name.clone(), row.subject.clone(), row.issuer.clone()]
    };
    let rows: Vec<_> = all.iter().map(one).collect();
    table(&["what 种类", "state 状态", "days 剩余天数", "name 名称", "subject 主体", "issuer 签发者"], &rows);
}

pub(super) fn keys(all: &List<KeyView>) {
    let one = |key: &KeyView| {
        let (kind, state) = (key.kind.as_str().to_owned(), key.state.as_str().to_owned());
        let (age, left) = (key.age_days.to_string(), or_dash(key.days_left.as_ref()));
        vec![kind, state, age, left, key.place.as_str().to_owned(), key.kid.clone()]
    };
    let rows: Vec<_> = all.items.iter().map(one).collect();
    table(&["key 密钥", "state 状态", "age 已用天数", "left 剩余天数", "place 存放", "id 编号"], &rows);
}

pub(super) fn proposals(all: &List<ProposalView>) {
    proposal_rows(&all.items);
}

fn proposal_rows(all: &[ProposalView]) {
    let one = |p: &ProposalView| {
        let digest: String = p.digest.chars().take(12).collect();
        let what = match p.what.as_slice() {
            [] => "-".into(),
            [one] => one.clone(),
            [first, rest @ ..] => format!("{first} (+{})", rest.len()),
        };
        let state = format!("{} {}", p.state.name(), p.state_zh);
        vec![p.id.to_string(), state, p.by.clone(), p.expires.clone(), digest, what]
    };
    let rows: Vec<_> = all.iter().map(one).collect();
    let heads = ["no. 编号", "state 状态", "by 提出人", "until 截止", "digest 摘要", "what 内容"];
    table(&heads, &rows);
}

pub(super) fn proposal(p: &ProposalView) {
    say(format!("proposal 提案 {}: {} {}", p.id, p.state.name(), p.state_zh));
    say(format!("  by 提出人        {}  {}", p.by, p.opened));
    say(format!("  reason 理由      {}", p.reason));
    say(format!("  until 截止       {}", p.expires));
    say(format!("  officers 需要人数 {}", p.needs));
    say("  acts 内容");
    for act in &p.what {
        say(format!("    {act}"));
    }
    for act in p.acts.iter().flatten() {
        pretty(act, "      ");
    }
    changes(&p.changes);
    if !p.locked_out.is_empty() {
        say(format!("  will be locked out 将无法接入 {}", joined(&p.locked_out)));
    }
    for a in &p.approvals {
        say(format!("  approved 已批准   {}  {}  {}", a.by, a.time, a.reason));
    }
    if let Some(end) = &p.end {
        say(format!("  ended 结束       {}  {}", or_dash(end.by.as_ref()), end.time));
        for why in [&end.why, &end.why_zh].into_iter().filter(|w| !w.is_empty()) {
            say(format!("    {why}"));
        }
    }
    say(format!("  digest 摘要      {}", p.digest));
    if p.state == Progress::Open {
        say(format!(
            "a second security officer approves with  另一名安全管理员批准：\n  xinqiao admin proposals approve {} --digest {} --reason …",
            p.id, p.digest
        ));
    }
}

/// What would be otherwise, in words.
fn changes(all: &[Difference]) {
    for one in all {
        say(format!("    {}\n      {}", one.en, one.zh));
    }
}

pub(super) fn rehearsal(response: &Rehearsal) {
    say("nothing was changed 仅预演，未作变更");
    say(format!("  officers needed 需要人数 {}", response.needs));
    for act in &response.what {
        say(format!("  {act}"));
    }
    locked_out(&response.affected, &response.intended);
}

pub(super) fn reloaded(response: &Reloaded) {
    if response.dry_run {
        say("nothing was changed 仅预演，未作变更");
    }
    let report = &response.report;
    say(format!("  changed 变更 {}", list(&report.changed)));
    locked_out(&report.affected, &report.intended);
    for note in &report.notes {
        say(format!("  {}: {}\n    {}", note.code(), note.english(), note.chinese()));
    }
    if response.waits {
        let (en, zh) = match response.proposal {
            Some(id) => (format!("wait for two security officers in proposal {id}"), format!("已列入提案 {id}，待两名安全管理员批准")),
            None => ("would wait for two security officers in a proposal; whom the file suspends or leaves out is shut out at once".into(), "将形成提案，待两名安全管理员批准；文件中停用或删去的成员立即停用".into()),
        };
        say(format!("  members and trust {en}"));
        say(format!("  成员与信任的变更{zh}"));
        changes(&response.changes);
    }
    if !response.proposals.is_empty() {
        say(format!("  proposals that wait 待批提案 {}", joined(&response.proposals)));
    }
}

fn locked_out(affected: &[Affected], intended: &[Affected]) {
    let titles = ["would be locked out 将无法接入", "locked out on purpose 有意排除"];
    for (title, all) in titles.into_iter().zip([affected, intended]) {
        say(format!("  {title}: {}", all.len()));
        for a in all {
            say(format!("    {}: {}\n      {}", a.member, a.why.english(), a.why.chinese()));
        }
    }
}

pub(super) fn suspended(response: &Suspension) {
    let member = &response.member;
    say(format!("{member} is let in no longer 已停用，不再允许接入"));
    say(format!(
        "the way back takes two officers: xinqiao admin members resume {member}  恢复须两名安全管理员：xinqiao admin members resume {member}"
    ));
}

pub(super) fn lifted(response: &Lifted) {
    say(format!("{} may try again 已解除锁定", response.name));
}

pub(super) fn lockouts(all: &List<LockoutView>) {
    lockout_rows(&all.items);
}

fn lockout_rows(all: &[LockoutView]) {
    let one = |l: &LockoutView| {
        let (who, role) = (l.who.as_str().to_owned(), or_dash(l.role.as_ref()));
        vec![l.name.clone(), who, role, l.seconds_left.to_string()]
    };
    let rows: Vec<_> = all.iter().map(one).collect();
    table(&["name 名称", "who 对象", "role 角色", "seconds left 剩余秒数"], &rows);
}

pub(super) fn entries(all: &List<LogEntryView>) {
    for item in &all.items {
        say(format!("{} {}", item.index, item.entry.get()));
    }
}
