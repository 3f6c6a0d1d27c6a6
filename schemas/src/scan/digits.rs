//! Numbers: groups of digits, joined where only a space or a hyphen stands between them.

use super::quick::next_digit;
use super::words::document;
use super::{Find, Kind};
use crate::date::Date;
use crate::identifier::{province_known, resident_id};

/// Finds identity numbers, phones and bank cards, and the numbers of announced documents.
pub(super) fn find(text: &str, wide: bool, finds: &mut Vec<Find>) {
    let bytes = text.as_bytes();
    let mut cluster = Cluster::default();
    let mut token_end = 0;
    let mut at = 0;
    while let Some(start) = next_digit(bytes, at, wide) {
        let run = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if !wide && run > 0 && !goes_on(bytes, start + run) {
            at = start + run;
            if run >= FEWEST {
                cluster.read(bytes, start);
                cluster.search(bytes, finds);
            }
            token_end = document(bytes, start..at, token_end, finds);
            continue;
        }
        at = cluster.read(bytes, start);
        if cluster.digits.len() >= FEWEST {
            cluster.search(bytes, finds);
        }
        for group in &cluster.groups {
            token_end = document(bytes, cluster.digits[group.first].start..group.end, token_end, finds);
        }
    }
}

/// Whether a separator, an X or a full-width digit follows a run of ASCII digits.
fn goes_on(bytes: &[u8], at: usize) -> bool {
    !matches!(token(bytes, at), (Token::Other, _))
}

/// The value without separators, digits and letters in half width.
pub(super) fn compact(value: &str) -> String {
    let half_width = |character: char| match character {
        '\u{FF10}'..='\u{FF19}' | '\u{FF21}'..='\u{FF3A}' | '\u{FF41}'..='\u{FF5A}' => {
            char::from_u32(u32::from(character) - 0xFEE0).expect("full-width forms shift into ASCII")
        }
        other => other,
    };
    value.chars().map(half_width).filter(char::is_ascii_alphanumeric).collect()
}

/// The shortest number that is looked for: a landline of area code and seven digits.
const FEWEST: usize = 10;
/// The longest number: a bank card of 19 digits.
const MOST: usize = 19;

/// Groups of digits with no more between them than separators.
#[derive(Default)]
struct Cluster {
    digits: Vec<Digit>,
    groups: Vec<Group>,
}

#[derive(Clone, Copy)]
struct Digit {
    value: u8,
    start: usize,
}

#[derive(Clone, Copy)]
struct Group {
    /// Index of its first digit, and of the one after its last.
    first: usize,
    past: usize,
    /// Byte after the last digit.
    end: usize,
    /// Byte after an X that follows, directly or after separators.
    x_end: Option<usize>,
    /// What stands between this group and the next.
    gap: Gap,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Gap {
    /// Hyphens or dashes.
    Hyphen,
    /// Spaces, or a mixture.
    Space,
    /// A closing bracket, as in `(0592)5551234`.
    Bracket,
    /// A line break.
    Line,
}

enum Token {
    Digit(u8),
    X,
    Gap(Gap),
    Other,
}

impl Cluster {
    /// Reads the cluster that begins with the digit at `start`; returns the byte after it.
    fn read(&mut self, bytes: &[u8], start: usize) -> usize {
        self.digits.clear();
        self.groups.clear();
        let mut at = start;
        loop {
            let first = self.digits.len();
            while let (Token::Digit(value), width) = token(bytes, at) {
                self.digits.push(Digit { value, start: at });
                at += width;
            }
            let (gap, after_gap) = gap(bytes, at);
            let mut group = Group { first, past: self.digits.len(), end: at, x_end: None, gap };
            if let (Token::X, width) = token(bytes, after_gap)
                && !is_word(bytes, after_gap + width)
            {
                group.x_end = Some(after_gap + width);
            }
            self.groups.push(group);
            match token(bytes, after_gap) {
                (Token::Digit(_), _) if after_gap > at => at = after_gap,
                _ => return at,
            }
        }
    }

    /// Tries groups from left to right, joined with as many of the following as can belong to them.
    fn search(&self, bytes: &[u8], finds: &mut Vec<Find>) {
        let mut from = 0;
        while from < self.groups.len() {
            let mut best = None;
            for to in from..self.groups.len() {
                if self.groups[to].past - self.groups[from].first > MOST {
                    break;
                }
                if let Some(find) = self.recognise(bytes, &self.groups[from..=to]) {
                    best = Some((find, to));
                }
            }
            match best {
                Some((find, to)) => {
                    finds.push(find);
                    from = to + 1;
                }
                None => from += 1,
            }
        }
    }

