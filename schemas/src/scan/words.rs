//! Finds that words or signs announce: e-mail addresses, and the numbers of documents.

use super::{Find, Kind};
use memchr::{memchr_iter, memmem};
use std::ops::Range;

/// Words that announce the number of a document.
const DOCUMENTS: [&str; 9] =
    ["护照", "通行证", "台胞证", "回乡证", "居留证", "居留身份证", "军官证", "士兵证", "驾驶证"];

/// How many bytes of text may stand between such a word's beginning and its number.
const REACH: usize = 48;

/// Looks at the letters and digits around a group of digits: five to seventeen with at least four digits, not
/// far after the name of a document, no sentence ending between. Gives the byte after them, to be handed back
/// with the next group, so that no token is looked at twice.
pub(super) fn document(bytes: &[u8], group: Range<usize>, from: usize, finds: &mut Vec<Find>) -> usize {
    if group.start < from {
        return from;
    }
    let token = token_around(bytes, group, from);
    let end = token.end;
    if token.len() >= 5 {
        let (length, digits) = measure(&bytes[token.clone()]);
        if (5..=17).contains(&length) && digits >= 4 && announced(bytes, token.start) {
            finds.push(Find { range: token, kind: Kind::Document });
        }
    }
    end
}

/// The letters and digits of either width around a group of digits, not reaching back before `from`.
fn token_around(bytes: &[u8], group: Range<usize>, from: usize) -> Range<usize> {
    let Range { mut start, mut end } = group;
    loop {
        if start > from && bytes[start - 1].is_ascii_alphanumeric() {
            start -= 1;
        } else if start >= from + 3 && is_wide(&bytes[start - 3..start]) {
            start -= 3;
        } else {
            break;
        }
    }
    loop {
        if bytes.get(end).is_some_and(u8::is_ascii_alphanumeric) {
            end += 1;
        } else if bytes.get(end..end + 3).is_some_and(is_wide) {
            end += 3;
        } else {
            break;
        }
    }
    start..end
}

/// Characters and, among them, digits of a token.
fn measure(token: &[u8]) -> (usize, usize) {
    let (mut length, mut digits) = (0, 0);
    let mut rest = token;
    while let [first, ..] = rest {
        let (digit, width) = match rest {
            [0xEF, 0xBC, third, ..] => ((0x90..=0x99).contains(third), 3),
            [0xEF, ..] => (false, 3),
            _ => (first.is_ascii_digit(), 1),
        };
        length += 1;
        digits += usize::from(digit);
        rest = rest.get(width..).unwrap_or_default();
    }
    (length, digits)
}

/// A full-width letter or digit.
fn is_wide(three: &[u8]) -> bool {
    matches!(three, [0xEF, 0xBC, 0x90..=0x99 | 0xA1..=0xBA] | [0xEF, 0xBD, 0x81..=0x9A])
}

fn announced(bytes: &[u8], start: usize) -> bool {
    let before = &bytes[start.saturating_sub(REACH)..start];
    // Every word ends with one of two characters; most text has neither near a number.
    let Some(last) =
        before.windows(3).rposition(|three| three == "证".as_bytes() || three == "照".as_bytes())
    else {
        return false;
    };
    let after = &before[last + 3..];
    if ["。", "；", ";", "\n"].iter().any(|end| memmem::find(after, end.as_bytes()).is_some()) {
        return false;
    }
    DOCUMENTS.iter().any(|word| before[..last + 3].ends_with(word.as_bytes()))
}

/// Finds e-mail addresses: a local part, an at sign of either width, a domain with a dot.
pub(super) fn e_mails(text: &str, finds: &mut Vec<Find>) {
    let bytes = text.as_bytes();
    let ascii = memchr_iter(b'@', bytes).map(|at| (at, 1));
    let wide = memmem::find_iter(bytes, "＠".as_bytes()).map(|at| (at, 3));
    for (at, width) in ascii.chain(wide) {
        let start = at - bytes[..at].iter().rev().take(64).take_while(|byte| is_local(**byte)).count();
        let domain = &bytes[at + width..];
        let mut length = domain.iter().take(253).take_while(|byte| is_domain(**byte)).count();
        while length > 0 && !domain[length - 1].is_ascii_alphanumeric() {
            length -= 1;
        }
        if start < at && domain[..length].contains(&b'.') {
            finds.push(Find { range: start..at + width + length, kind: Kind::EMail });
        }
    }
}

fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b".!#$%&'+/=?^_`{|}~-".contains(&byte)
}

fn is_domain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-')
}
