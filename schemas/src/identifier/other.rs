//! Documents of which only the shape can be checked: they have no check digit, or none that is public.

use super::Error;

/// A Chinese or foreign passport: 5 to 17 capital letters and digits, at least four of them digits.
pub fn passport(number: &str) -> Result<(), Error> {
    let bytes = number.as_bytes();
    match bytes.len() {
        0 => return Err(Error::Empty),
        5..=17 => {}
        _ => return Err(Error::Length),
    }
    if !bytes.iter().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase()) {
        return Err(Error::Character);
    }
    if bytes.iter().filter(|byte| byte.is_ascii_digit()).count() < 4 {
        return Err(Error::Shape);
    }
    Ok(())
}

/// 港澳居民来往内地通行证: H or M and eight digits, or ten with the two digits of the issue.
pub fn hong_kong_macao_permit(number: &str) -> Result<(), Error> {
    match number.as_bytes() {
        [] => Err(Error::Empty),
        [b'H' | b'M', digits @ ..] if matches!(digits.len(), 8 | 10) => all_digits(digits),
        [b'H' | b'M', ..] => Err(Error::Length),
        _ => Err(Error::Shape),
    }
}

/// 台湾居民来往大陆通行证: eight digits, or ten (older cards add two for the issue), or a letter and the
/// digits of the oldest.
pub fn taiwan_permit(number: &str) -> Result<(), Error> {
    match number.as_bytes() {
        [] => Err(Error::Empty),
        [letter, digits @ ..] if letter.is_ascii_uppercase() && matches!(digits.len(), 8..=11) => {
            all_digits(digits)
        }
        digits if matches!(digits.len(), 8 | 10) => all_digits(digits),
        _ => Err(Error::Length),
    }
}

/// 工商注册号: fifteen digits, or the unified social credit code that replaced it.
pub fn registration_number(number: &str) -> Result<(), Error> {
    match number.len() {
        0 => Err(Error::Empty),
        15 => all_digits(number.as_bytes()),
        18 => super::uscc::check(number).map(drop),
        _ => Err(Error::Length),
    }
}

/// 纳税人识别号: 15, 17, 18 or 20 digits and capital letters.
pub fn tax_number(number: &str) -> Result<(), Error> {
    match number.len() {
        0 => Err(Error::Empty),
        15 | 17 | 18 | 20 => {
            let sound = number.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
            if sound { Ok(()) } else { Err(Error::Character) }
        }
        _ => Err(Error::Length),
    }
}

/// A mobile phone of the mainland: eleven digits from 13 to 19.
pub fn mobile(number: &str) -> Result<(), Error> {
    match number.as_bytes() {
        [] => Err(Error::Empty),
        [b'1', b'3'..=b'9', rest @ ..] if rest.len() == 9 => all_digits(rest),
        digits if digits.len() == 11 => Err(Error::Shape),
        _ => Err(Error::Length),
    }
}

fn all_digits(digits: &[u8]) -> Result<(), Error> {
    if digits.iter().all(u8::is_ascii_digit) { Ok(()) } else { Err(Error::Character) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shapes_are_told_apart() {
        for number in ["E12345678", "EA1234567", "P1234567", "123456789", "C01X00T47"] {
            assert_eq!(passport(number), Ok(()), "{number}");
        }
        for (number, error) in [
            ("", Error::Empty),
            ("E123", Error::Length),
            ("e12345678", Error::Character),
            ("ABCDEF12", Error::Shape),
            ("护照12345", Error::Character),
        ] {
            assert_eq!(passport(number), Err(error), "{number}");
        }
        assert_eq!(hong_kong_macao_permit("H12345678"), Ok(()));
        assert_eq!(hong_kong_macao_permit("M1234567800"), Ok(()));
        assert_eq!(hong_kong_macao_permit("C12345678"), Err(Error::Shape));
        assert_eq!(hong_kong_macao_permit("H1234567"), Err(Error::Length));
        assert_eq!(hong_kong_macao_permit("H1234567A"), Err(Error::Character));
        assert_eq!(taiwan_permit("12345678"), Ok(()));
        assert_eq!(taiwan_permit("1234567801"), Ok(()));
        assert_eq!(taiwan_permit("123456789"), Err(Error::Length));
        assert_eq!(taiwan_permit("1234567A"), Err(Error::Character));
        assert_eq!(registration_number("350200100012345"), Ok(()));
        assert_eq!(registration_number("35020010001234"), Err(Error::Length));
        assert_eq!(registration_number("35020010001234A"), Err(Error::Character));
        assert_eq!(tax_number("350200100012345"), Ok(()));
        assert_eq!(tax_number("3502001000123456"), Err(Error::Length));
        assert_eq!(mobile("13800138000"), Ok(()));
        assert_eq!(mobile("12800138000"), Err(Error::Shape));
        assert_eq!(mobile("1380013800"), Err(Error::Length));
        assert_eq!(mobile("1380013800x"), Err(Error::Character));
    }

    proptest! {
        #[test]
        fn any_text_is_checked_without_panic(text in "\\PC{0,20}") {
            let _ = (passport(&text), hong_kong_macao_permit(&text), taiwan_permit(&text));
            let _ = (registration_number(&text), tax_number(&text), mobile(&text));
        }
    }
}
