//! Canaries: values that exist once in the world, planted in records.

use xinqiao_schemas::SubjectKind;
use xinqiao_schemas::synthetic::{Record, Table};

/// Something planted, by the part of it that no mask may show whole.
#[derive(Clone)]
pub(crate) struct Canary {
    pub(crate) part: String,
    /// What it stands for, for the message of a failure.
    pub(crate) what: String,
    /// May a government recipient read it?
    pub(crate) government: bool,
    /// May a public one?
    pub(crate) public: bool,
}

/// Makes canaries, each once.
#[derive(Default)]
pub(crate) struct Planter {
    next: usize,
    pub(crate) all: Vec<Canary>,
}

/// Characters that every table can hold and hardly any text has.
const RARE: [char; 24] = [
    '芷', '菡', '萏', '鸢', '鹭', '霁', '岚', '漪', '澜', '琇', '璎', '珞', '璟', '琬', '翊', '翎', '翡',
    '甯', '颢', '昀', '晔', '曦', '彧', '旻',
];

impl Planter {
    fn note(&mut self, part: &str, what: &str, government: bool, public: bool) {
        self.all.push(Canary { part: part.to_owned(), what: what.to_owned(), government, public });
    }

    fn number(&mut self) -> usize {
        self.next += 1;
        self.next
    }

    /// A name: a mask may show its first character.
    pub(crate) fn name(&mut self, what: &str, government: bool, public: bool) -> String {
        let n = self.number();
        let rest: String = [n / 576, n / 24, n].map(|digit| RARE[digit % 24]).iter().collect();
        self.note(&rest, what, government, public);
        format!("蘅{rest}")
    }

    /// A resident identity number with a good check digit: no mask shows day of birth, sequence and check digit.
    pub(crate) fn id(&mut self, what: &str, government: bool, public: bool) -> String {
        let n = self.number();
        let body = format!(
            "35029919{:02}{:02}{:02}{:03}",
            60 + n % 40,
            1 + n / 40 % 12,
            1 + n / 480 % 28,
            100 + n % 900
        );
        let weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
        let sum: u32 = body.bytes().zip(weights).map(|(b, w)| u32::from(b - b'0') * w).sum();
        let check = b"10X98765432"[(sum % 11) as usize];
        let number = format!("{body}{}", char::from(check));
        self.note(&number[8..], what, government, public);
        number
    }

    fn phone(&mut self, what: &str, government: bool, public: bool) -> String {
        let number = format!("199000{:05}", 70_000 + self.number());
        self.note(&number[3..], what, government, public);
        number
    }

    /// A bank card with a good Luhn digit.
    fn card(&mut self, what: &str, government: bool, public: bool) -> String {
        let body = format!("622848{:012}", 990_000_000_000u64 + self.number() as u64);
        let digits = body.bytes().rev().enumerate().map(|(place, b)| {
            let digit = u32::from(b - b'0') * if place % 2 == 0 { 2 } else { 1 };
            digit / 10 + digit % 10
        });
        let number = format!("{body}{}", (10 - digits.sum::<u32>() % 10) % 10);
        self.note(&number[6..], what, government, public);
        number
    }

    pub(crate) fn mail(&mut self, what: &str, government: bool, public: bool) -> String {
        let local = format!("kanari{:05}", self.number());
        self.note(&local[1..], what, government, public);
        format!("{local}@mail.example")
    }

    fn address(&mut self, what: &str, government: bool, public: bool) -> String {
        let street = self.name(what, government, public);
        format!("福建省厦门市样例区{street}路7号")
    }

    /// Plants in every field of a record. `sent`: will it be accepted?
    pub(crate) fn plant(&mut self, record: &mut Record, sent: bool) {
        let kind = record.subject;
        let table = record.table;
        let wrong = if sent { "" } else { ", sent wrongly" };
        let of = |what: &str| format!("{what} of {kind:?} in {table:?}{wrong}");
        let organisation = kind == SubjectKind::LegalPerson;
        let person_hidden = !organisation;
        let published = sent && kind != SubjectKind::NaturalPerson;
        let person = self.name(&of("person"), sent, sent && !person_hidden);
        let phone = self.phone(&of("telephone"), sent, false);
        let address = self.address(&of("address"), sent, sent && organisation);
        let id = self.id(&of("identity number"), sent, false);
        let name = match kind {
            SubjectKind::LegalPerson => {
                format!("厦门样例{}有限公司", self.name(&of("subject"), sent, published))
            }
            SubjectKind::IndividualBusiness => format!("厦门市样例区{person}餐饮店"),
            SubjectKind::NaturalPerson => person.clone(),
        };
        let text = |planter: &mut Self, what: &str| {
            let mentioned = planter.name(&of(&format!("a word in {what}")), sent, published);
            let (id, phone) = (planter.id(&of(what), sent, false), planter.phone(&of(what), sent, false));
            format!("{mentioned}身份证{id}电话{phone}")
        };
        let columns: Vec<&'static str> = record.fields.iter().map(|(code, _)| *code).collect();
        for column in columns {
            let what = format!("free text {column}");
            let value = match column {
                "DSRMC" | "CF_XDR_MC" | "XK_XDR_MC" | "XK_XDR" => name.clone(),
                "FDDBR" | "CF_FRDB" | "XK_FRDB" | "CF_FR" | "XK_FR" => person.clone(),
                "SFZH" | "CF_XDR_ZJHM" | "XK_XDR_ZJHM" | "CF_FR_ZJHM" | "XK_FR_ZJHM" | "CF_XDR_SFZ"
                | "XK_XDR_SFZ" => id.clone(),
                "LXDH" => phone.clone(),
                "LXDZ" => address.clone(),
                // Titles are short.
                "XKSXMC" | "XKZMC" | "XK_XKWS" | "XK_XKZS" | "XK_XMMC" | "CF_CFMC" | "AY" => {
                    text(self, &what)
                }
                "WFSS" | "CFYJ" | "CFNR" | "XKNR" | "CF_WFXW" | "CF_SY" | "CF_YJ" | "CF_NR" | "CF_JG"
                | "XK_NR" => {
                    let start = text(self, &what);
                    let (card, mail) =
                        (self.card(&of(&what), sent, false), self.mail(&of(&what), sent, false));
                    // What stands in a field that is hidden stays hidden inside text; an address without a field of its
                    // own cannot be known for one.
                    let home = if record.get("LXDZ").is_some() { address.as_str() } else { "" };
                    format!(
                        "{start}，卡号{card}，邮箱{mail}。当事人{person}，住{home}，电话{phone}，证件{id}。"
                    )
                }
                "CBR" => self.name(&of("officer in charge"), false, false),
                _ => continue,
            };
            record.set(column, value);
        }
        if matches!(record.table, Table::CityPenalty | Table::CityLicence) {
            record.set("CBR", self.name(&of("officer in charge"), false, false));
        }
        record.set("BZ", format!("备注{}", self.name(&of("remark"), sent, false)));
    }
}
