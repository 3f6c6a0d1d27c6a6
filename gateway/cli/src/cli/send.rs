//! `send` and `recall`: what a department does.

use super::validate::{format_of, read};
use super::{Connection, Failure, block_on};
use crate::console;
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};
use xinqiao_client::{
    Acceptance, Client, ClientError, Finding, KeySource, Offered, SendSettings, Sender, Settled, Submission,
    SubmissionOutcome,
};
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
    /// The key of this submission, for a repeat after a broken connection; with --receipts also to send the same content
    /// again on purpose; one file only
    #[arg(long)]
    idempotency_key: Option<String>,
    /// Keep each receipt here, as <submission>.receipt.json, and what was sent: what was cut off is finished by the next
    /// run, and the same content goes once; nothing is overwritten (回执目录：中断后续报，相同内容只报一次，不覆盖已有文件)
    #[arg(long)]
    receipts: Option<PathBuf>,
    /// The node's pinned public keys (JWKS): a receipt counts only once it verifies (已固定的节点公钥，用于验证回执)
    #[arg(long, requires = "receipts")]
    keys: Option<PathBuf>,
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
        let refused = block_on(async {
            match &self.receipts {
                Some(folder) => self.out_of_folder(client, folder).await,
                None => self.at_once(&client).await,
            }
        })?;
        if refused > 0 {
            return Err(Failure::Refused(format!(
                "{refused} record(s) were refused  {refused} 条记录被拒绝"
            )));
        }
        Ok(())
    }

    fn submission(&self, file: &Path) -> Result<Submission<'_>, Failure> {
        Ok(Submission {
            op: &self.op,
            schema: self.schema.as_deref(),
            load: self.load.as_deref(),
            media_type: media_type(format_of(self.format.as_deref(), file)?),
            charset: self.charset.as_deref(),
            idempotency_key: self.idempotency_key.clone(),
            strict: self.strict,
            ..Submission::new(&self.dataset, read(file)?)
        })
    }

    /// Nothing is kept; records refused.
    async fn at_once(&self, client: &Client) -> Result<u64, Failure> {
        let mut refused = 0;
        for file in &self.files {
            let sent = client.send(&self.submission(file)?).await.map_err(complain)?;
            let response = sent.response;
            refused += response.refused;
            console::json(&serde_json::json!({
                "file": file.display().to_string(),
                "submission": response.submission,
                "accepted": response.accepted,
                "refused": response.refused,
                "warned": response.warned,
                "errors": response.errors,
            }));
        }
        Ok(refused)
    }

    /// First what an earlier run left, then these files; records refused.
    async fn out_of_folder(&self, client: Client, folder: &Path) -> Result<u64, Failure> {
        let keys = self.keys.clone().map(KeySource::File);
        let mut sender = Sender::open(client, SendSettings { keys, ..SendSettings::new(folder) }).await?;
        let mut refused = 0;
        while let Some(settled) = settle(&mut sender).await? {
            refused += report(&sender, &settled)?;
        }
        for file in &self.files {
            let name = file.display().to_string();
            if let Offered::Known(known) = sender.offer(&name, &self.submission(file)?)? {
                console::complain(format!(
                    "{name}: the same content was taken before as {}; nothing is sent. To send it again on purpose, give --idempotency-key  相同内容已报送，本次不再发送；确需重报请指定 --idempotency-key",
                    known.submission
                ));
                refused += tell(&sender, &name, &known, true)?;
                continue;
            }
            while let Some(settled) = settle(&mut sender).await? {
                refused += report(&sender, &settled)?;
            }
        }
        Ok(refused)
    }
}

/// Sends what waits longest. What the gateway refuses for the member's sake is let go of, as it would be without a folder:
/// the files are still there.
async fn settle(sender: &mut Sender) -> Result<Option<Settled>, Failure> {
    match sender.settle().await {
        Err(error) if error.is_refusal() && !error.is_transient() => {
            let first = sender.waiting().next().map(|(_, key)| key.to_owned());
            if let Some(key) = first {
                sender.discard(&key)?;
            }
            Err(complain(error))
        }
        other => Ok(other?),
    }
}

/// Says what became of a file; records refused.
fn report(sender: &Sender, settled: &Settled) -> Result<u64, Failure> {
    if let Some(epoch) = settled.new_epoch {
        console::complain(format!(
            "the node was restored and is in epoch {epoch}: what has no receipt from before the restored moment must be sent again, with --idempotency-key  节点已恢复，现为第 {epoch} 纪元：恢复时点之后的数据须以新的 --idempotency-key 重报"
        ));
    }
    match &settled.outcome {
        SubmissionOutcome::Accepted(accepted) => tell(sender, &settled.name, accepted, false),
        SubmissionOutcome::Refused(_) => {
            let problem = sender.problem(&settled.key)?.unwrap_or_default();
            Err(complain(ClientError::Problem(Box::new(problem))))
        }
    }
}

