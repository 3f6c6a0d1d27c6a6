//! Values that must not stand in a text either: the name of an operator, a number that another field holds.
//!
//! They are found however they are spelt. Compared are letters, digits and ideographs in half width and small letters;
//! white space of any kind, dots between the parts of a name and invisible characters count for nothing.

use std::borrow::Cow;

use memchr::memmem;

/// A value to be found, in the form in which it is compared.
pub(crate) struct Needle {
    characters: Vec<char>,
    /// Its first character in UTF-8, where that has one spelling only: what the text is searched for first.
    anchor: Option<([u8; 4], usize)>,
    /// Digits in it: a text with fewer cannot hold it.
    pub(crate) digits: usize,
}

/// The fewest characters that are looked for. One alone is no name; it would punch holes into every text.
const FEWEST: usize = 2;

/// What of a field's value is to be found: the whole of it, and each part of a list of names.
pub(crate) fn needles(value: &str, name: bool, out: &mut Vec<Needle>) {
    let whole = Needle::of(value);
    let parts = value.split(['、', '，', ',', '；', ';', '/', '／', '（', '）', '(', ')', '|']);
    if name && parts.clone().nth(1).is_some() {
        out.extend(parts.filter_map(Needle::of));
    }
    out.extend(whole);
}

impl Needle {
    fn of(value: &str) -> Option<Self> {
        let characters: Vec<char> = value.chars().filter_map(compared).collect();
        if characters.len() < FEWEST || (characters.len() < 4 && characters.iter().all(char::is_ascii)) {
            return None;
        }
        let first = characters[0];
        let anchor = is_ideograph(first).then(|| {
            let mut bytes = [0; 4];
            let length = first.encode_utf8(&mut bytes).len();
            (bytes, length)
        });
        let digits = characters.iter().filter(|c| c.is_ascii_digit()).count();
        Some(Self { characters, anchor, digits })
    }

    /// Bytes of the text from a place on at which the value stands; where the first character differs, none.
    fn at(&self, text: &str, start: usize) -> Option<usize> {
        let mut wanted = self.characters.iter();
        let mut next = *wanted.next()?;
        for (at, character) in text[start..].char_indices() {
            match compared(character) {
                Some(character) if character == next => match wanted.next() {
                    Some(following) => next = *following,
                    None => return Some(start + at + character_length(text, start + at)),
                },
                Some(_) => return None,
                None if at == 0 => return None,
                None => {}
            }
        }
        None
    }

    /// The next place at or after `from` where the value may begin.
    fn candidate(&self, text: &str, from: usize) -> Option<usize> {
        if let Some((bytes, length)) = &self.anchor {
            return memmem::find(&text.as_bytes()[from..], &bytes[..*length]).map(|at| from + at);
        }
        let first = self.characters[0];
        text[from..].char_indices().find(|(_, c)| compared(*c) == Some(first)).map(|(at, _)| from + at)
    }
}

/// Whether two names are one, however they are spelt.
pub(crate) fn is_same_name(one: &str, other: &str) -> bool {
    one.chars().filter_map(compared).eq(other.chars().filter_map(compared))
}

/// The text with three stars for every place where one of the values stands.
pub(crate) fn hide<'t>(text: Cow<'t, str>, digits: usize, needles: &[Needle]) -> Cow<'t, str> {
    let mut text = text;
    for needle in needles {
        if needle.digits > digits {
            continue;
        }
        let mut out = String::new();
        let (mut kept, mut from) = (0, 0);
        while let Some(start) = needle.candidate(&text, from) {
            match needle.at(&text, start) {
                Some(end) => {
                    out.push_str(&text[kept..start]);
                    out.push_str("***");
                    (kept, from) = (end, end);
                }
                None => from = start + character_length(&text, start),
            }
        }
        if kept > 0 {
            out.push_str(&text[kept..]);
            text = Cow::Owned(out);
        }
    }
    text
}

fn character_length(text: &str, at: usize) -> usize {
    text[at..].chars().next().map_or(1, char::len_utf8)
}

/// Ideographs of the blocks in daily use have no other width and no case.
fn is_ideograph(character: char) -> bool {
    matches!(character, '\u{3400}'..='\u{9FFF}' | '\u{20000}'..='\u{3FFFF}')
}

/// What is compared of a character; nothing of one that may stand in a name or not.
fn compared(character: char) -> Option<char> {
    if is_ideograph(character) {
        return Some(character);
    }
    let folded = match character {
        '\u{FF01}'..='\u{FF5E}' => {
            char::from_u32(u32::from(character) - 0xFEE0).expect("full-width forms shift into ASCII")
        }
        other => other,
    };
    match folded {
        '.'
        | '·'
        | '•'
        | '・'
        | '‧'
        | '･'
        | '∙'
        | '⋅'
        | '．'
        | '-'
        | '\u{2010}'..='\u{2015}'
        | '\u{2212}' => None,
        '\u{AD}'
        | '\u{180E}'
        | '\u{200B}'..='\u{200F}'
        | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' => None,
        '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{E0100}'..='\u{E01EF}' => None,
        other if other.is_whitespace() || other.is_control() => None,
        other => Some(other.to_lowercase().next().unwrap_or(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hidden(text: &str, value: &str) -> String {
        let mut all = Vec::new();
        needles(value, true, &mut all);
        hide(Cow::Borrowed(text), usize::MAX, &all).into_owned()
    }

    #[test]
    fn a_name_is_found_however_it_is_spelt() {
        for (text, value, shown) in [
            ("当事人张三丰拒不改正", "张　三丰", "当事人***拒不改正"),
            ("当事人张 三\u{200B}丰拒不改正", "张三丰", "当事人***拒不改正"),
            ("张三丰与张三丰", "张三丰", "***与***"),
            ("买买提•阿卜杜来函", "买买提·阿卜杜", "***来函"),
            ("买买提阿卜杜来函", "买买提·阿卜杜", "***来函"),
            ("ＪＯＨＮ　ＳＭＩＴＨ来函", "John Smith", "***来函"),
            ("号（E1234 5678）", "e12345678", "号（***）"),
            ("李四和张三", "张三、李四", "***和***"),
            ("经营者张三丰", "张三丰（经营者）", "******"),
            ("张张三丰", "张三丰", "张***"),
            ("共5件", "5", "共5件"),
            ("张家", "张", "张家"),
        ] {
            assert_eq!(hidden(text, value), shown, "{text} {value}");
        }
    }

    proptest! {
        #[test]
        fn nothing_between_its_characters_hides_a_name(
            name in "[张李王欧阳买提A-Z]{2,6}", gap in "[ \u{3000}\u{200B}·•\u{AD}\u{FE0F}]{0,2}", before in "[甲乙0-9，]{0,9}",
        ) {
            prop_assume!(!name.is_ascii());
            let spelt = name.chars().map(String::from).collect::<Vec<_>>().join(&gap);
            let text = format!("{before}{spelt}乙");
            let shown = hidden(&text, &name);
            prop_assert_eq!(shown, format!("{}***乙", before));
        }

        #[test]
        fn any_text_is_read_without_panic(text in "\\PC{0,40}", value in "\\PC{0,8}") {
            let _ = hidden(&text, &value);
        }
    }
}
