//! PKCS#12: key, chain and root in one file, for browsers and Java.

use p12_keystore::{Certificate, EncryptionAlgorithm, KeyStore, KeyStoreEntry, MacAlgorithm};
use p12_keystore::{PrivateKey, PrivateKeyChain};
use rustls_pki_types::CertificateDer;
use std::fmt;
use xinqiao_crypto::sha256;

use super::authority::{Authority, Issued};
use xinqiao_explain::Explanation;

const ROUNDS: u32 = 100_000;
/// Java 8 before update 301 refuses more.
const LEGACY_ROUNDS: u32 = 50_000;

/// How a PKCS#12 file is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pkcs12Kind {
    /// PBES2 with AES-256 and HMAC-SHA-256, as Java (8u301 and later), OpenSSL and browsers read it.
    #[default]
    Modern,
    /// PBE with SHA-1 and 3DES, HMAC-SHA-1: for Java 8 before update 301 and other old clients, which would want a JKS file
    /// otherwise. Weak: keep such a file as carefully as an open key, and delete it once it is imported.
    Legacy,
}

/// What goes into a PKCS#12 file.
pub struct Pkcs12<'a> {
    /// The name of the entry.
    pub alias: &'a str,
    /// The private key, PKCS#8 DER.
    pub key: &'a [u8],
    /// Leaf first; with the root, if the reader should trust it.
    pub chain: &'a [CertificateDer<'a>],
}

impl Pkcs12<'_> {
    /// The file.
    pub fn seal(&self, passphrase: &str, kind: Pkcs12Kind) -> Result<Vec<u8>, Explanation> {
        let certificates = self
            .chain
            .iter()
            .map(|der| Certificate::from_der(der).map_err(failed))
            .collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKey::from_der(self.key).map_err(failed)?;
        let id = self.chain.first().map(|leaf| sha256(leaf)).unwrap_or_default();
        let mut store = KeyStore::new();
        let entry = PrivateKeyChain::new(id[..20].to_vec(), key, certificates);
        store.add_entry(self.alias, KeyStoreEntry::PrivateKeyChain(entry));
        seal(&store, passphrase, kind)
    }
}

impl fmt::Debug for Pkcs12<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pkcs12").field("alias", &self.alias).field("key", &"redacted").finish_non_exhaustive()
    }
}

impl Issued {
    /// Key and chain up to the root, sealed with a passphrase.
    pub fn pkcs12(
        &self,
        authority: &Authority,
        alias: &str,
        passphrase: &str,
    ) -> Result<Vec<u8>, Explanation> {
        self.pkcs12_as(authority, alias, passphrase, Pkcs12Kind::Modern)
    }

    /// The same, sealed as an old client wants it.
    pub fn pkcs12_as(
        &self,
        authority: &Authority,
        alias: &str,
        passphrase: &str,
        kind: Pkcs12Kind,
    ) -> Result<Vec<u8>, Explanation> {
        let chain: Vec<_> = self.chain().iter().chain([authority.root()]).cloned().collect();
        Pkcs12 { alias, key: self.key_der(), chain: &chain }.seal(passphrase, kind)
    }
}

impl Authority {
    /// The root alone, as a PKCS#12 trust store for Java.
    pub fn trust_store(&self, alias: &str, passphrase: &str) -> Result<Vec<u8>, Explanation> {
        let mut store = KeyStore::new();
        let root = Certificate::from_der(self.root()).map_err(failed)?;
        store.add_entry(alias, KeyStoreEntry::Certificate(root));
        seal(&store, passphrase, Pkcs12Kind::Modern)
    }
}

fn seal(store: &KeyStore, passphrase: &str, kind: Pkcs12Kind) -> Result<Vec<u8>, Explanation> {
    let (cipher, mac, rounds) = match kind {
        Pkcs12Kind::Modern => {
            (EncryptionAlgorithm::PbeWithHmacSha256AndAes256, MacAlgorithm::HmacSha256, ROUNDS)
        }
        Pkcs12Kind::Legacy => {
            (EncryptionAlgorithm::PbeWithShaAnd3KeyTripleDesCbc, MacAlgorithm::HmacSha1, LEGACY_ROUNDS)
        }
    };
    store
        .writer(passphrase)
        .encryption_algorithm(cipher)
        .encryption_iterations(rounds)
        .mac_algorithm(mac)
        .mac_iterations(rounds)
        .write()
        .map_err(failed)
}

fn failed(error: p12_keystore::error::Error) -> Explanation {
    Explanation::new(
        "pki.pkcs12",
        format!("the PKCS#12 file could not be made: {error}"),
        format!("无法生成 PKCS#12 文件：{error}"),
    )
}
