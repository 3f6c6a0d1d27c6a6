//! The node's keys under the name they had before they rotated.

pub use crate::keyring::{Keyring as Secrets, KeyringError as SecretsError, random32};
