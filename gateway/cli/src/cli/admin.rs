//! `admin`: the officers' office from the command line. Reads for people in both languages, or as JSON with `--json`.

mod acts;
mod screens;
mod table;

use super::{Connection, Failure, block_on};
use crate::console;
use acts::{Change, Member, Policy, Trust};
use clap::{Args, Subcommand};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;
use std::path::PathBuf;
use xinqiao_client::{Client, ClientError, RetryPolicy};
use xinqiao_server::officers::{Act, ApprovalRequest, Draft, Key, ProposalView, Reason};

/// Members, trust, policies, keys and proposals of a running node.
#[derive(Args)]
pub(crate) struct Admin {
    #[command(flatten)]
    to: To,
    /// Print the node's answer as JSON (输出 JSON)
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    what: What,
}

/// How to reach the officers' listener; may stand anywhere on the line.
#[derive(Args)]
struct To {
    /// Officers' listener, `https://host:port`
    #[arg(long, global = true)]
    gateway: Option<String>,
    /// Own certificate chain, PEM
    #[arg(long, global = true)]
    cert: Option<PathBuf>,
    /// Own private key, PEM
    #[arg(long, global = true)]
    key: Option<PathBuf>,
    /// File with the passphrase of the key, if it is sealed (私钥口令文件)
    #[arg(long, global = true)]
    passphrase_file: Option<PathBuf>,
    /// Authorities that may vouch for the node, PEM
    #[arg(long, global = true)]
    ca: Option<PathBuf>,
    /// Address to dial instead of looking the node's name up
    #[arg(long, global = true)]
    address: Option<String>,
    /// All of this from a profile file
    #[arg(long, global = true)]
    profile: Option<PathBuf>,
}

#[derive(Subcommand)]
enum What {
    /// One screen: what an officer must look at tonight (今晚须处理事项)
    Status,
    /// Organisations the node knows (成员)
    #[command(subcommand)]
    Members(Member),
    /// Authorities whose certificates are believed (信任锚)
    #[command(subcommand)]
    Trust(Trust),
    /// What recipients may see (共享策略)
    #[command(subcommand)]
    Policy(Policy),
    /// Every certificate, anchor and revocation list with days left (证书状态)
    Certificates,
    /// The node's own keys (节点密钥)
    #[command(subcommand)]
    Keys(Keys),
    /// Changes that wait for an officer, and those that ended (变更提案)
    #[command(subcommand)]
    Proposals(Proposals),
    /// Print a document the node keeps, by its digest (查看文档)
    Document {
        /// SHA-256, hexadecimal, as entries and proposals name it
        digest: String,
    },
    /// Read configuration, certificates and lists again (重新加载)
    Reload {
        /// Only say what would change and who would be locked out (仅预演)
        #[arg(long)]
        dry_run: bool,
    },
    /// Who is locked out after failures (锁定)
    #[command(subcommand)]
    Lockouts(Lockouts),
    /// Entries of the log, for auditors and security officers (审计日志)
    Log {
        /// The newest so many, at most 1000 (最新若干条)
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=1000))]
        last: u64,
        /// From this entry on instead (起始序号)
        #[arg(long, conflicts_with = "last")]
        from: Option<u64>,
        /// How many from there, or from the oldest on, at most 1000; left out: 100 (条数)
        #[arg(long, conflicts_with = "last", value_parser = clap::value_parser!(u64).range(..=1000))]
        limit: Option<u64>,
    },
}

/// The node's own keys.
const KEYS: [Key; 4] = [Key::Manifest, Key::Log, Key::Acknowledgement, Key::AtRest];

#[derive(Subcommand)]
enum Keys {
    /// All of them with their days (密钥状态)
    Status,
    /// Propose that a kind of key gets a successor: manifest, log, acknowledgement, at-rest (轮换密钥)
    Rotate {
        /// The kind
        #[arg(value_parser = KEYS.map(Key::name))]
        kind: String,
        /// At once, without the time in which the new key is only published (立即)
        #[arg(long)]
        now: bool,
        #[command(flatten)]
        change: Change,
    },
}

