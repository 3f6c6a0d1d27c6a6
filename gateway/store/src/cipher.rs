//! AES-256-GCM as every file of the store uses it. A data key seals one segment, archive or queue session, so that a
//! nonce made of the place of the bytes (frame ‖ chunk) never repeats under one key.

pub(crate) use xinqiao_crypto::aead::{AeadKey as DataKey, TAG};

/// Identifier of the only cipher suite of version 1: AES-256-GCM with SHA-256.
pub(crate) const SUITE: u8 = 1;

/// The nonce of a chunk: its place.
pub(crate) fn nonce(frame: u64, chunk: u32) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[..8].copy_from_slice(&frame.to_be_bytes());
    nonce[8..].copy_from_slice(&chunk.to_be_bytes());
    nonce
}
