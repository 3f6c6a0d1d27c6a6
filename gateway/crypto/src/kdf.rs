//! HKDF with HMAC-SHA-256 (RFC 5869): keys for many purposes from one secret.

use ring::hkdf;

use crate::secret::Secret;

/// 32 bytes for the purpose that `info` names. What is derived for one purpose reveals nothing about another's, nor about
/// `secret`.
#[must_use]
pub fn hkdf_sha256(salt: &[u8], secret: &[u8], info: &[u8]) -> Secret {
    struct Length;
    impl hkdf::KeyType for Length {
        fn len(&self) -> usize {
            32
        }
    }
    let mut out = [0; 32];
    hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
        .extract(secret)
        .expand(&[info], Length)
        .and_then(|okm| okm.fill(&mut out))
        .expect("32 bytes are within HKDF's limit");
    Secret::take(&mut out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex;

    #[test]
    fn the_first_case_of_rfc_5869() {
        let salt = hex::decode("000102030405060708090a0b0c").unwrap();
        let info = hex::decode("f0f1f2f3f4f5f6f7f8f9").unwrap();
        let okm = hkdf_sha256(&salt, &[0x0b; 22], &info);
        assert_eq!(hex::encode(&okm[..]), "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf");
    }
}
