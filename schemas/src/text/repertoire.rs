//! Characters that should not be in a record, or deserve a look.

use super::unassigned::UNASSIGNED;

/// What was found in a text, each with the place (in characters, from zero) of the first of its kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repertoire {
    /// A noncharacter (U+FFFE, U+FDD0…): never part of any text. To be refused.
    pub noncharacter: Option<usize>,
    /// A control character other than tab, line feed and carriage return. To be refused.
    pub control: Option<usize>,
    /// A private-use character: its picture depends on somebody's font. To be warned of.
    pub private_use: Option<usize>,
    /// A character that Unicode has not assigned. To be warned of.
    pub unassigned: Option<usize>,
    /// U+FFFD: a character was already lost before the text came here. To be warned of.
    pub replacement: Option<usize>,
}

impl Repertoire {
    /// Whether nothing was found.
    pub fn is_clean(&self) -> bool {
        *self == Repertoire::default()
    }
}

/// Looks for characters that should not be in a record.
pub fn repertoire(text: &str) -> Repertoire {
    let mut found = Repertoire::default();
    if plain(text.as_bytes()) {
        return found;
    }
    for (position, character) in text.chars().enumerate() {
        let place = match character {
            '\u{0}'..='\u{8}' | '\u{B}' | '\u{C}' | '\u{E}'..='\u{1F}' | '\u{7F}'..='\u{9F}' => {
                &mut found.control
            }
            ' '..='~' | '\t' | '\n' | '\r' | '\u{4E00}'..='\u{9FFF}' | '\u{FF01}'..='\u{FF5E}' => continue,
            '\u{FFFD}' => &mut found.replacement,
            '\u{E000}'..='\u{F8FF}' => &mut found.private_use,
            '\u{FDD0}'..='\u{FDEF}' => &mut found.noncharacter,
            other if other as u32 & 0xFFFE == 0xFFFE => &mut found.noncharacter,
            '\u{F0000}'..='\u{10FFFF}' => &mut found.private_use,
            other if unassigned(other as u32) => &mut found.unassigned,
            _ => continue,
        };
        place.get_or_insert(position);
    }
    found
}

/// Whether a text holds nothing but characters known to be sound: a quick pass over the bytes that the
/// compiler turns into vector instructions. Ideographs, kana, CJK and full-width signs count as sound.
fn plain(bytes: &[u8]) -> bool {
    let windows = super::any_three(bytes, suspicious);
    let tail = match bytes {
        [.., first, second] => suspicious(*first, *second, 0xFF) | suspicious(*second, 0xFF, 0xFF),
        [only] => suspicious(*only, 0xFF, 0xFF),
        [] => false,
    };
    !windows && !tail
}

/// Whether the character that begins with these bytes of UTF-8 needs a closer look.
fn suspicious(first: u8, second: u8, third: u8) -> bool {
    let control = (first < 0x20) & (first != b'\t') & (first != b'\n') & (first != b'\r');
    let lead = (first >= 0xC2) & !(0xE3..=0xE9).contains(&first);
    let common = (first == 0xC2) & (second >= 0xA0) // Latin-1 signs such as ·
        | (first == 0xE2) & (second == 0x80) & (0x90..0xA9).contains(&third) // dashes, quotation marks
        | (first == 0xEF) & (second == 0xBC) & (third != 0x80); // full-width forms
    let holes = (first == 0xE3) & (0x81..=0x88).contains(&second); // U+3040 to U+323F
    control | (first == 0x7F) | (lead & !common) | holes
}

fn unassigned(code: u32) -> bool {
    UNASSIGNED
        .binary_search_by(|(first, last)| {
            if *last < code {
                std::cmp::Ordering::Less
            } else if *first > code {
                std::cmp::Ordering::Greater
            } else {
                std::cmp::Ordering::Equal
            }
        })
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ordinary_and_rare_characters_are_clean() {
        for text in [
            "",
            "厦门市〔2026〕1号，（样例）\r\n\t",
            "𠮷喆㐀\u{9FFC}·",
            "\u{2A6DD}\u{30000}\u{31350}",
            "Ünïcode 😀",
        ] {
            assert!(repertoire(text).is_clean(), "{text}");
        }
    }

    #[test]
    fn strays_are_found_where_they_stand() {
        let one = |text: &str| repertoire(text);
        assert_eq!(one("甲\u{7}乙").control, Some(1));
        assert_eq!(one("甲\u{85}").control, Some(1));
        assert_eq!(one("\u{0}").control, Some(0));
        assert_eq!(one("甲乙\u{E000}").private_use, Some(2));
        assert_eq!(one("\u{F0000}").private_use, Some(0));
        assert_eq!(one("\u{FFFE}").noncharacter, Some(0));
        assert_eq!(one("a\u{1FFFF}").noncharacter, Some(1));
        assert_eq!(one("a\u{FDD0}").noncharacter, Some(1));
        assert_eq!(one("张\u{FFFD}").replacement, Some(1));
        assert_eq!(one("\u{0378}").unassigned, Some(0));
        assert_eq!(one("\u{E0FFF}").unassigned, Some(0));
        assert_eq!(one("\u{2FFF}").unassigned, None); // assigned in Unicode 15.1
    }

    #[test]
    fn the_table_is_in_order() {
        assert!(UNASSIGNED.iter().all(|(first, last)| first <= last));
        assert!(UNASSIGNED.windows(2).all(|pair| pair[0].1 < pair[1].0));
    }

    proptest! {
        #[test]
        fn a_quick_look_misses_nothing(before in "\\PC{0,8}", character in any::<char>()) {
            let text = format!("{before}{character}");
            let alone = repertoire(&format!("\u{E000}{character}"));
            let strange = alone.control.is_some() || alone.noncharacter.is_some() || alone.unassigned.is_some()
                || alone.replacement.is_some();
            if strange {
                prop_assert!(!repertoire(&text).is_clean());
            }
        }
    }
}
