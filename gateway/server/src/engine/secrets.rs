//! The node's own keys: files in a directory outside the data, readable by the service alone.

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use xinqiao_evidence::keys::{AcknowledgementKey, Jwks, LogKey, ManifestKey};
use xinqiao_exchange::secrets::RecordSecret;
use xinqiao_store::AtRestKeys;
use zeroize::Zeroizing;

/// Everything the node signs, seals and names records with.
pub struct Secrets {
    /// Names records. Never rotates.
    pub record: RecordSecret,
    /// Wraps the keys of journal segments.
    pub at_rest: AtRestKeys,
    /// Signs manifests.
    pub manifest: ManifestKey,
    /// Signs checkpoints of the log.
    pub log: LogKey,
    /// Signs acknowledgements this node gives as a recipient.
    pub acknowledgement: AcknowledgementKey,
}

/// Secrets that cannot be used.
#[derive(Debug)]
pub enum SecretsError {
    /// A file is missing.
    Missing(PathBuf),
    /// A file cannot be read or written.
    Io(PathBuf, std::io::ErrorKind),
    /// A file does not hold what it should.
    Damaged(PathBuf),
    /// The file is readable by others.
    Open(PathBuf),
    /// There are keys already.
    Exists(PathBuf),
}

impl fmt::Display for SecretsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(p) => write!(
                f,
                "{} is missing; make the node's keys with `xinqiao keys init --config FILE`, or restore them from the key backup",
                p.display()
            ),
            Self::Io(p, kind) => write!(
                f,
                "{} cannot be used ({kind}); check that the service may read and write it",
                p.display()
            ),
            Self::Damaged(p) => write!(f, "{} is damaged; restore it from the key backup", p.display()),
            Self::Open(p) => write!(f, "{} may be read by others; set its mode to 0600", p.display()),
            Self::Exists(p) => {
                write!(f, "{} exists; keys are made only once, and record keys never change", p.display())
            }
        }
    }
}
impl std::error::Error for SecretsError {}

const RANDOM: &str = "the system has randomness";
const RECORD: &str = "record.secret";
const AT_REST: &str = "at-rest.secret";
const MANIFEST: &str = "manifest.p8";
const LOG: &str = "log.p8";
const ACKNOWLEDGEMENT: &str = "acknowledgement.p8";

impl Secrets {
    /// Makes new keys. Refuses to touch a directory that has some.
    pub fn init(dir: &Path) -> Result<(), SecretsError> {
        std::fs::create_dir_all(dir).map_err(|e| SecretsError::Io(dir.into(), e.kind()))?;
        for name in [RECORD, AT_REST, MANIFEST, LOG, ACKNOWLEDGEMENT] {
            if dir.join(name).exists() {
                return Err(SecretsError::Exists(dir.join(name)));
            }
        }
        write(&dir.join(RECORD), &*random32())?;
        write(&dir.join(AT_REST), &AtRestKeys::generate().to_bytes())?;
        write(&dir.join(MANIFEST), &ManifestKey::generate().expect(RANDOM).to_pkcs8())?;
        write(&dir.join(LOG), &LogKey::generate().expect(RANDOM).to_pkcs8())?;
        write(&dir.join(ACKNOWLEDGEMENT), &AcknowledgementKey::generate().expect(RANDOM).to_pkcs8())
    }

    /// Reads them.
    pub fn load(dir: &Path) -> Result<Secrets, SecretsError> {
        let path = |name: &str| dir.join(name);
        let record: [u8; 32] =
            read(&path(RECORD))?.as_slice().try_into().map_err(|_| SecretsError::Damaged(path(RECORD)))?;
        let damaged = |name: &str| SecretsError::Damaged(path(name));
        Ok(Secrets {
            record: RecordSecret::new(record),
            at_rest: AtRestKeys::from_bytes(&read(&path(AT_REST))?).ok_or_else(|| damaged(AT_REST))?,
            manifest: ManifestKey::from_pkcs8(&read(&path(MANIFEST))?).map_err(|_| damaged(MANIFEST))?,
            log: LogKey::from_pkcs8(&read(&path(LOG))?).map_err(|_| damaged(LOG))?,
            acknowledgement: AcknowledgementKey::from_pkcs8(&read(&path(ACKNOWLEDGEMENT))?)
                .map_err(|_| damaged(ACKNOWLEDGEMENT))?,
        })
    }

    /// The public keys, as `GET /v1/keys` gives them.
    pub fn jwks(&self) -> Jwks {
        Jwks::new([
            self.manifest.public_jwk().clone(),
            self.acknowledgement.public_jwk().clone(),
            self.log.public_jwk().clone(),
        ])
    }
}

/// 32 bytes nobody can guess.
pub fn random32() -> Zeroizing<[u8; 32]> {
    use ring::rand::SecureRandom;
    let mut out = Zeroizing::new([0u8; 32]);
    ring::rand::SystemRandom::new().fill(&mut *out).expect("the system has randomness");
    out
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), SecretsError> {
    use std::os::unix::fs::OpenOptionsExt;
    let io = |e: std::io::Error| SecretsError::Io(path.into(), e.kind());
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(io)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(io)
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, SecretsError> {
    use std::os::unix::fs::PermissionsExt;
    let meta = std::fs::metadata(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => SecretsError::Missing(path.into()),
        kind => SecretsError::Io(path.into(), kind),
    })?;
    if meta.permissions().mode() & 0o077 != 0 {
        return Err(SecretsError::Open(path.into()));
    }
    std::fs::read(path).map(Zeroizing::new).map_err(|e| SecretsError::Io(path.into(), e.kind()))
}
