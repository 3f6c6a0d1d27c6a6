//! Floods of HTTP/2 frames that carry nothing: PING, SETTINGS, PRIORITY, WINDOW_UPDATE, DATA of a few bytes. Each costs
//! the peer some ten bytes and the node a reply or a buffer, and flow control counts none of them.
//!
//! Frame headers are followed in the bytes as they come. A connection has a token bucket: such a frame takes one token,
//! requests and bytes moved either way put some back, and so does time. A peer that spends more than that is flooding. Resets, header
//! lists and CONTINUATION are capped by h2 itself.

/// Tokens at the start, and the most there ever are.
const TOKENS: u32 = 4_096;
/// For a request: its window updates and the acknowledgements around it.
const PER_REQUEST: u32 = 8;
/// Bytes moved, either way, that are worth a token: a peer may update its window for each of these.
const BYTES_PER_TOKEN: usize = 2_048;
/// DATA below this is not worth its buffer, unless it ends its stream.
const TINY: usize = 64;
const PREFACE: usize = 24;
const HEADER: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const END_STREAM: u8 = 1;

/// Follows the frames of one connection.
#[derive(Debug)]
pub struct FrameGuard {
    /// Bytes still to come of what is skipped: the preface, or a payload.
    skip: usize,
    header: [u8; HEADER],
    filled: usize,
    tokens: u32,
    moved: usize,
}

impl Default for FrameGuard {
    fn default() -> Self {
        Self::new()
    }
}

impl FrameGuard {
    /// For a connection of which nothing was read yet.
    pub fn new() -> Self {
        Self { skip: PREFACE, header: [0; HEADER], filled: 0, tokens: TOKENS, moved: 0 }
    }

    /// Bytes came in; false when they are a flood.
    pub fn arrived(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            let taken = (HEADER - self.filled).min(bytes.len());
            self.header[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
            self.filled += taken;
            bytes = &bytes[taken..];
            if self.filled == HEADER {
                self.filled = 0;
                if !self.count() {
                    return false;
                }
            }
        }
        true
    }

    /// Bytes went out.
    pub fn left(&mut self, bytes: usize) {
        self.moved(bytes);
    }

    /// Time went by that is worth so many tokens.
    pub fn refill(&mut self, tokens: u32) {
        self.earn(tokens);
    }

    fn count(&mut self) -> bool {
        let [a, b, c, kind, flags, ..] = self.header;
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        self.skip = length;
        match kind {
            HEADERS => self.earn(PER_REQUEST),
            DATA if length >= TINY || flags & END_STREAM != 0 => self.moved(length),
            _ => match self.tokens.checked_sub(1) {
                Some(left) => self.tokens = left,
                None => return false,
            },
        }
        true
    }

    fn moved(&mut self, bytes: usize) {
        self.moved = self.moved.saturating_add(bytes);
        let earned = self.moved / BYTES_PER_TOKEN;
        self.moved %= BYTES_PER_TOKEN;
        self.earn(u32::try_from(earned).unwrap_or(TOKENS));
    }

    fn earn(&mut self, tokens: u32) {
        self.tokens = self.tokens.saturating_add(tokens).min(TOKENS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
        let [_, a, b, c] = u32::try_from(length).unwrap().to_be_bytes();
        [&[a, b, c, kind, flags, 0, 0, 0, 1][..], &vec![0; length]].concat()
    }

    fn opened() -> FrameGuard {
        let mut guard = FrameGuard::new();
        assert!(guard.arrived(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
        guard
    }

    #[test]
    fn idle_frames_end_at_the_bottom_of_the_bucket_and_work_fills_it() {
        for idle in
            [frame(6, 0, 8), frame(4, 0, 0), frame(8, 0, 4), frame(2, 0, 5), frame(0, 0, 1), frame(0, 0, 0)]
        {
            let mut guard = opened();
            assert!((0..TOKENS).all(|_| guard.arrived(&idle)));
            assert!(!guard.clone_for_test().arrived(&idle));
            guard.left(BYTES_PER_TOKEN);
            assert!(guard.arrived(&idle) && !guard.clone_for_test().arrived(&idle));
            guard.arrived(&frame(HEADERS, 4, 30));
            assert!((0..PER_REQUEST).all(|_| guard.arrived(&idle)) && !guard.arrived(&idle));
        }
    }

    #[test]
    fn an_upload_in_large_frames_and_small_requests_never_run_out() {
        let mut guard = opened();
        for _ in 0..TOKENS * 2 {
            let request =
                [frame(HEADERS, 4, 60), frame(0, END_STREAM, 3), frame(8, 0, 4), frame(4, 1, 0)].concat();
            assert!(guard.arrived(&request));
            assert!(guard.arrived(&frame(0, 0, 16_384)) && guard.arrived(&frame(6, 0, 8)));
        }
    }

    impl FrameGuard {
        fn clone_for_test(&self) -> Self {
            Self { header: self.header, ..*self }
        }
    }

    proptest! {
        #[test]
        fn how_bytes_are_cut_makes_no_difference(
            frames in proptest::collection::vec((0..10u8, any::<u8>(), 0..200usize), 1..50),
            cuts in proptest::collection::vec(1..40usize, 1..50),
        ) {
            let bytes: Vec<u8> = frames.iter().flat_map(|(kind, flags, length)| frame(*kind, *flags, *length)).collect();
            let (mut whole, mut pieces) = (opened(), opened());
            prop_assert!(whole.arrived(&bytes));
            let (mut rest, mut cuts) = (&bytes[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let (piece, tail) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
                prop_assert!(pieces.arrived(piece));
                rest = tail;
            }
            prop_assert_eq!(format!("{whole:?}"), format!("{pieces:?}"));
        }
    }
}
