//! Compressing and decompressing chunks. Frames of zstd and members of gzip concatenate, so a batch is the chunks
//! one after another.

use crate::event::Encoding;
use std::io::{Read, Write};

/// The most a decoded batch may hold; sealing stays far below it.
pub const RAW_CAP: u64 = 256 << 20;

/// A payload that does not decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayloadDamaged;

impl std::fmt::Display for PayloadDamaged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a stored payload does not decode")
    }
}
impl std::error::Error for PayloadDamaged {}

thread_local! {
    static ZSTD: std::cell::RefCell<Option<zstd::bulk::Compressor<'static>>> = const { std::cell::RefCell::new(None) };
}

/// Compresses lines into one frame or member.
pub fn compress(encoding: Encoding, raw: &[u8]) -> Vec<u8> {
    match encoding {
        Encoding::Identity => raw.to_vec(),
        Encoding::Zstd => ZSTD.with(|cell| {
            let mut slot = cell.borrow_mut();
            let compressor =
                slot.get_or_insert_with(|| zstd::bulk::Compressor::new(1).expect("level 1 exists"));
            compressor.compress(raw).expect("memory to memory compression has room")
        }),
        Encoding::Gzip => {
            let mut w =
                flate2::write::GzEncoder::new(Vec::with_capacity(raw.len() / 4), flate2::Compression::new(1));
            w.write_all(raw).and_then(|()| w.finish()).expect("writing to memory does not fail")
        }
    }
}

/// Decodes all frames or members.
pub fn decompress(encoding: Encoding, bytes: &[u8], raw: &mut Vec<u8>) -> Result<(), PayloadDamaged> {
    let before = raw.len() as u64;
    let read = match encoding {
        Encoding::Identity => {
            raw.extend_from_slice(bytes);
            return Ok(());
        }
        Encoding::Zstd => {
            let d = zstd::stream::read::Decoder::with_buffer(bytes).map_err(|_| PayloadDamaged)?;
            d.take(RAW_CAP).read_to_end(raw)
        }
        Encoding::Gzip => flate2::read::MultiGzDecoder::new(bytes).take(RAW_CAP).read_to_end(raw),
    };
    read.map_err(|_| PayloadDamaged)?;
    if raw.len() as u64 - before >= RAW_CAP { Err(PayloadDamaged) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_concatenate() {
        for e in [Encoding::Zstd, Encoding::Gzip, Encoding::Identity] {
            let mut joined = compress(e, b"one\n");
            joined.extend(compress(e, b"two\n"));
            let mut raw = Vec::new();
            decompress(e, &joined, &mut raw).unwrap();
            assert_eq!(raw, b"one\ntwo\n");
        }
        let mut cut = compress(Encoding::Zstd, &[b'x'; 4096]);
        cut.truncate(cut.len() - 3);
        assert_eq!(decompress(Encoding::Zstd, &cut, &mut Vec::new()), Err(PayloadDamaged));
    }
}
