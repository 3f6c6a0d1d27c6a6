//! A small authority in a directory: for sites that have none.
//!
//! `root.crt` `root.key` `issuing.crt` `issuing.key` `index.jsonl`. The root signs the issuing authority and its own
//! revocation list only: its key can be kept elsewhere between those days.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use xinqiao_crypto::{hex, sha256};
use zeroize::Zeroizing;

use super::authority::{Authority, Issued, Reason, Request, Signed, Validity};
use super::files::{write_private, write_public};
use super::index::{Entry, Index};
use super::{SigningRequest, key_as_pkcs8, seal_key};
use crate::details::Details;
use crate::file::read;
use xinqiao_explain::Explanation;

/// The open authority. Its index is locked until it is dropped.
pub struct SmallCa {
    directory: PathBuf,
    issuing: Authority,
    index: Index,
}

impl SmallCa {
    /// Makes root and issuing authority in an empty directory. Without a passphrase the keys lie open.
    pub fn init(
        directory: &Path,
        name: &str,
        domains: &[&str],
        years: u64,
        passphrase: Option<&[u8]>,
        now: SystemTime,
    ) -> Result<Self, Explanation> {
        for domain in domains {
            if !crate::member::is_trust_domain(domain) {
                return Err(Explanation::new(
                    "pki.name-malformed",
                    format!("{domain} is no trust domain; it looks like xm.example"),
                    format!("{domain} 不是信任域，应形如 xm.example"),
                ));
            }
        }
        std::fs::create_dir_all(directory).map_err(|e| super::files::cannot_write(directory, &e))?;
        let days = |years: u64| Validity::days(now, years.saturating_mul(365));
        let root = Authority::create_root(&format!("{name} Root"), domains, days(years))?;
        let issuing = root.issue_intermediate(&format!("{name} Issuing"), days(years.div_ceil(2)))?;
        let mut index = Index::create(&directory.join("index.jsonl"))?;
        for (authority, name) in [(&root, "root"), (&issuing, "issuing")] {
            let key = match passphrase {
                Some(passphrase) => seal_key(&authority.key_pem(), passphrase)?,
                None => authority.key_pem(),
            };
            write_private(&directory.join(format!("{name}.key")), key.as_bytes())?;
            write_public(&directory.join(format!("{name}.crt")), authority.chain_pem().as_bytes())?;
        }
        index.add(Entry::Created {
            time: seconds(now),
            name: name.to_owned(),
            domains: domains.iter().map(|domain| (*domain).to_owned()).collect(),
        })?;
        Ok(Self { directory: directory.to_owned(), issuing, index })
    }

    /// Opens the issuing authority.
    pub fn open(directory: &Path, passphrase: Option<&[u8]>) -> Result<Self, Explanation> {
        let index = Index::open(&directory.join("index.jsonl"))?;
        let issuing = open(directory, "issuing", &index, passphrase)?;
        Ok(Self { directory: directory.to_owned(), issuing, index })
    }

    /// A key and a certificate for a member.
    pub fn issue(&mut self, request: &Request<'_>, now: SystemTime) -> Result<Issued, Explanation> {
        self.check_end(request, now)?;
        let issued = self.issuing.issue(request)?;
        self.enter(request, issued.serial(), issued.chain()[0].as_ref(), now)?;
        Ok(issued)
    }

    /// A certificate for a member's own key.
    pub fn sign(
        &mut self,
        request: &Request<'_>,
        signing: &SigningRequest,
        now: SystemTime,
    ) -> Result<Signed, Explanation> {
        self.check_end(request, now)?;
        let signed = self.issuing.sign(request, signing)?;
        self.enter(request, &signed.serial, signed.chain[0].as_ref(), now)?;
        Ok(signed)
    }

    fn check_end(&self, request: &Request<'_>, now: SystemTime) -> Result<(), Explanation> {
        let end = self.issuing.not_after();
        if seconds(request.validity.not_after) <= end {
            return Ok(());
        }
        let days = end.saturating_sub(seconds(now)) / 86_400;
        Err(Explanation::new(
            "pki.outlives-authority",
            format!(
                "the certificate would outlive its authority, which has {days} days left; ask for fewer days, or make a new authority"
            ),
            format!("证书的有效期将超过签发机构（剩余 {days} 天），请缩短有效期或新建签发机构"),
        ))
    }

