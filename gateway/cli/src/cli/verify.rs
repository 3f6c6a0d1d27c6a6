//! `verify`: receipts, batches and chains, with everything that stands beside them, offline. Without pinned keys what is
//! consistent is still not authenticated. It says what it did not look at.

mod stream_folder;
mod witness;

use super::Failure;
use crate::console::{self, say};
use clap::Args;
use std::path::{Path, PathBuf};
use witness::Witness;
use xinqiao_evidence::endorsement::PublishedKeys;
use xinqiao_evidence::keys::Jwks;
use xinqiao_evidence::receipt::Receipt;

#[derive(Args)]
pub(crate) struct Verify {
    /// The node's public keys: a JWKS file, or what GET /v1/keys gave
    #[arg(long)]
    keys: Option<PathBuf>,
    /// Trust only this key (its kid, or a JWKS file) and those it vouches for, over any number of changes (固定密钥)
    #[arg(long, value_name = "KID|JWKS", requires = "keys")]
    pin: Vec<String>,
    /// One JSON object per thing verified
    #[arg(long)]
    json: bool,
    /// Receipts (*.json), or directories of a stream as `pull` writes them
    #[arg(required = true)]
    paths: Vec<PathBuf>,
}

/// What was verified, and what was passed over.
#[derive(Default)]
struct Tally {
    receipts: u64,
    batches: u64,
    records: u64,
    /// Log proofs beside batches.
    proofs: u64,
    /// Answers beside batches.
    answers: u64,
    /// Batches the node took back before anyone came for them: a place in the chain, with nothing in it.
    gone: u64,
    /// Batches without a log proof beside them.
    unproven: u64,
    /// Batches said to be acknowledged, without the answer beside them.
    unanswered: u64,
    /// Files that are none of these, and one of them.
    others: u64,
    other: Option<PathBuf>,
}

impl Tally {
    fn pass_over(&mut self, path: PathBuf) {
        self.others += 1;
        self.other.get_or_insert(path);
    }
}

/// A run over all paths.
struct Run<'a> {
    keys: Option<&'a Jwks>,
    json: bool,
    tally: Tally,
    witness: Witness,
}

impl Verify {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let keys = self.keys.as_deref().map(|path| self.trusted(path)).transpose()?;
        let mut run = Run {
            keys: keys.as_ref(),
            json: self.json,
            tally: Tally::default(),
            witness: Witness::default(),
        };
        for path in &self.paths {
            if path.is_dir() {
                run.directory(path)?;
            } else {
                run.receipt(path)?;
            }
        }
        run.conclude()
    }

    /// The keys to verify with: all of the file, or those that are reached from what was pinned.
    fn trusted(&self, path: &Path) -> Result<Jwks, Failure> {
        let bytes = std::fs::read(path)?;
        let wrong =
            |path: &Path, e: &dyn std::fmt::Display| Failure::Usage(format!("{}: {e}", path.display()));
        let published = PublishedKeys::from_json(&bytes).map_err(|e| wrong(path, &e))?;
        if self.pin.is_empty() {
            return Ok(published.jwks().clone());
        }
        let mut pinned = Vec::new();
        for pin in &self.pin {
            let file = Path::new(pin);
            let found = match file.is_file() {
                true => Jwks::from_json(&std::fs::read(file)?).map_err(|e| wrong(file, &e))?,
                false => published.pinned(&[pin]),
            };
            if found.keys().is_empty() {
                return Err(Failure::Unverified(format!(
                    "{pin}: no such key in {}; compare the kid with what the node's officers say  公钥文档中没有该密钥，请与节点管理员核对",
                    path.display()
                )));
            }
            pinned.extend(found.keys().iter().cloned());
        }
        published
            .follow(&Jwks::new(pinned))
            .map_err(|e| Failure::Unverified(format!("{}: {e}", path.display())))
    }
}

