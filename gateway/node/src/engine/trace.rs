//! Tracing a record: who received which version of it, when, on what basis. Answered from the line tables, years
//! later too; nothing of the record itself is needed. The register says in which frames its lines are; all tables are read only for a
//! recipient's key, which leads back to no record, and for a record with more operations than the register has places.

use super::Node;
use super::entries::timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use xinqiao_exchange::names::StreamId;
use xinqiao_exchange::op::Op;
use xinqiao_exchange::register::{Record, Registered};
use xinqiao_exchange::secrets::{Naming, RecordId, RecordKey};
use xinqiao_exchange::state::{GroupChunkRow, Table, group_chunk_key};
use xinqiao_exchange::table;
use xinqiao_runtime::refusal::{Refusal, RefusalCode};

/// How a record is named.
pub enum Wanted<'a> {
    /// By its source: member and the source's own reference.
    Reference {
        /// The member that sent it.
        member: &'a str,
        /// Its reference.
        reference: &'a str,
    },
    /// By a recipient: its key of the record, 32 hexadecimal digits.
    Key {
        /// The recipient.
        recipient: &'a str,
        /// The key.
        key: &'a str,
    },
}

/// One line that went, or is to go, to a recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traced {
    /// The stream it is in.
    pub stream: String,
    /// The recipient's key of the record, 32 hexadecimal digits.
    pub key: String,
    /// What it says of the record.
    pub op: Op,
    /// Its number among all versions of all records; the highest of a key wins.
    pub rev: u64,
    /// Index of the submission's entry in the log.
    pub log_index: u64,
    /// The member that sent it.
    pub member: String,
    /// Zero-based ordinal of the record in the submission's body.
    pub record: u32,
    /// The batch it went out in; none while it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<TracedBatch>,
    /// The policy the lines of the stream were made with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// The SHA-256 digest of its document, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_digest: Option<String>,
}

/// A batch that a traced line went out in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracedBatch {
    /// Its number in the stream.
    pub seq: u64,
    /// The SHA-256 digest of its manifest, hexadecimal.
    pub manifest_digest: String,
    /// When it was sealed, RFC 3339.
    pub sealed: String,
    /// Whether its payload was handed out.
    pub served: bool,
    /// When the recipient answered, RFC 3339.
    #[serde(rename = "answered", default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<String>,
    /// How the recipient answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<xinqiao_exchange::event::Outcome>,
}

impl Node {
    /// Every line of a record in every stream. Blocks.
    pub fn trace(&self, dataset: &str, wanted: &Wanted<'_>) -> Result<Vec<Traced>, Refusal> {
        let rules = self.rules();
        let plan = rules.plan.dataset(dataset).ok_or(RefusalCode::DatasetUnknown)?;
        let mut keys: BTreeMap<StreamId, Vec<RecordKey>> = BTreeMap::new();
        let mut want = |stream: &StreamId, key| keys.entry(stream.clone()).or_default().push(key);
        let mut frames = Some(BTreeSet::new());
        match wanted {
            Wanted::Reference { member, reference } => {
                let source = rules.sources.get(*member).ok_or(RefusalCode::NotFound)?;
                for lineage in source.lineages() {
                    let named = plan.identifier.id(lineage, Naming::Reference(reference));
                    let id = self.registered(&named.0)?.map_or(named, |found| found.leads_to(named.0));
                    let of_recipients: Vec<_> = plan.recipients.iter().map(|r| r.keyer.key(&id)).collect();
                    for (r, key) in plan.recipients.iter().zip(&of_recipients) {
                        want(&r.daily, *key);
                        want(&r.history, *key);
                    }
                    self.frames_of(id, &of_recipients, &mut frames)?;
                }
            }
            Wanted::Key { recipient, key } => {
                let key = RecordKey::parse(key).ok_or(RefusalCode::ParameterInvalid)?;
                let r = plan.recipients.iter().find(|r| r.name == *recipient).ok_or(RefusalCode::NotFound)?;
                want(&r.daily, key);
                want(&r.history, key);
                frames = None;
            }
        }
        let mut found = Vec::new();
        if let Some(frames) = frames {
            for first_index in frames {
                let from = group_chunk_key(first_index, 0);
                let to = group_chunk_key(first_index, u16::MAX);
                let rows = self.kept_rows(Table::GroupChunk, &from, Some(&to), usize::from(u16::MAX));
                for (_, value) in rows.map_err(|_| RefusalCode::Internal)? {
                    self.trace_row(&value, &keys, &mut found)?;
                }
            }
            return Ok(found);
        }
        let mut from = Vec::new();
        loop {
            let rows = self.kept_rows(Table::GroupChunk, &from, None, 1_024);
            let rows = rows.map_err(|_| RefusalCode::Internal)?;
            let Some((last, _)) = rows.last() else { return Ok(found) };
            from = last.clone();
            from.push(0);
            for (_, value) in rows {
                self.trace_row(&value, &keys, &mut found)?;
            }
        }
    }

