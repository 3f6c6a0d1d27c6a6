//! The transparency log on the wire, after the C2SP texts: signed notes, checkpoints, tiles, offline proofs.
//!
//! The log's origin names node and epoch, `xm.example/350200-credit/epoch-1`; it is also the name of the signing key, so
//! each epoch is a log of its own even when the Ed25519 key stays.

mod checkpoint;
mod note;
mod proof;
mod tile;

pub use checkpoint::{Checkpoint, VerifiedCheckpoint, log_origin, split_origin};
pub use note::{MAX_NOTE, TlogError, VerifierKey, open_note, sign_note};
pub use proof::{LogProof, VerifiedInclusion, write_log_proof};
pub use tile::{MAX_ENTRY, TILE_WIDTH, Tile, TileKind, bundle_entries, hash_in_tile, push_entry, tile_of};
