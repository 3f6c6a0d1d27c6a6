//! The recipients' side of a node driven by hand: lists, payloads and answers, each verified as a recipient would.

use super::*;
use crate::engine::acknowledge::Received;
use xinqiao_evidence::acknowledgement::{Acknowledgement, LineError, Outcome};
use xinqiao_evidence::manifest::{SignedManifest, VerifiedManifest};
use xinqiao_evidence::timestamp::Timestamp;
use xinqiao_evidence::{Digest, Digests};
use xinqiao_exchange::event::Encoding;
use xinqiao_exchange::names::StreamId;
use xinqiao_exchange::payload::decompress;

/// An authority: it is told why records are recalled.
pub(super) const PROVINCE: &str = "province";
/// A publisher: nothing stands there longer than its publication lasts.
pub(super) const PORTAL: &str = "portal";

/// The stream of a recipient.
pub(super) fn stream(recipient: &str) -> StreamId {
    StreamId::parse(&format!("{recipient}.{DATASET}")).unwrap()
}

/// A line a recipient does not take.
pub(super) fn error(record: u64) -> LineError {
    LineError { code: "E1007".into(), message: "主体代码不存在".into(), record }
}

/// Its stream of history.
pub(super) fn history(recipient: &str) -> StreamId {
    StreamId::parse(&format!("{recipient}.{DATASET}~history")).unwrap()
}

/// Operations on a record, in order, as lines say them.
pub(super) fn ops(lines: &[Value], key: &Value) -> Vec<String> {
    let of_it = lines.iter().filter(|line| line["key"] == *key);
    of_it.map(|line| line["op"].as_str().unwrap().to_owned()).collect()
}

impl Hand {
    /// The batches after one, sealed now if need be, each verified with its proof.
    pub(super) fn list(
        &mut self,
        recipient: &'static str,
        after: u64,
    ) -> Result<Vec<VerifiedManifest>, Refusal> {
        self.list_of(recipient, stream(recipient), after)
    }

    /// The same of any of its streams.
    pub(super) fn list_of(
        &mut self,
        recipient: &'static str,
        of: StreamId,
        after: u64,
    ) -> Result<Vec<VerifiedManifest>, Refusal> {
        let list = self
            .ask(move |node| async move { node.batches(recipient, &of, after, 100, Duration::ZERO).await })?;
        let list: Value = serde_json::from_str(&serde_json::to_string(&list).unwrap()).unwrap();
        let keys = self.node.secrets.jwks();
        let verified = list["batches"].as_array().unwrap().iter().map(|batch| {
            let signed = SignedManifest::parse(batch["manifest"].to_string().as_bytes()).unwrap();
            let verified = signed.verify(&keys).expect("signed by the node");
            verified.verify_proof(batch["proof"].as_str().unwrap(), &keys).expect("in the log");
            verified
        });
        Ok(verified.collect())
    }

    /// The lines of a payload, handed out and compared with what the manifest says of it.
    pub(super) fn fetch(
        &mut self,
        recipient: &'static str,
        batch: &VerifiedManifest,
    ) -> Result<Vec<Value>, Refusal> {
        let raw = self.payload(recipient, batch)?;
        let lines = raw.split(|b| *b == b'\n').filter(|line| !line.is_empty());
        let lines: Vec<Value> = lines.map(|line| serde_json::from_slice(line).unwrap()).collect();
        assert_eq!(lines.len() as u64, batch.manifest().records);
        Ok(lines)
    }

    /// The same as it is before it is read.
    pub(super) fn payload(
        &mut self,
        recipient: &'static str,
        batch: &VerifiedManifest,
    ) -> Result<Vec<u8>, Refusal> {
        let (seq, of) = (batch.manifest().seq, StreamId::parse(&batch.manifest().stream).unwrap());
        let bytes = self.ask(move |node| async move {
            let found = node.payload(recipient, &of, seq).await?;
            node.note_served(&of, seq, &found).await?;
            let parts = found.parts.iter().map(|part| node.payload_part(&of, *part).expect("it reads"));
            Ok::<_, Refusal>(parts.flatten().collect::<Vec<u8>>())
        })?;
        assert_eq!(Digest::of(&bytes), batch.manifest().payload.digest.sha256);
        let mut raw = Vec::new();
        decompress(Encoding::Gzip, &bytes, &mut raw).unwrap();
        Ok(raw)
    }

    /// An answer to a batch; partial if there are errors.
    pub(super) fn answer_of(
        &self,
        recipient: &str,
        batch: &VerifiedManifest,
        errors: Vec<LineError>,
    ) -> Acknowledgement {
        Acknowledgement {
            epoch: batch.manifest().epoch,
            outcome: if errors.is_empty() { Outcome::Accepted } else { Outcome::Partial },
            errors,
            manifest_digest: Digests::sha256(batch.digest()),
            node: self.node.name.as_str().to_owned(),
            seq: batch.manifest().seq,
            stream: stream(recipient).to_string(),
            time: Timestamp::of_unix(self.node.clock.now()),
        }
    }

    /// Gives an answer; nothing is committed before the next step.
    pub(super) fn give(
        &self,
        recipient: &'static str,
        said: Acknowledgement,
    ) -> JoinHandle<Result<Value, Refusal>> {
        let (node, as_sent) = (self.node.clone(), said.to_json().into());
        self.runtime.spawn(async move {
            let view = node
                .acknowledge(recipient, &stream(recipient), Received { said, as_sent, paid: None })
                .await?;
            Ok(serde_json::to_value(&view).unwrap())
        })
    }

    /// Gives an answer and waits for what comes of it.
    pub(super) fn acknowledge(
        &mut self,
        recipient: &'static str,
        said: Acknowledgement,
    ) -> Result<Value, Refusal> {
        let given = self.give(recipient, said);
        self.finish(given)
    }

    /// The lines of every batch the recipient has not taken, each accepted as it is.
    pub(super) fn take(&mut self, recipient: &'static str) -> Vec<Value> {
        let after = self.taken.get(recipient).copied().unwrap_or_default();
        let mut lines = Vec::new();
        for batch in self.list(recipient, after).expect("it may read") {
            lines.extend(self.fetch(recipient, &batch).expect("it is there"));
            let said = self.answer_of(recipient, &batch, Vec::new());
            self.acknowledge(recipient, said).expect("it is taken");
            self.taken.insert(recipient, batch.manifest().seq);
        }
        lines
    }
}
