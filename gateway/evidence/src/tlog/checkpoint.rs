//! C2SP tlog-checkpoint: the signed head of a log.

use super::note::{TlogError, VerifierKey, open_note, sign_note, split_note};
use crate::base64;
use crate::digest::Digest;
use crate::keys::{Jwks, KeyError, LogKey};
use crate::merkle;
use crate::names;

/// The log origin of a node in an epoch: `<node>/epoch-<n>`.
pub fn log_origin(node: &str, epoch: u64) -> String {
    format!("{node}/epoch-{epoch}")
}

/// Node and epoch of a log origin.
pub fn split_origin(origin: &str) -> Option<(&str, u64)> {
    let (node, epoch) = origin.rsplit_once("/epoch-")?;
    Some((node, decimal(epoch)?)).filter(|(node, _)| names::is_node(node))
}

/// What a checkpoint says, signed or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Identity of the log.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Digest,
}

impl Checkpoint {
    /// The note text: origin, size, root, each on its line.
    pub fn to_text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, base64::encode(self.root.as_bytes()))
    }

    /// Reads the note text. Extension lines are allowed and passed over.
    pub fn from_text(text: &str) -> Result<Self, TlogError> {
        let malformed = TlogError::MalformedCheckpoint;
        let mut lines = text.strip_suffix('\n').ok_or(malformed.clone())?.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(malformed);
        };
        let size = decimal(size).ok_or(malformed.clone())?;
        let root =
            base64::decode(root).and_then(|root| Digest::from_slice(&root)).ok_or(malformed.clone())?;
        if origin.is_empty() || lines.any(str::is_empty) {
            return Err(malformed);
        }
        Ok(Self { origin: origin.to_owned(), size, root })
    }

    /// The signed note; the key signs under the origin.
    pub fn sign(&self, key: &LogKey) -> Result<String, KeyError> {
        self.sign_with([key])
    }

    /// The same with several keys, at least one: a log's own while it changes them.
    pub fn sign_with<'a>(&self, keys: impl IntoIterator<Item = &'a LogKey>) -> Result<String, KeyError> {
        sign_note(&self.to_text(), &self.origin, keys)
    }

    /// What a signed note claims, its signatures unchecked.
    pub fn unauthenticated(note: &str) -> Result<Self, TlogError> {
        Self::from_text(split_note(note)?.0)
    }
}

/// A checkpoint signed by a pinned log key. Only verification makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedCheckpoint {
    checkpoint: Checkpoint,
}

impl VerifiedCheckpoint {
    /// Opens `note` with any of `keys`; the key's name must be the checkpoint's origin.
    pub fn open(note: &str, keys: &[VerifierKey]) -> Result<Self, TlogError> {
        let (text, key) = open_note(note, keys)?;
        let checkpoint = Checkpoint::from_text(text)?;
        if checkpoint.origin == key.name() { Ok(Self { checkpoint }) } else { Err(TlogError::WrongOrigin) }
    }

    /// Opens `note` with the log keys of a pinned key set; the origin must be of `node`, in whatever epoch.
    pub fn open_with_jwks(note: &str, node: &str, keys: &Jwks) -> Result<Self, TlogError> {
        let claimed = Checkpoint::unauthenticated(note)?;
        match split_origin(&claimed.origin) {
            Some((of, _)) if of == node => Self::open(note, &keys.log_verifiers(&claimed.origin)),
            _ => Err(TlogError::WrongOrigin),
        }
    }

    /// What it says.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Checks that `older` is a prefix of this tree: same origin, and `proof` as RFC 9162 2.1.4 wants it.
    pub fn extends(&self, older: &Self, proof: &[Digest]) -> Result<(), TlogError> {
        let (old, new) = (&older.checkpoint, &self.checkpoint);
        if old.origin != new.origin {
            return Err(TlogError::WrongOrigin);
        }
        Ok(merkle::verify_consistency(old.size, &old.root, new.size, &new.root, proof)?)
    }
}

/// A decimal number without leading zeroes or sign.
pub(super) fn decimal(text: &str) -> Option<u64> {
    let canonical = text == "0" || (text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0'));
    if canonical { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint() -> Checkpoint {
        Checkpoint {
            origin: log_origin("xm.example/350200-credit", 1),
            size: 20_852_163,
            root: Digest::of(b"root"),
        }
    }

    #[test]
    fn text_is_the_three_lines_of_c2sp() {
        let text = checkpoint().to_text();
        let root = base64::encode(Digest::of(b"root").as_bytes());
        assert_eq!(text, format!("xm.example/350200-credit/epoch-1\n20852163\n{root}\n"));
        assert_eq!(Checkpoint::from_text(&text), Ok(checkpoint()));
        assert_eq!(Checkpoint::from_text(&format!("{text}extension\n")), Ok(checkpoint()));
        for wrong in [
            String::new(),
            text.replace("20852163", "020852163"),
            text.replace("20852163", "+1"),
            text.replace("20852163", ""),
            text.replacen("xm.example/350200-credit/epoch-1", "", 1),
            text.trim_end().to_owned(),
            format!("{text}\n"),
            text.replace(&root, &root[..40]),
            text.replace("20852163", "99999999999999999999"),
        ] {
            assert_eq!(Checkpoint::from_text(&wrong), Err(TlogError::MalformedCheckpoint), "{wrong:?}");
        }
    }

    #[test]
    fn only_the_logs_own_key_opens_it() {
        let key = LogKey::generate().unwrap();
        let note = checkpoint().sign(&key).unwrap();
        let own = VerifierKey::of(&checkpoint().origin, &key).unwrap();
        assert_eq!(VerifiedCheckpoint::open(&note, &[own]).unwrap().checkpoint(), &checkpoint());
        let jwks = Jwks::new([key.public_jwk().clone()]);
        assert!(VerifiedCheckpoint::open_with_jwks(&note, "xm.example/350200-credit", &jwks).is_ok());
        let elsewhere = VerifiedCheckpoint::open_with_jwks(&note, "qz.example/350500-credit", &jwks);
        assert_eq!(elsewhere, Err(TlogError::WrongOrigin));
        // A key that signs under another name does not sign for this log.
        let foreign = sign_note(&checkpoint().to_text(), "other/log", [&key]).unwrap();
        let other = VerifierKey::of("other/log", &key).unwrap();
        assert_eq!(VerifiedCheckpoint::open(&foreign, &[other]), Err(TlogError::WrongOrigin));
    }

    #[test]
    fn origins_name_node_and_epoch() {
        assert_eq!(split_origin("xm.example/350200-credit/epoch-12"), Some(("xm.example/350200-credit", 12)));
        for wrong in
            ["", "xm.example/350200-credit", "x/y/epoch-01", "x/y/epoch-", "x/y/epoch-1/", "/epoch-1"]
        {
            assert_eq!(split_origin(wrong), None, "{wrong}");
        }
    }
}
