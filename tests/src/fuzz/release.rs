//! What the public gets of sound records into which identity numbers are planted.
//!
//! Input: table, subject, seed; then changes, each a column and a way to write it, with texts that end at 0xFF.

use std::borrow::Cow;
use std::sync::OnceLock;

use xinqiao_schemas::identifier::resident_id;
use xinqiao_schemas::synthetic::{Generator, Record, Table};
use xinqiao_schemas::{Action, Date, RawRecord, Slot, SubjectKind};

use super::Input;
use super::bodies::{line, rules};

/// How the groups of an identity number are written apart.
const GAPS: [&str; 8] = ["", " ", "-", "\u{3000}", "－", "\u{A0}", "  ", " - "];

pub(super) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let table = *input.choose(&Table::ALL);
    let kind = *input.choose(&SubjectKind::ALL);
    let mut record = generated(table, kind, input.byte() % 8).clone();
    let mut planted = Vec::new();
    // Digits of the texts themselves: a number whose digits stand there as well cannot be told from them in the line.
    let mut said = String::new();
    for at in 0..6 {
        if input.is_empty() {
            break;
        }
        let column = *input.choose(table.columns());
        let way = input.byte();
        let (before, after) = (input.text(), input.text());
        said.extend(before.chars().chain("350299".chars()).chain(after.chars()).filter_map(digit));
        let value = if way.is_multiple_of(4) {
            before
        } else {
            let number = number(at);
            if is_looked_at(table, column) && stands_alone(&before, &number, &after) {
                planted.push(number.clone());
            }
            format!("{before}{}{after}", spelt(&number, way))
        };
        record.set(column, value);
    }
    let at = rules().schemas.iter().position(|schema| schema.id() == table.schema()).expect("its schema");
    let schema = rules().schemas[at];
    let mut raw = RawRecord::new(schema.fields().len());
    for (code, value) in &record.fields {
        if let Some(number) = schema.field_number(code) {
            raw.set_field(number, Slot::Text(Cow::Owned(value.clone())));
        }
    }
    let Some(line) = line(schema, &rules().public[at], raw) else { return };
    let digits: String = line.chars().filter_map(digit).collect();
    for number in planted.iter().filter(|number| !said.contains(&number[6..17])) {
        assert!(!digits.contains(&number[6..17]), "{number} left in the public's line {line}");
    }
}

/// A sound record; made once, for making it costs more than releasing it.
fn generated(table: Table, kind: SubjectKind, seed: u8) -> &'static Record {
    static ALL: OnceLock<Vec<Record>> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        let today = Date::new(2026, 11, 20).expect("a date");
        let of = |(table, kind, seed)| Generator::new(seed, today).record_about(table, Some(kind));
        let kinds = SubjectKind::ALL.into_iter();
        let each = Table::ALL.into_iter().flat_map(|table| kinds.clone().map(move |kind| (table, kind)));
        each.flat_map(|(table, kind)| (0..8).map(move |seed| (table, kind, seed))).map(of).collect()
    });
    let table = Table::ALL.iter().position(|known| *known == table).expect("a table");
    &all[(table * 3 + kind.index()) * 8 + usize::from(seed)]
}

/// An identity number that passes every check, each another one.
fn number(at: usize) -> String {
    let first = format!("350299197{}0{}1{}47{}", at % 10, 1 + at % 9, at % 10, 1 + at % 9);
    let body: &[u8; 17] = first.as_bytes().try_into().expect("17 digits");
    let check = resident_id::check_character(body).expect("digits have a check character");
    format!("{first}{}", char::from(check))
}

/// The number as people write it: whole or in three groups, in either width.
fn spelt(number: &str, way: u8) -> String {
    let gap = GAPS[usize::from(way / 4) % GAPS.len()];
    let grouped = format!("{}{gap}{}{gap}{}", &number[..6], &number[6..14], &number[14..]);
    let wide = |c: char| match c {
        '0'..='9' | 'X' => char::from_u32(u32::from(c) + 0xFEE0).expect("a full-width form"),
        other => other,
    };
    if way % 4 == 3 { grouped.chars().map(wide).collect() } else { grouped }
}

/// Whether the public's policy passes no field of this class as it is, about whomever.
fn is_looked_at(table: Table, column: &str) -> bool {
    let at = rules().schemas.iter().position(|schema| schema.id() == table.schema()).expect("its schema");
    let (schema, policy) = (rules().schemas[at], rules().public[at].policy());
    schema.field_number(column).is_some_and(|number| {
        let class = schema.fields()[number].class();
        SubjectKind::ALL.iter().all(|kind| policy.action(class, *kind) != Action::Pass)
    })
}

/// Whether the number is promised to be found: no digits run into it, and its X ends a word.
fn stands_alone(before: &str, number: &str, after: &str) -> bool {
    let separates = |c: &char| !(c.is_whitespace() || "-－‐‑‒–—―−)）\u{200B}".contains(*c));
    let ends_word = !number.ends_with('X') || !after.starts_with(|c: char| c.is_ascii_alphanumeric());
    let no_digit = |c: Option<char>| c.is_none_or(|c| digit(c).is_none());
    ends_word && no_digit(before.chars().rev().find(separates)) && no_digit(after.chars().find(separates))
}

fn digit(c: char) -> Option<char> {
    match c {
        '0'..='9' => Some(c),
        '０'..='９' => char::from_u32(u32::from(c) - 0xFEE0),
        _ => None,
    }
}
