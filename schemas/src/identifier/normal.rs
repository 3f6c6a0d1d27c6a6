//! The normal form of an identifier: half-width, upper case, no spaces, no hyphens.

use std::borrow::Cow;

/// Folds full-width letters, digits and signs to half-width, drops spaces and hyphens of any width, and
/// puts ASCII letters into upper case. Borrowed means that nothing had to change. Other characters stay
/// as they are, for the check to refuse.
pub fn normalise(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| byte.is_ascii() && !needs_change(byte)) {
        return Cow::Borrowed(text);
    }
    let normal: String = text.chars().filter_map(fold).collect();
    if normal == text { Cow::Borrowed(text) } else { Cow::Owned(normal) }
}

fn needs_change(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_whitespace() || byte == b'-'
}

fn fold(character: char) -> Option<char> {
    let folded = match character {
        '\u{FF01}'..='\u{FF5E}' => {
            char::from_u32(u32::from(character) - 0xFEE0).expect("full-width forms shift into ASCII")
        }
        other => other,
    };
    match folded {
        '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{200B}' | '\u{FEFF}' => None,
        space if space.is_whitespace() => None,
        other => Some(other.to_ascii_uppercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spellings_of_one_code_meet() {
        for text in [
            "９１３５０２００ＭＡ２Ｘ",
            "91350200ma2x",
            " 91350200-MA2X",
            "91350200－ma2ｘ",
            "9135 0200\u{3000}MA2X\n",
            "91350200—MA2X",
        ] {
            assert_eq!(normalise(text), "91350200MA2X", "{text}");
            assert!(matches!(normalise(text), Cow::Owned(_)));
        }
    }

    #[test]
    fn a_normal_form_is_borrowed() {
        assert!(matches!(normalise("91350200MA2X"), Cow::Borrowed(_)));
        assert!(matches!(normalise("张三"), Cow::Borrowed(_)));
        assert!(matches!(normalise(""), Cow::Borrowed(_)));
    }

    proptest! {
        #[test]
        fn normal_forms_are_final(text in "\\PC{0,24}") {
            let once = normalise(&text).into_owned();
            prop_assert!(matches!(normalise(&once), Cow::Borrowed(same) if same == once));
        }
    }
}
