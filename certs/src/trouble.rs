//! Errors for operators about a file or a setting that cannot be used.

use std::fmt;

/// A certificate, key, list or member entry that must not go live: where it is, what is wrong, what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadError {
    code: &'static str,
    place: String,
    en: String,
    zh: String,
}

impl LoadError {
    pub(crate) fn new(code: &'static str, place: &str, en: impl Into<String>, zh: impl Into<String>) -> Self {
        Self { code, place: place.to_owned(), en: en.into(), zh: zh.into() }
    }

    /// The same about another place.
    pub(crate) fn at(self, place: &str) -> Self {
        Self { place: place.to_owned(), ..self }
    }

    /// The stable code, such as `identity.key-encrypted`.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The file, or the entry, that is meant.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// One English sentence: where, what, and the way out.
    pub fn english(&self) -> String {
        format!("{}: {}", self.place, self.en)
    }

    /// The same in Chinese.
    pub fn chinese(&self) -> String {
        format!("{}：{}", self.place, self.zh)
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} [{}]", self.place, self.en, self.code)
    }
}

impl std::error::Error for LoadError {}
