//! What an error says to the person who has to act on it: a stable code for programs, the place, and one sentence in
//! English and one in Chinese that say what is wrong and what to do.
//!
//! Every error of the workspace that reaches a person is an [`Explanation`], or can make one ([`Explain`]). Nothing reads
//! such a sentence back: code and place are fields. No sentence repeats a value of a record.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// An error, or anything else, that a person is told about.
pub trait Explain {
    /// Code, place and sentences.
    fn explain(&self) -> Explanation;

    /// Where, what, and what to do, in English.
    fn english(&self) -> String {
        self.explain().english()
    }

    /// The same in Chinese.
    fn chinese(&self) -> String {
        self.explain().chinese()
    }
}

/// One thing to be told, in both languages. In JSON `code`, `en` and `zh`, where the sentences begin with the place.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct Explanation {
    code: Cow<'static, str>,
    place: Option<String>,
    en: Cow<'static, str>,
    zh: Cow<'static, str>,
}

#[derive(Serialize, Deserialize)]
struct Written {
    code: Cow<'static, str>,
    en: Cow<'static, str>,
    zh: Cow<'static, str>,
}

impl Explanation {
    /// Under a stable code, lower case with dots and hyphens.
    pub fn new(
        code: impl Into<Cow<'static, str>>,
        en: impl Into<Cow<'static, str>>,
        zh: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { code: code.into(), place: None, en: en.into(), zh: zh.into() }
    }

    /// The same about this place: a file, a line of it, a setting, a stream.
    #[must_use]
    pub fn at(self, place: impl Into<String>) -> Self {
        Self { place: Some(place.into()), ..self }
    }

    /// The stable code.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The code alone.
    pub fn into_code(self) -> Cow<'static, str> {
        self.code
    }

    /// The file, setting or thing that is meant, where there is one.
    pub fn place(&self) -> Option<&str> {
        self.place.as_deref()
    }

    /// What is wrong and what to do, without the place: English and Chinese.
    pub fn sentences(&self) -> [&str; 2] {
        [&self.en, &self.zh]
    }

    /// Where, what, and what to do, in English.
    pub fn english(&self) -> String {
        self.place.as_ref().map_or_else(|| self.en.to_string(), |place| format!("{place}: {}", self.en))
    }

    /// The same in Chinese.
    pub fn chinese(&self) -> String {
        self.place.as_ref().map_or_else(|| self.zh.to_string(), |place| format!("{place}：{}", self.zh))
    }
}

impl Explain for Explanation {
    fn explain(&self) -> Explanation {
        self.clone()
    }
}

impl From<Written> for Explanation {
    fn from(w: Written) -> Self {
        Self { code: w.code, place: None, en: w.en, zh: w.zh }
    }
}

impl From<Explanation> for Written {
    fn from(e: Explanation) -> Self {
        match e.place {
            None => Self { code: e.code, en: e.en, zh: e.zh },
            Some(_) => Self { en: e.english().into(), zh: e.chinese().into(), code: e.code },
        }
    }
}

/// The English sentence and the code, for logs and for whoever prints an error as it is.
impl fmt::Display for Explanation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(out, "{place}: ")?;
        }
        write!(out, "{} [{}]", self.en, self.code)
    }
}

impl std::error::Error for Explanation {}

#[cfg(test)]
mod tests {
    use super::{Explain, Explanation};

    #[test]
    fn the_place_leads_both_sentences_and_is_a_field_of_its_own() {
        let plain = Explanation::new("file.absent", "it is not there", "文件不存在");
        assert_eq!((plain.english(), plain.chinese()), ("it is not there".into(), "文件不存在".into()));
        let placed = plain.at("ca.pem");
        assert_eq!((placed.code(), placed.place()), ("file.absent", Some("ca.pem")));
        assert_eq!(placed.sentences(), ["it is not there", "文件不存在"]);
        assert_eq!(placed.explain().english(), "ca.pem: it is not there");
        assert_eq!(placed.chinese(), "ca.pem：文件不存在");
        assert_eq!(placed.to_string(), "ca.pem: it is not there [file.absent]");
    }

    #[test]
    fn in_json_the_sentences_are_whole() {
        let placed = Explanation::new("file.absent", "it is not there", "文件不存在").at("ca.pem");
        let json = serde_json::to_value(&placed).unwrap();
        let written = serde_json::json!({
            "code": "file.absent", "en": "ca.pem: it is not there", "zh": "ca.pem：文件不存在",
        });
        assert_eq!(json, written);
        let read: Explanation = serde_json::from_value(json).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), written);
    }
}
