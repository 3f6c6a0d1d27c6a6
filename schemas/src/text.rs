//! Lengths, repertoire and comparison of text. Text travels as it was sent; nothing here changes it.
//!
//! A recipient's column has its own idea of length: characters, UTF-8 bytes, or bytes of a Chinese code
//! page. A character that the code page does not have is a reported error, never a `?`.

mod repertoire;
mod unassigned;

use std::fmt;
use std::sync::OnceLock;

pub use repertoire::{Repertoire, repertoire};

/// What a length counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unit {
    /// Unicode characters (scalar values).
    Characters,
    /// Bytes of UTF-8.
    Utf8Bytes,
    /// Bytes of GBK (Oracle's ZHS16GBK columns): 1 or 2 for each character it has.
    GbkBytes,
    /// Bytes of GB 18030: 1, 2 or 4; it has every character.
    Gb18030Bytes,
}

/// A character that the code page of the unit does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unrepresentable {
    /// Place of the character, counted in characters from zero.
    pub position: usize,
}

impl Unit {
    /// The unit of a name in schema files: `characters`, `utf8-bytes`, `gbk-bytes`, `gb18030-bytes`.
    pub fn by_name(name: &str) -> Option<Unit> {
        match name {
            "characters" => Some(Unit::Characters),
            "utf8-bytes" => Some(Unit::Utf8Bytes),
            "gbk-bytes" => Some(Unit::GbkBytes),
            "gb18030-bytes" => Some(Unit::Gb18030Bytes),
            _ => None,
        }
    }
}

/// How long a text is in a unit, without encoding it.
pub fn length(text: &str, unit: Unit) -> Result<usize, Unrepresentable> {
    match unit {
        Unit::Characters => Ok(text.chars().count()),
        Unit::Utf8Bytes => Ok(text.len()),
        Unit::GbkBytes if text.is_ascii() => Ok(text.len()),
        Unit::GbkBytes => gbk_length(text),
        Unit::Gb18030Bytes if text.is_ascii() => Ok(text.len()),
        Unit::Gb18030Bytes => {
            let table = two_byte_table();
            Ok(text.chars().map(|character| gb_bytes(character, table)).sum())
        }
    }
}

fn gbk_length(text: &str) -> Result<usize, Unrepresentable> {
    if plainly_gbk(text.as_bytes()) {
        // Three bytes of UTF-8 are two of GBK, one is one, and there is nothing else.
        return Ok(text.len() - text.bytes().filter(|byte| *byte >= 0xE0).count());
    }
    let table = two_byte_table();
    let mut total = 0;
    for (position, character) in text.chars().enumerate() {
        total += match gb_bytes(character, table) {
            4 if character == '€' => 1,
            4 => return Err(Unrepresentable { position }),
            bytes => bytes,
        };
    }
    Ok(total)
}

/// Whether a text is nothing but ASCII, ideographs and signs that are known to be in GBK: most text is, and a
/// plain loop over its bytes, which the compiler turns into vector instructions, can tell.
fn plainly_gbk(bytes: &[u8]) -> bool {
    let within = |byte: u8, from: u8, to: u8| byte.wrapping_sub(from) <= to - from;
    let strays = any_three(bytes, |first, second, third| {
        let sound = (first < 0xC0) // ASCII, or the rest of a character
            | within(first, 0xE5, 0xE8)
            | (first == 0xE4) & (second >= 0xB8)
            | (first == 0xE9) & (second < 0xBE)
            | (first == 0xEF) & (second == 0xBC) & within(third, 0x81, 0xBE)
            | (first == 0xE3) & (second == 0x80) & (within(third, 0x81, 0x82) | within(third, 0x88, 0x91))
            | (first == 0xE2) & (second == 0x80) & within(third, 0x9C, 0x9D);
        !sound
    });
    // A character of two bytes at the end, or at the end of a text of two.
    let two = bytes.len() >= 2 && bytes[bytes.len() - 2] >= 0xC0;
    !strays && !two
}

