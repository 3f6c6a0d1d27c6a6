//! `certs`: making, requesting, checking, installing and renewing certificates.

mod ca;
mod check;
mod export;
mod renew;
mod request;
mod status;

use super::Failure;
use crate::console::say;
use clap::{Args, Subcommand};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use xinqiao_certs::{Finding, Role};
use xinqiao_explain::Explanation;
use zeroize::Zeroizing;

#[derive(Subcommand)]
pub(crate) enum Certs {
    /// A small authority, for sites that have none (小型证书机构)
    #[command(subcommand)]
    Ca(ca::Ca),
    /// Make a key and a request for an authority: CSR out (证书申请)
    Request(request::Make),
    /// Check an authority's answer and put it in place: chain in (安装证书)
    Install(request::Install),
    /// Name every mistake in certificates, keys, lists and anchors (检查证书)
    Check(check::Check),
    /// Write key and chain for browsers and Java, PKCS#12 (导出 PKCS#12)
    Export(export::Export),
    /// Every certificate, list and anchor of a node with days left (证书状态)
    Status(status::Status),
    /// Renew what is due at two thirds of its life; for a timer (证书更新)
    Renew(renew::Renew),
}

impl Certs {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Certs::Ca(c) => c.run(),
            Certs::Request(c) => c.run(),
            Certs::Install(c) => c.run(),
            Certs::Check(c) => c.run(),
            Certs::Export(c) => c.run(),
            Certs::Status(c) => c.run(),
            Certs::Renew(c) => c.run(),
        }
    }
}

/// Whom a certificate is for.
#[derive(Args)]
pub(super) struct Whom {
    /// department, recipient, node, relay, repair-authority, front-proxy, system-officer, security-officer or auditor (角色)
    #[arg(long)]
    role: Role,
    /// The member's name: lower-case letters, digits and hyphens (成员名)
    #[arg(long)]
    member: String,
    /// The organisation's unified social credit code (统一社会信用代码)
    #[arg(long, value_parser = social_credit_code)]
    uscc: Option<String>,
    /// A host name peers dial; may be repeated (域名)
    #[arg(long)]
    dns: Vec<String>,
    /// An address peers dial; may be repeated (IP 地址)
    #[arg(long)]
    ip: Vec<IpAddr>,
}

/// A code that people typed: GB 32100 with its check character.
fn social_credit_code(text: &str) -> Result<String, String> {
    use xinqiao_schemas::identifier::uscc::{Kind, check};
    match check(text) {
        Ok(Kind::Placeholder) | Err(_) => Err(
            "not a unified social credit code: 18 digits and capital letters, the last of them the check character; compare it with the licence  不是有效的统一社会信用代码（18 位，末位为校验码），请核对执照"
                .into(),
        ),
        Ok(_) => Ok(text.to_owned()),
    }
}

impl From<Explanation> for Failure {
    fn from(e: Explanation) -> Self {
        Failure::Failed(in_both_languages(&e))
    }
}

fn in_both_languages(e: &Explanation) -> String {
    format!("{}: {}\n{}", e.code(), e.english(), e.chinese())
}

/// Prints findings; answers how many of them are mistakes.
fn tell(findings: &[Finding]) -> usize {
    for finding in findings.iter().filter(|f| !f.is_error()) {
        say(format!("note  提示  {}", in_both_languages(finding.problem())));
    }
    for finding in findings.iter().filter(|f| f.is_error()) {
        say(format!("error  错误  {}", in_both_languages(finding.problem())));
    }
    findings.iter().filter(|f| f.is_error()).count()
}

fn passphrase(file: Option<&Path>) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
    Ok(file.map(xinqiao_certs::pki::passphrase).transpose()?)
}

/// Files in memory, with their names.
fn read_all(files: &[PathBuf]) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    files.iter().map(|path| Ok((path.display().to_string(), read(path)?))).collect()
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|e| {
        Failure::Failed(format!(
            "file.unreadable: {}: cannot be read ({e}); check the path and its permissions\n{}：无法读取，请检查路径与权限",
            path.display(),
            path.display()
        ))
    })
}

/// Makes a directory for what a command writes.
fn make_directory(path: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(path).map_err(|e| {
        Failure::Failed(format!(
            "file.unwritable: {}: cannot be made ({e}); check its parent's permissions\n{}：无法创建，请检查上级目录权限",
            path.display(),
            path.display()
        ))
    })
}

/// The day of a moment in China, `YYYY-MM-DD`.
/// Date and time of day in China.
fn minute(seconds: u64) -> String {
    let of_day = (seconds + 8 * 3_600) % 86_400;
    format!("{} {:02}:{:02}", day(seconds), of_day / 3_600, of_day % 3_600 / 60)
}

fn day(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    xinqiao_schemas::Date::business_day(seconds).to_string()
}
