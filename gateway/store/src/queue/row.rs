//! Rows as sled holds them: key = marker, table, caller's key; value = version, session, counter, ciphertext, tag.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use xinqiao_crypto::Secret;
use xinqiao_crypto::random::unique;

use super::Writer;
use crate::Position;
use crate::cipher::{DataKey, TAG};
use crate::keys::{session_key, session_nonce};

/// Key of the row that carries the position and the sum.
pub(super) const META: &[u8] = &[0];
const ROW: u8 = 1;
const VERSION: u8 = 1;
const PREFIX: usize = 1 + 16 + 8;
const META_LEN: usize = 16 + 16 + 8;

pub(super) fn key_of(table: u8, key: &[u8]) -> Vec<u8> {
    let mut full = Vec::with_capacity(2 + key.len());
    full.extend_from_slice(&[ROW, table]);
    full.extend_from_slice(key);
    full
}

/// The first key after all of `table`.
pub(super) fn after_table(table: u8) -> Vec<u8> {
    table.checked_add(1).map_or_else(|| vec![ROW + 1], |next| vec![ROW, next])
}

pub(super) fn caller_key(key: &[u8]) -> &[u8] {
    key.get(2..).unwrap_or_default()
}

/// The seal tag of a stored value; `None` if it is too short for a value of this version.
pub(super) fn tag_of(sealed: &[u8]) -> Option<u128> {
    if sealed.len() < PREFIX + TAG || sealed[0] != VERSION {
        return None;
    }
    sealed.last_chunk().map(|tag| u128::from_le_bytes(*tag))
}

pub(super) fn encode_meta(writer: &Writer) -> [u8; META_LEN] {
    let mut bytes = [0; META_LEN];
    let applied = writer.applied.expect("a write names its position");
    bytes[..16].copy_from_slice(&applied.to_bytes());
    bytes[16..32].copy_from_slice(&writer.sum.to_le_bytes());
    bytes[32..].copy_from_slice(&writer.rows.to_le_bytes());
    bytes
}

pub(super) fn decode_meta(bytes: &[u8]) -> Option<Writer> {
    let bytes: &[u8; META_LEN] = bytes.try_into().ok()?;
    let applied = Position::from_bytes(bytes.first_chunk()?);
    let sum = u128::from_le_bytes(bytes[16..32].try_into().ok()?);
    let rows = u64::from_le_bytes(bytes[32..].try_into().ok()?);
    Some(Writer { applied: Some(applied), sum, rows })
}

/// Seals and opens values. Each opening of the queue draws a session with a key of its own, so that counters never
/// repeat a nonce even when an older copy of the queue is put back.
pub(super) struct Sealer {
    master: Secret,
    session: [u8; 16],
    key: DataKey,
    counter: AtomicU64,
    earlier: RwLock<HashMap<[u8; 16], Arc<DataKey>>>,
}

/// Keys of earlier sessions kept ready.
const MAX_SESSIONS: usize = 1024;

impl Sealer {
    pub(super) fn new(master: Secret) -> Self {
        let session = unique();
        let key = session_key(&master, &session);
        Self { master, session, key, counter: AtomicU64::new(0), earlier: RwLock::new(HashMap::new()) }
    }

    pub(super) fn seal(&self, key: &[u8], value: &[u8]) -> Vec<u8> {
        let counter = self.counter.fetch_add(1, Ordering::Relaxed);
        let mut sealed = Vec::with_capacity(PREFIX + value.len() + TAG);
        sealed.push(VERSION);
        sealed.extend_from_slice(&self.session);
        sealed.extend_from_slice(&counter.to_be_bytes());
        sealed.extend_from_slice(value);
        let tag = self.key.seal(session_nonce(counter), key, &mut sealed[PREFIX..]);
        sealed.extend_from_slice(&tag);
        sealed
    }

    pub(super) fn open(&self, key: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        tag_of(sealed)?;
        let session: [u8; 16] = sealed[1..17].try_into().ok()?;
        let counter = u64::from_be_bytes(sealed[17..PREFIX].try_into().ok()?);
        let mut value = sealed[PREFIX..].to_vec();
        if session == self.session {
            self.key.open(session_nonce(counter), key, &mut value)?;
        } else {
            self.earlier(session).open(session_nonce(counter), key, &mut value)?;
        }
        value.truncate(value.len() - TAG);
        Some(value)
    }

    fn earlier(&self, session: [u8; 16]) -> Arc<DataKey> {
        if let Some(key) = self.earlier.read().get(&session) {
            return key.clone();
        }
        let key = Arc::new(session_key(&self.master, &session));
        let mut earlier = self.earlier.write();
        if earlier.len() >= MAX_SESSIONS {
            earlier.clear();
        }
        earlier.insert(session, key.clone());
        key
    }
}

/// What an error of sled says, without file contents.
pub(super) fn describe(error: &sled::Error) -> String {
    match error {
        sled::Error::Io(error) => format!("sled: {}", error.kind()),
        sled::Error::Corruption { .. } => "sled: damaged".to_owned(),
        sled::Error::Unsupported(_) => "sled: unsupported or of another version".to_owned(),
        sled::Error::CollectionNotFound(_) => "sled: tree not found".to_owned(),
        sled::Error::ReportableBug(_) => "sled: internal fault".to_owned(),
    }
}