/// Whether any three bytes in a row satisfy a test. Blocks of a fixed size and no exit inside a block, for the
/// compiler to make vector instructions of it.
fn any_three(bytes: &[u8], test: impl Fn(u8, u8, u8) -> bool) -> bool {
    const BLOCK: usize = 32;
    let mut at = 0;
    while let Some(block) = bytes.get(at..at + BLOCK + 2) {
        let block: &[u8; BLOCK + 2] = block.try_into().expect("a block and two bytes");
        let mut any = 0u8;
        for place in 0..BLOCK {
            any |= u8::from(test(block[place], block[place + 1], block[place + 2]));
        }
        if any != 0 {
            return true;
        }
        at += BLOCK;
    }
    bytes[at..].windows(3).any(|three| test(three[0], three[1], three[2]))
}

/// Whether a text is at most `max` long. Quick where the number of UTF-8 bytes already decides it.
pub fn fits(text: &str, unit: Unit, max: usize) -> Result<bool, Unrepresentable> {
    match unit {
        Unit::Characters | Unit::Utf8Bytes if text.len() <= max => Ok(true),
        // A character takes at most four bytes of UTF-8.
        Unit::Characters if text.len() > max.saturating_mul(4) => Ok(false),
        _ => length(text, unit).map(|length| length <= max),
    }
}

/// Whether every character is in GBK; the first that is not, otherwise.
pub fn in_gbk(text: &str) -> Result<(), Unrepresentable> {
    length(text, Unit::GbkBytes).map(drop)
}

/// A form for matching names, never for storing: full-width letters, digits and signs become half-width,
/// brackets of every shape round ones, letters lower-case; white space goes. Ideographs are not folded: 龙
/// and 龍 stay different.
pub fn comparison_form(text: &str) -> String {
    text.chars().filter_map(compared).collect()
}

fn compared(character: char) -> Option<char> {
    let folded = match character {
        '〔' | '［' | '【' | '〖' | '｛' | '〈' | '《' | '（' | '[' | '{' | '﹙' | '⦅' => '(',
        '〕' | '］' | '】' | '〗' | '｝' | '〉' | '》' | '）' | ']' | '}' | '﹚' | '⦆' => ')',
        '\u{FF01}'..='\u{FF5E}' => {
            char::from_u32(u32::from(character) - 0xFEE0).expect("full-width forms shift into ASCII")
        }
        '•' | '・' | '‧' | '･' => '·',
        '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
        '“' | '”' | '„' | '‟' => '"',
        '‘' | '’' | '‛' => '\'',
        '\u{200B}'..='\u{200D}' | '\u{2060}' | '\u{FEFF}' => return None,
        other => other,
    };
    if folded.is_whitespace() { None } else { Some(folded.to_ascii_lowercase()) }
}

fn gb_bytes(character: char, table: &[u64; 1024]) -> usize {
    let code = character as u32;
    if code < 0x80 {
        return 1;
    }
    // All of the unified ideographs that GBK began with: most characters of most records.
    if (0x4E00..=0x9FA5).contains(&code) {
        return 2;
    }
    let two = code < 0x1_0000 && table[(code >> 6) as usize] >> (code & 63) & 1 == 1;
    if two { 2 } else { 4 }
}

/// One bit for each character of the basic plane that GB 18030 writes in two bytes, that is GBK's own.
fn two_byte_table() -> &'static [u64; 1024] {
    static TABLE: OnceLock<Box<[u64; 1024]>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut table = Box::new([0u64; 1024]);
        let mut encoder = encoding_rs::GB18030.new_encoder();
        let (mut utf8, mut out) = ([0u8; 4], [0u8; 16]);
        for character in (0x80..=0xFFFFu32).filter_map(char::from_u32) {
            let source = character.encode_utf8(&mut utf8);
            let (_, _, written) = encoder.encode_from_utf8_without_replacement(source, &mut out, false);
            if written == 2 {
                let code = character as u32;
                table[(code >> 6) as usize] |= 1 << (code & 63);
            }
        }
        table
    })
}

impl fmt::Display for Unrepresentable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "character {} is not in the recipient's code page; choose another spelling",
            self.position + 1
        )
    }
}

