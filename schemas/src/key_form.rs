//! Form 2 of the key fields: under which name a record is found again when it is spelled differently.
//!
//! Form 1 is what [`ValidRecord::key_material`](crate::ValidRecord::key_material) writes. The keys by which recipients know records
//! hang on it, so it never changes, and it folds too little: brackets it does not know, invisible characters, the 15-digit number of a
//! person, the organisation code that is part of a credit code. Form 2 is made from form 1 and nothing else, so records that are equal in
//! form 1 are equal in form 2. It only says that two records are the same; no key is ever made from it.

use crate::date::Date;
use crate::identifier::{Form, organisation_code, province_known, resident_id, uscc};
use crate::schema::{FieldType, KeyPart, Schema};

impl Schema {
    /// Appends form 2 of key fields in form 1, in the same layout; false, and nothing appended, if they are not key fields of
    /// this dataset.
    pub fn key_form_2(&self, form_1: &[u8], out: &mut Vec<u8>) -> bool {
        let start = out.len();
        let mut rest = form_1;
        for part in &self.key {
            let Some(text) = take_part(&mut rest) else {
                out.truncate(start);
                return false;
            };
            let before = out.len();
            out.extend_from_slice(&[0; 4]);
            fold_into(text, out);
            if self.holds_a_number_of_a_subject(part) {
                one_number_of_a_subject(out, before + 4);
            }
            let length = u32::try_from(out.len() - before - 4)
                .expect("form 2 is no longer than form 1, give or take 3");
            out[before..before + 4].copy_from_slice(&length.to_be_bytes());
        }
        if !rest.is_empty() {
            out.truncate(start);
        }
        rest.is_empty()
    }

    /// By all fields of the part: which of them a record fills makes no difference, as in form 1.
    fn holds_a_number_of_a_subject(&self, part: &KeyPart) -> bool {
        part.fields.iter().any(|field| match &self.fields[usize::from(*field)].kind {
            FieldType::Identifier { form, .. } => matches!(
                form,
                Form::Uscc | Form::OrganisationCode | Form::ResidentId | Form::ResidentIdOrPassport
            ),
            FieldType::Certificate { .. } => true,
            _ => false,
        })
    }
}

fn take_part<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let (length, tail) = rest.split_first_chunk::<4>()?;
    let (text, tail) = tail.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    *rest = tail;
    std::str::from_utf8(text).ok()
}

fn fold_into(text: &str, out: &mut Vec<u8>) {
    if text.bytes().all(stays) {
        return out.extend_from_slice(text.as_bytes());
    }
    let mut utf8 = [0; 4];
    for character in text.chars().filter_map(folded) {
        out.extend_from_slice(character.encode_utf8(&mut utf8).as_bytes());
    }
}

/// Does no character that has this byte in UTF-8 change? Those that do are `<`, `>`, or begin with one of these.
fn stays(byte: u8) -> bool {
    !matches!(byte, b'<' | b'>' | 0xC2 | 0xCD | 0xD8 | 0xE1..=0xE3 | 0xEF..)
}

fn folded(character: char) -> Option<char> {
    if is_opening(character) {
        return Some('(');
    }
    if is_closing(character) {
        return Some(')');
    }
    if is_invisible(character) { None } else { Some(character) }
}

/// Brackets that form 1 leaves as they are.
fn is_opening(character: char) -> bool {
    matches!(
        character,
        '<' | '«'
            | '‹'
            | '「'
            | '『'
            | '〈'
            | '《'
            | '〘'
            | '〚'
            | '｢'
            | '｟'
            | '﹝'
            | '﹛'
            | '﹤'
            | '⁅'
            | '⁽'
            | '₍'
            | '❨'
            | '❪'
            | '❬'
            | '❮'
            | '❰'
            | '❲'
            | '❴'
            | '⟅'
            | '⟦'
            | '⟨'
            | '⟪'
            | '⟬'
            | '⟮'
            | '⦃'
            | '⦅'
            | '⦇'
            | '⦉'
            | '⦋'
            | '⦍'
            | '⦏'
            | '⦑'
            | '⦓'
            | '⦕'
            | '⦗'
            | '⧘'
            | '⧚'
            | '⧼'
            | '⸢'
            | '⸤'
            | '⸦'
            | '⸨'
            | '\u{2329}'
            | '\u{FE17}'
            | '\u{FE35}'
            | '\u{FE37}'
            | '\u{FE39}'
            | '\u{FE3B}'
            | '\u{FE3D}'
            | '\u{FE3F}'
            | '\u{FE41}'
            | '\u{FE43}'
            | '\u{FE47}'
    )
}

