//! A certificate chain with its private key, checked before it can be used.

mod chain;
mod check;
mod key;
mod ocsp;

pub(crate) use key::{private_key, trim_passphrase};

use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, UnixTime};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use xinqiao_crypto::sha256;
use zeroize::Zeroizing;

use crate::certificate::{self, PublicKeyPin};
use crate::crypto;
use crate::details::Details;
use crate::file::read;
use crate::pair;
use crate::trouble::unusable;
use xinqiao_explain::Explanation;

/// What this process proves itself with: leaf first, then intermediates, and the key of the leaf.
///
/// It exists only if the chain is in order, the key belongs to the leaf and the leaf is valid at the time given.
#[derive(Clone)]
pub struct Identity {
    certified: Arc<CertifiedKey>,
    not_before: u64,
    not_after: u64,
    ocsp_next_update: Option<u64>,
}

/// How often a pair of files that do not match is looked at, and the pause between.
const LOOKS: u32 = 3;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

/// Where an identity comes from.
#[derive(Clone, Copy)]
struct Source<'a> {
    chain_place: &'a str,
    chain: &'a [u8],
    key_place: &'a str,
    key: &'a [u8],
    passphrase: Option<&'a [u8]>,
}

impl Identity {
    /// Reads the two PEM files. They may be one and the same file.
    pub fn from_files(chain: &Path, key: &Path, now: UnixTime) -> Result<Self, Explanation> {
        Self::from_sealed_files(chain, key, None, now)
    }

    /// The same with a file that holds the passphrase of the key, if the key is sealed (PKCS#8, PBES2).
    pub fn from_sealed_files(
        chain: &Path,
        key: &Path,
        passphrase: Option<&Path>,
        now: UnixTime,
    ) -> Result<Self, Explanation> {
        let passphrase = passphrase.map(|path| read(path).map(Zeroizing::new)).transpose()?;
        let mut looked = 0;
        loop {
            looked += 1;
            let hold = pair::to_read(chain);
            let chain_text = read(chain)?;
            let key_text = Zeroizing::new(read(key)?);
            drop(hold);
            let source = Source {
                chain_place: &chain.display().to_string(),
                chain: &chain_text,
                key_place: &key.display().to_string(),
                key: &key_text,
                passphrase: passphrase.as_ref().map(|text| key::trim_passphrase(text)),
            };
            match Self::build(&source, now) {
                // Another program (one that does not lock) may be replacing the two files this very moment.
                Err(error) if error.code() == "identity.key-mismatch" && looked < LOOKS => {
                    std::thread::sleep(PAUSE);
                }
                done => return done,
            }
        }
    }

    /// The same from texts already in memory.
    pub fn from_pem(chain: &[u8], key: &[u8], now: UnixTime) -> Result<Self, Explanation> {
        Self::from_sealed_pem(chain, key, None, now)
    }

    /// The same from texts already in memory, with the passphrase of the key.
    pub fn from_sealed_pem(
        chain: &[u8],
        key: &[u8],
        passphrase: Option<&[u8]>,
        now: UnixTime,
    ) -> Result<Self, Explanation> {
        let source =
            Source { chain_place: "certificate chain", chain, key_place: "private key", key, passphrase };
        Self::build(&source, now)
    }

    /// With an OCSP response (DER) to staple to the certificate.
    ///
    /// It must be about this certificate, call it good and be current. Its signature is checked if the issuer's
    /// certificate is in the chain; clients check it in any case.
    pub fn with_ocsp(self, response: &[u8], now: UnixTime) -> Result<Self, Explanation> {
        let status = ocsp::check(response, self.chain(), now)?;
        let mut certified = CertifiedKey::clone(&self.certified);
        certified.ocsp = Some(response.to_vec());
        Ok(Self { certified: Arc::new(certified), ocsp_next_update: status.next_update, ..self })
    }

    fn build(source: &Source<'_>, now: UnixTime) -> Result<Self, Explanation> {
        let Source { chain_place, key_place, .. } = *source;
        let chain = certificate::from_pem(chain_place, source.chain)?;
        // First: the key of a weak or SM2 certificate cannot be loaded, and would be blamed for it.
        Self::check_strength(chain_place, &chain)?;
        let key = key::private_key(key_place, source.key, source.passphrase)?;
        let signer =
            crypto::provider().key_provider.load_private_key(key).map_err(|_| unusable_key(key_place))?;
        let certified = CertifiedKey::new(chain, signer);
        check_key(&certified, chain_place, key_place)?;
        let (not_before, not_after) = Self::check_chain(chain_place, &certified.cert, now)?;
        Ok(Self { certified: Arc::new(certified), not_before, not_after, ocsp_next_update: None })
    }

