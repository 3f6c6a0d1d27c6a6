//! Resident identity number (公民身份号码, GB 11643-1999): six region digits, birth date, three order
//! digits, check character; and the numbers of other documents that stand in the same column.

use super::{Doubt, Error, province_known};
use crate::date::Date;

/// What sort of number it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A citizen's number of 18 characters.
    Citizen,
    /// A citizen's number of the first generation, 15 digits, without check digit.
    FirstGeneration,
    /// A residence permit of Hong Kong (81), Macao (82) or Taiwan (83) residents, 18 characters.
    ResidencePermit,
    /// A foreigner's permanent residence number of 18 digits, beginning with 9.
    ForeignResident,
    /// A foreigner's permanent residence number of the older form: three letters and twelve digits.
    ForeignResidentOld,
}

impl Kind {
    /// What deserves a look, if anything does.
    pub const fn doubt(self) -> Option<Doubt> {
        match self {
            Kind::Citizen => None,
            Kind::FirstGeneration => Some(Doubt::FirstGeneration),
            Kind::ResidencePermit => Some(Doubt::ResidencePermit),
            Kind::ForeignResident | Kind::ForeignResidentOld => Some(Doubt::ForeignResident),
        }
    }
}

/// Checks a number in normal form. `reference` is the day that birth dates are checked against: none may
/// lie after it or more than 150 years before it.
pub fn check(number: &str, reference: Date) -> Result<Kind, Error> {
    let bytes = number.as_bytes();
    if let Ok(long) = <&[u8; 18]>::try_from(bytes) {
        return eighteen(long, reference);
    }
    if let Ok(short) = <&[u8; 15]>::try_from(bytes) {
        return fifteen(short, reference);
    }
    Err(if bytes.is_empty() { Error::Empty } else { Error::Length })
}

/// The eighteenth character for seventeen digits (ISO 7064 MOD 11-2); none, if one is not a digit.
pub fn check_character(first: &[u8; 17]) -> Option<u8> {
    let mut sum = 0u32;
    for (byte, weight) in first.iter().zip([7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]) {
        if !byte.is_ascii_digit() {
            return None;
        }
        sum += u32::from(byte - b'0') * weight;
    }
    Some(b"10X98765432"[(sum % 11) as usize])
}

fn eighteen(bytes: &[u8; 18], reference: Date) -> Result<Kind, Error> {
    let body: &[u8; 17] = bytes[..17].try_into().expect("17 of 18");
    let Some(expected) = check_character(body) else { return Err(Error::Character) };
    if !bytes[17].is_ascii_digit() && bytes[17] != b'X' {
        return Err(Error::Character);
    }
    let kind = match (bytes[0], bytes[1]) {
        (b'8', b'1'..=b'3') => Kind::ResidencePermit,
        (first, second) if province_known(first, second) => Kind::Citizen,
        // 9, province of issue, nationality as three digits: then birth date, order and check as usual.
        (b'9', _) if province_known(bytes[1], bytes[2]) => Kind::ForeignResident,
        _ => return Err(Error::Region),
    };
    let (year, month, day) = (four(&bytes[6..10]), two(&bytes[10..12]), two(&bytes[12..14]));
    born(year, month, day, reference)?;
    if expected == bytes[17] { Ok(kind) } else { Err(Error::CheckDigit) }
}

fn fifteen(bytes: &[u8; 15], reference: Date) -> Result<Kind, Error> {
    if bytes[..3].iter().all(u8::is_ascii_uppercase) && bytes[3..].iter().all(u8::is_ascii_digit) {
        return Ok(Kind::ForeignResidentOld);
    }
    if !bytes.iter().all(u8::is_ascii_digit) {
        return Err(Error::Character);
    }
    if !province_known(bytes[0], bytes[1]) {
        return Err(Error::Region);
    }
    // Order numbers 996-999 were kept for those who had been born in the century before.
    let century = if bytes[12..] >= b"996"[..] { 1800 } else { 1900 };
    let year = century + u16::from(two(&bytes[6..8]));
    born(year, two(&bytes[8..10]), two(&bytes[10..12]), reference)?;
    Ok(Kind::FirstGeneration)
}

fn born(year: u16, month: u8, day: u8, reference: Date) -> Result<(), Error> {
    let birth = Date::new(year, month, day).ok_or(Error::BirthDate)?;
    if birth > reference || birth.year() + 150 < reference.year() {
        return Err(Error::BirthDateImplausible);
    }
    Ok(())
}

fn two(digits: &[u8]) -> u8 {
    (digits[0] - b'0') * 10 + (digits[1] - b'0')
}

