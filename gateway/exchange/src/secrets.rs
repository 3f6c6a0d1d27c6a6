//! Record identities. A record is known inside the node by one HMAC over its lineage and its own reference or key
//! fields, and to each recipient by another, so that two recipients cannot join what they hold.
//!
//! The secrets behind both never rotate: a recall years later must find the same keys. They are in every backup.

use crate::recall_revs::RecallRevs;
use std::fmt;
use xinqiao_crypto::kdf::hkdf_sha256;
use xinqiao_crypto::{MacKey, NameKey, Secret, hex};

/// The secret all record keys come from.
pub struct RecordSecret(Secret);

/// Who a record is, inside the node. Never leaves it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordId(pub [u8; 16]);

/// How one recipient knows a record: 128 bits, opaque.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordKey(pub [u8; 16]);

/// A name that leads to a record, besides its id: the id that its key fields would give it, or their digest in form 2. Recipients' keys never
/// hang on it. Never leaves the node.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordName(pub [u8; 16]);

/// Makes record ids and names for one dataset.
pub struct Identifier {
    ids: MacKey,
    names: NameKey,
}

/// Makes one recipient's keys for one dataset.
pub struct Keyer(MacKey);

/// What names a record within its lineage.
#[derive(Clone, Copy)]
pub enum Naming<'a> {
    /// The source's own reference.
    Reference(&'a str),
    /// The normalised key fields, as the schema made them.
    KeyFields(&'a [u8]),
    /// The key an upstream node gave it.
    Upstream(&'a str),
}

impl RecordSecret {
    /// Takes the 32 bytes of the secret.
    pub fn new(bytes: impl Into<Secret>) -> Self {
        Self(bytes.into())
    }

    fn derive(&self, purpose: &str, parts: &[&str]) -> Secret {
        let mut info = Vec::with_capacity(64);
        for p in std::iter::once(&purpose).chain(parts) {
            info.extend_from_slice(&(p.len() as u32).to_be_bytes());
            info.extend_from_slice(p.as_bytes());
        }
        hkdf_sha256(b"xinqiao record key v1", &*self.0, &info)
    }

    /// Record ids of a dataset.
    pub fn identifier(&self, dataset: &str) -> Identifier {
        Identifier {
            ids: MacKey::new(&*self.derive("identity", &[dataset])),
            names: NameKey::new(&*self.derive("names", &[dataset])),
        }
    }

    /// The revs of this node's own recalls in a dataset.
    pub fn recall_revs(&self, dataset: &str) -> RecallRevs {
        RecallRevs::new(MacKey::new(&*self.derive("recall revs", &[dataset])))
    }

    /// Keys of a recipient for a dataset.
    pub fn keyer(&self, recipient: &str, dataset: &str) -> Keyer {
        Keyer(MacKey::new(&*self.derive("recipient", &[recipient, dataset])))
    }

    /// The secret of a recipient's pseudonyms.
    pub fn pseudonym(&self, recipient: &str) -> Secret {
        self.derive("pseudonym", &[recipient])
    }

    /// The secret behind the authenticator in submission ids and idempotency scopes.
    pub fn id_key(&self) -> MacKey {
        MacKey::new(&*self.derive("ticket", &[]))
    }
}

impl Identifier {
    /// The id of a record.
    pub fn id(&self, lineage: &str, naming: Naming<'_>) -> RecordId {
        let mut mac = self.ids.begin();
        mac.update(&(lineage.len() as u32).to_be_bytes());
        mac.update(lineage.as_bytes());
        match naming {
            Naming::Reference(r) => {
                mac.update(b"r");
                mac.update(r.as_bytes());
            }
            Naming::KeyFields(k) => {
                mac.update(b"k");
                mac.update(k);
            }
            Naming::Upstream(k) => {
                mac.update(b"u");
                mac.update(k.as_bytes());
            }
        }
        RecordId(mac.finish16())
    }

    /// The name of a record by its key fields in form 2. `message` is a buffer to work in.
    pub fn name(&self, lineage: &str, form_2: &[u8], message: &mut Vec<u8>) -> RecordName {
        message.clear();
        // The form, so that a later one never gives a name of this one.
        message.push(2);
        message.extend_from_slice(&(lineage.len() as u32).to_be_bytes());
        message.extend_from_slice(lineage.as_bytes());
        message.extend_from_slice(form_2);
        RecordName(self.names.name(message))
    }
}

impl RecordId {
    /// The id as a name that leads to another record.
    pub fn as_name(self) -> RecordName {
        RecordName(self.0)
    }
}

impl Keyer {
    /// The recipient's key of a record.
    pub fn key(&self, id: &RecordId) -> RecordKey {
        let mut mac = self.0.begin();
        mac.update(&id.0);
        RecordKey(mac.finish16())
    }
}

impl RecordKey {
    /// 32 lower-case hexadecimal digits, as lines carry it.
    pub fn hex(&self) -> KeyText {
        let mut text = [0u8; 32];
        hex::encode_into(&self.0, &mut text);
        KeyText(text)
    }

    /// Reads 32 hexadecimal digits.
    pub fn parse(s: &str) -> Option<Self> {
        hex::decode_array(s).map(Self)
    }
}

/// A record key in hexadecimal, on the stack.
pub struct KeyText([u8; 32]);

impl KeyText {
    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("hexadecimal digits are ASCII")
    }
}

impl fmt::Debug for RecordSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecordSecret(redacted)")
    }
}
impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecordId(redacted)")
    }
}
impl fmt::Debug for RecordName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecordName(redacted)")
    }
}
impl fmt::Debug for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.hex().as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_by_recipient_dataset_lineage_and_naming() {
        let secret = RecordSecret::new([7; 32]);
        let penalty = secret.identifier("administrative-penalty");
        let a = penalty.id("market", Naming::Reference("x"));
        assert_ne!(a, penalty.id("market", Naming::KeyFields(b"x")));
        assert_ne!(a, penalty.id("marketx", Naming::Reference("")));
        assert_ne!(a, secret.identifier("administrative-licence").id("market", Naming::Reference("x")));
        let province = secret.keyer("province", "administrative-penalty");
        let portal = secret.keyer("portal", "administrative-penalty");
        assert_ne!(province.key(&a), portal.key(&a));
        assert_eq!(
            province.key(&a),
            RecordSecret::new([7; 32]).keyer("province", "administrative-penalty").key(&a)
        );
        let k = province.key(&a);
        assert_eq!(RecordKey::parse(k.hex().as_str()), Some(k));
        assert_eq!(RecordKey::parse("G0"), None);
    }

    #[test]
    fn names_differ_by_dataset_lineage_and_key_fields() {
        let secret = RecordSecret::new([7; 32]);
        let name =
            |dataset, lineage, fields: &[u8]| secret.identifier(dataset).name(lineage, fields, &mut vec![1]);
        let one = name("d", "market", b"x");
        assert_eq!(one, name("d", "market", b"x"));
        for other in [name("e", "market", b"x"), name("d", "markets", b""), name("d", "market", b"y")] {
            assert_ne!(one, other);
        }
        assert_ne!(one, secret.identifier("d").id("market", Naming::KeyFields(b"x")).as_name());
    }
}
