//! What a peer sends before anything about it is believed: frames of HTTP/2, heads, `Client-Cert`.
//!
//! Input: what it is; then runs of frames with the places where they are cut, a head, or header values that end at 0xFF.

use http::{HeaderName, HeaderValue, Request, Uri, Version};
use xinqiao_edge::wire::{FrameGuard, Named, check_head};
use xinqiao_evidence::base64;
use xinqiao_runtime::refusal::RefusalCode;

use super::Input;

pub(super) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    match input.byte() % 4 {
        0 => frames(&mut input),
        1 => named(&mut input),
        2 => passed(&mut input),
        _ => head(&mut input),
    }
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Frames are counted the same however their bytes are cut, and as they are counted one by one.
fn frames(input: &mut Input<'_>) {
    let cut = 1 + input.short() % 900;
    let mut bytes = PREFACE.to_vec();
    let (mut tokens, mut moved, mut good) = (4_096_u64, 0_u64, true);
    for _ in 0..6 {
        if input.is_empty() {
            break;
        }
        let (kind, flags, length, times) =
            (input.byte() % 12, input.byte(), input.short() % 4_096, input.short() % 2_048);
        let most = (1 << 18) / (9 + length);
        let [_, a, b, c] = u32::try_from(length).expect("two bytes").to_be_bytes();
        for _ in 0..times.min(most) {
            bytes.extend_from_slice(&[a, b, c, kind, flags, 0, 0, 0, 1]);
            bytes.resize(bytes.len() + length, kind);
            if !good {
                continue;
            }
            let ends = flags & 1 == 1;
            match kind {
                1 => tokens = (tokens + 8).min(4_096),
                0 if length >= 64 || ends => {
                    moved += length as u64;
                    tokens = (tokens + moved / 2_048).min(4_096);
                    moved %= 2_048;
                }
                _ if tokens == 0 => good = false,
                _ => tokens -= 1,
            }
        }
    }
    let (mut whole, mut pieces) = (FrameGuard::new(), FrameGuard::new());
    assert_eq!(whole.arrived(&bytes), good, "a flood is one, and nothing else is");
    assert_eq!(bytes.chunks(cut).all(|piece| pieces.arrived(piece)), good, "however it is cut");
    if good {
        assert_eq!(format!("{whole:?}"), format!("{pieces:?}"));
    }
}

/// A chain that is read was written in the one way there is.
fn named(input: &mut Input<'_>) {
    let mut headers = http::HeaderMap::new();
    let mut values = [Vec::new(), Vec::new()];
    for _ in 0..input.byte() % 4 {
        let which = usize::from(input.byte() % 2);
        let Ok(value) = HeaderValue::from_bytes(input.piece()) else { return };
        values[which].push(value.clone());
        headers.append(["client-cert", "client-cert-chain"][which], value);
    }
    let chain = Named::in_headers(&headers).and_then(|named| named.chain());
    let [leaf, issuers] = values;
    let Ok(chain) = chain else { return };
    let written = |der: &[u8]| format!(":{}:", base64::encode(der));
    let ([leaf], [] | [_]) = (&leaf[..], &issuers[..]) else { panic!("one value each") };
    assert_eq!(leaf.as_bytes(), written(&chain[0]).as_bytes(), "the client as it was written");
    let rest: Vec<String> = chain[1..].iter().map(|der| written(der)).collect();
    let sent =
        issuers.first().map(|value| String::from_utf8_lossy(value.as_bytes()).replace([' ', '\t'], ""));
    assert_eq!(sent.unwrap_or_default(), rest.join(","), "the issuers as they were written");
    assert!(chain.len() <= 5, "a chain has an end");
}

/// Every certificate can be passed on.
fn passed(input: &mut Input<'_>) {
    let ders: Vec<&[u8]> = (0..1 + input.byte() % 5).map(|_| input.piece()).collect();
    if ders.iter().any(|der| der.is_empty() || der.len() > 8_192) {
        return;
    }
    let values: Vec<String> = ders.iter().map(|der| format!(":{}:", base64::encode(der))).collect();
    let value = |text: &str| HeaderValue::from_str(text).expect("base64 is ASCII");
    let mut headers = http::HeaderMap::new();
    headers.insert("client-cert", value(&values[0]));
    if values.len() > 1 {
        headers.insert("client-cert-chain", value(&values[1..].join(", ")));
    }
    let chain = Named::in_headers(&headers).and_then(|named| named.chain()).expect("written as the RFC says");
    assert!(chain.iter().map(AsRef::as_ref).eq(ders.iter().copied()), "as it was passed on");
}

/// A head is taken exactly if it names one site and has no more headers than are allowed.
fn head(input: &mut Input<'_>) {
    const VERSIONS: [Version; 3] = [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2];
    let (version, most) = (*input.choose(&VERSIONS), usize::from(input.byte() % 8));
    let Ok(uri) = Uri::try_from(input.piece()) else { return };
    let mut request = Request::new(());
    *request.version_mut() = version;
    *request.uri_mut() = uri.clone();
    let mut hosts = Vec::new();
    for _ in 0..input.byte() % 8 {
        let name = match input.byte() % 2 {
            0 => http::header::HOST,
            _ => HeaderName::from_static("x-other"),
        };
        let Ok(value) = HeaderValue::from_bytes(input.piece()) else { return };
        if name == http::header::HOST {
            hosts.push(value.clone());
        }
        request.headers_mut().append(name, value);
    }
    let count = request.headers().len();
    let (parts, ()) = request.into_parts();
    let said = |host: &HeaderValue| String::from_utf8_lossy(host.as_bytes()).to_ascii_lowercase();
    let site = uri.authority().map(|authority| authority.as_str().to_ascii_lowercase());
    let one = match (&hosts[..], site) {
        ([], _) => version != Version::HTTP_11,
        ([host], Some(site)) => said(host) == site,
        ([_], None) => true,
        _ => false,
    };
    let expected = match (count > most, one) {
        (true, _) => Err(RefusalCode::HeaderTooMany),
        (false, true) => Ok(()),
        (false, false) => Err(RefusalCode::HeaderHost),
    };
    assert_eq!(check_head(&parts, most), expected, "one site");
}
