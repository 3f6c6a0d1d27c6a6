//! `send` and `recall`: what a department does.

use super::validate::{format_of, read};
use super::{Connection, Failure, block_on, console};
use clap::{Args, Subcommand};
use std::fs::Permissions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use xinqiao_client::{Client, Submission};
use xinqiao_schemas::Format;

#[derive(Args)]
pub(crate) struct Send {
    #[command(flatten)]
    connection: Connection,
    /// Dataset
    #[arg(long)]
    dataset: String,
    /// put, withdraw, repair, dispute, resolve or reinstate
    #[arg(long, default_value = "put")]
    op: String,
    /// Schema of the files
    #[arg(long)]
    schema: Option<String>,
    /// daily, history, supplement or correction
    #[arg(long)]
    load: Option<String>,
    /// json, ndjson, xml or csv; left out: by each file's name
    #[arg(long)]
    format: Option<String>,
    /// utf-8 or gb18030
    #[arg(long)]
    charset: Option<String>,
    /// All or nothing
    #[arg(long)]
    strict: bool,
    /// The key of this submission, for a repeat after a broken connection; one file only
    #[arg(long)]
    idempotency_key: Option<String>,
    /// Keep each receipt here, as <submission>.receipt.json; nothing is overwritten (回执目录，不覆盖已有文件)
    #[arg(long)]
    receipts: Option<PathBuf>,
    /// The files
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

pub(crate) fn media_type(format: Format) -> &'static str {
    match format {
        Format::Json => "application/json",
        Format::Ndjson => "application/x-ndjson",
        Format::Xml => "application/xml",
        Format::Csv => "text/csv",
    }
}

impl Send {
    pub(crate) fn run(self) -> Result<(), Failure> {
        if self.idempotency_key.is_some() && self.files.len() > 1 {
            return Err(Failure::Usage("--idempotency-key goes with one file".into()));
        }
        let client = Client::connect(&self.connection.profile()?)?;
        if let Some(dir) = &self.receipts {
            std::fs::create_dir_all(dir)?;
        }
        block_on(async {
            let mut refused = 0;
            for file in &self.files {
                let body = read(file)?;
                let submission = Submission {
                    op: &self.op,
                    schema: self.schema.as_deref(),
                    load: self.load.as_deref(),
                    media_type: media_type(format_of(self.format.as_deref(), file)?),
                    charset: self.charset.as_deref(),
                    idempotency_key: self.idempotency_key.clone(),
                    strict: self.strict,
                    ..Submission::new(&self.dataset, body)
                };
                let sent = match client.send(&submission).await {
                    Err(xinqiao_client::ClientError::Problem(problem)) => {
                        problem.errors.iter().for_each(console::json);
                        return Err(xinqiao_client::ClientError::Problem(problem).into());
                    }
                    other => other?,
                };
                refused += sent.answer.refused;
                if let Some(dir) = &self.receipts {
                    keep(dir, &sent.answer.submission, sent.answer.receipt.get().as_bytes())?;
                }
                console::json(&serde_json::json!({
                    "file": file.display().to_string(),
                    "submission": sent.answer.submission,
                    "accepted": sent.answer.accepted,
                    "refused": sent.answer.refused,
                    "warned": sent.answer.warned,
                    "errors": sent.answer.errors,
                }));
            }
            if refused > 0 {
                return Err(Failure::Refused(format!(
                    "{refused} record(s) were refused  {refused} 条记录被拒绝"
                )));
            }
            Ok(())
        })
    }
}

/// Keeps a receipt, whole and under a name of its own. The answer to a repeat is there already; another receipt of this
/// name stays, and the new one gets a number.
fn keep(dir: &Path, submission: &str, receipt: &[u8]) -> std::io::Result<PathBuf> {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '_' };
    let stem: String = submission.chars().map(plain).collect();
    // As the user's mask has it, like any file: auditors read it too.
    let open = Permissions::from_mode(0o666);
    let mut file = tempfile::Builder::new().permissions(open).tempfile_in(dir)?;
    file.write_all(receipt)?;
    file.as_file().sync_all()?;
    let mut name = dir.join(format!("{stem}.receipt.json"));
    for n in 2.. {
        match file.persist_noclobber(&name) {
            Ok(_) => break,
            Err(e) if e.error.kind() != ErrorKind::AlreadyExists => return Err(e.error),
            Err(_) if std::fs::read(&name)? == receipt => break,
            Err(e) => file = e.file,
        }
        name = dir.join(format!("{stem}-{n}.receipt.json"));
    }
    Ok(name)
}

#[derive(Subcommand)]
pub(crate) enum Recall {
    /// Recall one record by the department's own reference
    Send(RecallSend),
    /// How far a recall has got
    Show {
        #[command(flatten)]
        connection: Connection,
        /// The id from the answer
        id: String,
    },
}

#[derive(Args)]
pub(crate) struct RecallSend {
    #[command(flatten)]
    connection: Connection,
    /// Dataset
    #[arg(long)]
    dataset: String,
    /// Schema, while several are open
    #[arg(long)]
    schema: Option<String>,
    /// withdraw, repair, dispute, resolve or reinstate
    #[arg(long, default_value = "withdraw")]
    op: String,
    /// The department's own reference of the record
    #[arg(long = "ref")]
    reference: String,
    /// Reason code
    #[arg(long)]
    reason: String,
    /// The document it rests on
    #[arg(long)]
    basis: String,
    /// The day from which it holds; left out: today
    #[arg(long)]
    effective: Option<String>,
}

impl Recall {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Recall::Show { connection, id } => {
                let client = Client::connect(&connection.profile()?)?;
                block_on(async {
                    console::json(&client.recall(&id).await?);
                    Ok(())
                })
            }
            Recall::Send(r) => {
                let client = Client::connect(&r.connection.profile()?)?;
                let effective = r.effective.clone().unwrap_or_else(|| {
                    let mut text = Vec::new();
                    super::validate::today().write_slash(&mut text);
                    String::from_utf8_lossy(&text).into_owned()
                });
                let body = serde_json::json!({
                    "ref": r.reference, "reason": r.reason, "basis": r.basis, "effective": effective,
                });
                block_on(async {
                    let submission = Submission {
                        op: &r.op,
                        schema: r.schema.as_deref(),
                        media_type: "application/json",
                        ..Submission::new(&r.dataset, body.to_string())
                    };
                    let sent = client.send(&submission).await?;
                    console::json(
                        &serde_json::json!({ "recall": sent.answer.submission, "accepted": sent.answer.accepted }),
                    );
                    Ok(())
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_never_overwritten_and_a_repeat_adds_none() {
        let dir = tempfile::tempdir().unwrap();
        let keep = |id: &str, text: &str| {
            let path = keep(dir.path(), id, text.as_bytes()).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
            path.strip_prefix(dir.path()).unwrap().to_str().unwrap().to_owned()
        };
        assert_eq!(keep("7-k3", "first"), "7-k3.receipt.json");
        assert_eq!(keep("7-k3", "first"), "7-k3.receipt.json");
        assert_eq!(keep("7-k3", "of another node"), "7-k3-2.receipt.json");
        assert_eq!(keep("7-k3", "of a third"), "7-k3-3.receipt.json");
        assert_eq!(keep("7-k3", "of another node"), "7-k3-2.receipt.json");
        assert_eq!(keep("../8/..", "elsewhere"), "___8___.receipt.json");
        assert_eq!(std::fs::read_to_string(dir.path().join("7-k3.receipt.json")).unwrap(), "first");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 4, "no temporary file is left");
    }
}
