//! `Repr-Digest` of RFC 9530: the digest of a payload in an HTTP field, `sha-256=:<base64>:`.

use crate::base64;
use crate::digest::Digest;

/// A longer field value is not read.
const MAX_FIELD: usize = 1024;

/// The field value for `digest`.
pub fn repr_digest(digest: &Digest) -> String {
    format!("sha-256=:{}:", base64::encode(digest.as_bytes()))
}

/// The SHA-256 digest in a field value, among whatever other algorithms; `None` if there is none, if it is malformed,
/// or if it is there twice with different values.
pub fn parse_repr_digest(value: &str) -> Option<Digest> {
    if value.len() > MAX_FIELD {
        return None;
    }
    let mut found = None;
    for member in value.split(',') {
        let member = member.trim_matches([' ', '\t']);
        let Some(item) = member.strip_prefix("sha-256=") else { continue };
        let (encoded, parameters) = item.strip_prefix(':')?.split_once(':')?;
        if !(parameters.is_empty() || parameters.trim_start_matches(' ').starts_with(';')) {
            return None;
        }
        let digest = Digest::from_slice(&base64::decode(encoded)?)?;
        if found.replace(digest).is_some_and(|earlier| earlier != digest) {
            return None;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_9530_appendix_b_example() {
        let value = repr_digest(&Digest::of(b"{\"hello\": \"world\"}\n"));
        assert_eq!(value, "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:");
        assert_eq!(parse_repr_digest(&value), Some(Digest::of(b"{\"hello\": \"world\"}\n")));
    }

    #[test]
    fn other_algorithms_are_passed_over_and_malformed_values_refused() {
        let good = repr_digest(&Digest::of(b"x"));
        assert_eq!(parse_repr_digest(&format!("sha-512=:AA==:, {good};p=1")), Some(Digest::of(b"x")));
        assert_eq!(parse_repr_digest(&format!("{good}, {good}")), Some(Digest::of(b"x")));
        let other = repr_digest(&Digest::of(b"y"));
        for wrong in [
            "",
            "sha-256",
            "sha-256=::",
            "sha-256=:AA==:",
            "sha-512=:AA==:",
            &good[..20],
            &format!("{good}, {other}"),
            &format!("{good}x"),
        ] {
            assert_eq!(parse_repr_digest(wrong), None, "{wrong}");
        }
    }
}
