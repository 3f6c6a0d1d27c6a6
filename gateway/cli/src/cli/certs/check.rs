//! `certs check`: every mistake by name, before anything goes live.

use super::request::For;
use super::{day, passphrase, read, read_all, tell};
use crate::cli::Failure;
use crate::console::say;
use clap::Args;
use std::path::PathBuf;
use xinqiao_certs::{Bundle, Details, Placed, UnixTime};

#[derive(Args)]
pub(crate) struct Check {
    /// Certificate chains, PEM, leaf first (证书链文件)
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The private key of the first file (首个文件的私钥)
    #[arg(long)]
    key: Option<PathBuf>,
    /// File with the passphrase of the key (私钥口令文件)
    #[arg(long)]
    passphrase_file: Option<PathBuf>,
    /// The peers' trust anchors, PEM; may be repeated (信任锚)
    #[arg(long)]
    ca: Vec<PathBuf>,
    /// Revocation lists, PEM or DER; may be repeated (吊销列表)
    #[arg(long)]
    crl: Vec<PathBuf>,
    #[command(flatten)]
    purpose: For,
}

impl Check {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let secret = passphrase(self.passphrase_file.as_deref())?;
        let key = self
            .key
            .as_ref()
            .map(|path| Ok::<_, Failure>((path, zeroize::Zeroizing::new(read(path)?))))
            .transpose()?;
        let key_place = key.as_ref().map(|(path, _)| path.display().to_string()).unwrap_or_default();
        let (anchors, lists) = (read_all(&self.ca)?, read_all(&self.crl)?);
        let (anchors, lists) = (placed(&anchors), placed(&lists));
        let mut mistakes = 0;
        for (at, (place, chain)) in read_all(&self.files)?.iter().enumerate() {
            let bundle = Bundle {
                chain: (place, chain),
                key: key.as_ref().filter(|_| at == 0).map(|(_, key)| (key_place.as_str(), key.as_slice())),
                passphrase: secret.as_ref().map(|p| p.as_slice()),
                anchors: &anchors,
                lists: &lists,
                purpose: self.purpose.purpose(),
            };
            for details in Details::read(place, chain).unwrap_or_default() {
                say(format!(
                    "{place}: {}; issuer 签发者 {}; {}; {} to 至 {}",
                    details.subject,
                    details.issuer,
                    details.key,
                    day(details.not_before),
                    day(details.not_after)
                ));
            }
            let found = tell(&bundle.examine(UnixTime::now()));
            if found == 0 {
                say(format!("{place}: ok  正常"));
            }
            mistakes += found;
        }
        match mistakes {
            0 => Ok(()),
            n => Err(Failure::Failed(format!(
                "{n} mistake(s) found; do not put this into service\n发现 {n} 处错误，请勿启用"
            ))),
        }
    }
}

fn placed(files: &[(String, Vec<u8>)]) -> Vec<Placed<'_>> {
    files.iter().map(|(place, bytes)| (place.as_str(), bytes.as_slice())).collect()
}
