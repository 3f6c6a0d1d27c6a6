//! Signed batches, log proofs and receipts of Xinqiao (信桥): all a verifier needs, and no more.
//!
//! Evidence outlives the gateway. Whatever leaves a node can be verified years later, offline, with a pinned
//! public key and this crate alone: it has no I/O, no clock and no state of its own. What is read comes in as bytes,
//! what is proved comes out as a *proof value* ([`manifest::VerifiedManifest`], [`receipt::VerifiedReceipt`],
//! [`tlog::VerifiedCheckpoint`], [`manifest::VerifiedPayload`]) that only the verifying function can make.
//!
//! The formats are described byte by byte for outsiders in `docs/formats.md`; `docs/verifiers/` holds two
//! verifiers that share no code with this one.

mod explain;
mod json;

pub mod acknowledgement;
pub mod base64;
pub mod chain;
pub mod digest;
pub mod endorsement;
pub mod entry;
pub mod http_digest;
pub mod jcs;
pub mod jws;
pub mod keys;
pub mod manifest;
pub mod merkle;
pub mod names;
pub mod receipt;
pub mod timestamp;
pub mod tlog;

pub use digest::{Digest, Digests, Hasher};
pub use json::{JsonError, MAX_SAFE_INTEGER};