    fn recognise(&self, bytes: &[u8], groups: &[Group]) -> Option<Find> {
        let (head, tail) = (groups.first()?, groups.last()?);
        let digits = &self.digits[head.first..tail.past];
        if digits.len() < FEWEST {
            return None;
        }
        let widest = groups[..groups.len() - 1].iter().map(|group| group.gap).max();
        let mut number = [0u8; MOST];
        for (place, digit) in number.iter_mut().zip(digits) {
            *place = b'0' + digit.value;
        }
        let number = &number[..digits.len()];
        let find = |skipped: usize, kind| Some(Find { range: digits[skipped].start..tail.end, kind });

        if widest != Some(Gap::Bracket) {
            if let Some(x_end) = tail.x_end
                && is_resident_id(number, true)
            {
                return Some(Find { range: digits[0].start..x_end, kind: Kind::ResidentId });
            }
            if is_resident_id(number, false) {
                return find(0, Kind::ResidentId);
            }
            let grouped = groups.len() > 1 && head.past - head.first != 6;
            if is_old_resident_id(number) && !grouped {
                return find(0, Kind::ResidentId);
            }
        }
        if widest == Some(Gap::Line) || is_letter(bytes, tail.end) || code_before(bytes, digits[0].start) {
            return None;
        }
        if is_landline(number, groups) {
            return find(0, Kind::Landline);
        }
        if widest == Some(Gap::Bracket) {
            return None;
        }
        if let Some(skipped) = mobile(number, groups, widest) {
            return find(skipped, Kind::Mobile);
        }
        if is_bank_card(number, groups) {
            return find(0, Kind::BankCard);
        }
        None
    }
}

/// Seventeen digits before an X, or eighteen: a birth date that exists and the right check character. Any
/// region will do: a mistake there does not make it less of an identity number.
fn is_resident_id(number: &[u8], x: bool) -> bool {
    let body: &[u8; 17] = match (number.len(), x) {
        (17, true) | (18, false) => number[..17].try_into().expect("17 digits"),
        _ => return false,
    };
    let expected = resident_id::check_character(body);
    let check = if x { b'X' } else { number[17] };
    expected == Some(check) && is_birth_date(&body[6..14])
}

/// Fifteen digits: no check digit, so region and date must both be right.
fn is_old_resident_id(number: &[u8]) -> bool {
    let Ok(number) = <&[u8; 15]>::try_from(number) else { return false };
    let [a, b, c, d, e, f] = [6, 7, 8, 9, 10, 11].map(|place| number[place]);
    province_known(number[0], number[1]) && is_birth_date(&[b'1', b'9', a, b, c, d, e, f])
}

fn is_birth_date(digits: &[u8]) -> bool {
    let date = std::str::from_utf8(digits).ok().and_then(|text| Date::parse_accepted(text).ok());
    date.is_some_and(|(date, _)| (1850..2100).contains(&date.year()))
}

/// Eleven digits from 13 to 19, whole or grouped as people write them, perhaps after 0, 86 or 0086. Gives how
/// many digits come before the number itself.
fn mobile(number: &[u8], groups: &[Group], widest: Option<Gap>) -> Option<usize> {
    let is_mobile = |digits: &[u8]| digits.len() == 11 && digits[0] == b'1' && digits[1] >= b'3';
    if groups.len() == 1 {
        return match number.len() {
            11 if is_mobile(number) => Some(0),
            12 if number[0] == b'0' && is_mobile(&number[1..]) => Some(1),
            13 if number.starts_with(b"86") && is_mobile(&number[2..]) => Some(2),
            15 if number.starts_with(b"0086") && is_mobile(&number[4..]) => Some(4),
            _ => None,
        };
    }
    if !is_mobile(number) {
        return None;
    }
    let length = |group: &Group| group.past - group.first;
    let singly = groups.iter().all(|group| length(group) == 1);
    let usual = match (length(&groups[0]), groups.len()) {
        (3, 2 | 3) => groups.iter().all(|group| length(group) >= 3),
        (7, 2) => true,
        // Years written 1999-2005 look like this.
        (4, 3) => widest == Some(Gap::Hyphen) && !matches!(number[1], b'8' | b'9'),
        _ => false,
    };
    (singly || usual).then_some(0)
}

/// Area code (010, 02x, 03xx to 09xx) and seven or eight digits from 2 to 8.
fn is_landline(number: &[u8], groups: &[Group]) -> bool {
    let area = match (number[0], number[1]) {
        (b'0', b'1') if number[2] == b'0' => 3,
        (b'0', b'2') => 3,
        (b'0', b'3'..=b'9') => 4,
        _ => return false,
    };
    let local = &number[area..];
    if !matches!(local.len(), 7 | 8) || !matches!(local[0], b'2'..=b'8') {
        return false;
    }
    let (head, rest) = groups.split_first().expect("a number has a group");
    rest.is_empty()
        || (head.past - head.first == area && rest.iter().all(|group| group.past - group.first >= 3))
}

/// Sixteen to nineteen digits that pass Luhn's check, whole or in fours. First digits that cards have.
fn is_bank_card(number: &[u8], groups: &[Group]) -> bool {
    if number.len() < 16 || !matches!(number[0], b'3'..=b'6' | b'9') {
        return false;
    }
    let length = |group: &Group| group.past - group.first;
    let (last, before) = groups.split_last().expect("a number has a group");
    let in_fours = before.iter().all(|group| length(group) == 4) && length(last) <= 4;
    let in_two = groups.len() == 2 && length(&groups[0]) == 6;
    if groups.len() > 1 && !in_fours && !in_two && !groups.iter().all(|group| length(group) == 1) {
        return false;
    }
    let sum: u32 = number
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let value = u32::from(digit - b'0') << (place % 2);
            if value > 9 { value - 9 } else { value }
        })
        .sum();
    sum.is_multiple_of(10)
}

