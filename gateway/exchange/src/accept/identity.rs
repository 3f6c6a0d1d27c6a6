//! Which record a line is about. A record is known by the id under which it was first taken, made of the source's reference or, without
//! one, of its key fields; keys at recipients hang on it, and it never changes. Every other reference it was sent with, and its key fields
//! in the form that folds spellings, are names that lead to it. So one decision is one record, whichever of them it is sent under.

use super::{Prepared, Work};
use crate::findings::{Doubtful, Said, Seen};
use crate::order::{AsItIs, Touched};
use crate::register::{Fact, Operation, Registered};
use crate::secrets::{Naming, RecordId, RecordName};
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use xinqiao_schemas::{RecallRequest, Schema, ValidRecord};

/// Where a name leads.
#[derive(Clone, Copy)]
pub(super) struct Lead {
    id: RecordId,
    /// The record was put at some time; else it was only recalled.
    was_put: bool,
    /// Its key fields are known under some name.
    has_names: bool,
    from: KnownFrom,
}

/// Where that is known from.
#[derive(Clone, Copy)]
enum KnownFrom {
    /// A line of this submission.
    Line(u32),
    /// The register, with the newest operation it knows of the record.
    Register(Option<Operation>),
    /// Lines that went out before there was a register.
    Before,
}

/// What lines of this submission made of ids and names.
pub(super) type Here = HashMap<RecordName, Lead, BuildHasherDefault<AsItIs>>;

/// Which record a put is about.
pub(super) enum PutOf {
    /// This one.
    Record {
        /// Under which it was first taken, or is now.
        id: RecordId,
        /// Names that lead to it from now on.
        names: [Option<RecordName>; 2],
        /// What its source should know.
        said: Option<Said>,
        /// Nothing was known of it.
        is_new: bool,
    },
    /// One that is recalled.
    Recalled,
    /// It cannot be said.
    Refused(Doubtful),
}

/// The records a recall is about.
pub(super) enum RecallOf {
    /// These, and the names that lead to the first from now on. Several if none of them was ever put.
    Records {
        /// The records.
        ids: Vec<RecordId>,
        /// Names.
        names: Vec<RecordName>,
        /// One of them was put.
        is_known: bool,
    },
    /// It cannot be said.
    Refused(Doubtful),
}

impl Prepared {
    /// Every record it has an operation on, and every name that what was decided about them rests on: an id and a name are never equal
    /// unless they lead to one record.
    pub fn concerns(&self) -> impl Iterator<Item = RecordId> {
        let names = self.names.iter().map(|name| RecordId(name.0));
        self.touched.iter().map(|t| t.id).chain(names)
    }
}

impl Lead {
    fn seen(&self) -> Seen {
        match self.from {
            KnownFrom::Line(ordinal) => Seen::Here(ordinal),
            KnownFrom::Register(Some(operation)) => Seen::There(operation),
            KnownFrom::Register(None) | KnownFrom::Before => Seen::Before,
        }
    }
}

