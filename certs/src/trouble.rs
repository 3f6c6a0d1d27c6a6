//! Errors for operators about a file or a setting that must not go live.

use std::borrow::Cow;

use xinqiao_explain::Explanation;

/// A certificate, key, list or member entry that cannot be used: where it is, what is wrong, what to do.
pub(crate) fn unusable(
    code: &'static str,
    place: &str,
    en: impl Into<Cow<'static, str>>,
    zh: impl Into<Cow<'static, str>>,
) -> Explanation {
    Explanation::new(code, en, zh).at(place)
}