    /// Algorithms, key sizes and critical extensions.
    pub(crate) fn check_strength(place: &str, chain: &[CertificateDer<'_>]) -> Result<(), Explanation> {
        chain::strength(place, chain)
    }

    /// Order, signatures, strength and validity of a chain; answers the leaf's validity.
    pub(crate) fn check_chain(
        place: &str,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(u64, u64), Explanation> {
        let leaf = certificate::parse(&chain[0]).ok_or_else(|| certificate::malformed(place))?;
        Self::check_strength(place, chain)?;
        chain::order(place, chain)?;
        chain::leaf(place, &leaf, now)
    }

    /// The chain, leaf first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }

    /// SHA-256 of the leaf certificate.
    pub fn certificate_digest(&self) -> [u8; 32] {
        sha256(self.certified.cert[0].as_ref())
    }

    /// First second of validity of the leaf, in seconds since 1970.
    pub fn not_before(&self) -> u64 {
        self.not_before
    }

    /// Last second of validity of the leaf, in seconds since 1970.
    pub fn not_after(&self) -> u64 {
        self.not_after
    }

    /// Whether an OCSP response is stapled.
    pub fn has_ocsp(&self) -> bool {
        self.certified.ocsp.is_some()
    }

    /// Until when the stapled OCSP response holds, in seconds since 1970, if it says.
    pub fn ocsp_next_update(&self) -> Option<u64> {
        self.ocsp_next_update
    }

    /// What the certificates of the chain say, leaf first.
    pub fn details(&self) -> Vec<Details> {
        self.chain().iter().filter_map(|der| Details::of(der).ok()).collect()
    }

    /// As rustls presents it.
    pub(crate) fn certified(&self) -> Arc<CertifiedKey> {
        self.certified.clone()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("certificates", &self.certified.cert.len())
            .field("not_after", &self.not_after)
            .field("key", &"redacted")
            .finish_non_exhaustive()
    }
}

pub(crate) fn unusable_key(place: &str) -> Explanation {
    unusable(
        "identity.key-unusable",
        place,
        "the private key cannot be used; it must be ECDSA P-256 or P-384, Ed25519, or RSA of at least 2048 bits",
        "私钥无法使用，须为 ECDSA P-256/P-384、Ed25519 或不少于 2048 位的 RSA",
    )
}

/// Whether a key can be used and belongs to the first certificate.
pub(crate) fn key_mistake(
    chain_place: &str,
    chain: &[CertificateDer<'static>],
    key_place: &str,
    key: &[u8],
    passphrase: Option<&[u8]>,
) -> Result<(), Explanation> {
    let key = private_key(key_place, key, passphrase)?;
    let signer =
        crypto::provider().key_provider.load_private_key(key).map_err(|_| unusable_key(key_place))?;
    check_key(&CertifiedKey::new(chain.to_vec(), signer), chain_place, key_place)
}

fn check_key(key: &CertifiedKey, chain_place: &str, key_place: &str) -> Result<(), Explanation> {
    let Some(own) = key.key.public_key() else {
        return Err(unusable_key(key_place));
    };
    let own = sha256(&own);
    let belongs = |der: &CertificateDer<'_>| PublicKeyPin::of(der).is_ok_and(|pin| *pin.as_bytes() == own);
    if belongs(&key.cert[0]) {
        return Ok(());
    }
    if key.cert[1..].iter().any(belongs) {
        return Err(unusable(
            "identity.chain-order",
            chain_place,
            "the certificate of the key is not the first one; put it first, then each issuer below it",
            "与私钥对应的证书不在首位，请把它放在最前，其后依次为各级签发者证书",
        ));
    }
    Err(unusable(
        "identity.key-mismatch",
        key_place,
        format!(
            "the private key does not belong to the certificate in {chain_place}; use the key the certificate was requested with"
        ),
        format!("私钥与 {chain_place} 中的证书不匹配，请使用申请该证书时的私钥"),
    ))
}
