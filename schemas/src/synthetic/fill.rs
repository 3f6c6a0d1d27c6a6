//! A case written into the columns of a table.

use super::Table;
use super::case::{Case, Scope};
use crate::date::Date;
use crate::model::SubjectKind;
use crate::number::shift_point;

/// The filled fields, in the order of the columns.
pub(super) fn fill(table: Table, case: &Case) -> Vec<(&'static str, String)> {
    let row = match table {
        Table::CityPenalty => city_penalty(case),
        Table::CityLicence => city_licence(case),
        Table::Penalty2017 => penalty_2017(case),
        Table::Penalty2020 => penalty_2020(case),
        Table::Licence2017 => licence_2017(case),
        Table::Licence2020 => licence_2020(case),
    };
    let columns = columns(table);
    assert_eq!(columns.len(), row.len(), "{table:?} has a value for each column");
    columns.iter().copied().zip(row).filter(|(_, value)| !value.is_empty()).collect()
}

pub(super) fn columns(table: Table) -> &'static [&'static str] {
    match table {
        Table::CityPenalty => &[
            "JDSWH", "DSRMC", "DSRLX", "TYSHXYDM", "SFZH", "FDDBR", "LXDH", "LXDZ", "AY", "WFSS", "CFYJ",
            "CFZL", "CFNR", "FKJE", "MSJE", "ZKZZ", "CFJDRQ", "CFYXQ", "GSJZRQ", "JGMC", "JGDM", "XXSYFW",
            "ZT", "CBR", "BZ",
        ],
        Table::CityLicence => &[
            "XKJDSWH", "DSRMC", "DSRLX", "TYSHXYDM", "SFZH", "FDDBR", "LXDH", "LXDZ", "XKSXMC", "XKLB",
            "XKZMC", "XKZBH", "XKNR", "XKJDRQ", "YXQZ", "YXQJZ", "JGMC", "JGDM", "XXSYFW", "ZT", "CBR", "BZ",
        ],
        Table::Penalty2017 => &[
            "CF_WSH",
            "CF_CFMC",
            "CF_BM",
            "CF_CFLB1",
            "CF_CFLB2",
            "CF_SY",
            "CF_YJ",
            "CF_XDR_MC",
            "CF_XDR_SHXYM",
            "CF_XDR_ZDM",
            "CF_XDR_GSDJ",
            "CF_XDR_SWDJ",
            "CF_XDR_SFZ",
            "CF_FR",
            "CF_JG",
            "CF_JDRQ",
            "CF_XZJG",
            "CF_ZT",
            "DFBM",
            "SJC",
            "BZ",
            "CF_SYFW",
            "CF_SXYZCD",
            "CF_GSJZQ",
        ],
        Table::Penalty2020 => &[
            "CF_XDR_MC",
            "CF_XDR_LB",
            "CF_XDR_SHXYM",
            "CF_XDR_GSZC",
            "CF_XDR_ZZJG",
            "CF_XDR_SWDJ",
            "CF_XDR_SYDW",
            "CF_XDR_SHZZ",
            "CF_FRDB",
            "CF_FR_ZJLX",
            "CF_FR_ZJHM",
            "CF_XDR_ZJLX",
            "CF_XDR_ZJHM",
            "CF_WSH",
            "CF_WFXW",
            "CF_SY",
            "CF_YJ",
            "CF_CFLB",
            "CF_NR",
            "CF_NR_FK",
            "CF_NR_WFFF",
            "CF_NR_ZKDX",
            "CF_JDRQ",
            "CF_YXQ",
            "CF_GSJZQ",
            "CF_CFJG",
            "CF_CFJGDM",
            "CF_SJLY",
            "CF_SJLYDM",
            "BZ",
        ],
        Table::Licence2017 => &[
            "XK_WSH",
            "XK_XMMC",
            "XK_BM",
            "XK_SPLB",
            "XK_NR",
            "XK_XDR",
            "XK_XDR_SHXYM",
            "XK_XDR_ZDM",
            "XK_XDR_GSDJ",
            "XK_XDR_SWDJ",
            "XK_XDR_SFZ",
            "XK_FR",
            "XK_JDRQ",
            "XK_JZQ",
            "XK_XZJG",
            "XK_ZT",
            "DFBM",
            "SJC",
            "BZ",
            "XK_SYFW",
        ],
        Table::Licence2020 => &[
            "XK_XDR_MC",
            "XK_XDR_LB",
            "XK_XDR_SHXYM",
            "XK_XDR_GSZC",
            "XK_XDR_ZZJG",
            "XK_XDR_SWDJ",
            "XK_XDR_SYDW",
            "XK_XDR_SHZZ",
            "XK_FRDB",
            "XK_FR_ZJLX",
            "XK_FR_ZJHM",
            "XK_XDR_ZJLX",
            "XK_XDR_ZJHM",
            "XK_XKWS",
            "XK_WSH",
            "XK_XKLB",
            "XK_XKZS",
            "XK_XKBH",
            "XK_NR",
            "XK_JDRQ",
            "XK_YXQZ",
            "XK_YXQZI",
            "XK_XKJG",
            "XK_XKJGDM",
            "XK_ZT",
            "XK_LYDW",
            "XK_LYDWDM",
            "BZ",
        ],
    }
}

