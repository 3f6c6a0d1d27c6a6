//! How key files are sealed: each with AES-256-GCM under one sealing key, which a passphrase, a systemd credential or a
//! token wraps. A file is bound to what it holds, so that two files cannot be exchanged.

use super::aead::{open, seal};
use super::error::KeyringError;
use super::secret::{credential, long_enough, passphrase};
use super::token::Token;
use crate::config::{self, Seal};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use xinqiao_crypto::{Secret, random};
use xinqiao_evidence::base64;
use zeroize::Zeroizing;

/// Begins a sealed file.
const MAGIC: &[u8; 8] = b"XQSEAL\x00\x01";
/// What a wrapped sealing key is bound to.
const WRAP: &str = "sealing key";

/// How the keys are sealed, as the book says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum SealFact {
    /// Not at all.
    Plain,
    /// By a passphrase.
    Passphrase(Derived),
    /// By a systemd credential.
    Credential(Derived),
    /// By a key in the token.
    Token {
        /// The key's id, hexadecimal.
        id: String,
        /// The sealing key, base64.
        wrapped: String,
    },
}

/// A key wrapped by what is derived from a secret with Argon2id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Derived {
    memory_kib: u32,
    passes: u32,
    salt: String,
    wrapped: String,
}

impl SealFact {
    pub(super) fn mode(&self) -> Seal {
        match self {
            Self::Plain => Seal::Plain,
            Self::Passphrase(_) => Seal::Passphrase,
            Self::Credential(_) => Seal::Credential,
            Self::Token { .. } => Seal::Token,
        }
    }
}

pub(super) fn name(seal: Seal) -> &'static str {
    match seal {
        Seal::Plain => "plain",
        Seal::Passphrase => "passphrase",
        Seal::Credential => "credential",
        Seal::Token => "token",
    }
}

/// What opens seals: settings, not yet secrets.
pub(super) struct Access {
    pub(super) seal: Seal,
    pub(super) passphrase: Option<PathBuf>,
    pub(super) credential: Option<String>,
    pub(super) token: Option<Arc<Token>>,
}

impl Access {
    pub(super) fn new(keys: &config::Keys) -> Result<Self, KeyringError> {
        Ok(Self {
            seal: keys.seal,
            passphrase: keys.passphrase_file.clone(),
            credential: keys.credential.clone(),
            token: keys.token.as_ref().map(Token::open).transpose()?,
        })
    }

    fn secret(&self, seal: Seal) -> Result<(Zeroizing<Vec<u8>>, PathBuf), KeyringError> {
        match seal {
            Seal::Credential => {
                let name = self.credential.as_ref().ok_or(KeyringError::NotConfigured("credential"))?;
                credential(name)
            }
            _ => {
                let path = self.passphrase.as_ref().ok_or(KeyringError::NotConfigured("passphrase_file"))?;
                Ok((passphrase(path)?, path.clone()))
            }
        }
    }

    fn token(&self) -> Result<&Arc<Token>, KeyringError> {
        self.token.as_ref().ok_or(KeyringError::NotConfigured("token"))
    }

    /// Opens the seal of existing keys.
    pub(super) fn unlock(&self, fact: &SealFact) -> Result<Sealer, KeyringError> {
        match fact {
            SealFact::Plain => Ok(Sealer(None)),
            SealFact::Passphrase(derived) | SealFact::Credential(derived) => {
                let (secret, path) = self.secret(fact.mode())?;
                derived.open(&secret).map(Sealer::of).ok_or(KeyringError::WrongPassphrase(path))
            }
            SealFact::Token { id, wrapped } => {
                let token = self.token()?;
                let damaged = || KeyringError::NotInToken(id.clone());
                let sealed = base64::decode(wrapped).ok_or_else(damaged)?;
                let key = token.unwrap(id, &sealed)?;
                Ok(Sealer::of(Secret::from_slice(&key).ok_or_else(damaged)?))
            }
        }
    }

