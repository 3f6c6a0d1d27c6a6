//! How trust goes on when a node changes its keys: the manifest key in service vouches for the others.
//!
//! Whoever pinned one key of a node reaches its later ones by signatures alone, over any number of changes, and reaches
//! nothing else: not by `x5c`, not by a key set that merely came over the wire. An endorsement names keys by their
//! thumbprints, which bind them; the keys themselves stand in the published set. Each manifest key has one endorsement
//! in force, over the keys whose service overlaps its own, so that the document grows with the number of keys only.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::explain::explained;
use crate::json;
use crate::jws::{self, Jws, JwsError, JwsType};
use crate::keys::{Jwk, Jwks, KeyError, KeyUse, MAX_JWKS, ManifestKey};
use crate::names;
use crate::timestamp::Timestamp;

/// A larger published document is refused.
pub const MAX_PUBLISHED: usize = MAX_JWKS;
const MAX_ENDORSEMENTS: usize = 1_024;
const MAX_ENDORSED: usize = 1_024;
const VERSION: u32 = 1;

explained! {
    /// A published key document cannot be followed.
    pub enum EndorsementError {
        /// Not what `GET /v1/keys` gives.
        Malformed => "keys.malformed", "not a node's published keys: expected {{\"keys\":[…],\"endorsements\":[…]}} with at most 1024 endorsements",
                     "不是节点公布的公钥文档：应为 {{\"keys\":[…],\"endorsements\":[…]}}，背书不超过 1024 份";
        /// An endorsement by a trusted key does not verify or says something impossible.
        Forged {
            /// Place in the document, from 0.
            place: usize
        } => "keys.endorsement-forged", "endorsement {place} bears a pinned key's name but does not verify: the document was altered; get it again and report it",
             "第 {place} 份背书冒用已固定的密钥且验证失败：文档被篡改；请重新获取并报告";
    }
    wraps {
        /// The key set in it is malformed.
        Key(KeyError),
    }
}

/// What a manifest key says of the keys of its node. Members in alphabetical order, so that serde writes RFC 8785.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endorsement {
    /// When it was signed.
    pub created: Timestamp,
    keys: Vec<Endorsed>,
    /// The node.
    pub node: String,
    v: u32,
}

/// One key as an endorsement names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Endorsed {
    kid: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not_before: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retired: Option<Timestamp>,
    xq_use: KeyUse,
}

impl Endorsement {
    /// An endorsement of `keys`, which a node marks with their use.
    pub fn new<'a>(node: &str, created: Timestamp, keys: impl IntoIterator<Item = &'a Jwk>) -> Self {
        let endorsed = |jwk: &Jwk| {
            Some(Endorsed {
                kid: jwk.public_key().thumbprint(),
                not_before: jwk.not_before().cloned(),
                retired: jwk.retired().cloned(),
                xq_use: jwk.key_use()?,
            })
        };
        Self {
            created,
            keys: keys.into_iter().filter_map(endorsed).collect(),
            node: node.to_owned(),
            v: VERSION,
        }
    }

    /// Signs it: a JWS with `typ` `xinqiao-keys+jws`.
    pub fn sign(&self, key: &ManifestKey) -> Result<String, KeyError> {
        let payload = serde_json::to_vec(self).expect("an endorsement is plain data");
        jws::sign_as(&payload, JwsType::Keys, key)
    }

    fn read(payload: &[u8]) -> Option<Self> {
        let read: Self = json::from_slice(payload, MAX_PUBLISHED).ok()?;
        let fits = read.v == VERSION && names::is_node(&read.node) && read.keys.len() <= MAX_ENDORSED;
        fits.then_some(read)
    }
}

/// What `GET /v1/keys` gives: all keys, and what they say of each other. Nothing in it is trusted by itself.
#[derive(Clone, Debug)]
pub struct PublishedKeys {
    jwks: Jwks,
    node: Option<String>,
    endorsements: Vec<Jws>,
}