fn city_penalty(case: &Case) -> Vec<String> {
    let penalty = &case.penalty;
    let mut row = vec![penalty.document.clone()];
    row.extend(city_subject(case));
    row.extend([
        penalty.offence.to_owned(),
        penalty.facts.clone(),
        penalty.basis.clone(),
        kinds(case),
        penalty.imposed.clone(),
        penalty.fine.to_string(),
        some_amount(penalty.confiscated, 0),
        String::new(),
        slash(case.decided),
        "2099/12/31".to_owned(),
        slash(case.published_until),
    ]);
    row.extend(city_end(case));
    row
}

fn city_licence(case: &Case) -> Vec<String> {
    let licence = &case.licence;
    let mut row = vec![licence.document.clone()];
    row.extend(city_subject(case));
    row.extend([
        format!("准予{}决定书", licence.title),
        licence.kind.to_owned(),
        licence.title.to_owned(),
        licence.certificate.clone(),
        licence.content.clone(),
        slash(case.decided),
        slash(case.decided),
        slash(case.valid_until),
    ]);
    row.extend(city_end(case));
    row
}

fn city_subject(case: &Case) -> [String; 7] {
    let subject = &case.subject;
    let kind = match subject.kind {
        SubjectKind::LegalPerson => "单位",
        SubjectKind::IndividualBusiness => "个体工商户",
        SubjectKind::NaturalPerson => "个人",
    };
    [
        subject.name.clone(),
        kind.to_owned(),
        subject.code.clone(),
        of_person(case, &subject.id),
        of_organisation(case, &subject.person),
        subject.phone.clone(),
        subject.address.clone(),
    ]
}

fn city_end(case: &Case) -> [String; 6] {
    let scope = match case.scope {
        Scope::Public => "公示",
        Scope::Government => "政府共享",
        Scope::Authorised => "授权查询",
    };
    [
        case.authority.clone(),
        case.authority_code.clone(),
        scope.to_owned(),
        "正常".to_owned(),
        "样例承办人".to_owned(),
        String::new(),
    ]
}

fn penalty_2020(case: &Case) -> Vec<String> {
    let penalty = &case.penalty;
    let mut row = subject_2020(case);
    row.extend([
        penalty.document.clone(),
        penalty.offence.to_owned(),
        penalty.facts.clone(),
        penalty.basis.clone(),
        kinds(case),
        penalty.imposed.clone(),
        some_amount(penalty.fine, -4),
        some_amount(penalty.confiscated, -4),
        String::new(),
        slash(case.decided),
        "2099/12/31".to_owned(),
        slash(case.published_until),
        case.authority.clone(),
        case.authority_code.clone(),
        case.authority.clone(),
        case.authority_code.clone(),
        String::new(),
    ]);
    row
}

