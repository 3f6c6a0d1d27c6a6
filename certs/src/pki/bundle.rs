//! PKCS#12: key, chain and root in one file, for browsers and Java.

use p12_keystore::{Certificate, EncryptionAlgorithm, KeyStore, KeyStoreEntry, MacAlgorithm};
use p12_keystore::{PrivateKey, PrivateKeyChain};

use super::PkiError;
use super::authority::{Authority, Issued};

const ROUNDS: u32 = 100_000;

impl Issued {
    /// Key and chain up to the root, sealed with a passphrase: PBES2 with AES-256 and HMAC-SHA-256, as Java (8u301 and later),
    /// OpenSSL and browsers read it.
    pub fn pkcs12(&self, authority: &Authority, alias: &str, passphrase: &str) -> Result<Vec<u8>, PkiError> {
        let chain = self.chain().iter().chain([authority.root()]);
        let certificates =
            chain.map(|der| Certificate::from_der(der).map_err(failed)).collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKey::from_der(self.key_der()).map_err(failed)?;
        let mut store = KeyStore::new();
        let entry = PrivateKeyChain::new(self.serial(), key, certificates);
        store.add_entry(alias, KeyStoreEntry::PrivateKeyChain(entry));
        seal(&store, passphrase)
    }
}

impl Authority {
    /// The root alone, as a PKCS#12 trust store for Java.
    pub fn trust_store(&self, alias: &str, passphrase: &str) -> Result<Vec<u8>, PkiError> {
        let mut store = KeyStore::new();
        let root = Certificate::from_der(self.root()).map_err(failed)?;
        store.add_entry(alias, KeyStoreEntry::Certificate(root));
        seal(&store, passphrase)
    }
}

fn seal(store: &KeyStore, passphrase: &str) -> Result<Vec<u8>, PkiError> {
    store
        .writer(passphrase)
        .encryption_algorithm(EncryptionAlgorithm::PbeWithHmacSha256AndAes256)
        .encryption_iterations(ROUNDS)
        .mac_algorithm(MacAlgorithm::HmacSha256)
        .mac_iterations(ROUNDS)
        .write()
        .map_err(failed)
}

fn failed(error: p12_keystore::error::Error) -> PkiError {
    PkiError::new(
        "pki.pkcs12",
        format!("the PKCS#12 file could not be made: {error}"),
        format!("无法生成 PKCS#12 文件：{error}"),
    )
}
