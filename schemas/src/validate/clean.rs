//! The explicit cleaning steps of a schema. Each change is reported; nothing else is ever changed.

use std::borrow::Cow;

use crate::finding::{Finding, Severity};
use crate::identifier::normalise;
use crate::problem;
use crate::record::Slot;
use crate::schema::{Field, Schema};

pub(crate) fn fields(schema: &Schema, slots: &mut [Slot<'_>], findings: &mut Vec<Finding>) {
    for (field, slot) in schema.fields.iter().zip(slots) {
        if let Slot::Text(text) = slot
            && !text.is_empty()
        {
            one(field, text, findings);
        }
    }
}

#[inline]
fn one(field: &Field, text: &mut Cow<'_, str>, findings: &mut Vec<Finding>) {
    let mut report = |what| findings.push(Finding::of(what, Severity::Cleaned).on(&field.code));
    if field.clean.trim && may_be_padded(text.as_bytes()) {
        let trimmed = text.trim_matches(|c: char| c.is_whitespace() || c == '\u{FEFF}');
        if trimmed.len() != text.len() {
            report(&problem::CLEANED_TRIM);
            *text = Cow::Owned(trimmed.to_owned());
        }
    }
    if field.clean.null_word && text.len() == 4 && text.eq_ignore_ascii_case("null") {
        report(&problem::CLEANED_NULL);
        *text = Cow::Borrowed("");
    }
    if field.clean.fold_width && !text.is_ascii() {
        let folded: String = text.chars().map(half_width).collect();
        if folded != **text {
            report(&problem::CLEANED_WIDTH);
            *text = Cow::Owned(folded);
        }
    }
    if field.clean.normal_form
        && let Cow::Owned(normal) = normalise(text)
    {
        report(&problem::CLEANED_FORM);
        *text = Cow::Owned(normal);
    }
}

/// False where both ends are plainly a printing ASCII character or a common ideograph, as nearly always.
fn may_be_padded(text: &[u8]) -> bool {
    let ideograph = |lead: u8| (0xE4..=0xE9).contains(&lead);
    let printing = |byte: u8| (0x21..0x7F).contains(&byte);
    let begins = text.first().is_some_and(|first| printing(*first) || ideograph(*first));
    let ends = match text {
        [.., last] if printing(*last) => true,
        [.., lead, _, _] => ideograph(*lead),
        _ => false,
    };
    !(begins && ends)
}

fn half_width(character: char) -> char {
    match character {
        '\u{FF01}'..='\u{FF5E}' => {
            char::from_u32(u32::from(character) - 0xFEE0).expect("full-width forms shift into ASCII")
        }
        '\u{3000}' => ' ',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::may_be_padded;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whatever_would_be_trimmed_is_looked_at(text in "[ \u{3000}\u{FEFF}\u{A0}\tA张𠮷〔é]{1,6}") {
            let trimmed = text.trim_matches(|c: char| c.is_whitespace() || c == '\u{FEFF}');
            prop_assert!(may_be_padded(text.as_bytes()) || trimmed.len() == text.len());
        }
    }
}
