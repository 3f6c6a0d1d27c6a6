//! How a record of one schema becomes a record of another: values are copied, joined, looked up; never guessed.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::finding::Finding;
use crate::number;
use crate::problem;
use crate::record::Slot;
use crate::schema::{Schema, Title};
use crate::validate::ValidRecord;

/// A mapping, as loaded. The identity of a schema needs none.
pub struct Mapping {
    pub(crate) id: Arc<str>,
    pub(crate) title: Title,
    pub(crate) from: Arc<Schema>,
    pub(crate) to: Arc<Schema>,
    /// One for each field of the target schema, in its order.
    pub(crate) targets: Vec<Target>,
    /// Fields of the source that do not travel, with the reason.
    pub(crate) dropped: Vec<(u16, String)>,
    pub(crate) document: Vec<u8>,
    pub(crate) digest: [u8; 32],
}

impl Mapping {
    /// The mapping id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its title.
    pub fn title(&self) -> &Title {
        &self.title
    }

    /// The schema it reads.
    pub fn from(&self) -> &Arc<Schema> {
        &self.from
    }

    /// The schema it writes.
    pub fn to(&self) -> &Arc<Schema> {
        &self.to
    }

    /// Fields of the source that do not travel, with the reason.
    pub fn dropped(&self) -> impl Iterator<Item = (&str, &str)> {
        self.dropped.iter().map(|(field, why)| (self.from.fields[usize::from(*field)].code(), why.as_str()))
    }

    /// SHA-256 of the catalogue file.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// What the digest is of: the catalogue file.
    pub fn document(&self) -> &[u8] {
        &self.document
    }

    /// The target record of a source record; values that no table knows are findings.
    pub(crate) fn apply<'r>(
        &'r self,
        record: &'r ValidRecord<'_>,
        findings: &mut Vec<Finding>,
    ) -> Vec<Slot<'r>> {
        let mut slots = Vec::with_capacity(self.targets.len());
        for (number, target) in self.targets.iter().enumerate() {
            let slot = target.value(record).unwrap_or_else(|finding| {
                findings.push(finding.on(&self.to.fields[number].code));
                Slot::Absent
            });
            slots.push(slot);
        }
        slots
    }
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mapping({})", self.id)
    }
}

/// How one field of the target comes about.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) source: Source,
    /// Subject kinds for which it is filled at all.
    pub(crate) when: Option<[bool; 3]>,
    pub(crate) table: Option<Table>,
    pub(crate) shift_point: Option<i8>,
    pub(crate) default: Option<Box<str>>,
}

#[derive(Debug)]
pub(crate) enum Source {
    Copy(u16),
    FirstOf(Vec<u16>),
    Concat { fields: Vec<u16>, separator: Box<str> },
    Const(Box<str>),
    BySubjectKind([Option<Box<str>>; 3]),
    Context(ContextItem),
    Empty,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum ContextItem {
    AuthorityCode,
    AuthorityName,
    UnitCode,
    UnitName,
}

#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) values: HashMap<Box<str>, Box<str>>,
    pub(crate) unmapped: Unmapped,
    /// Separator of the source's values, if it holds several.
    pub(crate) split: Option<Box<str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unmapped {
    Quarantine,
    Keep,
    Empty,
}

impl Source {
    /// The fields it reads.
    pub(crate) fn fields(&self) -> &[u16] {
        match self {
            Source::Copy(field) => std::slice::from_ref(field),
            Source::FirstOf(fields) | Source::Concat { fields, .. } => fields,
            _ => &[],
        }
    }
}

impl Target {
    fn value<'r>(&'r self, record: &'r ValidRecord<'_>) -> Result<Slot<'r>, Finding> {
        let kind = record.declared_kind().index();
        if self.when.is_some_and(|kinds| !kinds[kind]) {
            return Ok(Slot::Absent);
        }
        let mut slot = self.sourced(record)?;
        if let (Some(by), Some(text)) = (self.shift_point, slot.filled())
            && let Ok(shifted) = number::shift_point(text, by)
        {
            slot = Slot::Text(Cow::Owned(shifted));
        }
        match &self.default {
            Some(default) if slot.is_blank() => Ok(Slot::Text(Cow::Borrowed(default))),
            _ => Ok(slot),
        }
    }

    fn sourced<'r>(&'r self, record: &'r ValidRecord<'_>) -> Result<Slot<'r>, Finding> {
        let slots = record.slots();
        let text = |text: Option<&'r str>| text.map_or(Slot::Absent, |text| Slot::Text(Cow::Borrowed(text)));
        match &self.source {
            Source::Copy(field) => match &slots[usize::from(*field)] {
                Slot::Absent => Ok(Slot::Absent),
                Slot::Null => Ok(Slot::Null),
                Slot::Text(value) => self.looked_up(value),
            },
            Source::FirstOf(fields) => {
                match fields.iter().find_map(|field| slots[usize::from(*field)].filled()) {
                    Some(value) => self.looked_up(value),
                    None => Ok(Slot::Absent),
                }
            }
            Source::Concat { fields, separator } => {
                let mut joined = String::new();
                for value in fields.iter().filter_map(|field| slots[usize::from(*field)].filled()) {
                    if let Slot::Text(part) = self.looked_up(value)?
                        && !part.is_empty()
                    {
                        if !joined.is_empty() {
                            joined.push_str(separator);
                        }
                        joined.push_str(&part);
                    }
                }
                Ok(if joined.is_empty() { Slot::Absent } else { Slot::Text(Cow::Owned(joined)) })
            }
            Source::Const(value) => Ok(text(Some(value))),
            Source::BySubjectKind(values) => Ok(text(values[record.declared_kind().index()].as_deref())),
            Source::Context(item) => {
                let source = record.source();
                Ok(text(match item {
                    ContextItem::AuthorityCode => source.authority_code.as_deref(),
                    ContextItem::AuthorityName => source.authority_name.as_deref(),
                    ContextItem::UnitCode => source.unit_code.as_deref(),
                    ContextItem::UnitName => source.unit_name.as_deref(),
                }))
            }
            Source::Empty => Ok(Slot::Absent),
        }
    }

    /// The value, through the table if there is one.
    fn looked_up<'r>(&'r self, value: &'r str) -> Result<Slot<'r>, Finding> {
        let Some(table) = &self.table else { return Ok(Slot::Text(Cow::Borrowed(value))) };
        match &table.split {
            Some(separator) if value.contains(&**separator) => {
                let parts: Result<Vec<&str>, Finding> =
                    value.split(&**separator).map(|part| table.get(part)).collect();
                let parts: Vec<&str> = parts?.into_iter().filter(|part| !part.is_empty()).collect();
                Ok(Slot::Text(Cow::Owned(parts.join(separator))))
            }
            _ => table.get(value).map(|value| Slot::Text(Cow::Borrowed(value))),
        }
    }
}

impl Table {
    fn get<'r>(&'r self, value: &'r str) -> Result<&'r str, Finding> {
        match (self.values.get(value), self.unmapped) {
            (Some(mapped), _) => Ok(mapped),
            (None, _) if value.is_empty() => Ok(value),
            (None, Unmapped::Keep) => Ok(value),
            (None, Unmapped::Empty) => Ok(""),
            (None, Unmapped::Quarantine) => {
                Err(Finding::refuse(&problem::MAP_UNMAPPED).with(self.name.clone()))
            }
        }
    }
}
