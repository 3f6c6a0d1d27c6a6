//! Hexadecimal, written in lower case. What programs exchange is read in lower case only, so that one value has one
//! text; what people type may be in either.

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The two digits of a byte.
#[inline]
#[must_use]
pub const fn pair(byte: u8) -> [u8; 2] {
    [DIGITS[(byte >> 4) as usize], DIGITS[(byte & 15) as usize]]
}

/// All digits of `bytes`.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    let mut text = vec![0; 2 * bytes.len()];
    encode_into(bytes, &mut text);
    String::from_utf8(text).expect("hexadecimal digits are ASCII")
}

/// Writes the digits of `bytes` into `text`, which has two bytes for each of them, without allocating.
///
/// # Panics
/// `text` is not twice as long as `bytes`.
#[inline]
pub fn encode_into<'a>(bytes: &[u8], text: &'a mut [u8]) -> &'a str {
    assert_eq!(text.len(), 2 * bytes.len(), "two digits for each byte");
    for (place, byte) in text.chunks_exact_mut(2).zip(bytes) {
        place.copy_from_slice(&pair(*byte));
    }
    std::str::from_utf8(text).expect("hexadecimal digits are ASCII")
}

/// The `N` bytes behind exactly `2 * N` lower-case digits.
#[inline]
#[must_use]
pub fn decode_array<const N: usize>(text: &str) -> Option<[u8; N]> {
    let text = text.as_bytes();
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = lower(pair[0])? << 4 | lower(pair[1])?;
    }
    Some(bytes)
}

/// The bytes behind digits of either case; `None` if there is another character, or half a byte.
#[must_use]
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let byte =
        |pair: &[u8]| Some(lower(pair[0].to_ascii_lowercase())? << 4 | lower(pair[1].to_ascii_lowercase())?);
    digits.chunks_exact(2).map(byte).collect()
}

#[inline]
fn lower(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_value_has_one_text() {
        assert_eq!(encode(&[0x00, 0x9f, 0xff]), "009fff");
        assert_eq!(decode_array("009fff"), Some([0x00, 0x9f, 0xff]));
        for wrong in ["009FFF", "009ff", "009ff ", "009fff00", "+09fff", "éé9f"] {
            assert_eq!(decode_array::<3>(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn people_may_type_either_case_but_nothing_else() {
        assert_eq!(decode("009FfF"), Some(vec![0x00, 0x9f, 0xff]));
        assert_eq!(decode(""), Some(vec![]));
        for wrong in ["0", "+1", "0x", "é", "0g", "12 "] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(bytes in any::<[u8; 16]>()) {
            let mut text = [0; 32];
            let text = encode_into(&bytes, &mut text);
            prop_assert_eq!(text, encode(&bytes));
            prop_assert_eq!(decode_array(text), Some(bytes));
            prop_assert_eq!(decode(&text.to_uppercase()), Some(bytes.to_vec()));
        }
    }
}
