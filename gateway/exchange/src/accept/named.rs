//! Names: a record that was recalled is found again when it is sent under another reference, without one, or with its key fields spelled
//! otherwise. Identity is the id a record was first delivered under; recipients' keys hang on it. A name only leads to it.
//!
//! Of a put the name in form 2 is made, and only where something of its dataset is recalled by name. It is enough: whatever notes form 1
//! notes form 2, and what is equal in form 1 is equal in form 2.

use super::{Prepared, Reason, TombstoneChange, Way, Work};
use crate::op::Op;
use crate::secrets::{Naming, RecordId, RecordName};
use xinqiao_schemas::{RecallRequest, Schema, ValidRecord};

/// What is known of a record by its key fields.
pub(super) enum ByName {
    /// Nothing, or that it was recalled as what the put replaces.
    Stands {
        /// Names that lead to the put from now on.
        passed_on: Vec<RecordName>,
    },
    /// It is recalled.
    Recalled,
}

impl Prepared {
    /// Every record it has an operation on, and every name that what was decided about them rests on: an id and a name are never equal
    /// unless they lead to one record.
    pub fn concerns(&self) -> impl Iterator<Item = RecordId> {
        let names = self.names.iter().flatten().map(|name| RecordId(name.0));
        self.touched.iter().map(|t| t.id).chain(names)
    }

    /// Does it recall a record by name?
    pub fn recalls_by_name(&self) -> bool {
        self.tombstones.iter().any(|change| match change {
            TombstoneChange::Set(recall) => !recall.names.is_empty(),
            TombstoneChange::Lift { .. } => false,
        })
    }
}

impl Work<'_> {
    /// Does a record of these key fields stand, whatever its id? What the put names as replaced does not keep it back: it has the
    /// place of that.
    pub(super) fn by_name(
        &mut self,
        schema: &Schema,
        record: &ValidRecord<'_>,
        lineage: &str,
        replaced: Option<RecordId>,
    ) -> ByName {
        const STANDS: ByName = ByName::Stands { passed_on: Vec::new() };
        if self.names.is_none() && self.recalled_names.is_empty() {
            return STANDS;
        }
        let Some(name) = self.name_of(schema, record, lineage) else { return STANDS };
        let mut under = (self.around.recalled_under)(&name);
        under.extend(self.recalled_names.get(&name).into_iter().flatten());
        under.retain(|id| !self.passed_on.contains(&(name, *id)));
        if under.iter().any(|id| Some(*id) != replaced) {
            return ByName::Recalled;
        }
        if let Some(names) = &mut self.names {
            names.push(name);
        }
        if under.is_empty() {
            return STANDS;
        }
        let form_1 = self.plan.identifier.id(lineage, Naming::KeyFields(&self.key_material));
        ByName::Stands { passed_on: vec![form_1.as_name(), name] }
    }

    /// Lets names of the record just recalled lead to the one in its place: else that could not be corrected later.
    pub(super) fn pass_on(&mut self, old: RecordId, names: Vec<RecordName>) {
        self.passed_on.extend(names.iter().map(|name| (*name, old)));
        if let Some(TombstoneChange::Set(recall)) = self.tombstones.last_mut() {
            recall.passed_on = names;
        }
    }

    fn name_of(&mut self, schema: &Schema, record: &ValidRecord<'_>, lineage: &str) -> Option<RecordName> {
        self.key_material.clear();
        record.key_material(&mut self.key_material).then(|| self.name(schema, lineage))?
    }

    /// The name of the key fields that `key_material` holds.
    fn name(&mut self, schema: &Schema, lineage: &str) -> Option<RecordName> {
        self.form_2.clear();
        let whole = schema.key_form_2(&self.key_material, &mut self.form_2);
        whole.then(|| self.plan.identifier.name(lineage, &self.form_2, &mut self.message))
    }

    /// The names of a record that says itself that it was revoked.
    pub(super) fn names_of_revoked(
        &mut self,
        schema: &Schema,
        record: &ValidRecord<'_>,
        lineage: &str,
        id: RecordId,
    ) -> Vec<RecordName> {
        let name = self.name_of(schema, record, lineage);
        self.names_in_both_forms(lineage, id, name)
    }

    /// The names of the record a recall is about, besides its id; none if its key fields are not given.
    pub(super) fn names_of_recalled(
        &mut self,
        schema: &Schema,
        request: &RecallRequest,
        lineage: &str,
        id: RecordId,
    ) -> Vec<RecordName> {
        let Some(form_1) = request.key_material() else { return Vec::new() };
        self.key_material.clear();
        self.key_material.extend_from_slice(form_1);
        let name = self.name(schema, lineage);
        self.names_in_both_forms(lineage, id, name)
    }

    fn names_in_both_forms(&self, lineage: &str, id: RecordId, name: Option<RecordName>) -> Vec<RecordName> {
        let Some(name) = name else { return Vec::new() };
        let form_1 = self.plan.identifier.id(lineage, Naming::KeyFields(&self.key_material));
        if form_1 == id { vec![name] } else { vec![form_1.as_name(), name] }
    }

    /// Writes a recall of the record; a reinstatement also of whatever else is recalled under one of its names.
    pub(super) fn recall_by_name(
        &mut self,
        (id, names): (RecordId, Vec<RecordName>),
        op: Op,
        ordinal: u32,
        reason: &Reason<'_>,
    ) {
        let mut all = vec![id];
        if op == Op::Reinstate {
            for other in names.iter().flat_map(|name| (self.around.recalled_under)(name)) {
                if !all.contains(&other) {
                    all.push(other);
                }
            }
        }
        self.recall_everywhere((id, names), op, ordinal, &Way::OWN, reason);
        // The reference is that of the record the line is about.
        let reason = Reason { reference: None, ..*reason };
        for other in all.into_iter().skip(1) {
            self.recall_everywhere((other, Vec::new()), op, ordinal, &Way::OWN, &reason);
        }
    }
}
