//! The exchange domain carries places of the journal without knowing the store; here the two meet.

use xinqiao_exchange::state::Place;
use xinqiao_store::ItemRef;

/// A place, from the store's reference.
pub(crate) fn place(i: ItemRef) -> Place {
    Place::from_parts((i.segment, i.frame, i.item, i.offset, i.len))
}

/// The store's reference, from a place.
pub(crate) fn reference(p: Place) -> ItemRef {
    let (segment, frame, item, offset, len) = p.into_parts();
    ItemRef { segment, frame, item, offset, len }
}
