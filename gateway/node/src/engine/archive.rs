//! What the node keeps about certificates: each chain a member connected with, each trust anchor and revocation list that
//! was in force, under its digest for the evidence years; and which chain each member was last seen with.

use super::documents::DOCUMENT_AAD;
use super::{CommitError, Node, entries, rows};
use std::collections::BTreeMap;
use xinqiao_evidence::Digest;
use xinqiao_evidence::keys::Jwks;
use xinqiao_exchange::event::Event;
use xinqiao_exchange::group::{Change, Item, Kind};
use xinqiao_exchange::state::{SeenRow, Table};

/// A document beyond this is named in the log by its digest, and not kept.
const LARGEST: usize = 16 << 20;

impl Node {
    /// Notes that something took effect, and keeps it under its digest. What is known already is not noted again. Blocks.
    pub fn archive(&self, what: &str, name: &str, bytes: &[u8], by: &str) -> Result<(), CommitError> {
        let digest = Digest::of(bytes);
        if self.archived(&digest) {
            return Ok(());
        }
        let (events, items) = match bytes.len() <= LARGEST {
            true => kept(&digest, bytes),
            false => (Vec::new(), Vec::new()),
        };
        let entry = Some(entries::configuration(self, what, name, Some(digest), by));
        self.change_blocking(Change { events, items, entry }, |_| true).map(drop)
    }

    /// Notes that something changed which is not kept. Blocks.
    pub fn note_change(
        &self,
        what: &str,
        name: &str,
        digest: Option<Digest>,
        by: &str,
    ) -> Result<(), CommitError> {
        let entry = Some(entries::configuration(self, what, name, digest, by));
        self.change_blocking(Change { entry, ..Change::default() }, |_| true).map(drop)
    }

    /// Notes that a member was seen with a chain, and keeps the chain if it is new. Blocks.
    pub fn note_seen(&self, member: &str, pem: &str, issued: i64, time: i64) -> Result<(), CommitError> {
        let digest = Digest::of(pem.as_bytes());
        let seen =
            Event::CertificateSeen { member: member.to_owned(), digest: digest.to_hex(), issued, time };
        let mut change = Change { events: vec![seen], ..Change::default() };
        if !self.archived(&digest) {
            let (events, items) = kept(&digest, pem.as_bytes());
            change.events.extend(events);
            change.items = items;
            change.entry =
                Some(entries::configuration(self, "certificate", member, Some(digest), "connection"));
        }
        self.change_blocking(change, |_| true).map(drop)
    }

    /// Members with the chains they were seen with: row and PEM.
    pub fn seen_certificates(&self) -> Vec<(String, SeenRow, Vec<u8>)> {
        let mut all = Vec::new();
        for (member, row) in rows::all(&self.queue(), Table::Seen).unwrap_or_default() {
            let Ok(member) = String::from_utf8(member) else { continue };
            let seen: Vec<SeenRow> = serde_json::from_slice(&row).unwrap_or_default();
            for row in seen {
                if let Some(pem) = self.document(&row.digest) {
                    all.push((member.clone(), row, pem));
                }
            }
        }
        all
    }

    /// From now on recipients' answers are verified with these keys.
    pub fn set_acknowledgement_keys(&self, keys: BTreeMap<String, Jwks>) {
        *self.acknowledgement_keys.write() = keys;
    }

    /// Notes what something is, if it was noted otherwise before. Blocks.
    pub fn note(&self, subject: &str, value: &str) -> Result<(), CommitError> {
        if self.noted(subject).as_deref() == Some(value) {
            return Ok(());
        }
        let events = vec![Event::Noted { subject: subject.to_owned(), value: value.to_owned() }];
        self.change_blocking(Change { events, ..Change::default() }, |_| true).map(drop)
    }

    /// What was noted of something last, in this run or an earlier one.
    pub fn noted(&self, subject: &str) -> Option<String> {
        let row = self.queue().get(Table::Noted as u8, subject.as_bytes()).ok()??;
        serde_json::from_slice(&row).ok()
    }

    fn archived(&self, digest: &Digest) -> bool {
        matches!(self.queue().get(Table::Document as u8, digest.to_hex().as_bytes()), Ok(Some(_)))
    }
}

fn kept(digest: &Digest, bytes: &[u8]) -> (Vec<Event>, Vec<Item>) {
    let event = Event::Document { digest: digest.to_hex(), item: 0 };
    let item = Item { kind: Kind::Evidence, aad: DOCUMENT_AAD.to_vec(), bytes: bytes.to_vec() };
    (vec![event], vec![item])
}
