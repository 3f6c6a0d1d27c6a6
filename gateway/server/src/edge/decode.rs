//! Content-Encoding: the one place where compressed bytes become plain ones, under caps.
//!
//! Output is paid for before it is made. The first 64 KiB come out on the reactor; a longer body
//! goes on in a blocking thread, so a small bomb cannot hold a worker.

use std::io::{Cursor, Read};

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

use super::body::{Body, BodyCaps};
use super::budget::{Account, Permit};
use crate::problem::{Problem, ProblemCode};

/// Work on more bytes than this leaves the reactor.
pub const OFF_REACTOR_BYTES: usize = 64 * 1024;
/// zstd windows up to 8 MiB (RFC 9659).
const ZSTD_WINDOW_LOG: u32 = 23;
/// Below this the ratio does not matter: the absolute cap is enough.
const RATIO_FLOOR: usize = 1024 * 1024;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all.
    Identity,
    /// RFC 1952, one or more members.
    Gzip,
    /// RFC 8878, one or more frames, windows up to 8 MiB.
    Zstd,
}

impl Encoding {
    /// What the headers say.
    ///
    /// # Errors
    /// `encoding.unsupported` for anything else, and for several encodings.
    pub fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut values = headers.get_all(CONTENT_ENCODING).iter();
        let Some(value) = values.next() else {
            return Ok(Self::Identity);
        };
        let value = value.as_bytes();
        let is = |name: &str| value.eq_ignore_ascii_case(name.as_bytes());
        let encoding = if is("gzip") || is("x-gzip") {
            Self::Gzip
        } else if is("zstd") {
            Self::Zstd
        } else if is("identity") {
            Self::Identity
        } else {
            return Err(ProblemCode::EncodingUnsupported.into());
        };
        if values.next().is_some() { Err(ProblemCode::EncodingUnsupported.into()) } else { Ok(encoding) }
    }
}

/// Runs `work` here if it concerns few bytes, else in a thread that may block.
///
/// # Panics
/// Passes on a panic of `work`.
pub async fn off_reactor<T: Send + 'static>(bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> T {
    if bytes <= OFF_REACTOR_BYTES {
        return work();
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(failed) => std::panic::resume_unwind(failed.into_panic()),
    }
}

/// Decodes a whole body. The compressed bytes stay paid for until it is done.
pub(super) async fn decode(
    encoding: Encoding,
    wire: Body,
    account: &Account,
    caps: BodyCaps,
) -> Result<Body, Problem> {
    let mut decoding = Decoding::new(encoding, wire, account, caps)?;
    if decoding.advance(OFF_REACTOR_BYTES)? {
        return Ok(decoding.finish());
    }
    off_reactor(usize::MAX, move || {
        decoding.advance(usize::MAX)?;
        Ok(decoding.finish())
    })
    .await
}

/// A decoder on its way through one body.
struct Decoding {
    reader: Box<dyn Read + Send>,
    plain: Vec<u8>,
    filled: usize,
    limit: usize,
    permit: Permit,
    _wire: Permit,
}

impl Decoding {
    fn new(encoding: Encoding, wire: Body, account: &Account, caps: BodyCaps) -> Result<Self, Problem> {
        let Body { bytes, permit } = wire;
        if bytes.is_empty() {
            return Err(ProblemCode::EncodingCorrupt.into());
        }
        let limit = caps.decoded.min(bytes.len().saturating_mul(caps.ratio).max(RATIO_FLOOR));
        let reader = open(encoding, bytes)?;
        Ok(Self { reader, plain: Vec::new(), filled: 0, limit, permit: account.take(0)?, _wire: permit })
    }

    /// Decodes until the end (`true`) or until `pause` bytes have come out (`false`).
    fn advance(&mut self, pause: usize) -> Result<bool, Problem> {
        while self.filled < pause {
            if self.filled == self.plain.len() && !self.make_room()? {
                // The limit is reached: one more byte is one too many.
                return match self.reader.read(&mut [0]) {
                    Ok(0) => Ok(true),
                    Ok(_) => Err(ProblemCode::BodyDecompressedTooLarge.into()),
                    Err(error) => Err(why_failed(&error)),
                };
            }
            match self.reader.read(&mut self.plain[self.filled..]) {
                Ok(0) => return Ok(true),
                Ok(count) => self.filled += count,
                Err(error) => return Err(why_failed(&error)),
            }
        }
        Ok(false)
    }

    fn make_room(&mut self) -> Result<bool, Problem> {
        let size = self.plain.len().saturating_mul(2).max(16 * 1024).min(self.limit);
        let more = size - self.plain.len();
        if more == 0 {
            return Ok(false);
        }
        self.permit.grow(more)?;
        self.plain.reserve_exact(more);
        self.plain.resize(size, 0);
        Ok(true)
    }

    fn finish(mut self) -> Body {
        self.plain.truncate(self.filled);
        if self.plain.capacity() > self.filled.saturating_mul(2) {
            self.plain.shrink_to_fit();
        }
        self.permit.shrink_to(self.plain.capacity());
        Body { bytes: Bytes::from(self.plain), permit: self.permit }
    }
}

fn open(encoding: Encoding, bytes: Bytes) -> Result<Box<dyn Read + Send>, Problem> {
    let wire = Cursor::new(bytes);
    Ok(match encoding {
        Encoding::Identity => Box::new(wire),
        Encoding::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(wire)),
        Encoding::Zstd => {
            let decoder = zstd::stream::read::Decoder::with_buffer(wire).and_then(|mut decoder| {
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                Ok(decoder)
            });
            Box::new(decoder.map_err(|_| ProblemCode::Internal)?)
        }
    })
}

fn why_failed(error: &std::io::Error) -> Problem {
    // zstd names its errors only by text; a test holds this one.
    let too_wide =
        error.get_ref().is_some_and(|inner| inner.to_string().contains("requires too much memory"));
    Problem::new(if too_wide { ProblemCode::EncodingWindow } else { ProblemCode::EncodingCorrupt })
}
