//! The few words every other module speaks: whom a record is about, who may see it, whether it stands.

use serde::{Deserialize, Serialize};

/// Whom a record is about (行政相对人类别).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SubjectKind {
    /// 法人及非法人组织
    LegalPerson,
    /// 自然人
    NaturalPerson,
    /// 个体工商户
    IndividualBusiness,
}

impl SubjectKind {
    /// All kinds, in the order of [`SubjectKind::index`].
    pub const ALL: [Self; 3] = [Self::LegalPerson, Self::NaturalPerson, Self::IndividualBusiness];

    /// The place of this kind in [`SubjectKind::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// The word used in catalogue files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LegalPerson => "legal-person",
            Self::NaturalPerson => "natural-person",
            Self::IndividualBusiness => "individual-business",
        }
    }

    /// The Chinese word.
    pub fn zh(self) -> &'static str {
        match self {
            Self::LegalPerson => "法人及非法人组织",
            Self::NaturalPerson => "自然人",
            Self::IndividualBusiness => "个体工商户",
        }
    }
}

/// Who may see a record at all (使用范围). Ordered: the greater is the stricter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Audience {
    /// 公示
    Public,
    /// 仅政府部门内部共享
    Government,
    /// 仅可授权查询
    Authorised,
}

impl Audience {
    /// All audiences, in the order of [`Audience::index`].
    pub const ALL: [Self; 3] = [Self::Public, Self::Government, Self::Authorised];

    /// The place of this audience in [`Audience::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// The word used in lines and catalogue files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Government => "government",
            Self::Authorised => "authorised",
        }
    }

    /// Reads the word used in lines and catalogue files.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|audience| audience.as_str() == word)
    }
}

/// Whether a record that is put still stands, by the status its own schema carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordStatus {
    /// It stands.
    InForce,
    /// Its status says that it was revoked: the put is a withdraw.
    Revoked,
}
