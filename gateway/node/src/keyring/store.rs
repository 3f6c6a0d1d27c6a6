//! The keyring's directory: made, read, and read as it was before there was a book.

use super::book::{Book, Fact, KeyKind, KeyState, Place, VERSION};
use super::error::KeyringError;
use super::files;
use super::seal::{Access, SealFact, Sealer};
use super::token::Token;
use crate::config;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;
use xinqiao_crypto::{Secret, hex, random};
use xinqiao_evidence::keys::{AcknowledgementKey, Es256Key, Jwk, LogKey, ManifestKey, PublicKey, Purpose};
use xinqiao_store::AtRestKeys;
use zeroize::Zeroizing;

/// The book.
pub(super) const BOOK: &str = "keyring.json";
/// What the record secret is sealed as.
pub(super) const RECORD: &str = "record";
/// What the at-rest keys are sealed as.
pub(super) const AT_REST: &str = "at-rest";
const RECORD_FILE: &str = "record.secret";
const AT_REST_FILE: &str = "at-rest.secret";

/// The first file of a signing key, as it was called before there was a book.
fn first_file(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::Manifest => "manifest.p8",
        KeyKind::Log => "log.p8",
        KeyKind::Acknowledgement => "acknowledgement.p8",
        KeyKind::AtRest => AT_REST_FILE,
    }
}

/// Makes all keys; the book comes last.
pub(super) fn make(dir: &Path, settings: &config::Keys, access: &Access) -> Result<(), KeyringError> {
    empty(dir)?;
    let (fact, sealer) = access.lock()?;
    let now = wall();
    let mut keys = Vec::new();
    for kind in KeyKind::SIGNING {
        let mut made = Made::new(kind, settings, access.token.as_ref())?;
        if let Some(bytes) = made.private.take() {
            made.place = Place::File(first_file(kind).into());
            files::replace(&dir.join(first_file(kind)), &sealer.seal(&made.kid(), &bytes))?;
        }
        keys.push(made.fact(KeyState::Active, now, None));
    }
    let at_rest = AtRestKeys::generate();
    files::replace(&dir.join(AT_REST_FILE), &sealer.seal(AT_REST, &at_rest.to_bytes()))?;
    files::replace(&dir.join(RECORD_FILE), &sealer.seal(RECORD, &Secret::<32>::random()[..]))?;
    let mut book = Book {
        version: VERSION,
        seal: fact,
        record: RECORD_FILE.into(),
        at_rest: AT_REST_FILE.into(),
        keys,
        endorsements: Vec::new(),
        leaving: Vec::new(),
    };
    reconcile(&mut book, &at_rest);
    book.keys.iter_mut().for_each(|k| k.noted = Some(k.state));
    write_book(dir, &book)
}

/// Refuses a directory that has keys; makes one that is not there.
pub(super) fn empty(dir: &Path) -> Result<(), KeyringError> {
    files::directory(dir)?;
    let names = KeyKind::ALL.into_iter().map(first_file).chain([RECORD_FILE, BOOK]);
    match names.map(|name| dir.join(name)).find(|path| path.exists()) {
        Some(path) => Err(KeyringError::Exists(path)),
        None => Ok(()),
    }
}

/// Reads the book, or makes one of what an earlier version left.
pub(super) fn read_book(dir: &Path) -> Result<Book, KeyringError> {
    let path = dir.join(BOOK);
    if !path.exists() {
        return adopt(dir);
    }
    let bytes = std::fs::read(&path).map_err(KeyringError::io(&path))?;
    let book: Option<Book> = serde_json::from_slice(&bytes).ok();
    book.filter(Book::is_sound).ok_or(KeyringError::Damaged(path))
}

/// Replaces the book.
pub(super) fn write_book(dir: &Path, book: &Book) -> Result<(), KeyringError> {
    let text = serde_json::to_vec_pretty(book).expect("a book is plain data");
    files::replace(&dir.join(BOOK), &text)
}

/// Destroys what the book says is to go.
pub(super) fn destroy_leaving(dir: &Path, book: &mut Book) -> Result<(), KeyringError> {
    for name in &book.leaving {
        if !name.contains('/') {
            files::destroy(&dir.join(name))?;
        }
    }
    book.leaving.clear();
    Ok(())
}

/// Another name for the same: `record.secret` becomes `record~1f3a5c7e.secret`.
pub(super) fn fresh_name(name: &str) -> String {
    let mark = hex::encode(&random::unique::<4>());
    let (stem, end) = name.rsplit_once('.').unwrap_or((name, "secret"));
    let stem = stem.split_once('~').map_or(stem, |(first, _)| first);
    format!("{stem}~{mark}.{end}")
}

