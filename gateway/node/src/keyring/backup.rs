//! The key backup: one encrypted file with every private key that is not in a token, the record secret among them, under
//! a passphrase of its own.
//!
//! ```text
//! "XQKEYBAK" │ version 1 │ length of header (u32, little endian) │ header, JSON │ sealed body
//! ```
//!
//! The header says how the passphrase is derived. The body is JSON: the book and the keys.

use super::book::{Book, KeyKind, KeyState, Place};
use super::error::KeyringError;
use super::seal::{Access, Derived, SealFact, Sealer};
use super::{aead, files, seal, secret, store};
use crate::config::{self, Seal};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use xinqiao_crypto::Secret;
use xinqiao_evidence::{Digest, base64};
use xinqiao_store::AtRestKeys;
use zeroize::{Zeroize, Zeroizing};

const MAGIC: &[u8; 9] = b"XQKEYBAK\x01";
/// What the body is sealed as.
const BODY: &str = "key backup";
/// No backup is larger.
const MOST: u64 = 16 << 20;

/// An opened key backup.
pub struct Backup {
    book: Book,
    record: Secret,
    at_rest: AtRestKeys,
    keys: BTreeMap<String, Zeroizing<Vec<u8>>>,
}

/// The body as it is written.
#[derive(Serialize, Deserialize)]
struct Body {
    version: u32,
    book: Book,
    record: Text,
    at_rest: Text,
    keys: BTreeMap<String, Text>,
}

/// A secret as base64; erases itself.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Text(String);

impl Text {
    fn of(bytes: &[u8]) -> Self {
        Self(base64::encode(bytes))
    }

    fn bytes(&self) -> Option<Zeroizing<Vec<u8>>> {
        base64::decode(&self.0).map(Zeroizing::new)
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// What a drill found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Drill {
    /// The record secret is the running one's.
    pub record: bool,
    /// The at-rest keys in use are in it.
    pub at_rest: bool,
    /// Signing keys in use that are in it and open.
    pub opened: Vec<String>,
    /// Signing keys in use, not in a token, that are not in it: made since.
    pub lacking: Vec<String>,
    /// Signing keys that live in the token: no backup holds them.
    pub in_token: Vec<String>,
    /// Fingerprint of the record secret, for paper.
    pub fingerprint: String,
}

impl Drill {
    /// Whether the node could go on with this backup alone, keys in a token apart.
    pub fn passed(&self) -> bool {
        self.record && self.at_rest && self.lacking.is_empty()
    }
}

impl Backup {
    /// Reads all keys in `dir`, kept as the settings say.
    pub fn take(dir: &Path, settings: &config::Keys) -> Result<Self, KeyringError> {
        let access = Access::new(settings)?;
        let mut book = store::read_book(dir)?;
        let (configured, mode) = (settings.seal, book.seal.mode());
        if mode != configured {
            let (sealed, configured) = (seal::name(mode), seal::name(configured));
            return Err(KeyringError::OtherSeal { sealed, configured });
        }
        let sealer = access.unlock(&book.seal)?;
        let record = store::record(dir, &book, &sealer)?;
        let at_rest = store::at_rest(dir, &book, &sealer)?;
        store::reconcile(&mut book, &at_rest);
        let mut keys = BTreeMap::new();
        for key in book.keys.iter().filter(|k| k.kind != KeyKind::AtRest) {
            if let Place::File(name) = &key.place {
                let path = dir.join(name);
                let bytes = sealer.open(&key.kid, files::read(&path)?).ok_or(KeyringError::Damaged(path))?;
                keys.insert(key.kid.clone(), bytes);
            }
        }
        book.leaving.clear();
        Ok(Self { book, record, at_rest, keys })
    }

    /// Writes it to a new file, encrypted. The passphrase must not be the one that seals the running keys.
    pub fn write(
        &self,
        to: &Path,
        passphrase_file: &Path,
        settings: &config::Keys,
    ) -> Result<(), KeyringError> {
        let passphrase = secret::new_passphrase(passphrase_file)?;
        let sealing = match settings.seal {
            Seal::Passphrase => settings.passphrase_file.as_deref().map(secret::passphrase).transpose()?,
            Seal::Credential => {
                settings.credential.as_deref().map(secret::credential).transpose()?.map(|c| c.0)
            }
            Seal::Plain | Seal::Token => None,
        };
        if sealing.is_some_and(|sealing| sealing == passphrase) {
            return Err(KeyringError::SamePassphrase);
        }
        let body = Body {
            version: 1,
            book: Book { seal: SealFact::Plain, ..self.book.clone() },
            record: Text::of(&self.record[..]),
            at_rest: Text::of(&self.at_rest.to_bytes()),
            keys: self.keys.iter().map(|(kid, bytes)| (kid.clone(), Text::of(bytes))).collect(),
        };
        let key = Secret::random();
        let header = serde_json::to_vec(&Derived::new(&passphrase, &key)).expect("a header is plain data");
        let body = Zeroizing::new(serde_json::to_vec(&body).expect("a body is plain data"));
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&u32::try_from(header.len()).expect("a header is short").to_le_bytes());
        out.extend_from_slice(&header);
        out.extend_from_slice(&aead::seal(&key, BODY, &body));
        let io = |e: std::io::Error| match e.kind() {
            std::io::ErrorKind::AlreadyExists => KeyringError::Exists(to.into()),
            kind => KeyringError::Io(to.into(), kind),
        };
        let mut file =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(io)?;
        file.write_all(&out).and_then(|()| file.sync_all()).map_err(io)?;
        // What was written is what can be read.
        Self::read(to, passphrase_file).map(drop)
    }

