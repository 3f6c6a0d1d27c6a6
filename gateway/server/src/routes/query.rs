//! Query strings: every parameter known, none twice, none ignored.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
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

    /// A whole number of these; another is refused and not taken for the nearest, as the interface description says.
    pub(crate) fn number(
        &self,
        name: &'static str,
        default: u64,
        allowed: RangeInclusive<u64>,
    ) -> Result<u64, Refusal> {
        let Some(text) = self.given.get(name) else { return Ok(default) };
        let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let number = text.parse::<u64>().ok().filter(|number| is_number && allowed.contains(number));
        number.ok_or_else(|| {
            let (least, most) = (allowed.start(), allowed.end());
            invalid_since(
                name,
                format!("Give a whole number from {least} to {most}."),
                format!("应为 {least} 至 {most} 的整数。"),
            )
        })
    }
}

/// A parameter or header that is not of its form.
pub(crate) fn invalid(name: &'static str) -> Refusal {
    let (en, zh) = ("Not of the form the interface description gives.", "不符合接口说明中的格式。");
    invalid_since(name, en.into(), zh.into())
}

fn invalid_since(name: &'static str, en: String, zh: String) -> Refusal {
    Refusal::new(RefusalCode::ParameterInvalid).findings([Finding {
        severity: Severity::Refuse,
        code: "parameter.invalid".into(),
        record: None,
        field: Some(name.into()),
        detail: en.into(),
        detail_zh: zh.into(),
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
