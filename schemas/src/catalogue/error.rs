//! What is wrong with catalogue files: file, line, what, and what to do.

use std::fmt;

use serde::Serialize;
use xinqiao_explain::{Explain, Explanation};

use crate::catalogue::CatalogueFile;

/// One error of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LoadError {
    /// Path below the catalogue's directory.
    pub file: String,
    /// Line, counted from one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Stable code, e.g. `catalogue.field-unknown`.
    pub code: &'static str,
    /// What is wrong and what to do, in English.
    pub en: String,
    /// The same in Chinese.
    pub zh: String,
}

impl LoadError {
    pub(crate) fn new(
        file: &str,
        line: Option<usize>,
        code: &'static str,
        en: impl Into<String>,
        zh: impl Into<String>,
    ) -> Self {
        Self { file: file.to_owned(), line, code, en: en.into(), zh: zh.into() }
    }
}

impl Explain for LoadError {
    fn explain(&self) -> Explanation {
        let place = self.line.map_or_else(|| self.file.clone(), |line| format!("{}:{line}", self.file));
        Explanation::new(self.code, self.en.clone(), self.zh.clone()).at(place)
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.explain().fmt(f)
    }
}

/// All errors of a catalogue; at least one.
#[derive(Clone, PartialEq, Eq)]
pub struct LoadErrors(Vec<LoadError>);

impl LoadErrors {
    pub(crate) fn new(mut errors: Vec<LoadError>) -> Self {
        errors.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        Self(errors)
    }

    /// The errors, by file and line.
    pub fn iter(&self) -> impl Iterator<Item = &LoadError> {
        self.0.iter()
    }

    pub(crate) fn into_vec(self) -> Vec<LoadError> {
        self.0
    }
}

impl fmt::Display for LoadErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(f, "the catalogue has {count} error{}", if count == 1 { "" } else { "s" })?;
        self.0.iter().try_for_each(|error| write!(f, "\n  {error}"))
    }
}

impl fmt::Debug for LoadErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for LoadErrors {}

/// Collects errors while files are built.
#[derive(Default)]
pub(crate) struct Problems {
    errors: Vec<LoadError>,
}

impl Problems {
    /// Adds an error at a byte of a file.
    pub(crate) fn push(
        &mut self,
        file: &CatalogueFile,
        at: Option<usize>,
        code: &'static str,
        en: impl Into<String>,
        zh: impl Into<String>,
    ) {
        let line = at.map(|at| line_of(&file.text, at));
        self.errors.push(LoadError::new(&file.path, line, code, en, zh));
    }

    pub(crate) fn count(&self) -> usize {
        self.errors.len()
    }

    pub(crate) fn into_result(self) -> Result<(), LoadErrors> {
        if self.errors.is_empty() { Ok(()) } else { Err(LoadErrors::new(self.errors)) }
    }

    /// Reads a file into its raw form; a misspelt key is an error here.
    pub(crate) fn parse<T: serde::de::DeserializeOwned>(&mut self, file: &CatalogueFile) -> Option<T> {
        match toml::from_str(&file.text) {
            Ok(raw) => Some(raw),
            Err(error) => {
                let message = error.message().trim_end().replace('\n', " ");
                self.push(
                    file,
                    error.span().map(|span| span.start),
                    "catalogue.syntax",
                    format!("{message}; see docs/catalogue-format.md"),
                    format!("格式错误：{message}；参见 docs/catalogue-format.md"),
                );
                None
            }
        }
    }

    /// A rule, a role or the key names a field that the schema has not.
    pub(crate) fn field_unknown(&mut self, file: &CatalogueFile, name: &toml::Spanned<String>) {
        self.push(
            file,
            Some(name.span().start),
            "catalogue.field-unknown",
            format!(
                "there is no field \"{}\" in this schema; use a code from its [[field]] tables",
                name.get_ref()
            ),
            format!("本模式没有字段 \"{}\"，请使用 [[field]] 中的 code", name.get_ref()),
        );
    }

    /// The file must be named for its id.
    pub(crate) fn named(&mut self, file: &CatalogueFile, name: &str, id: &toml::Spanned<String>) {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if id.get_ref() != name {
            self.push(
                file,
                Some(id.span().start),
                "catalogue.file-name",
                format!("the file is named {name}.toml, but holds {}; make them equal", id.get_ref()),
                format!("文件名为 {name}.toml，内容却是 {}，请统一", id.get_ref()),
            );
        } else if id.get_ref().is_empty() || !id.get_ref().bytes().all(plain) {
            self.push(
                file,
                Some(id.span().start),
                "catalogue.id",
                "an id is made of lower-case letters, digits and hyphens; rename it",
                "标识只能由小写字母、数字和连字符组成，请改名",
            );
        }
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1
}
