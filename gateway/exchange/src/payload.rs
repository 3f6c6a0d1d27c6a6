//! Compressing and decompressing chunks. Frames of zstd and members of gzip concatenate, so a batch is the chunks
//! one after another.

use crate::event::Encoding;
use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use std::io::Read;

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
    static DEFLATE: std::cell::RefCell<Option<Compress>> = const { std::cell::RefCell::new(None) };
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
        Encoding::Gzip => DEFLATE.with(|cell| {
            let mut slot = cell.borrow_mut();
            gzip(slot.get_or_insert_with(|| Compress::new(Compression::new(1), false)), raw)
        }),
    }
}

/// One member of RFC 1952, no name, no time, by a compressor whose tables (a quarter of a megabyte) are kept.
fn gzip(deflate: &mut Compress, raw: &[u8]) -> Vec<u8> {
    const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 0xff];
    deflate.reset();
    let mut out = Vec::with_capacity(raw.len() / 4 + 64);
    out.extend_from_slice(&HEAD);
    loop {
        let taken = usize::try_from(deflate.total_in()).expect("it was given a slice");
        let status = deflate.compress_vec(&raw[taken..], &mut out, FlushCompress::Finish);
        match status.expect("deflate takes any bytes") {
            Status::StreamEnd => break,
            Status::Ok | Status::BufError => out.reserve(out.capacity() / 2 + 64),
        }
    }
    let mut crc = Crc::new();
    crc.update(raw);
    out.extend_from_slice(&crc.sum().to_le_bytes());
    // The length modulo 2^32, as the format wants it.
    out.extend_from_slice(&(raw.len() as u32).to_le_bytes());
    out
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
    fn a_kept_compressor_repeats_itself_whatever_came_between() {
        let noise: Vec<u8> = (0..200_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let first = compress(Encoding::Gzip, b"line\n");
        for raw in [&noise[..], b"", &[b'x'; 300_000]] {
            let packed = compress(Encoding::Gzip, raw);
            let mut back = Vec::new();
            decompress(Encoding::Gzip, &packed, &mut back).unwrap();
            assert_eq!(back, raw);
        }
        assert_eq!(compress(Encoding::Gzip, b"line\n"), first);
    }

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
