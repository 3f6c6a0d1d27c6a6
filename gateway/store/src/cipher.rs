//! AES-256-GCM as every file of the store uses it. A data key seals one segment, archive or queue session, so that a
//! nonce made of the place of the bytes (frame ‖ chunk) never repeats under one key.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

/// Identifier of the only cipher suite of version 1: AES-256-GCM with SHA-256.
pub(crate) const SUITE: u8 = 1;
/// Bytes a seal adds.
pub(crate) const TAG: usize = 16;

/// A key ready for use; its raw bytes are gone from our memory (ring keeps the expanded schedule until drop).
pub(crate) struct DataKey(LessSafeKey);

impl DataKey {
    pub(crate) fn new(bytes: &[u8; 32]) -> Self {
        Self(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes).expect("32 bytes are an AES-256 key")))
    }

    pub(crate) fn seal(&self, nonce: [u8; 12], aad: &[u8], data: &mut [u8]) -> [u8; TAG] {
        let tag = self
            .0
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), data)
            .expect("chunks are far below the 64 GiB limit of GCM");
        tag.as_ref().try_into().expect("a GCM tag has 16 bytes")
    }

    /// Plain bytes of `data` (ciphertext followed by its tag), or `None` if a bit of it, of the place or of the
    /// additional data differs from what was sealed.
    pub(crate) fn open<'a>(&self, nonce: [u8; 12], aad: &[u8], data: &'a mut [u8]) -> Option<&'a mut [u8]> {
        self.0.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(aad), data).ok()
    }
}

/// The nonce of a chunk: its place.
pub(crate) fn nonce(frame: u64, chunk: u32) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[..8].copy_from_slice(&frame.to_be_bytes());
    nonce[8..].copy_from_slice(&chunk.to_be_bytes());
    nonce
}

/// Random bytes from the operating system.
pub(crate) fn random<const N: usize>() -> Zeroizing<[u8; N]> {
    let mut bytes = Zeroizing::new([0; N]);
    SystemRandom::new().fill(&mut bytes[..]).expect("the operating system gives random bytes");
    bytes
}

pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    for part in parts {
        context.update(part);
    }
    context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
}
