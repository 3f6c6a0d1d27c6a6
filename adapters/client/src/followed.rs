//! A node's keys, pinned once and followed through its changes.

use xinqiao_evidence::endorsement::PublishedKeys;
use xinqiao_evidence::keys::Jwks;

use crate::client::Client;
use crate::error::{ClientError, unverified};

/// Pinned keys, and those that were reached from them by the node's endorsements.
#[derive(Debug, Clone)]
pub struct FollowedKeys {
    pinned: Jwks,
    jwks: Jwks,
}

impl FollowedKeys {
    /// Begins with what was pinned.
    pub fn new(pinned: Jwks) -> Self {
        Self { jwks: pinned.clone(), pinned }
    }

    /// Every key that is trusted now.
    pub fn jwks(&self) -> &Jwks {
        &self.jwks
    }

    /// Asks the node what became of its keys. True: something was learnt, and what did not verify may do so now. A key
    /// that no trusted manifest key vouches for is never taken.
    pub async fn refresh(&mut self, client: &Client) -> Result<bool, ClientError> {
        let said = client.keys().await?;
        let failed = |error| unverified("the node's published keys", &error);
        let published = PublishedKeys::from_json(&said).map_err(failed)?;
        let jwks = published.follow(&self.pinned).map_err(failed)?;
        let learnt = jwks != self.jwks;
        self.jwks = jwks;
        Ok(learnt)
    }
}