impl Run<'_> {
    /// Receipts and streams below a directory.
    fn directory(&mut self, dir: &Path) -> Result<(), Failure> {
        let mut directories = Vec::new();
        let mut files = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let path = entry?.path();
            if path.is_dir() { &mut directories } else { &mut files }.push(path);
        }
        directories.sort();
        files.sort();
        let batches = stream_folder::sort_out(&files);
        for path in files {
            let name = stream_folder::name(&path);
            if name.ends_with(".receipt.json") {
                self.receipt(&path)?;
            } else if !batches.knows(name) {
                self.tally.pass_over(path);
            }
        }
        self.stream(dir, &batches)?;
        directories.iter().try_for_each(|directory| self.directory(directory))
    }

    fn receipt(&mut self, path: &Path) -> Result<(), Failure> {
        let bytes = std::fs::read(path)?;
        let wrong = |e: &dyn std::fmt::Display| Failure::Unverified(format!("{}: {e}", path.display()));
        let receipt = Receipt::from_json(&bytes).map_err(|e| wrong(&e))?;
        match self.keys {
            Some(keys) => {
                let verified = receipt.verify_with_jwks(keys).map_err(|e| wrong(&e))?;
                self.witness.note(verified.inclusion().checkpoint().checkpoint(), path)?;
                if self.json {
                    console::json(
                        &serde_json::json!({ "receipt": path.display().to_string(), "index": verified.index() }),
                    );
                }
            }
            None => {
                receipt.check_unauthenticated().map_err(|e| wrong(&e))?;
            }
        }
        self.tally.receipts += 1;
        Ok(())
    }

    /// Something that is no fault, but that whoever reads the outcome should know.
    fn tell(&self, place: &Path, en: &str, zh: &str) {
        match self.json {
            true => console::json(
                &serde_json::json!({ "place": place.display().to_string(), "note": en, "zh": zh }),
            ),
            false => say(format!("{}: {en}  {zh}", place.display())),
        }
    }

    fn conclude(self) -> Result<(), Failure> {
        let Tally { receipts, batches, records, proofs, answers, gone, unproven, unanswered, others, other } =
            self.tally;
        if receipts + batches == 0 {
            return Err(Failure::Usage("nothing to verify there 没有可验证的内容".into()));
        }
        let authenticated = self.keys.is_some();
        if gone > 0 {
            say(format!(
                "{gone} of the batches hold nothing here: taken back by the node, or past their age, as the folder says  其中 {gone} 个批次没有内容：据目录中的说明，已被节点收回或过期"
            ));
        }
        let mut not = Vec::new();
        if unproven > 0 {
            not.push((
                format!("{unproven} batch(es) have no log proof here"),
                format!("{unproven} 个批次缺少日志证明"),
            ));
        }
        if unanswered > 0 {
            not.push((
                format!("{unanswered} acknowledged batch(es) have no answer here"),
                format!("{unanswered} 个已应答批次缺少应答文件"),
            ));
        }
        if let Some(other) = other {
            not.push((
                format!("{others} other file(s), such as {}", other.display()),
                format!("其他文件 {others} 个，如 {}", other.display()),
            ));
        }
        not.push((
            "the node's whole log (`xinqiao log verify`), and what was sent beyond its receipts".to_owned(),
            "节点的完整日志（见 log verify）、回执之外的报送内容".to_owned(),
        ));
        if self.json {
            let list: Vec<&str> = not.iter().map(|(en, _)| en.as_str()).collect();
            console::json(&serde_json::json!({
                "authenticated": authenticated, "receipts": receipts, "batches": batches, "records": records,
                "proofs": proofs, "acknowledgements": answers, "not_looked_at": list,
            }));
        } else {
            for (en, zh) in not {
                say(format!("not looked at: {en}  未检查：{zh}"));
            }
        }
        if !authenticated {
            return Err(Failure::Unverified(format!(
                "{receipts} receipt(s), {batches} batch(es): consistent, NOT authenticated; give --keys with keys obtained another way  内容自洽但来源未经认证，请用 --keys 指定可信公钥"
            )));
        }
        say(format!(
            "{receipts} receipt(s), {batches} batch(es), {records} record(s), {proofs} log proof(s), {answers} acknowledgement(s): verified  已验证回执 {receipts} 份、批次 {batches} 个、记录 {records} 条、日志证明 {proofs} 份、应答 {answers} 份"
        ));
        Ok(())
    }
}
