//! Columns that stay straight when Chinese stands in them.

use crate::console::say;

/// Prints a table; an empty one says so.
pub(super) fn table(heads: &[&str], rows: &[Vec<String>]) {
    if rows.is_empty() {
        say("  (none 无)");
        return;
    }
    let mut widths: Vec<usize> = heads.iter().map(|h| width(h)).collect();
    for row in rows {
        for (w, cell) in widths.iter_mut().zip(row) {
            *w = (*w).max(width(cell));
        }
    }
    line(heads.iter().copied(), &widths);
    for row in rows {
        line(row.iter().map(String::as_str), &widths);
    }
}

fn line<'a>(cells: impl Iterator<Item = &'a str>, widths: &[usize]) {
    let mut text = String::from("  ");
    for (cell, w) in cells.zip(widths) {
        text += cell;
        text.extend(std::iter::repeat_n(' ', w - width(cell) + 2));
    }
    say(text.trim_end());
}

/// Columns a terminal gives a text: two for a Chinese character.
fn width(text: &str) -> usize {
    text.chars()
        .map(|c| {
            if ('\u{1100}'..='\u{ffe6}').contains(&c) && !('\u{1200}'..'\u{2e80}').contains(&c) {
                2
            } else {
                1
            }
        })
        .sum()
}

#[cfg(test)]
mod tests {
    #[test]
    fn chinese_is_twice_as_wide() {
        assert_eq!(super::width("ab"), 2);
        assert_eq!(super::width("安全官 ok，"), 11);
    }
}
