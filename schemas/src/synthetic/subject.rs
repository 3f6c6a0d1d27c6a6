//! Subjects that do not exist, with numbers that check.

use super::random::Random;
use crate::date::Date;
use crate::identifier::{organisation_code, resident_id, uscc};
use crate::model::SubjectKind;

/// A division that has never been assigned.
const DIVISION: &str = "350299";

/// Whom a record is about.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub kind: SubjectKind,
    pub name: String,
    /// Unified social credit code; empty for natural persons.
    pub code: String,
    /// Registration number of fifteen digits, as organisations had before; empty for natural persons.
    pub registration: String,
    /// Legal representative, operator, or the person itself.
    pub person: String,
    /// That person's identity number.
    pub id: String,
    pub phone: String,
    pub address: String,
}

impl Subject {
    pub(super) fn draw(number: u64, kind: SubjectKind, random: &mut Random) -> Subject {
        let person = person_name(random);
        let sign = signs(random, 2);
        let trade = random.pick(&TRADES);
        let (name, code) = match kind {
            SubjectKind::LegalPerson => (format!("厦门样例{sign}{trade}有限公司"), credit_code("91", number)),
            SubjectKind::IndividualBusiness => {
                (format!("厦门市样例区{sign}{trade}店"), credit_code("92", number))
            }
            SubjectKind::NaturalPerson => (person.clone(), String::new()),
        };
        let registration = match kind {
            SubjectKind::NaturalPerson => String::new(),
            _ => format!("{DIVISION}{:09}", number % 1_000_000_000),
        };
        Subject {
            kind,
            name,
            code,
            registration,
            person,
            id: identity_number(random),
            phone: format!("199000{:05}", random.below(100_000)),
            address: format!("福建省厦门市样例区样例路{}号", 1 + random.below(999)),
        }
    }
}

/// A code of a kind of registrar (`91`, `92`, `11`) for a number of one's own choice.
pub(super) fn credit_code(kind: &str, number: u64) -> String {
    // XQ is no prefix that has been given out.
    let body = format!("XQ{:06}", number % 1_000_000);
    let inner = organisation_code::check_character(body.as_bytes().try_into().expect("eight characters"));
    let mut code = format!("{kind}{DIVISION}{body}{}", char::from(inner.expect("digits and capitals")));
    let check = uscc::check_character(code.as_bytes().try_into().expect("seventeen characters"));
    code.push(char::from(check.expect("in the alphabet")));
    code
}

fn identity_number(random: &mut Random) -> String {
    let born = -3_653 + i32::try_from(random.below(14_600)).expect("small");
    let born = Date::from_days(born).expect("between 1960 and 1999");
    let mut number =
        format!("{DIVISION}{:04}{:02}{:02}{:03}", born.year(), born.month(), born.day(), random.below(1_000));
    let check = resident_id::check_character(number.as_bytes().try_into().expect("seventeen digits"));
    number.push(char::from(check.expect("digits")));
    number
}

fn person_name(random: &mut Random) -> String {
    let surname = *random.pick(&SURNAMES);
    format!("{surname}{}", signs(random, 2))
}

fn signs(random: &mut Random, count: usize) -> String {
    (0..count).map(|_| *random.pick(&SIGNS)).collect()
}

const SURNAMES: [&str; 40] = [
    "王", "李", "张", "刘", "陈", "杨", "赵", "黄", "周", "吴", "徐", "孙", "胡", "朱", "高", "林", "何",
    "郭", "马", "罗", "梁", "宋", "郑", "谢", "韩", "唐", "冯", "于", "董", "萧", "程", "曹", "袁", "邓",
    "许", "傅", "沈", "曾", "欧阳", "上官",
];

/// Stems and branches of the old calendar.
const SIGNS: [char; 22] = [
    '甲', '乙', '丙', '丁', '戊', '己', '庚', '辛', '壬', '癸', '子', '丑', '寅', '卯', '辰', '巳', '午',
    '未', '申', '酉', '戌', '亥',
];

const TRADES: [&str; 12] =
    ["食品", "餐饮", "建材", "物流", "服饰", "电子", "医药", "环保", "文具", "农产品", "家具", "汽车配件"];