fn licence_2020(case: &Case) -> Vec<String> {
    let licence = &case.licence;
    let mut row = subject_2020(case);
    row.extend([
        format!("准予{}决定书", licence.title),
        licence.document.clone(),
        licence.kind.to_owned(),
        licence.title.to_owned(),
        licence.certificate.clone(),
        licence.content.clone(),
        slash(case.decided),
        slash(case.decided),
        slash(case.valid_until),
        case.authority.clone(),
        case.authority_code.clone(),
        "1".to_owned(),
        case.authority.clone(),
        case.authority_code.clone(),
        String::new(),
    ]);
    row
}

fn subject_2020(case: &Case) -> Vec<String> {
    let subject = &case.subject;
    let organisation_code = subject.code.get(8..17).unwrap_or_default().to_owned();
    vec![
        subject.name.clone(),
        subject.kind.zh().to_owned(),
        subject.code.clone(),
        subject.registration.clone(),
        organisation_code,
        String::new(),
        String::new(),
        String::new(),
        of_organisation(case, &subject.person),
        of_organisation(case, "身份证"),
        of_organisation(case, &subject.id),
        of_person(case, "身份证"),
        of_person(case, &subject.id),
    ]
}

fn penalty_2017(case: &Case) -> Vec<String> {
    let penalty = &case.penalty;
    let confiscation = if penalty.confiscated > 0 { "没收违法所得、没收非法财物" } else { "" };
    let mut row = vec![
        penalty.document.clone(),
        penalty.offence.to_owned(),
        format!("CF{:06}", case.number % 1_000_000),
        "罚款".to_owned(),
        confiscation.to_owned(),
        penalty.facts.clone(),
        penalty.basis.clone(),
        case.subject.name.clone(),
    ];
    row.extend(codes_2017(case));
    row.extend([
        of_organisation(case, &case.subject.person),
        penalty.imposed.clone(),
        slash(case.decided),
        case.authority.clone(),
    ]);
    row.extend(end_2017(case));
    row.extend(["1".to_owned(), slash(case.published_until)]);
    row
}

fn licence_2017(case: &Case) -> Vec<String> {
    let licence = &case.licence;
    let mut row = vec![
        licence.document.clone(),
        licence.title.to_owned(),
        format!("XK{:06}", case.number % 1_000_000),
        licence.kind.to_owned(),
        licence.content.clone(),
        case.subject.name.clone(),
    ];
    row.extend(codes_2017(case));
    row.extend([
        of_organisation(case, &case.subject.person),
        slash(case.decided),
        slash(case.valid_until),
        case.authority.clone(),
    ]);
    row.extend(end_2017(case));
    row
}

fn codes_2017(case: &Case) -> [String; 5] {
    let subject = &case.subject;
    [
        subject.code.clone(),
        subject.code.get(8..17).unwrap_or_default().to_owned(),
        subject.registration.clone(),
        String::new(),
        subject.id.clone(),
    ]
}

/// Status, division, time stamp, remarks, scope.
fn end_2017(case: &Case) -> [String; 5] {
    let scope = match case.scope {
        Scope::Public => "0",
        Scope::Government => "1",
        Scope::Authorised => "2",
    };
    ["0".to_owned(), "350200".to_owned(), slash(case.collected), String::new(), scope.to_owned()]
}

fn kinds(case: &Case) -> String {
    if case.penalty.confiscated > 0 { "罚款;没收违法所得" } else { "罚款" }.to_owned()
}

fn some_amount(yuan: u64, by: i8) -> String {
    if yuan == 0 { String::new() } else { shift_point(&yuan.to_string(), by).expect("digits") }
}

fn of_person(case: &Case, value: &str) -> String {
    if case.subject.kind == SubjectKind::NaturalPerson { value.to_owned() } else { String::new() }
}

fn of_organisation(case: &Case, value: &str) -> String {
    if case.subject.kind == SubjectKind::NaturalPerson { String::new() } else { value.to_owned() }
}

fn slash(date: Date) -> String {
    let mut out = Vec::with_capacity(10);
    date.write_slash(&mut out);
    String::from_utf8(out).expect("digits and slashes")
}
