//! The manifest: which runs there are and through which position of the journal they cover it. It is replaced whole, so
//! that a crash leaves the one before or the one after; a run it does not name is garbage.
//!
//! ```text
//! "XQRG", version, suite, 0, 0 │ id of its key (16) │ sealed: covered?, position, next number, runs │ tag (16)
//! ```

use std::fs;

use xinqiao_crypto::random::unique;

use super::directory::Directory;
use super::error::RegisterError;
use super::run::RunFacts;
use crate::bytes::{Put, Take};
use crate::cipher::{SUITE, nonce};
use crate::keys::{Purpose, WrappedKey, session_key};
use crate::{AtRestKeys, Position};

const MAGIC: [u8; 8] = [b'X', b'Q', b'R', b'G', 1, SUITE, 0, 0];
const HEADER: usize = 8 + 16;
const FIXED: usize = 1 + 16 + 8;
const RUN: usize = 8 + 16 + 1 + 4 + 4 + 8;

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Manifest {
    pub(super) through: Option<Position>,
    /// A number no run had yet.
    pub(super) next: u64,
    /// The newest first.
    pub(super) runs: Vec<RunFacts>,
}

impl Manifest {
    /// Reads the manifest and the register's key.
    pub(super) fn read(dir: &Directory, keys: &AtRestKeys) -> Result<(Self, WrappedKey), RegisterError> {
        let master = WrappedKey::read(&dir.key(), Purpose::Register, 0, keys)?;
        let path = dir.manifest();
        let mut file = fs::read(&path).map_err(|error| RegisterError::reading(&path, error))?;
        let manifest = Self::parse(&mut file, &master).ok_or(RegisterError::Damaged(path))?;
        Ok((manifest, master))
    }

    /// A new key, and a manifest without runs.
    pub(super) fn create(dir: &Directory, keys: &AtRestKeys) -> Result<(Self, WrappedKey), RegisterError> {
        let (manifest, master) = (Self { through: None, next: 1, runs: Vec::new() }, WrappedKey::generate());
        write_key(dir, &master, keys)?;
        manifest.write(dir, &master)?;
        Ok((manifest, master))
    }

    /// Replaces the manifest durably. After an error the one before or this one may be there.
    pub(super) fn write(&self, dir: &Directory, master: &WrappedKey) -> Result<(), RegisterError> {
        let mut header = [0; HEADER];
        let id: [u8; 16] = unique();
        Put(&mut header, 0).bytes(&MAGIC).bytes(&id);
        let mut body = vec![0; FIXED + RUN * self.runs.len()];
        let position = self.through.map_or([0; 16], Position::to_bytes);
        let mut put = Put(&mut body, 0);
        put.u8(u8::from(self.through.is_some())).bytes(&position).u64(self.next);
        for run in &self.runs {
            put.u64(run.number).bytes(&run.id).u8(run.level).u32(run.pages).u32(run.blocks).u64(run.entries);
        }
        let tag = session_key(&master.key, &id).seal(nonce(0, 0), &header, &mut body);
        dir.replace(&dir.manifest(), &[&header[..], &body, &tag].concat())
    }

    fn parse(file: &mut [u8], master: &WrappedKey) -> Option<Self> {
        let (header, sealed) = file.split_at_mut_checked(HEADER)?;
        let mut take = Take(header);
        if take.array()? != MAGIC {
            return None;
        }
        let body = session_key(&master.key, &take.array()?).open(nonce(0, 0), header, sealed)?;
        let mut take = Take(body);
        let (covered, position, next) = (take.u8()?, take.array()?, take.u64()?);
        let through = (covered == 1).then(|| Position::from_bytes(&position));
        let mut runs = Vec::new();
        while !take.0.is_empty() {
            runs.push(RunFacts {
                number: take.u64()?,
                id: take.array()?,
                level: take.u8()?,
                pages: take.u32()?,
                blocks: take.u32()?,
                entries: take.u64()?,
            });
        }
        Some(Self { through, next, runs })
    }
}

/// Writes the register's key, wrapped by the current at-rest key.
pub(super) fn write_key(
    dir: &Directory,
    master: &WrappedKey,
    keys: &AtRestKeys,
) -> Result<(), RegisterError> {
    dir.replace(&dir.key(), &master.side_file(Purpose::Register, 0, keys))
}
