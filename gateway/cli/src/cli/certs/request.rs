//! `certs request` and `certs install`: CSR out, chain in.

use super::{Whom, in_both_languages, make_directory, read_all, tell};
use crate::cli::Failure;
use crate::console::say;
use clap::Args;
use std::path::PathBuf;
use std::time::SystemTime;
use xinqiao_certs::pki::{Installation, KeyRequest, Request, Validity, install, write_private, write_public};
use xinqiao_certs::{Placed, Purpose, Role, UnixTime};

#[derive(Args)]
pub(crate) struct Make {
    #[command(flatten)]
    whom: Whom,
    /// The trust domain, such as xm.example (信任域)
    #[arg(long)]
    domain: String,
    /// Directory for MEMBER.csr and MEMBER.key (输出目录)
    #[arg(long)]
    out: PathBuf,
}

#[derive(Args)]
pub(crate) struct Install {
    /// The authority's answer: PEM in any order, DER or PKCS#7 (机构答复)
    #[arg(long)]
    chain: PathBuf,
    /// The private key of the request; moved to --to-key (申请时的私钥)
    #[arg(long)]
    key: PathBuf,
    /// File with the passphrase of the key (私钥口令文件)
    #[arg(long)]
    passphrase_file: Option<PathBuf>,
    /// Where the chain goes, as the configuration names it (证书链目标文件)
    #[arg(long)]
    to_cert: PathBuf,
    /// Where the key goes; left out: it stays where it is (私钥目标文件)
    #[arg(long)]
    to_key: Option<PathBuf>,
    /// The peers' trust anchors, PEM; may be repeated (信任锚)
    #[arg(long)]
    ca: Vec<PathBuf>,
    #[command(flatten)]
    purpose: For,
}

/// What a certificate must be good for.
#[derive(Args, Default)]
pub(super) struct For {
    /// A name or address peers dial; may be repeated (对端所用域名或地址)
    #[arg(long)]
    pub(super) host: Vec<String>,
    /// The role it must say (应有角色)
    #[arg(long, conflicts_with = "host")]
    pub(super) role: Option<Role>,
    /// The member it must be for (应有成员名)
    #[arg(long, requires = "role")]
    pub(super) member: Option<String>,
    /// The trust domain it must say (应有信任域)
    #[arg(long, requires = "role")]
    pub(super) domain: Option<String>,
}

impl For {
    pub(super) fn purpose(&self) -> Purpose<'_> {
        match (self.role, self.host.is_empty()) {
            (Some(role), _) => {
                Purpose::Member { trust_domain: self.domain.as_deref(), role, name: self.member.as_deref() }
            }
            (None, false) => Purpose::Server { names: &self.host },
            (None, true) => Purpose::Any,
        }
    }
}

impl Make {
    pub(crate) fn run(self) -> Result<(), Failure> {
        make_directory(&self.out)?;
        let (csr, key) = (
            self.out.join(format!("{}.csr", self.whom.member)),
            self.out.join(format!("{}.key", self.whom.member)),
        );
        if key.exists() {
            return Err(Failure::Failed(format!(
                "request.key-exists: {} is there already and may belong to a certificate in use; choose another directory\n{} 已存在，可能是正在使用的私钥，请另选目录",
                key.display(),
                key.display()
            )));
        }
        let validity = Validity::days(SystemTime::now(), 365);
        let mut request = Request::new(self.whom.role, &self.domain, &self.whom.member, validity);
        request.uscc = self.whom.uscc.as_deref();
        request.dns.clone_from(&self.whom.dns);
        request.ips.clone_from(&self.whom.ip);
        let made = KeyRequest::create(&request)?;
        write_private(&key, made.key_pem().as_bytes())?;
        write_public(&csr, made.request_pem().as_bytes())?;
        say(format!(
            "send {} to the authority; {} stays here. Then: xinqiao certs install --chain ANSWER --key {} --to-cert …",
            csr.display(),
            key.display(),
            key.display()
        ));
        say(format!(
            "请将 {} 交给发证机构；私钥 {} 留在本机。收到答复后执行 certs install。",
            csr.display(),
            key.display()
        ));
        Ok(())
    }
}

impl Install {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let anchors = read_all(&self.ca)?;
        let anchors: Vec<Placed<'_>> =
            anchors.iter().map(|(place, bytes)| (place.as_str(), bytes.as_slice())).collect();
        let to_key = self.to_key.as_deref().unwrap_or(&self.key);
        let done = install(
            &Installation {
                response: &self.chain,
                key: &self.key,
                passphrase: self.passphrase_file.as_deref(),
                anchors: &anchors,
                purpose: self.purpose.purpose(),
                certificate_to: &self.to_cert,
                key_to: to_key,
            },
            UnixTime::now(),
        );
        match done {
            Ok(notes) => {
                tell(&notes);
                // The key of the request is in its place now; a second copy would be one to guard, and would keep `certs
                // renew` waiting for an answer that came.
                if to_key != self.key {
                    let _ = std::fs::remove_file(&self.key);
                }
                say(format!(
                    "installed: {} and {}; a running node takes them up by itself, a member's program with its next connection",
                    self.to_cert.display(),
                    to_key.display()
                ));
                say(format!(
                    "已安装 {} 与 {}；运行中的节点会自动启用，成员的程序在重新连接后使用",
                    self.to_cert.display(),
                    to_key.display()
                ));
                Ok(())
            }
            Err(mistakes) => {
                let mistakes: Vec<String> = mistakes.iter().map(in_both_languages).collect();
                Err(Failure::Failed(format!(
                    "{}\nnothing was installed\n未安装任何文件",
                    mistakes.join("\n")
                )))
            }
        }
    }
}
