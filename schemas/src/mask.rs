//! Masks: what stays of a value that a recipient may not see in full.
//!
//! The defaults are the strict ones: no check digit, no full birth date, no end of a phone number, and for
//! a name nothing that tells its length. A mask is checked by what it shows: every mask of a text that does
//! not look as expected shows nothing of it.

mod address;
mod coarse;
mod name;

pub use coarse::{amount_band, division, year};

/// A way of masking a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mask {
    /// Natural person's name: `张**`, `欧阳**`, `J**`.
    Name,
    /// Resident identity number: first six characters, then stars (`350203************`).
    Id,
    /// Passports and other documents: first two characters, then stars; short ones only stars.
    Certificate,
    /// Mobile phone: first three digits, then stars. Landline: area code, then stars.
    Phone,
    /// Bank card: first six digits (the bank), then stars.
    BankCard,
    /// Address down to county, district or banner: `福建省厦门市思明区****`.
    Address,
    /// E-mail: first character and the domain.
    EMail,
    /// Nothing but three stars.
    All,
}

impl Mask {
    /// The mask of a name in policy files, such as `mask-id`.
    pub fn by_name(name: &str) -> Option<Mask> {
        Some(match name {
            "mask-name" => Mask::Name,
            "mask-id" => Mask::Id,
            "mask-certificate" => Mask::Certificate,
            "mask-phone" => Mask::Phone,
            "mask-bank-card" => Mask::BankCard,
            "mask-address" => Mask::Address,
            "mask-e-mail" => Mask::EMail,
            "mask-all" => Mask::All,
            _ => return None,
        })
    }

    /// Appends the masked value to `out`. A blank value stays blank.
    pub fn apply(self, value: &str, out: &mut String) {
        let value = value.trim();
        if value.is_empty() {
            return;
        }
        match self {
            Mask::Name => name::mask(value, out),
            Mask::Id => id(value, out),
            Mask::Certificate => certificate(value, out),
            Mask::Phone => phone(value, out),
            Mask::BankCard => prefix(value, 6, 12, out),
            Mask::Address => address::mask(value, out),
            Mask::EMail => e_mail(value, out),
            Mask::All => out.push_str("***"),
        }
    }

    /// The masked value as a new text.
    pub fn of(self, value: &str) -> String {
        let mut out = String::with_capacity(value.len());
        self.apply(value, &mut out);
        out
    }
}

/// An identity number shows its region; whatever else stands in the column is masked as a certificate.
fn id(value: &str, out: &mut String) {
    let number: String =
        value.chars().filter(|character| !character.is_whitespace() && *character != '-').collect();
    let region = number.chars().take(6).all(is_digit);
    if region && matches!(number.chars().count(), 15 | 18) {
        prefix(&number, 6, 12, out);
    } else {
        certificate(value, out);
    }
}

/// Two characters at most; a short number shows none.
fn certificate(value: &str, out: &mut String) {
    prefix(value, 2, 6, out);
}

fn phone(value: &str, out: &mut String) {
    let digits = value.chars().filter(|character| is_digit(*character)).count();
    let first = value.chars().next().map_or('*', half_width);
    match first {
        '1' if digits == 11 && value.chars().count() == 11 => prefix(value, 3, 11, out),
        '0' if (10..=12).contains(&digits) => {
            // 010 and 02x have three digits, all others four.
            let second = value.chars().nth(1).map_or('*', half_width);
            let area = if matches!(second, '1' | '2') { 3 } else { 4 };
            if value.chars().take(area).all(is_digit) {
                out.extend(value.chars().take(area));
                out.push_str("-*******");
            } else {
                out.push_str("***********");
            }
        }
        _ => out.push_str("***********"),
    }
}

fn e_mail(value: &str, out: &mut String) {
    match value.split_once('@') {
        Some((local, domain)) if !local.is_empty() && !domain.contains('@') => {
            out.extend(local.chars().next());
            out.push_str("***@");
            out.push_str(domain);
        }
        _ => out.push_str("***"),
    }
}

