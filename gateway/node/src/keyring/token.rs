//! A PKCS#11 token: makes keys that do not leave it, signs with them, wraps the sealing key. It may be unplugged at any
//! moment: then signing fails at once and says so, and each later try opens a session anew until one succeeds. One that
//! hangs is waited for [`PATIENCE`] once; then everything fails at once until the call returns.
//!
//! One session is used by one thread at a time. A PIN that was refused is never tried again: three tries lock a token.

use super::error::KeyringError;
use super::patience::Patience;
use super::secret;
use crate::config;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use xinqiao_crypto::aead::NONCE;
use xinqiao_crypto::{hex, random, sha256};
use xinqiao_evidence::keys::{KeyError, PublicKey, Signer};
use zeroize::Zeroizing;

/// DER of the object identifier of P-256.
const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// DER of the object identifier of Ed25519, and of the name that older modules want instead.
const ED25519: [&[u8]; 2] = [&[0x06, 0x03, 0x2b, 0x65, 0x70], b"\x13\x0cedwards25519"];
/// After a failure the token is left alone this long: opening a session to a dead one is slow.
const PAUSE: Duration = Duration::from_millis(500);
/// A call that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(10);
const TAG_BITS: u64 = 128;

/// A token and, while it answers, a session with it.
pub(crate) struct Token {
    label: String,
    pin: AuthPin,
    module: Pkcs11,
    line: Mutex<Line>,
    down: AtomicBool,
    patience: Patience,
}

#[derive(Default)]
struct Line {
    session: Option<Session>,
    /// Handles of this session, by id and class.
    handles: HashMap<(String, bool), ObjectHandle>,
    failed: Option<Instant>,
    pin_refused: bool,
}

/// Why a step in the token failed.
enum Fault {
    /// The token or the session.
    Token(Error),
    /// No object with this id.
    Absent,
}

impl From<Error> for Fault {
    fn from(e: Error) -> Self {
        Self::Token(e)
    }
}

impl Token {
    /// Loads the module and logs in.
    pub(super) fn open(settings: &config::Token) -> Result<Arc<Self>, KeyringError> {
        let unavailable = || KeyringError::TokenUnavailable(settings.label.clone());
        let pin = match settings.pin.strip_prefix("credential:") {
            Some(name) => secret::credential(name)?.0,
            None => secret::passphrase(std::path::Path::new(&settings.pin))?,
        };
        let pin =
            String::from_utf8(pin.to_vec()).map_err(|_| KeyringError::PinRefused(settings.label.clone()))?;
        let module = Pkcs11::new(&settings.module).map_err(|_| unavailable())?;
        let token = Arc::new(Self {
            label: settings.label.clone(),
            pin: pin.into(),
            module,
            line: Mutex::default(),
            down: AtomicBool::new(false),
            patience: Patience::new(PATIENCE),
        });
        token.bounded(|token| token.connect(&mut token.line.lock()))?;
        Ok(token)
    }

