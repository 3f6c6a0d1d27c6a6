//! Unified social credit code (统一社会信用代码, GB 32100-2015), 18 characters:
//! registrar, category, six region digits, a nine-character organisation code, check character.

use super::{Doubt, Error, organisation_code, province_known, resident_id};

/// What sort of code it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// An ordinary code.
    Ordinary,
    /// An ordinary code whose category digit is not in the registrar's table.
    UnknownCategory,
    /// An ordinary code whose inner organisation code does not satisfy its own check.
    InnerCheckDigit,
    /// A sound code that is a sound number of a person too.
    MayBeResidentNumber,
    /// The placeholder `00000000000000000X`.
    Placeholder,
}

impl Kind {
    /// What deserves a look, if anything does.
    pub const fn doubt(self) -> Option<Doubt> {
        match self {
            Kind::Ordinary => None,
            Kind::UnknownCategory => Some(Doubt::Category),
            Kind::InnerCheckDigit => Some(Doubt::InnerCheckDigit),
            Kind::MayBeResidentNumber => Some(Doubt::MayBeResidentNumber),
            Kind::Placeholder => Some(Doubt::Placeholder),
        }
    }
}

/// What some templates ask for when a subject has no code.
pub const PLACEHOLDER: &str = "00000000000000000X";

/// Checks a code in normal form.
pub fn check(code: &str) -> Result<Kind, Error> {
    let bytes = code.as_bytes();
    match bytes.len() {
        0 => return Err(Error::Empty),
        15 if bytes.iter().all(u8::is_ascii_digit) => return Err(Error::OldRegistrationNumber),
        18 => {}
        _ => return Err(Error::Length),
    }
    let bytes: &[u8; 18] = bytes.try_into().expect("the length was just checked");
    if code == PLACEHOLDER {
        return Ok(Kind::Placeholder);
    }
    for byte in bytes {
        if VALUES[usize::from(*byte)] == NONE {
            let confusable = matches!(byte, b'I' | b'O' | b'S' | b'V' | b'Z');
            return Err(if confusable { Error::ConfusableLetter } else { Error::Character });
        }
    }
    if categories(bytes[0]).is_none() {
        return Err(Error::Registrar);
    }
    if !bytes[1..8].iter().all(u8::is_ascii_digit) {
        return Err(Error::Character);
    }
    let national = bytes[2..8] == *b"100000";
    if !national && !province_known(bytes[2], bytes[3]) {
        return Err(Error::Region);
    }
    if check_character(bytes[..17].try_into().expect("17 of 18")) != Some(bytes[17]) {
        return Err(Error::CheckDigit);
    }
    let inner: &[u8; 8] = bytes[8..16].try_into().expect("8 of 18");
    let sound_inside = organisation_code::check_character(inner) == Some(bytes[16]);
    let in_table = categories(bytes[0]).is_some_and(|table| table.contains(&bytes[1]));
    if resident_id::is_resident_number(code) {
        // Its inner code decides, and then whether there is such a category at all.
        return if sound_inside && in_table {
            Ok(Kind::MayBeResidentNumber)
        } else {
            Err(Error::ResidentNumber)
        };
    }
    if !sound_inside {
        return Ok(Kind::InnerCheckDigit);
    }
    Ok(if in_table { Kind::Ordinary } else { Kind::UnknownCategory })
}

/// The eighteenth character for the first seventeen; none, if one of them is outside the alphabet.
pub fn check_character(first: &[u8; 17]) -> Option<u8> {
    let mut sum = 0u32;
    for (byte, weight) in first.iter().zip(WEIGHTS) {
        match VALUES[usize::from(*byte)] {
            NONE => return None,
            value => sum += u32::from(value) * weight,
        }
    }
    Some(ALPHABET[((31 - sum % 31) % 31) as usize])
}

/// Whether the code belongs to an individual business (个体工商户): a 92… code names one person's trade.
pub fn is_individual_business(code: &str) -> bool {
    code.starts_with("92")
}

