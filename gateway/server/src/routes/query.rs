//! Query strings: every parameter known, none twice, none ignored.

use std::collections::BTreeMap;
use xinqiao_runtime::refusal::{Finding, Refusal, RefusalCode, Severity};

/// The parameters of a request, decoded.
pub(crate) struct Query<'a> {
    given: BTreeMap<&'static str, std::borrow::Cow<'a, str>>,
}

impl<'a> Query<'a> {
    /// Reads a query string that may hold these parameters and no others.
    pub(crate) fn parse(query: Option<&'a str>, known: &[&'static str]) -> Result<Self, Refusal> {
        let mut given = BTreeMap::new();
        for pair in query.unwrap_or("").split('&').filter(|p| !p.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = known.iter().find(|k| **k == name).ok_or(RefusalCode::ParameterUnknown)?;
            let value = decode(value).ok_or_else(|| invalid(name))?;
            if given.insert(*name, value).is_some() {
                return Err(RefusalCode::ParameterRepeated.into());
            }
        }
        Ok(Self { given })
    }

    /// A text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.given.get(name).map(AsRef::as_ref)
    }

    /// A whole number.
    pub(crate) fn number(&self, name: &'static str, default: u64, most: u64) -> Result<u64, Refusal> {
        match self.given.get(name) {
            None => Ok(default),
            Some(text) => {
                let good = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
                let number = text.parse::<u64>().ok().filter(|_| good).ok_or_else(|| invalid(name))?;
                Ok(number.min(most))
            }
        }
    }
}

/// A parameter or header that is not of its form.
pub(crate) fn invalid(name: &'static str) -> Refusal {
    Refusal::new(RefusalCode::ParameterInvalid).findings([Finding {
        severity: Severity::Refuse,
        code: "parameter.invalid".into(),
        record: None,
        field: Some(name.into()),
        detail: "Not of the form the interface description gives.".into(),
        detail_zh: "不符合接口说明中的格式。".into(),
    }])
}

fn decode(value: &str) -> Option<std::borrow::Cow<'_, str>> {
    if !value.contains(['%', '+']) {
        return Some(value.into());
    }
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((&b, tail)) = rest.split_first() {
        rest = tail;
        match b {
            b'+' => out.push(b' '),
            b'%' => {
                let (digits, tail) = rest.split_at_checked(2)?;
                let digits =
                    std::str::from_utf8(digits).ok().filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
                out.push(u8::from_str_radix(digits, 16).ok()?);
                rest = tail;
            }
            b => out.push(b),
        }
    }
    String::from_utf8(out).ok().map(Into::into)
}
