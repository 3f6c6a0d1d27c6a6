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
use xinqiao_exchange::op::Op;
use xinqiao_exchange::seal::{ChunkDamaged, PARTS_CAP, Pending, PendingRecall, SMALL, payload, recalls};
use xinqiao_exchange::secrets::RecordKey;
use xinqiao_exchange::state::{BatchRow, ChunkRow, Place, State, StreamRow, Table, stream_key};
use xinqiao_exchange::table::{self, Entry, TableDamaged};
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
    chunks: Vec<Taken>,
    /// What the chunks that leave whole were made with; none if only recalls leave.
    description: Option<u32>,
}

/// A chunk of a run.
struct Taken {
    number: u64,
    row: ChunkRow,
    leaves: Leaves,
}

/// What of a chunk leaves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leaves {
    /// Every line that still stands.
    All,
    /// Its recalls: its records are withheld, or there are none in it.
    Recalls,
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
            if rules.plan.recipient_of(stream).is_none() {
                // Nobody may ask for it any more; it waits as it is.
                return Ok(false);
            }
            let Some(mut run) = self.next_run(&rules, stream, &head)? else { continue };
            match self.schema_switch(stream, &head, &mut run)? {
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

    /// The chunks for the next batch, or nothing after having withheld the records of the first.
    fn next_run(&self, rules: &Rules, stream: &StreamId, head: &StreamRow) -> Result<Option<Run>, SealError> {
        let from = stream_key(head.id, head.first_unsealed);
        let to = stream_key(head.id, head.next_chunk);
        let rows = self.queue().scan(Table::Chunk as u8, &from, Some(&to), 4_096);
        let rows = rows.map_err(|_| SealError::Damaged)?;
        let mut run = Run { chunks: Vec::new(), description: None };
        let (mut records, mut raw, mut origins) = (0u64, 0u64, 0usize);
        for (key, value) in rows {
            let number = key.last_chunk::<8>().map(|b| u64::from_be_bytes(*b)).ok_or(SealError::Damaged)?;
            let row: ChunkRow = serde_json::from_slice(&value).map_err(|_| SealError::Damaged)?;
            let Some(leaves) = self.leaves(rules, stream, head, number, &row)? else {
                if run.chunks.is_empty() {
                    self.withhold(rules, stream, number, &row)?;
                    return Ok(None);
                }
                break;
            };
            origins += row.origins.len();
            let full = origins > 60
                || records + u64::from(row.records) > self.config.storage.batch_records
                || raw + row.raw > self.config.storage.batch_bytes;
            let other = leaves == Leaves::All && run.description.is_some_and(|d| d != row.description);
            if records > 0 && (full || other) {
                break;
            }
            if leaves == Leaves::All {
                run.description = Some(row.description);
            }
            records += u64::from(row.records);
            raw += row.raw;
            run.chunks.push(Taken { number, row, leaves });
        }
        Ok(Some(run))
    }

    /// What of a chunk leaves under these rules; nothing is said of one whose records have to be withheld first.
    fn leaves(
        &self,
        rules: &Rules,
        stream: &StreamId,
        head: &StreamRow,
        number: u64,
        row: &ChunkRow,
    ) -> Result<Option<Leaves>, SealError> {
        let withheld = self.queue().get(Table::Withheld as u8, &stream_key(head.id, number));
        if row.ruled || withheld.map_err(|_| SealError::Damaged)?.is_some() {
            return Ok(Some(Leaves::Recalls));
        }
        if row.released || self.may_still_leave(rules, stream, head, row.description) {
            return Ok(Some(Leaves::All));
        }
        let table = self.read_item(stream, row.table)?;
        let records = puts(&table).map_err(|_| SealError::Damaged)?;
        Ok((records == 0).then_some(Leaves::Recalls))
    }

    /// Keeps back the records of a chunk that was made under another policy, and tells their sources. Its recalls leave
    /// with the batch that takes the chunk.
    fn withhold(
        &self,
        rules: &Rules,
        stream: &StreamId,
        chunk: u64,
        row: &ChunkRow,
    ) -> Result<(), SealError> {
        let reason = "withheld.policy-changed";
        let table = self.read_item(stream, row.table)?;
        let records = puts(&table).map_err(|_| SealError::Damaged)?;
        let is_record = |e: &Entry<'_>| e.op == Op::Put;
        let feedback =
            self.feedback_for_table(stream, &table, &is_record, ("withheld.send-again", SEND_AGAIN))?;
        let change = Change {
            events: vec![Event::Withheld { stream: stream.clone(), chunk, reason: reason.into(), feedback }],
            items: Vec::new(),
            entry: Some(entries::withheld(
                self,
                stream,
                WithheldState::Withheld,
                records,
                entries::OWN,
                reason,
            )),
        };
        let current = self.while_rules(rules.number);
        match self.change_blocking(change, move |_| current()) {
            Ok(_) => {
                tracing::warn!(
                    stream = stream.as_str(),
                    chunk,
                    records,
                    "records made under a less strict policy are withheld; their sources are told, a security officer rules about them"
                );
                Ok(())
            }
            // Judged by rules that were replaced before its turn came: checked again by the new ones.
            Err(CommitError::Overtaken) => Ok(()),
            Err(e) => Err(SealError::Commit(e)),
        }
    }

    /// Separates the recalls of a batch from its records, and queues them anew as the rules in force describe the stream. A
    /// recipient that gets the dataset no longer gets no recalls either.
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
        let mut pending =
            Pending { number, payload: Vec::new(), pieces: 0, rewritten: false, table, origins: Vec::new() };
        for place in payload {
            pending.payload.extend(self.read_item(stream, place)?);
            pending.pieces += 1;
        }
        let government = recipient.kind == RecipientKind::Government;
        let found = recalls(made.encoding, now.encoding, government, &pending)
            .map_err(|e| self.damaged(stream, e))?;
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

    /// One piece of news, of this code and message, per line of a table that is `told`, for its source. The node's own
    /// lines have none.
    pub(super) fn feedback_for_table(
        &self,
        stream: &StreamId,
        table: &[u8],
        told: &dyn Fn(&Entry<'_>) -> bool,
        (code, message): (&str, &str),
    ) -> Result<Vec<Feedback>, SealError> {
        let mut all = Vec::new();
        for group in table::groups(table).map_err(|_| SealError::Damaged)? {
            if group.member == entries::OWN {
                continue;
            }
            for e in group.entries().map_err(|_| SealError::Damaged)?.iter().filter(|e| told(e)) {
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

    /// A stored chunk does not hold together: it is named, and the node is not ready.
    fn damaged(&self, stream: &StreamId, e: ChunkDamaged) -> SealError {
        tracing::error!(stream = stream.as_str(), chunk = e.number, "{e}");
        self.fail("journal.damaged");
        SealError::Damaged
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
        let (Some(first), Some(last)) = (run.chunks.first(), run.chunks.last()) else { return Ok(false) };
        let (first, last) = (first.number, last.number);
        let Some(recipient) = rules.plan.recipient_of(stream) else { return Ok(false) };
        let government = recipient.kind == RecipientKind::Government;
        let made_with = run.description.unwrap_or_else(|| self.described_for_recalls(head));
        let description = head.descriptions.get(made_with as usize).ok_or(SealError::Damaged)?;
        let mut chunks = Vec::with_capacity(run.chunks.len());
        for Taken { number, row, leaves } in &run.chunks {
            let mut pending = Pending {
                number: *number,
                payload: self.read_item(stream, row.payload)?,
                pieces: 1 + row.rest.len(),
                rewritten: false,
                table: self.read_item(stream, row.table)?,
                origins: row.origins.clone(),
            };
            for place in &row.rest {
                pending.payload.extend(self.read_item(stream, *place)?);
            }
            if *leaves == Leaves::Recalls {
                let made = head.descriptions.get(row.description as usize).ok_or(SealError::Damaged)?;
                let found = recalls(made.encoding, description.encoding, government, &pending)
                    .map_err(|e| self.damaged(stream, e))?;
                if found.records == 0 {
                    continue;
                }
                pending = Pending {
                    payload: found.payload,
                    table: found.table,
                    pieces: 1,
                    rewritten: true,
                    ..pending
                };
            }
            chunks.push(pending);
        }
        let released = run.chunks.iter().any(|chunk| chunk.row.released);
        let recalls = self.pending_recalls(head)?;
        let today = u32::try_from(self.business_date().to_days()).unwrap_or(0);
        let made =
            payload(description.encoding, &chunks, &recalls, today).map_err(|e| self.damaged(stream, e))?;
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
            description: Some(made_with),
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

    /// What a batch of recalls alone says it was made with: they are of no schema, so it names the one the recipient takes
    /// now and does not wait for another, in its newest description.
    fn described_for_recalls(&self, head: &StreamRow) -> u32 {
        let agreed = head.announced.filter(|(_, seq)| self.is_answered(head, *seq)).map(|(coming, _)| coming);
        let newest = head.descriptions.len().saturating_sub(1);
        let schema = |n: u32| head.descriptions.get(n as usize).map(|d| d.schema.as_str());
        let taken = agreed.or(head.sealed_with).and_then(schema);
        let place = head.descriptions.iter().rposition(|d| taken.is_none_or(|schema| d.schema == schema));
        place.unwrap_or(newest) as u32
    }

    fn is_answered(&self, head: &StreamRow, seq: u64) -> bool {
        self.batch(head, seq).and_then(|b| b.acknowledgement).is_some_and(|a| a.outcome.is_final())
    }

    /// Lines under another schema wait until the recipient has acknowledged that they are coming. Recalls in front of them
    /// do not: the run is cut behind those.
    fn schema_switch(&self, stream: &StreamId, head: &StreamRow, run: &mut Run) -> Result<Switch, SealError> {
        let made_with = |n: u32| head.descriptions.get(n as usize);
        let Some(description) = run.description else { return Ok(Switch::None) };
        let Some(now) = head.sealed_with.and_then(made_with) else { return Ok(Switch::None) };
        let coming = made_with(description).ok_or(SealError::Damaged)?;
        if now.schema == coming.schema {
            return Ok(Switch::None);
        }
        let announced = head
            .announced
            .filter(|(announced, _)| made_with(*announced).is_some_and(|d| d.schema == coming.schema));
        if announced.is_some_and(|(_, seq)| self.is_answered(head, seq)) {
            return Ok(Switch::None);
        }
        let leading = run.chunks.iter().take_while(|chunk| chunk.leaves == Leaves::Recalls).count();
        if leading > 0 {
            run.chunks.truncate(leading);
            run.description = None;
            return Ok(Switch::None);
        }
        if announced.is_some() {
            return Ok(Switch::Waiting);
        }
        let signed = manifests::sign_announcement(self, stream, head, now, coming)?;
        let seq = head.next_seq;
        let (empty, items) = signed.without_records(stream, head, self.clock.now());
        let sealed = Sealed { announces: Some(description), ..empty };
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
        let told = ("withheld.send-again", SEND_AGAIN);
        let feedback = self.feedback_for_table(stream, &split.held, &|_| true, told)?;
        let digest = batch.digest.parse().map_err(|_| SealError::Damaged)?;
        let mut events = split.events;
        // Behind the chunk of its recalls, so that it can say where they wait.
        events.push(Event::Erased {
            stream: stream.clone(),
            batches: None,
            seq,
            taken_back: true,
            expired: false,
            requeued: !split.items.is_empty(),
            feedback,
        });
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
        self.change_blocking(change, unserved)?;
        tracing::warn!(
            stream = stream.as_str(),
            seq,
            records = split.records,
            "a batch that was never handed out is taken back; the sources of its records are told"
        );
        self.metrics.batch(stream.as_str(), "void");
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

/// How many lines of a table are of records, and not recalls.
fn puts(table: &[u8]) -> Result<u64, TableDamaged> {
    let mut records = 0;
    for group in table::groups(table)? {
        records += group.entries()?.iter().filter(|e| e.op == Op::Put).count() as u64;
    }
    Ok(records)
}
