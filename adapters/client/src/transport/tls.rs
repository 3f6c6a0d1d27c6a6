//! What a connection is made with: own identity and the authorities that may vouch for the gateway. Given once, or taken
//! from the files of a profile and looked at again when they change.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;
use xinqiao_certs::{CertificateDer, Identity, Revocation, Trust, TrustAnchors, UnixTime, tls};

use crate::error::ClientError;
use crate::profile::Profile;

/// TLS settings of a client, immutable: hand a client new ones with [`crate::Client::renew`].
#[derive(Clone)]
pub struct Tls {
    pub(super) config: Arc<rustls::ClientConfig>,
    trust: Arc<Trust>,
    /// The SPIFFE URI of the identity, if its certificate has one.
    member: Option<Arc<str>>,
}

impl Tls {
    /// Presents `identity`; accepts gateways that `trust` verifies.
    pub fn new(identity: &Identity, trust: &Arc<Trust>) -> Self {
        let leaf = identity.details().into_iter().next();
        let uris = leaf.map(|leaf| leaf.uris).unwrap_or_default();
        let member = uris.into_iter().find(|uri| uri.starts_with("spiffe://")).map(Arc::from);
        Self { config: tls::client_config(identity, trust), trust: trust.clone(), member }
    }

    /// Whether a chain that was accepted under other settings is still good.
    pub(super) fn accepts(&self, chain: &[CertificateDer<'_>]) -> bool {
        self.trust.check_server(chain, UnixTime::now()).is_ok()
    }

    /// Who presents this identity, as its certificate says.
    pub(super) fn member(&self) -> Option<Arc<str>> {
        self.member.clone()
    }

    /// Whether both accept the same gateways.
    pub(super) fn same_trust(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.trust, &other.trust)
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("trust", &self.trust).finish_non_exhaustive()
    }
}

/// The files of a profile, as they were when they were read last.
pub(super) struct Files {
    certificate: PathBuf,
    key: PathBuf,
    passphrase: Option<PathBuf>,
    authorities: PathBuf,
    stamps: [Option<Stamp>; 3],
}

/// Enough to notice that a file was written or replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    length: u64,
    inode: u64,
}

impl Files {
    pub(super) fn read(profile: &Profile) -> Result<(Self, Tls), ClientError> {
        let mut files = Self {
            certificate: profile.certificate.clone(),
            key: profile.key.clone(),
            passphrase: profile.key_passphrase_file.clone(),
            authorities: profile.authorities.clone(),
            stamps: [None; 3],
        };
        files.stamps = files.look();
        let tls = files.load()?;
        Ok((files, tls))
    }

    /// New settings, if a file changed and all of them are good together. What fails is said once per change.
    pub(super) fn again(&mut self) -> Option<Result<Tls, ClientError>> {
        let stamps = self.look();
        if stamps == self.stamps {
            return None;
        }
        self.stamps = stamps;
        Some(self.load())
    }

    fn load(&self) -> Result<Tls, ClientError> {
        let now = UnixTime::now();
        let identity =
            Identity::from_sealed_files(&self.certificate, &self.key, self.passphrase.as_deref(), now)?;
        let mut anchors = TrustAnchors::new();
        anchors.add_file(&self.authorities, Default::default(), now)?;
        let trust = Trust::new(anchors, Revocation::none())?;
        Ok(Tls::new(&identity, &trust))
    }

    fn look(&self) -> [Option<Stamp>; 3] {
        use std::os::unix::fs::MetadataExt;
        [&self.certificate, &self.key, &self.authorities].map(|path| {
            let found = std::fs::metadata(path).ok()?;
            Some(Stamp { modified: found.modified().ok()?, length: found.len(), inode: found.ino() })
        })
    }
}
