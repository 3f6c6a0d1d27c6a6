//! At-rest keys and the data keys they wrap. An at-rest key encrypts nothing but data keys, each in a small side file,
//! so that rotating it rewrites those files only, and destroying a side file erases what its key sealed.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use xinqiao_crypto::random::unique;
use xinqiao_crypto::{MacKey, Secret, sha256};
use zeroize::{Zeroize, Zeroizing};

use crate::bytes::{Put, Take};
use crate::cipher::{DataKey, SUITE, TAG, nonce};
use crate::durable;

/// The keys that wrap data keys: one is current, older ones still open what they wrapped. Never printed.
#[derive(Clone)]
pub struct AtRestKeys {
    current: u32,
    keys: BTreeMap<u32, Secret>,
}

const KEYS_MAGIC: &[u8; 8] = b"XQKEYS\x00\x01";

impl AtRestKeys {
    /// One new random key, with id 1.
    pub fn generate() -> Self {
        Self { current: 1, keys: BTreeMap::from([(1, Secret::random())]) }
    }

    /// A single key from elsewhere (a key management system, an environment).
    pub fn from_key(id: u32, key: [u8; 32]) -> Self {
        Self { current: id, keys: BTreeMap::from([(id, Secret::from(key))]) }
    }

    /// Adds an older key, which opens but does not wrap.
    pub fn add(&mut self, id: u32, key: [u8; 32]) {
        self.keys.insert(id, Secret::from(key));
    }

    /// Adds a new random key and makes it current. Store the result before it is used, then call
    /// [`crate::Journal::rewrap`], [`crate::Queue::rewrap`] and [`crate::Register::rewrap`]; only then may the older key
    /// be forgotten.
    pub fn rotate(&mut self) -> u32 {
        let id = self.keys.last_key_value().map_or(1, |(id, _)| id.checked_add(1).expect("ids are few"));
        self.keys.insert(id, Secret::random());
        self.current = id;
        id
    }

    /// Drops an older key; `false` if it is the current one or unknown.
    pub fn forget(&mut self, id: u32) -> bool {
        id != self.current && self.keys.remove(&id).is_some()
    }

    /// Id of the key that wraps.
    pub fn current(&self) -> u32 {
        self.current
    }

    /// Ids of all keys, ascending.
    pub fn ids(&self) -> impl Iterator<Item = u32> {
        self.keys.keys().copied()
    }

    /// All keys as bytes for a key file. This is the secret itself.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(8 + 8 + self.keys.len() * 36 + 8));
        bytes.extend_from_slice(KEYS_MAGIC);
        bytes.extend_from_slice(&self.current.to_le_bytes());
        bytes.extend_from_slice(&u32::try_from(self.keys.len()).expect("keys are few").to_le_bytes());
        for (id, key) in &self.keys {
            bytes.extend_from_slice(&id.to_le_bytes());
            bytes.extend_from_slice(&key[..]);
        }
        let check = sha256(&bytes);
        bytes.extend_from_slice(&check[..8]);
        bytes
    }

    /// The inverse of [`AtRestKeys::to_bytes`]; `None` if the bytes are damaged or of another version.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (body, check) = bytes.split_at_checked(bytes.len().checked_sub(8)?)?;
        if sha256(body)[..8] != *check {
            return None;
        }
        let mut take = Take(body);
        if take.array()? != *KEYS_MAGIC {
            return None;
        }
        let (current, count) = (take.u32()?, take.u32()?);
        let mut keys = BTreeMap::new();
        for _ in 0..count {
            let id = take.u32()?;
            keys.insert(id, Secret::from(take.array()?));
        }
        (take.0.is_empty() && keys.contains_key(&current)).then_some(Self { current, keys })
    }
}

impl std::fmt::Debug for AtRestKeys {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "AtRestKeys {{ current: {}, others: {} }}", self.current, self.keys.len() - 1)
    }
}

/// What a wrapped key seals; bound into the wrapping so that side files cannot be exchanged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    Segment = 1,
    Archive = 2,
    Queue = 3,
    Index = 4,
    Register = 5,
}

/// A random 32-byte key, wrapped on disk.
pub(crate) struct WrappedKey {
    pub(crate) id: [u8; 16],
    pub(crate) key: Secret,
}

/// A wrapped key that cannot be opened.
#[derive(Debug)]
pub(crate) enum KeyFault {
    Io(PathBuf, io::Error),
    /// No at-rest key with this id was given.
    Unknown(PathBuf, u32),
    /// Damaged, of another version, or wrapped by another key with the same id.
    Damaged(PathBuf),
}

