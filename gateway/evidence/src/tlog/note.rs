//! C2SP signed-note: text signed by one or more named keys. Ed25519 (type 0x01) only.

use std::fmt;
use std::str::FromStr;

use crate::base64;
use crate::digest::Digest;
use crate::explain::explained;
use crate::keys::{Jwks, KeyError, KeyUse, LogKey, PublicKey};
use crate::merkle::MerkleError;

/// A longer note is refused. Room for witnesses with large signatures.
pub const MAX_NOTE: usize = 128 * 1024;
const MAX_SIGNATURES: usize = 64;
const ED25519_TYPE: u8 = 1;

explained! {
    /// A note, checkpoint, tile or proof is malformed or not by the key expected.
    pub enum TlogError {
        /// Not a signed note.
        MalformedNote => "tlog.malformed-note", "not a signed note (c2sp.org/signed-note): text, blank line, signature lines", "不是签名便笺（c2sp.org/signed-note）：应为正文、空行、签名行";
        /// Not a checkpoint.
        MalformedCheckpoint => "tlog.malformed-checkpoint", "not a checkpoint (c2sp.org/tlog-checkpoint): origin, size, root", "不是检查点（c2sp.org/tlog-checkpoint）：应为来源、大小、树根";
        /// Not an offline proof.
        MalformedProof => "tlog.malformed-proof", "not a log proof (c2sp.org/tlog-proof@v1)", "不是日志证明（c2sp.org/tlog-proof@v1）";
        /// Not a verifier key.
        MalformedKey => "tlog.malformed-key", "not a verifier key of the form name+hash+base64", "不是 name+hash+base64 形式的验证公钥";
        /// An entry bundle is cut or an entry too long.
        MalformedBundle => "tlog.malformed-bundle", "an entry bundle is cut short or an entry exceeds 65535 bytes; check the log's files", "条目包被截断或条目超过 65535 字节；请检查日志文件";
        /// No signature by a known key.
        UnknownKey => "tlog.unknown-key", "the note is not signed by a pinned log key; get the node's current key set through a trusted channel", "便笺没有固定日志公钥的签名；请通过可信渠道取得节点当前的公钥集";
        /// A known key's signature is wrong.
        BadSignature => "tlog.bad-signature", "a pinned key's signature on the note does not verify: it was altered", "便笺上固定公钥的签名验证失败：内容被篡改";
        /// The checkpoint is of another log.
        WrongOrigin => "tlog.wrong-origin", "the checkpoint is of another log than its key", "检查点所属日志与其密钥不符";
    }
    wraps {
        /// The proof fails.
        Merkle(MerkleError),
    }
}

/// A public key and the name it signs notes under; as text, `name+8 hex digits+base64(0x01 ‖ key)`.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: [u8; 4],
    key: [u8; 32],
}

impl VerifierKey {
    /// The key under `name`; `None` if the name has spaces, `+` or control characters, or is empty.
    pub fn new(name: &str, key: [u8; 32]) -> Option<Self> {
        is_key_name(name).then(|| Self { name: name.to_owned(), id: key_id(name, &key), key })
    }

    /// The public side of `key` under `name`.
    pub fn of(name: &str, key: &LogKey) -> Option<Self> {
        Self::new(name, key.public_key())
    }

    /// The name, which is the log's origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public key.
    pub fn public_key(&self) -> PublicKey {
        PublicKey::Ed25519(self.key)
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let typed = [&[ED25519_TYPE][..], &self.key].concat();
        write!(out, "{}+{:08x}+{}", self.name, u32::from_be_bytes(self.id), base64::encode(typed))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl FromStr for VerifierKey {
    type Err = TlogError;

    fn from_str(text: &str) -> Result<Self, TlogError> {
        let malformed = TlogError::MalformedKey;
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(encoded)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(malformed);
        };
        let typed = base64::decode(encoded).ok_or(malformed.clone())?;
        let key = match typed.split_first() {
            Some((&ED25519_TYPE, key)) => key.try_into().map_err(|_| malformed.clone())?,
            _ => return Err(malformed),
        };
        let verifier = Self::new(name, key).ok_or(malformed.clone())?;
        if id == format!("{:08x}", u32::from_be_bytes(verifier.id)) { Ok(verifier) } else { Err(malformed) }
    }
}

fn key_id(name: &str, key: &[u8; 32]) -> [u8; 4] {
    let hash = Digest::of(&[name.as_bytes(), b"\n", &[ED25519_TYPE], key].concat());
    hash.0[..4].try_into().expect("four of 32 bytes")
}

fn is_key_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 512
        && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+')
}

/// Signs `text`, which ends in a newline, under `name` with every one of `keys`, of which there is at least one; the
/// whole note. A log that is changing its key signs with both, so that a reader who knows either can open it.
pub fn sign_note<'a>(
    text: &str,
    name: &str,
    keys: impl IntoIterator<Item = &'a LogKey>,
) -> Result<String, KeyError> {
    debug_assert!(text.ends_with('\n') && is_key_name(name));
    let mut note = format!("{text}\n");
    for key in keys {
        let id = key_id(name, &key.public_key());
        let signature = base64::encode([&id[..], &key.sign(text.as_bytes())?].concat());
        note.push_str(&format!("— {name} {signature}\n"));
    }
    Ok(note)
}

