//! What one class of recipient may see: whole records by audience and subject, then each field by its class.
//!
//! No rule means no: an audience, a subject kind or a class that a policy does not name is withheld or dropped.

mod strictness;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::mask::Mask;
use crate::model::{Audience, SubjectKind};
use crate::schema::Title;

/// A policy, as loaded.
pub struct Policy {
    pub(crate) id: Arc<str>,
    pub(crate) title: Title,
    pub(crate) recipient_kind: RecipientKind,
    pub(crate) pass_reference: bool,
    pub(crate) natural_person_basis: Option<String>,
    /// By [`Audience::index`].
    pub(crate) audiences: [Admission; 3],
    /// By [`SubjectKind::index`].
    pub(crate) subjects: [Admission; 3],
    /// Action for each class, by [`SubjectKind::index`].
    pub(crate) classes: BTreeMap<Arc<str>, [Action; 3]>,
    /// Classes that leave unread for a portal or an agency, with the basis on which they do.
    pub(crate) unscanned: BTreeMap<Arc<str>, String>,
    pub(crate) document: Vec<u8>,
    pub(crate) digest: [u8; 32],
}

/// Who the recipients of a policy are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecipientKind {
    /// An authority, or another node.
    Government,
    /// A publicity portal.
    Portal,
    /// A rating or credit reporting agency.
    Agency,
}

impl RecipientKind {
    /// Whether what they get is for the public or for business, and not for an authority.
    pub fn is_public(self) -> bool {
        self != Self::Government
    }
}

/// Whether a whole record goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Admission {
    /// It does.
    Release,
    /// Only with a reference to the subject's authorisation.
    WithAuthorisation,
    /// It does not.
    Withhold,
}

/// What happens to the fields of one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The value leaves as it is.
    Pass,
    /// Identifiers, phone numbers and the like inside the text are masked.
    Scan,
    /// The value is masked.
    Mask(Mask),
    /// A coarser value leaves.
    Generalise(Coarse),
    /// A keyed pseudonym leaves.
    Pseudonymise,
    /// Nothing leaves.
    Drop,
}

/// How a value is made coarser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coarse {
    /// A date becomes its year.
    Year,
    /// A region code or address becomes its province or city.
    Division,
    /// An amount becomes a band.
    AmountBand,
}

impl Policy {
    /// The policy id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its title.
    pub fn title(&self) -> &Title {
        &self.title
    }

    /// Who its recipients are.
    pub fn recipient_kind(&self) -> RecipientKind {
        self.recipient_kind
    }

    /// The legal basis on which natural persons are released, if they are.
    pub fn natural_person_basis(&self) -> Option<&str> {
        self.natural_person_basis.as_deref()
    }

    /// The basis on which a class leaves for the public as it stands, without being scanned; none if it does not.
    pub fn unscanned_basis(&self, class: &str) -> Option<&str> {
        self.unscanned.get(class).map(String::as_str)
    }

    /// Whether records of this audience go out.
    pub fn audience(&self, audience: Audience) -> Admission {
        self.audiences[audience.index()]
    }

    /// Whether records about this kind of subject go out.
    pub fn subject(&self, kind: SubjectKind) -> Admission {
        self.subjects[kind.index()]
    }

    /// What happens to fields of a class; dropped if the policy does not name it.
    pub fn action(&self, class: &str, kind: SubjectKind) -> Action {
        self.classes.get(class).map_or(Action::Drop, |actions| actions[kind.index()])
    }

    /// SHA-256 of [`Policy::document`].
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// What the digest is of: the catalogue file.
    pub fn document(&self) -> &[u8] {
        &self.document
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Policy({})", self.id)
    }
}

impl Action {
    /// Reads the word of a policy file.
    pub fn by_name(name: &str) -> Option<Self> {
        Some(match name {
            "pass" => Self::Pass,
            "scan" => Self::Scan,
            "drop" => Self::Drop,
            "pseudonymise" => Self::Pseudonymise,
            "generalise-year" => Self::Generalise(Coarse::Year),
            "generalise-division" => Self::Generalise(Coarse::Division),
            "generalise-amount" => Self::Generalise(Coarse::AmountBand),
            _ => Self::Mask(Mask::by_name(name)?),
        })
    }

    /// The word of a policy file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Scan => "scan",
            Self::Drop => "drop",
            Self::Pseudonymise => "pseudonymise",
            Self::Generalise(Coarse::Year) => "generalise-year",
            Self::Generalise(Coarse::Division) => "generalise-division",
            Self::Generalise(Coarse::AmountBand) => "generalise-amount",
            Self::Mask(Mask::Name) => "mask-name",
            Self::Mask(Mask::Id) => "mask-id",
            Self::Mask(Mask::Certificate) => "mask-certificate",
            Self::Mask(Mask::Phone) => "mask-phone",
            Self::Mask(Mask::BankCard) => "mask-bank-card",
            Self::Mask(Mask::Address) => "mask-address",
            Self::Mask(Mask::EMail) => "mask-e-mail",
            Self::Mask(Mask::All) => "mask-all",
        }
    }

    /// Whether less than the whole value leaves by design.
    pub fn hides(self) -> bool {
        !matches!(self, Self::Pass | Self::Scan)
    }

    /// The stricter of two actions; none if they are different ways of hiding, of which neither is the stricter.
    pub(crate) fn stricter(self, other: Self) -> Option<Self> {
        match (self, other) {
            (a, b) if a == b => Some(a),
            (Self::Drop, _) | (_, Self::Drop) => Some(Self::Drop),
            (Self::Pass, other) | (other, Self::Pass) => Some(other),
            (Self::Scan, other) | (other, Self::Scan) => Some(other),
            (Self::Mask(Mask::All), Self::Mask(_)) | (Self::Mask(_), Self::Mask(Mask::All)) => {
                Some(Self::Mask(Mask::All))
            }
            _ => None,
        }
    }
}
