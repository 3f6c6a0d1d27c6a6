//! Collects the members of one record, whatever the format, and refuses what is unknown, doubled or too much.

use std::borrow::Cow;

use crate::decode::Bounds;
use crate::finding::Finding;
use crate::problem;
use crate::record::{Member, RawRecord, Slot};
use crate::schema::{FieldType, Schema};

/// More findings than this about one record help nobody.
const MOST_FINDINGS: usize = 32;

pub(crate) struct Sink<'s, 'a> {
    schema: &'s Schema,
    caps: &'s Bounds<'s>,
    record: RawRecord<'a>,
    findings: Vec<Finding>,
    members: usize,
}

impl<'s, 'a> Sink<'s, 'a> {
    pub(crate) fn new(schema: &'s Schema, caps: &'s Bounds<'s>) -> Self {
        Self { schema, caps, record: RawRecord::new(schema.fields.len()), findings: Vec::new(), members: 0 }
    }

    /// The slot of a member; a finding and none, if the name is unknown. Counts the member.
    #[inline]
    pub(crate) fn slot(&mut self, name: &str) -> Option<usize> {
        self.members += 1;
        match self.schema.names.get(name.as_bytes()) {
            Some(slot) => Some(usize::from(slot)),
            None => {
                let finding = Finding::refuse(&problem::RECORD_FIELD_UNKNOWN).with_number(self.members);
                self.report(finding.with(self.caps.hint(self.schema, name)));
                None
            }
        }
    }

    /// True if the record has more members than allowed.
    pub(crate) fn full(&self) -> bool {
        self.members > self.caps.fields_per_record
    }

    /// Sets a slot to what was sent.
    #[inline]
    pub(crate) fn set(&mut self, slot: usize, value: Slot<'a>) {
        if let Slot::Text(text) = &value
            && text.len() > self.caps.value_bytes
        {
            let finding = Finding::refuse(&problem::FIELD_VALUE_LARGE).with_number(self.caps.value_bytes);
            return self.report_on(slot, finding);
        }
        let place = self.record.slot_mut(slot);
        if matches!(place, Slot::Absent) {
            *place = value;
        } else {
            self.report_on(slot, Finding::refuse(&problem::RECORD_FIELD_TWICE));
        }
    }

    /// Sets a slot to a bare number, which only numeric fields take.
    pub(crate) fn set_number(&mut self, slot: usize, number: &'a str) {
        match self.schema.fields.get(slot).map(|field| &field.kind) {
            Some(FieldType::Number { .. }) => self.set(slot, Slot::Text(Cow::Borrowed(number))),
            _ => self.refuse_value(slot, Finding::refuse(&problem::FIELD_NUMBER)),
        }
    }

    /// Takes note that a member was there although its value is unusable.
    pub(crate) fn refuse_value(&mut self, slot: usize, finding: Finding) {
        self.set(slot, Slot::Null);
        self.report_on(slot, finding);
    }

    pub(crate) fn report_on(&mut self, slot: usize, finding: Finding) {
        let finding = match self.schema.fields.get(slot) {
            Some(field) => finding.on(&field.code),
            None => finding.on_member(Member::ALL[slot - self.schema.fields.len()].name()),
        };
        self.report(finding);
    }

    pub(crate) fn report(&mut self, finding: Finding) {
        if self.findings.len() < MOST_FINDINGS {
            self.findings.push(finding);
        }
    }

    pub(crate) fn finish(self) -> Result<RawRecord<'a>, Vec<Finding>> {
        if self.findings.is_empty() { Ok(self.record) } else { Err(self.findings) }
    }
}
