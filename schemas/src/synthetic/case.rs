//! A case: what an authority decided about a subject, before it is written into any table.

use super::random::Random;
use super::subject::{Subject, credit_code};
use crate::date::Date;
use crate::model::SubjectKind;

/// A decision, as penalty and as licence; a table takes what it has columns for.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub number: u64,
    pub subject: Subject,
    pub authority: String,
    pub authority_code: String,
    pub decided: Date,
    pub collected: Date,
    pub published_until: Date,
    pub valid_until: Date,
    pub penalty: Penalty,
    pub licence: Licence,
    pub scope: Scope,
}

#[derive(Clone, Debug)]
pub(super) struct Penalty {
    pub document: String,
    pub offence: &'static str,
    pub facts: String,
    pub basis: String,
    /// In yuan.
    pub fine: u64,
    /// In yuan; zero if nothing was confiscated.
    pub confiscated: u64,
    pub imposed: String,
}

#[derive(Clone, Debug)]
pub(super) struct Licence {
    pub document: String,
    pub certificate: String,
    pub title: &'static str,
    pub kind: &'static str,
    pub content: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Public,
    Government,
    Authorised,
}

impl Case {
    pub(super) fn draw(
        number: u64,
        kind: SubjectKind,
        today: Date,
        leaks: bool,
        random: &mut Random,
    ) -> Case {
        let subject = Subject::draw(number, kind, random);
        let office = usize::try_from(random.below(OFFICES.len() as u64)).expect("below a length");
        let (office_name, office_sign) = OFFICES[office];
        let back = i32::try_from(random.below(90)).expect("below 90");
        let decided = today.plus_days(-back).expect("today is far from the calendar's beginning");
        let collected = today.plus_days(-i32::try_from(random.below(7)).expect("below 7").min(back));
        let year = decided.year();
        let scope = match random.below(50) {
            0 => Scope::Authorised,
            1 | 2 => Scope::Government,
            _ => Scope::Public,
        };
        Case {
            number,
            authority: format!("样例市{office_name}"),
            authority_code: credit_code("11", 900_000 + office as u64),
            decided,
            collected: collected.expect("not before the decision"),
            published_until: decided.plus_months(*random.pick(&[3, 6, 12])).expect("the calendar goes on"),
            valid_until: decided.plus_months(*random.pick(&[12, 36, 60])).expect("the calendar goes on"),
            penalty: penalty(
                &subject,
                &format!("样{office_sign}罚决字〔{year}〕{number:06}号"),
                decided,
                leaks,
                random,
            ),
            licence: licence(
                &subject,
                &format!("样{office_sign}许准字〔{year}〕{number:06}号"),
                number,
                leaks,
                random,
            ),
            subject,
            scope,
        }
    }
}

fn penalty(subject: &Subject, document: &str, decided: Date, leaks: bool, random: &mut Random) -> Penalty {
    let (offence, law, article) = *random.pick(&OFFENCES);
    let fine = *random.pick(&[200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 125_500]);
    let confiscated = if random.below(5) == 0 { 100 + random.below(9_900) } else { 0 };
    let day = decided.plus_days(-20).expect("the calendar goes back");
    let mut facts = format!(
        "经查，当事人于{}年{}月{}日在样例路经营场所{offence}，有现场检查笔录、询问笔录、证据照片等材料为证。\
         当事人在法定期限内未提出陈述和申辩，也未要求听证。",
        day.year(),
        day.month(),
        day.day()
    );
    if leaks {
        facts.push_str(&format!("经办人身份证号{}，联系电话{}。", subject.id, subject.phone));
    }
    let also = if confiscated > 0 {
        format!("没收违法所得人民币{confiscated}元，")
    } else {
        String::new()
    };
    Penalty {
        document: document.to_owned(),
        offence,
        facts,
        basis: format!("《{law}》第{article}条第一款"),
        fine,
        confiscated,
        imposed: format!(
            "责令改正违法行为，{also}处罚款人民币{fine}元。\
             自收到决定书之日起十五日内到指定银行缴纳，逾期每日按罚款数额的百分之三加处罚款。"
        ),
    }
}

fn licence(subject: &Subject, document: &str, number: u64, leaks: bool, random: &mut Random) -> Licence {
    let (title, kind, content) = *random.pick(&PERMITS);
    let mut content = format!("准予{content}，经营场所：{}。", subject.address);
    if leaks {
        content.push_str(&format!("经办人身份证号{}，联系电话{}。", subject.id, subject.phone));
    }
    Licence {
        document: document.to_owned(),
        certificate: format!("JY350299{number:07}"),
        title,
        kind,
        content,
    }
}

/// Authorities and the sign in their document numbers.
const OFFICES: [(&str, &str); 6] = [
    ("市场监督管理局", "市监"),
    ("生态环境局", "环"),
    ("交通运输局", "交"),
    ("城市管理行政执法局", "城执"),
    ("卫生健康委员会", "卫"),
    ("文化和旅游局", "文旅"),
];

/// Offences with the law and the article that they break.
const OFFENCES: [(&str, &str, &str); 8] = [
    ("未按规定公示食品经营许可证", "食品安全样例管理办法", "三十五"),
    ("使用未经检定的计量器具", "计量样例管理办法", "十二"),
    ("未采取有效措施防治扬尘污染", "大气污染防治样例条例", "六十九"),
    ("未随车携带道路运输证件", "道路运输样例条例", "二十八"),
    ("擅自占用城市道路堆放物料", "市容和环境卫生样例条例", "四十四"),
    ("未按规定进行从业人员健康检查", "公共场所卫生样例管理办法", "二十一"),
    ("发布含有绝对化用语的广告", "广告样例管理办法", "九"),
    ("未如实登记旅客住宿信息", "旅馆业样例管理办法", "十六"),
];

/// Licences: title, kind, what is permitted.
const PERMITS: [(&str, &str, &str); 5] = [
    ("食品经营许可证", "普通", "从事预包装食品及散装食品销售"),
    ("道路运输经营许可证", "普通", "从事道路普通货物运输"),
    ("公共场所卫生许可证", "核准", "从事住宿场所经营活动"),
    ("城市建筑垃圾处置核准书", "核准", "处置建筑垃圾三百立方米"),
    ("医疗器械经营备案凭证", "登记", "从事第二类医疗器械零售"),
];