fn four(digits: &[u8]) -> u16 {
    u16::from(two(&digits[..2])) * 100 + u16::from(two(&digits[2..]))
}

/// Whether eighteen characters are a sound number of a person, whatever else they may be: a citizen's, a residence
/// permit's, or that of a foreigner's card of 2023, which begins with 9.
pub fn is_resident_number(number: &str) -> bool {
    if number.len() != 18 || !number.is_ascii() {
        return false;
    }
    // Whoever was born on that day: no day of receipt decides here.
    let birth = Date::parse_accepted(&number[6..14]).map(|(birth, _)| birth);
    birth.is_ok_and(|birth| (1850..2100).contains(&birth.year()) && check(number, birth).is_ok())
}

/// Whether these are fifteen digits that may be a person's number of the first generation: it has no check digit, so region
/// and birth date are all there is to go by.
pub fn may_be_first_generation(number: &str) -> bool {
    let Ok(digits) = <&[u8; 15]>::try_from(number.as_bytes()) else { return false };
    digits.iter().all(u8::is_ascii_digit)
        && province_known(digits[0], digits[1])
        && Date::new(1900 + u16::from(two(&digits[6..8])), two(&digits[8..10]), two(&digits[10..12]))
            .is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identifier::normalise;
    use proptest::prelude::*;

    fn today() -> Date {
        Date::new(2026, 11, 21).unwrap()
    }

    fn with_check(body: &str) -> String {
        let check = check_character(body.as_bytes().try_into().unwrap()).unwrap();
        format!("{body}{}", char::from(check))
    }

    // Published test vectors of public libraries, not persons.
    #[test]
    fn published_vectors_hold() {
        for number in ["360426199101010071", "44011320141005001x", "412723199010050012", "110102199101010078"]
        {
            assert_eq!(check(&normalise(number), today()), Ok(Kind::Citizen), "{number}");
        }
        for (number, error) in [
            ("", Error::Empty),
            ("3604261991", Error::Length),
            ("T60426199101010078", Error::Character),
            ("36042619910101007Y", Error::Character),
            ("360426199113010079", Error::BirthDate),
            ("36042619910102009X", Error::CheckDigit),
            ("990426199112010074", Error::Region),
        ] {
            assert_eq!(check(number, today()), Err(error), "{number}");
        }
    }

    #[test]
    fn other_documents_in_the_column_are_named() {
        for (number, kind) in [
            (with_check("81000019900101001"), Kind::ResidencePermit),
            (with_check("83000019900101001"), Kind::ResidencePermit),
            (with_check("93584019900101001"), Kind::ForeignResident),
            ("ABC350290010199".to_owned(), Kind::ForeignResidentOld),
            ("350299900101001".to_owned(), Kind::FirstGeneration),
            ("350299990101998".to_owned(), Kind::FirstGeneration),
        ] {
            assert_eq!(check(&number, today()), Ok(kind), "{number}");
            assert!(kind.doubt().is_some());
        }
        assert_eq!(check("350299901301001", today()), Err(Error::BirthDate));
        assert_eq!(check("990299900101001", today()), Err(Error::Region));
    }

    #[test]
    fn births_are_judged_against_the_reference_day() {
        let tomorrow = with_check("35029920261122001");
        assert_eq!(check(&tomorrow, today()), Err(Error::BirthDateImplausible));
        assert_eq!(check(&tomorrow, Date::new(2026, 11, 22).unwrap()), Ok(Kind::Citizen));
        assert_eq!(check(&with_check("35029918751231001"), today()), Err(Error::BirthDateImplausible));
        assert_eq!(check(&with_check("35029918760101001"), today()), Ok(Kind::Citizen));
    }

    proptest! {
        #[test]
        fn one_changed_digit_is_always_noticed(
            region in "35[0-9]{4}", days in -20_000i32..18_000, order in 0u16..1000, place in 0usize..18, digit in 0u8..10,
        ) {
            let birth = Date::from_days(days).unwrap().to_string().replace('-', "");
            let number = with_check(&format!("{region}{birth}{order:03}"));
            prop_assert_eq!(check(&number, today()), Ok(Kind::Citizen));
            let mut wrong = number.into_bytes();
            if wrong[place] != b'0' + digit {
                wrong[place] = b'0' + digit;
                prop_assert!(check(&String::from_utf8(wrong).unwrap(), today()).is_err());
            }
        }

        #[test]
        fn any_text_is_checked_without_panic(text in "\\PC{0,20}|[0-9X]{18}|[A-Z0-9]{15}") {
            let _ = check(&text, today());
        }
    }
}
