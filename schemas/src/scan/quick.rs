//! The first look: is there anything to search for at all? And the way to the next digit.
//!
//! Long texts are read in fixed blocks without early exit, which the compiler turns into vector instructions; most values are
//! short, and those are read eight bytes at a time.

/// What a first look sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    /// Digits of either width, counted until there are plenty.
    pub digits: usize,
    /// Whether some of them are full-width.
    pub wide: bool,
    /// Whether there is an at sign of either width.
    pub at_sign: bool,
}

/// Reads the text once.
pub(super) fn look(bytes: &[u8]) -> Look {
    let mut look = Look { digits: 0, wide: false, at_sign: false };
    // Whether anything may be a digit or an at sign in full width: those begin with this byte, as Chinese punctuation does.
    let (mut at_sign, mut may_be_wide) = (false, false);
    let mut blocks = bytes.chunks_exact(BLOCK);
    for block in &mut blocks {
        let block: &[u8; BLOCK] = block.try_into().expect("exact blocks");
        look.digits += usize::from(digits_in(block));
        at_sign |= block.iter().fold(false, |any, byte| any | (*byte == b'@'));
        may_be_wide |= block.iter().fold(false, |any, byte| any | (*byte == WIDE));
    }
    let mut words = blocks.remainder().chunks_exact(8);
    let (mut at_signs, mut wide_bytes) = (0, 0);
    let mut read = |word: u64| {
        // The top bits, added up in the topmost byte.
        look.digits += ((digits_of(word) >> 7).wrapping_mul(ONES) >> 56) as usize;
        at_signs |= bytes_equal(word, b'@');
        wide_bytes |= bytes_equal(word, WIDE);
    };
    for word in &mut words {
        read(u64::from_le_bytes(word.try_into().expect("eight bytes")));
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        // Filled up with zeros, which are nothing that is looked for.
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        read(u64::from_le_bytes(word));
    }
    look.at_sign = at_sign | (at_signs != 0);
    if may_be_wide | (wide_bytes != 0) {
        for three in bytes.windows(3).filter(|three| three[0] == WIDE) {
            let is_digit = is_wide_digit(three[0], three[1], three[2]);
            look.digits += usize::from(is_digit);
            look.wide |= is_digit;
            look.at_sign |= (three[1] == 0xBC) & (three[2] == 0xA0);
        }
    }
    look
}

/// The place of the next digit at or after `from`.
pub(super) fn next_digit(bytes: &[u8], from: usize, wide: bool) -> Option<usize> {
    let mut at = from;
    while let Some(word) = bytes.get(at..at + 8) {
        let word = u64::from_le_bytes(word.try_into().expect("eight bytes"));
        let mut marks = digits_of(word);
        if wide {
            marks |= bytes_equal(word, WIDE);
        }
        while marks != 0 {
            let place = at + marks.trailing_zeros() as usize / 8;
            if is_digit_at(bytes, place, wide) {
                return Some(place);
            }
            marks &= marks - 1;
        }
        at += 8;
    }
    (at..bytes.len()).find(|place| is_digit_at(bytes, *place, wide))
}

fn is_digit_at(bytes: &[u8], place: usize, wide: bool) -> bool {
    match bytes[place..] {
        [first, ..] if first.is_ascii_digit() => true,
        [first, second, third, ..] => wide && is_wide_digit(first, second, third),
        _ => false,
    }
}

/// The top bit of each of eight bytes that is an ASCII digit.
fn digits_of(word: u64) -> u64 {
    let offset = word ^ (ONES * 0x30);
    let over_nine = (offset & (ONES * 0x7F)) + ONES * 0x76;
    !(over_nine | offset) & (ONES * 0x80)
}

/// The top bit of each of eight bytes that has this value.
fn bytes_equal(word: u64, value: u8) -> u64 {
    let difference = word ^ (ONES * u64::from(value));
    let other = (difference & (ONES * 0x7F)) + ONES * 0x7F;
    !(other | difference) & (ONES * 0x80)
}

const ONES: u64 = 0x0101_0101_0101_0101;
const BLOCK: usize = 64;
/// The first byte of every character in full width.
const WIDE: u8 = 0xEF;

fn digits_in(block: &[u8; BLOCK]) -> u8 {
    block.iter().fold(0u8, |sum, byte| sum.wrapping_add(u8::from(byte.wrapping_sub(b'0') < 10)))
}

fn is_wide_digit(first: u8, second: u8, third: u8) -> bool {
    (first == WIDE) & (second == 0xBC) & (third.wrapping_sub(0x90) < 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_quick_look_agrees_with_a_slow_one(text in "([张·，：@＠0-9０-９a-z]|[一-龥]{20}){0,40}", from in 0usize..64) {
            let is_digit = |character: char| character.is_ascii_digit() || ('０'..='９').contains(&character);
            let seen = look(text.as_bytes());
            prop_assert_eq!(seen.digits, text.chars().filter(|character| is_digit(*character)).count());
            prop_assert_eq!(seen.wide, text.contains(|character| ('０'..='９').contains(&character)));
            prop_assert_eq!(seen.at_sign, text.contains(['@', '＠']));
            let from = (0..=from.min(text.len())).rev().find(|place| text.is_char_boundary(*place)).unwrap();
            let expected = text[from..].find(is_digit).map(|place| place + from);
            prop_assert_eq!(next_digit(text.as_bytes(), from, seen.wide), expected);
        }
    }
}
