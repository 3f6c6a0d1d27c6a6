//! What is remembered of every record for good: under which id it was first taken, which further names lead to it, what was done to
//! it last and where that stands. No value of a record is in it: ids and names are outputs of keyed functions.
//!
//! It is the sum of the facts that the journal keeps, one item for each frame that has any ([`Facts`]); a store that merges values by
//! key ([`merge`]) holds it ready to be asked. Values are merged in the order of the journal, and it makes no difference in which
//! groups.

use crate::op::Op;
use crate::secrets::{RecordId, RecordName};
use crate::varint::{Damaged, put_varint, take, varint};

/// What the additional data of the item's encryption is.
pub const AAD: &[u8] = b"register";

/// The first byte of an item.
const VERSION: u8 = 1;

/// Places that are remembered of a record: those of its newest operations.
pub const PLACES: usize = 6;

const OPS: u8 = 0x07;
const HAS_ORIGIN: u8 = 0x08;
const NAME: u8 = 0x10;
/// Of the record of the fact before it.
const NAME_OF_IT: u8 = 0x11;

/// The facts of one submission, as the journal keeps them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    bytes: Vec<u8>,
    last: Option<RecordId>,
}

/// One fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// An operation on a record.
    Done {
        /// The record.
        id: RecordId,
        /// The operation.
        op: Op,
        /// The highest rev of its lines.
        rev: u64,
        /// The rev it came with from another node.
        origin: Option<u64>,
        /// The record's place in the body of the submission.
        ordinal: u32,
    },
    /// A name leads to a record from now on, wherever it led before.
    Leads {
        /// The name.
        name: RecordName,
        /// The record.
        to: RecordId,
    },
}

impl Facts {
    /// Appends one.
    pub fn push(&mut self, fact: Fact) {
        let out = &mut self.bytes;
        match fact {
            Fact::Done { id, op, rev, origin, ordinal } => {
                out.push(op.number() | if origin.is_some() { HAS_ORIGIN } else { 0 });
                out.extend_from_slice(&id.0);
                put_varint(out, rev);
                if let Some(origin) = origin {
                    put_varint(out, origin);
                }
                put_varint(out, u64::from(ordinal));
                self.last = Some(id);
            }
            Fact::Leads { name, to } if self.last == Some(to) => {
                out.push(NAME_OF_IT);
                out.extend_from_slice(&name.0);
            }
            Fact::Leads { name, to } => {
                out.push(NAME);
                out.extend_from_slice(&name.0);
                out.extend_from_slice(&to.0);
                self.last = Some(to);
            }
        }
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// Appends the facts of the submission with this index in the log to an item; an empty one is begun.
pub fn put_facts(item: &mut Vec<u8>, index: u64, facts: &Facts) {
    if facts.is_empty() {
        return;
    }
    if item.is_empty() {
        item.push(VERSION);
    }
    put_varint(item, index);
    put_varint(item, facts.bytes.len() as u64);
    item.extend_from_slice(&facts.bytes);
}

/// Reads an item: each fact with the index of its submission.
///
/// # Errors
/// It is damaged, or of a version this program does not know.
pub fn read_facts(item: &[u8], mut each: impl FnMut(u64, Fact)) -> Result<(), Damaged> {
    let (&version, mut rest) = item.split_first().ok_or(Damaged)?;
    if version != VERSION {
        return Err(Damaged);
    }
    while !rest.is_empty() {
        let index = varint(&mut rest)?;
        let length = usize::try_from(varint(&mut rest)?).map_err(|_| Damaged)?;
        let mut facts = take(&mut rest, length)?;
        let mut last = None;
        while !facts.is_empty() {
            let tag = take(&mut facts, 1)?[0];
            let first = sixteen(&mut facts)?;
            let fact = match tag {
                NAME => Fact::Leads { name: RecordName(first), to: RecordId(sixteen(&mut facts)?) },
                NAME_OF_IT => Fact::Leads { name: RecordName(first), to: last.ok_or(Damaged)? },
                _ => Fact::Done {
                    id: RecordId(first),
                    op: Op::from_number(tag & !HAS_ORIGIN).ok_or(Damaged)?,
                    rev: varint(&mut facts)?,
                    origin: if tag & HAS_ORIGIN == 0 { None } else { Some(varint(&mut facts)?) },
                    ordinal: u32::try_from(varint(&mut facts)?).map_err(|_| Damaged)?,
                },
            };
            last = Some(match fact {
                Fact::Done { id, .. } => id,
                Fact::Leads { to, .. } => to,
            });
            each(index, fact);
        }
    }
    Ok(())
}

fn sixteen(rest: &mut &[u8]) -> Result<[u8; 16], Damaged> {
    take(rest, 16)?.try_into().map_err(|_| Damaged)
}

/// What is known under a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registered {
    /// It is a name, and leads to this record; but see [`Registered::leads_to`].
    pub leads: Option<RecordId>,
    /// It is a record.
    pub record: Option<Record>,
}

/// What is known of a record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The newest operation of those that say whether it stands: a put, a recall, a reinstatement.
    pub state: Option<Op>,
    /// It was put at some time; else it was only ever recalled.
    pub was_put: bool,
    /// It was put by a source of this node's own, so that names of it are known.
    pub is_own: bool,
    /// The highest rev.
    pub rev: u64,
    /// Of another node's record, the highest rev there of a put, withdrawal or repair.
    pub origin_state: u64,
    /// The highest rev there of any operation.
    pub origin_any: u64,
    /// How many operations there were.
    pub operations: u64,
    /// Where the newest of them stand, the newest first.
    pub places: Vec<Operation>,
}