/// What stands at a byte, and how many bytes it takes.
fn token(bytes: &[u8], at: usize) -> (Token, usize) {
    let rest = bytes.get(at..).unwrap_or_default();
    match rest {
        [digit @ b'0'..=b'9', ..] => (Token::Digit(digit - b'0'), 1),
        [b'X' | b'x', ..] => (Token::X, 1),
        [b'-', ..] => (Token::Gap(Gap::Hyphen), 1),
        [b' ' | b'\t', ..] => (Token::Gap(Gap::Space), 1),
        [b')', ..] => (Token::Gap(Gap::Bracket), 1),
        [b'\n' | b'\r', ..] => (Token::Gap(Gap::Line), 1),
        [0xC2, 0xA0, ..] => (Token::Gap(Gap::Space), 2),
        [0xEF, 0xBC, digit @ 0x90..=0x99, ..] => (Token::Digit(digit - 0x90), 3),
        [0xEF, 0xBC, 0xB8, ..] | [0xEF, 0xBD, 0x98, ..] => (Token::X, 3),
        [0xEF, 0xBC, 0x8D, ..] | [0xE2, 0x80, 0x90..=0x95, ..] | [0xE2, 0x88, 0x92, ..] => {
            (Token::Gap(Gap::Hyphen), 3)
        }
        [0xEF, 0xBC, 0x89, ..] => (Token::Gap(Gap::Bracket), 3),
        [0xE3, 0x80, 0x80, ..] | [0xE2, 0x80, 0x82..=0x8B, ..] | [0xE2, 0x80, 0xAF, ..] => {
            (Token::Gap(Gap::Space), 3)
        }
        _ => (Token::Other, 1),
    }
}

/// Up to three separators: what they amount to, and the byte after them.
fn gap(bytes: &[u8], from: usize) -> (Gap, usize) {
    let (mut widest, mut at) = (Gap::Hyphen, from);
    for _ in 0..3 {
        match token(bytes, at) {
            (Token::Gap(gap), width) => {
                widest = widest.max(gap);
                at += width;
            }
            _ => break,
        }
    }
    (widest, at)
}

fn is_letter(bytes: &[u8], at: usize) -> bool {
    bytes.get(at).is_some_and(u8::is_ascii_alphabetic)
}

fn is_word(bytes: &[u8], at: usize) -> bool {
    bytes.get(at).is_some_and(u8::is_ascii_alphanumeric)
}

/// Whether the digits are the end of a code: a single letter before them (`A1380…`), or letters that
/// follow digits. A whole word before them (`Tel1380…`) is none.
fn code_before(bytes: &[u8], start: usize) -> bool {
    let letters = bytes[..start].iter().rev().take(8).take_while(|byte| byte.is_ascii_alphabetic()).count();
    match letters {
        0 => false,
        1 => true,
        _ => start > letters && bytes[start - letters - 1].is_ascii_digit(),
    }
}
