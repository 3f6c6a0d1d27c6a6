//! The check of a payload against its manifest, in one pass over bytes that come in pieces.

use std::fmt;

use super::decode::{Decoder, Undecodable};
use super::{Manifest, UnauthenticatedManifest, VerifiedManifest};
use crate::digest::{Digest, Hasher};
use crate::explain::explained;
use crate::merkle::{self, Frontier};

explained! {
    /// A payload is not what its manifest says.
    pub enum PayloadError {
        /// The manifest announces more than the reader accepts.
        TooLarge {
            /// Decoded bytes announced.
            announced: u64,
            /// Decoded bytes accepted.
            cap: u64
        } => "payload.too-large", "the manifest announces {announced} decoded bytes, more than the limit of {cap}; raise the limit or ask for smaller batches",
             "清单声明解码后 {announced} 字节，超过上限 {cap}；请提高上限或要求更小的批次";
        /// Not of the announced encoding, or cut.
        Undecodable => "payload.undecodable", "the payload does not decode as its media type (gzip members, zstd frames with a window of at most 8 MiB): fetch it again",
                       "负载无法按其媒体类型解码（gzip 成员，或窗口不超过 8 MiB 的 zstd 帧）：请重新获取";
        /// More or fewer transferred bytes.
        Bytes {
            /// As announced.
            expected: u64
        } => "payload.bytes", "the payload does not have the {expected} bytes announced: it is cut or lengthened; fetch it again", "负载不是声明的 {expected} 字节：被截断或增长；请重新获取";
        /// More or fewer decoded bytes.
        RawBytes {
            /// As announced.
            expected: u64
        } => "payload.raw-bytes", "the payload does not decode to the {expected} bytes announced: some frames or members are missing or added",
             "负载解码后不是声明的 {expected} 字节：缺少或多出某些帧或成员";
        /// Another digest.
        Digest => "payload.digest", "the payload's SHA-256 is not the manifest's: it was altered or damaged; fetch it again", "负载的 SHA-256 与清单不符：被篡改或损坏；请重新获取";
        /// A line is empty, too long or without LF.
        Line {
            /// From 0.
            line: u64
        } => "payload.line", "line {line} (from 0) is empty, longer than the limit, or without its LF", "第 {line} 行（从 0 起）为空、超过长度上限或缺少换行符 LF";
        /// More or fewer lines.
        Records {
            /// As announced.
            expected: u64
        } => "payload.records", "the payload does not have the {expected} lines announced", "负载不是声明的 {expected} 行";
        /// Another root.
        Root => "payload.records-root", "the Merkle root over the lines is not the manifest's: lines were altered", "各行的 Merkle 树根与清单不符：行被改动";
    }
}

impl From<Undecodable> for PayloadError {
    fn from(_: Undecodable) -> Self {
        Self::Undecodable
    }
}

/// What a reader accepts, whatever a manifest announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Decoded bytes in a payload.
    pub raw_bytes: u64,
    /// Bytes in a line.
    pub line: usize,
}

impl Default for Limits {
    /// 4 GiB in lines of up to 4 MiB. Memory does not grow with the first.
    fn default() -> Self {
        Self { raw_bytes: 4 << 30, line: 4 << 20 }
    }
}

/// Takes a payload's bytes as they arrive, gives its lines as they become whole, and says at the end whether all of it is
/// what the manifest describes. Lines come out *before* that: keep them aside until [`PayloadVerifier::finish`] agrees.
pub struct PayloadVerifier {
    expected: Expected,
    max_line: usize,
    decoder: Decoder,
    hasher: Hasher,
    bytes: u64,
    lines: Lines,
}

struct Expected {
    bytes: u64,
    raw_bytes: u64,
    records: u64,
    digest: Digest,
    root: Digest,
    manifest: Digest,
    authenticated: bool,
}

#[derive(Default)]
struct Lines {
    raw_bytes: u64,
    count: u64,
    /// The start of a line whose end has not come.
    partial: Vec<u8>,
    tree: Frontier,
}

impl PayloadVerifier {
    /// For the payload of a verified manifest.
    pub fn new(manifest: &VerifiedManifest, limits: Limits) -> Result<Self, PayloadError> {
        Self::start(manifest.manifest(), manifest.digest(), true, limits)
    }

    /// For the payload of a manifest that nobody authenticated; says only that the two belong together.
    pub fn unauthenticated(manifest: &UnauthenticatedManifest, limits: Limits) -> Result<Self, PayloadError> {
        Self::start(manifest.manifest(), manifest.digest(), false, limits)
    }

