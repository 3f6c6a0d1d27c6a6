//! Work on a long body, a piece at a time.

/// Hashed in one go: some hundred microseconds.
const PIECE: usize = 256 << 10;

/// A long body is hashed in pieces: whoever waits for this processor meanwhile gets it after one of them.
pub(super) fn in_pieces(body: &[u8], mut each: impl FnMut(&[u8])) {
    for (n, piece) in body.chunks(PIECE).enumerate() {
        if n > 0 {
            std::thread::yield_now();
        }
        each(piece);
    }
}