fn tell(sender: &Sender, name: &str, accepted: &Acceptance, known: bool) -> Result<u64, Failure> {
    // A receipt that was filed elsewhere takes its findings with it.
    let errors: Vec<Finding> = match sender.findings(accepted) {
        Err(_) if known => Vec::new(),
        other => other?,
    };
    console::json(&serde_json::json!({
        "file": name,
        "submission": accepted.submission,
        "accepted": accepted.accepted,
        "refused": accepted.refused,
        "warned": accepted.warned,
        "errors": errors,
    }));
    Ok(accepted.refused)
}

/// Says what a refusal found about single records.
fn complain(error: ClientError) -> Failure {
    if let ClientError::Problem(problem) = &error {
        problem.errors.iter().for_each(console::json);
    }
    error.into()
}

#[derive(Subcommand)]
pub(crate) enum Recall {
    /// Recall one record by the department's own reference or by its key fields (按记录编号或主键字段撤回一条记录)
    Send(RecallSend),
    /// How far a recall has got, recipient by recipient (撤回进展)
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
    /// The department's own reference of the record (本单位的记录编号)
    #[arg(long = "ref", required_unless_present = "fields")]
    reference: Option<String>,
    /// A key field of a record that was sent without a reference, once for each: CODE=VALUE, by code, alias or Chinese title
    /// (主键字段，逐项给出：字段=值，用于未带编号报送的记录)
    #[arg(long = "field", value_name = "FIELD=VALUE", value_parser = key_field)]
    fields: Vec<(String, String)>,
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

/// A field and its value, as `--field` gives them.
fn key_field(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((field, value)) if !field.is_empty() && !value.is_empty() => Ok((field.into(), value.into())),
        _ => Err("write FIELD=VALUE  格式为 字段=值".into()),
    }
}

impl RecallSend {
    /// The recall as the gateway reads it.
    fn body(&self, effective: String) -> Result<serde_json::Value, Failure> {
        let mut body = serde_json::Map::new();
        let mut put = |name: &str, value: &str| match body.insert(name.to_owned(), value.into()) {
            None => Ok(()),
            Some(_) => Err(Failure::Usage(format!("{name} is given twice  {name} 重复"))),
        };
        if let Some(reference) = &self.reference {
            put("ref", reference)?;
        }
        put("reason", &self.reason)?;
        put("basis", &self.basis)?;
        put("effective", &effective)?;
        for (field, value) in &self.fields {
            put(field, value)?;
        }
        Ok(body.into())
    }
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
                let body = r.body(effective)?;
                block_on(async {
                    let submission = Submission {
                        op: &r.op,
                        schema: r.schema.as_deref(),
                        media_type: "application/json",
                        ..Submission::new(&r.dataset, body.to_string())
                    };
                    let sent = client.send(&submission).await.map_err(complain)?;
                    console::json(&serde_json::json!({
                        "recall": sent.response.submission,
                        "accepted": sent.response.accepted,
                        "errors": sent.response.errors,
                    }));
                    Ok(())
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(subcommand)]
        recall: Recall,
    }

    fn parse(more: &[&str]) -> Result<RecallSend, clap::Error> {
        let first =
            "x send --gateway https://g --ca a --cert b --key c --dataset d --reason mistake --basis B";
        match Line::try_parse_from(first.split(' ').chain(more.iter().copied()))?.recall {
            Recall::Send(send) => Ok(send),
            Recall::Show { .. } => panic!("it sends"),
        }
    }

    #[test]
    fn a_record_is_named_by_reference_or_by_key_fields() {
        let body = |more: &[&str]| parse(more).unwrap().body("2026/11/20".into()).unwrap();
        assert_eq!(body(&["--ref", "2026-1"])["ref"], "2026-1");
        let by_key = body(&["--field", "CF_WSH=厦样罚〔2026〕1号", "--field", "CF_JDRQ=2026/11/01"]);
        assert_eq!(
            by_key,
            serde_json::json!({
                "CF_WSH": "厦样罚〔2026〕1号", "CF_JDRQ": "2026/11/01", "reason": "mistake", "basis": "B", "effective": "2026/11/20",
            })
        );
        assert!(parse(&[]).is_err(), "neither");
        assert!(parse(&["--field", "CF_WSH"]).is_err(), "no value");
        let twice = parse(&["--field", "A=1", "--field", "A=2"]).unwrap().body(String::new());
        assert!(matches!(twice, Err(Failure::Usage(_))));
    }
}
