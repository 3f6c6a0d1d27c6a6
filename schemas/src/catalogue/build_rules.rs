//! From the roles and rules of a schema file to their compiled form.

use toml::Spanned;

use crate::catalogue::error::Problems;
use crate::catalogue::{CatalogueFile, raw};
use crate::date::Date;
use crate::finding::Severity;
use crate::model::SubjectKind;
use crate::number;
use crate::schema::{
    AudienceRule, Bound, Condition, Field, FieldType, Roles, Rule, RuleKind, StatusRule, SubjectKindRule,
    Test,
};

/// What a schema has beside its fields and key.
pub(super) struct Rest {
    pub(super) roles: Roles,
    pub(super) subject_kind: SubjectKindRule,
    pub(super) audience: Option<AudienceRule>,
    pub(super) status: Option<StatusRule>,
    pub(super) rules: Vec<Rule>,
}

pub(super) fn build(
    file: &CatalogueFile,
    raw: &raw::Schema,
    fields: &[Field],
    problems: &mut Problems,
) -> Option<Rest> {
    let mut builder = Builder { file, fields, problems };
    let roles = Roles {
        authority_code: builder.role(&raw.roles.authority_code, false),
        authority_name: builder.role(&raw.roles.authority_name, false),
        decision_date: builder.role(&raw.roles.decision_date, true),
        publication_end: builder.role(&raw.roles.publication_end, true),
    };
    let subject_kind = builder.subject_kind(&raw.subject_kind);
    let audience = raw.audience.as_ref().and_then(|rule| {
        let field = builder.find(&rule.field)?;
        builder.known_codes(&rule.field, field, rule.values.keys());
        let values = rule.values.iter().map(|(value, audience)| (boxed(value), *audience)).collect();
        Some(AudienceRule { field, values, blank: rule.blank })
    });
    let status = raw.standing.as_ref().and_then(|rule| {
        let field = builder.find(&rule.field)?;
        builder.known_codes(&rule.field, field, rule.revoked.iter());
        Some(StatusRule { field, revoked: rule.revoked.iter().map(boxed).collect() })
    });
    let rules = raw.rules.iter().filter_map(|rule| builder.rule(rule)).collect();
    Some(Rest { roles, subject_kind: subject_kind?, audience, status, rules })
}

fn boxed(text: impl AsRef<str>) -> Box<str> {
    Box::from(text.as_ref())
}

struct Builder<'b> {
    file: &'b CatalogueFile,
    fields: &'b [Field],
    problems: &'b mut Problems,
}