impl std::error::Error for Unrepresentable {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lengths_by_unit() {
        let text = "厦门市A〔2026〕1号";
        assert_eq!(length(text, Unit::Characters), Ok(12));
        assert_eq!(length(text, Unit::Utf8Bytes), Ok(24));
        assert_eq!(length(text, Unit::GbkBytes), Ok(18));
        assert_eq!(length(text, Unit::Gb18030Bytes), Ok(18));
        assert_eq!(fits(text, Unit::GbkBytes, 18), Ok(true));
        assert_eq!(fits(text, Unit::GbkBytes, 17), Ok(false));
        assert_eq!(fits(text, Unit::Characters, 2), Ok(false));
    }

    #[test]
    fn rare_characters_are_counted_or_reported() {
        // Extension A, extension B, an emoji, and Ext. B again after others.
        assert_eq!(length("\u{3400}", Unit::Gb18030Bytes), Ok(4));
        assert_eq!(length("\u{20BB7}", Unit::Gb18030Bytes), Ok(4));
        assert_eq!(length("\u{20BB7}野家", Unit::GbkBytes), Err(Unrepresentable { position: 0 }));
        assert_eq!(length("张\u{20BB7}", Unit::GbkBytes), Err(Unrepresentable { position: 1 }));
        assert_eq!(length("\u{20BB7}", Unit::Characters), Ok(1));
        assert!(in_gbk("𠮷").is_err());
        assert!(in_gbk("喆㐀").is_err());
        assert!(in_gbk("喆").is_ok());
    }

    #[test]
    fn comparison_folds_width_and_brackets_only() {
        assert_eq!(comparison_form("厦门（样例）有限公司"), comparison_form("厦门(样例) 有限公司"));
        assert_eq!(comparison_form("厦监罚〔2026〕1号"), comparison_form("厦监罚[２０２６]1号"));
        assert_eq!(comparison_form("买买提•阿卜杜"), comparison_form("买买提·阿卜杜"));
        assert_ne!(comparison_form("龙"), comparison_form("龍"));
        assert_eq!(comparison_form("𠮷"), "𠮷");
    }

    proptest! {
        #[test]
        fn counted_is_what_an_encoder_writes(
            text in "\\PC{0,40}|[a-z一-龥！-～、。〈-】“”\u{9f00}-\u{9fff}]{0,40}|[a-z一-龥]{0,9}\\PC?",
        ) {
            let (gb18030, _, lossy) = encoding_rs::GB18030.encode(&text);
            prop_assert!(!lossy);
            prop_assert_eq!(length(&text, Unit::Gb18030Bytes), Ok(gb18030.len()));
            let (gbk, _, lossy) = encoding_rs::GBK.encode(&text);
            match length(&text, Unit::GbkBytes) {
                Ok(length) => prop_assert!(!lossy && length == gbk.len()),
                Err(problem) => {
                    let stray = text.chars().nth(problem.position).unwrap().to_string();
                    prop_assert!(encoding_rs::GBK.encode(&stray).2);
                }
            }
        }

        #[test]
        fn every_single_character_is_counted_as_encoded(character in any::<char>()) {
            let text = character.to_string();
            let (gbk, _, lossy) = encoding_rs::GBK.encode(&text);
            let expected = if lossy { Err(Unrepresentable { position: 0 }) } else { Ok(gbk.len()) };
            prop_assert_eq!(length(&text, Unit::GbkBytes), expected);
        }

        #[test]
        fn fits_agrees_with_length(text in "\\PC{0,20}", max in 0usize..60) {
            for unit in [Unit::Characters, Unit::Utf8Bytes, Unit::GbkBytes, Unit::Gb18030Bytes] {
                prop_assert_eq!(fits(&text, unit, max), length(&text, unit).map(|length| length <= max));
            }
        }

        #[test]
        fn comparison_forms_are_final(text in "\\PC{0,20}") {
            let once = comparison_form(&text);
            prop_assert_eq!(comparison_form(&once), once);
        }
    }
}
