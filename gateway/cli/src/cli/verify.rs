//! `verify`: receipts, batches and chains, offline. Without pinned keys what is consistent is still not authenticated.

use super::Failure;
use crate::console::{self, say};
use clap::Args;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use xinqiao_evidence::chain::Chain;
use xinqiao_evidence::endorsement::PublishedKeys;
use xinqiao_evidence::keys::Jwks;
use xinqiao_evidence::manifest::{Limits, PayloadVerifier, SignedManifest};
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

/// What was verified.
#[derive(Default)]
struct Tally {
    receipts: u64,
    batches: u64,
    records: u64,
    /// Batches the node took back before anyone came for them: a place in the chain, with nothing in it.
    gone: u64,
}

impl Verify {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let keys = self.keys.as_deref().map(|path| self.trusted(path)).transpose()?;
        let mut tally = Tally::default();
        for path in &self.paths {
            if path.is_dir() {
                self.directory(path, keys.as_ref(), &mut tally)?;
            } else {
                self.receipt(path, keys.as_ref(), &mut tally)?;
            }
        }
        let Tally { receipts, batches, records, gone } = tally;
        if receipts + batches == 0 {
            return Err(Failure::Usage("nothing to verify there 没有可验证的内容".into()));
        }
        if keys.is_none() {
            return Err(Failure::Unverified(format!(
                "{receipts} receipt(s), {batches} batch(es): consistent, NOT authenticated; give --keys with keys obtained another way  内容自洽但来源未经认证，请用 --keys 指定可信公钥"
            )));
        }
        if gone > 0 {
            say(format!(
                "{gone} of the batches hold nothing here: taken back by the node, or past their age, as the folder says  其中 {gone} 个批次没有内容：据目录中的说明，已被节点收回或过期"
            ));
        }
        say(format!(
            "{receipts} receipt(s), {batches} batch(es), {records} record(s): verified  已验证回执 {receipts} 份、批次 {batches} 个、记录 {records} 条"
        ));
        Ok(())
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

    fn receipt(&self, path: &Path, keys: Option<&Jwks>, tally: &mut Tally) -> Result<(), Failure> {
        let bytes = std::fs::read(path)?;
        let wrong = |e: &dyn std::fmt::Display| Failure::Unverified(format!("{}: {e}", path.display()));
        let receipt = Receipt::from_json(&bytes).map_err(|e| wrong(&e))?;
        match keys {
            Some(keys) => {
                let verified = receipt.verify_with_jwks(keys).map_err(|e| wrong(&e))?;
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
        tally.receipts += 1;
        Ok(())
    }

    /// Every batch in a directory, in order, as one chain. Directories of streams are entered.
    fn directory(&self, dir: &Path, keys: Option<&Jwks>, tally: &mut Tally) -> Result<(), Failure> {
        let mut seqs = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("").to_owned();
            if path.is_dir() {
                self.directory(&path, keys, tally)?;
            } else if let Some(seq) = name.strip_suffix(".manifest.json").and_then(|s| s.parse::<u64>().ok())
            {
                seqs.push(seq);
            } else if name.ends_with(".receipt.json") {
                self.receipt(&path, keys, tally)?;
            }
        }
        seqs.sort_unstable();
        let mut chain: Option<Chain> = None;
        for seq in seqs {
            match self.batch(dir, seq, keys, &mut chain)? {
                Some(records) => tally.records += records,
                None => tally.gone += 1,
            }
            tally.batches += 1;
        }
        Ok(())
    }

    /// How many records it holds; nothing if the node would not give its payload any more.
    fn batch(
        &self,
        dir: &Path,
        seq: u64,
        keys: Option<&Jwks>,
        chain: &mut Option<Chain>,
    ) -> Result<Option<u64>, Failure> {
        let place = format!("{} batch {seq}", dir.display());
        let wrong = |e: &dyn std::fmt::Display| Failure::Unverified(format!("{place}: {e}"));
        let bytes = std::fs::read(dir.join(format!("{seq}.manifest.json")))?;
        let signed = SignedManifest::parse(&bytes).map_err(|e| wrong(&e))?;
        let gone = gone(&dir.join(format!("{seq}.gone.json")));
        let Some(keys) = keys else {
            let manifest = signed.unauthenticated().map_err(|e| wrong(&e))?;
            return Ok(Some(manifest.manifest().records));
        };
        let manifest = signed.verify(keys).map_err(|e| wrong(&e))?;
        let said = manifest.manifest();
        let chain = chain.get_or_insert_with(|| Chain::new(&said.node, said.epoch, &said.stream));
        chain.accept(&manifest).map_err(|e| wrong(&e))?;
        if said.void.is_some() || said.control.is_some() {
            return Ok(Some(0));
        }
        let name = format!("{seq}.payload.ndjson{}", said.payload.media_type.suffix());
        let payload = dir.join(&name);
        if gone && !payload.is_file() {
            match self.json {
                true => {
                    console::json(&serde_json::json!({ "stream": said.stream, "seq": seq, "gone": true }))
                }
                false => say(format!(
                    "{place}: no payload; the folder says that the node had taken it back or erased it ({} record(s), a note nobody signed)  无内容：目录中的说明（未签名）称节点已收回或删除，清单所列 {} 条",
                    said.records, said.records
                )),
            }
            return Ok(None);
        }
        let mut file = File::open(payload).map_err(|e| wrong(&e))?;
        let mut verifier = PayloadVerifier::new(&manifest, Limits::default()).map_err(|e| wrong(&e))?;
        let mut block = vec![0; 256 << 10];
        loop {
            let n = file.read(&mut block)?;
            if n == 0 {
                break;
            }
            verifier.feed(&block[..n], |_, _| {}).map_err(|e| wrong(&e))?;
        }
        verifier.finish().map_err(|e| wrong(&e))?;
        if self.json {
            console::json(&serde_json::json!({ "stream": said.stream, "seq": seq, "records": said.records }));
        }
        Ok(Some(said.records))
    }
}

/// Whether the puller left a note that the gateway answered 410.
fn gone(note: &Path) -> bool {
    let said =
        std::fs::read(note).ok().and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
    said.is_some_and(|said| matches!(said["code"].as_str(), Some("batch.void" | "batch.expired")))
}
