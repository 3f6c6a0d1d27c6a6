//! The little DER this crate reads itself: what neither webpki nor x509-parser exposes (OCSP answers, PKCS#7, extension values).

/// One element: its tag byte, its content, and both with the length between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    pub(crate) content: &'a [u8],
    pub(crate) whole: &'a [u8],
}

impl<'a> Element<'a> {
    /// The elements inside.
    pub(crate) fn inside(&self) -> Reader<'a> {
        Reader(self.content)
    }
}

/// Reads elements one after the other. Long-form tags and indefinite lengths, which DER forbids or nobody uses here, end it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a>(&'a [u8]);

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OID: u8 = 0x06;
pub(crate) const ENUMERATED: u8 = 0x0a;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const SEQUENCE: u8 = 0x30;

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next element, whatever it is.
    pub(crate) fn next(&mut self) -> Option<Element<'a>> {
        let (header, length) = header(self.0)?;
        let end = header.checked_add(length)?;
        let whole = self.0.get(..end)?;
        self.0 = &self.0[end..];
        Some(Element { tag: whole[0], content: &whole[header..], whole })
    }

    /// The next element, if it has this tag; else nothing is read.
    pub(crate) fn take(&mut self, tag: u8) -> Option<Element<'a>> {
        let mut ahead = *self;
        let element = ahead.next().filter(|element| element.tag == tag)?;
        *self = ahead;
        Some(element)
    }
}

/// Exactly one element and nothing after it.
pub(crate) fn only(bytes: &[u8]) -> Option<Element<'_>> {
    let mut reader = Reader::new(bytes);
    let element = reader.next()?;
    reader.is_empty().then_some(element)
}

/// How many bytes the first element says it has, if its header is there: to tell a file that was cut from one that is wrong.
pub(crate) fn announced(bytes: &[u8]) -> Option<usize> {
    let (header, length) = header(bytes)?;
    header.checked_add(length)
}

/// The content of a first element that is a sequence, as much of it as is there.
pub(crate) fn begun(bytes: &[u8]) -> Option<&[u8]> {
    let (header, _) = header(bytes).filter(|_| bytes.first() == Some(&SEQUENCE))?;
    bytes.get(header..)
}

/// An element as DER.
#[cfg(test)]
pub(crate) fn write(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = content.len().to_be_bytes();
    match content.len() {
        short @ 0..=0x7f => out.push(short as u8),
        _ => {
            let significant = &length[length.iter().take_while(|b| **b == 0).count()..];
            out.push(0x80 | significant.len() as u8);
            out.extend_from_slice(significant);
        }
    }
    out.extend_from_slice(content);
    out
}

/// Bytes of the header, and the length it announces.
fn header(bytes: &[u8]) -> Option<(usize, usize)> {
    if bytes.first()? & 0x1f == 0x1f {
        return None;
    }
    let first = usize::from(*bytes.get(1)?);
    if first < 0x80 {
        return Some((2, first));
    }
    let count = first & 0x7f;
    if count == 0 || count > 4 {
        return None;
    }
    let digits = bytes.get(2..2 + count)?;
    Some((2 + count, digits.iter().fold(0usize, |sum, digit| (sum << 8) | usize::from(*digit))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_it_wrote_in_every_length() {
        for length in [0, 1, 0x7f, 0x80, 0xff, 0x100, 70_000] {
            let content = vec![7u8; length];
            let written = write(OCTET_STRING, &content);
            let read = only(&written).expect("it was just written");
            assert_eq!((read.tag, read.content.len()), (OCTET_STRING, length));
            assert_eq!(announced(&written), Some(written.len()));
            assert_eq!(only(&written[..written.len() - 1]), None);
        }
        assert_eq!(only(&[0x30, 0x80, 0, 0]), None, "indefinite");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut reader = Reader::new(&bytes);
            let mut seen = 0;
            while let Some(element) = reader.next() {
                seen += element.whole.len();
            }
            prop_assert!(seen <= bytes.len());
        }
    }
}
