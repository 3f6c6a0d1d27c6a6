//! How an epoch begins, and what is kept of the rules in force: each schema, mapping and policy under its digest.

use super::rules::Rules;
use super::{CommitError, Node, entries};
use xinqiao_exchange::event::Event;
use xinqiao_exchange::group::{Change, Item, Kind};
use xinqiao_exchange::state::Table;

/// What documents are bound to at rest.
pub const DOCUMENT_AAD: &[u8] = b"document";

/// Commits a change and returns when it is durable.
pub(super) type Commit<'a> = dyn FnMut(Change) -> Result<(), CommitError> + 'a;

impl Node {
    /// Commits through the committer's thread. Blocks.
    pub(super) fn committing(&self) -> impl FnMut(Change) -> Result<(), CommitError> + '_ {
        |change| self.change_blocking(change, |_| true).map(drop)
    }

    /// Opens an epoch: the first, or a new one after an older state was put back.
    pub(super) fn open_epoch(
        &self,
        epoch: u64,
        reason: &str,
        commit: &mut Commit<'_>,
    ) -> Result<(), CommitError> {
        let size = self.log_size();
        let previous = (epoch > 1).then(|| (epoch - 1, size, self.log().frontier().root()));
        let change = Change {
            events: vec![Event::Epoch { epoch }],
            items: Vec::new(),
            entry: Some(entries::epoch(self, epoch, reason, previous)),
        };
        commit(change)
    }

    /// Notes which rules took effect.
    pub(super) fn note_configuration(
        &self,
        rules: &Rules,
        commit: &mut Commit<'_>,
    ) -> Result<(), CommitError> {
        self.keep_documents(rules, commit)?;
        self.describe_streams(rules, commit)
    }

    /// Keeps each schema, mapping and policy under its digest.
    pub(super) fn keep_documents(&self, rules: &Rules, commit: &mut Commit<'_>) -> Result<(), CommitError> {
        for dataset in rules.plan.datasets() {
            for s in &dataset.schemas {
                self.keep_document(("schema", s.schema.id(), s.schema.document()), commit)?;
                for route in &s.routes {
                    let target = route.target_schema();
                    self.keep_document(("schema", target.id(), target.document()), commit)?;
                    self.keep_document(("policy", route.policy().id(), route.policy().document()), commit)?;
                    if let Some(mapping) = route.mapping() {
                        self.keep_document(("mapping", mapping.id(), mapping.document()), commit)?;
                    }
                }
            }
            for r in &dataset.recipients {
                self.keep_document(("mapping-set", &r.name, &r.mapping_set), commit)?;
            }
        }
        Ok(())
    }

    /// Notes what streams are made with from now on.
    pub(super) fn describe_streams(&self, rules: &Rules, commit: &mut Commit<'_>) -> Result<(), CommitError> {
        for dataset in rules.plan.datasets() {
            for r in &dataset.recipients {
                let d = &r.description;
                let head = self.head(&r.daily);
                if head.and_then(|h| h.descriptions.last().cloned()).as_ref() == Some(d) {
                    continue;
                }
                let digest = d.mapping_digest.parse().ok();
                let change = Change {
                    events: vec![Event::Described { stream: r.daily.clone(), description: d.clone() }],
                    items: Vec::new(),
                    entry: Some(entries::configuration(
                        self,
                        "stream",
                        r.daily.as_str(),
                        digest,
                        "configuration",
                    )),
                };
                commit(change)?;
            }
        }
        Ok(())
    }

    fn keep_document(
        &self,
        (what, name, bytes): (&str, &str, &[u8]),
        commit: &mut Commit<'_>,
    ) -> Result<(), CommitError> {
        let digest = xinqiao_evidence::Digest::of(bytes);
        let key = digest.to_hex();
        if matches!(self.queue().get(Table::Document as u8, key.as_bytes()), Ok(Some(_))) {
            return Ok(());
        }
        let change = Change {
            events: vec![Event::Document { digest: key, item: 0 }],
            items: vec![Item { kind: Kind::Evidence, aad: DOCUMENT_AAD.to_vec(), bytes: bytes.to_vec() }],
            entry: Some(entries::configuration(self, what, name, Some(digest), "configuration")),
        };
        commit(change)
    }

    /// A schema, mapping or policy that was in force, by its digest.
    pub fn document(&self, digest: &str) -> Option<Vec<u8>> {
        let place = self.queue().get(Table::Document as u8, digest.as_bytes()).ok()??;
        let place = serde_json::from_slice(&place).ok()?;
        self.reader.read(super::places::reference(place), DOCUMENT_AAD).ok()
    }
}
