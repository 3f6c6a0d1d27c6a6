//! What is wrong, doubtful or was cleaned in one record, in words that never repeat a value.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::ser::SerializeStruct;

use crate::problem::Problem;

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// A value was respelt as the schema allows; for the record only.
    Cleaned,
    /// 疑问数据: accepted, but somebody should look.
    Warn,
    /// The record is not accepted.
    Refuse,
}

/// One statement about one record, usually about one field of it. Holds limits and expected sets, never the value.
#[derive(Clone, PartialEq, Eq)]
pub struct Finding {
    problem: &'static Problem,
    severity: Severity,
    field: Option<Arc<str>>,
    params: Vec<Cow<'static, str>>,
}

impl Finding {
    /// A finding that refuses the record.
    pub(crate) fn refuse(problem: &'static Problem) -> Self {
        Self { problem, severity: Severity::Refuse, field: None, params: Vec::new() }
    }

    /// A finding of a chosen severity.
    pub(crate) fn of(problem: &'static Problem, severity: Severity) -> Self {
        Self { problem, severity, field: None, params: Vec::new() }
    }

    /// What follows where a recipient's schema cannot hold a record: its older version is withdrawn there.
    pub fn taken_back() -> Self {
        Self::of(&crate::problem::MAP_TAKEN_BACK, Severity::Warn)
    }

    /// Says which field it is about.
    pub(crate) fn on(mut self, field: &Arc<str>) -> Self {
        self.field = Some(Arc::clone(field));
        self
    }

    /// Says which reserved member it is about.
    pub(crate) fn on_member(mut self, member: &'static str) -> Self {
        self.field = Some(Arc::from(member));
        self
    }

    /// Adds a parameter of the sentence. Callers pass limits and expected values only.
    pub(crate) fn with(mut self, param: impl Into<Cow<'static, str>>) -> Self {
        self.params.push(param.into());
        self
    }

    /// Adds a number as parameter of the sentence.
    pub(crate) fn with_number(self, number: impl fmt::Display) -> Self {
        self.with(number.to_string())
    }

    /// The code of the field, or the reserved member, that it is about.
    pub fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }

    /// The stable code, e.g. `field.too-long`.
    pub fn code(&self) -> &'static str {
        self.problem.code
    }

    /// How much it weighs.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// True if the record is not accepted.
    pub fn refuses(&self) -> bool {
        self.severity == Severity::Refuse
    }

    /// What is wrong and what to do, in English.
    pub fn text_en(&self) -> String {
        fill(self.problem.en, &self.params)
    }

    /// What is wrong and what to do, in Chinese.
    pub fn text_zh(&self) -> String {
        fill(self.problem.zh, &self.params)
    }
}

impl fmt::Debug for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = self.field.as_deref().unwrap_or("-");
        write!(f, "{:?} {} {field}: {}", self.severity, self.problem.code, self.text_en())
    }
}

impl Serialize for Finding {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Finding", 5)?;
        match &self.field {
            Some(field) => out.serialize_field("field", &**field)?,
            None => out.skip_field("field")?,
        }
        out.serialize_field("code", self.code())?;
        out.serialize_field("severity", &self.severity)?;
        out.serialize_field("en", &self.text_en())?;
        out.serialize_field("zh", &self.text_zh())?;
        out.end()
    }
}

/// Puts the parameters into the places `{0}` to `{9}` of a sentence.
pub(crate) fn fill(template: &str, params: &[Cow<'static, str>]) -> String {
    let mut out = String::with_capacity(template.len() + 32);
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        out.push_str(&rest[..open]);
        let place = rest.as_bytes().get(open + 1).filter(|b| b.is_ascii_digit());
        match place {
            Some(digit) if rest.as_bytes().get(open + 2) == Some(&b'}') => {
                if let Some(param) = params.get(usize::from(digit - b'0')) {
                    out.push_str(param);
                }
                rest = &rest[open + 3..];
            }
            _ => {
                out.push('{');
                rest = &rest[open + 1..];
            }
        }
    }
    out.push_str(rest);
    out
}
