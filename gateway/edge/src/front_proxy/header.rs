//! `Client-Cert` and `Client-Cert-Chain` as RFC 9440 writes them: structured-field byte sequences (RFC 8941), read
//! strictly. One value each, no parameters, canonical base64, capped sizes; whatever else a proxy may send is refused.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};
use rustls_pki_types::CertificateDer;

use xinqiao_runtime::refusal::RefusalCode;

/// Who the client is.
pub(crate) const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");
/// The certificates between it and an anchor.
pub(crate) const CLIENT_CERT_CHAIN: HeaderName = HeaderName::from_static("client-cert-chain");
/// The headers that say who a request is from.
pub(crate) const NAMES: [HeaderName; 2] = [CLIENT_CERT, CLIENT_CERT_CHAIN];

/// The largest certificate, in DER.
const CERTIFICATE_BYTES: usize = 8 * 1024;
/// The longest chain, the client's certificate not counted.
const ISSUERS: usize = 4;

/// The two values as they came.
#[derive(Debug)]
pub struct Named<'a> {
    pub(crate) leaf: &'a [u8],
    pub(crate) issuers: Option<&'a [u8]>,
}

impl<'a> Named<'a> {
    /// Exactly one `Client-Cert`, at most one `Client-Cert-Chain`.
    ///
    /// # Errors
    /// None or several.
    pub fn in_headers(headers: &'a HeaderMap) -> Result<Self, RefusalCode> {
        let leaf = only(headers, &CLIENT_CERT)?.ok_or(RefusalCode::FrontProxyMissing)?;
        let issuers = only(headers, &CLIENT_CERT_CHAIN)?.map(HeaderValue::as_bytes);
        Ok(Self { leaf: leaf.as_bytes(), issuers })
    }

    /// The chain, the client's certificate first.
    ///
    /// # Errors
    /// A value is not as RFC 9440 writes it, or beyond a cap.
    pub fn chain(&self) -> Result<Vec<CertificateDer<'static>>, RefusalCode> {
        let mut chain = vec![certificate(self.leaf)?];
        if let Some(issuers) = self.issuers {
            for issuer in issuers.split(|byte| *byte == b',') {
                if chain.len() > ISSUERS {
                    return Err(RefusalCode::FrontProxyMalformed);
                }
                chain.push(certificate(trim(issuer))?);
            }
        }
        Ok(chain)
    }
}

fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a HeaderValue>, RefusalCode> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(RefusalCode::FrontProxyRepeated);
    }
    Ok(first)
}

/// `:base64:` and nothing around it.
fn certificate(item: &[u8]) -> Result<CertificateDer<'static>, RefusalCode> {
    let encoded = item
        .strip_prefix(b":")
        .and_then(|rest| rest.strip_suffix(b":"))
        .filter(|encoded| !encoded.is_empty() && encoded.len() <= CERTIFICATE_BYTES.div_ceil(3) * 4)
        .ok_or(RefusalCode::FrontProxyMalformed)?;
    let der = STANDARD.decode(encoded).map_err(|_| RefusalCode::FrontProxyMalformed)?;
    Ok(CertificateDer::from(der))
}

fn trim(item: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = item.iter().position(|byte| !blank(byte)).unwrap_or(item.len());
    let end = item.iter().rposition(|byte| !blank(byte)).map_or(start, |at| at + 1);
    &item[start..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(leaf: &[&str], chain: &[&str]) -> Result<Vec<Vec<u8>>, RefusalCode> {
        let mut headers = HeaderMap::new();
        for (name, values) in [(CLIENT_CERT, leaf), (CLIENT_CERT_CHAIN, chain)] {
            for value in values {
                headers.append(&name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
        }
        let chain = Named::in_headers(&headers)?.chain()?;
        Ok(chain.iter().map(|der| der.to_vec()).collect())
    }

    #[test]
    fn values_are_read_as_the_rfc_writes_them() {
        assert_eq!(read(&[":YWJj:"], &[]), Ok(vec![b"abc".to_vec()]));
        let three = vec![b"abc".to_vec(), b"d".to_vec(), b"e".to_vec()];
        assert_eq!(read(&[":YWJj:"], &[":ZA==:, \t:ZQ==:"]), Ok(three));
    }

    #[test]
    fn anything_else_is_refused() {
        use RefusalCode::{FrontProxyMalformed as Malformed, FrontProxyMissing, FrontProxyRepeated};
        let long = format!(":{}:", "A".repeat(CERTIFICATE_BYTES * 2));
        for (leaf, chain, code) in [
            (&[][..], &[][..], FrontProxyMissing),
            (&[], &[":ZA==:"], FrontProxyMissing),
            (&[":YWJj:", ":YWJj:"], &[], FrontProxyRepeated),
            (&[":YWJj:"], &[":ZA==:", ":ZQ==:"], FrontProxyRepeated),
            (&[""], &[], Malformed),
            (&[":"], &[], Malformed),
            (&["::"], &[], Malformed),
            (&["YWJj"], &[], Malformed),
            (&[":YWJj"], &[], Malformed),
            (&[":YWJj:;a=1"], &[], Malformed),
            (&[":YWJj:, :YWJj:"], &[], Malformed),
            (&[":YW Jj:"], &[], Malformed),
            (&[":ZA:"], &[], Malformed),
            (&[":ZB==:"], &[], Malformed),
            (&[":_-8=:"], &[], Malformed),
            (&["-----BEGIN%20CERTIFICATE-----"], &[], Malformed),
            (&[&long], &[], Malformed),
            (&[":YWJj:"], &[""], Malformed),
            (&[":YWJj:"], &[":ZA==:,"], Malformed),
            (&[":YWJj:"], &[":ZA==:,:ZA==:,:ZA==:,:ZA==:,:ZA==:"], Malformed),
        ] {
            assert_eq!(read(leaf, chain), Err(code), "{leaf:?} {chain:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_accepted_was_written_in_the_one_way_there_is(text in "[:A-Za-z0-9+/=, ;]{0,40}") {
            if let Ok(chain) = read(&[&text], &[]) {
                prop_assert_eq!(format!(":{}:", STANDARD.encode(&chain[0])), text);
            }
        }

        #[test]
        fn every_certificate_can_be_passed(der in proptest::collection::vec(any::<u8>(), 1..4096)) {
            let value = format!(":{}:", STANDARD.encode(&der));
            prop_assert_eq!(read(&[&value], &[&value]), Ok(vec![der.clone(), der]));
        }
    }
}
