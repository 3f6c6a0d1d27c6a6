//! Short things sealed with AES-256-GCM, the nonce before them. Nonces are random: a sealing key seals a few files in its
//! life, far from the 2³² at which two might meet.

use xinqiao_crypto::aead::NONCE;
use xinqiao_crypto::{AeadKey, random};
use zeroize::Zeroizing;

/// `nonce ‖ ciphertext ‖ tag`. `what` is not inside, but nothing opens as anything else.
pub(super) fn seal(key: &[u8; 32], what: &str, bytes: &[u8]) -> Vec<u8> {
    let nonce = random::unique();
    let mut sealed = Zeroizing::new(bytes.to_vec());
    let tag = AeadKey::new(key).seal(nonce, what.as_bytes(), &mut sealed);
    [&nonce[..], &sealed, &tag].concat()
}

/// The inverse of [`seal`].
pub(super) fn open(key: &[u8; 32], what: &str, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, rest) = sealed.split_first_chunk::<NONCE>()?;
    let mut rest = Zeroizing::new(rest.to_vec());
    let opened = AeadKey::new(key).open(*nonce, what.as_bytes(), &mut rest)?.len();
    rest.truncate(opened);
    Some(rest)
}
