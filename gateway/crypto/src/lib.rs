//! The algorithms the gateway stands on, each with a type of its own: SHA-256, HMAC-SHA-256, AES-256-GCM, HKDF, ECDSA
//! P-256, Ed25519, random bytes, and hexadecimal.
//!
//! The library behind them, ring, is named here and in `certs/src/crypto.rs` (TLS) only, and none of its types stands in
//! a signature. A second suite (SM3, SM4, SM2) is therefore added here, beside today's, under names of its own: formats
//! say which algorithm they use, so nothing here is generic over one. No I/O, no format, no policy: who is given which
//! key, and what a nonce is made of, is decided by the crates above.

pub mod aead;
pub mod digest;
pub mod hex;
pub mod kdf;
pub mod mac;
mod name;
pub mod random;
mod secret;
pub mod signature;

pub use aead::AeadKey;
pub use digest::{Sha256, sha256};
pub use mac::{Mac, MacKey};
pub use name::NameKey;
pub use random::NoRandomness;
pub use secret::Secret;
