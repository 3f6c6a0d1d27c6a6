//! The line table beside a chunk or a batch: which line of the payload came from which submission and record.
//! It carries no field of a record; it is what answers a rejection, a trace, and a recall.
//!
//! Layout, version 1: one byte version, then groups. A group is `varint log index, varint length + member name,
//! varint lines, varint length + entries`; an entry is `op byte, 16 bytes key, varint rev, varint ordinal,
//! varint publication end (days since 1970-01-01, plus one; 0 = none), varint length + ref`.

use crate::op::Op;
use crate::secrets::RecordKey;
use crate::varint::{Damaged, put_varint, take, varint};

/// The first byte of every table.
pub const VERSION: u8 = 1;

/// One line of a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// What the line does.
    pub op: Op,
    /// How the recipient knows the record.
    pub key: RecordKey,
    /// The record's revision.
    pub rev: u64,
    /// The record's place in the body of its submission, from zero.
    pub ordinal: u32,
    /// The day after which it must not be published, in days since 1970-01-01.
    pub publication_end: Option<u32>,
    /// The source's own reference.
    pub reference: Option<&'a str>,
}

/// The lines of one submission.
#[derive(Clone, Debug)]
pub struct Group<'a> {
    /// The submission's index in the node's log.
    pub submission: u64,
    /// The member that sent it.
    pub member: &'a str,
    /// How many lines.
    pub lines: u32,
    entries: &'a [u8],
}

/// A table that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableDamaged;

impl std::fmt::Display for TableDamaged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the line table is damaged or of a version this program does not know")
    }
}
impl std::error::Error for TableDamaged {}

impl From<Damaged> for TableDamaged {
    fn from(_: Damaged) -> Self {
        Self
    }
}

/// Appends one entry to the entries of a group.
pub fn put_entry(out: &mut Vec<u8>, e: &Entry<'_>) {
    out.push(e.op.number());
    out.extend_from_slice(&e.key.0);
    put_varint(out, e.rev);
    put_varint(out, u64::from(e.ordinal));
    put_varint(out, e.publication_end.map_or(0, |d| u64::from(d) + 1));
    let r = e.reference.unwrap_or("").as_bytes();
    put_varint(out, r.len() as u64);
    out.extend_from_slice(r);
}

/// Appends a group to a table that already has its version byte.
pub fn put_group(out: &mut Vec<u8>, submission: u64, member: &str, lines: u32, entries: &[u8]) {
    put_varint(out, submission);
    put_varint(out, member.len() as u64);
    out.extend_from_slice(member.as_bytes());
    put_varint(out, u64::from(lines));
    put_varint(out, entries.len() as u64);
    out.extend_from_slice(entries);
}

/// Reads the groups of a table.
pub fn groups(table: &[u8]) -> Result<Vec<Group<'_>>, TableDamaged> {
    let (&version, mut rest) = table.split_first().ok_or(TableDamaged)?;
    if version != VERSION {
        return Err(TableDamaged);
    }
    let mut all = Vec::new();
    while !rest.is_empty() {
        let submission = varint(&mut rest)?;
        let member = text(&mut rest)?;
        let lines = u32::try_from(varint(&mut rest)?).map_err(|_| TableDamaged)?;
        let length = usize::try_from(varint(&mut rest)?).map_err(|_| TableDamaged)?;
        let entries = take(&mut rest, length)?;
        all.push(Group { submission, member, lines, entries });
    }
    Ok(all)
}

impl<'a> Group<'a> {
    /// Reads the entries in the order of the lines.
    pub fn entries(&self) -> Result<Vec<Entry<'a>>, TableDamaged> {
        let mut rest = self.entries;
        let mut all = Vec::with_capacity(self.lines as usize);
        while !rest.is_empty() {
            let op = Op::from_number(take(&mut rest, 1)?[0]).ok_or(TableDamaged)?;
            let key = RecordKey(take(&mut rest, 16)?.try_into().map_err(|_| TableDamaged)?);
            let rev = varint(&mut rest)?;
            let ordinal = u32::try_from(varint(&mut rest)?).map_err(|_| TableDamaged)?;
            let publication_end = match varint(&mut rest)? {
                0 => None,
                n => Some(u32::try_from(n - 1).map_err(|_| TableDamaged)?),
            };
            let reference = Some(text(&mut rest)?).filter(|r| !r.is_empty());
            all.push(Entry { op, key, rev, ordinal, publication_end, reference });
        }
        if all.len() == self.lines as usize { Ok(all) } else { Err(TableDamaged) }
    }
}

fn text<'a>(rest: &mut &'a [u8]) -> Result<&'a str, TableDamaged> {
    let length = usize::try_from(varint(rest)?).map_err(|_| TableDamaged)?;
    std::str::from_utf8(take(rest, length)?).map_err(|_| TableDamaged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn round_trips(rows in proptest::collection::vec((0u8..6, any::<[u8;16]>(), any::<u64>(), any::<u32>(), proptest::option::of(0u32..200_000), "[a-z0-9]{0,12}"), 0..40), index in any::<u64>()) {
            let mut entries = Vec::new();
            let want: Vec<_> = rows.iter().map(|(op, key, rev, ordinal, end, r)| Entry {
                op: Op::from_number(*op).unwrap(), key: RecordKey(*key), rev: *rev, ordinal: *ordinal,
                publication_end: *end, reference: Some(r.as_str()).filter(|r| !r.is_empty()),
            }).collect();
            for e in &want { put_entry(&mut entries, e); }
            let mut table = vec![VERSION];
            put_group(&mut table, index, "市场监管", want.len() as u32, &entries);
            put_group(&mut table, 3, "b", 0, &[]);
            let got = groups(&table).unwrap();
            prop_assert_eq!(got[0].submission, index);
            prop_assert_eq!(got[0].entries().unwrap(), want);
            prop_assert_eq!(got[1].member, "b");
        }

        #[test]
        fn damage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(gs) = groups(&bytes) { for g in gs { let _ = g.entries(); } }
        }
    }
}
