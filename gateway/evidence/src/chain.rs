//! The chain of a stream at its recipient: which manifest may come next, and what is wrong with any other.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::explain::explained;
use crate::manifest::{Manifest, UnauthenticatedManifest, VerifiedManifest};

explained! {
    /// A manifest does not continue the chain.
    pub enum ChainBreak {
        /// Of another stream.
        WrongStream => "chain.wrong-stream", "the manifest is of another stream", "清单属于另一个流";
        /// Of another node.
        WrongNode => "chain.wrong-node", "the manifest is of another node than the stream came from", "清单来自另一个节点，与该流此前的节点不同";
        /// Of another epoch: the node was restored or replaced.
        OtherEpoch {
            /// Ours.
            expected: u64,
            /// The manifest's.
            found: u64
        } => "chain.other-epoch", "the manifest is of epoch {found}, the chain is in epoch {expected}: ask the node's operator, then adopt the new epoch explicitly",
             "清单属于纪元 {found}，本链处于纪元 {expected}：请与节点运维确认后，显式采纳新纪元";
        /// Batches are missing in between.
        Gap {
            /// The seq that should come.
            expected: u64,
            /// The manifest's.
            found: u64
        } => "chain.gap", "batch {found} came where {expected} was due: batches in between are missing; fetch them first", "应为批次 {expected}，却收到 {found}：中间批次缺失；请先获取";
        /// The newest batch once more, unchanged.
        Repeated {
            /// Its seq.
            seq: u64
        } => "chain.repeated", "batch {seq} was already accepted, unchanged; skip it", "批次 {seq} 已接收且未变；请跳过";
        /// An older batch.
        Reordered {
            /// The seq that should come.
            expected: u64,
            /// The manifest's.
            found: u64
        } => "chain.reordered", "batch {found} came after {expected} was already due: it is out of order", "批次 {found} 乱序：此时应为 {expected}";
        /// Another batch under an accepted number.
        Replaced {
            /// Its seq.
            seq: u64
        } => "chain.replaced", "batch {seq} differs from the one already accepted under this number: the node shows two histories; keep both and report it",
             "批次 {seq} 与此前接收的同号批次不同：节点出现两套历史；请保留两份并报告";
        /// Does not follow from what we accepted.
        Forked {
            /// Its seq.
            seq: u64
        } => "chain.forked", "batch {seq} does not follow the batch accepted before it: the node shows two histories; keep both and report it",
             "批次 {seq} 与此前接收的批次不衔接：节点出现两套历史；请保留证据并报告";
    }
}

/// Where a recipient stands in a stream. Store it with what was stored of the batch, in one step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chain {
    node: String,
    epoch: u64,
    stream: String,
    next_seq: u64,
    prev: Option<Digest>,
}

impl Chain {
    /// A stream of which nothing has come yet in `epoch`.
    pub fn new(node: &str, epoch: u64, stream: &str) -> Self {
        Self { node: node.to_owned(), epoch, stream: stream.to_owned(), next_seq: 1, prev: None }
    }

    /// A stream of which `last_seq` with digest `last` was the newest accepted.
    pub fn resume(node: &str, epoch: u64, stream: &str, last_seq: u64, last: Digest) -> Self {
        Self { next_seq: last_seq.saturating_add(1), prev: Some(last), ..Self::new(node, epoch, stream) }
    }

    /// Checks that `manifest` comes next, and moves on.
    pub fn accept(&mut self, manifest: &VerifiedManifest) -> Result<(), ChainBreak> {
        self.step(manifest.manifest(), manifest.digest())
    }

    /// [`Self::accept`] for chains that are checked for consistency only.
    pub fn accept_unauthenticated(&mut self, manifest: &UnauthenticatedManifest) -> Result<(), ChainBreak> {
        self.step(manifest.manifest(), manifest.digest())
    }

    /// Enters a new epoch, in which `seq` starts at 1: a person decided that the node's restore is genuine.
    pub fn adopt_epoch(&mut self, epoch: u64) {
        (self.epoch, self.next_seq, self.prev) = (epoch, 1, None);
    }

    /// The node.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// The epoch.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The stream.
    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// The `seq` that comes next.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Digest of the newest manifest accepted in this epoch.
    pub fn prev(&self) -> Option<Digest> {
        self.prev
    }

