//! `send` and `recall`: what a department does.

use super::validate::{format_of, read};
use super::{Connection, Failure, block_on, console};
use clap::{Args, Subcommand};
use std::path::PathBuf;
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
    /// Write each receipt here, as <n>.receipt.json
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
        block_on(async {
            let mut refused = 0;
            for (n, file) in self.files.iter().enumerate() {
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
                    std::fs::create_dir_all(dir)?;
                    std::fs::write(dir.join(format!("{}.receipt.json", n + 1)), sent.answer.receipt.get())?;
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
