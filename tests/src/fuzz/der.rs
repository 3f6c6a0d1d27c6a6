//! DER written and taken apart, for documents that no tool of ours makes.

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OID: u8 = 0x06;
pub(crate) const ENUMERATED: u8 = 0x0a;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

/// An element around its parts.
pub(crate) fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let mut out = vec![tag];
    match content.len() {
        short @ 0..=0x7f => out.push(u8::try_from(short).expect("below 128")),
        long => {
            let length = long.to_be_bytes();
            let digits = &length[length.iter().take_while(|byte| **byte == 0).count()..];
            out.push(0x80 | u8::try_from(digits.len()).expect("at most eight"));
            out.extend_from_slice(digits);
        }
    }
    out.extend(content);
    out
}

/// A non-negative number.
pub(crate) fn integer(value: u64) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    let mut digits = bytes[bytes.iter().take_while(|byte| **byte == 0).count().min(7)..].to_vec();
    if digits[0] & 0x80 != 0 {
        digits.insert(0, 0);
    }
    element(INTEGER, &[&digits])
}

/// The elements of a sound document, each whole.
///
/// # Panics
/// It is not sound.
pub(crate) fn parts(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let (header, length) = header(bytes);
        let (whole, rest) = bytes.split_at(header + length);
        out.push(whole);
        bytes = rest;
    }
    out
}

/// What is inside a sound element.
///
/// # Panics
/// It is not sound.
pub(crate) fn content(whole: &[u8]) -> &[u8] {
    &whole[header(whole).0..]
}

fn header(bytes: &[u8]) -> (usize, usize) {
    let first = usize::from(bytes[1]);
    if first < 0x80 {
        return (2, first);
    }
    let count = first & 0x7f;
    (2 + count, bytes[2..2 + count].iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)))
}
