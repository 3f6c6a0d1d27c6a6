//! `certs ca`: the small authority.

use super::{Whom, day, make_directory, minute, passphrase, read};
use crate::cli::Failure;
use crate::console::say;
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use xinqiao_certs::pki::{
    Entry, Pkcs12Kind, Reason, Request, SigningRequest, SmallCa, Validity, previous, write_private,
    write_public,
};

#[derive(Subcommand)]
pub(crate) enum Ca {
    /// Make root and issuing authority; their keys are sealed unless --plain is given (新建机构)
    Init(Init),
    /// A key and a certificate for a member (签发)
    Issue(Issue),
    /// A certificate for a member's own request (签发申请)
    Sign(Sign),
    /// Enter a certificate as revoked; it counts with the next list (吊销)
    Revoke(Revoke),
    /// Sign the next revocation list (吊销列表)
    Crl(Crl),
    /// What was issued and revoked (签发记录)
    List(List),
}

/// Where the authority is and how its keys open.
#[derive(Args)]
pub(crate) struct Place {
    /// The authority's directory (机构目录)
    #[arg(long)]
    dir: PathBuf,
    /// File with the passphrase of its keys, mode 0600 (口令文件)
    #[arg(long)]
    passphrase_file: Option<PathBuf>,
}

impl Place {
    fn open(&self) -> Result<SmallCa, Failure> {
        open(&self.dir, self.passphrase_file.as_deref())
    }
}

pub(super) fn open(dir: &Path, passphrase_file: Option<&Path>) -> Result<SmallCa, Failure> {
    let passphrase = passphrase(passphrase_file)?;
    Ok(SmallCa::open(dir, passphrase.as_ref().map(|p| p.as_slice()))?)
}

#[derive(Args)]
pub(crate) struct Init {
    #[command(flatten)]
    place: Place,
    /// Its name, such as "Xiamen Credit" (机构名称)
    #[arg(long)]
    name: String,
    /// A trust domain it issues for, such as xm.example; may be repeated (信任域)
    #[arg(long, required = true)]
    domain: Vec<String>,
    /// Years the root is good for; the issuing authority gets half (根证书年限)
    #[arg(long, default_value_t = 10)]
    years: u64,
    /// Leave the keys open, guarded by file permissions alone (密钥不加密)
    #[arg(long, conflicts_with = "passphrase_file")]
    plain: bool,
}

#[derive(Args)]
pub(crate) struct Issue {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    whom: Whom,
    /// The trust domain, if the authority has several (信任域)
    #[arg(long)]
    domain: Option<String>,
    /// Days it is good for (有效天数)
    #[arg(long, default_value_t = 365)]
    days: u64,
    /// Directory for MEMBER.crt and MEMBER.key (输出目录)
    #[arg(long)]
    out: PathBuf,
    /// Also write key, chain and root as PKCS#12 (PKCS#12 文件)
    #[arg(long, requires = "p12_passphrase_file")]
    p12: Option<PathBuf>,
    /// File with the passphrase of the PKCS#12 file (PKCS#12 口令文件)
    #[arg(long)]
    p12_passphrase_file: Option<PathBuf>,
    /// Seal the PKCS#12 file for Java 8 before update 301 (旧版 Java 兼容，强度低)
    #[arg(long, requires = "p12")]
    legacy: bool,
}

#[derive(Args)]
pub(crate) struct Sign {
    #[command(flatten)]
    place: Place,
    /// The request, PKCS#10 in PEM or DER (申请文件)
    #[arg(long)]
    csr: PathBuf,
    /// What it must ask for; without these the request's own words are granted as printed (限定角色与成员)
    #[arg(long)]
    role: Option<xinqiao_certs::Role>,
    /// The member it must be for (限定成员)
    #[arg(long)]
    member: Option<String>,
    /// Days it is good for (有效天数)
    #[arg(long, default_value_t = 365)]
    days: u64,
    /// Where the chain goes (证书链输出文件)
    #[arg(long)]
    out: PathBuf,
}

#[derive(Args)]
pub(crate) struct Revoke {
    #[command(flatten)]
    place: Place,
    /// The serial number, hexadecimal (序列号)
    #[arg(long, required_unless_present = "cert", conflicts_with = "cert")]
    serial: Option<String>,
    /// Or the certificate itself (或证书文件)
    #[arg(long)]
    cert: Option<PathBuf>,
    /// unspecified, key-compromise, affiliation-changed, superseded, cessation-of-operation or privilege-withdrawn (原因)
    #[arg(long, default_value = "unspecified")]
    reason: String,
}

