//! Members, anchors and policies: what officers enter, from files.

use super::{OfficersClient, screens};
use crate::cli::Failure;
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};
use xinqiao_server::officers::{Act, AnchorEntry, MemberEntry, Reason};

/// What goes with every change.
#[derive(Args)]
pub(super) struct Change {
    /// Why; goes into the log (理由，写入日志)
    #[arg(long)]
    pub(super) reason: String,
    /// A member that may be locked out; repeat for each (确认将无法接入的成员)
    #[arg(long)]
    pub(super) despite: Vec<String>,
    /// Only say what would happen and who would be locked out (仅预演)
    #[arg(long)]
    pub(super) dry_run: bool,
}

#[derive(Subcommand)]
pub(super) enum Member {
    /// All of them (列出成员)
    List,
    /// One with its rights (查看成员)
    Show {
        /// Its name
        name: String,
    },
    /// Propose to enter members, or change them: a TOML file as under `[[members]]` (登记或变更成员)
    Add {
        /// The file
        file: PathBuf,
        #[command(flatten)]
        change: Change,
    },
    /// Propose to forget a member (删除成员)
    Remove {
        /// Its name
        name: String,
        #[command(flatten)]
        change: Change,
    },
    /// Let a member in no longer, at once and by one officer (立即停用成员)
    Suspend {
        /// Its name
        name: String,
        /// Why; goes into the log (理由，写入日志)
        #[arg(long)]
        reason: String,
    },
    /// Propose to let a suspended member in again (恢复成员)
    Resume {
        /// Its name
        name: String,
        #[command(flatten)]
        change: Change,
    },
}

#[derive(Subcommand)]
pub(super) enum Trust {
    /// All anchors (列出信任锚)
    List,
    /// Propose to believe an authority (新增信任锚)
    Add {
        /// Its certificate, PEM
        file: PathBuf,
        /// What officers call it
        #[arg(long)]
        name: String,
        /// Trust domains it may assert, separated by commas
        #[arg(long, value_delimiter = ',', required = true)]
        domains: Vec<String>,
        /// Roles it may assert, separated by commas
        #[arg(long, value_delimiter = ',', required = true)]
        roles: Vec<String>,
        #[command(flatten)]
        change: Change,
    },
    /// Propose to believe an authority no longer (移除信任锚)
    Remove {
        /// The digest `trust list` printed
        digest: String,
        #[command(flatten)]
        change: Change,
    },
}

#[derive(Subcommand)]
pub(super) enum Policy {
    /// All policies in force (列出策略)
    List,
    /// Propose a policy: a TOML file as in the catalogue (提出策略)
    Propose {
        /// The file
        file: PathBuf,
        #[command(flatten)]
        change: Change,
    },
}

impl Member {
    pub(super) async fn run(self, officers: &OfficersClient) -> Result<(), Failure> {
        match self {
            Member::List => officers.show("/v1/members", screens::members).await,
            Member::Show { name } => officers.show(&format!("/v1/members/{name}"), screens::member).await,
            Member::Add { file, change } => {
                let acts = entries(&file)?.into_iter().map(|member| Act::MemberPut { member });
                officers.propose(acts.collect(), &change).await
            }
            Member::Remove { name, change } => {
                officers.propose(vec![Act::MemberRemove { name }], &change).await
            }
            Member::Suspend { name, reason } => {
                let path = format!("/v1/members/{name}/suspend");
                officers.tell(&path, &Reason { reason }, screens::suspended).await
            }
            Member::Resume { name, change } => {
                officers.propose(vec![Act::MemberResume { name }], &change).await
            }
        }
    }
}

impl Trust {
    pub(super) async fn run(self, officers: &OfficersClient) -> Result<(), Failure> {
        match self {
            Trust::List => officers.show("/v1/trust", screens::trust).await,
            Trust::Add { file, name, domains, roles, change } => {
                let pem = read(&file)?;
                // The node says which certificate it is.
                let anchor = AnchorEntry { digest: String::new(), name, pem, domains, roles };
                officers.propose(vec![Act::AnchorPut { anchor }], &change).await
            }
            Trust::Remove { digest, change } => {
                officers.propose(vec![Act::AnchorRemove { digest }], &change).await
            }
        }
    }
}

impl Policy {
    pub(super) async fn run(self, officers: &OfficersClient) -> Result<(), Failure> {
        match self {
            Policy::List => officers.show("/v1/policies", screens::policies).await,
            Policy::Propose { file, change } => {
                let document = read(&file)?;
                let id = toml::from_str::<toml::Table>(&document)
                    .ok()
                    .and_then(|t| t.get("id")?.as_str().map(str::to_owned))
                    .ok_or_else(|| unusable(&file, "no TOML with `id`", "不是含 id 的 TOML 文件"))?;
                officers.propose(vec![Act::PolicyPut { id, document }], &change).await
            }
        }
    }
}

/// The members of a file: one alone, or several under `[[members]]`.
fn entries(file: &Path) -> Result<Vec<MemberEntry>, Failure> {
    let usage =
        |e: toml::de::Error| Failure::Usage(format!("{}: {}", file.display(), e.to_string().trim_end()));
    let mut table: toml::Table = toml::from_str(&read(file)?).map_err(usage)?;
    match table.remove("members") {
        Some(members @ toml::Value::Array(_)) => members.try_into().map_err(usage),
        _ => Ok(vec![table.try_into().map_err(usage)?]),
    }
}

fn read(file: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(file).map_err(|e| Failure::Usage(format!("{}: {}", file.display(), e.kind())))
}

fn unusable(file: &Path, en: &str, zh: &str) -> Failure {
    Failure::Usage(format!("{}: {en} {zh}", file.display()))
}
