//! The exchange domain carries places of the journal without knowing the store; here the two meet.

use xinqiao_exchange::state::Place;
use xinqiao_store::ItemRef;

/// A place, from the store's reference.
pub(crate) fn place(i: ItemRef) -> Place {
    Place { segment: i.segment, frame: i.frame, item: i.item, offset: i.offset, len: i.len }
}

/// The store's reference, from a place.
pub(crate) fn reference(p: Place) -> ItemRef {
    ItemRef { segment: p.segment, frame: p.frame, item: p.item, offset: p.offset, len: p.len }
}