/// Registrar → its categories (the table of GB 32100; 9 = others, also where the table is silent on it).
fn categories(registrar: u8) -> Option<&'static [u8]> {
    Some(match registrar {
        b'1' => b"1239",
        b'2' | b'4' | b'8' | b'A' => b"19",
        b'3' => b"123459",
        b'5' | b'9' | b'N' => b"1239",
        b'6' | b'7' => b"129",
        b'Y' => b"1",
        _ => return None,
    })
}

const ALPHABET: [u8; 31] = *b"0123456789ABCDEFGHJKLMNPQRTUWXY";
const WEIGHTS: [u32; 17] = [1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28];
const NONE: u8 = 0xFF;
const VALUES: [u8; 256] = {
    let mut values = [NONE; 256];
    let mut at = 0;
    while at < ALPHABET.len() {
        values[ALPHABET[at] as usize] = at as u8;
        at += 1;
    }
    values
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn registrars_beyond_the_digits_are_in_the_standard() {
        for code in ["N2450400MF0000013Y", "A1350200000000019J", "Y1350200MF0000021K"] {
            assert!(check(code).is_ok(), "{code}");
        }
    }

    #[test]
    fn each_fault_has_its_own_name() {
        for (code, error) in [
            ("", Error::Empty),
            ("12345", Error::Length),
            ("350200100012345", Error::OldRegistrationNumber),
            ("9111000060003IOZSV", Error::ConfusableLetter),
            ("91110000600037341l", Error::Character),
            ("91110000600037341N", Error::CheckDigit),
            ("A1110000600037341L", Error::CheckDigit),
            ("B1110000600037341L", Error::Registrar),
            ("01110000600037341L", Error::Registrar),
            ("91990000600037341L", Error::Region),
            ("9111000A600037341L", Error::Character),
            ("９１１１００", Error::Character),
        ] {
            assert_eq!(check(code), Err(error), "{code}");
        }
    }

    #[test]
    fn the_placeholder_is_doubtful_not_wrong() {
        assert_eq!(check(PLACEHOLDER).map(Kind::doubt), Ok(Some(Doubt::Placeholder)));
    }

    #[test]
    fn odd_category_and_odd_inner_code_are_doubtful() {
        let code = |head: &str, inner: &str| {
            let first: [u8; 17] = format!("{head}{inner}").into_bytes().try_into().unwrap();
            format!("{head}{inner}{}", char::from(check_character(&first).unwrap()))
        };
        let inner = |head: &str| {
            let bytes = head.as_bytes().try_into().unwrap();
            format!("{head}{}", char::from(organisation_code::check_character(bytes).unwrap()))
        };
        assert_eq!(check(&code("91350200", &inner("MA000001"))), Ok(Kind::Ordinary));
        assert_eq!(check(&code("97350200", &inner("MA000001"))), Ok(Kind::UnknownCategory));
        assert_eq!(check(&code("11100000", &inner("00001234"))), Ok(Kind::Ordinary));
        let sound = inner("MA000001");
        let wrong = if sound.ends_with('1') { "MA0000012" } else { "MA0000011" };
        assert_eq!(check(&code("91350200", wrong)), Ok(Kind::InnerCheckDigit));
    }

    proptest! {
        #[test]
        fn any_text_is_checked_without_panic(text in "\\PC{0,24}|[0-9A-Z]{18}") {
            let _ = check(&text);
        }

        #[test]
        fn one_changed_character_is_always_noticed(
            body in "[1-9ANY][1239]35[0-9]{4}[0-9A-HJ-NPQRTUWXY]{9}",
            place in 0usize..18,
            other in 0usize..31,
        ) {
            let first: [u8; 17] = body.clone().into_bytes().try_into().unwrap();
            let mut code = body.into_bytes();
            code.push(check_character(&first).unwrap());
            let text = String::from_utf8(code.clone()).unwrap();
            prop_assert!(check(&text).is_ok());
            if code[place] != ALPHABET[other] {
                code[place] = ALPHABET[other];
                let text = String::from_utf8(code).unwrap();
                prop_assert!(check(&text).is_err());
            }
        }
    }
}
