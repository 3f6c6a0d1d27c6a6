//! An authority's answer, in whatever form and order it comes, made into a chain.

use rustls_pki_types::CertificateDer;

use crate::certificate::{self, PublicKeyPin};
use crate::der;
use crate::trouble::unusable;
use xinqiao_explain::Explanation;

/// More certificates than this in one answer are no answer.
const MOST: usize = 64;

/// Every certificate of a file: PEM with anything between the blocks, DER, or PKCS#7 (`.p7b`) in either.
pub fn certificates(place: &str, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, Explanation> {
    let found = if bytes.first() == Some(&der::SEQUENCE) {
        match pkcs7(bytes) {
            Some(found) => found,
            None => vec![CertificateDer::from(bytes.to_vec())],
        }
    } else {
        let mut found = Vec::new();
        for block in pem::parse_many(bytes).map_err(|_| certificate::malformed(place))? {
            match block.tag() {
                "CERTIFICATE" | "X509 CERTIFICATE" => found.push(block.into_contents().into()),
                "PKCS7" | "CMS" => {
                    found.extend(pkcs7(block.contents()).ok_or_else(|| unreadable(place))?);
                }
                _ => {}
            }
        }
        found
    };
    if found.is_empty() {
        return Err(certificate::none_in_file(place));
    }
    if found.len() > MOST || found.iter().any(|der| certificate::parse(der).is_none()) {
        return Err(unreadable(place));
    }
    Ok(found)
}

/// Leaf first, then each issuer, without the root: the certificates of an answer in the order TLS sends them.
///
/// The leaf is the certificate of the key (the newest, if there are several). What belongs to another chain is left out.
pub fn arrange(
    place: &str,
    certificates: &[CertificateDer<'static>],
    key: &PublicKeyPin,
) -> Result<Vec<CertificateDer<'static>>, Explanation> {
    let parsed: Vec<_> =
        certificates.iter().filter_map(|der| Some((der, certificate::parse(der)?))).collect();
    let leaf = parsed
        .iter()
        .filter(|(_, certificate)| PublicKeyPin::of_parsed(certificate) == *key)
        .max_by_key(|(_, certificate)| certificate.validity().not_before.timestamp())
        .ok_or_else(|| {
            unusable(
                "identity.key-mismatch",
                place,
                "holds no certificate for this private key; use the answer to the request that was made with it",
                "没有与该私钥对应的证书，请使用以该私钥提交的申请所得到的答复",
            )
        })?;
    let mut chain = vec![leaf];
    loop {
        let (_, lowest) = chain[chain.len() - 1];
        if lowest.subject().as_raw() == lowest.issuer().as_raw() {
            break;
        }
        let issuer = parsed.iter().find(|(der, candidate)| {
            candidate.subject().as_raw() == lowest.issuer().as_raw()
                && chain.iter().all(|(used, _)| used != der)
                && lowest.verify_signature(Some(candidate.public_key())).is_ok()
        });
        match issuer {
            Some(issuer) => chain.push(issuer),
            None => break,
        }
    }
    let is_root = |certificate: &x509_parser::prelude::X509Certificate<'_>| {
        certificate.subject().as_raw() == certificate.issuer().as_raw()
    };
    let keep = |(position, (der, certificate)): (usize, &(&CertificateDer<'static>, _))| {
        (position == 0 || !is_root(certificate)).then(|| (*der).clone())
    };
    Ok(chain.into_iter().enumerate().filter_map(keep).collect())
}

/// The certificates of a PKCS#7 SignedData (RFC 2315, 9.1), also under the numbers that GM/T 0010 gives it.
fn pkcs7(bytes: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
    const GM_SIGNED_DATA: &[u8] = &[0x2a, 0x81, 0x1c, 0xcf, 0x55, 0x06, 0x01, 0x04, 0x02, 0x02];
    let mut outer = der::only(bytes)?.inside();
    let kind = outer.take(der::OID)?;
    if kind.content != SIGNED_DATA && kind.content != GM_SIGNED_DATA {
        return None;
    }
    let mut signed = der::only(outer.take(0xa0)?.content)?.inside();
    signed.take(der::INTEGER)?;
    signed.take(0x31)?;
    signed.take(der::SEQUENCE)?;
    let mut list = signed.take(0xa0)?.inside();
    let mut found = Vec::new();
    while let Some(one) = list.take(der::SEQUENCE) {
        found.push(CertificateDer::from(one.whole.to_vec()));
    }
    Some(found)
}

fn unreadable(place: &str) -> Explanation {
    unusable(
        "certificate.malformed",
        place,
        "holds something that is not a readable X.509 certificate; export the chain again as PEM",
        "含有不可读的 X.509 证书，请将证书链重新导出为 PEM",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::{Authority, Request, Validity};
    use proptest::prelude::*;
    use std::time::SystemTime;

    fn response() -> (Vec<CertificateDer<'static>>, PublicKeyPin, CertificateDer<'static>) {
        let days = |n| Validity::days(SystemTime::now(), n);
        let root = Authority::create_root("Root", &["xm.example"], days(30)).expect("root");
        let issuing = root.issue_intermediate("Issuing", days(20)).expect("issuing");
        let request = Request::new(crate::Role::Department, "xm.example", "health", days(7));
        let issued = issuing.issue(&request).expect("leaf");
        let root = certificate::from_pem("root", root.root_pem().as_bytes()).expect("root").remove(0);
        let pin = PublicKeyPin::of(&issued.chain()[0]).expect("pin");
        (issued.chain().to_vec(), pin, root)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn any_order_makes_the_chain(order in Just(vec![0usize, 1, 2, 3, 0]).prop_shuffle()) {
            let (chain, pin, root) = response();
            let stranger = response().0.remove(1);
            let all = [chain[0].clone(), chain[1].clone(), root, stranger];
            let soup: Vec<_> = order.iter().map(|at| all[*at].clone()).collect();
            prop_assert_eq!(arrange("answer", &soup, &pin).expect("the leaf is there"), chain);
        }

        #[test]
        fn damaged_answers_are_read_or_refused(at in 0usize..1_500, with in any::<u8>(), cut in 0usize..1_500) {
            let (chain, pin, _) = response();
            let mut text: Vec<u8> = crate::pki::authority::pem_of(&chain).into_bytes();
            let at = at % text.len();
            text[at] = with;
            text.truncate(text.len() - cut % text.len());
            if let Ok(found) = certificates("answer", &text) {
                let _ = arrange("answer", &found, &pin);
            }
            let mut der = chain[0].to_vec();
            let at = at % der.len();
            der[at] = with;
            let _ = certificates("answer", &der);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = certificates("answer", &bytes);
            let _ = pkcs7(&bytes);
        }
    }
}
