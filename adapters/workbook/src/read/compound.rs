//! Compound files (MS-CFB): the old `.xls`, and the case in which a workbook with a password is kept.

use std::io::Read;

use crate::fault::{self, Fault, Problem};

pub(crate) const SIGNATURE: &[u8] = &[0xD0, 0xCF, 0x11, 0xE0, 0xA1, 0xB1, 0x1A, 0xE1];

/// What a compound file is, by the name of a stream that a workbook with a password has.
pub(crate) fn kind<R: Read>(source: R, limit: u64) -> Result<&'static Problem, Fault> {
    let name: Vec<u8> = "EncryptedPackage".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut source = source.take(limit);
    let mut block = Vec::new();
    loop {
        block.clear();
        let read = source.by_ref().take(64 << 10).read_to_end(&mut block);
        read.map_err(|_| Fault::of_file(&fault::FILE_UNREADABLE))?;
        if block.is_empty() {
            return Ok(&fault::FILE_XLS);
        }
        // Entries of the directory begin at multiples of 128 bytes, so none lies across two blocks.
        if block.chunks(128).any(|entry| entry.starts_with(&name)) {
            return Ok(&fault::FILE_PASSWORD);
        }
    }
}
