//! A small certificate authority, for sites without one, for demonstrations and for tests.
//!
//! Keys are ECDSA P-256. A leaf carries one URI `spiffe://<trust-domain>/<role>/<name>`, and its organisation's unified
//! social credit code as organizationIdentifier. Only roles that accept connections get the server usage, so that a
//! department's certificate cannot pose as a gateway.

mod authority;
mod bundle;
mod files;

pub use authority::{Authority, Issued, Request, Revoked, Validity};
pub use files::{write_private, write_public};

use std::fmt;

/// Making or writing certificates failed.
#[derive(Debug)]
pub struct PkiError {
    code: &'static str,
    en: String,
    zh: String,
}

impl PkiError {
    pub(crate) fn new(code: &'static str, en: impl Into<String>, zh: impl Into<String>) -> Self {
        Self { code, en: en.into(), zh: zh.into() }
    }

    pub(crate) fn generator(error: rcgen::Error) -> Self {
        Self::new(
            "pki.cannot-make",
            format!("the certificate could not be made: {error}"),
            format!("无法生成证书：{error}"),
        )
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// What is wrong, in English.
    pub fn english(&self) -> &str {
        &self.en
    }

    /// What is wrong, in Chinese.
    pub fn chinese(&self) -> &str {
        &self.zh
    }
}

impl fmt::Display for PkiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.en, self.code)
    }
}

impl std::error::Error for PkiError {}