    /// Opens a backup and every key in it.
    pub fn read(from: &Path, passphrase_file: &Path) -> Result<Self, KeyringError> {
        let passphrase = secret::passphrase(passphrase_file)?;
        let bad = || KeyringError::Backup(from.into());
        let length = std::fs::metadata(from).map_err(KeyringError::io(from))?.len();
        if length > MOST {
            return Err(bad());
        }
        let bytes = std::fs::read(from).map_err(KeyringError::io(from))?;
        Self::parse(&bytes, &passphrase).ok_or_else(bad)
    }

    fn parse(bytes: &[u8], passphrase: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.strip_prefix(MAGIC)?.split_first_chunk::<4>()?;
        let (header, sealed) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        let derived: Derived = serde_json::from_slice(header).ok()?;
        let body = aead::open(&*derived.open(passphrase)?, BODY, sealed)?;
        let body: Body = serde_json::from_slice(&body).ok()?;
        let record = Secret::from_slice(&body.record.bytes()?)?;
        let at_rest = AtRestKeys::from_bytes(&body.at_rest.bytes()?)?;
        let mut keys = BTreeMap::new();
        for fact in body.book.keys.iter().filter(|k| k.kind != KeyKind::AtRest) {
            if let Place::File(_) = fact.place {
                let private = body.keys.get(&fact.kid)?.bytes()?;
                if store::public_of(fact.kind, &private)?.kid() != fact.kid {
                    return None;
                }
                keys.insert(fact.kid.clone(), private);
            }
        }
        let names = || body.book.keys.iter().map(|k| &k.place).chain([&Place::Gone]);
        let safe = |name: &str| !name.contains('/') && !name.starts_with('.') && name != store::BOOK;
        let places = names().all(|p| matches!(p, Place::File(n) if safe(n)) || !matches!(p, Place::File(_)));
        let sound = body.version == 1
            && body.book.is_sound()
            && places
            && safe(&body.book.record)
            && safe(&body.book.at_rest);
        sound.then_some(Self { book: body.book, record, at_rest, keys })
    }

    /// Puts the keys into a directory without any, kept as the settings say; the book comes last.
    pub fn restore(&self, dir: &Path, settings: &config::Keys) -> Result<(), KeyringError> {
        store::empty(dir)?;
        let access = Access::new(settings)?;
        let (fact, sealer) = access.lock()?;
        let mut book = self.book.clone();
        book.seal = fact;
        for key in book.keys.iter_mut().filter(|k| k.kind != KeyKind::AtRest) {
            if let (Place::File(name), Some(bytes)) = (&key.place, self.keys.get(&key.kid)) {
                files::replace(&dir.join(name), &sealer.seal(&key.kid, bytes))?;
            }
        }
        files::replace(&dir.join(&book.at_rest), &sealer.seal(store::AT_REST, &self.at_rest.to_bytes()))?;
        files::replace(&dir.join(&book.record), &sealer.seal(store::RECORD, &self.record[..]))?;
        store::write_book(dir, &book)
    }

    /// Compares it with the keys in `dir`. Writes nothing.
    pub fn drill(&self, dir: &Path, settings: &config::Keys) -> Result<Drill, KeyringError> {
        let access = Access::new(settings)?;
        let book = store::read_book(dir)?;
        let sealer: Sealer = access.unlock(&book.seal)?;
        let record = store::record(dir, &book, &sealer)?;
        let running = store::at_rest(dir, &book, &sealer)?;
        let ids = |keys: &AtRestKeys| keys.ids().collect::<Vec<_>>();
        let mut backed = self.at_rest.clone();
        // The backup may be older than the last forgetting, never older than the key in use.
        for id in ids(&backed) {
            if !ids(&running).contains(&id) {
                backed.forget(id);
            }
        }
        let at_rest = backed.to_bytes() == running.to_bytes();
        let mut drill = Drill {
            record: Digest::of(&record[..]) == Digest::of(&self.record[..]),
            at_rest,
            opened: Vec::new(),
            lacking: Vec::new(),
            in_token: self.in_token(),
            fingerprint: self.fingerprint(),
        };
        let signing = |k: &&super::book::Fact| k.kind != KeyKind::AtRest && k.state != KeyState::Retired;
        for key in book.keys.iter().filter(signing) {
            match (&key.place, self.keys.contains_key(&key.kid)) {
                (Place::File(_), true) => drill.opened.push(key.kid.clone()),
                (Place::File(_), false) => drill.lacking.push(key.kid.clone()),
                _ => {
                    if !drill.in_token.contains(&key.kid) {
                        drill.in_token.push(key.kid.clone());
                    }
                }
            }
        }
        Ok(drill)
    }

    /// Keys that are in a token and therefore not in the backup.
    pub fn in_token(&self) -> Vec<String> {
        let held = |k: &&super::book::Fact| matches!(k.place, Place::Token(_));
        self.book.keys.iter().filter(held).map(|k| k.kid.clone()).collect()
    }

    /// Sixteen hexadecimal digits that tell one record secret from another, and nothing of it.
    pub fn fingerprint(&self) -> String {
        Digest::of(&[b"xinqiao record secret ".as_slice(), &self.record[..]].concat()).to_hex()[..16]
            .to_owned()
    }
}