/// Five plain files and no book: how keys were kept before they rotated.
fn adopt(dir: &Path) -> Result<Book, KeyringError> {
    let record = dir.join(RECORD_FILE);
    std::fs::metadata(&record).map_err(KeyringError::io(&record))?;
    let plain = Access { seal: config::Seal::Plain, passphrase: None, credential: None, token: None };
    let sealer = plain.unlock(&SealFact::Plain)?;
    let mut keys = Vec::new();
    for kind in KeyKind::SIGNING {
        let path = dir.join(first_file(kind));
        let bytes = files::read(&path)?;
        let public = public_of(kind, &bytes).ok_or(KeyringError::Damaged(path.clone()))?;
        let made = std::fs::metadata(&path).and_then(|m| m.modified()).ok();
        let created =
            made.and_then(|at| at.duration_since(UNIX_EPOCH).ok()).map_or_else(wall, |d| d.as_secs() as i64);
        keys.push(Fact {
            kid: public.kid().to_owned(),
            kind,
            state: KeyState::Active,
            created,
            activates: None,
            retired: None,
            place: Place::File(first_file(kind).into()),
            public: Some(public),
            noted: Some(KeyState::Active),
        });
    }
    let mut book = Book {
        version: VERSION,
        seal: SealFact::Plain,
        record: RECORD_FILE.into(),
        at_rest: AT_REST_FILE.into(),
        keys,
        endorsements: Vec::new(),
        leaving: Vec::new(),
    };
    let at_rest = at_rest(dir, &book, &sealer)?;
    reconcile(&mut book, &at_rest);
    book.keys.iter_mut().for_each(|k| k.noted = Some(k.state));
    Ok(book)
}

/// The file of at-rest keys is the truth about them; the book follows it after a crash between the two.
pub(super) fn reconcile(book: &mut Book, at_rest: &AtRestKeys) {
    reconcile_at(book, at_rest, wall());
}

/// The same at a given time.
pub(super) fn reconcile_at(book: &mut Book, at_rest: &AtRestKeys, now: i64) {
    let ids: Vec<String> = at_rest.ids().map(at_rest_kid).collect();
    let current = at_rest_kid(at_rest.current());
    for fact in book.keys.iter_mut().filter(|k| k.kind == KeyKind::AtRest) {
        if fact.kid != current && fact.state != KeyState::Retired {
            fact.state = KeyState::Retired;
            fact.retired = Some(now);
        }
        if !ids.contains(&fact.kid) {
            fact.place = Place::Gone;
        }
    }
    for kid in ids {
        if book.keys.iter().any(|k| k.kid == kid) {
            continue;
        }
        let state = if kid == current { KeyState::Active } else { KeyState::Retired };
        book.keys.push(Fact {
            kid,
            kind: KeyKind::AtRest,
            state,
            created: now,
            activates: Some(now),
            retired: (state == KeyState::Retired).then_some(now),
            place: Place::File(book.at_rest.clone()),
            public: None,
            noted: None,
        });
    }
}

pub(super) fn at_rest_kid(id: u32) -> String {
    format!("at-rest-{id}")
}

pub(super) fn record(dir: &Path, book: &Book, sealer: &Sealer) -> Result<Secret, KeyringError> {
    let path = dir.join(&book.record);
    let bytes = sealer.open(RECORD, files::read(&path)?);
    bytes.and_then(|b| Secret::from_slice(&b)).ok_or(KeyringError::Damaged(path))
}

pub(super) fn at_rest(dir: &Path, book: &Book, sealer: &Sealer) -> Result<AtRestKeys, KeyringError> {
    let path = dir.join(&book.at_rest);
    let bytes = sealer.open(AT_REST, files::read(&path)?);
    bytes.and_then(|b| AtRestKeys::from_bytes(&b)).ok_or(KeyringError::Damaged(path))
}

/// Where private keys are found.
pub(super) struct Private<'a> {
    pub(super) dir: &'a Path,
    pub(super) sealer: &'a Sealer,
    pub(super) token: Option<&'a Arc<Token>>,
}

/// A private key, or what signs with it.
enum Found {
    Bytes(Zeroizing<Vec<u8>>, PathBuf),
    Signer(Arc<dyn xinqiao_evidence::keys::Signer>),
}