const FILE: usize = 4 + 4 + 4 + 8 + 16 + 12 + 32 + TAG + 4;
const BOUND: usize = 36;

impl WrappedKey {
    pub(crate) fn generate() -> Self {
        Self { id: unique(), key: Secret::random() }
    }

    pub(crate) fn data_key(&self) -> DataKey {
        DataKey::new(&self.key)
    }

    /// Writes the side file, durably.
    pub(crate) fn write(
        &self,
        path: &Path,
        purpose: Purpose,
        number: u64,
        keys: &AtRestKeys,
    ) -> io::Result<()> {
        durable::replace(path, &self.side_file(purpose, number, keys))
    }

    /// The bytes of the side file.
    pub(crate) fn side_file(&self, purpose: Purpose, number: u64, keys: &AtRestKeys) -> [u8; FILE] {
        let mut file = [0; FILE];
        let mut put = Put(&mut file, 0);
        put.bytes(b"XQDK")
            .u8(1)
            .u8(SUITE)
            .u8(purpose as u8)
            .u8(0)
            .u32(keys.current)
            .u64(number)
            .bytes(&self.id);
        let wrapping = DataKey::new(keys.keys.get(&keys.current).expect("the current key is among the keys"));
        let nonce = unique();
        let mut key = Zeroizing::new(*self.key);
        let tag = wrapping.seal(nonce, &file[..BOUND], &mut key[..]);
        Put(&mut file, BOUND).bytes(&nonce).bytes(&key[..]).bytes(&tag);
        let check = crc32fast::hash(&file[..FILE - 4]);
        Put(&mut file, FILE - 4).u32(check);
        file
    }

    /// Reads and opens the side file.
    pub(crate) fn read(
        path: &Path,
        purpose: Purpose,
        number: u64,
        keys: &AtRestKeys,
    ) -> Result<Self, KeyFault> {
        let mut file = fs::read(path).map_err(|error| KeyFault::Io(path.to_owned(), error))?;
        Self::parse(&mut file, purpose, number, keys).map_err(|unknown| match unknown {
            Some(id) => KeyFault::Unknown(path.to_owned(), id),
            None => KeyFault::Damaged(path.to_owned()),
        })
    }

    fn parse(file: &mut [u8], purpose: Purpose, number: u64, keys: &AtRestKeys) -> Result<Self, Option<u32>> {
        if file.len() != FILE || crc32fast::hash(&file[..FILE - 4]).to_le_bytes() != file[FILE - 4..] {
            return Err(None);
        }
        let mut take = Take(file);
        let header: [u8; 8] = take.array().ok_or(None)?;
        let at_rest = take.u32().ok_or(None)?;
        let bound_number = take.u64().ok_or(None)?;
        let id = take.array().ok_or(None)?;
        let nonce = take.array().ok_or(None)?;
        if header != [b'X', b'Q', b'D', b'K', 1, SUITE, purpose as u8, 0] || bound_number != number {
            return Err(None);
        }
        let wrapping = keys.keys.get(&at_rest).ok_or(Some(at_rest))?;
        let (bound, sealed) = file.split_at_mut(BOUND);
        let opened = DataKey::new(wrapping).open(nonce, bound, &mut sealed[12..12 + 32 + TAG]).ok_or(None)?;
        let key = Secret::from_slice(opened).expect("a wrapped key has 32 bytes");
        opened.zeroize();
        Ok(Self { id, key })
    }

    /// Wraps the key in `path` by the current at-rest key; `false` if it already is.
    pub(crate) fn rewrap(
        path: &Path,
        purpose: Purpose,
        number: u64,
        keys: &AtRestKeys,
    ) -> Result<bool, KeyFault> {
        let file = fs::read(path).map_err(|error| KeyFault::Io(path.to_owned(), error))?;
        let wrapped = Self::read(path, purpose, number, keys)?;
        if file.get(8..12) == Some(&keys.current.to_le_bytes()) {
            return Ok(false);
        }
        wrapped.write(path, purpose, number, keys).map_err(|error| KeyFault::Io(path.to_owned(), error))?;
        Ok(true)
    }
}

/// The key of one session of the queue, or of one file of the register: those never share nonces, whatever was restored
/// in between, as their ids are random.
pub(crate) fn session_key(master: &[u8; 32], session: &[u8; 16]) -> DataKey {
    DataKey::new(&Secret::from(MacKey::new(master).sign(session)))
}

/// A nonce for the counter of a queue session.
pub(crate) fn session_nonce(counter: u64) -> [u8; 12] {
    nonce(counter, 0)
}
