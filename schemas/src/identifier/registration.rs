//! Numbers by which organisations went before 2015, and that look like a person's number by chance: the registration
//! number (工商行政管理注册号, GS 15-2006) and the tax number made of it. Each has a check of its own, which decides first.

use super::resident_id::is_resident_number;
use super::{organisation_code, uscc};
use crate::model::SubjectKind;

/// The fifteenth digit of a registration number for the first fourteen (ISO 7064 MOD 11,10); none, if one is no digit.
pub fn check_digit(first: &[u8; 14]) -> Option<u8> {
    let mut product = 10u32;
    for byte in first {
        if !byte.is_ascii_digit() {
            return None;
        }
        let sum = (product % 11 + u32::from(byte - b'0')) % 10;
        product = (if sum == 0 { 10 } else { sum }) * 2;
    }
    Some(b'0' + u8::try_from((11 - product % 11) % 10).expect("one digit"))
}

/// Whether these are fifteen digits of which the last checks the others.
pub fn is_registration_number(number: &str) -> bool {
    <&[u8; 15]>::try_from(number.as_bytes()).is_ok_and(|digits| {
        let first: &[u8; 14] = digits[..14].try_into().expect("14 of 15");
        check_digit(first) == Some(digits[14])
    })
}

/// Whether a sound registration number is one of an individual business: the first of its eight serial digits says so (GS
/// 15-2006: 0 to 3 domestic enterprises, 4 and 5 foreign ones, 6 to 9 individual businesses).
pub fn is_of_individual_business(number: &str) -> bool {
    is_registration_number(number) && matches!(number.as_bytes()[6], b'6'..=b'9')
}

/// Whether this is a tax number of an organisation: six region digits and an organisation code that is sound.
pub fn is_organisations_tax_number(number: &str) -> bool {
    number.len() == 15
        && number.is_ascii()
        && number.as_bytes()[..6].iter().all(u8::is_ascii_digit)
        && organisation_code::check(&number[6..]).is_ok()
}

/// The column that a number stands in: in another one its check says less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// Registration numbers, organisation codes and the like.
    Codes,
    /// Tax numbers.
    TaxNumbers,
}

/// Whether this is, by its own check, a number of a subject of this kind and no person's: a registration number, a tax
/// number with a sound organisation code inside, an organisation code, or a credit code that is no resident number.
pub fn is_organisations(number: &str, column: Column, kind: SubjectKind) -> bool {
    match (number.len(), column) {
        (9 | 10, Column::Codes) => organisation_code::check(number).is_ok(),
        (15, Column::Codes) => {
            let of_business = kind == SubjectKind::IndividualBusiness;
            is_registration_number(number) && is_of_individual_business(number) == of_business
        }
        (15, Column::TaxNumbers) => is_organisations_tax_number(number),
        (18, _) => uscc::check(number) == Ok(uscc::Kind::Ordinary) && !is_resident_number(number),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_check_digit_is_that_of_the_standard() {
        // The example of GS 15-2006.
        assert!(is_registration_number("110108000000016"));
        for wrong in ["110108000000017", "11010800000001", "11010800000001X", "１１０１０"] {
            assert!(!is_registration_number(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_number_is_an_organisation_s_by_its_own_check() {
        use Column::{Codes, TaxNumbers};
        use SubjectKind::{IndividualBusiness, LegalPerson};
        let trade = (0..10).map(|check| format!("35029960000001{check}"));
        let trade = trade.into_iter().find(|number| is_registration_number(number)).unwrap();
        for (number, column, kind) in [
            ("110108000000016", Codes, LegalPerson),
            (&trade, Codes, IndividualBusiness),
            ("350203600037341", TaxNumbers, LegalPerson),
            ("600037341", Codes, LegalPerson),
            ("60003734-1", Codes, LegalPerson),
            ("91350200MA31A00160", Codes, LegalPerson),
            ("91350200MA31A00160", TaxNumbers, LegalPerson),
        ] {
            assert!(is_organisations(number, column, kind), "{number}");
        }
        for (number, column, kind) in [
            // Of the other kind, and in the other column.
            ("110108000000016", Codes, IndividualBusiness),
            (&trade, Codes, LegalPerson),
            ("110108000000016", TaxNumbers, LegalPerson),
            ("350203600037341", Codes, LegalPerson),
            ("350299900101001", Codes, LegalPerson),
            ("441399196001010808", Codes, LegalPerson),
            ("350203199001010010", TaxNumbers, LegalPerson),
            ("104", Codes, LegalPerson),
            ("", Codes, LegalPerson),
            ("91350200MA31A0016", Codes, LegalPerson),
        ] {
            assert!(!is_organisations(number, column, kind), "{number}");
        }
    }

    proptest! {
        #[test]
        fn one_changed_digit_is_noticed(body in "[0-9]{14}", place in 0usize..15, digit in 0u8..10) {
            let check = check_digit(body.as_bytes().try_into().unwrap()).unwrap();
            let mut number = format!("{body}{}", char::from(check)).into_bytes();
            prop_assert!(is_registration_number(std::str::from_utf8(&number).unwrap()));
            if number[place] != b'0' + digit {
                number[place] = b'0' + digit;
                prop_assert!(!is_registration_number(std::str::from_utf8(&number).unwrap()));
            }
        }

        #[test]
        fn any_text_is_checked_without_panic(text in "\\PC{0,20}|[0-9A-Z张]{9,18}") {
            let _ = (is_resident_number(&text), is_registration_number(&text));
            for column in [Column::Codes, Column::TaxNumbers] {
                let _ = is_organisations(&text, column, SubjectKind::LegalPerson);
            }
        }
    }
}