#[derive(Subcommand)]
enum Proposals {
    /// All of them, the newest first (列出提案)
    List {
        /// open, approved, rejected, expired, withdrawn, enacted or failed
        #[arg(long)]
        state: Option<String>,
    },
    /// One with everything it would do (查看提案)
    Show {
        /// Its number
        id: u64,
    },
    /// Say yes, as a second security officer (批准)
    Approve {
        /// Its number
        id: u64,
        /// The digest `show` printed, or its first 12 digits or more
        #[arg(long)]
        digest: String,
        /// Why; goes into the log
        #[arg(long)]
        reason: String,
        /// A member that may be locked out; repeat for each
        #[arg(long)]
        despite: Vec<String>,
    },
    /// Say no (驳回)
    Reject {
        /// Its number
        id: u64,
        /// Why; goes into the log
        #[arg(long)]
        reason: String,
    },
    /// Take your own back (撤回)
    Withdraw {
        /// Its number
        id: u64,
        /// Why; goes into the log
        #[arg(long)]
        reason: String,
    },
}

#[derive(Subcommand)]
enum Lockouts {
    /// Who is (列出锁定)
    List,
    /// Let an officer of your own role, or an address, try again (解除锁定)
    Lift {
        /// The officer's name, or the address
        name: String,
        /// Why; goes into the log
        #[arg(long)]
        reason: String,
    },
}

/// A node's office, reached.
struct OfficersClient {
    client: Client,
    json: bool,
}

impl Admin {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let connection = Connection {
            gateway: self.to.gateway,
            cert: self.to.cert,
            key: self.to.key,
            passphrase_file: self.to.passphrase_file,
            ca: self.to.ca,
            address: self.to.address,
            profile: self.to.profile,
        };
        // A lock-out says when to come back: an officer decides whether to wait.
        let client = Client::connect(&connection.profile()?)?.with_retry(RetryPolicy::never());
        let officers = OfficersClient { client, json: self.json };
        block_on(async move {
            match self.what {
                What::Status => officers.show("/v1/status", screens::status).await,
                What::Members(what) => what.run(&officers).await,
                What::Trust(what) => what.run(&officers).await,
                What::Policy(what) => what.run(&officers).await,
                What::Certificates => officers.show("/v1/certificates", screens::certificates).await,
                What::Keys(Keys::Status) => officers.show("/v1/keys/status", screens::keys).await,
                What::Keys(Keys::Rotate { kind, now, change }) => {
                    let key = KEYS.into_iter().find(|key| key.name() == kind).expect("clap takes no other");
                    officers.propose(vec![Act::KeyRotate { key, now }], &change).await
                }
                What::Document { digest } => officers.document(&digest).await,
                What::Proposals(what) => proposals(&officers, what).await,
                What::Reload { dry_run } => {
                    let path = if dry_run { "/v1/reload?dry-run=1" } else { "/v1/reload" };
                    officers.tell(path, &serde_json::Map::new(), screens::reloaded).await
                }
                What::Lockouts(Lockouts::List) => officers.show("/v1/lockouts", screens::lockouts).await,
                What::Lockouts(Lockouts::Lift { name, reason }) => {
                    let path = format!("/v1/lockouts/{name}/lift");
                    officers.tell(&path, &Reason { reason }, screens::lifted).await
                }
                What::Log { last, from, limit } => {
                    let path = match (from, limit) {
                        (None, None) => format!("/v1/log/entries?last={last}"),
                        _ => format!(
                            "/v1/log/entries?from={}&limit={}",
                            from.unwrap_or(0),
                            limit.unwrap_or(100)
                        ),
                    };
                    officers.show(&path, screens::entries).await
                }
            }
        })
    }
}

async fn proposals(officers: &OfficersClient, what: Proposals) -> Result<(), Failure> {
    let path = |id: u64, word: &str| format!("/v1/proposals/{id}/{word}");
    match what {
        Proposals::List { state } => {
            let path = state.map_or("/v1/proposals".to_owned(), |s| format!("/v1/proposals?state={s}"));
            officers.show(&path, screens::proposals).await
        }
        Proposals::Show { id } => officers.show(&format!("/v1/proposals/{id}"), screens::proposal).await,
        Proposals::Approve { id, digest, reason, despite } => {
            let seen: ProposalView = understood(&officers.ask(&format!("/v1/proposals/{id}")).await?)?;
            // A few digits are enough to compare by eye; all of them are sent to the node only if they agree.
            let digest =
                if digest.len() >= 12 && seen.digest.starts_with(&digest) { seen.digest } else { digest };
            let approval = ApprovalRequest { digest, reason, locked_out: despite };
            officers.tell(&path(id, "approve"), &approval, screens::proposal).await
        }
        Proposals::Reject { id, reason } => {
            officers.tell(&path(id, "reject"), &Reason { reason }, screens::proposal).await
        }
        Proposals::Withdraw { id, reason } => {
            officers.tell(&path(id, "withdraw"), &Reason { reason }, screens::proposal).await
        }
    }
}