impl Private<'_> {
    pub(super) fn es256<P: Purpose>(&self, fact: &Fact) -> Result<Es256Key<P>, KeyringError> {
        match (self.find(fact)?, fact.public.as_ref().map(Jwk::public_key)) {
            (Found::Signer(signer), Some(PublicKey::P256(point))) => Ok(Es256Key::external(*point, signer)),
            (Found::Bytes(bytes, path), _) => {
                let key = Es256Key::from_pkcs8(&bytes).ok().filter(|key: &Es256Key<P>| key.kid() == fact.kid);
                key.ok_or(KeyringError::Damaged(path))
            }
            _ => Err(KeyringError::NotInToken(fact.kid.clone())),
        }
    }

    pub(super) fn log(&self, fact: &Fact) -> Result<LogKey, KeyringError> {
        match (self.find(fact)?, fact.public.as_ref().map(Jwk::public_key)) {
            (Found::Signer(signer), Some(PublicKey::Ed25519(point))) => Ok(LogKey::external(*point, signer)),
            (Found::Bytes(bytes, path), _) => {
                let key = LogKey::from_pkcs8(&bytes).ok().filter(|key| key.kid() == fact.kid);
                key.ok_or(KeyringError::Damaged(path))
            }
            _ => Err(KeyringError::NotInToken(fact.kid.clone())),
        }
    }

    fn find(&self, fact: &Fact) -> Result<Found, KeyringError> {
        match &fact.place {
            Place::File(name) => {
                let path = self.dir.join(name);
                let bytes = self.sealer.open(&fact.kid, files::read(&path)?);
                Ok(Found::Bytes(bytes.ok_or(KeyringError::Damaged(path.clone()))?, path))
            }
            Place::Token(id) => {
                let token = self.token.ok_or(KeyringError::NotConfigured("token"))?;
                let absent = || KeyringError::NotInToken(fact.kid.clone());
                let public = fact.public.as_ref().ok_or_else(absent)?.public_key();
                token.signer(id, public).map(Found::Signer).map_err(|e| match e {
                    KeyringError::NotInToken(_) => absent(),
                    other => other,
                })
            }
            Place::Gone => Err(KeyringError::NotInToken(fact.kid.clone())),
        }
    }
}

/// A new key, not stored yet.
pub(super) struct Made {
    kind: KeyKind,
    public: Jwk,
    pub(super) place: Place,
    /// The private key, if it is not in the token.
    pub(super) private: Option<Zeroizing<Vec<u8>>>,
}

impl Made {
    pub(super) fn new(
        kind: KeyKind,
        settings: &config::Keys,
        token: Option<&Arc<Token>>,
    ) -> Result<Self, KeyringError> {
        let key_use = kind.key_use().ok_or(KeyringError::Signing("an at-rest key"))?;
        let held = settings.token.as_ref().is_some_and(|t| t.holds.iter().any(|h| h == kind.as_str()));
        if held {
            let token = token.ok_or(KeyringError::NotConfigured("token"))?;
            let (id, public) = match kind {
                KeyKind::Log => {
                    let (id, point) = token.generate_ed25519()?;
                    (id, PublicKey::Ed25519(point))
                }
                _ => {
                    let (id, point) = token.generate_p256()?;
                    (id, PublicKey::P256(point))
                }
            };
            return Ok(Self {
                kind,
                public: Jwk::new(public, key_use),
                place: Place::Token(id),
                private: None,
            });
        }
        let no = |_| KeyringError::Signing("a key");
        let (public, private) = match kind {
            KeyKind::Manifest => {
                let key = ManifestKey::generate().map_err(no)?;
                (key.public_jwk().clone(), key.to_pkcs8())
            }
            KeyKind::Acknowledgement => {
                let key = AcknowledgementKey::generate().map_err(no)?;
                (key.public_jwk().clone(), key.to_pkcs8())
            }
            KeyKind::Log | KeyKind::AtRest => {
                let key = LogKey::generate().map_err(no)?;
                (key.public_jwk().clone(), key.to_pkcs8())
            }
        };
        Ok(Self { kind, public, place: Place::Gone, private })
    }

    pub(super) fn kid(&self) -> String {
        self.public.kid().to_owned()
    }

    pub(super) fn fact(self, state: KeyState, now: i64, activates: Option<i64>) -> Fact {
        Fact {
            kid: self.kid(),
            kind: self.kind,
            state,
            created: now,
            activates,
            retired: None,
            place: self.place,
            public: Some(self.public),
            noted: None,
        }
    }
}

/// The public key of a stored private one.
pub(super) fn public_of(kind: KeyKind, pkcs8: &[u8]) -> Option<Jwk> {
    match kind {
        KeyKind::Manifest => ManifestKey::from_pkcs8(pkcs8).ok().map(|k| k.public_jwk().clone()),
        KeyKind::Acknowledgement => {
            AcknowledgementKey::from_pkcs8(pkcs8).ok().map(|k| k.public_jwk().clone())
        }
        KeyKind::Log => LogKey::from_pkcs8(pkcs8).ok().map(|k| k.public_jwk().clone()),
        KeyKind::AtRest => None,
    }
}

pub(super) fn wall() -> i64 {
    std::time::SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs() as i64)
}