#[derive(Args)]
pub(crate) struct Crl {
    #[command(flatten)]
    place: Place,
    /// Where the issuing authority's list goes (签发机构列表)
    #[arg(long)]
    out: PathBuf,
    /// Where the root's list goes; needs the root's key (根机构列表)
    #[arg(long)]
    root_out: Option<PathBuf>,
    /// Days until the next list is promised (下次更新天数)
    #[arg(long, default_value_t = 7)]
    days: u64,
}

#[derive(Args)]
pub(crate) struct List {
    #[command(flatten)]
    place: Place,
    /// JSON lines, as they stand in the index (JSON 输出)
    #[arg(long)]
    json: bool,
}

impl Ca {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Ca::Init(c) => c.run(),
            Ca::Issue(c) => c.run(),
            Ca::Sign(c) => c.run(),
            Ca::Revoke(c) => c.run(),
            Ca::Crl(c) => c.run(),
            Ca::List(c) => c.run(),
        }
    }
}

impl Init {
    fn run(self) -> Result<(), Failure> {
        if self.place.passphrase_file.is_none() && !self.plain {
            return Err(Failure::Usage(
                "the authority's keys are sealed: give --passphrase-file, or --plain to leave them open\n机构密钥须加密保存：请给出 --passphrase-file，或以 --plain 明示不加密".into(),
            ));
        }
        let passphrase = passphrase(self.place.passphrase_file.as_deref())?;
        let domains: Vec<&str> = self.domain.iter().map(String::as_str).collect();
        SmallCa::init(
            &self.place.dir,
            &self.name,
            &domains,
            self.years,
            passphrase.as_ref().map(|p| p.as_slice()),
            SystemTime::now(),
        )?;
        let dir = self.place.dir.display();
        say(format!(
            "made in {dir}: root.crt is the trust anchor for others; keep root.key off this machine when it is not needed, and back up the directory"
        ));
        say(format!("已在 {dir} 建立：root.crt 供各方作为信任锚；root.key 平时请离线保存，并备份该目录"));
        Ok(())
    }
}

impl Issue {
    fn run(self) -> Result<(), Failure> {
        let p12 = passphrase(self.p12_passphrase_file.as_deref())?;
        let mut ca = self.place.open()?;
        let domain = domain(&ca, self.domain.as_deref())?;
        let now = SystemTime::now();
        let mut request =
            Request::new(self.whom.role, &domain, &self.whom.member, Validity::days(now, self.days));
        request.uscc = self.whom.uscc.as_deref();
        request.dns.clone_from(&self.whom.dns);
        request.ips.clone_from(&self.whom.ip);
        make_directory(&self.out)?;
        let certificate = self.out.join(format!("{}.crt", self.whom.member));
        let replaces = certificate.exists();
        let issued = ca.issue(&request, now)?;
        issued.write_to(&self.out, &self.whom.member)?;
        if let (Some(path), Some(passphrase)) = (&self.p12, &p12) {
            let kind = if self.legacy { Pkcs12Kind::Legacy } else { Pkcs12Kind::Modern };
            let passphrase = super::export::text(passphrase)?;
            let bytes = issued.pkcs12_as(ca.authority(), &self.whom.member, passphrase, kind)?;
            write_private(path, &bytes)?;
        }
        let (out, member) = (self.out.display(), &self.whom.member);
        let serial = xinqiao_crypto::hex::encode(issued.serial());
        say(format!("{out}/{member}.crt and {out}/{member}.key written; serial {serial}"));
        say(format!("已写入 {out}/{member}.crt 与 {out}/{member}.key；序列号 {serial}"));
        if replaces {
            let before = previous(&certificate);
            let before = before.display();
            say(format!(
                "the certificate that was there is kept as {before}; it stays valid until it is revoked"
            ));
            say(format!("原证书保留为 {before}，吊销之前仍然有效"));
        }
        Ok(())
    }
}

