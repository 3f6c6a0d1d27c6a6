//! Organisation code (组织机构代码, GB 11714-1997): eight digits or capital letters and a check character.

use super::Error;

/// Checks a code in normal form. The hyphen before the check character (`60003734-1`) may stand or not.
pub fn check(code: &str) -> Result<(), Error> {
    let bytes = code.as_bytes();
    let (body, check) = match bytes {
        [] => return Err(Error::Empty),
        [body @ .., b'-', check] if body.len() == 8 => (body, *check),
        [body @ .., check] if body.len() == 8 => (body, *check),
        _ => return Err(Error::Length),
    };
    let body: &[u8; 8] = body.try_into().expect("the length was just checked");
    match check_character(body) {
        None => Err(Error::Character),
        Some(_) if !check.is_ascii_digit() && check != b'X' => Err(Error::Character),
        Some(expected) if expected == check => Ok(()),
        Some(_) => Err(Error::CheckDigit),
    }
}

/// The ninth character for the first eight; none, if one of them is not a digit or capital letter.
pub fn check_character(first: &[u8; 8]) -> Option<u8> {
    let mut sum = 0u32;
    for (byte, weight) in first.iter().zip([3, 7, 9, 10, 5, 8, 4, 2]) {
        let value = match byte {
            b'0'..=b'9' => byte - b'0',
            b'A'..=b'Z' => byte - b'A' + 10,
            _ => return None,
        };
        sum += u32::from(value) * weight;
    }
    Some(match 11 - sum % 11 {
        10 => b'X',
        11 => b'0',
        digit => b'0' + u8::try_from(digit).expect("at most 9"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_hyphen_is_optional() {
        assert_eq!(check("60003734-1"), Ok(()));
        assert_eq!(check("600037341"), Ok(()));
    }

    #[test]
    fn each_fault_has_its_own_name() {
        for (code, error) in [
            ("", Error::Empty),
            ("60003734", Error::Length),
            ("6000373411", Error::Length),
            ("60003734--1", Error::Length),
            ("60003734a", Error::Character),
            ("6000373-1", Error::Character),
            ("6000373a1", Error::Character),
            ("600037342", Error::CheckDigit),
            ("60003734X", Error::CheckDigit),
        ] {
            assert_eq!(check(code), Err(error), "{code}");
        }
    }

    proptest! {
        #[test]
        fn a_computed_code_passes_and_no_other_check_character_does(body in "[0-9A-Z]{8}") {
            let right = check_character(body.as_bytes().try_into().unwrap()).unwrap();
            for other in b"0123456789X" {
                let code = format!("{body}{}", char::from(*other));
                prop_assert_eq!(check(&code).is_ok(), *other == right);
            }
        }

        #[test]
        fn any_text_is_checked_without_panic(text in "\\PC{0,12}") {
            let _ = check(&text);
        }
    }
}