    /// Whether the last try to use it failed.
    pub(super) fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }

    /// A new P-256 key pair; its id and its public key.
    pub(super) fn generate_p256(self: &Arc<Self>) -> Result<(String, [u8; 65]), KeyringError> {
        self.generate(|| Mechanism::EccKeyPairGen, MechanismType::ECC_KEY_PAIR_GEN, &[P256], "P-256")
    }

    /// A new Ed25519 key pair; its id and its public key.
    pub(super) fn generate_ed25519(self: &Arc<Self>) -> Result<(String, [u8; 32]), KeyringError> {
        let kind = MechanismType::ECC_EDWARDS_KEY_PAIR_GEN;
        self.generate(|| Mechanism::EccEdwardsKeyPairGen, kind, &ED25519, "Ed25519 (CKM_EDDSA)")
    }

    fn generate<const N: usize>(
        self: &Arc<Self>,
        mechanism: fn() -> Mechanism<'static>,
        kind: MechanismType,
        curves: &'static [&'static [u8]],
        what: &'static str,
    ) -> Result<(String, [u8; N]), KeyringError> {
        let id = new_id();
        let bytes = id_bytes(&id);
        let label = format!("xinqiao {id}").into_bytes();
        let made = self.run(move |token, line| {
            let slot = token.slot().ok_or(Fault::Absent)?;
            if !token.module.get_mechanism_list(slot)?.contains(&kind) {
                return Ok(None);
            }
            let session = line.session()?;
            for curve in curves {
                let public = [
                    Attribute::Token(true),
                    Attribute::Verify(true),
                    Attribute::EcParams(curve.to_vec()),
                    Attribute::Id(bytes.clone()),
                    Attribute::Label(label.clone()),
                ];
                let private = [
                    Attribute::Token(true),
                    Attribute::Private(true),
                    Attribute::Sensitive(true),
                    Attribute::Extractable(false),
                    Attribute::Sign(true),
                    Attribute::Id(bytes.clone()),
                    Attribute::Label(label.clone()),
                ];
                if let Ok((handle, _)) = session.generate_key_pair(&mechanism(), &public, &private) {
                    return Ok(point(session, handle)?);
                }
            }
            Ok(None)
        })?;
        made.and_then(|point| point.as_slice().try_into().ok())
            .map(|point| (id, point))
            .ok_or(KeyringError::TokenLacks(what))
    }

    /// Id of the AES key that wraps the sealing key; made if it is not there.
    pub(super) fn sealing_key(self: &Arc<Self>) -> Result<String, KeyringError> {
        let id = new_id();
        let (bytes, label) = (id_bytes(&id), format!("xinqiao sealing {id}").into_bytes());
        let made = self.run(move |_, line| {
            let template = [
                Attribute::Token(true),
                Attribute::Private(true),
                Attribute::Sensitive(true),
                Attribute::Extractable(false),
                Attribute::Encrypt(true),
                Attribute::Decrypt(true),
                Attribute::ValueLen(32.into()),
                Attribute::Id(bytes.clone()),
                Attribute::Label(label.clone()),
            ];
            Ok(line.session()?.generate_key(&Mechanism::AesKeyGen, &template).is_ok())
        })?;
        if made { Ok(id) } else { Err(KeyringError::TokenLacks("AES-256-GCM")) }
    }

    /// Encrypts in the token: nonce, ciphertext, tag.
    pub(super) fn wrap(self: &Arc<Self>, id: &str, bytes: &[u8]) -> Result<Vec<u8>, KeyringError> {
        let nonce: [u8; NONCE] = random::unique();
        let (id, bytes) = (id.to_owned(), Zeroizing::new(bytes.to_vec()));
        let sealed = self.run(move |_, line| {
            let key = line.find(&id, ObjectClass::SECRET_KEY)?;
            let mut iv = nonce;
            let params = GcmParams::new(&mut iv, b"xinqiao", TAG_BITS.into())?;
            Ok(line.session()?.encrypt(&Mechanism::AesGcm(params), key, &bytes)?)
        })?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// Decrypts what [`Token::wrap`] gave.
    pub(super) fn unwrap(
        self: &Arc<Self>,
        id: &str,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
        let Some((nonce, rest)) = sealed.split_first_chunk::<NONCE>() else {
            return Err(KeyringError::NotInToken(id.to_owned()));
        };
        let (id, nonce, rest) = (id.to_owned(), *nonce, rest.to_vec());
        self.run(move |_, line| {
            let key = line.find(&id, ObjectClass::SECRET_KEY)?;
            let mut iv = nonce;
            let params = GcmParams::new(&mut iv, b"xinqiao", TAG_BITS.into())?;
            Ok(line.session()?.decrypt(&Mechanism::AesGcm(params), key, &rest).map(Zeroizing::new)?)
        })
    }

    /// A signer for the private key with this id, if it is there.
    pub(super) fn signer(
        self: &Arc<Self>,
        id: &str,
        public: &PublicKey,
    ) -> Result<Arc<dyn Signer>, KeyringError> {
        let name = id.to_owned();
        self.run(move |_, line| line.find(&name, ObjectClass::PRIVATE_KEY).map(drop))?;
        let edwards = matches!(public, PublicKey::Ed25519(_));
        Ok(Arc::new(TokenSigner { token: self.clone(), id: id.to_owned(), edwards }))
    }

    /// Destroys a key pair.
    pub(super) fn destroy(self: &Arc<Self>, id: &str) -> Result<(), KeyringError> {
        let id = id_bytes(id);
        self.run(move |_, line| {
            let session = line.session()?;
            for object in session.find_objects(&[Attribute::Id(id.clone())])? {
                session.destroy_object(object)?;
            }
            Ok(())
        })
    }

    /// Asks for something harmless; readiness follows.
    pub(super) fn probe(self: &Arc<Self>) {
        let _ = self.run(|_, line| {
            let session = line.session()?;
            let mut found = session.iter_objects(&[Attribute::Class(ObjectClass::PRIVATE_KEY)])?;
            found.next().transpose()?;
            Ok(())
        });
    }

    /// Runs a step, for as long as patience lasts.
    fn run<T: Send + 'static>(
        self: &Arc<Self>,
        step: impl FnMut(&Self, &mut Line) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, KeyringError> {
        self.bounded(|token| token.step(step))
    }

    fn bounded<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, KeyringError> + Send + 'static,
    ) -> Result<T, KeyringError> {
        let token = self.clone();
        self.patience.within(move || work(&token)).unwrap_or_else(|| {
            if !self.down.swap(true, Ordering::Relaxed) {
                tracing::error!(code = "keys.token-unavailable", token = self.label, "the token hangs");
            }
            Err(KeyringError::TokenUnavailable(self.label.clone()))
        })
    }

    /// A step; if the session does not serve, once more with a new one.
    fn step<T>(&self, mut step: impl FnMut(&Self, &mut Line) -> Result<T, Fault>) -> Result<T, KeyringError> {
        let mut line = self.line.lock();
        let unavailable = || KeyringError::TokenUnavailable(self.label.clone());
        if line.session.is_none() && line.failed.is_some_and(|at| at.elapsed() < PAUSE) {
            return Err(unavailable());
        }
        for fresh in [false, true] {
            if line.session.is_none() {
                self.connect(&mut line)?;
            }
            match step(self, &mut line) {
                Ok(done) => {
                    self.down.store(false, Ordering::Relaxed);
                    return Ok(done);
                }
                // A module that lost its token may go on showing an empty one.
                Err(Fault::Absent) if fresh => {
                    self.down.store(true, Ordering::Relaxed);
                    line.forget();
                    return Err(KeyringError::NotInToken(self.label.clone()));
                }
                Err(fault) => {
                    if let Fault::Token(e) = fault {
                        tracing::debug!(error = %e, token = self.label, "a step in the token failed");
                    }
                    line.forget();
                }
            }
        }
        self.failed(&mut line);
        Err(unavailable())
    }

    fn failed(&self, line: &mut Line) {
        line.forget();
        line.failed = Some(Instant::now());
        if !self.down.swap(true, Ordering::Relaxed) {
            tracing::error!(code = "keys.token-unavailable", token = self.label, "the token does not answer");
        }
    }

    /// A session, logged in. The module is started anew: a token that came back may be in another slot.
    fn connect(&self, line: &mut Line) -> Result<(), KeyringError> {
        let label = || self.label.clone();
        if line.pin_refused {
            return Err(KeyringError::PinRefused(label()));
        }
        match self.session() {
            Ok(session) => {
                line.session = Some(session);
                line.failed = None;
                Ok(())
            }
            Err(Error::Pkcs11(
                RvError::PinIncorrect
                | RvError::PinLocked
                | RvError::PinInvalid
                | RvError::PinLenRange
                | RvError::PinExpired,
                _,
            )) => {
                line.pin_refused = true;
                self.failed(line);
                Err(KeyringError::PinRefused(label()))
            }
            Err(_) => {
                self.failed(line);
                Err(KeyringError::TokenUnavailable(label()))
            }
        }
    }

    fn session(&self) -> Result<Session, Error> {
        let _ = self.module.clone().finalize();
        match self.module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(e) => return Err(e),
        }
        let slot = self.slot().ok_or(Error::NotSupported)?;
        let session = self.module.open_rw_session(slot)?;
        match session.login(UserType::User, Some(&self.pin)) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
            Err(e) => Err(e),
        }
    }

    fn slot(&self) -> Option<Slot> {
        let slots = self.module.get_slots_with_token().ok()?;
        slots.into_iter().find(|slot| {
            self.module.get_token_info(*slot).is_ok_and(|info| info.label().trim_end() == self.label)
        })
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}, PIN redacted)", self.label)
    }
}

