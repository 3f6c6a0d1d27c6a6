//! Numbers of variable length, as line tables and the register's items write them: seven bits a byte, the lowest first.

/// Bytes that are not what was to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged;

impl std::fmt::Display for Damaged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("damaged, or of a version this program does not know")
    }
}
impl std::error::Error for Damaged {}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push((n as u8) | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

pub(crate) fn varint(rest: &mut &[u8]) -> Result<u64, Damaged> {
    let mut n = 0u64;
    for shift in (0..64).step_by(7) {
        let b = take(rest, 1)?[0];
        n |= u64::from(b & 0x7f).checked_shl(shift).ok_or(Damaged)?;
        if b < 0x80 {
            return Ok(n);
        }
    }
    Err(Damaged)
}

pub(crate) fn take<'a>(rest: &mut &'a [u8], n: usize) -> Result<&'a [u8], Damaged> {
    let (head, tail) = rest.split_at_checked(n).ok_or(Damaged)?;
    *rest = tail;
    Ok(head)
}