/// The text of `note` and the first of `keys` that signed it. A wrong signature by any of `keys` refuses the note.
pub fn open_note<'n, 'k>(
    note: &'n str,
    keys: &'k [VerifierKey],
) -> Result<(&'n str, &'k VerifierKey), TlogError> {
    let (text, signatures) = split_note(note)?;
    let mut signer = None;
    for line in signatures.lines() {
        let malformed = TlogError::MalformedNote;
        let (name, encoded) =
            line.strip_prefix("— ").and_then(|line| line.split_once(' ')).ok_or(malformed.clone())?;
        let signature = base64::decode(encoded).filter(|raw| raw.len() > 4).ok_or(malformed.clone())?;
        if !is_key_name(name) {
            return Err(malformed);
        }
        let (id, raw) = signature.split_at(4);
        let Some(key) = keys.iter().find(|key| key.name == name && key.id == id) else { continue };
        if !key.public_key().verify(text.as_bytes(), raw) {
            return Err(TlogError::BadSignature);
        }
        signer.get_or_insert(key);
    }
    Ok((text, signer.ok_or(TlogError::UnknownKey)?))
}

/// Text (with its newline) and signature lines, unverified.
pub(super) fn split_note(note: &str) -> Result<(&str, &str), TlogError> {
    let clean = note.len() <= MAX_NOTE
        && note.ends_with('\n')
        && note.bytes().all(|byte| byte >= b' ' || byte == b'\n');
    let split = note.rfind("\n\n").filter(|_| clean).ok_or(TlogError::MalformedNote)?;
    let (text, signatures) = (&note[..=split], &note[split + 2..]);
    let count = signatures.lines().count();
    if count == 0 || count > MAX_SIGNATURES { Err(TlogError::MalformedNote) } else { Ok((text, signatures)) }
}

impl Jwks {
    /// The log keys of the set as verifier keys for a log of `origin`.
    pub fn log_verifiers(&self, origin: &str) -> Vec<VerifierKey> {
        self.keys()
            .iter()
            .filter(|key| key.may(KeyUse::Log))
            .filter_map(|key| match key.public_key() {
                PublicKey::Ed25519(public) => VerifierKey::new(origin, *public),
                PublicKey::P256(_) => None,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example note of golang.org/x/mod/sumdb/note, signed by the key its documentation gives.
    #[test]
    fn the_go_example_note_verifies() {
        let key: VerifierKey =
            "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW".parse().unwrap();
        let note = "If you think cryptography is the answer to your problem,\n\
                    then you don't know what your problem is.\n\
                    \n\
                    — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
        let keys = [key];
        let (text, signer) = open_note(note, &keys).unwrap();
        assert!(text.ends_with("problem is.\n"));
        assert_eq!(signer.to_string(), "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW");
    }

    #[test]
    fn notes_are_strict() {
        let log = LogKey::generate().unwrap();
        let keys = [VerifierKey::of("a/b", &log).unwrap()];
        let note = sign_note("line\n\nother\n", "a/b", [&log]).unwrap();
        assert_eq!(open_note(&note, &keys).unwrap().0, "line\n\nother\n");
        let other = LogKey::generate().unwrap();
        let witness = sign_note("line\n\nother\n", "w", [&other]).unwrap();
        let witnessed = format!("{note}{}", witness.lines().last().unwrap()) + "\n";
        assert!(open_note(&witnessed, &keys).is_ok());
        assert_eq!(open_note(&witness, &keys), Err(TlogError::UnknownKey));
        assert_eq!(open_note(&note.replacen("line", "lime", 1), &keys), Err(TlogError::BadSignature));
        let stray = format!("{note}x\n");
        for wrong in [
            "",
            "\n\n",
            "text\n",
            note.trim_end(),
            &stray,
            &note.replacen("line", "li\te", 1),
            &note.replace("— ", "- "),
        ] {
            assert_eq!(open_note(wrong, &keys), Err(TlogError::MalformedNote), "{wrong:?}");
        }
        for place in 0..note.len() {
            let mut bytes = note.clone().into_bytes();
            bytes[place] ^= 1;
            assert!(
                std::str::from_utf8(&bytes).is_err()
                    || open_note(std::str::from_utf8(&bytes).unwrap(), &keys).is_err()
            );
        }
    }

    #[test]
    fn a_note_with_two_signatures_opens_with_either_key() {
        let (old, new) = (LogKey::generate().unwrap(), LogKey::generate().unwrap());
        let note = sign_note("line\n", "a/b", [&old, &new]).unwrap();
        for key in [&old, &new] {
            assert!(open_note(&note, &[VerifierKey::of("a/b", key).unwrap()]).is_ok());
        }
        let both = [&old, &new].map(|key| VerifierKey::of("a/b", key).unwrap());
        assert_eq!(open_note(&note, &both).unwrap().1, &both[0]);
    }

    #[test]
    fn verifier_keys_with_a_wrong_hash_are_refused() {
        let text = VerifierKey::of("a/b", &LogKey::generate().unwrap()).unwrap().to_string();
        assert_eq!(text.parse::<VerifierKey>().unwrap().to_string(), text);
        for wrong in
            ["", "a", "a+b", "a+00000000+AQ==", &text.replace("a/b", "a/c"), &text.replace("a/b", "a b")]
        {
            assert!(wrong.parse::<VerifierKey>().is_err(), "{wrong}");
        }
        assert_eq!(VerifierKey::new("a b", [0; 32]), None);
    }
}
