//! What is recalled, as the node holds it in memory: from the rows at start, from each frame once it is durable.

use super::Node;
use super::open_error::OpenNodeError;
use super::rows;
use xinqiao_crypto::hex;
use xinqiao_exchange::event::{Event, FrameRecord};
use xinqiao_exchange::secrets::RecordId;
use xinqiao_exchange::state::{Table, TombstoneRow};
use xinqiao_exchange::tombstones::Tombstones;
use xinqiao_store::Queue;

/// Recalls count from the moment they are durable, before anyone is answered.
pub(super) fn remember_recalls(node: &Node, record: &FrameRecord) {
    let id = |text: &str| hex::decode_array(text).map(RecordId);
    for event in &record.events {
        match event {
            Event::Recalled(r) => {
                if let Some(id) = id(&r.id) {
                    node.tombstones.write().add(&r.dataset, id, r.lineage_rev());
                }
            }
            Event::Reinstated { dataset, id: text, rev } => {
                if let Some(id) = id(text) {
                    node.tombstones.write().remove(dataset, &id, *rev);
                }
            }
            _ => {}
        }
    }
}

/// All that is recalled.
pub(super) fn recalled(queue: &Queue) -> Result<Tombstones, OpenNodeError> {
    let mut set = Tombstones::default();
    for (key, value) in rows::all(queue, Table::Tombstone)? {
        let row: TombstoneRow = serde_json::from_slice(&value)
            .map_err(|_| OpenNodeError::Queue("a tombstone cannot be read".into()))?;
        let Some((dataset, id)) = key.split_last_chunk::<16>() else { continue };
        let dataset = dataset.strip_suffix(&[0]).unwrap_or(dataset);
        if let Ok(dataset) = std::str::from_utf8(dataset) {
            set.add(dataset, RecordId(*id), row.rev);
        }
    }
    Ok(set)
}
