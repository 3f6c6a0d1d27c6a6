//! The end of the story: what each recipient saw of one person, and that everything verifies offline.

use super::{Broken, CITY, NATION, PENALTY, PROVINCE, Story, hold};
use crate::console::say;
use crate::demo::federation::DATASETS;
use crate::demo::process::this_program;
use serde_json::{Value, json};
use std::time::Instant;
use xinqiao_schemas::synthetic::Record;

impl Story<'_> {
    /// One natural person's penalty, before and as each recipient saw it.
    pub(super) fn one_person(&self) -> Result<(), Broken> {
        self.step(
            "One person's record, before and as each recipient saw it (made-up person)",
            "同一条自然人处罚：报送内容与各接收方所见（虚构人物）",
        );
        let person =
            self.person.clone().ok_or_else(|| Broken("no natural person among the records".into()))?;
        let shown = |r: &Record| {
            r.fields
                .iter()
                .filter(|(_, v)| !v.is_empty())
                .map(|(c, v)| (c.to_string(), Value::from(v.as_str())))
                .collect::<serde_json::Map<_, _>>()
        };
        self.tell(
            format!("sent: {}", Value::Object(shown(&person))),
            json!({"step": "person", "who": "sent", "record": shown(&person)}),
        );
        let document = person.get("JDSWH").unwrap_or_default();
        let identity = person.get("SFZH").or_else(|| person.get("ZJHM")).unwrap_or_default().to_owned();
        for member in ["province-archive", "nation-archive", "portal", "agency"] {
            let lines = self.lines(member, PENALTY)?;
            let seen = lines.iter().find(|l| l["data"]["CF_WSH"] == document);
            let text = seen.map_or("nothing (withheld)  未共享".to_owned(), ToString::to_string);
            self.tell(format!("{member}: {text}"), json!({"step": "person", "who": member, "line": seen}));
            if matches!(member, "province-archive" | "nation-archive") {
                hold(seen.is_some(), "the superior platforms get the record")?;
            }
            if matches!(member, "portal" | "agency") {
                hold(seen.is_none(), "natural persons do not reach the portal or the agency")?;
                let leaked = !identity.is_empty() && lines.iter().any(|l| l.to_string().contains(&identity));
                hold(!leaked, "an identity number reaches the portal or the agency")?;
            }
        }
        Ok(())
    }

    /// Receipts, batches and the log, with the same command an auditor uses.
    pub(super) fn verify(&self) -> Result<(), Broken> {
        self.step("Receipts, batches, chains and logs are verified offline", "离线验证回执、批次、链与日志");
        let program = this_program()?;
        let run = |args: &[&std::ffi::OsStr]| -> Result<(), Broken> {
            let out = std::process::Command::new(&program).args(args).output()?;
            let text = String::from_utf8_lossy(&out.stdout);
            self.tell(text.trim(), json!({"step": "verified", "output": text.trim()}));
            let error = String::from_utf8_lossy(&out.stderr).into_owned();
            if out.status.success() { Ok(()) } else { Err(Broken(format!("verification failed: {error}"))) }
        };
        let dir = &self.options.dir;
        let os = |s: &'static str| std::ffi::OsStr::new(s);
        for (node, members) in [
            ("city", vec!["portal", "agency"]),
            ("province", vec!["province-archive"]),
            ("nation", vec!["nation-archive"]),
        ] {
            let keys = dir.join(node).join("keys.json");
            let mut paths = Vec::new();
            for m in members {
                paths.extend(DATASETS.iter().map(|(d, _)| dir.join("pulled").join(format!("{m}.{d}"))));
            }
            if node == "city" {
                paths.push(dir.join("receipts"));
            }
            let mut args = vec![os("verify"), os("--keys"), keys.as_os_str()];
            args.extend(paths.iter().map(|p| p.as_os_str()));
            run(&args)?;
        }
        Ok(())
    }

    pub(super) fn summary(self, began: Instant) -> Result<(), Broken> {
        let seconds = began.elapsed().as_secs_f64();
        self.step("Summary", "小结");
        self.tell(
            format!(
                "{} records accepted ({} doubtful), {} refused at the city, {} rejected by the province and returned; one recall confirmed everywhere; everything verified in {seconds:.1} s",
                self.accepted, self.warned, self.refused, self.rejected
            ),
            json!({"step": "summary", "accepted": self.accepted, "warned": self.warned, "refused": self.refused, "rejected": self.rejected, "seconds": seconds}),
        );
        self.tell(
            format!("共接收 {} 条（其中疑问 {} 条），拒绝 {} 条，省级退回 {} 条；一条记录已在各级撤回；全部验证通过", self.accepted, self.warned, self.refused, self.rejected),
            json!({"step": "done"}),
        );
        for (name, node) in [("city", self.city), ("province", self.province), ("nation", self.nation)] {
            hold(node.stop(), &format!("the node `{name}` stops cleanly"))?;
        }
        // After a clean stop the log on disk is complete: its root is computed from every entry.
        let dir = &self.options.dir;
        for (name, node) in [("city", CITY), ("province", PROVINCE), ("nation", NATION)] {
            let out = std::process::Command::new(this_program()?)
                .args(["log", "verify"])
                .arg(dir.join(name).join("data/log"))
                .arg("--keys")
                .arg(dir.join(name).join("keys.json"))
                .args(["--node", node])
                .output()?;
            hold(
                out.status.success(),
                &format!("the log of `{name}` verifies: {}", String::from_utf8_lossy(&out.stderr)),
            )?;
            if !self.options.json {
                say(format!("   log of {node}: {}", String::from_utf8_lossy(&out.stdout).trim()));
            }
        }
        Ok(())
    }
}
