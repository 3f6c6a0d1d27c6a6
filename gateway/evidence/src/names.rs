//! Names that become paths, log origins and keys of maps: what characters they may have.
//!
//! A verifier writes files named after what a manifest claims, so these rules are checked before anything else is done
//! with a name: no separators, no dots in front, nothing outside ASCII.

/// A longer name is refused.
pub const MAX_NAME: usize = 128;

/// `xm.example/350200-credit`: a domain, a slash, a name.
pub fn is_node(text: &str) -> bool {
    let Some((domain, name)) = text.split_once('/') else { return false };
    text.len() <= MAX_NAME && is_domain(domain) && is_word(name)
}

/// `xm.example`: labels of letters, digits and hyphens.
pub fn is_domain(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_NAME && text.split('.').all(is_word)
}

/// `administrative-penalty-2020`, `province`: lower-case letters, digits and inner hyphens.
pub fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_NAME
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// `<recipient>.<dataset>` or `<recipient>.<dataset>~<lane>`.
pub fn is_stream(text: &str) -> bool {
    split_stream(text).is_some()
}

/// Recipient, dataset and lane of a stream id.
pub fn split_stream(text: &str) -> Option<(&str, &str, Option<&str>)> {
    if text.len() > MAX_NAME {
        return None;
    }
    let (recipient, rest) = text.split_once('.')?;
    let (dataset, lane) = match rest.split_once('~') {
        Some((dataset, lane)) => (dataset, Some(lane)),
        None => (rest, None),
    };
    (is_word(recipient) && is_word(dataset) && lane.is_none_or(is_word)).then_some((recipient, dataset, lane))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_a_directory_are_refused() {
        assert!(is_node("xm.example/350200-credit"));
        assert!(is_stream("province.administrative-penalty~history"));
        assert_eq!(split_stream("province.xm-penalty"), Some(("province", "xm-penalty", None)));
        for wrong in
            ["", "a", "../x", "a/../b", "a/b/c", "A/b", "a/b ", "a\u{0}/b", "信/桥", ".a/b", "a/", "/a"]
        {
            assert!(!is_node(wrong), "{wrong}");
        }
        for wrong in ["", ".", "..", "a", "a.", ".b", "a.b~", "a.b~c~d", "a.b/c", "a.b.c", "a.B", "a.b\n"] {
            assert!(!is_stream(wrong), "{wrong}");
        }
        assert!(!is_word(&"a".repeat(MAX_NAME + 1)));
    }
}
