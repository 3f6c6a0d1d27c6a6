//! The lists in one file: PEM with any number of blocks, or DER, one after the other. Each is found for itself, so that one
//! that arrived half takes none of its neighbours with it.

use super::document::malformed;
use crate::der;
use crate::trouble::unusable;
use xinqiao_explain::Explanation;

/// What stands where a list should stand.
pub(super) struct Broken {
    pub(super) why: Explanation,
    /// The issuer's name as DER, if as much of the list is there.
    pub(super) issuer: Option<Vec<u8>>,
}

/// Every list of a file as DER, or why it is none.
pub(super) fn blocks(name: &str, bytes: &[u8]) -> Vec<Result<Vec<u8>, Broken>> {
    let found = match bytes.first() {
        Some(&der::SEQUENCE) => one_after_the_other(name, bytes),
        _ => of_pem(name, bytes),
    };
    match found.is_empty() {
        true => vec![Err(Broken { why: malformed(name), issuer: None })],
        false => found,
    }
}

/// The issuer of a list of which only the beginning may be there.
pub(super) fn issuer_of(der: &[u8]) -> Option<Vec<u8>> {
    let mut inside = der::Reader::new(der::begun(der::begun(der)?)?);
    // The version, which a list of the first version lacks; then the algorithm.
    inside.take(der::INTEGER);
    inside.take(der::SEQUENCE)?;
    inside.take(der::SEQUENCE).map(|issuer| issuer.whole.to_vec())
}

fn one_after_the_other(name: &str, bytes: &[u8]) -> Vec<Result<Vec<u8>, Broken>> {
    let mut found = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        match der::announced(rest).and_then(|length| rest.split_at_checked(length)) {
            Some((list, after)) if list.first() == Some(&der::SEQUENCE) => {
                found.push(Ok(list.to_vec()));
                rest = after;
            }
            // The end of a text file that somebody put behind it.
            _ if rest.iter().all(u8::is_ascii_whitespace) && !found.is_empty() => break,
            _ => {
                found.push(Err(cut(name, rest)));
                break;
            }
        }
    }
    found
}

/// A list in DER that does not have the bytes it announces, or bytes that are no list.
fn cut(name: &str, der: &[u8]) -> Broken {
    let why = match der::announced(der).filter(|announced| *announced > der.len()) {
        Some(announced) => truncated(
            name,
            &format!("{} of {announced} bytes are there", der.len()),
            &format!("应有 {announced} 字节，只有 {}", der.len()),
        ),
        None => malformed(name),
    };
    Broken { why, issuer: issuer_of(der) }
}

fn truncated(name: &str, en: &str, zh: &str) -> Explanation {
    unusable(
        "crl.truncated",
        name,
        format!("the revocation list was cut: {en}; fetch it again"),
        format!("吊销列表被截断：{zh}，请重新获取"),
    )
}

const RULE: &[u8] = b"-----";
const TAGS: [&str; 2] = ["X509 CRL", "CRL"];

fn of_pem(name: &str, bytes: &[u8]) -> Vec<Result<Vec<u8>, Broken>> {
    let mut found = Vec::new();
    // The tag of the block that is open, and its lines.
    let mut open: Option<(String, Vec<u8>)> = None;
    for line in bytes.split(|byte| matches!(byte, b'\n' | b'\r')) {
        let line = line.trim_ascii();
        // Fewer dashes are the beginning of a rule that was cut.
        let ruled = line.starts_with(RULE) || (RULE.starts_with(line) && !line.is_empty());
        match (ruled, &mut open) {
            (false, Some((_, body))) => body.extend_from_slice(line),
            (false, None) => {}
            (true, _) => {
                let begins = rule(line, "BEGIN ");
                let ends = rule(line, "END ");
                match (open.take(), begins, ends) {
                    (Some((tag, body)), None, Some(end)) if tag == end => {
                        if TAGS.contains(&tag.as_str()) {
                            found.push(decoded(name, &body));
                        }
                    }
                    (before, begins, _) => {
                        // What was open has no end, or this line is half of one.
                        let torn = before.filter(|(tag, _)| TAGS.contains(&tag.as_str()));
                        match (&torn, &begins) {
                            (Some((_, body)), _) => found.push(Err(unended(name, body))),
                            (None, None) => found.push(Err(unended(name, &[]))),
                            (None, Some(_)) => {}
                        }
                        open = begins.map(|tag| (tag, Vec::new()));
                    }
                }
            }
        }
    }
    // Whatever it was going to be: a file whose last block has no end is still being written.
    found.extend(open.map(|(_, body)| Err(unended(name, &body))));
    found
}

