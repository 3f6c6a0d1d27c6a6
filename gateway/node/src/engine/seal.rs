//! Sealing: when a recipient asks, or before a push, pending chunks become a batch. One at a time per stream; what may
//! no longer leave is withheld here and its sources are told.

use super::Node;
use super::commit_error::CommitError;
use super::entries;
use super::manifests;
use super::places::reference;
use super::rules::Rules;
use parking_lot::Mutex;
use std::sync::Arc;
use xinqiao_evidence::entry::WithheldState;
use xinqiao_exchange::event::{Event, Feedback, NewChunk, Part, Sealed};
use xinqiao_exchange::group::{Change, Item, Kind};
use xinqiao_exchange::names::StreamId;
use xinqiao_exchange::seal::{PARTS_CAP, Pending, PendingRecall, SMALL, payload, recalls};
use xinqiao_exchange::secrets::RecordKey;
use xinqiao_exchange::state::{BatchRow, ChunkRow, Place, State, StreamRow, Table, stream_key};
use xinqiao_exchange::table;
use xinqiao_explain::Explain;
use xinqiao_schemas::RecipientKind;

const SEND_AGAIN: &str = "The record was made under rules that have changed since and was not delivered; send it again. \
     记录生成后共享规则已变更，未予下发，请重新报送。";

/// Why nothing was sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SealError {
    /// The stream is on hold.
    Held,
    /// A stored chunk does not read; it is named in the log and not served.
    Damaged,
    /// It could not be committed.
    Commit(CommitError),
}

impl From<CommitError> for SealError {
    fn from(e: CommitError) -> Self {
        Self::Commit(e)
    }
}

/// Chunks that may go into one batch.
struct Run {
    chunks: Vec<(u64, ChunkRow)>,
    description: u32,
}

/// What of a chunk or batch stays behind, and what goes on.
struct Split {
    /// Records that stay behind.
    records: u64,
    /// Their line table.
    held: Vec<u8>,
    /// Events that queue the recalls anew.
    events: Vec<Event>,
    /// Items of those events.
    items: Vec<Item>,
}

/// What another schema means for the next batch.
enum Switch {
    /// Nothing: the schema is the same, or the recipient has acknowledged it.
    None,
    /// It was announced just now.
    Announced,
    /// It was announced and the recipient has not answered.
    Waiting,
}

/// Was this made under the policy that is in force?
pub(super) fn still_allowed(rules: &Rules, stream: &StreamId, head: &StreamRow, description: u32) -> bool {
    let Some(now) = rules.plan.recipient_of(stream) else { return false };
    head.descriptions.get(description as usize).is_some_and(|made| {
        made.policy == now.description.policy && made.policy_digest == now.description.policy_digest
    })
}

