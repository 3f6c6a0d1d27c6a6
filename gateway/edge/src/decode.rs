//! Content-Encoding: the one place where compressed bytes become plain ones, under caps.
//!
//! Output is paid for before it is made. The first 64 KiB come out on the reactor; a longer body
//! goes on in a blocking thread, so a small bomb cannot hold a worker.

use std::io::{Cursor, Read};

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

use super::body::{Body, BodyCaps};
use xinqiao_runtime::refusal::{Refusal, RefusalCode};
use xinqiao_runtime::{Account, Permit, on_blocking_thread};

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
    pub fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
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
            return Err(RefusalCode::EncodingUnsupported.into());
        };
        if values.next().is_some() { Err(RefusalCode::EncodingUnsupported.into()) } else { Ok(encoding) }
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
    on_blocking_thread(work).await
}

/// Decodes a whole body. The compressed bytes stay paid for until it is done.
pub(super) async fn decode(
    encoding: Encoding,
    wire: Body,
    account: &Account,
    caps: BodyCaps,
) -> Result<Body, Refusal> {
    let mut decoding = Decoding::new(encoding, wire, account, caps)?;
    if decoding.advance(OFF_REACTOR_BYTES)? {
        return Ok(decoding.finish());
    }
    let fair = account.fair_permit().await;
    off_reactor(usize::MAX, move || {
        let _fair = fair;
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
    fn new(encoding: Encoding, wire: Body, account: &Account, caps: BodyCaps) -> Result<Self, Refusal> {
        let Body { bytes, permit } = wire;
        if bytes.is_empty() {
            return Err(RefusalCode::EncodingCorrupt.into());
        }
        // What a member's whole share does not hold beside the bytes as sent will not fit later either: it is too large,
        // and "busy, come again" would never come true.
        let share = account.most().saturating_sub(bytes.len());
        let limit = caps.decoded.min(bytes.len().saturating_mul(caps.ratio).max(RATIO_FLOOR)).min(share);
        let reader = open(encoding, bytes)?;
        Ok(Self { reader, plain: Vec::new(), filled: 0, limit, permit: account.take(0)?, _wire: permit })
    }

    /// Decodes until the end (`true`) or until `pause` bytes have come out (`false`).
    fn advance(&mut self, pause: usize) -> Result<bool, Refusal> {
        while self.filled < pause {
            if self.filled == self.plain.len() && !self.grow()? {
                // The limit is reached: one more byte is one too many.
                return match self.reader.read(&mut [0]) {
                    Ok(0) => Ok(true),
                    Ok(_) => Err(RefusalCode::BodyDecompressedTooLarge.into()),
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

    fn grow(&mut self) -> Result<bool, Refusal> {
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

fn open(encoding: Encoding, bytes: Bytes) -> Result<Box<dyn Read + Send>, Refusal> {
    let wire = Cursor::new(bytes);
    Ok(match encoding {
        Encoding::Identity => Box::new(wire),
        Encoding::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(wire)),
        Encoding::Zstd => {
            let decoder = zstd::stream::read::Decoder::with_buffer(wire).and_then(|mut decoder| {
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                Ok(decoder)
            });
            Box::new(decoder.map_err(|_| RefusalCode::Internal)?)
        }
    })
}

fn why_failed(error: &std::io::Error) -> Refusal {
    // zstd names its errors only by text; a test holds this one.
    let too_wide =
        error.get_ref().is_some_and(|inner| inner.to_string().contains("requires too much memory"));
    Refusal::new(if too_wide { RefusalCode::EncodingWindow } else { RefusalCode::EncodingCorrupt })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;
    use xinqiao_runtime::Budget;

    const CAP: usize = 3 << 20;

    fn decoded(encoding: Encoding, wire: Vec<u8>, account: &Account) -> Result<Body, Refusal> {
        let caps = BodyCaps { wire: usize::MAX, decoded: CAP, ratio: usize::MAX };
        let permit = account.take(wire.len())?;
        let mut decoding = Decoding::new(encoding, Body { bytes: wire.into(), permit }, account, caps)?;
        decoding.advance(OFF_REACTOR_BYTES)?;
        decoding.advance(usize::MAX)?;
        Ok(decoding.finish())
    }

    fn encoded(encoding: Encoding, plain: &[u8]) -> Vec<u8> {
        match encoding {
            Encoding::Identity => plain.to_vec(),
            Encoding::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(plain).unwrap();
                encoder.finish().unwrap()
            }
            Encoding::Zstd => zstd::encode_all(plain, 1).unwrap(),
        }
    }

    #[test]
    fn exactly_the_cap_passes_and_one_byte_more_does_not() {
        let budget = Budget::new(64 << 20, 64 << 20);
        let account = budget.account("a");
        for encoding in [Encoding::Gzip, Encoding::Zstd] {
            let body = decoded(encoding, encoded(encoding, &vec![7; CAP]), &account).unwrap();
            assert_eq!(body.bytes.len(), CAP);
            assert!(body.permit.bytes() >= CAP, "what is held is paid for");
            let refused = decoded(encoding, encoded(encoding, &vec![7; CAP + 1]), &account).unwrap_err();
            assert_eq!(refused.code(), RefusalCode::BodyDecompressedTooLarge);
        }
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn output_beyond_the_budget_is_busy_not_memory() {
        let budget = Budget::new(2 << 20, 2 << 20);
        let others = budget.account("b").take((2 << 20) - 100_000).unwrap();
        let body = || encoded(Encoding::Zstd, &vec![7; 1 << 20]);
        let refused = decoded(Encoding::Zstd, body(), &budget.account("a"));
        assert_eq!(refused.unwrap_err().code(), RefusalCode::BusyMemory);
        drop(others);
        assert_eq!(budget.used(), 0);
        let small = Budget::new(2 << 20, 100_000);
        let refused = decoded(Encoding::Zstd, body(), &small.account("a"));
        assert_eq!(refused.unwrap_err().code(), RefusalCode::BodyDecompressedTooLarge, "it can never fit");
    }

    fn compressed() -> impl Strategy<Value = Encoding> {
        prop_oneof![Just(Encoding::Gzip), Just(Encoding::Zstd)]
    }

    proptest! {
        #[test]
        fn what_was_compressed_comes_back(encoding in compressed(), plain in proptest::collection::vec(any::<u8>(), 0..200_000)) {
            let account = Budget::new(64 << 20, 64 << 20).account("a");
            let body = decoded(encoding, encoded(encoding, &plain), &account).unwrap();
            prop_assert!(body.bytes == plain);
        }

        #[test]
        fn cuts_are_errors_and_flipped_bits_never_break_the_caps(
            encoding in compressed(), at in any::<prop::sample::Index>(), bit in 0..8u8, cut in any::<prop::sample::Index>(),
        ) {
            let budget = Budget::new(64 << 20, 64 << 20);
            let account = budget.account("a");
            let plain: Vec<u8> = (0..20_000u32).flat_map(|n| n.to_string().into_bytes()).collect();
            let whole = encoded(encoding, &plain);
            prop_assert!(decoded(encoding, whole[..cut.index(whole.len())].to_vec(), &account).is_err());
            let mut flipped = whole.clone();
            flipped[at.index(whole.len())] ^= 1 << bit;
            // gzip guards with a checksum; zstd as made here does not, and the records' own checks must.
            if let Ok(body) = decoded(encoding, flipped, &account) {
                prop_assert!(encoding == Encoding::Zstd || body.bytes == plain);
                prop_assert!(body.bytes.len() <= CAP);
            }
            prop_assert_eq!(budget.used(), 0);
        }

        #[test]
        fn any_bytes_are_survived(encoding in compressed(), wire in proptest::collection::vec(any::<u8>(), 0..2_000)) {
            let budget = Budget::new(64 << 20, 64 << 20);
            let _either = decoded(encoding, wire, &budget.account("a"));
            prop_assert_eq!(budget.used(), 0);
        }
    }
}