impl Work<'_> {
    /// Where an id or a name leads, by lines in front of this one or by what the node remembers.
    fn lead(&mut self, name: RecordName) -> Option<Lead> {
        if let Some(here) = self.here.get(&name) {
            return Some(*here);
        }
        // The committer asks whether something was made of it meanwhile.
        self.names.push(name);
        let Some(found) = (self.around.registered)(&name.0) else {
            return self.lead_before(RecordId(name.0));
        };
        let id = found.leads_to(name.0);
        let record = if id.0 == name.0 {
            found.record
        } else if let Some(here) = self.here.get(&id.as_name()) {
            return Some(*here);
        } else {
            (self.around.registered)(&id.0).and_then(|found| found.record)
        };
        let Some(record) = record else {
            // A record nothing is known of but that it has names: it was delivered by an earlier version.
            return Some(Lead { id, was_put: true, has_names: true, from: KnownFrom::Before });
        };
        let (was_put, has_names) = (record.was_put, record.is_own);
        Some(Lead { id, was_put, has_names, from: KnownFrom::Register(record.places.first().copied()) })
    }

    /// Was a record of this id delivered by a version that kept no register? Its keys at recipients tell.
    fn lead_before(&self, id: RecordId) -> Option<Lead> {
        if !self.around.has_older {
            return None;
        }
        let keys = self.plan.recipients.iter().map(|recipient| recipient.keyer.key(&id));
        let known = keys.into_iter().any(|key| (self.around.registered)(&key.0).is_some());
        known.then_some(Lead { id, was_put: true, has_names: false, from: KnownFrom::Before })
    }

    /// Notes what a line made of an id or a name.
    fn leads(&mut self, name: RecordName, lead: Lead) {
        self.here.insert(name, lead);
    }

    /// Which record is put, by the names of both forms and by what it says it replaces.
    pub(super) fn put_of(
        &mut self,
        schema: &Schema,
        record: &ValidRecord<'_>,
        lineage: &str,
        (own, replaced): (RecordId, Option<RecordId>),
    ) -> PutOf {
        let named = record.reference().is_some();
        let by_own = self.lead(own.as_name());
        let key = self.name_of(schema, record, lineage);
        let by_key = match key {
            Some(name) => self.lead(name).or_else(|| self.lead_in_form_1(named, lineage)),
            None => None,
        };
        for lead in [by_own, by_key].into_iter().flatten() {
            if Some(lead.id) != replaced && self.is_recalled_here_or_before(&lead.id) {
                return PutOf::Recalled;
            }
        }
        let put = |lead: Option<Lead>| lead.filter(|lead| lead.was_put);
        // What it replaces is no other record of the same decision: it has the place of that.
        let by_key = by_key
            .filter(|lead| Some(lead.id) != replaced || put(by_own).is_some_and(|own| own.id == lead.id));
        let (id, said) = match (put(by_own), put(by_key)) {
            (Some(a), Some(b)) if a.id != b.id => {
                return PutOf::Refused(Doubtful::TwoRecords([a.seen(), b.seen()]));
            }
            (Some(a), Some(_)) => (a.id, None),
            (Some(a), None) => (a.id, (named && a.has_names).then_some(Said::Corrected)),
            (None, Some(b)) => match b.from {
                KnownFrom::Line(other) if named => return PutOf::Refused(Doubtful::SameDecision(other)),
                _ => (b.id, named.then_some(Said::KnownOtherwise)),
            },
            (None, None) => (own, None),
        };
        let to_own = (own != id && by_own.is_none_or(|lead| lead.id != id)).then(|| own.as_name());
        let to_key = key.filter(|_| by_key.is_none_or(|lead| lead.id != id || !lead.has_names));
        let is_new = by_own.is_none() && by_key.is_none();
        PutOf::Record { id, names: [to_own, to_key], said, is_new }
    }

    fn is_recalled_here_or_before(&self, id: &RecordId) -> bool {
        self.is_recalled(id, || (self.around.known)(id))
    }

    /// What was delivered by its key fields alone, before there was a register, had the id of their first form.
    fn lead_in_form_1(&mut self, named: bool, lineage: &str) -> Option<Lead> {
        if !named || !self.around.has_older {
            return None;
        }
        let form_1 = self.plan.identifier.id(lineage, Naming::KeyFields(&self.key_material));
        self.lead(form_1.as_name())
    }

    /// Notes a put that was taken, and the names that lead to its record from now on.
    pub(super) fn remember_put(&mut self, id: RecordId, names: [Option<RecordName>; 2], ordinal: u32) {
        let lead = Lead { id, was_put: true, has_names: true, from: KnownFrom::Line(ordinal) };
        self.leads(id.as_name(), lead);
        for name in names.into_iter().flatten() {
            self.name(id, name, lead);
        }
    }

    fn name(&mut self, id: RecordId, name: RecordName, lead: Lead) {
        self.leads(name, lead);
        self.facts.push(Fact::Leads { name, to: id });
        // What was decided meanwhile by what the name led to before has to be decided again.
        self.touched.push(Touched::name(name));
    }

    /// The record a `replaces` is about; false if nobody knows it.
    pub(super) fn replaced(&mut self, lineage: &str, reference: &str) -> (RecordId, bool) {
        let id = self.plan.identifier.id(lineage, Naming::Reference(reference));
        self.lead(id.as_name()).map_or((id, false), |lead| (lead.id, lead.was_put))
    }

    fn name_of(&mut self, schema: &Schema, record: &ValidRecord<'_>, lineage: &str) -> Option<RecordName> {
        self.key_material.clear();
        record.key_material(&mut self.key_material).then(|| self.name_in_form_2(schema, lineage))?
    }

    /// The name of the key fields that `key_material` holds.
    fn name_in_form_2(&mut self, schema: &Schema, lineage: &str) -> Option<RecordName> {
        self.form_2.clear();
        let whole = schema.key_form_2(&self.key_material, &mut self.form_2);
        whole.then(|| self.plan.identifier.name(lineage, &self.form_2, &mut self.message))
    }

    /// The records a recall is about, in one lineage.
    pub(super) fn recall_of(&mut self, schema: &Schema, request: &RecallRequest, lineage: &str) -> RecallOf {
        let mut found: Vec<Lead> = Vec::new();
        let mut names = Vec::new();
        let mut own = None;
        if let Some(reference) = request.reference() {
            let id = self.plan.identifier.id(lineage, Naming::Reference(reference));
            own = Some(id);
            match self.lead(id.as_name()) {
                Some(lead) => found.push(lead),
                None => names.push(id.as_name()),
            }
        }
        if let Some(form_1) = request.key_material() {
            self.key_material.clear();
            self.key_material.extend_from_slice(form_1);
            let id = self.plan.identifier.id(lineage, Naming::KeyFields(&self.key_material));
            own = own.or(Some(id));
            let name = self.name_in_form_2(schema, lineage);
            match name.and_then(|name| self.lead(name)).or_else(|| self.lead(id.as_name())) {
                Some(lead) => found.push(lead),
                None => names.extend(name),
            }
        }
        let put: Vec<Lead> = found.iter().copied().filter(|lead| lead.was_put).collect();
        if let [a, b] = put[..]
            && a.id != b.id
        {
            return RecallOf::Refused(Doubtful::TwoRecords([a.seen(), b.seen()]));
        }
        let mut ids: Vec<RecordId> = put.iter().map(|lead| lead.id).collect();
        // What was only recalled so far is recalled, or reinstated, beside it.
        ids.extend(found.iter().map(|lead| lead.id));
        ids.extend(own.filter(|_| found.is_empty()));
        let mut seen = Vec::new();
        ids.retain(|id| {
            let new = !seen.contains(id);
            seen.push(*id);
            new
        });
        names.retain(|name| ids.first().is_none_or(|id| id.as_name() != *name));
        RecallOf::Records { ids, names, is_known: !put.is_empty() }
    }

    /// Notes an operation on a record that is no put, and the names that lead to it from now on.
    pub(super) fn remember_recall(&mut self, id: RecordId, names: &[RecordName], ordinal: u32) {
        let before = self.here.get(&id.as_name()).copied();
        let before = before.or_else(|| match (self.around.registered)(&id.0) {
            Some(Registered { record: Some(r), .. }) => {
                Some(Lead { id, was_put: r.was_put, has_names: r.is_own, from: KnownFrom::Register(None) })
            }
            _ => self.lead_before(id),
        });
        let lead = Lead {
            id,
            was_put: before.is_some_and(|lead| lead.was_put),
            has_names: before.is_some_and(|lead| lead.has_names),
            from: KnownFrom::Line(ordinal),
        };
        self.leads(id.as_name(), lead);
        for name in names {
            self.name(id, *name, lead);
        }
    }
}
