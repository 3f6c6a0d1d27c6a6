//! The line of one record: `{"op":…,"key":…,"rev":…,"audience":…,"via":[…],"ref":…?,"data":{…}}`, without line feed.

use xinqiao_crypto::hex;

use crate::date::Date;
use crate::decode::special;
use crate::model::Audience;
use crate::scan;

/// The envelope of a line, except for the audience, which the record itself decides.
#[derive(Clone, Copy, Debug)]
pub struct LineHead<'a> {
    /// `put`, or `reinstate`.
    pub op: &'a str,
    /// The recipient's opaque key of the record, 32 hex digits.
    pub key: &'a str,
    /// The node-wide revision.
    pub rev: u64,
    /// Names of the nodes it came through.
    pub via: &'a [&'a str],
    /// The source's own reference; travels only where the policy passes it.
    pub reference: Option<&'a str>,
}

/// A line that recalls a record: it never carries the record.
#[derive(Clone, Copy, Debug)]
pub struct RecallLine<'a> {
    /// Reason code.
    pub reason: &'a str,
    /// The document it rests on. Identity numbers and the like in it are masked.
    pub basis: &'a str,
    /// The day from which it holds.
    pub effective: Date,
}

/// Appends the line of a withdraw, repair, dispute, resolve or reinstate, without line feed.
pub fn recall_line(head: &LineHead<'_>, audience: Audience, recall: &RecallLine<'_>, out: &mut Vec<u8>) {
    begin(head, head.reference, audience, out);
    out.extend_from_slice(b"\"reason\":");
    string(&scan::redact(recall.reason), out);
    out.extend_from_slice(b",\"basis\":");
    string(&scan::redact(recall.basis), out);
    out.extend_from_slice(b",\"effective\":\"");
    recall.effective.write_slash(out);
    out.extend_from_slice(b"\"}}");
}

/// Appends the envelope up to the opening brace of `data`.
pub(crate) fn begin(head: &LineHead<'_>, reference: Option<&str>, audience: Audience, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"op\":");
    string(head.op, out);
    out.extend_from_slice(b",\"key\":");
    string(head.key, out);
    out.extend_from_slice(b",\"rev\":");
    number(head.rev, out);
    out.extend_from_slice(b",\"audience\":\"");
    out.extend_from_slice(audience.as_str().as_bytes());
    out.extend_from_slice(b"\",\"via\":[");
    for (at, node) in head.via.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        string(node, out);
    }
    out.push(b']');
    if let Some(reference) = reference {
        out.extend_from_slice(b",\"ref\":");
        string(reference, out);
    }
    out.extend_from_slice(b",\"data\":{");
}

/// Appends a JSON string with its quotes.
#[inline]
pub(crate) fn string(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    let mut from = 0;
    loop {
        let at = special(bytes, from);
        out.extend_from_slice(&bytes[from..at]);
        let Some(&byte) = bytes.get(at) else { break };
        escape(byte, out);
        from = at + 1;
    }
    out.push(b'"');
}

#[cold]
fn escape(byte: u8, out: &mut Vec<u8>) {
    match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        _ => {
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&hex::pair(byte));
        }
    }
}

fn number(mut value: u64, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}
