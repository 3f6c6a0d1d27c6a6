//! What the node shows anyone: public keys, the newest checkpoint, tiles of the log.

use super::Node;
use bytes::Bytes;
use xinqiao_evidence::keys::Jwks;
use xinqiao_evidence::tlog::{Tile, VerifierKey};
use xinqiao_runtime::refusal::{Refusal, RefusalCode};

impl Node {
    /// The JWKS, with the log's key as a C2SP verifier key beside it, and what the manifest keys say of the others.
    pub fn published_keys(&self) -> Bytes {
        let mut document = self.secrets.published();
        if let Some(key) = VerifierKey::of(&self.name.log_origin(self.epoch()), &self.secrets.log()[0]) {
            document["log"] = key.to_string().into();
        }
        document["node"] = self.name.as_str().into();
        Bytes::from(document.to_string())
    }

    /// The newest durable checkpoint.
    pub fn published_checkpoint(&self) -> Option<String> {
        Some(self.checkpoint.read().clone()).filter(|c| !c.is_empty())
    }

    /// A tile. Blocks.
    pub fn published_tile(&self, tile: &Tile) -> Result<Bytes, Refusal> {
        match self.log().tile(tile) {
            Ok(Some(bytes)) => Ok(bytes.into()),
            Ok(None) => Err(RefusalCode::NotFound.into()),
            Err(e) => {
                self.log_unreadable(&e);
                Err(RefusalCode::JournalDamaged.into())
            }
        }
    }

    /// The keys a recipient signs its answers with; none by default.
    pub fn acknowledgement_keys(&self, member: &str) -> Jwks {
        self.acknowledgement_keys.read().get(member).cloned().unwrap_or_default()
    }
}