    /// A new seal of the configured kind.
    pub(super) fn lock(&self) -> Result<(SealFact, Sealer), KeyringError> {
        if self.seal == Seal::Plain {
            return Ok((SealFact::Plain, Sealer(None)));
        }
        let key = Secret::random();
        let fact = match self.seal {
            Seal::Token => {
                let token = self.token()?;
                let id = token.sealing_key()?;
                let wrapped = base64::encode(token.wrap(&id, &key[..])?);
                SealFact::Token { id, wrapped }
            }
            seal => {
                let (secret, path) = self.secret(seal)?;
                let secret = long_enough(secret, &path)?;
                let derived = Derived::new(&secret, &key);
                if seal == Seal::Credential {
                    SealFact::Credential(derived)
                } else {
                    SealFact::Passphrase(derived)
                }
            }
        };
        Ok((fact, Sealer::of(key)))
    }
}

impl Derived {
    /// Wraps `key`. The cost is that of OWASP's first choice for Argon2id.
    pub(super) fn new(secret: &[u8], key: &[u8; 32]) -> Self {
        let mut derived = Self {
            memory_kib: 47_104,
            passes: 2,
            salt: base64::encode(random::unique::<16>()),
            wrapped: String::new(),
        };
        let wrapping = derived.derive(secret).expect("the cost is within Argon2's bounds");
        derived.wrapped = base64::encode(seal(&wrapping, WRAP, key));
        derived
    }

    pub(super) fn open(&self, secret: &[u8]) -> Option<Secret> {
        let wrapping = self.derive(secret)?;
        let key = open(&wrapping, WRAP, &base64::decode(&self.wrapped)?)?;
        Secret::from_slice(&key)
    }

    fn derive(&self, secret: &[u8]) -> Option<Secret> {
        // A book that was tampered with must not ask for all memory.
        if self.memory_kib > 1 << 20 || self.passes > 64 {
            return None;
        }
        let params = argon2::Params::new(self.memory_kib, self.passes, 1, Some(32)).ok()?;
        let argon = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
        let mut key = [0; 32];
        argon.hash_password_into(secret, &base64::decode(&self.salt)?, &mut key).ok()?;
        Some(Secret::take(&mut key))
    }
}

/// Seals and opens files; does nothing to them if keys are kept plain.
#[derive(Clone)]
pub(super) struct Sealer(Option<Secret>);

impl Sealer {
    fn of(key: Secret) -> Self {
        Self(Some(key))
    }

    pub(super) fn seal(&self, what: &str, bytes: &[u8]) -> Zeroizing<Vec<u8>> {
        match &self.0 {
            None => Zeroizing::new(bytes.to_vec()),
            Some(key) => Zeroizing::new([&MAGIC[..], &seal(key, what, bytes)].concat()),
        }
    }

    /// `None`: damaged, of another seal, or not what it should hold.
    pub(super) fn open(&self, what: &str, bytes: Zeroizing<Vec<u8>>) -> Option<Zeroizing<Vec<u8>>> {
        match &self.0 {
            None => Some(bytes),
            Some(key) => open(key, what, bytes.strip_prefix(MAGIC)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_secret_opens_and_only_what_was_sealed_as_that() {
        let key = Secret::random();
        let derived = Derived::new(b"correct horse battery", &key);
        assert_eq!(derived.open(b"correct horse battery").as_deref(), Some(&*key));
        assert!(derived.open(b"correct horse batterz").is_none());
        let sealer = Sealer::of(key);
        let sealed = sealer.seal("record", b"secret");
        assert!(!sealed.windows(6).any(|w| w == b"secret"));
        assert_eq!(sealer.open("record", sealed.clone()).as_deref().map(Vec::as_slice), Some(&b"secret"[..]));
        assert!(sealer.open("at-rest", sealed.clone()).is_none());
        for place in 0..sealed.len() {
            let mut bytes = sealed.clone();
            bytes[place] ^= 1;
            assert!(sealer.open("record", bytes).is_none(), "byte {place}");
        }
        assert!(sealer.open("record", Zeroizing::new(b"secret".to_vec())).is_none(), "plain among sealed");
    }

    #[test]
    fn a_book_cannot_ask_for_all_memory() {
        let mut derived = Derived::new(b"correct horse battery", &Secret::random());
        derived.memory_kib = u32::MAX;
        assert!(derived.open(b"correct horse battery").is_none());
    }
}