impl Line {
    fn session(&self) -> Result<&Session, Fault> {
        self.session.as_ref().ok_or(Fault::Absent)
    }

    fn forget(&mut self) {
        self.handles.clear();
        self.session = None;
    }

    fn find(&mut self, id: &str, class: ObjectClass) -> Result<ObjectHandle, Fault> {
        let name = (id.to_owned(), class == ObjectClass::PRIVATE_KEY);
        if let Some(handle) = self.handles.get(&name) {
            return Ok(*handle);
        }
        let wanted = [Attribute::Class(class), Attribute::Id(id_bytes(id))];
        let found = self.session()?.find_objects(&wanted)?.first().copied().ok_or(Fault::Absent)?;
        self.handles.insert(name, found);
        Ok(found)
    }
}

/// Signs with one key of the token.
struct TokenSigner {
    token: Arc<Token>,
    id: String,
    edwards: bool,
}

impl Signer for TokenSigner {
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], KeyError> {
        let (id, edwards, message) = (self.id.clone(), self.edwards, message.to_vec());
        let signature = self.token.run(move |_, line| {
            let key = line.find(&id, ObjectClass::PRIVATE_KEY)?;
            let session = line.session()?;
            if edwards {
                let pure = Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Pure));
                return Ok(session.sign(&pure, key, &message)?);
            }
            Ok(session.sign(&Mechanism::Ecdsa, key, &sha256(&message))?)
        });
        signature.ok().and_then(|raw| raw.as_slice().try_into().ok()).ok_or(KeyError::Unavailable)
    }
}

/// The public key, out of the octet string that most modules put it in.
fn point(session: &Session, handle: ObjectHandle) -> Result<Option<Vec<u8>>, Error> {
    let read = session.get_attributes(handle, &[AttributeType::EcPoint])?;
    let Some(Attribute::EcPoint(bytes)) = read.into_iter().next() else { return Ok(None) };
    Ok(Some(match bytes.as_slice() {
        [0x04, length, rest @ ..] if usize::from(*length) == rest.len() => rest.to_vec(),
        _ => bytes,
    }))
}

fn new_id() -> String {
    hex::encode(&random::unique::<16>())
}

fn id_bytes(id: &str) -> Vec<u8> {
    // What is not hexadecimal was not made here and must match no object, least of all those without an id.
    hex::decode(id).unwrap_or_else(|| id.as_bytes().to_vec())
}
