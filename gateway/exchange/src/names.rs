//! Names of nodes and streams, parsed once at the edge and trusted inside.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// A node: `<trust-domain>/<division>-<line>`, for example `xm.example/350200-credit`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeName(Arc<str>);

/// A stream: `<recipient>.<dataset>`, with `~history` for the lane that history and backfill travel in.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StreamId {
    text: Arc<str>,
    dot: usize,
}

/// The lane of a stream. History never delays daily records.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Lane {
    /// Daily records, corrections, supplements and every recall.
    Daily,
    /// 存量: the history load.
    History,
}

/// A name that is not of the required form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidName {
    /// What was being named.
    pub what: &'static str,
}

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not of the required form", self.what)
    }
}

impl std::error::Error for InvalidName {}

/// A lower-case label: letters, digits and inner hyphens, 1 to 63 characters.
pub fn is_label(s: &str) -> bool {
    !s.is_empty()
        && s.len() <= 63
        && s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !s.starts_with('-')
        && !s.ends_with('-')
}

impl NodeName {
    /// Parses `<trust-domain>/<division>-<line>`.
    pub fn parse(s: &str) -> Result<Self, InvalidName> {
        let bad = InvalidName { what: "node name" };
        let (domain, local) = s.split_once('/').ok_or(bad.clone())?;
        let (division, line) = local.split_once('-').ok_or(bad.clone())?;
        let good = domain.split('.').all(is_label)
            && domain.len() <= 253
            && division.len() == 6
            && division.bytes().all(|b| b.is_ascii_digit())
            && is_label(line);
        if good { Ok(Self(s.into())) } else { Err(bad) }
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The six digits of the administrative division (GB/T 2260).
    pub fn division(&self) -> &str {
        let local = self.0.split_once('/').map_or("", |(_, l)| l);
        local.split_once('-').map_or("", |(d, _)| d)
    }

    /// The origin line of this node's log in one epoch.
    pub fn log_origin(&self, epoch: u64) -> String {
        format!("{}/epoch-{epoch}", self.0)
    }
}

const HISTORY: &str = "~history";

impl StreamId {
    /// The stream of a recipient for a dataset in a lane.
    pub fn new(recipient: &str, dataset: &str, lane: Lane) -> Result<Self, InvalidName> {
        if !is_label(recipient) || !is_label(dataset) {
            return Err(InvalidName { what: "stream" });
        }
        let suffix = if lane == Lane::History { HISTORY } else { "" };
        Ok(Self { text: format!("{recipient}.{dataset}{suffix}").into(), dot: recipient.len() })
    }

    /// Parses `<recipient>.<dataset>[~history]`.
    pub fn parse(s: &str) -> Result<Self, InvalidName> {
        let (recipient, rest) = s.split_once('.').ok_or(InvalidName { what: "stream" })?;
        let (dataset, lane) = match rest.strip_suffix(HISTORY) {
            Some(d) => (d, Lane::History),
            None => (rest, Lane::Daily),
        };
        Self::new(recipient, dataset, lane)
    }

    /// The whole id.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Who pulls it.
    pub fn recipient(&self) -> &str {
        &self.text[..self.dot]
    }

    /// The kind of record in it.
    pub fn dataset(&self) -> &str {
        let rest = &self.text[self.dot + 1..];
        rest.strip_suffix(HISTORY).unwrap_or(rest)
    }

    /// The lane.
    pub fn lane(&self) -> Lane {
        if self.text.ends_with(HISTORY) { Lane::History } else { Lane::Daily }
    }
}

impl fmt::Debug for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
impl TryFrom<String> for NodeName {
    type Error = InvalidName;
    fn try_from(s: String) -> Result<Self, InvalidName> {
        Self::parse(&s)
    }
}
impl From<NodeName> for String {
    fn from(n: NodeName) -> String {
        n.0.to_string()
    }
}
impl TryFrom<String> for StreamId {
    type Error = InvalidName;
    fn try_from(s: String) -> Result<Self, InvalidName> {
        Self::parse(&s)
    }
}
impl From<StreamId> for String {
    fn from(n: StreamId) -> String {
        n.text.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_round_trip() {
        for s in ["province.administrative-penalty", "portal.administrative-licence~history"] {
            let id = StreamId::parse(s).unwrap();
            assert_eq!(id.as_str(), s);
            assert_eq!(StreamId::new(id.recipient(), id.dataset(), id.lane()).unwrap(), id);
        }
        for s in ["", "x", ".y", "x.", "x.~history", "X.y", "x.y/z", "x.y~other", "x..y", "../x.y"] {
            assert!(StreamId::parse(s).is_err(), "{s}");
        }
    }

    #[test]
    fn nodes_name_their_division() {
        let n = NodeName::parse("xm.example/350200-credit").unwrap();
        assert_eq!(n.division(), "350200");
        assert_eq!(n.log_origin(2), "xm.example/350200-credit/epoch-2");
        for s in [
            "350200-credit",
            "xm.example/35020-credit",
            "xm.example/350200",
            "/350200-credit",
            "xm.example/350200-credit/x",
        ] {
            assert!(NodeName::parse(s).is_err(), "{s}");
        }
    }
}
