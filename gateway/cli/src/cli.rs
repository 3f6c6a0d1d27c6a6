//! The command line. Every command ends with one of five exit codes: 0 done, 1 failed, 2 usage, 3 refused by a gateway,
//! 4 verification failed.

mod admin;
mod backup;
mod calendar;
mod certs;
mod check;
mod demo;
mod keys;
mod log;
mod outbox;
mod policy;
mod pull;
mod send;
mod validate;
mod verify;

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use xinqiao_client::{ClientError, Profile};
use xinqiao_explain::Explain;

/// Xinqiao (信桥): the edge gateway through which a city shares credit records.
#[derive(Parser)]
#[command(name = "xinqiao", version, about, long_about = None, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show everything at once: three nodes, three departments, a province, on this machine (演示)
    Demo(demo::Demo),
    /// Run a node (运行节点)
    Serve(check::ConfigArgs),
    /// Check configuration, catalogue, keys and certificates without starting (检查配置)
    Check(check::ConfigArgs),
    /// The node's own keys: make, rotate, seal, back up (节点密钥)
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Certificates: authority, requests, checks, status, renewal (证书)
    #[command(subcommand)]
    Certs(certs::Certs),
    /// Validate a file of records offline (离线校验)
    Validate(validate::Validate),
    /// Send files of records to a gateway (报送)
    Send(send::Send),
    /// Pull, verify and acknowledge a stream of batches (接收)
    Pull(pull::Pull),
    /// Verify receipts, batches and chains offline (离线验证)
    Verify(verify::Verify),
    /// What a recipient would see, and whether policies hold (共享策略)
    #[command(subcommand)]
    Policy(policy::Policy),
    /// Working days (工作日)
    #[command(subcommand)]
    Calendar(calendar::Calendar),
    /// Recall records, or follow a recall (撤回)
    #[command(subcommand)]
    Recall(send::Recall),
    /// Streams, holds, withheld chunks and dead letters, for officers (出库管理)
    #[command(subcommand)]
    Outbox(outbox::Outbox),
    /// Members, trust, policies, keys and proposals, for officers (安全管理)
    Admin(admin::Admin),
    /// Who received a record, when, on what basis (溯源)
    Trace(outbox::Trace),
    /// Copy a node's data, running or not (备份)
    Backup(backup::Backup),
    /// Put a copy back; a new epoch begins (恢复)
    Restore(backup::Restore),
    /// Read and verify a node's log offline (日志)
    #[command(subcommand)]
    Log(log::Log),
}

/// How to reach a gateway.
#[derive(Args, Debug, Clone)]
pub(crate) struct Connection {
    /// Gateway, `https://host:port`
    #[arg(long, required_unless_present = "profile")]
    gateway: Option<String>,
    /// Own certificate chain, PEM
    #[arg(long, required_unless_present = "profile")]
    cert: Option<PathBuf>,
    /// Own private key, PEM
    #[arg(long, required_unless_present = "profile")]
    key: Option<PathBuf>,
    /// File with the passphrase of the key, if it is sealed (私钥口令文件)
    #[arg(long)]
    passphrase_file: Option<PathBuf>,
    /// Authorities that may vouch for the gateway, PEM
    #[arg(long, required_unless_present = "profile")]
    ca: Option<PathBuf>,
    /// Address to dial instead of looking the gateway's name up
    #[arg(long)]
    address: Option<String>,
    /// All of this from a profile file
    #[arg(long, conflicts_with_all = ["gateway", "cert", "key", "passphrase_file", "ca"])]
    profile: Option<PathBuf>,
}

impl Connection {
    pub(crate) fn profile(&self) -> Result<Profile, ClientError> {
        if let Some(path) = &self.profile {
            return Profile::read(path);
        }
        let (Some(gateway), Some(cert), Some(key), Some(ca)) =
            (&self.gateway, &self.cert, &self.key, &self.ca)
        else {
            return Err(ClientError::setting(
                "command line",
                "--gateway, --cert, --key and --ca, or --profile, are needed",
                "请给出 --gateway、--cert、--key、--ca，或 --profile",
            ));
        };
        let mut profile = Profile::new(gateway, cert, key, ca);
        profile.address = self.address.clone();
        profile.key_passphrase_file = self.passphrase_file.clone();
        Ok(profile)
    }
}

/// How a command ended badly.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It could not be done.
    Failed(String),
    /// The command line is off.
    Usage(String),
    /// A gateway refused.
    Refused(String),
    /// Something does not verify.
    Unverified(String),
}

impl Failure {
    fn code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Refused(_) => 3,
            Self::Unverified(_) => 4,
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::Failed(t) | Self::Usage(t) | Self::Refused(t) | Self::Unverified(t) => t,
        }
    }
}

impl From<ClientError> for Failure {
    fn from(e: ClientError) -> Self {
        let text = format!("{}: {}\n{}", e.code(), e.english(), e.chinese());
        if e.is_verification() {
            Failure::Unverified(text)
        } else if e.is_refusal() {
            Failure::Refused(text)
        } else {
            Failure::Failed(text)
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(e: std::io::Error) -> Self {
        Failure::Failed(e.to_string())
    }
}

/// Parses the command line and runs it.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            let _ = e.print();
            return if e.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    let done = match cli.command {
        Command::Demo(c) => c.run(),
        Command::Serve(c) => c.serve(),
        Command::Check(c) => c.check(),
        Command::Keys(c) => c.run(),
        Command::Certs(c) => c.run(),
        Command::Validate(c) => c.run(),
        Command::Send(c) => c.run(),
        Command::Pull(c) => c.run(),
        Command::Verify(c) => c.run(),
        Command::Policy(c) => c.run(),
        Command::Calendar(c) => c.run(),
        Command::Recall(c) => c.run(),
        Command::Log(c) => c.run(),
        Command::Outbox(c) => c.run(),
        Command::Admin(c) => c.run(),
        Command::Trace(c) => c.run(),
        Command::Backup(c) => c.run(),
        Command::Restore(c) => c.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            crate::console::complain(failure.text());
            ExitCode::from(failure.code())
        }
    }
}

/// Runs a client command's future.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(work)
}