fn is_closing(character: char) -> bool {
    matches!(
        character,
        '>' | '»'
            | '›'
            | '」'
            | '』'
            | '〉'
            | '》'
            | '〙'
            | '〛'
            | '｣'
            | '｠'
            | '﹞'
            | '﹜'
            | '﹥'
            | '⁆'
            | '⁾'
            | '₎'
            | '❩'
            | '❫'
            | '❭'
            | '❯'
            | '❱'
            | '❳'
            | '❵'
            | '⟆'
            | '⟧'
            | '⟩'
            | '⟫'
            | '⟭'
            | '⟯'
            | '⦄'
            | '⦆'
            | '⦈'
            | '⦊'
            | '⦌'
            | '⦎'
            | '⦐'
            | '⦒'
            | '⦔'
            | '⦖'
            | '⦘'
            | '⧙'
            | '⧛'
            | '⧽'
            | '⸣'
            | '⸥'
            | '⸧'
            | '⸩'
            | '\u{232A}'
            | '\u{FE18}'
            | '\u{FE36}'
            | '\u{FE38}'
            | '\u{FE3A}'
            | '\u{FE3C}'
            | '\u{FE3E}'
            | '\u{FE40}'
            | '\u{FE42}'
            | '\u{FE44}'
            | '\u{FE48}'
    )
}

/// Code points that leave no trace on a page: Default_Ignorable_Code_Point of Unicode, which has the marks of direction and the
/// selectors of variants in it, the marks of interlinear annotation and the empty Braille cell.
fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}' | '\u{180B}'..='\u{180F}'
            | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{2800}' | '\u{3164}'
            | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}' | '\u{1BCA0}'..='\u{1BCA3}'
            | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}'
    )
}

/// Puts one number in the place of those a subject may go by, in the part that begins at `from`: 18 digits for the 15 a person's
/// number had, the organisation code for the credit code it is part of. By the shape alone: columns for other numbers hold these
/// too, and whatever else is equal by chance still differs in document and day.
fn one_number_of_a_subject(out: &mut Vec<u8>, from: usize) {
    let mut number = [0; 18];
    let mut length = 0;
    for byte in out[from..].iter().filter(|byte| **byte != b'-') {
        if length == number.len() || !byte.is_ascii_alphanumeric() {
            return;
        }
        number[length] = byte.to_ascii_uppercase();
        length += 1;
    }
    if length == 15
        && let Some(long) = eighteen(number.first_chunk().expect("15 of 18"))
    {
        (number, length) = (long, 18);
    }
    let text = std::str::from_utf8(&number[..length]).expect("letters and digits");
    let one = match length {
        18 if uscc::check(text).is_ok_and(|kind| kind != uscc::Kind::Placeholder) => &text[8..17],
        18 if is_of_a_person(&number) => text,
        9 if organisation_code::check(text).is_ok() => text,
        _ => return,
    };
    let one = one.to_ascii_lowercase();
    out.truncate(from);
    out.extend_from_slice(one.as_bytes());
}

fn is_of_a_person(number: &[u8; 18]) -> bool {
    number.first_chunk().and_then(resident_id::check_character) == Some(number[17])
}

/// The number a person with one of 15 digits has since 1999 (GB 11643-1999); 996 to 999 were kept for those born before 1900.
fn eighteen(short: &[u8; 15]) -> Option<[u8; 18]> {
    if !short.iter().all(u8::is_ascii_digit) || !province_known(short[0], short[1]) {
        return None;
    }
    let two = |at: usize| (short[at] - b'0') * 10 + (short[at + 1] - b'0');
    let (century, year) = if short[12..] >= b"996"[..] { (b"18", 1800) } else { (b"19", 1900) };
    Date::new(year + u16::from(two(6)), two(8), two(10))?;
    let mut long = [0; 18];
    long[..6].copy_from_slice(&short[..6]);
    long[6..8].copy_from_slice(century);
    long[8..17].copy_from_slice(&short[6..]);
    long[17] = resident_id::check_character(long.first_chunk().expect("17 of 18"))?;
    Some(long)
}

#[cfg(test)]
mod tests;
