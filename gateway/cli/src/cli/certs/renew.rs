//! `certs renew`: what a timer runs every day.

use super::ca;
use super::{day, read};
use crate::cli::Failure;
use crate::console::say;
use clap::Args;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use xinqiao_certs::pki::{KeyRequest, Request, Validity, seal_key, write_pair, write_private, write_public};
use xinqiao_certs::{Details, State};
use xinqiao_node::config::Config;
use zeroize::Zeroizing;

#[derive(Args)]
pub(crate) struct Renew {
    /// The node's configuration file (配置文件)
    #[arg(long)]
    config: PathBuf,
    /// A small authority on this machine that issues at once (本机小型机构目录)
    #[arg(long)]
    ca: Option<PathBuf>,
    /// File with the passphrase of its key (机构口令文件)
    #[arg(long, requires = "ca")]
    passphrase_file: Option<PathBuf>,
    /// Also what is not due yet (未到期也更新)
    #[arg(long)]
    force: bool,
}

/// A certificate of this node with its key.
struct Own<'a> {
    certificate: &'a Path,
    key: &'a Path,
    /// Where the passphrase is that the key is sealed with; its successor gets the same.
    secret: Option<&'a Path>,
}

impl Own<'_> {
    fn sealed(&self, key_pem: &str) -> Result<Zeroizing<String>, Failure> {
        match super::passphrase(self.secret)? {
            Some(secret) => Ok(seal_key(key_pem, &secret)?),
            None => Ok(Zeroizing::new(key_pem.to_owned())),
        }
    }
}

impl Renew {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let config = Config::load(&self.config).map_err(|e| Failure::Failed(e.to_string()))?;
        let exchange = Own {
            certificate: &config.exchange.certificate,
            key: &config.exchange.key,
            secret: config.exchange.key_passphrase_file.as_deref(),
        };
        let upstreams = config.upstreams.iter().filter_map(|upstream| {
            Some(Own {
                certificate: upstream.certificate.as_deref()?,
                key: upstream.key.as_deref()?,
                secret: None,
            })
        });
        let mut seen: Vec<&Path> = Vec::new();
        for own in std::iter::once(exchange).chain(upstreams) {
            if !seen.contains(&own.certificate) {
                seen.push(own.certificate);
                self.one(&own)?;
            }
        }
        Ok(())
    }

    fn one(&self, own: &Own<'_>) -> Result<(), Failure> {
        let place = own.certificate.display().to_string();
        let details = Details::read(&place, &read(own.certificate)?)?;
        let leaf =
            details.first().ok_or_else(|| Failure::Failed(format!("{place}: holds no certificate")))?;
        let now = SystemTime::now();
        let seconds = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        if leaf.plan().state(seconds) == State::Ok && !self.force {
            say(format!(
                "{place}: not due before {}  {} 前无需更新",
                day(leaf.plan().due()),
                day(leaf.plan().due())
            ));
            return Ok(());
        }
        let Some((domain, role, name)) = leaf.member() else {
            return Err(Failure::Failed(format!(
                "renew.no-uri: {place}: carries no SPIFFE URI; request its successor from the authority that issued it, then `certs install`\n{place}：不含 SPIFFE URI，请向原签发机构申请新证书后执行 certs install"
            )));
        };
        let life = Duration::from_secs(leaf.not_after.saturating_sub(leaf.not_before));
        let start = now - Duration::from_secs(300);
        let mut request = Request::new(role, domain, name, Validity::from(start, life));
        request.uscc = leaf.uscc.as_deref();
        request.dns.clone_from(&leaf.dns);
        request.ips.clone_from(&leaf.ips);
        match &self.ca {
            Some(directory) => {
                // A passphrase file that cannot be used is refused before a certificate is issued for it.
                super::passphrase(own.secret)?;
                let mut authority = ca::open(directory, self.passphrase_file.as_deref())?;
                let issued = authority.issue(&request, now)?;
                let key = own.sealed(issued.key_pem())?;
                write_pair(own.certificate, issued.chain_pem().as_bytes(), own.key, key.as_bytes())?;
                say(format!(
                    "{place}: renewed; a running node takes it up by itself  已更新，运行中的节点会自动启用"
                ));
                Ok(())
            }
            None => self.ask(own, &request),
        }
    }

    /// A new key and a request beside the present pair, which stays in force.
    fn ask(&self, own: &Own<'_>, request: &Request<'_>) -> Result<(), Failure> {
        let (csr, key) = (beside(own.certificate, "csr"), beside(own.key, "new"));
        if csr.exists() && key.exists() && !self.force {
            say(format!("{}: still waits for the authority's answer  仍待发证机构答复", csr.display()));
        } else {
            let made = KeyRequest::create(request)?;
            write_private(&key, own.sealed(made.key_pem())?.as_bytes())?;
            write_public(&csr, made.request_pem().as_bytes())?;
        }
        let sealed = own.secret.map(|file| format!(" --passphrase-file {}", file.display()));
        say(format!(
            "send {} to the authority (交给发证机构), then (收到答复后): xinqiao certs install --chain ANSWER --key {} --to-cert {} --to-key {}{}",
            csr.display(),
            key.display(),
            own.certificate.display(),
            own.key.display(),
            sealed.unwrap_or_default()
        ));
        Ok(())
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}
