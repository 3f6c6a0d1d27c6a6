//! `certs export`: PKCS#12 for browsers and Java.

use super::{passphrase, read};
use crate::cli::Failure;
use crate::console::say;
use clap::Args;
use std::path::PathBuf;
use xinqiao_certs::pki::{
    Pkcs12, Pkcs12Kind, certificates, key_as_pkcs8, passphrase as read_passphrase, write_private,
};
use zeroize::Zeroizing;

#[derive(Args)]
pub(crate) struct Export {
    /// The certificate chain, PEM, leaf first (证书链)
    #[arg(long)]
    cert: PathBuf,
    /// Its private key, PEM (私钥)
    #[arg(long)]
    key: PathBuf,
    /// File with the passphrase of the key, if it is sealed (私钥口令文件)
    #[arg(long)]
    passphrase_file: Option<PathBuf>,
    /// Root certificates to include, PEM (一并写入的根证书)
    #[arg(long)]
    ca: Option<PathBuf>,
    /// The file to write (输出文件)
    #[arg(long)]
    p12: PathBuf,
    /// File with the passphrase of the PKCS#12 file (PKCS#12 口令文件)
    #[arg(long)]
    p12_passphrase_file: PathBuf,
    /// The name of the entry (条目名称)
    #[arg(long, default_value = "xinqiao")]
    alias: String,
    /// Seal it for Java 8 before update 301 and other old clients: PBE-SHA1-3DES, weak (旧版兼容，强度低)
    #[arg(long)]
    legacy: bool,
}

impl Export {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let secret = passphrase(self.passphrase_file.as_deref())?;
        let p12_secret = read_passphrase(&self.p12_passphrase_file)?;
        let (chain_place, key_place) = (self.cert.display().to_string(), self.key.display().to_string());
        let chain_text = read(&self.cert)?;
        let key_text = Zeroizing::new(read(&self.key)?);
        let secret = secret.as_ref().map(|p| p.as_slice());
        let bundle = xinqiao_certs::Bundle {
            chain: (&chain_place, &chain_text),
            key: Some((&key_place, &key_text)),
            passphrase: secret,
            anchors: &[],
            lists: &[],
            purpose: xinqiao_certs::Purpose::Any,
        };
        if super::tell(&bundle.examine(xinqiao_certs::UnixTime::now())) > 0 {
            return Err(Failure::Failed("nothing was written\n未写入任何文件".into()));
        }
        let mut chain = certificates(&chain_place, &chain_text)?;
        if let Some(ca) = &self.ca {
            for root in certificates(&ca.display().to_string(), &read(ca)?)? {
                if !chain.contains(&root) {
                    chain.push(root);
                }
            }
        }
        let key = key_as_pkcs8(&key_place, &key_text, secret)?;
        let kind = if self.legacy { Pkcs12Kind::Legacy } else { Pkcs12Kind::Modern };
        let entry = Pkcs12 { alias: &self.alias, key: &key, chain: &chain };
        write_private(&self.p12, &entry.seal(text(&p12_secret)?, kind)?)?;
        say(format!("{} written; give the passphrase by another way", self.p12.display()));
        say(format!("已写入 {}；口令请另行告知", self.p12.display()));
        Ok(())
    }
}

/// PKCS#12 wants its passphrase as text.
pub(super) fn text(passphrase: &[u8]) -> Result<&str, Failure> {
    std::str::from_utf8(passphrase).map_err(|_| {
        Failure::Failed("pki.passphrase-text: the passphrase of a PKCS#12 file must be UTF-8\nPKCS#12 口令须为 UTF-8 文本".into())
    })
}
