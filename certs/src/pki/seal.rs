//! Private keys sealed with a passphrase: PKCS#8, PBES2 with AES-256 and PBKDF2-HMAC-SHA-256.

use pkcs8::{PrivateKeyInfoRef, pkcs5::pbes2};
use rustls_pki_types::PrivateKeyDer;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use xinqiao_crypto::random;
use zeroize::Zeroizing;

use super::authority::lf;
use super::no_randomness;
use crate::file::read;
use crate::identity::{private_key, trim_passphrase};
use xinqiao_explain::Explanation;

/// As many as slow a guess to a tenth of a second; what OWASP asks for.
const ROUNDS: u32 = 600_000;

/// Shorter passphrases are guessed.
const SHORTEST: usize = 12;

/// Seals a PKCS#8 key in PEM.
pub fn seal_key(key_pem: &str, passphrase: &[u8]) -> Result<Zeroizing<String>, Explanation> {
    let der = key_as_pkcs8("private key", key_pem.as_bytes(), None)?;
    let (salt, iv): ([u8; 16], [u8; 16]) = {
        let random = || random::array().map_err(no_randomness);
        (random()?, random()?)
    };
    let failed = |error: String| {
        Explanation::new(
            "pki.cannot-seal",
            format!("the private key could not be sealed: {error}"),
            format!("私钥加密失败：{error}"),
        )
    };
    let scheme = pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(ROUNDS, &salt, iv)
        .map_err(|error| failed(error.to_string()))?;
    let key = PrivateKeyInfoRef::try_from(der.as_slice()).map_err(|error| failed(error.to_string()))?;
    let sealed = key.encrypt_with_params(scheme, passphrase).map_err(|error| failed(error.to_string()))?;
    Ok(Zeroizing::new(pem::encode_config(&pem::Pem::new("ENCRYPTED PRIVATE KEY", sealed.as_bytes()), lf())))
}

/// The PKCS#8 DER of the key in a PEM text, opened if it is sealed.
pub fn key_as_pkcs8(
    place: &str,
    text: &[u8],
    passphrase: Option<&[u8]>,
) -> Result<Zeroizing<Vec<u8>>, Explanation> {
    match private_key(place, text, passphrase)? {
        PrivateKeyDer::Pkcs8(der) => Ok(Zeroizing::new(der.secret_pkcs8_der().to_vec())),
        _ => Err(Explanation::new(
            "identity.key-form",
            format!("{place}: convert the private key to PKCS#8 (openssl pkcs8 -topk8 -nocrypt)"),
            format!("{place}：请将私钥转换为 PKCS#8（openssl pkcs8 -topk8 -nocrypt）"),
        )),
    }
}

/// Reads a passphrase file: one line, readable by its owner only, at least twelve characters.
pub fn passphrase(path: &Path) -> Result<Zeroizing<Vec<u8>>, Explanation> {
    let text = Zeroizing::new(read(path)?);
    let place = path.display();
    let mode = std::fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o077 != 0 {
        return Err(Explanation::new(
            "file.too-open",
            format!("{place}: others may read the passphrase; run chmod 600 {place}"),
            format!("{place}：其他账号可读取该口令文件，请执行 chmod 600 {place}"),
        ));
    }
    let passphrase = trim_passphrase(&text);
    if passphrase.len() < SHORTEST || passphrase.contains(&b'\n') {
        return Err(Explanation::new(
            "pki.passphrase-short",
            format!("{place}: a passphrase is one line of at least {SHORTEST} characters"),
            format!("{place}：口令须为一行且不少于 {SHORTEST} 个字符"),
        ));
    }
    Ok(Zeroizing::new(passphrase.to_vec()))
}
