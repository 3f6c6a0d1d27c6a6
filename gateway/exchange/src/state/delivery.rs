//! How batches change the rows: sealed, answered, erased, and officers' rulings on what was withheld.

use super::{
    AcknowledgementRow, Applied, BatchRow, ChunkRow, Contradiction, Lookup, Rows, State, Table, WithheldRow,
    item_of, pending_recall_key, read, stream_key, tell, unhex,
};
use crate::event::{Acknowledged, Part, Sealed};
use crate::names::StreamId;

impl State {
    pub(super) fn sealed(
        &mut self,
        s: &Sealed,
        at: &Applied<'_>,
        rows: &mut Rows,
        lookup: &mut Lookup<'_>,
    ) -> Result<(), Contradiction> {
        let (id, batches) = (self.head(&s.stream).id, self.head(&s.stream).batches);
        // Places are read from the chunks' rows before `drop_chunks` below deletes them.
        let mut parts = Vec::with_capacity(s.parts.len());
        let mut description = self.head(&s.stream).descriptions.len().saturating_sub(1) as u32;
        for p in &s.parts {
            match p {
                Part::Item(i) => parts.push(item_of(at, *i)?),
                Part::Chunk(n) => {
                    let chunk: ChunkRow = read(rows, lookup, Table::Chunk, &stream_key(id, *n))?;
                    parts.push(chunk.payload);
                    parts.extend(chunk.rest);
                }
            }
        }
        if !s.void && s.announces.is_none() {
            let first: ChunkRow = read(rows, lookup, Table::Chunk, &stream_key(id, s.first_chunk))?;
            description = s.description.unwrap_or(first.description);
        }
        let batch = BatchRow {
            manifest: item_of(at, s.manifest)?,
            table: item_of(at, s.table)?,
            parts,
            digest: s.digest.clone(),
            payload_digest: s.payload_digest.clone(),
            records: s.records,
            bytes: s.bytes,
            first_chunk: s.first_chunk,
            last_chunk: s.last_chunk,
            index: s.index,
            time: s.time,
            description,
            served: false,
            released: s.released,
            void: s.void,
            erased: s.void,
            taken_back: false,
            again: None,
            acknowledgement: None,
            rejections: 0,
        };
        rows.put(Table::Batch, stream_key(batches, s.seq), &batch);
        // Voids and control batches take no chunk: what waits stays in the queue.
        if s.last_chunk >= s.first_chunk && !s.void && s.announces.is_none() {
            rows.put(Table::BatchOfChunk, stream_key(batches, s.last_chunk), &s.seq);
            self.drop_chunks(&s.stream, s.last_chunk, rows, lookup)?;
        }
        for (chunk, key) in &s.cleared {
            rows.delete(Table::PendingRecall, pending_recall_key(id, *chunk, &unhex(key)?));
        }
        let head = self.head(&s.stream);
        if head.next_seq != s.seq {
            return Err(Contradiction("a batch out of sequence"));
        }
        head.next_seq += 1;
        match s.announces {
            Some(coming) => head.announced = Some((coming, s.seq)),
            None if s.void => {}
            None => head.sealed_with = Some(description),
        }
        head.prev = s.digest.clone();
        head.sealed_records += s.records;
        self.save(&s.stream, rows);
        Ok(())
    }

    /// Forgets unsealed chunks up to one; withheld ones keep their own row.
    pub(super) fn drop_chunks(
        &mut self,
        stream: &StreamId,
        through: u64,
        rows: &mut Rows,
        lookup: &mut Lookup<'_>,
    ) -> Result<(), Contradiction> {
        let head = self.head(stream);
        let (id, first) = (head.id, head.first_unsealed);
        let mut gone = 0u64;
        for n in first..=through {
            let row: ChunkRow = read(rows, lookup, Table::Chunk, &stream_key(id, n))?;
            gone += u64::from(row.records);
            rows.delete(Table::Chunk, stream_key(id, n));
        }
        let head = self.head(stream);
        head.pending_records = head.pending_records.saturating_sub(gone);
        head.first_unsealed = through + 1;
        self.save(stream, rows);
        Ok(())
    }

    pub(super) fn acknowledged(
        &mut self,
        a: &Acknowledged,
        at: &Applied<'_>,
        rows: &mut Rows,
        lookup: &mut Lookup<'_>,
    ) -> Result<(), Contradiction> {
        let place = item_of(at, a.acknowledgement)?;
        let row = AcknowledgementRow {
            outcome: a.outcome,
            digest: a.digest.clone(),
            place,
            errors: a.errors,
            time: a.time,
        };
        let batch = self.change_batch(&a.stream, None, a.seq, rows, lookup, |b| {
            b.rejections += u32::from(!a.outcome.is_final());
            b.acknowledgement = Some(row);
        })?;
        let head = self.head(&a.stream);
        if a.outcome.is_final() {
            head.acknowledged_batches += 1;
            head.acknowledged_records += batch.records;
            head.rejected_records += u64::from(a.errors);
        }
        self.save(&a.stream, rows);
        tell(&a.feedback, rows, lookup)
    }

    pub(super) fn ruled(
        &mut self,
        stream: &StreamId,
        chunk: u64,
        release: bool,
        rows: &mut Rows,
        lookup: &mut Lookup<'_>,
    ) -> Result<(), Contradiction> {
        let id = self.head(stream).id;
        let withheld: WithheldRow = read(rows, lookup, Table::Withheld, &stream_key(id, chunk))?;
        rows.delete(Table::Withheld, stream_key(id, chunk));
        if chunk >= self.head(stream).first_unsealed {
            // Not sealed yet: without the mark it would be withheld a second time.
            let row: ChunkRow = read(rows, lookup, Table::Chunk, &stream_key(id, chunk))?;
            rows.put(Table::Chunk, stream_key(id, chunk), &ChunkRow { ruled: true, ..row });
        }
        if release {
            // At the end of the stream under a new number: the old one lies below `first_unsealed` by now, where sealing
            // does not look. That newer lines may be in front of it does no harm: revs decide at the recipient, not the
            // order of arrival.
            let head = self.head(stream);
            let number = head.next_chunk;
            head.next_chunk += 1;
            head.pending_records += u64::from(withheld.chunk.records);
            let row = ChunkRow { released: true, ..withheld.chunk };
            rows.put(Table::Chunk, stream_key(id, number), &row);
            rows.put(Table::Again, stream_key(id, chunk), &number);
            self.save(stream, rows);
        }
        Ok(())
    }

    pub(super) fn change_batch(
        &mut self,
        stream: &StreamId,
        batches: Option<u32>,
        seq: u64,
        rows: &mut Rows,
        lookup: &mut Lookup<'_>,
        change: impl FnOnce(&mut BatchRow),
    ) -> Result<BatchRow, Contradiction> {
        let key = stream_key(batches.unwrap_or(self.head(stream).batches), seq);
        let mut batch: BatchRow = read(rows, lookup, Table::Batch, &key)?;
        change(&mut batch);
        rows.put(Table::Batch, key, &batch);
        Ok(batch)
    }
}