impl Sign {
    fn run(self) -> Result<(), Failure> {
        let asked = SigningRequest::read(&self.csr.display().to_string(), &read(&self.csr)?)?;
        let now = SystemTime::now();
        let Some(request) = asked.as_request(Validity::days(now, self.days)) else {
            return Err(Failure::Failed(
                "request.no-uri: the request names no member; make it with `xinqiao certs request`\n申请中没有成员 URI，请用 xinqiao certs request 生成".into(),
            ));
        };
        let other = self.role.is_some_and(|role| role != request.role)
            || self.member.as_deref().is_some_and(|member| member != request.name);
        if other {
            return Err(Failure::Failed(format!(
                "request.other-member: the request is for {} {}, not what the command names; nothing was signed\n申请的是 {} {}，与命令所限不符，未签发",
                request.role, request.name, request.role, request.name
            )));
        }
        let mut ca = self.place.open()?;
        let signed = ca.sign(&request, &asked, now)?;
        write_public(&self.out, signed.chain_pem.as_bytes())?;
        let names: Vec<String> =
            request.dns.iter().cloned().chain(request.ips.iter().map(ToString::to_string)).collect();
        say(format!(
            "signed for {} {} of {}{}{}; chain in {}",
            request.role,
            request.name,
            request.trust_domain,
            request.uscc.map(|u| format!(", {u}")).unwrap_or_default(),
            if names.is_empty() { String::new() } else { format!(", names {}", names.join(" ")) },
            self.out.display()
        ));
        say(format!("已签发，证书链写入 {}", self.out.display()));
        Ok(())
    }
}

impl Revoke {
    fn run(self) -> Result<(), Failure> {
        let reason = Reason::ALL.into_iter().find(|r| r.as_str() == self.reason).ok_or_else(|| {
            let known: Vec<&str> = Reason::ALL.iter().map(|r| r.as_str()).collect();
            Failure::Usage(format!("--reason is one of {}", known.join(", ")))
        })?;
        let mut ca = self.place.open()?;
        let serial = match (&self.serial, &self.cert) {
            (Some(serial), _) => serial.clone(),
            (None, Some(path)) => SmallCa::serial_of(&path.display().to_string(), &read(path)?)?,
            (None, None) => return Err(Failure::Usage("--serial or --cert is needed".into())),
        };
        ca.revoke(&serial, reason, SystemTime::now())?;
        say(format!("{serial} is entered as revoked; sign and distribute a list now: xinqiao certs ca crl"));
        say(format!("{serial} 已登记吊销；请立即生成并分发新列表：xinqiao certs ca crl"));
        Ok(())
    }
}

impl Crl {
    fn run(self) -> Result<(), Failure> {
        let secret = passphrase(self.place.passphrase_file.as_deref())?;
        let mut ca = self.place.open()?;
        let now = SystemTime::now();
        write_public(&self.out, ca.list(self.days, now)?.as_bytes())?;
        if let Some(path) = &self.root_out {
            let list = ca.root_list(secret.as_ref().map(|p| p.as_slice()), self.days, now)?;
            write_public(path, list.as_bytes())?;
        }
        say(format!("{} written; the next one is due in {} days", self.out.display(), self.days));
        say(format!("已写入 {}；请在 {} 天内更新", self.out.display(), self.days));
        Ok(())
    }
}

impl List {
    fn run(self) -> Result<(), Failure> {
        let index = xinqiao_certs::pki::Index::open(&self.place.dir.join("index.jsonl"))?;
        for entry in index.entries() {
            if self.json {
                crate::console::json(entry);
                continue;
            }
            match entry {
                Entry::Issued { serial, uri, time, not_after, .. } => {
                    let state = if index.revoked(serial) { "revoked 已吊销" } else { "" };
                    say(format!("{serial}  {uri}  {} – {}  {state}", minute(*time), day(*not_after)));
                }
                Entry::List { number, root, next_update, .. } => {
                    let whose = if *root { "root" } else { "issuing" };
                    say(format!("list {number} of {whose}, next {}", day(*next_update)));
                }
                Entry::Created { name, domains, .. } => say(format!("{name}: {}", domains.join(" "))),
                Entry::Revoked { .. } => {}
            }
        }
        Ok(())
    }
}

/// The one domain meant.
pub(super) fn domain(ca: &SmallCa, asked: Option<&str>) -> Result<String, Failure> {
    match (asked, ca.authority().trust_domains()) {
        (Some(domain), _) => Ok(domain.to_owned()),
        (None, [one]) => Ok(one.clone()),
        (None, several) => Err(Failure::Usage(format!(
            "--domain is needed: this authority issues for {}\n请给出 --domain：该机构为多个信任域签发",
            several.join(", ")
        ))),
    }
}
