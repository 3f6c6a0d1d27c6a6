//! Who is on the other end of a connection, and with what proof.
//!
//! This crate makes certificates ([`pki`]), loads and checks them ([`Identity`], [`TrustAnchors`], [`RevocationList`]),
//! chooses the TLS settings in one place ([`tls`]) and turns a verified chain into exactly one member ([`Registry`]).
//!
//! A [`Bundle`] names every mistake in a chain, key, anchors and lists before any of them goes live; [`Details`] and
//! [`RenewalPlan`] say what certificates say and when they are due.
//!
//! What is trusted lives in one immutable [`Trust`]: anchors and revocation lists, parsed once and shared by the handshake
//! and the registry. Rotation is building a new `Trust`, `Registry` and TLS configuration beside the old ones and
//! swapping them together; nothing in here changes in place.
//!
//! Only [`Registry::identify`] constructs a [`VerifiedMember`], so a path that forgot to identify does not compile.

mod bundle;
mod certificate;
mod chain;
mod crypto;
mod der;
mod details;
mod file;
mod identity;
mod member;
mod pair;
pub mod pki;
mod renewal;
mod role;
pub mod tls;
mod trouble;
mod trust;

pub use bundle::{Bundle, Finding, Placed, Purpose};
pub use certificate::PublicKeyPin;
pub use chain::{certificates, chain_digest, to_pem};
pub use details::Details;
pub use file::read_file;
pub use identity::Identity;
pub use member::{
    Attribute, Binding, ExtensionBinding, IdentityError, Member, Registry, SubjectBinding, VerifiedMember,
};
pub use renewal::{RenewalPlan, State};
pub use role::Role;
pub use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
pub use trust::{
    Anchor, AnchorRights, HexBytes, ListFault, ListRead, Lists, Revocation, RevocationList, RevocationPolicy,
    Shut, Trust, TrustAnchors,
};