    fn start(
        manifest: &Manifest,
        digest: Digest,
        authenticated: bool,
        limits: Limits,
    ) -> Result<Self, PayloadError> {
        let payload = &manifest.payload;
        if payload.raw_bytes > limits.raw_bytes {
            return Err(PayloadError::TooLarge { announced: payload.raw_bytes, cap: limits.raw_bytes });
        }
        Ok(Self {
            expected: Expected {
                bytes: payload.bytes,
                raw_bytes: payload.raw_bytes,
                records: manifest.records,
                digest: payload.digest.sha256,
                root: manifest.records_root.sha256,
                manifest: digest,
                authenticated,
            },
            max_line: limits.line,
            decoder: Decoder::new(payload.media_type).map_err(|_| PayloadError::Undecodable)?,
            hasher: Hasher::new(),
            bytes: 0,
            lines: Lines::default(),
        })
    }

    /// Takes the next transferred bytes; `line` gets each whole line with its number from 0, without LF.
    pub fn feed(&mut self, bytes: &[u8], mut line: impl FnMut(u64, &[u8])) -> Result<(), PayloadError> {
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        if self.bytes > self.expected.bytes {
            return Err(PayloadError::Bytes { expected: self.expected.bytes });
        }
        self.hasher.update(bytes);
        let (lines, expected, max_line) = (&mut self.lines, &self.expected, self.max_line);
        self.decoder.decode(bytes, |raw| lines.take(raw, expected, max_line, &mut line))
    }

    /// Whether everything was what the manifest says.
    pub fn finish(self) -> Result<VerifiedPayload, PayloadError> {
        let expected = &self.expected;
        if self.bytes != expected.bytes {
            return Err(PayloadError::Bytes { expected: expected.bytes });
        }
        if self.hasher.finish() != expected.digest {
            return Err(PayloadError::Digest);
        }
        if !self.decoder.is_complete() {
            return Err(PayloadError::Undecodable);
        }
        if self.lines.raw_bytes != expected.raw_bytes {
            return Err(PayloadError::RawBytes { expected: expected.raw_bytes });
        }
        if !self.lines.partial.is_empty() {
            return Err(PayloadError::Line { line: self.lines.count });
        }
        if self.lines.count != expected.records {
            return Err(PayloadError::Records { expected: expected.records });
        }
        if self.lines.tree.root() != expected.root {
            return Err(PayloadError::Root);
        }
        Ok(VerifiedPayload {
            manifest: expected.manifest,
            records: expected.records,
            authenticated: expected.authenticated,
        })
    }
}

impl fmt::Debug for PayloadVerifier {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "PayloadVerifier({} of {} bytes, {} lines)",
            self.bytes, self.expected.bytes, self.lines.count
        )
    }
}

impl Lines {
    fn take(
        &mut self,
        raw: &[u8],
        expected: &Expected,
        max_line: usize,
        line: &mut impl FnMut(u64, &[u8]),
    ) -> Result<(), PayloadError> {
        self.raw_bytes += raw.len() as u64;
        if self.raw_bytes > expected.raw_bytes {
            return Err(PayloadError::RawBytes { expected: expected.raw_bytes });
        }
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', raw) {
            let piece = &raw[start..end];
            start = end + 1;
            if self.partial.is_empty() {
                self.whole(piece, expected, max_line, line)?;
            } else {
                let mut joined = std::mem::take(&mut self.partial);
                joined.extend_from_slice(piece);
                self.whole(&joined, expected, max_line, line)?;
                joined.clear();
                self.partial = joined;
            }
        }
        let rest = &raw[start..];
        if self.partial.len() + rest.len() > max_line {
            return Err(PayloadError::Line { line: self.count });
        }
        self.partial.extend_from_slice(rest);
        Ok(())
    }

    fn whole(
        &mut self,
        text: &[u8],
        expected: &Expected,
        max_line: usize,
        line: &mut impl FnMut(u64, &[u8]),
    ) -> Result<(), PayloadError> {
        if text.is_empty() || text.len() > max_line {
            return Err(PayloadError::Line { line: self.count });
        }
        if self.count == expected.records {
            return Err(PayloadError::Records { expected: expected.records });
        }
        self.tree.append(merkle::leaf_hash(text));
        line(self.count, text);
        self.count += 1;
        Ok(())
    }
}

/// A payload is what its manifest says. Only [`PayloadVerifier::finish`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedPayload {
    manifest: Digest,
    records: u64,
    authenticated: bool,
}

impl VerifiedPayload {
    /// Digest of the manifest it belongs to.
    pub fn manifest_digest(&self) -> Digest {
        self.manifest
    }

    /// Number of lines.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Whether the manifest was verified against pinned keys.
    pub fn is_authenticated(&self) -> bool {
        self.authenticated
    }
}
