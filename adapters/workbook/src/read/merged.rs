//! Cells that a sheet merges with others. They stand in the file behind the rows, so they are looked for before those are read.

use std::io::Read;

use crate::fault::{self, Fault};
use crate::read::limit::judged;

/// Ranges of one sheet.
const RANGES: usize = 1 << 20;
/// Bytes of an element that names a range.
const ELEMENT: usize = 256;
const NAME: &[u8] = b"mergeCell";

#[derive(Clone, Copy)]
struct Range {
    rows: (u32, u32),
    columns: (u32, u32),
}

/// The merged ranges of a sheet, asked row by row in ascending order.
#[derive(Default)]
pub(crate) struct Merged {
    /// By first row, the last first.
    waiting: Vec<Range>,
    /// Those of the current row, by first column.
    current: Vec<Range>,
    row: u32,
}

impl Merged {
    /// Looks through a sheet's part for `<mergeCell ref="A1:B2"/>`.
    pub(crate) fn find<R: Read>(mut part: R) -> Result<Self, Fault> {
        let mut waiting = Vec::new();
        let mut window = Vec::with_capacity(128 << 10);
        loop {
            let before = window.len();
            let read = part.by_ref().take(64 << 10).read_to_end(&mut window).map_err(|e| judged(&e))?;
            let last = read == 0;
            // What begins in the last bytes is looked at with the next piece.
            let until = if last { window.len() } else { window.len().saturating_sub(ELEMENT) };
            for at in memchr::memmem::find_iter(&window[..until], NAME) {
                // `<mergeCell ` or `<x:mergeCell `; in a text there is no `<`, and `<mergeCells` goes on otherwise.
                let opened = at.checked_sub(1).is_some_and(|before| matches!(window[before], b'<' | b':'));
                let rest = &window[at + NAME.len()..window.len().min(at + ELEMENT)];
                if opened && rest.first().is_some_and(u8::is_ascii_whitespace) {
                    waiting.push(range(rest).ok_or_else(|| Fault::of_file(&fault::FILE_DAMAGED))?);
                }
            }
            if last {
                break;
            }
            if waiting.len() > RANGES {
                return Err(Fault::of_file(&fault::FILE_TOO_MANY_CELLS).with(RANGES));
            }
            debug_assert!(window.len() > before, "something was read");
            // What was found begins at or before the first byte that stays, and so is not found again; what was not begins
            // behind it.
            window.drain(..until.saturating_sub(NAME.len()));
        }
        waiting.sort_unstable_by_key(|range: &Range| std::cmp::Reverse(range.rows.0));
        Ok(Self { waiting, current: Vec::new(), row: 0 })
    }

    /// True if the cell belongs to a range and is not its first. Rows are asked in ascending order.
    pub(crate) fn covers(&mut self, row: u32, column: u32) -> bool {
        if self.waiting.is_empty() && self.current.is_empty() {
            return false;
        }
        if row != self.row {
            self.row = row;
            self.current.retain(|range| range.rows.1 >= row);
            while let Some(range) = self.waiting.pop_if(|range| range.rows.0 <= row) {
                // Ranges do not overlap, so a row has at most as many as it has cells.
                if range.rows.1 >= row && self.current.len() < 16_384 {
                    let at = self.current.partition_point(|known| known.columns.0 < range.columns.0);
                    self.current.insert(at, range);
                }
            }
        }
        let after = self.current.partition_point(|range| range.columns.0 <= column);
        let range = after.checked_sub(1).map(|at| self.current[at]);
        range.is_some_and(|r| r.columns.1 >= column && (r.rows.0, r.columns.0) != (row, column))
    }
}

/// The range that an element names, from what follows its name.
fn range(rest: &[u8]) -> Option<Range> {
    let end = memchr::memchr(b'>', rest)?;
    let text = std::str::from_utf8(&rest[..end]).ok()?;
    let value = text.split_once("ref")?.1.trim_start().strip_prefix('=')?.trim_start();
    let value = value.split(['"', '\'']).nth(1)?;
    let (first, last) = value.split_once(':').unwrap_or((value, value));
    let ((left, top), (right, bottom)) = (address(first)?, address(last)?);
    (left <= right && top <= bottom).then_some(Range { rows: (top, bottom), columns: (left, right) })
}

/// Column and row of `AB12`, within what a spreadsheet has.
pub(crate) fn address(text: &str) -> Option<(u32, u32)> {
    let letters = text.bytes().take_while(u8::is_ascii_alphabetic).count();
    let (letters, digits) = text.split_at(letters);
    if letters.is_empty() || letters.len() > 3 || digits.is_empty() || digits.len() > 7 {
        return None;
    }
    let column = letters.bytes().fold(0, |sum, b| sum * 26 + u32::from(b.to_ascii_uppercase() - b'A') + 1);
    let row = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())??;
    (column <= 16_384 && (1..=1_048_576).contains(&row)).then_some((column, row))
}