    fn enter(
        &mut self,
        request: &Request<'_>,
        serial: &[u8],
        leaf: &[u8],
        now: SystemTime,
    ) -> Result<(), Explanation> {
        self.index.add(Entry::Issued {
            time: seconds(now),
            serial: hex::encode(serial),
            uri: crate::member::uri(request.trust_domain, request.role, request.name),
            uscc: request.uscc.map(str::to_owned),
            not_after: seconds(request.validity.not_after),
            sha256: hex::encode(&sha256(leaf)),
        })
    }

    /// Enters a serial number (hexadecimal) as revoked. It counts once the next list is in force.
    pub fn revoke(&mut self, serial: &str, reason: Reason, now: SystemTime) -> Result<(), Explanation> {
        let plain: String = serial.chars().filter(|c| *c != ':').collect::<String>().to_ascii_lowercase();
        if hex::decode(&plain).is_none() || !self.index.issued(&plain) {
            return Err(Explanation::new(
                "pki.serial-unknown",
                format!(
                    "this authority issued no certificate with serial number {serial}; `certs ca list` shows them"
                ),
                format!("该机构未签发过序列号为 {serial} 的证书，可用 certs ca list 查看"),
            ));
        }
        if self.index.revoked(&plain) {
            return Err(Explanation::new(
                "pki.revoked-already",
                format!("serial number {serial} was revoked before; make a new list with `certs ca crl`"),
                format!("序列号 {serial} 此前已吊销，请用 certs ca crl 生成新的列表"),
            ));
        }
        self.index.add(Entry::Revoked { time: seconds(now), serial: plain, reason })
    }

    /// The serial number of a certificate file this authority issued.
    pub fn serial_of(place: &str, pem: &[u8]) -> Result<String, Explanation> {
        let certificates = Details::read(place, pem)?;
        Ok(certificates.first().expect("at least one").serial.clone())
    }

    /// The next list of the issuing authority, PEM.
    pub fn list(&mut self, days: u64, now: SystemTime) -> Result<String, Explanation> {
        let validity = Validity::days(now, days);
        let (number, revoked) = (self.index.next_number(false), self.index.to_list(seconds(now)));
        let list = self.issuing.revocation_list(number, validity, &revoked)?;
        let next_update = seconds(validity.not_after);
        self.index.add(Entry::List { time: seconds(now), number, root: false, next_update })?;
        Ok(list)
    }

    /// The next list of the root, which names no certificate: it vouches for the issuing authority. Opens the root's key.
    pub fn root_list(
        &mut self,
        passphrase: Option<&[u8]>,
        days: u64,
        now: SystemTime,
    ) -> Result<String, Explanation> {
        let root = open(&self.directory, "root", &self.index, passphrase)?;
        let validity = Validity::days(now, days);
        let number = self.index.next_number(true);
        let list = root.revocation_list(number, validity, &[])?;
        let next_update = seconds(validity.not_after);
        self.index.add(Entry::List { time: seconds(now), number, root: true, next_update })?;
        Ok(list)
    }

    /// The issuing authority.
    pub fn authority(&self) -> &Authority {
        &self.issuing
    }

    /// What it did so far.
    pub fn index(&self) -> &Index {
        &self.index
    }
}

impl std::fmt::Debug for SmallCa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SmallCa").field("directory", &self.directory).finish_non_exhaustive()
    }
}

fn open(
    directory: &Path,
    name: &str,
    index: &Index,
    passphrase: Option<&[u8]>,
) -> Result<Authority, Explanation> {
    let key_path = directory.join(format!("{name}.key"));
    let key = Zeroizing::new(read(&key_path)?);
    let der = key_as_pkcs8(&key_path.display().to_string(), &key, passphrase)?;
    let block = pem::Pem::new("PRIVATE KEY", der.to_vec());
    let pem = Zeroizing::new(pem::encode(&block));
    let chain = read(&directory.join(format!("{name}.crt")))?;
    let domains = index.domains();
    let domains: Vec<&str> = domains.iter().map(String::as_str).collect();
    Authority::open(&chain, &pem, &domains)
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}