/// An answer as its type. A member that is missing, or a word that is not known, is said and not left blank: an officer
/// must not decide about half of what the node says.
fn understood<T: DeserializeOwned>(response: &RawValue) -> Result<T, Failure> {
    serde_json::from_str(response.get()).map_err(|e| {
        Failure::Failed(format!(
            "client.protocol: the node's answer is not of the form this program knows ({e}); use the version of the node, or --json\n节点的答复与本程序所知的格式不符（{e}）；请使用与节点相同的版本，或加 --json"
        ))
    })
}

impl OfficersClient {
    async fn ask(&self, path: &str) -> Result<Box<RawValue>, Failure> {
        self.client.ask(path).await.map_err(explained)
    }

    /// A document for people: JSON laid out, everything else as it is.
    async fn document(&self, digest: &str) -> Result<(), Failure> {
        let path = format!("/v1/documents/{}", digest.strip_prefix("sha256:").unwrap_or(digest));
        let bytes = self.client.document(&path).await.map_err(explained)?;
        match serde_json::from_slice::<Value>(&bytes) {
            Ok(value) if !self.json => console::say(format!("{value:#}")),
            _ => console::say(String::from_utf8_lossy(&bytes)),
        }
        Ok(())
    }

    async fn show<T: DeserializeOwned>(&self, path: &str, screen: fn(&T)) -> Result<(), Failure> {
        let response = self.ask(path).await?;
        self.print(&response, screen)
    }

    async fn tell<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        screen: fn(&T),
    ) -> Result<(), Failure> {
        let body = serde_json::to_value(body).expect("requests have only string keys");
        let response: Box<RawValue> = self.client.tell(path, &body).await.map_err(explained)?;
        self.print(&response, screen)
    }

    /// Proposes acts, or only says what they would do.
    async fn propose(&self, acts: Vec<Act>, change: &Change) -> Result<(), Failure> {
        let draft = Draft { acts, reason: change.reason.clone(), locked_out: change.despite.clone() };
        if change.dry_run {
            return self.tell("/v1/proposals?dry-run=1", &draft, screens::rehearsal).await;
        }
        self.tell("/v1/proposals", &draft, screens::proposal).await
    }

    /// As the node said it, whatever that is, or on a screen.
    fn print<T: DeserializeOwned>(&self, response: &RawValue, screen: fn(&T)) -> Result<(), Failure> {
        if self.json {
            console::json(&understood::<Value>(response)?);
        } else {
            screen(&understood(response)?);
        }
        Ok(())
    }
}

/// A refusal with everything the node said about it.
fn explained(e: ClientError) -> Failure {
    let mut found = Vec::new();
    if let ClientError::Problem(problem) = &e {
        let each = |f: &xinqiao_client::Finding| {
            format!("  {}: {}\n    {}", f.field.as_deref().unwrap_or("-"), f.en, f.zh)
        };
        found.extend(problem.errors.iter().map(each));
        if let Some(seconds) = problem.retry_after {
            found.push(format!("  again in {seconds} s  请在 {seconds} 秒后重试"));
        }
    }
    match Failure::from(e) {
        Failure::Refused(text) if !found.is_empty() => {
            Failure::Refused(format!("{text}\n{}", found.join("\n")))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xinqiao_server::officers::{KeyView, List};

    #[test]
    fn an_answer_of_another_form_is_an_error_and_no_blank() {
        let key = |state: &str| {
            format!(
                r#"{{"kid":"k","use":"log",{state}"created":"2026-11-21T08:00:00Z","age_days":9,"place":"file"}}"#
            )
        };
        let read = |key: String| {
            let response = RawValue::from_string(format!(r#"{{"items":[{key}],"later":1}}"#)).unwrap();
            match understood::<List<KeyView>>(&response) {
                Ok(list) => Ok(list.items.len()),
                Err(Failure::Failed(why)) => Err(why),
                Err(other) => panic!("{other:?}"),
            }
        };
        assert_eq!(read(key(r#""state":"active","#)), Ok(1), "members may be added");
        assert!(read(key("")).unwrap_err().contains("missing field `state`"));
        assert!(read(key(r#""state":"asleep","#)).unwrap_err().contains("unknown variant `asleep`"));
    }
}