    /// Adds the frames that lines of a record are in, each by the index of its first entry; none any more if not all of them are known.
    fn frames_of(
        &self,
        id: RecordId,
        of_recipients: &[RecordKey],
        frames: &mut Option<BTreeSet<u64>>,
    ) -> Result<(), Refusal> {
        let mut of_record = |key: &[u8; 16], first: &dyn Fn(u64) -> Option<u64>| -> Result<(), Refusal> {
            let Some(Registered { record: Some(Record { operations, places, .. }), .. }) =
                self.registered(key)?
            else {
                return Ok(());
            };
            if operations > places.len() as u64 {
                *frames = None;
            }
            if let Some(all) = frames {
                for place in places {
                    all.insert(first(place.index).ok_or(RefusalCode::Internal)?);
                }
            }
            Ok(())
        };
        of_record(&id.0, &|index| self.record_of(index).map(|(record, _)| record.first_index))?;
        // What the node wrote itself, and lines of earlier versions, are known by recipients' keys, at the frame.
        for key in of_recipients {
            of_record(&key.0, &Some)?;
        }
        Ok(())
    }

    fn trace_row(
        &self,
        row: &[u8],
        keys: &BTreeMap<StreamId, Vec<RecordKey>>,
        found: &mut Vec<Traced>,
    ) -> Result<(), Refusal> {
        let chunk: GroupChunkRow = serde_json::from_slice(row).map_err(|_| RefusalCode::Internal)?;
        match keys.get(&chunk.stream) {
            Some(wanted) => self.trace_chunk(&chunk, wanted, found),
            None => Ok(()),
        }
    }

    fn trace_chunk(
        &self,
        chunk: &GroupChunkRow,
        wanted: &[RecordKey],
        found: &mut Vec<Traced>,
    ) -> Result<(), Refusal> {
        let bytes = self.read_item(&chunk.stream, chunk.table).map_err(|_| RefusalCode::DiskFailed)?;
        for group in table::groups(&bytes).map_err(|_| RefusalCode::Internal)? {
            for e in group.entries().map_err(|_| RefusalCode::Internal)? {
                if !wanted.contains(&e.key) {
                    continue;
                }
                let description = self.head(&chunk.stream).and_then(|h| h.descriptions.last().cloned());
                found.push(Traced {
                    stream: chunk.stream.to_string(),
                    key: e.key.hex().as_str().to_owned(),
                    op: e.op,
                    rev: e.rev,
                    log_index: group.submission,
                    member: group.member.to_owned(),
                    record: e.ordinal,
                    batch: self.traced_batch(chunk)?,
                    policy: description.as_ref().map(|d| d.policy.clone()),
                    policy_digest: description.map(|d| d.policy_digest),
                });
            }
        }
        Ok(())
    }

    fn traced_batch(&self, chunk: &GroupChunkRow) -> Result<Option<TracedBatch>, Refusal> {
        let Some(head) = self.head(&chunk.stream) else { return Ok(None) };
        let Some((_, seq, batch)) = self.batch_of_chunk(&head, chunk.chunk) else { return Ok(None) };
        Ok(Some(TracedBatch {
            seq,
            manifest_digest: batch.digest,
            sealed: timestamp(batch.time),
            served: batch.served,
            acknowledged: batch.acknowledgement.as_ref().map(|a| timestamp(a.time)),
            outcome: batch.acknowledgement.map(|a| a.outcome),
        }))
    }
}
