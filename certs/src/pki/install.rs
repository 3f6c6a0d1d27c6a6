//! Taking an authority's answer in: everything is checked before a file changes.

use rustls_pki_types::{CertificateDer, UnixTime};
use std::path::Path;

use super::authority::pem_of;
use super::chain::{arrange, certificates};
use super::files::write_pair;
use crate::bundle::{Bundle, Finding, Purpose};
use crate::certificate::PublicKeyPin;
use crate::crypto;
use crate::details::Details;
use crate::file::read;
use crate::identity::{Identity, private_key, trim_passphrase};
use crate::trouble::unusable;
use xinqiao_explain::Explanation;
use zeroize::Zeroizing;

/// An answer to be installed.
#[derive(Debug, Clone, Copy)]
pub struct Installation<'a> {
    /// The authority's answer: PEM in any order, DER or PKCS#7.
    pub response: &'a Path,
    /// The private key of the request.
    pub key: &'a Path,
    /// A file with the passphrase of the key.
    pub passphrase: Option<&'a Path>,
    /// Trust anchors of the peers, PEM; what the chain must lead to. Empty: this is not checked.
    pub anchors: &'a [(&'a str, &'a [u8])],
    /// What the certificate is for.
    pub purpose: Purpose<'a>,
    /// Where the chain goes.
    pub certificate_to: &'a Path,
    /// Where the key goes.
    pub key_to: &'a Path,
}

/// Checks an answer and puts chain and key in place; answers what is worth knowing. Refuses with every mistake found.
pub fn install(what: &Installation<'_>, now: UnixTime) -> Result<Vec<Finding>, Vec<Explanation>> {
    let one = |error: Explanation| vec![error];
    let (response_place, key_place) = (what.response.display().to_string(), what.key.display().to_string());
    let response = read(what.response).map_err(one)?;
    let key = Zeroizing::new(read(what.key).map_err(one)?);
    let passphrase = what.passphrase.map(|path| read(path).map(Zeroizing::new)).transpose().map_err(one)?;
    let passphrase = passphrase.as_ref().map(|text| trim_passphrase(text));
    let found = certificates(&response_place, &response).map_err(one)?;
    let chain = order(&response_place, &key_place, &found, &key, passphrase).map_err(one)?;
    let pem = pem_of(&chain);
    let bundle = Bundle {
        chain: (&response_place, pem.as_bytes()),
        key: Some((&key_place, &key)),
        passphrase,
        anchors: what.anchors,
        lists: &[],
        purpose: what.purpose,
    };
    let findings = bundle.examine(now);
    let errors: Vec<Explanation> =
        findings.iter().filter(|f| f.is_error()).map(|f| f.problem().clone()).collect();
    if !errors.is_empty() {
        return Err(errors);
    }
    let replaced = read(what.certificate_to).ok();
    if let Some(old) = &replaced {
        same_member(what.certificate_to, old, &chain[0]).map_err(one)?;
    }
    write_pair(what.certificate_to, pem.as_bytes(), what.key_to, &key)
        .map_err(|error: Explanation| one(error.at("certs install")))?;
    Ok(findings)
}

/// A certificate that takes another's place must be for the same member: every step would succeed, and the next connection
/// would be refused, with the old key gone.
fn same_member(place: &Path, old: &[u8], new: &CertificateDer<'_>) -> Result<(), Explanation> {
    let old = certificates(&place.display().to_string(), old).ok();
    let old = old.and_then(|all| Details::of(all.first()?).ok());
    let new = Details::of(new).ok();
    let (Some(old), Some(new)) = (old, new) else { return Ok(()) };
    match (old.member(), new.member()) {
        (Some(was), Some(is)) if was != is => {
            let uri =
                |(domain, role, name): (&str, crate::Role, &str)| crate::member::uri(domain, role, name);
            let (was, is) = (uri(was), uri(is));
            Err(unusable(
                "install.other-member",
                &place.display().to_string(),
                format!(
                    "the certificate in place is for {was}, the new one for {is}, which peers would refuse; request it again with the same --role and --member, or move the old file away first if this is meant"
                ),
                format!(
                    "现有证书属于 {was}，新证书属于 {is}，对方将拒绝接入；请用相同的 --role 与 --member 重新申请，如确需更换身份请先移走旧文件"
                ),
            ))
        }
        _ => Ok(()),
    }
}

fn order(
    response_place: &str,
    key_place: &str,
    found: &[CertificateDer<'static>],
    key: &[u8],
    passphrase: Option<&[u8]>,
) -> Result<Vec<CertificateDer<'static>>, Explanation> {
    let key = private_key(key_place, key, passphrase)?;
    let signer = crypto::provider().key_provider.load_private_key(key);
    let public = signer.ok().and_then(|signer| signer.public_key().map(|key| key.to_vec()));
    let Some(public) = public else {
        // The key of a weak or SM2 certificate cannot be loaded; then the certificate is what is wrong.
        Identity::check_strength(response_place, found)?;
        return Err(crate::identity::unusable_key(key_place));
    };
    arrange(response_place, found, &PublicKeyPin::of_key(&public))
}
