//! Log entries: the audit trail, one RFC 8785 JSON object of at most 65,535 bytes each.
//!
//! An entry holds every evidential field itself, so that the log can be audited years later without any database. What it
//! says of undesensitised data is a salted digest ([`crate::receipt::Salt`]); the salt never enters the log. Reading is
//! strict: an entry that is not, byte for byte, what this crate would write is refused.

mod event;
mod outcome;
mod wire;

use std::borrow::Cow;

use crate::explain::explained;
use crate::json::JsonError;
use crate::tlog::MAX_ENTRY;
use wire::Wire;

pub use event::Event;
pub use outcome::{Counts, HoldState, Outcome, WithheldState};

/// The version of entry this crate writes.
pub const VERSION: u64 = 1;

explained! {
    /// An entry cannot be written or read.
    pub enum EntryError {
        /// Above 65,535 bytes.
        TooLong {
            /// Its length.
            bytes: usize
        } => "entry.too-long", "a log entry of {bytes} bytes exceeds 65535; shorten its names and reasons", "日志条目 {bytes} 字节，超过 65535；请缩短名称与原因";
        /// Of a later version.
        Version {
            /// The version found.
            found: u64
        } => "entry.version", "the log entry is of version {found}; this program reads version 1: upgrade it", "日志条目版本为 {found}，本程序只支持版本 1：请升级";
        /// A member is missing or breaks its rule.
        Member {
            /// The member.
            name: &'static str
        } => "entry.member", "the log entry's member {name} is missing or breaks its rule (docs/formats.md)", "日志条目成员 {name} 缺失或不符合规则（docs/formats.md）";
        /// Not as this crate writes it.
        NotCanonical => "entry.not-canonical", "the log entry is not in canonical form (RFC 8785) or has members of another kind", "日志条目不是规范形式（RFC 8785），或含有其他类别的成员";
    }
    wraps {
        /// Not strict JSON.
        Json(JsonError),
    }
}

/// One line of the audit trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The node that logs.
    pub node: Cow<'a, str>,
    /// Its epoch.
    pub epoch: u64,
    /// When, RFC 3339 in UTC (see [`crate::timestamp`]).
    pub time: Cow<'a, str>,
    /// What happened.
    pub event: Event<'a>,
}

