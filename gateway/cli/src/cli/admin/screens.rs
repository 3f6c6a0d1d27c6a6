//! What an officer reads: English and Chinese side by side.

use super::table::table;
use crate::console::say;
use serde_json::Value;

fn text(value: &Value) -> String {
    match value {
        Value::String(s) => s.clone(),
        Value::Null => "-".into(),
        Value::Array(all) => all.iter().map(text).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

fn items(response: &Value) -> impl Iterator<Item = &Value> {
    response["items"].as_array().into_iter().flatten()
}

fn rows(all: &Value, columns: &[&str]) -> Vec<Vec<String>> {
    let all = all.as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().map(|item| columns.iter().map(|c| text(&item[*c])).collect()).collect()
}

pub(super) fn status(response: &Value) {
    say(format!("node 节点 {}   epoch 纪元 {}", text(&response["node"]), response["epoch"]));
    say("health 健康状态");
    for check in response["checks"].as_array().into_iter().flatten() {
        say(format!("  {} {}", text(&check["name"]), text(&check["state"])));
        for advice in [&check["advice"], &check["advice_zh"]] {
            if advice.as_str().is_some_and(|a| !a.is_empty()) {
                say(format!("    {}", text(advice)));
            }
        }
    }
    say("certificates and lists that run out 即将到期的证书与吊销列表");
    certificate_rows(&response["certificates"]);
    say("proposals that wait for an officer 待批提案");
    proposal_rows(response["proposals"].as_array().into_iter().flatten());
    say("streams on hold 已暂停的数据流");
    say(format!("  {}", list(&response["held"])));
    say("pushing given up 已放弃推送");
    say(format!("  {}", list(&response["dead"])));
    say("withheld records 暂扣记录");
    table(&["stream 数据流", "records 记录"], &rows(&response["withheld"], &["stream", "records"]));
    say("locked out 已锁定");
    lockout_rows(&response["locked_out"]);
    say(format!("records waiting for recipients 待接收记录 {}", response["pending_records"]));
}

fn list(all: &Value) -> String {
    match all.as_array() {
        Some(names) if !names.is_empty() => text(all),
        _ => "(none 无)".into(),
    }
}

pub(super) fn members(response: &Value) {
    let one = |m: &Value| {
        let state = if m["suspended"] == true { "suspended 已停用" } else { "active 正常" };
        vec![text(&m["name"]), text(&m["role"]), state.to_owned(), text(&m["title"])]
    };
    let rows: Vec<_> = items(response).map(one).collect();
    table(&["name 名称", "role 角色", "state 状态", "title 称谓"], &rows);
}

pub(super) fn member(response: &Value) {
    if let Ok(text) = serde_json::to_string_pretty(response) {
        say(text);
    }
}

pub(super) fn trust(response: &Value) {
    let rows = rows(&response["items"], &["name", "domains", "roles", "digest"]);
    table(&["name 名称", "domains 信任域", "roles 角色", "digest 摘要"], &rows);
}

pub(super) fn policies(response: &Value) {
    let rows = rows(&response["items"], &["id", "from", "digest"]);
    table(&["policy 策略", "from 来源", "digest 摘要"], &rows);
}

pub(super) fn certificates(response: &Value) {
    certificate_rows(&response["items"]);
}

fn certificate_rows(all: &Value) {
    let rows = rows(all, &["kind", "state", "days_left", "name", "subject", "issuer"]);
    table(&["what 种类", "state 状态", "days 剩余天数", "name 名称", "subject 主体", "issuer 签发者"], &rows);
}

pub(super) fn keys(response: &Value) {
    let rows = rows(&response["items"], &["use", "state", "age_days", "days_left", "place", "kid"]);
    table(&["key 密钥", "state 状态", "age 已用天数", "left 剩余天数", "place 存放", "id 编号"], &rows);
}

pub(super) fn proposals(response: &Value) {
    proposal_rows(items(response));
}

fn proposal_rows<'a>(all: impl Iterator<Item = &'a Value>) {
    let one = |p: &Value| {
        let digest: String = text(&p["digest"]).chars().take(12).collect();
        let what = match p["what"].as_array().map(Vec::as_slice) {
            Some([one]) => text(one),
            Some([first, rest @ ..]) => format!("{} (+{})", text(first), rest.len()),
            _ => "-".into(),
        };
        let state = format!("{} {}", text(&p["state"]), text(&p["state_zh"]));
        vec![text(&p["id"]), state, text(&p["by"]), text(&p["expires"]), digest, what]
    };
    let rows: Vec<_> = all.map(one).collect();
    let heads = ["no. 编号", "state 状态", "by 提出人", "until 截止", "digest 摘要", "what 内容"];
    table(&heads, &rows);
}

pub(super) fn proposal(p: &Value) {
    say(format!("proposal 提案 {}: {} {}", p["id"], text(&p["state"]), text(&p["state_zh"])));
    say(format!("  by 提出人        {}  {}", text(&p["by"]), text(&p["opened"])));
    say(format!("  reason 理由      {}", text(&p["reason"])));
    say(format!("  until 截止       {}", text(&p["expires"])));
    say(format!("  officers 需要人数 {}", p["needs"]));
    say("  acts 内容");
    for act in p["what"].as_array().into_iter().flatten() {
        say(format!("    {}", text(act)));
    }
    for act in p["acts"].as_array().into_iter().flatten() {
        if let Ok(text) = serde_json::to_string_pretty(act) {
            text.lines().for_each(|line| say(format!("      {line}")));
        }
    }
    changes(p);
    if p["despite"].as_array().is_some_and(|d| !d.is_empty()) {
        say(format!("  will be locked out 将无法接入 {}", text(&p["despite"])));
    }
    for a in p["approvals"].as_array().into_iter().flatten() {
        say(format!("  approved 已批准   {}  {}  {}", text(&a["by"]), text(&a["time"]), text(&a["reason"])));
    }
    if p["end"].is_object() {
        let end = &p["end"];
        say(format!("  ended 结束       {}  {}", text(&end["by"]), text(&end["time"])));
        for why in [&end["why"], &end["why_zh"]].into_iter().filter(|w| !w.is_null()) {
            say(format!("    {}", text(why)));
        }
    }
    say(format!("  digest 摘要      {}", text(&p["digest"])));
    if p["state"] == "open" {
        say(format!(
            "a second security officer approves with  另一名安全管理员批准：\n  xinqiao admin proposals approve {} --digest {} --reason …",
            p["id"],
            text(&p["digest"])
        ));
    }
}

/// What would be otherwise, in words.
fn changes(response: &Value) {
    for one in response["changes"].as_array().into_iter().flatten() {
        say(format!("    {}\n      {}", text(&one["en"]), text(&one["zh"])));
    }
}

pub(super) fn rehearsal(response: &Value) {
    say("nothing was changed 仅预演，未作变更");
    say(format!("  officers needed 需要人数 {}", response["needs"]));
    for act in response["what"].as_array().into_iter().flatten() {
        say(format!("  {}", text(act)));
    }
    locked_out(response);
}

pub(super) fn reloaded(response: &Value) {
    if response["dry_run"] == true {
        say("nothing was changed 仅预演，未作变更");
    }
    let report = &response["report"];
    say(format!("  changed 变更 {}", list(&report["changed"])));
    locked_out(report);
    for note in report["notes"].as_array().into_iter().flatten() {
        say(format!("  {}: {}\n    {}", text(&note["code"]), text(&note["en"]), text(&note["zh"])));
    }
    if response["waits"] == true {
        let (en, zh) = match response["proposal"].as_u64() {
            Some(id) => (format!("wait for two security officers in proposal {id}"), format!("已列入提案 {id}，待两名安全管理员批准")),
            None => ("would wait for two security officers in a proposal; whom the file suspends or leaves out is shut out at once".into(), "将形成提案，待两名安全管理员批准；文件中停用或删去的成员立即停用".into()),
        };
        say(format!("  members and trust {en}"));
        say(format!("  成员与信任的变更{zh}"));
        changes(response);
    }
    if response["proposals"].as_array().is_some_and(|p| !p.is_empty()) {
        say(format!("  proposals that wait 待批提案 {}", text(&response["proposals"])));
    }
}

fn locked_out(report: &Value) {
    for (key, title) in
        [("affected", "would be locked out 将无法接入"), ("intended", "locked out on purpose 有意排除")]
    {
        let all = report[key].as_array().map(Vec::as_slice).unwrap_or_default();
        say(format!("  {title}: {}", all.len()));
        for a in all {
            say(format!("    {}: {}\n      {}", text(&a["member"]), text(&a["en"]), text(&a["zh"])));
        }
    }
}

pub(super) fn suspended(response: &Value) {
    let member = text(&response["member"]);
    say(format!("{member} is let in no longer 已停用，不再允许接入"));
    say(format!(
        "the way back takes two officers: xinqiao admin members resume {member}  恢复须两名安全管理员：xinqiao admin members resume {member}"
    ));
}

pub(super) fn lifted(response: &Value) {
    say(format!("{} may try again 已解除锁定", text(&response["name"])));
}

pub(super) fn lockouts(response: &Value) {
    lockout_rows(&response["items"]);
}

fn lockout_rows(all: &Value) {
    let rows = rows(all, &["name", "who", "role", "seconds_left"]);
    table(&["name 名称", "who 对象", "role 角色", "seconds left 剩余秒数"], &rows);
}

pub(super) fn entries(response: &Value) {
    for item in items(response) {
        say(format!("{} {}", item["index"], item["entry"]));
    }
}
