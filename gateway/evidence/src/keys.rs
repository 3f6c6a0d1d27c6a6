//! Signing keys and the public keys that are pinned to check them.
//!
//! Manifest, log, acknowledgement and envelope keys are distinct types, so one cannot sign what belongs to another. A
//! private key leaves this module only as PKCS#8 bytes that erase themselves; `Debug` shows the key id alone.

mod jwk;
mod signing;

pub use jwk::{Jwk, Jwks, KeyError, KeyUse, MAX_JWKS, PublicKey};
pub use signing::{
    AcknowledgementKey, EnvelopeKey, Es256Key, ForAcknowledgement, ForEnvelope, ForManifest, LogKey,
    ManifestKey, Purpose, Signer,
};
