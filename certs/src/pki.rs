//! A small certificate authority, for sites without one, for demonstrations and for tests.
//!
//! Keys are ECDSA P-256. A leaf carries one URI `spiffe://<trust-domain>/<role>/<name>`, and its organisation's unified
//! social credit code as organizationIdentifier. Only roles that accept connections get the server usage, so that a
//! department's certificate cannot pose as a gateway.
//!
//! [`SmallCa`] keeps such an authority in a directory: sealed keys, an index of what was issued and revoked, numbered
//! lists. [`KeyRequest`] is the other side: a key and a request for any authority, and [`install`] takes its answer in.

mod authority;
mod bundle;
mod ca;
mod chain;
mod files;
mod index;
mod install;
mod request;
mod seal;

pub use authority::{Authority, Issued, Reason, Request, Revoked, Signed, Validity};
pub use bundle::{Pkcs12, Pkcs12Kind};
pub use ca::SmallCa;
pub use chain::{arrange, certificates};
pub use files::{previous, write_pair, write_private, write_public};
pub use index::{Entry, Index};
pub use install::{Installation, install};
pub use request::{KeyRequest, SigningRequest};
pub use seal::{key_as_pkcs8, passphrase, seal_key};

use xinqiao_explain::Explanation;

/// Why the library that makes certificates did not.
fn cannot_make(error: rcgen::Error) -> Explanation {
    Explanation::new(
        "pki.cannot-make",
        format!("the certificate could not be made: {error}"),
        format!("无法生成证书：{error}"),
    )
}

fn no_randomness(error: xinqiao_crypto::NoRandomness) -> Explanation {
    Explanation::new("pki.no-randomness", error.to_string(), "系统未能提供随机数")
}
