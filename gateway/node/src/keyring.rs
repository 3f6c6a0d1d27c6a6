//! The node's own keys: a book of public facts (`keyring.json`) and one file for each private key, in a directory
//! outside the data, readable by the service alone; or in a PKCS#11 token.
//!
//! Every change writes new files first, then replaces the book, then destroys what went: cut off anywhere, the keyring
//! opens with the keys of before or of after. The book is the only word on which key signs when. The record secret is
//! never changed.

mod aead;
mod backup;
mod book;
mod change;
mod error;
mod files;
mod patience;
mod seal;
mod secret;
mod store;
mod token;
mod view;

pub use backup::{Backup, Drill};
pub use book::{KeyKind, KeyState};
pub use change::reseal;
pub use error::KeyringError;
pub use view::{KeyPlace, KeyView};

use crate::config;
use book::Book;
use parking_lot::{Mutex, RwLock};
use seal::{Access, Sealer};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use token::Token;
use xinqiao_evidence::keys::{AcknowledgementKey, Jwks, LogKey, ManifestKey};
use xinqiao_exchange::secrets::RecordSecret;
use xinqiao_runtime::clock::Clock;
use xinqiao_store::AtRestKeys;

/// Everything the node signs, seals and names records with.
pub struct Keyring {
    /// Names records. Never rotates.
    pub record: RecordSecret,
    dir: PathBuf,
    settings: config::Keys,
    token: Option<Arc<Token>>,
    sealer: Sealer,
    /// One change at a time; signing goes on meanwhile.
    changing: Mutex<()>,
    /// One change of at-rest keys at a time, from the new key to the last old one.
    rewrapping: Mutex<()>,
    current: RwLock<Current>,
}

/// The keys in use.
struct Current {
    book: Book,
    manifest: Arc<ManifestKey>,
    /// The active key, then the pending one if there is any.
    log: Arc<[LogKey]>,
    acknowledgement: Arc<AcknowledgementKey>,
    at_rest: AtRestKeys,
}

impl Keyring {
    /// Makes new plain keys. Refuses to touch a directory that has some.
    pub fn init(dir: &Path) -> Result<(), KeyringError> {
        Self::init_as(dir, &config::Keys::default())
    }

    /// Makes new keys, kept as the settings say.
    pub fn init_as(dir: &Path, settings: &config::Keys) -> Result<(), KeyringError> {
        let access = Access::new(settings)?;
        store::make(dir, settings, &access)
    }

    /// Opens plain keys.
    pub fn load(dir: &Path) -> Result<Self, KeyringError> {
        Self::open(dir, &config::Keys::default())
    }

    /// Opens keys that are kept as the settings say.
    pub fn open(dir: &Path, settings: &config::Keys) -> Result<Self, KeyringError> {
        let access = Access::new(settings)?;
        let mut book = store::read_book(dir)?;
        if book.seal.mode() != settings.seal {
            let (sealed, configured) = (seal::name(book.seal.mode()), seal::name(settings.seal));
            return Err(KeyringError::OtherSeal { sealed, configured });
        }
        let sealer = access.unlock(&book.seal)?;
        let record = store::record(dir, &book, &sealer)?;
        let at_rest = store::at_rest(dir, &book, &sealer)?;
        store::reconcile(&mut book, &at_rest);
        let current = Current::read(dir, book, at_rest, &sealer, access.token.as_ref())?;
        Ok(Self {
            record: RecordSecret::new(record),
            dir: dir.to_owned(),
            settings: settings.clone(),
            token: access.token,
            sealer,
            changing: Mutex::new(()),
            rewrapping: Mutex::new(()),
            current: RwLock::new(current),
        })
    }

    /// The public keys, active first.
    pub fn jwks(&self) -> Jwks {
        self.current.read().book.jwks()
    }

    /// The public keys with what the manifest keys say of one another: all a recipient needs who pinned one of them.
    pub fn published(&self) -> serde_json::Value {
        let mut document: serde_json::Value =
            serde_json::from_str(&self.jwks().to_json()).expect("a key set is JSON");
        let read = |jws: &String| serde_json::from_str::<serde_json::Value>(jws).ok();
        document["endorsements"] = self.endorsements().iter().filter_map(read).collect();
        document
    }

    /// What the manifest keys said of the others, each a JWS.
    pub fn endorsements(&self) -> Vec<String> {
        self.current.read().book.endorsements.iter().map(|v| v.jws.clone()).collect()
    }

    /// The manifest key in service and the time to sign as: taken together, so that the one serves at the other.
    pub fn manifest(&self, clock: &Clock) -> (Arc<ManifestKey>, i64) {
        let current = self.current.read();
        clock.observe(current.book.latest());
        (current.manifest.clone(), clock.now())
    }

    /// What checkpoints are signed with: the active key first and, while another is pending, that one too.
    pub fn log(&self) -> Arc<[LogKey]> {
        self.current.read().log.clone()
    }

    /// The key this node signs its answers with as a recipient, and the time to sign as.
    pub fn acknowledgement(&self, clock: &Clock) -> (Arc<AcknowledgementKey>, i64) {
        let current = self.current.read();
        clock.observe(current.book.latest());
        (current.acknowledgement.clone(), clock.now())
    }

    /// The keys that wrap the keys of stored data.
    pub fn at_rest(&self) -> AtRestKeys {
        self.current.read().at_rest.clone()
    }

    /// All keys there ever were, as officers see them.
    pub fn view(&self, now: i64) -> Vec<KeyView> {
        let current = self.current.read();
        current.book.keys.iter().map(|fact| KeyView::of(fact, &self.settings, now)).collect()
    }

    /// The label of a token that did not answer when it was last needed.
    pub fn token_trouble(&self) -> Option<&str> {
        let down = self.token.as_ref().is_some_and(|t| t.is_down());
        down.then(|| self.settings.token.as_ref().map_or("", |t| t.label.as_str()))
    }

    /// Tries a token that did not answer once more.
    pub fn look_at_token(&self) {
        if let Some(token) = self.token.as_ref().filter(|t| t.is_down()) {
            token.probe();
        }
    }
}

impl Current {
    fn read(
        dir: &Path,
        book: Book,
        at_rest: AtRestKeys,
        sealer: &Sealer,
        token: Option<&Arc<Token>>,
    ) -> Result<Self, KeyringError> {
        let keys = store::Private { dir, sealer, token };
        let active =
            |kind| book.find(kind, KeyState::Active).expect("a sound book has an active key of each kind");
        let mut log = vec![keys.log(active(KeyKind::Log))?];
        if let Some(pending) = book.find(KeyKind::Log, KeyState::Pending) {
            log.push(keys.log(pending)?);
        }
        Ok(Self {
            manifest: Arc::new(keys.es256(active(KeyKind::Manifest))?),
            log: log.into(),
            acknowledgement: Arc::new(keys.es256(active(KeyKind::Acknowledgement))?),
            at_rest,
            book,
        })
    }
}

#[cfg(test)]
mod tests;
