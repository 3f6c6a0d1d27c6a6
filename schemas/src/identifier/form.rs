//! The identifiers by the names that schema files give them.

use super::{Doubt, Error, organisation_code, other, region, resident_id, uscc};
use crate::date::Date;

/// Which identifier a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Form {
    /// 统一社会信用代码.
    Uscc,
    /// 组织机构代码.
    OrganisationCode,
    /// 工商注册号, 15 digits, or the 18-character code that replaced it.
    RegistrationNumber,
    /// 纳税人识别号.
    TaxNumber,
    /// 公民身份号码 and what stands in its column.
    ResidentId,
    /// 公民身份号码, or a passport number where the column has to serve for foreigners too.
    ResidentIdOrPassport,
    /// 护照号.
    Passport,
    /// 港澳居民来往内地通行证.
    HongKongMacaoPermit,
    /// 台湾居民来往大陆通行证.
    TaiwanPermit,
    /// 外国人永久居留身份证, both forms.
    ForeignResidentId,
    /// 行政区划代码, six digits.
    Region,
    /// A mobile phone of the mainland.
    Mobile,
}

impl Form {
    /// Every form with its name in schema files.
    pub const ALL: [(&'static str, Form); 12] = [
        ("uscc", Form::Uscc),
        ("organisation-code", Form::OrganisationCode),
        ("registration-number", Form::RegistrationNumber),
        ("tax-number", Form::TaxNumber),
        ("resident-id", Form::ResidentId),
        ("resident-id-or-passport", Form::ResidentIdOrPassport),
        ("passport", Form::Passport),
        ("hong-kong-macao-permit", Form::HongKongMacaoPermit),
        ("taiwan-permit", Form::TaiwanPermit),
        ("foreign-resident-id", Form::ForeignResidentId),
        ("region", Form::Region),
        ("mobile", Form::Mobile),
    ];

    /// The form of a name such as `resident-id`.
    pub fn by_name(name: &str) -> Option<Form> {
        Form::ALL.iter().find(|(known, _)| *known == name).map(|(_, form)| *form)
    }

    /// The form that goes with a value of 证件类型, such as `身份证`. None for `其他-…` and unknown types.
    pub fn by_document_type(title: &str) -> Option<Form> {
        match title {
            "身份证" | "居民身份证" => Some(Form::ResidentId),
            "护照号" | "护照" => Some(Form::Passport),
            "港澳居民来往内地通行证" => Some(Form::HongKongMacaoPermit),
            "台湾居民来往大陆通行证" => Some(Form::TaiwanPermit),
            "外国人永久居留身份证" => Some(Form::ForeignResidentId),
            _ => None,
        }
    }

    /// Checks a value in normal form. `reference` is the day birth dates are checked against.
    pub fn check(self, value: &str, reference: Date) -> Result<Option<Doubt>, Error> {
        match self {
            Form::Uscc => uscc::check(value).map(uscc::Kind::doubt),
            Form::OrganisationCode => organisation_code::check(value).map(|()| None),
            Form::RegistrationNumber => other::registration_number(value).map(|()| None),
            Form::TaxNumber => other::tax_number(value).map(|()| None),
            Form::ResidentId => resident_id::check(value, reference).map(resident_id::Kind::doubt),
            Form::ResidentIdOrPassport => match value.len() {
                15 | 18 => resident_id::check(value, reference).map(resident_id::Kind::doubt),
                _ => other::passport(value).map(|()| Some(Doubt::ForeignDocument)),
            },
            Form::Passport => other::passport(value).map(|()| None),
            Form::HongKongMacaoPermit => other::hong_kong_macao_permit(value).map(|()| None),
            Form::TaiwanPermit => other::taiwan_permit(value).map(|()| None),
            Form::ForeignResidentId => match resident_id::check(value, reference)? {
                resident_id::Kind::ForeignResident | resident_id::Kind::ForeignResidentOld => Ok(None),
                _ => Err(Error::Shape),
            },
            Form::Region if value.is_empty() => Err(Error::Empty),
            Form::Region if value.len() != 6 => Err(Error::Length),
            Form::Region if !value.bytes().all(|byte| byte.is_ascii_digit()) => Err(Error::Character),
            Form::Region if region::is_region_shape(value) => Ok(None),
            Form::Region => Err(Error::Region),
            Form::Mobile => other::mobile(value).map(|()| None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn today() -> Date {
        Date::new(2026, 11, 21).unwrap()
    }

    #[test]
    fn names_are_distinct_and_found() {
        for (name, form) in Form::ALL {
            assert_eq!(Form::by_name(name), Some(form));
        }
        assert_eq!(Form::by_name("unknown"), None);
    }

    #[test]
    fn a_document_type_chooses_the_check() {
        let passport = Form::by_document_type("护照号").unwrap();
        assert_eq!(passport.check("E12345678", today()), Ok(None));
        let citizen = Form::by_document_type("身份证").unwrap();
        assert_eq!(citizen.check("E12345678", today()), Err(Error::Length));
        assert_eq!(Form::by_document_type("其他-军官证"), None);
        let foreign = Form::by_document_type("外国人永久居留身份证").unwrap();
        assert_eq!(foreign.check("ABC350290010199", today()), Ok(None));
        assert_eq!(foreign.check("360426199101010071", today()), Err(Error::Shape));
    }

    #[test]
    fn a_column_for_all_takes_passports_with_a_doubt() {
        let form = Form::by_name("resident-id-or-passport").unwrap();
        assert_eq!(form.check("360426199101010071", today()), Ok(None));
        assert_eq!(form.check("360426199101010072", today()), Err(Error::CheckDigit));
        assert_eq!(form.check("E12345678", today()), Ok(Some(Doubt::ForeignDocument)));
        assert_eq!(form.check("E1", today()), Err(Error::Length));
    }

    #[test]
    fn regions_are_checked_part_by_part() {
        assert_eq!(Form::Region.check("350200", today()), Ok(None));
        assert_eq!(Form::Region.check("", today()), Err(Error::Empty));
        assert_eq!(Form::Region.check("35020", today()), Err(Error::Length));
        assert_eq!(Form::Region.check("35020A", today()), Err(Error::Character));
        assert_eq!(Form::Region.check("990000", today()), Err(Error::Region));
    }
}