impl PublishedKeys {
    /// Reads the document; a plain key set is one without endorsements.
    pub fn from_json(bytes: &[u8]) -> Result<Self, EndorsementError> {
        #[derive(Deserialize)]
        struct Wire<'a> {
            node: Option<String>,
            #[serde(default, borrow)]
            endorsements: Vec<&'a serde_json::value::RawValue>,
        }
        let jwks = Jwks::from_json(bytes)?;
        let wire: Wire<'_> = serde_json::from_slice(bytes).map_err(|_| EndorsementError::Malformed)?;
        if wire.endorsements.len() > MAX_ENDORSEMENTS {
            return Err(EndorsementError::Malformed);
        }
        let parse = |raw: &serde_json::value::RawValue| {
            Jws::parse(raw.get().as_bytes()).map_err(|_| EndorsementError::Malformed)
        };
        let endorsements = wire.endorsements.into_iter().map(parse).collect::<Result<_, _>>()?;
        Ok(Self { jwks, node: wire.node, endorsements })
    }

    /// The keys, by whomever they are.
    pub fn jwks(&self) -> &Jwks {
        &self.jwks
    }

    /// The keys whose thumbprints are among `pins`: what a person compared by telephone.
    pub fn pinned(&self, pins: &[impl AsRef<str>]) -> Jwks {
        let wanted = |jwk: &&Jwk| pins.iter().any(|pin| pin.as_ref() == jwk.public_key().thumbprint());
        Jwks::new(self.jwks.keys().iter().filter(wanted).cloned())
    }

    /// `pinned` and every key that can be reached from it by endorsements, with the times they tell.
    pub fn follow(&self, pinned: &Jwks) -> Result<Jwks, EndorsementError> {
        let mut trusted = Trusted::new(pinned);
        let mut unread: Vec<(usize, &Jws)> = self.endorsements.iter().enumerate().collect();
        // Signed by a trusted key, but not, as far as is known yet, while it served: another word may tell that it took
        // over earlier than was planned.
        let mut early: Vec<(Endorsement, String)> = Vec::new();
        loop {
            let set = trusted.jwks();
            let mut fault = None;
            unread.retain(|(place, endorsement)| match endorsement.verify(JwsType::Keys, &set) {
                Err(JwsError::UnknownKey) => true,
                Ok(verified) => {
                    match Endorsement::read(verified.payload()) {
                        Some(read) if self.is_of_node(&read) => {
                            early.push((read, verified.key().kid().to_owned()));
                        }
                        Some(_) => {}
                        None => fault = Some(*place),
                    }
                    false
                }
                Err(_) => {
                    fault = Some(*place);
                    false
                }
            });
            if let Some(place) = fault {
                return Err(EndorsementError::Forged { place });
            }
            let serves =
                |(read, by): &(Endorsement, String)| set.find(by).is_some_and(|k| k.serves_at(&read.created));
            let (mut said, rest): (Vec<_>, Vec<_>) = early.into_iter().partition(serves);
            early = rest;
            said.sort_by(|(a, _), (b, _)| a.created.cmp(&b.created));
            for (endorsement, by) in &said {
                let signer = set.find(by).expect("its signature was verified by it");
                trusted.learn(endorsement, signer, &self.jwks);
            }
            if said.is_empty() {
                return Ok(trusted.jwks());
            }
        }
    }

    fn is_of_node(&self, endorsement: &Endorsement) -> bool {
        self.node.as_ref().is_none_or(|node| *node == endorsement.node)
    }
}

/// The keys reached so far, in the order they were reached, with the time of the endorsement that is relied on.
struct Trusted {
    order: Vec<String>,
    keys: BTreeMap<String, (Jwk, Option<Timestamp>)>,
}

impl Trusted {
    fn new(pinned: &Jwks) -> Self {
        let mut all = Self { order: Vec::new(), keys: BTreeMap::new() };
        for key in pinned.keys() {
            all.order.push(key.kid().to_owned());
            all.keys.insert(key.kid().to_owned(), (key.clone(), None));
        }
        all
    }

    fn jwks(&self) -> Jwks {
        Jwks::new(self.order.iter().filter_map(|kid| self.keys.get(kid)).map(|(key, _)| key.clone()))
    }

    fn learn(&mut self, endorsement: &Endorsement, signer: &Jwk, published: &Jwks) {
        for said in &endorsement.keys {
            // A key that begins after its endorser ended is somebody else's to endorse.
            let too_late = match (&said.not_before, signer.retired()) {
                (Some(from), Some(end)) => from > end,
                _ => false,
            };
            if too_late {
                continue;
            }
            match self.keys.get_mut(&said.kid) {
                Some((key, newest)) => {
                    let news =
                        newest.as_ref().map_or(Ordering::Greater, |newest| endorsement.created.cmp(newest));
                    // The newest word says from when it serves; of two of one second, the earlier time.
                    let not_before = match news {
                        Ordering::Less => key.not_before().cloned(),
                        Ordering::Equal => key.not_before().cloned().min(said.not_before.clone()),
                        Ordering::Greater => said.not_before.clone(),
                    };
                    // What is retired stays so, and no later than was known.
                    let retired = match (key.retired(), &said.retired) {
                        (Some(known), Some(said)) => Some(known.min(said).clone()),
                        (known, said) => known.or(said.as_ref()).cloned(),
                    };
                    *key = key.clone().with_time(not_before, retired);
                    if news != Ordering::Less {
                        *newest = Some(endorsement.created.clone());
                    }
                }
                None => {
                    let found = published.find(&said.kid).filter(|key| {
                        key.public_key().thumbprint() == said.kid && key.key_use() == Some(said.xq_use)
                    });
                    let Some(found) = found else { continue };
                    let key = found.clone().with_time(said.not_before.clone(), said.retired.clone());
                    self.order.push(said.kid.clone());
                    self.keys.insert(said.kid.clone(), (key, Some(endorsement.created.clone())));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