impl Builder<'_> {
    fn role(&mut self, name: &Option<Spanned<String>>, date: bool) -> Option<u16> {
        let name = name.as_ref()?;
        let field = self.find(name)?;
        if date {
            self.must_be_date(name, field);
        }
        Some(field)
    }

    fn must_be_date(&mut self, name: &Spanned<String>, field: u16) {
        if self.fields[usize::from(field)].kind != FieldType::Date {
            self.report(
                name.span().start,
                "catalogue.not-a-date",
                format!("{} must be a field of type date", name.get_ref()),
                format!("{} 应为日期类型字段", name.get_ref()),
            );
        }
    }

    fn subject_kind(&mut self, spanned: &Spanned<raw::SubjectKindRule>) -> Option<SubjectKindRule> {
        let rule = spanned.get_ref();
        match (&rule.always, &rule.field, &rule.values, &rule.organisation_when_any) {
            (Some(kind), None, None, None) if rule.individual_business_when.is_none() => {
                Some(SubjectKindRule::Always(*kind))
            }
            (None, Some(name), Some(values), None) if rule.individual_business_when.is_none() => {
                let field = self.find(name)?;
                self.known_codes(name, field, values.keys());
                let values = values.iter().map(|(value, kind)| (boxed(value), *kind)).collect();
                Some(SubjectKindRule::Field { field, values })
            }
            (None, None, None, Some(any)) => {
                let when_any: Vec<u16> = any.iter().filter_map(|name| self.find(name)).collect();
                let individual_business = match &rule.individual_business_when {
                    Some(when) => Some((self.find(&when.field)?, when.prefixes.iter().map(boxed).collect())),
                    None => None,
                };
                Some(SubjectKindRule::Organisation { when_any, individual_business })
            }
            _ => {
                self.report(
                    spanned.span().start,
                    "catalogue.subject-kind",
                    "[subject-kind] has exactly one of: `always`; `field` with `values`; `organisation-when-any`",
                    "[subject-kind] 应为以下之一：always；field 与 values；organisation-when-any",
                );
                None
            }
        }
    }

    fn rule(&mut self, spanned: &Spanned<raw::Rule>) -> Option<Rule> {
        use raw::RuleName as Name;
        let at = spanned.span().start;
        let raw = spanned.get_ref();
        let fields: Vec<u16> = raw.fields.iter().filter_map(|name| self.find(name)).collect();
        let when = self.condition(raw.when.as_ref(), at)?;
        let allowed: &[&str] = match raw.rule {
            Name::NotBefore => &["than"],
            Name::PlausibleRange => &["min", "max"],
            Name::StartsWith => &["prefixes"],
            Name::DoubtfulValue => &["values"],
            _ => &[],
        };
        let given = [
            ("than", raw.than.is_some()),
            ("min", raw.min.is_some()),
            ("max", raw.max.is_some()),
            ("prefixes", raw.prefixes.is_some()),
            ("values", raw.values.is_some()),
        ];
        let wrong = given.iter().find(|(key, given)| *given && !allowed.contains(key));
        let missing = match raw.rule {
            Name::PlausibleRange => (raw.min.is_none() && raw.max.is_none()).then_some("min / max"),
            _ => allowed.iter().find(|key| given.iter().any(|(name, given)| name == *key && !given)).copied(),
        };
        let missing = missing.or_else(|| raw.fields.is_empty().then_some("fields"));
        let unconditional = matches!(raw.rule, Name::RequiredWhen | Name::BlankWhen) && raw.when.is_none();
        if let Some(key) = wrong.map(|(key, _)| *key).or(missing).or_else(|| unconditional.then_some("when"))
        {
            self.report(
                at,
                "catalogue.rule-key",
                format!("this rule lacks `{key}`, or does not take it; see the examples in docs/catalogue-format.md"),
                format!("该规则缺少或不使用 {key}，参见 docs/catalogue-format.md 中的示例"),
            );
            return None;
        }
        let kind = match raw.rule {
            Name::RequiredWhen => RuleKind::RequiredWhen,
            Name::BlankWhen => RuleKind::BlankWhen,
            Name::AtLeastOneOf => {
                let named = fields.iter().map(|field| {
                    let field = &self.fields[usize::from(*field)];
                    format!("{} {}", field.code, field.title)
                });
                RuleKind::AtLeastOneOf { listed: named.collect::<Vec<_>>().join(" | ") }
            }
            Name::NotBefore => {
                let than = raw.than.as_ref()?;
                let number = self.find(than)?;
                self.must_be_date(than, number);
                self.fields_are_dates(&raw.fields);
                RuleKind::NotBefore { than: number }
            }
            Name::NotAfterReceipt => {
                self.fields_are_dates(&raw.fields);
                RuleKind::NotAfterReceipt
            }
            Name::PlausibleRange => {
                let dates =
                    fields.iter().all(|field| self.fields[usize::from(*field)].kind == FieldType::Date);
                RuleKind::PlausibleRange {
                    min: self.bound(&raw.min, dates),
                    max: self.bound(&raw.max, dates),
                }
            }
            Name::StartsWith => {
                RuleKind::StartsWith { prefixes: raw.prefixes.iter().flatten().map(boxed).collect() }
            }
            Name::DoubtfulValue => {
                RuleKind::DoubtfulValue { values: raw.values.iter().flatten().map(boxed).collect() }
            }
        };
        let severity = raw.severity.map_or(Severity::Refuse, Severity::from);
        Some(Rule { kind, fields, when, severity })
    }

    fn fields_are_dates(&mut self, names: &[Spanned<String>]) {
        for name in names {
            if let Some(field) = self.position(name.get_ref()) {
                self.must_be_date(name, field);
            }
        }
    }

    fn bound(&mut self, text: &Option<Spanned<String>>, date: bool) -> Option<Bound> {
        let text = text.as_ref()?;
        let value = text.get_ref();
        if date && let Ok((day, _)) = Date::parse_accepted(value) {
            let mut slash = Vec::new();
            day.write_slash(&mut slash);
            return Some(Bound::Date(String::from_utf8(slash).expect("digits and slashes")));
        }
        if !date && number::compare(value, "0").is_ok() {
            return Some(Bound::Number(value.clone()));
        }
        self.report(
            text.span().start,
            "catalogue.bound",
            "the bound must be a decimal number, or for dates a date such as 2000/01/01",
            "界限应为十进制数；日期字段应为日期，如 2000/01/01",
        );
        None
    }

    fn condition(&mut self, raw: Option<&raw::Condition>, at: usize) -> Option<Condition> {
        let Some(raw) = raw else { return Some(Condition::default()) };
        let (mut en, mut zh) = (Vec::new(), Vec::new());
        let subject_kinds = raw.subject_kind.as_ref().map(|kinds| {
            let words: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
            let chinese: Vec<&str> = kinds.iter().map(|kind| kind.zh()).collect();
            en.push(format!("for {}", words.join(" or ")));
            zh.push(format!("行政相对人为{}时", chinese.join("或")));
            SubjectKind::ALL.map(|kind| kinds.contains(&kind))
        });
        let test = match (&raw.is, &raw.contains, raw.filled) {
            (Some(values), None, None) => {
                Some((Test::Is(values.iter().map(boxed).collect()), values.join(" / ")))
            }
            (None, Some(parts), None) => {
                Some((Test::Contains(parts.iter().map(boxed).collect()), parts.join(" / ")))
            }
            (None, None, Some(filled)) => Some((Test::Filled(filled), String::new())),
            _ => None,
        };
        let field = match (&raw.field, test) {
            (None, None) if raw.is.is_none() && raw.contains.is_none() => None,
            (Some(name), Some((test, listed))) => {
                let field = self.find(name)?;
                let code = name.get_ref();
                let title = &self.fields[usize::from(field)].title;
                let (e, z) = match &test {
                    Test::Is(_) => (format!("when {code} is {listed}"), format!("{title}为 {listed} 时")),
                    Test::Contains(_) => {
                        (format!("when {code} contains {listed}"), format!("{title}含 {listed} 时"))
                    }
                    Test::Filled(true) => (format!("when {code} is filled"), format!("{title}已填写时")),
                    Test::Filled(false) => (format!("when {code} is blank"), format!("{title}为空时")),
                };
                en.push(e);
                zh.push(z);
                Some((field, test))
            }
            _ => {
                self.report(
                    at,
                    "catalogue.condition",
                    "`when` takes `subject-kind`, and `field` with exactly one of `is`, `contains`, `filled`",
                    "when 可用 subject-kind，以及 field 配合 is、contains、filled 之一",
                );
                return None;
            }
        };
        Some(Condition { subject_kinds, field, en: en.join(" "), zh: zh.join("且") })
    }

    /// Values of a code field that its set does not have would never match: an error, not a silent gap.
    fn known_codes<'v>(
        &mut self,
        name: &Spanned<String>,
        field: u16,
        values: impl Iterator<Item = &'v String>,
    ) {
        let FieldType::Code { set, .. } = &self.fields[usize::from(field)].kind else { return };
        for value in values.filter(|value| !set.values.iter().any(|known| *known.code == ***value)) {
            self.problems.push(
                self.file,
                Some(name.span().start),
                "catalogue.code-unknown",
                format!("\"{value}\" is not in the code set {} of {}", set.id, name.get_ref()),
                format!("\"{value}\" 不在 {} 的代码集 {} 中", name.get_ref(), set.id),
            );
        }
    }

    fn position(&self, code: &str) -> Option<u16> {
        let place = self.fields.iter().position(|field| *field.code == *code)?;
        Some(u16::try_from(place).expect("the loader caps the number of fields"))
    }

    fn find(&mut self, name: &Spanned<String>) -> Option<u16> {
        let place = self.position(name.get_ref());
        if place.is_none() {
            self.problems.field_unknown(self.file, name);
        }
        place
    }

    fn report(&mut self, at: usize, code: &'static str, en: impl Into<String>, zh: impl Into<String>) {
        self.problems.push(self.file, Some(at), code, en, zh);
    }
}
