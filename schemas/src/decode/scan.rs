//! Finds the bytes that matter in a text, eight at a time.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Position from `from` on of the first `"`, `\` or control character (below U+0020); the length, if there is none.
#[inline]
pub(crate) fn special(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(chunk) = bytes.get(at..at + 8) {
        let word = u64::from_le_bytes(chunk.try_into().expect("eight bytes"));
        let hits = specials(word);
        if hits != 0 {
            return at + (hits.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while let Some(&byte) = bytes.get(at) {
        if byte == b'"' || byte == b'\\' || byte < 0x20 {
            break;
        }
        at += 1;
    }
    at
}

/// The high bit of each byte that is special. The lowest set bit is exact (a borrow can only disturb higher bytes).
#[inline]
fn specials(word: u64) -> u64 {
    let zero = |x: u64| x.wrapping_sub(ONES) & !x;
    let quote = zero(word ^ (ONES * b'"' as u64));
    let backslash = zero(word ^ (ONES * b'\\' as u64));
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (quote | backslash | control) & HIGH
}

#[cfg(test)]
mod tests {
    use super::special;
    use proptest::prelude::*;

    fn plain(bytes: &[u8], from: usize) -> usize {
        let hit = |b: &u8| *b == b'"' || *b == b'\\' || *b < 0x20;
        bytes[from..].iter().position(hit).map_or(bytes.len(), |at| at + from)
    }

    proptest! {
        #[test]
        fn agrees_with_the_plain_search(bytes in proptest::collection::vec(any::<u8>(), 0..64), from in 0_usize..8) {
            let from = from.min(bytes.len());
            prop_assert_eq!(special(&bytes, from), plain(&bytes, from));
        }

        #[test]
        fn agrees_on_mostly_plain_text(text in "[a-z 张]{0,40}[\"\\\\\n]?[a-z]{0,9}") {
            prop_assert_eq!(special(text.as_bytes(), 0), plain(text.as_bytes(), 0));
        }
    }
}
