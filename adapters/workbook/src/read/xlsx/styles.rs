//! Which number formats show a number as a date or a time: a workbook stores days as numbers and tells them apart by style alone.

use std::collections::HashMap;
use std::io::Read;

use quick_xml::events::{BytesStart, Event};

use crate::fault::{self, Fault};
use crate::read::ReadCaps;
use crate::read::markup::{Markup, attribute};

/// Formats and styles that a workbook may have; programs write at most 65,490.
const MOST: usize = 65_536;

/// By number of style, whether it shows a date or time.
#[derive(Default)]
pub(crate) struct Styles(Vec<bool>);

impl Styles {
    pub(crate) fn read<R: Read>(part: R, caps: &ReadCaps) -> Result<Self, Fault> {
        let mut markup = Markup::new(part, caps);
        let mut formats: HashMap<u32, bool> = HashMap::new();
        let mut styles: Vec<u32> = Vec::new();
        let mut cells = false;
        loop {
            match markup.next()? {
                Event::Start(tag) => match tag.local_name().as_ref() {
                    "cellXfs" => cells = true,
                    "xf" if cells => styles.push(number(&tag, "numFmtId")?),
                    "numFmt" => format(&tag, &mut formats)?,
                    _ => {}
                },
                Event::Empty(tag) => match tag.local_name().as_ref() {
                    "xf" if cells => styles.push(number(&tag, "numFmtId")?),
                    "numFmt" => format(&tag, &mut formats)?,
                    _ => {}
                },
                Event::End(tag) if tag.local_name().as_ref() == "cellXfs" => cells = false,
                Event::Eof => break,
                _ => {}
            }
            if styles.len() > MOST || formats.len() > MOST {
                return Err(Fault::of_file(&fault::FILE_DAMAGED));
            }
        }
        // Formats may stand behind the styles that name them.
        let shows = |id: &u32| formats.get(id).copied().unwrap_or_else(|| built_in(*id));
        Ok(Self(styles.iter().map(shows).collect()))
    }

    pub(crate) fn shows_date(&self, style: usize) -> bool {
        self.0.get(style).copied().unwrap_or(false)
    }
}

fn number(tag: &BytesStart<'_>, name: &str) -> Result<u32, Fault> {
    let value = attribute(tag, name)?;
    Ok(value.and_then(|value| value.trim().parse().ok()).unwrap_or(0))
}

fn format(tag: &BytesStart<'_>, formats: &mut HashMap<u32, bool>) -> Result<(), Fault> {
    if let Some(code) = attribute(tag, "formatCode")? {
        formats.insert(number(tag, "numFmtId")?, is_date(&code));
    }
    Ok(())
}

/// Formats with a number of their own, those of Chinese and Japanese programs too (ECMA-376 part 1, 18.8.30).
fn built_in(id: u32) -> bool {
    matches!(id, 14..=22 | 27..=36 | 45..=47 | 50..=58)
}

/// Whether a format's code has a place for a year, month, day or time, outside of texts.
pub(crate) fn is_date(code: &str) -> bool {
    // The first section is for positive numbers; negative days do not exist.
    let mut characters = code.chars().peekable();
    let mut letters = String::new();
    while let Some(c) = characters.next() {
        match c {
            ';' => break,
            '"' => while characters.next().is_some_and(|c| c != '"') {},
            '\\' | '_' | '*' => drop(characters.next()),
            // Colour, condition or language, except a count of hours, minutes or seconds beyond a day.
            '[' => {
                let inside: String = characters.by_ref().take_while(|c| *c != ']').collect();
                let inside = inside.to_ascii_lowercase();
                if !inside.is_empty() && inside.chars().all(|c| matches!(c, 'h' | 'm' | 's')) {
                    return true;
                }
            }
            // `0.00E+00` is no year of an era.
            'e' | 'E' if matches!(characters.peek(), Some('+' | '-')) => {}
            _ => letters.push(c.to_ascii_lowercase()),
        }
    }
    let letters = letters.replace("general", "").replace("g/通用格式", "");
    letters.chars().any(|c| matches!(c, 'y' | 'm' | 'd' | 'h' | 's' | 'e' | 'b' | 'g'))
        || letters.contains("aaa")
}

#[cfg(test)]
mod tests {
    use super::is_date;

    #[test]
    fn dates_are_told_from_numbers_by_their_format() {
        for date in [
            "yyyy/m/d",
            "yyyy\"年\"m\"月\"d\"日\";@",
            "[$-F800]dddd\\,\\ mmmm\\ dd\\,\\ yyyy",
            "[DBNum1][$-804]yyyy\"年\"m\"月\"d\"日\"",
            "e\"年\"",
            "[h]:mm",
            "aaaa",
            "h:mm AM/PM",
            "上午/下午h\"时\"",
            "d-mmm-yy",
        ] {
            assert!(is_date(date), "{date}");
        }
        for number in [
            "General",
            "G/通用格式",
            "0.00E+00",
            "0.00e-0",
            "#,##0.00;[Red]-#,##0.00",
            "\"ymd\"0",
            "[Blue]0",
            "0\\d",
            "_(* #,##0_)",
            "@",
            "0;\"days\"",
            "[>100]0",
            "[$€-407] #,##0",
        ] {
            assert!(!is_date(number), "{number}");
        }
    }
}
