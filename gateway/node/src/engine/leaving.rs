//! What was made under an older policy and may leave all the same: whatever that policy let out no more of than the one in
//! force does, and recalls. The older policy is read from the documents the node keeps under their digests.

use super::Node;
use super::rules::Rules;
use std::collections::BTreeSet;
use std::sync::Arc;
use xinqiao_crypto::hex;
use xinqiao_exchange::event::Description;
use xinqiao_exchange::names::StreamId;
use xinqiao_exchange::op::Op;
use xinqiao_exchange::state::{BatchRow, StreamRow, Table, WithheldRow, stream_key};
use xinqiao_exchange::table;
use xinqiao_schemas::{Catalogue, CatalogueFile, Policy, RecipientKind};

impl Node {
    /// Was this made under another policy than the one in force? Asks memory alone.
    pub(super) fn changed_since(
        &self,
        rules: &Rules,
        stream: &StreamId,
        head: &StreamRow,
        description: u32,
    ) -> bool {
        let now = rules.plan.recipient_of(stream).map(|r| &r.description.policy_digest);
        head.descriptions.get(description as usize).map(|d| &d.policy_digest) != now
    }

    /// Was this made under the policy that is in force, or under one that let out no more of any field? An older policy
    /// whose document cannot be read counts as one that let out more.
    pub(super) fn may_still_leave(
        &self,
        rules: &Rules,
        stream: &StreamId,
        head: &StreamRow,
        description: u32,
    ) -> bool {
        let Some(now) = rules.plan.recipient_of(stream) else { return false };
        let Some(made) = head.descriptions.get(description as usize) else { return false };
        if made.policy_digest == now.description.policy_digest {
            return true;
        }
        let (Some(older), Some(policy)) =
            (self.policy_of(rules, made), rules.catalogue.policy(&now.description.policy))
        else {
            return false;
        };
        // A field's class is what the schemas of today say of it. If the one the lines were made in is not among them, any
        // class may be that of a field.
        let schema = rules.catalogue.schema(&made.schema);
        let known = schema.is_some_and(|s| hex::encode(s.digest()) == made.schema_digest);
        let schemas = rules.catalogue.schemas().filter(|s| s.dataset() == stream.dataset());
        let classes: BTreeSet<&str> = schemas.flat_map(|s| s.fields()).map(|field| field.class()).collect();
        let classes: Vec<&str> = classes.into_iter().collect();
        older.is_at_least_as_strict_as(policy, known.then_some(&classes))
    }

    /// Does a batch only recall, in a form this recipient may read? Such a batch leaves whatever the policy says now.
    /// Recipients that are no authorities are not told why: what was written for an authority is not for them.
    pub(super) fn only_recalls(
        &self,
        rules: &Rules,
        stream: &StreamId,
        head: &StreamRow,
        batch: &BatchRow,
    ) -> bool {
        let Some(now) = rules.plan.recipient_of(stream) else { return false };
        let says_why = || {
            let made = head.descriptions.get(batch.description as usize);
            let policy = made.and_then(|made| self.policy_of(rules, made));
            policy.is_none_or(|policy| policy.recipient_kind() == RecipientKind::Government)
        };
        if now.kind != RecipientKind::Government && says_why() {
            return false;
        }
        let Ok(bytes) = self.read_item(stream, batch.table) else { return false };
        let Ok(groups) = table::groups(&bytes) else { return false };
        groups.iter().all(|g| g.entries().is_ok_and(|all| all.iter().all(|e| e.op != Op::Put)))
    }

    /// The policy that lines were made under.
    fn policy_of(&self, rules: &Rules, made: &Description) -> Option<Arc<Policy>> {
        let digest = &made.policy_digest;
        let in_force = rules.catalogue.policies().find(|p| hex::encode(p.digest()) == *digest);
        if let Some(policy) = in_force {
            return Some(policy.clone());
        }
        if let Some(policy) = self.older_policies.lock().get(digest) {
            return Some(policy.clone());
        }
        let text = String::from_utf8(self.document(digest)?).ok()?;
        let file = CatalogueFile { path: format!("policies/{}.toml", made.policy), text };
        let policy = Catalogue::from_files(&[file]).ok()?.policy(&made.policy)?.clone();
        self.older_policies.lock().insert(digest.clone(), policy.clone());
        Some(policy)
    }

    /// Records of a stream that wait for an officer's ruling.
    pub fn withheld_records(&self, stream: &StreamId) -> u64 {
        let Some(head) = self.head(stream) else { return 0 };
        let (from, to) = (stream_key(head.id, 0), stream_key(head.id, u64::MAX));
        let rows = self.queue().scan(Table::Withheld as u8, &from, Some(&to), 1 << 20).unwrap_or_default();
        let rows = rows.iter().filter_map(|(_, value)| serde_json::from_slice::<WithheldRow>(value).ok());
        rows.map(|row| u64::from(row.waiting())).sum()
    }
}