/// Where an operation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Index of its submission in the log.
    pub index: u64,
    /// The record's place in the body.
    pub ordinal: u32,
}

const IS_NAME: u8 = 1;
const IS_RECORD: u8 = 2;
const NO_STATE: u8 = OPS;
const WAS_PUT: u8 = 0x08;
const IS_OWN: u8 = 0x10;

/// The value of one fact, in place.
#[derive(Clone, Copy)]
pub struct Value {
    length: u8,
    bytes: [u8; LONGEST],
}

/// Two flags and six numbers of at most ten bytes take less.
const LONGEST: usize = 62;

impl AsRef<[u8]> for Value {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

/// The key and the value of a fact.
pub fn entry(index: u64, fact: &Fact) -> ([u8; 16], Value) {
    let mut value = Value { length: 0, bytes: [0; LONGEST] };
    let mut put = |bytes: &[u8]| {
        let from = usize::from(value.length);
        value.bytes[from..from + bytes.len()].copy_from_slice(bytes);
        value.length += bytes.len() as u8;
    };
    let key = match *fact {
        Fact::Leads { name, to } => {
            put(&[IS_NAME]);
            put(&to.0);
            name.0
        }
        Fact::Done { id, op, rev, origin, ordinal } => {
            let state = op == Op::Put || op.is_recall() || op == Op::Reinstate;
            let of_state = origin.filter(|_| op == Op::Put || op.is_recall());
            let is_put = op == Op::Put;
            let flags = if state { op.number() } else { NO_STATE }
                | if is_put { WAS_PUT } else { 0 }
                | if is_put && origin.is_none() { IS_OWN } else { 0 };
            put(&[IS_RECORD, flags]);
            for number in [rev, of_state.unwrap_or(0), origin.unwrap_or(0), 1, index, u64::from(ordinal)] {
                let mut rest = number;
                while rest >= 0x80 {
                    put(&[(rest as u8) | 0x80]);
                    rest >>= 7;
                }
                put(&[rest as u8]);
            }
            id.0
        }
    };
    (key, value)
}

impl Registered {
    /// Reads a value.
    ///
    /// # Errors
    /// It is not one.
    pub fn parse(mut value: &[u8]) -> Result<Self, Damaged> {
        let rest = &mut value;
        let tag = take(rest, 1)?[0];
        if tag & !(IS_NAME | IS_RECORD) != 0 || tag == 0 {
            return Err(Damaged);
        }
        let leads = if tag & IS_NAME == 0 { None } else { Some(RecordId(sixteen(rest)?)) };
        let record = if tag & IS_RECORD == 0 { None } else { Some(Record::parse(rest)?) };
        if rest.is_empty() { Ok(Self { leads, record }) } else { Err(Damaged) }
    }

