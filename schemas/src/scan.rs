//! Personal data hidden in free text: found and masked.
//!
//! Found are resident identity numbers, phone numbers, bank cards, e-mail addresses, and the numbers of
//! passports and permits after the word that announces them; with full-width digits too, and broken by
//! spaces or hyphens. Ordinary numbers survive: an identity number must pass its check digit (or, with 15
//! digits, its region and date), a bank card Luhn's check, and nothing is found inside a longer run of
//! digits. Numbers in Chinese numerals, and numbers that someone disguised, are not found.
//!
//! Time is linear in the text. This runs on every free-text field of every record, so text without a
//! single candidate is only read once, by vector instructions.

mod digits;
mod quick;
pub(crate) mod values;
mod words;

use crate::mask::Mask;
use std::borrow::Cow;
use std::ops::Range;

/// What sort of personal data was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Resident identity number, 18 characters or 15.
    ResidentId,
    /// Mobile phone.
    Mobile,
    /// Landline with its area code.
    Landline,
    /// Bank card.
    BankCard,
    /// E-mail address.
    EMail,
    /// Passport, permit or other document announced by its name.
    Document,
}

/// One find: where it stands (bytes of the text) and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Find {
    /// Bytes of the text.
    pub range: Range<usize>,
    /// What it is.
    pub kind: Kind,
}

/// All finds in a text, in order, none overlapping another.
pub fn find(text: &str) -> Vec<Find> {
    find_in(text, quick::look(text.as_bytes()))
}

fn find_in(text: &str, look: quick::Look) -> Vec<Find> {
    let mut finds = Vec::new();
    if look.digits >= FEWEST_DIGITS {
        digits::find(text, look.wide, &mut finds);
    }
    if look.at_sign {
        words::e_mails(text, &mut finds);
    }
    if finds.len() > 1 {
        finds.sort_by(|left, right| {
            left.range.start.cmp(&right.range.start).then(right.range.end.cmp(&left.range.end))
        });
        finds.dedup_by(|later, earlier| {
            let overlaps = later.range.start < earlier.range.end;
            if overlaps {
                join(text, earlier, later);
            }
            overlaps
        });
    }
    finds
}

/// Makes one find of two that run into each other (`a@b.c@d.e`, an address and a number without a space between), so that
/// nothing of the second stays behind the first.
fn join(text: &str, earlier: &mut Find, later: &Find) {
    // The mask of an address shows its domain, and a number may stand in it; every other mask hides what is inside.
    let in_domain =
        earlier.kind == Kind::EMail && text[earlier.range.start..later.range.start].contains(['@', '＠']);
    if later.range.end <= earlier.range.end && !in_domain {
        return;
    }
    earlier.range.end = earlier.range.end.max(later.range.end);
    if (earlier.kind, later.kind) != (Kind::EMail, Kind::EMail) {
        // Two characters at most are shown of such a one.
        earlier.kind = Kind::Document;
    }
}

/// Whether a number of a person, a mobile phone or a bank card stands in a text. Landlines and e-mail addresses are masked
/// too, but offices have them as well: nobody need look.
pub fn holds_personal_number(text: &str) -> bool {
    let look = quick::look(text.as_bytes());
    look.digits >= FEWEST_DIGITS
        && find_in(text, look).iter().any(|find| !matches!(find.kind, Kind::Landline | Kind::EMail))
}

/// The text with every find masked. Borrowed if there is none.
pub fn redact(text: &str) -> Cow<'_, str> {
    masked(text, find(text))
}

/// [`redact`], and then three stars for every place where one of the values stands.
pub(crate) fn redact_with<'t>(text: &'t str, values: &[values::Needle]) -> Cow<'t, str> {
    let look = quick::look(text.as_bytes());
    let digits = look.digits;
    values::hide(masked(text, find_in(text, look)), digits, values)
}

fn masked(text: &str, finds: Vec<Find>) -> Cow<'_, str> {
    if finds.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut end = 0;
    for Find { range, kind } in finds {
        out.push_str(&text[end..range.start]);
        let value = &text[range.clone()];
        match kind {
            Kind::EMail => Mask::EMail.apply(value, &mut out),
            Kind::Document => Mask::Certificate.apply(&digits::compact(value), &mut out),
            Kind::ResidentId => Mask::Id.apply(&digits::compact(value), &mut out),
            Kind::BankCard => Mask::BankCard.apply(&digits::compact(value), &mut out),
            Kind::Mobile | Kind::Landline => Mask::Phone.apply(&digits::compact(value), &mut out),
        }
        end = range.end;
    }
    out.push_str(&text[end..]);
    Cow::Owned(out)
}

/// The shortest find that is no e-mail address, a document number, has four digits.
const FEWEST_DIGITS: usize = 4;

#[cfg(test)]
mod tests;