impl<'a> Entry<'a> {
    /// The canonical bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>, EntryError> {
        let mut out = Vec::with_capacity(768);
        self.write_into(&mut out)?;
        Ok(out)
    }

    /// Appends the canonical bytes to `out`, which is left as it was on an error.
    pub fn write_into(&self, out: &mut Vec<u8>) -> Result<(), EntryError> {
        let start = out.len();
        serde_json::to_writer(&mut *out, &self.to_wire())
            .expect("an entry is plain data, a vector takes all");
        let bytes = out.len() - start;
        if bytes > MAX_ENTRY {
            out.truncate(start);
            return Err(EntryError::TooLong { bytes });
        }
        Ok(())
    }

    /// Reads canonical bytes.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, EntryError> {
        if bytes.len() > MAX_ENTRY {
            return Err(EntryError::TooLong { bytes: bytes.len() });
        }
        let mut wire: Wire<'a> = serde_json::from_slice(bytes).map_err(|error| JsonError::at(&error))?;
        wire.check()?;
        let event = Event::take(&mut wire)?;
        let entry = Entry { node: wire.node, epoch: wire.epoch, time: wire.time, event };
        // Writing it again settles order, spacing, escapes, repeated members and members of another kind at once.
        if entry.to_bytes()? == bytes { Ok(entry) } else { Err(EntryError::NotCanonical) }
    }

    /// The entry with all its text owned.
    pub fn into_owned(self) -> Entry<'static> {
        Entry {
            node: Cow::Owned(self.node.into_owned()),
            epoch: self.epoch,
            time: Cow::Owned(self.time.into_owned()),
            event: self.event.into_owned(),
        }
    }

    fn to_wire(&self) -> Wire<'_> {
        let mut wire = Wire {
            epoch: self.epoch,
            kind: Cow::Borrowed(self.kind()),
            node: Cow::Borrowed(&self.node),
            time: Cow::Borrowed(&self.time),
            v: VERSION,
            ..Wire::default()
        };
        self.event.fill(&mut wire);
        wire
    }

    /// The `kind` member.
    pub fn kind(&self) -> &'static str {
        self.event.kind()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jcs::is_jcs;

    #[test]
    fn the_golden_entries_read_and_write_byte_for_byte() {
        let mut kinds = std::collections::BTreeSet::new();
        for line in include_str!("../tests/vectors/entries.ndjson").lines() {
            assert!(is_jcs(line.as_bytes()), "{line}");
            let entry = Entry::from_bytes(line.as_bytes()).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert_eq!(entry.to_bytes().unwrap(), line.as_bytes());
            assert_eq!(entry.clone().into_owned(), entry);
            kinds.insert(entry.kind());
        }
        assert_eq!(kinds.len(), Event::KINDS.len(), "a golden entry for every kind: {kinds:?}");
    }

    #[test]
    fn entries_that_are_not_as_written_are_refused() {
        let line = include_str!("../tests/vectors/entries.ndjson").lines().next().unwrap();
        let read = |text: &str| Entry::from_bytes(text.as_bytes()).map(drop);
        assert_eq!(read(line), Ok(()));
        assert_eq!(read(&line.replace(",\"v\":1", ",\"v\":2")), Err(EntryError::Version { found: 2 }));
        assert_eq!(
            read(&line.replace("\"node\":\"", "\"node\":\"/")),
            Err(EntryError::Member { name: "node" })
        );
        assert_eq!(
            read(&line.replace("\"epoch\":1", "\"epoch\":0")),
            Err(EntryError::Member { name: "epoch" })
        );
        assert_eq!(read(&line.replace("\"member\":", "\"by\":")), Err(EntryError::Member { name: "member" }));
        assert_eq!(read(&line.replacen('{', "{ ", 1)), Err(EntryError::NotCanonical));
        assert_eq!(
            read(&line.replace(",\"v\":1}", ",\"stream\":\"..\",\"v\":1}")),
            Err(EntryError::Member { name: "stream" })
        );
        assert_eq!(read(&line.replacen('{', "{\"by\":\"x\",", 1)), Err(EntryError::NotCanonical));
        assert_eq!(
            read(&line.replace(",\"v\":1}", ",\"stream\":\"a.b\",\"v\":1}")),
            Err(EntryError::NotCanonical)
        );
        assert!(matches!(read(&line.replace(",\"v\":1}", ",\"w\":1,\"v\":1}")), Err(EntryError::Json(_))));
        assert!(matches!(read(&line.replace(",\"v\":1}", ",\"v\":1,\"v\":1}")), Err(EntryError::Json(_))));
    }

    #[test]
    fn long_entries_are_refused_and_leave_no_trace() {
        let reason = "x".repeat(MAX_ENTRY);
        let event = Event::Stop { reason: reason.into() };
        let entry =
            Entry { node: "a.example/b".into(), epoch: 1, time: "2026-11-21T08:00:00Z".into(), event };
        let mut out = b"before".to_vec();
        assert!(matches!(entry.write_into(&mut out), Err(EntryError::TooLong { .. })));
        assert_eq!(out, b"before");
    }

    proptest::proptest! {
        #[test]
        fn reading_never_panics_and_what_reads_is_canonical(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            if let Ok(entry) = Entry::from_bytes(&bytes) {
                proptest::prop_assert_eq!(entry.to_bytes().unwrap(), bytes);
            }
        }

        #[test]
        fn one_flipped_byte_changes_or_refuses_an_entry(place in 0usize..400, flip in 1u8..) {
            let line = include_str!("../tests/vectors/entries.ndjson").lines().next().unwrap();
            let mut bytes = line.as_bytes().to_vec();
            let place = place % bytes.len();
            bytes[place] ^= flip;
            let original = Entry::from_bytes(line.as_bytes()).unwrap();
            proptest::prop_assert_ne!(Entry::from_bytes(&bytes), Ok(original));
        }
    }
}
