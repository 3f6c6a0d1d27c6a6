//! The two base64 alphabets in use, both strict: no white space, no missing padding, no stray trailing bits, so one
//! text stands for one byte string.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

/// RFC 4648 section 4, with padding: C2SP notes, receipts, `Repr-Digest`.
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

/// Appends [`encode`]'s text to `out`.
pub fn encode_into(bytes: impl AsRef<[u8]>, out: &mut String) {
    STANDARD.encode_string(bytes, out);
}

/// The 44 characters of 32 bytes, without a detour over the heap.
pub(crate) fn encode_hash_into(hash: &[u8; 32], out: &mut String) {
    let mut text = [0; 44];
    STANDARD.encode_slice(hash, &mut text).expect("32 bytes take 44 characters");
    out.push_str(std::str::from_utf8(&text).expect("base64 is ASCII"));
}

/// Reads [`encode`]'s text; `None` for anything else.
pub fn decode(text: impl AsRef<[u8]>) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// RFC 4648 section 5, without padding: JOSE.
pub fn encode_url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads [`encode_url`]'s text; `None` for anything else.
pub fn decode_url(text: impl AsRef<[u8]>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Serde adapter: a byte vector as a base64 string.
pub(crate) mod serde_standard {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        super::decode(text.as_bytes()).ok_or_else(|| D::Error::custom("not strict base64"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_stands_for_one_byte_string() {
        assert_eq!(encode([0xfb, 0xff]), "+/8=");
        assert_eq!(encode_url([0xfb, 0xff]), "-_8");
        for wrong in ["+/9=", "+/8", "-_8=", " +/8=", "+/8=\n"] {
            assert_eq!(decode(wrong), None, "{wrong:?}");
        }
        for wrong in ["-_8=", "+/8", "-_9", "-_8 "] {
            assert_eq!(decode_url(wrong), None, "{wrong:?}");
        }
    }
}