    fn step(&mut self, manifest: &Manifest, digest: Digest) -> Result<(), ChainBreak> {
        let (seq, expected) = (manifest.seq, self.next_seq);
        if manifest.stream != self.stream {
            return Err(ChainBreak::WrongStream);
        }
        if manifest.node != self.node {
            return Err(ChainBreak::WrongNode);
        }
        if manifest.epoch != self.epoch {
            return Err(ChainBreak::OtherEpoch { expected: self.epoch, found: manifest.epoch });
        }
        if seq > expected {
            return Err(ChainBreak::Gap { expected, found: seq });
        }
        if seq < expected {
            return Err(match seq + 1 == expected {
                true if self.prev == Some(digest) => ChainBreak::Repeated { seq },
                true => ChainBreak::Replaced { seq },
                false => ChainBreak::Reordered { expected, found: seq },
            });
        }
        if manifest.prev.as_ref().map(|prev| prev.sha256) != self.prev {
            return Err(ChainBreak::Forked { seq });
        }
        (self.next_seq, self.prev) = (seq + 1, Some(digest));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digests;
    use crate::keys::{Jwks, ManifestKey};
    use crate::manifest::SignedManifest;

    struct Node {
        key: ManifestKey,
        template: Manifest,
    }

    impl Node {
        fn seal(
            &self,
            seq: u64,
            prev: Option<Digest>,
            change: impl FnOnce(&mut Manifest),
        ) -> VerifiedManifest {
            let mut manifest = Manifest { seq, prev: prev.map(Digests::sha256), ..self.template.clone() };
            change(&mut manifest);
            let signed = SignedManifest::sign(&manifest, &self.key).unwrap();
            signed.verify(&Jwks::new([self.key.public_jwk().clone()])).unwrap()
        }
    }

    #[test]
    fn every_break_has_its_name() {
        let template: Manifest =
            serde_json::from_str(include_str!("../tests/vectors/manifest.json")).unwrap();
        let mut chain = Chain::new(&template.node, 1, &template.stream);
        let node = Node { key: ManifestKey::generate().unwrap(), template };
        let one = node.seal(1, None, |_| {});
        let two = node.seal(2, Some(one.digest()), |_| {});
        let three = node.seal(3, Some(two.digest()), |_| {});

        assert_eq!(chain.accept(&two), Err(ChainBreak::Gap { expected: 1, found: 2 }));
        assert_eq!(chain.accept(&one), Ok(()));
        assert_eq!(chain.accept(&one), Err(ChainBreak::Repeated { seq: 1 }));
        let stored = serde_json::to_string(&chain).unwrap();
        chain = serde_json::from_str(&stored).unwrap();
        let replaced = node.seal(1, None, |manifest| manifest.policy = "other".to_owned());
        assert_eq!(chain.accept(&replaced), Err(ChainBreak::Replaced { seq: 1 }));
        let forked = node.seal(2, Some(replaced.digest()), |_| {});
        assert_eq!(chain.accept(&forked), Err(ChainBreak::Forked { seq: 2 }));
        assert_eq!(chain.accept(&three), Err(ChainBreak::Gap { expected: 2, found: 3 }));
        assert_eq!(chain.accept(&two), Ok(()));
        assert_eq!(chain.accept(&one), Err(ChainBreak::Reordered { expected: 3, found: 1 }));
        let elsewhere = node.seal(3, Some(two.digest()), |manifest| manifest.node = "a.example/b".to_owned());
        assert_eq!(chain.accept(&elsewhere), Err(ChainBreak::WrongNode));
        let lane = node.seal(3, Some(two.digest()), |manifest| manifest.stream += "~history");
        assert_eq!(chain.accept(&lane), Err(ChainBreak::WrongStream));
        let restored = node.seal(1, None, |manifest| manifest.epoch = 2);
        assert_eq!(chain.accept(&restored), Err(ChainBreak::OtherEpoch { expected: 1, found: 2 }));
        let resumed = Chain::resume(chain.node(), 1, chain.stream(), 2, two.digest());
        assert_eq!(resumed, chain);
        chain.adopt_epoch(2);
        assert_eq!(chain.accept(&restored), Ok(()));
        assert_eq!((chain.next_seq(), chain.prev()), (2, Some(restored.digest())));
    }
}