/// What a whole rule line such as `-----BEGIN X509 CRL-----` names.
fn rule(line: &[u8], kind: &str) -> Option<String> {
    let inside = line.strip_prefix(RULE)?.strip_suffix(RULE)?;
    let tag = std::str::from_utf8(inside).ok()?.strip_prefix(kind)?;
    Some(tag.to_owned())
}

fn decoded(name: &str, body: &[u8]) -> Result<Vec<u8>, Broken> {
    let der =
        base64(body).ok_or_else(|| Broken { why: malformed(name), issuer: issuer_of(&beginning(body)) })?;
    match der::announced(&der).is_some_and(|announced| announced > der.len()) {
        true => Err(cut(name, &der)),
        false => Ok(der),
    }
}

fn unended(name: &str, body: &[u8]) -> Broken {
    let why = truncated(name, "its last lines are missing", "缺少末尾各行");
    Broken { why, issuer: issuer_of(&beginning(body)) }
}

/// The bytes of as many whole groups of four as stand at the beginning.
fn beginning(body: &[u8]) -> Vec<u8> {
    let good = body.iter().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'/')).count();
    base64(&body[..good - good % 4]).unwrap_or_default()
}

fn base64(body: &[u8]) -> Option<Vec<u8>> {
    let body = std::str::from_utf8(body).ok()?;
    let block = format!("-----BEGIN CRL-----\n{body}\n-----END CRL-----\n");
    pem::parse(block).ok().map(pem::Pem::into_contents)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(body: &[u8]) -> Vec<u8> {
        der::write(der::SEQUENCE, body)
    }

    fn pem_of(der: &[u8]) -> String {
        pem::encode(&pem::Pem::new("X509 CRL", der.to_vec()))
    }

    fn found(bytes: &[u8]) -> Vec<Option<Vec<u8>>> {
        blocks("a.crl", bytes).into_iter().map(Result::ok).collect()
    }

    #[test]
    fn every_list_of_a_file_is_found_and_a_broken_one_takes_no_other_along() {
        let (one, two) = (list(b"one"), list(&[7; 300]));
        let both = Some(one.clone()).into_iter().chain([two.clone()]).map(Some).collect::<Vec<_>>();
        assert_eq!(found(&[one.as_slice(), &two].concat()), both);
        let text = format!("from Monday\n{}and\n\n{}", pem_of(&one), pem_of(&two));
        assert_eq!(found(text.as_bytes()), both);
        assert_eq!(found(text.replace('\n', "\r\n").as_bytes()), both);
        assert_eq!(found(&[b"\xef\xbb\xbf".as_slice(), b"\xff\n", text.as_bytes()].concat()), both);
        let damaged = format!("{}{}", pem_of(&one).replacen('M', "!", 1), pem_of(&two));
        assert_eq!(found(damaged.as_bytes()), [None, Some(two.clone())]);
        let other = format!("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n{}", pem_of(&two));
        assert_eq!(found(other.as_bytes()), [Some(two)]);
        assert_eq!(found(b""), [None]);
        assert_eq!(found(b"nothing of the kind"), [None]);
    }

    /// A file that is being written may end anywhere: the lists before that place are found, and the loss is noticed unless
    /// the file happens to end between two lists.
    #[test]
    fn a_file_that_was_cut_anywhere_is_noticed() {
        let (one, two) = (list(&[5; 90]), list(&[7; 130]));
        for (text, first) in [
            ([pem_of(&one), pem_of(&two)].concat().into_bytes(), pem_of(&one).trim_end().len()),
            ([one.clone(), two.clone()].concat(), one.len()),
        ] {
            let whole = text.trim_ascii_end().len();
            for end in 1..whole {
                let found = found(&text[..end]);
                let between = text[..end].trim_ascii_end().len() == first;
                assert_eq!(found.contains(&None), !between, "{end} of {whole}");
                assert_eq!(found.contains(&Some(one.clone())), end >= first, "{end} of {whole}");
            }
        }
    }
}