/// The first `shown` characters, if the text has at least `least`; then a star for each of the others.
/// A shorter text becomes stars wholly.
fn prefix(value: &str, shown: usize, least: usize, out: &mut String) {
    let length = value.chars().count();
    let shown = if length >= least { shown.min(length * 2 / 5) } else { 0 };
    out.extend(value.chars().take(shown));
    out.extend(std::iter::repeat_n('*', length - shown));
}

fn is_digit(character: char) -> bool {
    half_width(character).is_ascii_digit()
}

fn half_width(character: char) -> char {
    match character {
        '０'..='９' => {
            char::from_u32(u32::from(character) - 0xFEE0).expect("full-width digits shift into ASCII")
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [&str; 8] = [
        "mask-name",
        "mask-id",
        "mask-certificate",
        "mask-phone",
        "mask-bank-card",
        "mask-address",
        "mask-e-mail",
        "mask-all",
    ];

    #[test]
    fn defaults() {
        for (mask, value, masked) in [
            (Mask::Id, "350203199001011234", "350203************"),
            (Mask::Id, "350203900101123", "350203*********"),
            (Mask::Id, "E12345678", "E1*******"),
            (Mask::Id, "１１０１０１199001011234", "１１０１０１************"),
            (Mask::Id, "3502031990", "35********"),
            (Mask::Id, "-", "*"),
            (Mask::Certificate, "H12345678", "H1*******"),
            (Mask::Certificate, "12345", "*****"),
            (Mask::Phone, "13800138000", "138********"),
            (Mask::Phone, "0592-5551234", "0592-*******"),
            (Mask::Phone, "01055512345", "010-*******"),
            (Mask::Phone, "138-0013-8000", "***********"),
            (Mask::Phone, "小张", "***********"),
            (Mask::BankCard, "6222020200112233", "622202**********"),
            (Mask::BankCard, "6222020200112233445", "622202*************"),
            (Mask::BankCard, "62220202001", "***********"),
            (Mask::EMail, "someone@mail.example", "s***@mail.example"),
            (Mask::EMail, "no address", "***"),
            (Mask::EMail, "a@b@c", "***"),
            (Mask::All, "anything", "***"),
            (Mask::Name, " ", ""),
        ] {
            assert_eq!(mask.of(value), masked, "{mask:?}");
        }
    }

    #[test]
    fn names_in_policy_files_are_found() {
        assert!(ALL.iter().all(|name| Mask::by_name(name).is_some()));
        assert_eq!(Mask::by_name("pass"), None);
    }

    proptest! {
        #[test]
        fn an_id_shows_neither_check_digit_nor_birth_date(number in "[1-6][0-9]{16}[0-9X]") {
            let masked = Mask::Id.of(&number);
            prop_assert_eq!(masked.len(), 18);
            prop_assert_eq!(&masked[..6], &number[..6]);
            prop_assert!(masked[6..].bytes().all(|byte| byte == b'*'));
        }

        #[test]
        fn no_mask_shows_the_last_two_digits_of_a_number(number in "[0-9]{5,20}") {
            for name in ["mask-id", "mask-certificate", "mask-phone", "mask-bank-card", "mask-name", "mask-address", "mask-all"] {
                let masked = Mask::by_name(name).unwrap().of(&number);
                prop_assert!(masked.ends_with("**"), "{}", name);
                prop_assert!(masked.matches(char::is_numeric).count() <= 6, "{}", name);
            }
        }

        #[test]
        fn any_text_is_masked_without_panic(text in "\\PC{0,30}") {
            for name in ALL {
                let masked = Mask::by_name(name).unwrap().of(&text);
                prop_assert_eq!(masked.is_empty(), text.trim().is_empty());
                prop_assert!(masked.is_empty() || masked.contains('*'));
            }
        }
    }
}
