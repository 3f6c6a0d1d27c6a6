//! What of a chunk or batch may leave whatever the policy says now: its recalls, and the node's own ends of publication.
//! They carry nothing of a record (`reason` and `basis` are words of whoever recalls, and only authorities read them), and
//! a recall that waits for a ruling would leave standing what was recalled.

use super::{ChunkDamaged, Damaged, Pending};
use crate::accept::unsaid;
use crate::event::Encoding;
use crate::op::Op;
use crate::payload::{compress, decompress};
use crate::publication::ENDED;
use crate::table;
use serde::Deserialize;
use std::borrow::Cow;
use xinqiao_schemas::{Audience, Date, LineHead, recall_line};

/// The recalls of a chunk or batch, as a chunk of their own.
pub struct Recalls {
    /// The compressed lines.
    pub payload: Vec<u8>,
    /// Their line table.
    pub table: Vec<u8>,
    /// Lines.
    pub records: u32,
    /// Lines that stop a record from standing.
    pub recalls: u32,
    /// Bytes before compression.
    pub raw: u64,
    /// The line table of what stays behind.
    pub rest: Vec<u8>,
    /// Lines that stay behind.
    pub puts: u64,
}

/// A line that recalls, as far as it is said again.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    via: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    data: Data<'a>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    reason: Cow<'a, str>,
    #[serde(borrow)]
    effective: Cow<'a, str>,
}

/// Separates the recalls from the puts. `from` and `to` are the encodings of what is read and written. Recipients that
/// are no authorities learn that a record is recalled, not why, whatever the older policy let out.
pub fn recalls(
    from: Encoding,
    to: Encoding,
    government: bool,
    chunk: &Pending,
) -> Result<Recalls, ChunkDamaged> {
    separate(from, to, government, chunk).map_err(|_| ChunkDamaged { number: chunk.number })
}

fn separate(from: Encoding, to: Encoding, government: bool, chunk: &Pending) -> Result<Recalls, Damaged> {
    let mut bytes = Vec::new();
    decompress(from, &chunk.payload, &mut bytes)?;
    let mut lines = bytes.split_inclusive(|b| *b == b'\n');
    let mut raw = Vec::new();
    let (mut records, mut stopping, mut puts) = (0u32, 0u32, 0u64);
    let (mut kept, mut rest) = (vec![table::VERSION], vec![table::VERSION]);
    for group in table::groups(&chunk.table)? {
        // What stays keeps its table too: the sources of those lines have to be told to send again.
        let (mut out, mut staying) = ((0u32, Vec::new()), (0u32, Vec::new()));
        for e in group.entries()? {
            let line = lines.next().ok_or(Damaged)?;
            let (count, entries) = if e.op == Op::Put { &mut staying } else { &mut out };
            *count += 1;
            table::put_entry(entries, &e);
            if e.op == Op::Put {
                continue;
            }
            stopping += u32::from(e.op.is_recall());
            if government {
                raw.extend_from_slice(line);
            } else {
                // Written anew from what may be said, not cut down: the line may hold a reason that the older policy let
                // out. `via` stays, or the recall could pass a node twice.
                let said: Line<'_> = serde_json::from_slice(line).map_err(|_| Damaged)?;
                let (effective, _) = Date::parse_accepted(&said.data.effective).map_err(|_| Damaged)?;
                let via: Vec<&str> = said.via.iter().map(AsRef::as_ref).collect();
                let key = e.key.hex();
                let head =
                    LineHead { op: e.op.name(), key: key.as_str(), rev: e.rev, via: &via, reference: None };
                let mut recall = unsaid(effective);
                if said.data.reason == ENDED {
                    // The node's own word, which every recipient may read.
                    recall.reason = ENDED;
                }
                recall_line(&head, Audience::Public, &recall, &mut raw);
                raw.push(b'\n');
            }
        }
        records += out.0;
        puts += u64::from(staying.0);
        for (table, (count, entries)) in [(&mut kept, out), (&mut rest, staying)] {
            if count > 0 {
                table::put_group(table, group.submission, group.member, count, &entries);
            }
        }
    }
    if lines.next().is_some() {
        return Err(Damaged);
    }
    let payload = compress(to, &raw);
    Ok(Recalls { payload, table: kept, records, recalls: stopping, raw: raw.len() as u64, rest, puts })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::RecordKey;
    use crate::table::Entry;

    fn chunk(ops: &[Op]) -> Pending {
        let (mut raw, mut entries) = (Vec::new(), Vec::new());
        for (n, op) in ops.iter().enumerate() {
            let key = RecordKey([n as u8; 16]);
            let line = serde_json::json!({
                "op": op.name(), "key": key.hex().as_str(), "rev": n + 1, "audience": "public", "via": ["a.example/350200-credit"],
                "data": {"reason": "mistake", "basis": "样撤〔2026〕1号", "effective": "2026/11/20"},
            });
            raw.extend_from_slice(format!("{line}\n").as_bytes());
            let entry = Entry {
                op: *op,
                key,
                rev: n as u64 + 1,
                ordinal: n as u32,
                publication_end: None,
                reference: None,
            };
            table::put_entry(&mut entries, &entry);
        }
        let mut table = vec![table::VERSION];
        table::put_group(&mut table, 7, "bureau", ops.len() as u32, &entries);
        let payload = compress(Encoding::Zstd, &raw);
        Pending { number: 3, payload, pieces: 1, rewritten: false, table, origins: Vec::new() }
    }

    fn revs(table: &[u8]) -> Vec<u64> {
        let groups = table::groups(table).unwrap();
        groups.iter().flat_map(|g| g.entries().unwrap()).map(|e| e.rev).collect()
    }

    #[test]
    fn recalls_leave_and_puts_stay() {
        let chunk = chunk(&[Op::Put, Op::Withdraw, Op::Put, Op::Dispute, Op::Repair]);
        for (government, reason) in [(true, "mistake"), (false, "withdrawn")] {
            let made = recalls(Encoding::Zstd, Encoding::Gzip, government, &chunk).unwrap();
            assert_eq!((made.records, made.recalls, made.puts), (3, 2, 2));
            assert_eq!((revs(&made.table), revs(&made.rest)), (vec![2, 4, 5], vec![1, 3]));
            let mut raw = Vec::new();
            decompress(Encoding::Gzip, &made.payload, &mut raw).unwrap();
            assert_eq!(raw.len() as u64, made.raw);
            for (line, rev) in raw.split(|b| *b == b'\n').filter(|l| !l.is_empty()).zip([2, 4, 5]) {
                let line: serde_json::Value = serde_json::from_slice(line).unwrap();
                assert_eq!((&line["rev"], &line["data"]["reason"]), (&rev.into(), &reason.into()));
                assert_eq!(line["data"]["basis"] == "", !government);
                assert_eq!(line["via"], serde_json::json!(["a.example/350200-credit"]));
            }
        }
    }

    #[test]
    fn a_damaged_chunk_is_named() {
        let mut chunk = chunk(&[Op::Put, Op::Withdraw]);
        chunk.table.pop();
        let made = recalls(Encoding::Zstd, Encoding::Zstd, true, &chunk);
        assert_eq!(made.err(), Some(ChunkDamaged { number: 3 }));
    }
}
