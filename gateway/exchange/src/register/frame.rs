//! What one frame of the journal adds to the register.

use super::{AAD, Fact, Value, entry, read_facts};
use crate::event::{Event, FrameRecord, NewChunk};
use crate::secrets::RecordId;
use crate::table;
use crate::varint::Damaged;
use std::borrow::Cow;

/// Noted when lines were taken while no register was kept: of those only the keys are known that recipients have.
pub const KEPT_NONE: [u8; 16] = *b"kept-no-register";

/// Gives an item of a frame by its number and its additional data.
pub type ReadItem<'r, 'a, E> = dyn FnMut(u16, &[u8]) -> Result<Cow<'a, [u8]>, E> + 'r;

/// Appends the entries of a frame.
///
/// Lines without facts are remembered under the key the recipient knows the record by, at the frame itself: those of earlier versions,
/// which wrote no facts, and those the node writes of its own accord.
///
/// # Errors
/// An item cannot be had, or is damaged.
pub fn entries_of<'a, E: From<Damaged>>(
    record: &FrameRecord,
    item: &mut ReadItem<'_, 'a, E>,
    out: &mut Vec<([u8; 16], Value)>,
) -> Result<(), E> {
    let (mut facts, mut submitted, mut ended) = (None, false, false);
    for event in &record.events {
        match event {
            Event::Registered { item } => facts = Some(*item),
            Event::Submitted(s) => submitted |= s.accepted > 0,
            Event::PublicationEnded { .. } => ended = true,
            _ => {}
        }
    }
    if let Some(facts) = facts {
        let bytes = item(facts, AAD)?;
        read_facts(&bytes, |index, fact| out.push(entry(index, &fact)))?;
    }
    if facts.is_some() && !ended {
        return Ok(());
    }
    let kept_none = submitted && facts.is_none();
    if kept_none {
        let fact = Fact::Leads { name: crate::secrets::RecordName(KEPT_NONE), to: RecordId([0; 16]) };
        out.push(entry(record.first_index, &fact));
    }
    for event in &record.events {
        if let Event::Chunk(chunk) = event {
            lines_of(record, chunk, kept_none, item, out)?;
        }
    }
    Ok(())
}

fn lines_of<'a, E: From<Damaged>>(
    record: &FrameRecord,
    chunk: &NewChunk,
    all: bool,
    item: &mut ReadItem<'_, 'a, E>,
    out: &mut Vec<([u8; 16], Value)>,
) -> Result<(), E> {
    let bytes = item(chunk.table, chunk.stream.as_str().as_bytes())?;
    for group in table::groups(&bytes).map_err(|_| Damaged)? {
        // Of submissions of this very frame there are facts.
        if !all && record.events.iter().any(|event| is_submission(event, &group)) {
            continue;
        }
        for line in group.entries().map_err(|_| Damaged)? {
            let fact = Fact::Done {
                id: RecordId(line.key.0),
                op: line.op,
                rev: line.rev,
                origin: None,
                ordinal: line.ordinal,
            };
            out.push(entry(record.first_index, &fact));
        }
    }
    Ok(())
}

fn is_submission(event: &Event, group: &table::Group<'_>) -> bool {
    matches!(event, Event::Submitted(s) if s.index == group.submission && s.member == group.member)
}