    /// The record that this key, as a name or an id, leads to. What was only ever recalled under a key gives way to what the key
    /// was said to lead to.
    pub fn leads_to(&self, key: [u8; 16]) -> RecordId {
        match (self.leads, &self.record) {
            (Some(to), record) if !record.as_ref().is_some_and(|record| record.was_put) => to,
            _ => RecordId(key),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        let tag = |is: bool, bit| if is { bit } else { 0 };
        out.push(tag(self.leads.is_some(), IS_NAME) | tag(self.record.is_some(), IS_RECORD));
        if let Some(to) = &self.leads {
            out.extend_from_slice(&to.0);
        }
        if let Some(record) = &self.record {
            record.write(out);
        }
    }
}

impl Record {
    fn parse(rest: &mut &[u8]) -> Result<Self, Damaged> {
        let flags = take(rest, 1)?[0];
        let mut record = Self {
            state: match flags & OPS {
                NO_STATE => None,
                op => Some(Op::from_number(op).ok_or(Damaged)?),
            },
            was_put: flags & WAS_PUT != 0,
            is_own: flags & IS_OWN != 0,
            rev: varint(rest)?,
            origin_state: varint(rest)?,
            origin_any: varint(rest)?,
            operations: varint(rest)?,
            places: Vec::new(),
        };
        while !rest.is_empty() {
            let index = varint(rest)?;
            let ordinal = u32::try_from(varint(rest)?).map_err(|_| Damaged)?;
            record.places.push(Operation { index, ordinal });
        }
        Ok(record)
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.push(
            self.state.map_or(NO_STATE, Op::number)
                | if self.was_put { WAS_PUT } else { 0 }
                | if self.is_own { IS_OWN } else { 0 },
        );
        for n in [self.rev, self.origin_state, self.origin_any, self.operations] {
            put_varint(out, n);
        }
        for place in &self.places {
            put_varint(out, place.index);
            put_varint(out, u64::from(place.ordinal));
        }
    }

    /// What this and a newer value come to.
    fn and(self, newer: Self) -> Self {
        let mut places = newer.places;
        places.extend(self.places);
        places.truncate(PLACES);
        Self {
            state: newer.state.or(self.state),
            was_put: self.was_put || newer.was_put,
            is_own: self.is_own || newer.is_own,
            rev: self.rev.max(newer.rev),
            origin_state: self.origin_state.max(newer.origin_state),
            origin_any: self.origin_any.max(newer.origin_any),
            operations: self.operations.saturating_add(newer.operations),
            places,
        }
    }
}

/// The most bytes a value has.
pub const LONGEST_VALUE: usize = 96;

/// What two values under one key come to: appended to `out`. What is no value, a damaged one, gives way to the other.
pub fn merge(older: &[u8], newer: &[u8], out: &mut Vec<u8>) {
    let (older, newer) = match (Registered::parse(older), Registered::parse(newer)) {
        (Ok(older), Ok(newer)) => (older, newer),
        (Ok(_), Err(_)) => return out.extend_from_slice(older),
        (Err(_), _) => return out.extend_from_slice(newer),
    };
    let record = match (older.record, newer.record) {
        (Some(older), Some(newer)) => Some(older.and(newer)),
        (older, newer) => newer.or(older),
    };
    let mut merged = Registered { leads: newer.leads.or(older.leads), record };
    let start = out.len();
    merged.write(out);
    // The oldest go, as they would with the next operations anyway.
    while out.len() - start > LONGEST_VALUE
        && let Some(record) = &mut merged.record
        && record.places.pop().is_some()
    {
        out.truncate(start);
        merged.write(out);
    }
}

mod frame;

pub use frame::{KEPT_NONE, ReadItem, entries_of};

#[cfg(test)]
mod tests;
