//! Reading a private key in PEM, sealed by a passphrase or not.

use pkcs8::EncryptedPrivateKeyInfoRef;
use rustls_pki_types::PrivateKeyDer;
use zeroize::Zeroizing;

use crate::trouble::unusable;
use xinqiao_explain::Explanation;

/// The one private key of a PEM text. A passphrase that is not needed is passed over.
pub(crate) fn private_key(
    place: &str,
    text: &[u8],
    passphrase: Option<&[u8]>,
) -> Result<PrivateKeyDer<'static>, Explanation> {
    let blocks = pem::parse_many(text).map_err(|_| {
        unusable(
            "pem.malformed",
            place,
            "is not well-formed PEM; check that no line was cut or changed when it was copied",
            "不是格式正确的 PEM，请检查复制时是否有行被截断或改动",
        )
    })?;
    let mut keys = Vec::new();
    for block in blocks {
        if block.headers().get("Proc-Type").is_some_and(|value| value.contains("ENCRYPTED")) {
            return Err(sealed_in_the_old_way(place));
        }
        match block.tag() {
            "PRIVATE KEY" => keys.push(PrivateKeyDer::Pkcs8(block.into_contents().into())),
            "EC PRIVATE KEY" => keys.push(PrivateKeyDer::Sec1(block.into_contents().into())),
            "RSA PRIVATE KEY" => keys.push(PrivateKeyDer::Pkcs1(block.into_contents().into())),
            "ENCRYPTED PRIVATE KEY" => keys.push(open(place, block.contents(), passphrase)?),
            _ => {}
        }
    }
    match (keys.pop(), keys.len()) {
        (Some(key), 0) => Ok(key),
        (None, _) => Err(unusable(
            "identity.key-missing",
            place,
            "holds no private key in PEM; it should begin with -----BEGIN PRIVATE KEY-----",
            "没有 PEM 私钥，应以 -----BEGIN PRIVATE KEY----- 开头",
        )),
        (Some(_), _) => Err(unusable(
            "identity.key-several",
            place,
            "holds several private keys; leave the one that belongs to the certificate",
            "含有多个私钥，请只保留与证书对应的一个",
        )),
    }
}

fn open(place: &str, der: &[u8], passphrase: Option<&[u8]>) -> Result<PrivateKeyDer<'static>, Explanation> {
    let Some(passphrase) = passphrase else {
        return Err(unusable(
            "identity.key-encrypted",
            place,
            "the private key is sealed with a passphrase and none was given; name the file that holds it (key_passphrase_file in the configuration, --passphrase-file on the command line), or unseal the key (openssl pkey -in … -out …) into a file only the service can read",
            "私钥带口令加密而未提供口令，请指定口令文件（配置项 key_passphrase_file 或命令行 --passphrase-file），或先解密（openssl pkey -in … -out …）到仅服务账号可读的文件",
        ));
    };
    let sealed = EncryptedPrivateKeyInfoRef::try_from(der).map_err(|_| {
        unusable(
            "identity.key-cipher",
            place,
            "the private key is damaged, or sealed in a way this node does not open; seal it again with PBES2 (openssl pkcs8 -topk8 -v2 aes-256-cbc)",
            "私钥已损坏，或其加密方式本节点不支持，请以 PBES2 重新加密（openssl pkcs8 -topk8 -v2 aes-256-cbc）",
        )
    })?;
    let opened = sealed.decrypt(passphrase).map_err(|_| {
        unusable(
            "identity.key-passphrase",
            place,
            "the passphrase does not open the private key; check the passphrase file (a line break at its end does no harm)",
            "口令无法打开该私钥，请检查口令文件（末尾换行不影响）",
        )
    })?;
    Ok(PrivateKeyDer::Pkcs8(Zeroizing::new(opened.as_bytes().to_vec()).to_vec().into()))
}

fn sealed_in_the_old_way(place: &str) -> Explanation {
    unusable(
        "identity.key-encrypted",
        place,
        "the private key is sealed with a passphrase in OpenSSL's old form, which is too weak to be read here; convert it (openssl pkcs8 -topk8 -v2 aes-256-cbc -in … -out …)",
        "私钥以 OpenSSL 旧格式加密，强度不足，本节点不读取，请转换（openssl pkcs8 -topk8 -v2 aes-256-cbc -in … -out …）",
    )
}

/// What a passphrase file holds: its text without the line break at its end.
pub(crate) fn trim_passphrase(text: &[u8]) -> &[u8] {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.strip_suffix(b"\r").unwrap_or(text)
}
