//! The node's public keys: pinned, and followed from there.

use serde::Deserialize;
use std::path::{Path, PathBuf};
use xinqiao_evidence::keys::Jwks;
use xinqiao_evidence::tlog::VerifierKey;

use crate::client::Client;
use crate::durable::{Readers, write_whole};
use crate::error::{ClientError, unverified};
use crate::followed::FollowedKeys;

/// Where the node's public keys come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A JWKS file that came by another way than this connection.
    File(PathBuf),
    /// `keys.json` in the directory; if it is not there yet, whatever the gateway says now, kept from then on.
    TrustOnFirstUse,
}

pub(crate) struct PinnedKeys {
    keys: FollowedKeys,
    /// The log's key in C2SP form, for key sets that name it only so.
    log: Option<VerifierKey>,
}

impl PinnedKeys {
    pub(crate) async fn load(source: &KeySource, into: &Path, client: &Client) -> Result<Self, ClientError> {
        let path = match source {
            KeySource::File(path) => path.clone(),
            KeySource::TrustOnFirstUse => into.join("keys.json"),
        };
        if *source == KeySource::TrustOnFirstUse && !path.exists() {
            let said = client.keys().await?;
            Self::read("keys", &said)?;
            std::fs::create_dir_all(into).map_err(|error| ClientError::local(into, error))?;
            write_whole(&path, &said, Readers::Mask)?;
        }
        let bytes = std::fs::read(&path).map_err(|error| ClientError::local(&path, error))?;
        Self::read(&path.display().to_string(), &bytes)
    }

    fn read(place: &str, bytes: &[u8]) -> Result<Self, ClientError> {
        #[derive(Deserialize)]
        struct Beside {
            log: Option<String>,
        }
        let jwks = Jwks::from_json(bytes).map_err(|error| unverified(place, &error))?;
        let beside: Beside = serde_json::from_slice(bytes)
            .map_err(|_| ClientError::setting(place, "the member log is not text", "成员 log 不是文本"))?;
        let log = match beside.log {
            Some(text) => Some(text.parse().map_err(|error| unverified(place, &error))?),
            None => None,
        };
        Ok(Self { keys: FollowedKeys::new(jwks), log })
    }

    pub(crate) fn jwks(&self) -> &Jwks {
        self.keys.jwks()
    }

    /// Follows the node's endorsements to the keys it has now; false if there is nothing new.
    pub(crate) async fn refresh(&mut self, client: &Client) -> Result<bool, ClientError> {
        self.keys.refresh(client).await
    }

    /// The keys that may sign for the log of this origin.
    pub(crate) fn of_log(&self, origin: &str) -> Vec<VerifierKey> {
        let mut keys = self.keys.jwks().log_verifiers(origin);
        keys.extend(self.log.iter().filter(|key| key.name() == origin).cloned());
        keys
    }
}
