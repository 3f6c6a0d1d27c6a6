//! What can be wrong with, or odd about, an identifier.

use std::fmt;

/// Why a text is not the identifier it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Error {
    /// Nothing was given.
    Empty,
    /// Too short or too long.
    Length,
    /// A character that the identifier's alphabet does not have.
    Character,
    /// The letter I, O, S, V or Z in a unified social credit code: usually a digit misread.
    ConfusableLetter,
    /// An old 15-digit registration number where the unified social credit code belongs.
    OldRegistrationNumber,
    /// The first character names no registering authority.
    Registrar,
    /// The region digits begin with no known province.
    Region,
    /// The birth date is not a day of the calendar.
    BirthDate,
    /// The birth date lies in the future or more than 150 years back.
    BirthDateImplausible,
    /// The check character does not fit the others.
    CheckDigit,
    /// A person's number where a code of an organisation belongs.
    ResidentNumber,
    /// The shape is not that of the document.
    Shape,
}

/// What is allowed but deserves a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Doubt {
    /// `00000000000000000X`: the placeholder for a subject without a code.
    Placeholder,
    /// The category digit is not in the registrar's table.
    Category,
    /// Characters 9-17 do not satisfy the check of an organisation code.
    InnerCheckDigit,
    /// A credit code that is, by its check, a person's number too.
    MayBeResidentNumber,
    /// A first-generation number of 15 digits: it has no check digit.
    FirstGeneration,
    /// A residence permit of Hong Kong, Macao or Taiwan residents (81, 82, 83).
    ResidencePermit,
    /// A permanent resident's number of a foreigner (18 digits from 9, or the older 15 characters).
    ForeignResident,
    /// No resident identity number but, by its shape, a passport.
    ForeignDocument,
}

impl Error {
    /// Stable code of the problem.
    pub const fn code(self) -> &'static str {
        match self {
            Error::Empty => "identifier.empty",
            Error::Length => "identifier.length",
            Error::Character => "identifier.character",
            Error::ConfusableLetter => "identifier.confusable-letter",
            Error::OldRegistrationNumber => "identifier.old-registration-number",
            Error::Registrar => "identifier.registrar",
            Error::Region => "identifier.region",
            Error::BirthDate => "identifier.birth-date",
            Error::BirthDateImplausible => "identifier.birth-date-implausible",
            Error::CheckDigit => "identifier.check-digit",
            Error::ResidentNumber => "identifier.resident-number",
            Error::Shape => "identifier.shape",
        }
    }

    /// What is wrong and what to do, in English and Chinese.
    pub const fn text(self) -> (&'static str, &'static str) {
        match self {
            Error::Empty => ("the number is empty; fill it in", "号码为空，请填写"),
            Error::Length => (
                "the number has the wrong length; copy it again from the document",
                "号码位数不对，请按证件重新录入",
            ),
            Error::Character => (
                "the number contains a character it cannot have; copy it again from the document",
                "号码中有不应出现的字符，请按证件重新录入",
            ),
            Error::ConfusableLetter => (
                "the code contains I, O, S, V or Z, which it cannot have; check for 1, 0, 5 or 2",
                "代码中不会出现字母 I、O、S、V、Z，请核对是否为 1、0、5、2",
            ),
            Error::OldRegistrationNumber => (
                "this is an old 15-digit registration number; give the 18-character unified social credit code",
                "这是 15 位旧注册号，请填写 18 位统一社会信用代码",
            ),
            Error::Registrar => (
                "the first character names no registering authority; check the code",
                "第 1 位不是登记管理部门代码，请核对",
            ),
            Error::Region => (
                "the region digits begin with no known province; check them",
                "行政区划位不属于任何已知省份，请核对",
            ),
            Error::BirthDate => (
                "the birth date inside the number is not a day of the calendar; check it",
                "号码中的出生日期不存在，请核对",
            ),
            Error::BirthDateImplausible => (
                "the birth date inside the number is in the future or over 150 years ago; check it",
                "号码中的出生日期在未来或早于 150 年前，请核对",
            ),
            Error::CheckDigit => (
                "the check character does not fit; one of the characters is wrong",
                "校验位不符，号码中至少有一位录入错误",
            ),
            Error::ResidentNumber => (
                "this is a person's identity number; give the code of the organisation, and the number in its own field",
                "这是个人身份证件号码，请填写主体代码，号码填入证件号码字段",
            ),
            Error::Shape => (
                "the number does not have the shape of this document; check number and document type",
                "号码格式与证件类型不符，请核对号码和证件类型",
            ),
        }
    }
}

impl Doubt {
    /// Stable code of the doubt.
    pub const fn code(self) -> &'static str {
        match self {
            Doubt::Placeholder => "identifier.placeholder",
            Doubt::Category => "identifier.category",
            Doubt::InnerCheckDigit => "identifier.inner-check-digit",
            Doubt::MayBeResidentNumber => "identifier.may-be-resident-number",
            Doubt::FirstGeneration => "identifier.first-generation",
            Doubt::ResidencePermit => "identifier.residence-permit",
            Doubt::ForeignResident => "identifier.foreign-resident",
            Doubt::ForeignDocument => "identifier.foreign-document",
        }
    }

    /// What is odd and what to do, in English and Chinese.
    pub const fn text(self) -> (&'static str, &'static str) {
        match self {
            Doubt::Placeholder => (
                "this is the placeholder for a subject without a code; give the real code as soon as there is one",
                "这是无代码主体的占位码，取得代码后请补报",
            ),
            Doubt::Category => (
                "the category digit is not in the registrar's table; check the code",
                "第 2 位机构类别不在该登记管理部门的类别表内，请核对",
            ),
            Doubt::InnerCheckDigit => (
                "characters 9 to 17 are not a sound organisation code; check the code",
                "第 9 至 17 位不符合组织机构代码校验，请核对",
            ),
            Doubt::MayBeResidentNumber => (
                "this code satisfies the check of a person's identity number too; check which of them it is",
                "该代码同时符合身份证号码校验，请核对究竟是哪一种",
            ),
            Doubt::FirstGeneration => (
                "a 15-digit first-generation number; give the 18-digit number",
                "这是 15 位第一代身份证号，请填写 18 位号码",
            ),
            Doubt::ResidencePermit => (
                "a residence permit number of a Hong Kong, Macao or Taiwan resident; check the document type",
                "这是港澳台居民居住证号码，请核对证件类型",
            ),
            Doubt::ForeignResident => (
                "a permanent residence number of a foreigner; check the document type",
                "这是外国人永久居留身份证号码，请核对证件类型",
            ),
            Doubt::ForeignDocument => (
                "this is no resident identity number; if it is a passport, name the document in the remarks",
                "这不是居民身份证号码；如为护照，请在备注中注明证件类型",
            ),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text().0)
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text().0)
    }
}
