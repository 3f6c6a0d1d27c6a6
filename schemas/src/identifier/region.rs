//! Region digits (GB/T 2260) at province level.
//!
//! Codes stay on documents long after a county is renamed or dissolved, so only the province part is
//! checked here. The history of counties is not in this crate: a county that never existed passes.

/// Whether two digits begin the codes of a province-level division, today or at any time that resident
/// identity numbers have been issued: mainland provinces, 71 Taiwan, 81 Hong Kong, 82 Macao. 海南 was split
/// from 广东 (44) in 1988 and 重庆 from 四川 (51) in 1997; their older numbers keep the older prefix.
pub const fn province_known(first: u8, second: u8) -> bool {
    matches!(
        (first, second),
        (b'1', b'1'..=b'5')
            | (b'2', b'1'..=b'3')
            | (b'3', b'1'..=b'7')
            | (b'4', b'1'..=b'6')
            | (b'5', b'0'..=b'4')
            | (b'6', b'1'..=b'5')
            | (b'7', b'1')
            | (b'8', b'1' | b'2')
    )
}

/// Whether six digits look like a region code: a known province, or 100000 for the nation.
pub fn is_region_shape(code: &str) -> bool {
    let bytes = code.as_bytes();
    bytes.len() == 6
        && bytes.iter().all(u8::is_ascii_digit)
        && (province_known(bytes[0], bytes[1]) || code == "100000")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn provinces_are_known_and_gaps_are_not() {
        for code in ["110000", "350200", "320800", "411000", "450400", "620105", "100000", "810000"] {
            assert!(is_region_shape(code), "{code}");
        }
        for code in ["", "35020", "3502000", "99000A", "990000", "160000", "470000", "100001", "000000"] {
            assert!(!is_region_shape(code), "{code}");
        }
        let known = (0..100u8).filter(|n| province_known(b'0' + n / 10, b'0' + n % 10)).count();
        assert_eq!(known, 34);
    }
}