impl Node {
    /// Seals one batch if anything is pending. Blocks. True if a batch was sealed.
    pub(crate) fn seal(&self, stream: &StreamId) -> Result<bool, SealError> {
        let turn =
            self.sealing.lock().entry(stream.clone()).or_insert_with(|| Arc::new(Mutex::new(()))).clone();
        let _turn = turn.lock();
        loop {
            let Some(head) = self.head(stream) else { return Ok(false) };
            if head.held {
                return Err(SealError::Held);
            }
            if head.first_unsealed >= head.next_chunk {
                return Ok(false);
            }
            let rules = self.rules();
            let Some(run) = self.next_run(&rules, stream, &head)? else { continue };
            match self.schema_switch(stream, &head, &run)? {
                Switch::None => {}
                Switch::Announced => return Ok(true),
                Switch::Waiting => return Ok(false),
            }
            match self.seal_run(&rules, stream, &head, run) {
                Ok(true) => return Ok(true),
                // Judged by rules that were replaced before its turn came: checked again by the new ones.
                Err(SealError::Held) if self.rules().number != rules.number => {}
                Ok(false) => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// The chunks for the next batch, or nothing after having withheld the first.
    fn next_run(&self, rules: &Rules, stream: &StreamId, head: &StreamRow) -> Result<Option<Run>, SealError> {
        let from = stream_key(head.id, head.first_unsealed);
        let to = stream_key(head.id, head.next_chunk);
        let rows = self.queue().scan(Table::Chunk as u8, &from, Some(&to), 4_096);
        let rows = rows.map_err(|_| SealError::Damaged)?;
        let withheld = |n: u64| {
            self.queue().get(Table::Withheld as u8, &stream_key(head.id, n)).ok().flatten().is_some()
        };
        let mut run = Run { chunks: Vec::new(), description: 0 };
        let (mut records, mut raw, mut origins) = (0u64, 0u64, 0usize);
        for (key, value) in rows {
            let number = key.last_chunk::<8>().map(|b| u64::from_be_bytes(*b)).ok_or(SealError::Damaged)?;
            let row: ChunkRow = serde_json::from_slice(&value).map_err(|_| SealError::Damaged)?;
            if withheld(number) {
                run.chunks.push((number, row));
                continue;
            }
            let allowed = row.released || still_allowed(rules, stream, head, row.description);
            if !allowed {
                if run.chunks.is_empty() {
                    self.withhold(rules, stream, head, number, &row)?;
                    return Ok(None);
                }
                break;
            }
            origins += row.origins.len();
            let full = origins > 60
                || records + u64::from(row.records) > self.config.storage.batch_records
                || raw + row.raw > self.config.storage.batch_bytes;
            if records > 0 && (full || row.description != run.description) {
                break;
            }
            run.description = row.description;
            records += u64::from(row.records);
            raw += row.raw;
            run.chunks.push((number, row));
        }
        Ok(Some(run))
    }

    /// Keeps back the records of a chunk that was made under another policy; its recalls go on in a chunk of their own.
    fn withhold(
        &self,
        rules: &Rules,
        stream: &StreamId,
        head: &StreamRow,
        chunk: u64,
        row: &ChunkRow,
    ) -> Result<(), SealError> {
        let reason = "withheld.policy-changed";
        let places = std::iter::once(row.payload).chain(row.rest.iter().copied());
        let split = self.split(rules, stream, head, row.description, (chunk, places, row.table))?;
        let feedback = self.feedback_for_table(stream, &split.held, "withheld.send-again", SEND_AGAIN)?;
        // A frame with a chunk has an entry: by its index the chunk's submissions are found.
        let (mut events, entry) = if split.records > 0 {
            let state = WithheldState::Withheld;
            let entry = entries::withheld(self, stream, state, split.records, "node", reason);
            (vec![Event::Withheld { stream: stream.clone(), chunk, reason: reason.into(), feedback }], entry)
        } else {
            // Nothing is left that anyone could rule on. It is the first unsealed chunk, so nothing else goes with it.
            let (state, records) = (WithheldState::Released, u64::from(row.records));
            let entry = entries::withheld(self, stream, state, records, "node", reason);
            (vec![Event::Dropped { stream: stream.clone(), through: chunk, feedback }], entry)
        };
        events.extend(split.events);
        self.metrics.withheld(stream.as_str(), split.records);
        let change = Change { events, items: split.items, entry: Some(entry) };
        let current = self.while_rules(rules.number);
        match self.change_blocking(change, move |_| current()) {
            // Judged by rules that were replaced before its turn came: checked again by the new ones.
            Ok(_) | Err(CommitError::Overtaken) => Ok(()),
            Err(e) => Err(SealError::Commit(e)),
        }
    }

    /// Separates the recalls of a chunk or batch from its records, and queues them anew as the rules in force describe
    /// the stream. A recipient that gets the dataset no longer gets no recalls either.
    fn split(
        &self,
        rules: &Rules,
        stream: &StreamId,
        head: &StreamRow,
        description: u32,
        (number, payload, table): (u64, impl Iterator<Item = Place>, Place),
    ) -> Result<Split, SealError> {
        let table = self.read_item(stream, table)?;
        let Some(recipient) = rules.plan.recipient_of(stream) else {
            let groups = table::groups(&table).map_err(|_| SealError::Damaged)?;
            let records = groups.iter().map(|g| u64::from(g.lines)).sum();
            return Ok(Split { records, held: table, events: Vec::new(), items: Vec::new() });
        };
        let made = head.descriptions.get(description as usize).ok_or(SealError::Damaged)?;
        let now = &recipient.description;
        let mut pending = Pending { number, payload: Vec::new(), pieces: 0, table, origins: Vec::new() };
        for place in payload {
            pending.payload.extend(self.read_item(stream, place)?);
            pending.pieces += 1;
        }
        let government = recipient.kind == RecipientKind::Government;
        let found = recalls(made.encoding, now.encoding, government, &pending).map_err(|e| {
            tracing::error!(stream = stream.as_str(), chunk = e.number, "{e}");
            self.fail("journal.damaged");
            SealError::Damaged
        })?;
        let mut split =
            Split { records: found.puts, held: found.rest, events: Vec::new(), items: Vec::new() };
        if found.records > 0 {
            if head.descriptions.last() != Some(now) {
                let description = now.clone();
                split.events.push(Event::Described { stream: stream.clone(), description });
            }
            split.events.push(Event::Chunk(NewChunk {
                stream: stream.clone(),
                payload: 0,
                table: 1,
                records: found.records,
                recalls: found.recalls,
                raw: found.raw,
                bytes: found.payload.len() as u64,
                earliest_end: None,
                origins: Vec::new(),
            }));
            let aad = stream.as_str().as_bytes().to_vec();
            split.items = vec![
                Item { kind: Kind::Payload, aad: aad.clone(), bytes: found.payload },
                Item { kind: Kind::Evidence, aad, bytes: found.table },
            ];
        }
        Ok(split)
    }

    /// One piece of news per line of a table, for its source.
    pub(super) fn feedback_for_table(
        &self,
        stream: &StreamId,
        table: &[u8],
        code: &str,
        message: &str,
    ) -> Result<Vec<Feedback>, SealError> {
        let mut all = Vec::new();
        for group in table::groups(table).map_err(|_| SealError::Damaged)? {
            for e in group.entries().map_err(|_| SealError::Damaged)? {
                all.push(Feedback {
                    member: group.member.to_owned(),
                    submission: group.submission,
                    record: e.ordinal,
                    reference: e.reference.map(str::to_owned),
                    stream: stream.clone(),
                    seq: None,
                    code: code.to_owned(),
                    message: message.to_owned(),
                    time: self.clock.now(),
                });
            }
        }
        Ok(all)
    }

    pub(super) fn read_item(
        &self,
        stream: &StreamId,
        place: xinqiao_exchange::state::Place,
    ) -> Result<Vec<u8>, SealError> {
        self.reader.read(reference(place), stream.as_str().as_bytes()).map_err(|e| {
            tracing::error!(
                code = e.explain().code(),
                stream = stream.as_str(),
                segment = reference(place).segment,
                frame = reference(place).frame,
                "{}",
                e.explain().english()
            );
            self.fail("journal.damaged");
            SealError::Damaged
        })
    }

    fn seal_run(
        &self,
        rules: &Rules,
        stream: &StreamId,
        head: &StreamRow,
        run: Run,
    ) -> Result<bool, SealError> {
        let (Some((first, _)), Some((last, _))) = (run.chunks.first(), run.chunks.last()) else {
            return Ok(false);
        };
        let (first, last) = (*first, *last);
        let mut chunks = Vec::with_capacity(run.chunks.len());
        for (number, row) in &run.chunks {
            let withheld = self.queue().get(Table::Withheld as u8, &stream_key(head.id, *number));
            if withheld.map_err(|_| SealError::Damaged)?.is_some() {
                continue;
            }
            let mut bytes = self.read_item(stream, row.payload)?;
            for place in &row.rest {
                bytes.extend(self.read_item(stream, *place)?);
            }
            chunks.push(Pending {
                number: *number,
                payload: bytes,
                pieces: 1 + row.rest.len(),
                table: self.read_item(stream, row.table)?,
                origins: row.origins.clone(),
            });
        }
        let released = run.chunks.iter().any(|(_, row)| row.released);
        let recalls = self.pending_recalls(head)?;
        let description = head.descriptions.get(run.description as usize).ok_or(SealError::Damaged)?;
        let today = u32::try_from(self.business_date().to_days()).unwrap_or(0);
        let made = payload(description.encoding, &chunks, &recalls, today).map_err(|e| {
            tracing::error!(stream = stream.as_str(), chunk = e.number, "{e}");
            self.fail("journal.damaged");
            SealError::Damaged
        })?;
        if made.records == 0 {
            let change = Change {
                events: vec![Event::Dropped { stream: stream.clone(), through: last, feedback: Vec::new() }],
                items: Vec::new(),
                entry: None,
            };
            self.change_blocking(change, |_| true)?;
            return Ok(false);
        }
        let seq = head.next_seq;
        let manifest = manifests::sign(self, stream, head, description, &made)?;
        let aad = stream.as_str().as_bytes().to_vec();
        let mut items = vec![
            Item { kind: Kind::Evidence, aad: aad.clone(), bytes: manifest.jws.into_bytes() },
            Item { kind: Kind::Evidence, aad: aad.clone(), bytes: made.table },
        ];
        let parts = match made.packed {
            Some(bytes) => {
                items.push(Item { kind: Kind::Payload, aad, bytes });
                vec![Part::Item(2)]
            }
            None => chunks.iter().map(|c| Part::Chunk(c.number)).collect(),
        };
        debug_assert!(parts.len() <= PARTS_CAP && SMALL > 0);
        let cleared = recalls
            .iter()
            .filter(|r| r.before_chunk <= last + 1)
            .map(|r| (r.before_chunk, r.key.hex().as_str().to_owned()))
            .collect();
        let sealed = Sealed {
            stream: stream.clone(),
            seq,
            digest: manifest.digest.to_hex(),
            manifest: 0,
            table: 1,
            parts,
            records: made.records,
            bytes: made.bytes,
            payload_digest: made.digest.to_hex(),
            first_chunk: first,
            last_chunk: last,
            index: 0,
            cleared,
            announces: None,
            description: Some(run.description),
            released,
            void: false,
            time: self.clock.now(),
        };
        let change = Change { events: vec![Event::Sealed(sealed)], items, entry: Some(manifest.entry) };
        let (name, current) = (stream.clone(), self.while_rules(rules.number));
        self.change_blocking(change, move |state| {
            current() && state.streams.get(&name).is_some_and(|h| h.next_seq == seq && !h.held)
        })
        .map_err(|e| if e == CommitError::Overtaken { SealError::Held } else { SealError::Commit(e) })?;
        self.metrics.batch(stream.as_str(), "sealed");
        Ok(true)
    }

    /// Lines under another schema wait until the recipient has acknowledged that they are coming.
    fn schema_switch(&self, stream: &StreamId, head: &StreamRow, run: &Run) -> Result<Switch, SealError> {
        let made_with = |n: u32| head.descriptions.get(n as usize);
        let Some(now) = head.sealed_with.and_then(made_with) else { return Ok(Switch::None) };
        let coming = made_with(run.description).ok_or(SealError::Damaged)?;
        if now.schema == coming.schema || run.chunks.is_empty() {
            return Ok(Switch::None);
        }
        if let Some((announced, seq)) = head.announced
            && made_with(announced).is_some_and(|d| d.schema == coming.schema)
        {
            let acknowledged =
                self.batch(head, seq).and_then(|b| b.acknowledgement).is_some_and(|a| a.outcome.is_final());
            return Ok(if acknowledged { Switch::None } else { Switch::Waiting });
        }
        let signed = manifests::sign_announcement(self, stream, head, now, coming)?;
        let seq = head.next_seq;
        let (empty, items) = signed.without_records(stream, head, self.clock.now());
        let sealed = Sealed { announces: Some(run.description), ..empty };
        let change = Change { events: vec![Event::Sealed(sealed)], items, entry: Some(signed.entry) };
        let name = stream.clone();
        self.change_blocking(change, move |state| {
            state.streams.get(&name).is_some_and(|h| h.next_seq == seq && !h.held)
        })
        .map_err(|e| if e == CommitError::Overtaken { SealError::Held } else { SealError::Commit(e) })?;
        tracing::info!(stream = stream.as_str(), seq, "another schema was announced to the recipient");
        Ok(Switch::Announced)
    }

    /// Takes a sealed batch back that was never handed out and may not be any more. Its place in the chain stays; the
    /// log says that it is void, its recalls are queued anew, and the sources of its records are told. Blocks.
    pub(super) fn take_back(
        &self,
        stream: &StreamId,
        seq: u64,
        batch: &BatchRow,
        reason: &str,
    ) -> Result<(), SealError> {
        let rules = self.rules();
        let head = self.head(stream).ok_or(SealError::Damaged)?;
        let places = batch.parts.iter().copied();
        let split = self.split(&rules, stream, &head, batch.description, (seq, places, batch.table))?;
        let feedback = self.feedback_for_table(stream, &split.held, "withheld.send-again", SEND_AGAIN)?;
        let digest = batch.digest.parse().map_err(|_| SealError::Damaged)?;
        let mut events =
            vec![Event::Erased { stream: stream.clone(), batches: None, seq, taken_back: true, feedback }];
        events.extend(split.events);
        let change = Change {
            events,
            items: split.items,
            entry: Some(entries::void(self, stream, seq, &digest, reason)),
        };
        // Handed out meanwhile: then it is too late, and the recall of its records is the way.
        let (queue, key) = (self.queue(), stream_key(head.batches, seq));
        let current = self.while_rules(rules.number);
        let unserved = move |_: &State| {
            let row = queue.get(Table::Batch as u8, &key).ok().flatten().filter(|_| current());
            row.and_then(|r| serde_json::from_slice::<BatchRow>(&r).ok())
                .is_some_and(|b| !b.served && !b.erased)
        };
        self.metrics.withheld(stream.as_str(), split.records);
        self.change_blocking(change, unserved)?;
        Ok(())
    }

    fn pending_recalls(&self, head: &StreamRow) -> Result<Vec<PendingRecall>, SealError> {
        let from = stream_key(head.id, 0);
        let to = stream_key(head.id, u64::MAX);
        let rows = self.queue().scan(Table::PendingRecall as u8, &from, Some(&to), 1 << 20);
        let mut all = Vec::new();
        for (key, value) in rows.map_err(|_| SealError::Damaged)? {
            let (before, id) = key.get(4..12).zip(key.get(12..28)).ok_or(SealError::Damaged)?;
            all.push(PendingRecall {
                before_chunk: u64::from_be_bytes(before.try_into().map_err(|_| SealError::Damaged)?),
                key: RecordKey(id.try_into().map_err(|_| SealError::Damaged)?),
                rev: serde_json::from_slice(&value).map_err(|_| SealError::Damaged)?,
            });
        }
        Ok(all)
    }
}
