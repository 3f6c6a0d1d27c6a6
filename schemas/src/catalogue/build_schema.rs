//! From a schema file to its fields and key; `build_rules` does the rest.

use std::collections::BTreeMap;
use std::sync::Arc;

use toml::Spanned;
use xinqiao_crypto::sha256;

use crate::catalogue::error::Problems;
use crate::catalogue::{Catalogue, CatalogueFile, Dataset, build_rules, raw};
use crate::identifier::Form;
use crate::record::Member;
use crate::schema::names::NameIndex;
use crate::schema::{Clean, CodePage, CodeSet, Field, FieldType, KeyPart, Limits, Schema, SubjectFields};
use crate::text::Unit;

/// Fields of one schema at most: slot numbers are 16 bits, and no credit table comes near.
const MOST_FIELDS: usize = 1000;

/// Aliases of one field at most, so that all names can be numbered in 16 bits.
const MOST_ALIASES: usize = 32;

pub(super) fn schema(
    name: &str,
    file: &CatalogueFile,
    catalogue: &Catalogue,
    code_documents: &BTreeMap<String, &str>,
    problems: &mut Problems,
) -> Option<Schema> {
    let before = problems.count();
    let raw: raw::Schema = problems.parse(file)?;
    problems.named(file, name, &raw.id);
    let at_id = Some(raw.id.span().start);
    if raw.fields.is_empty() || raw.fields.len() > MOST_FIELDS {
        let (en, zh) = ("a schema has 1 to 1000 fields", "模式应有 1 至 1000 个字段");
        problems.push(file, at_id, "catalogue.field-count", en, zh);
        return None;
    }
    if !raw.id.get_ref().ends_with(&format!("-{}", raw.generation)) && !raw.generation.is_empty() {
        // A city's own table may go without a generation in its id; a generation that contradicts the id may not.
        let digits =
            |text: &str| text.rsplit('-').next().is_some_and(|end| end.bytes().all(|b| b.is_ascii_digit()));
        if digits(raw.id.get_ref()) {
            problems.push(
                file,
                at_id,
                "catalogue.generation",
                format!("the id ends otherwise than the generation \"{}\"; make them equal", raw.generation),
                format!("标识结尾与版本 \"{}\" 不一致，请统一", raw.generation),
            );
        }
    }
    let Some(dataset) = catalogue.dataset(raw.dataset.get_ref()) else {
        problems.push(
            file,
            Some(raw.dataset.span().start),
            "catalogue.dataset-unknown",
            format!(
                "there is no dataset {0}; add datasets/{0}.toml or correct the name",
                raw.dataset.get_ref()
            ),
            format!("没有数据集 {0}，请添加 datasets/{0}.toml 或更正名称", raw.dataset.get_ref()),
        );
        return None;
    };
    let mut builder = Builder { file, catalogue, raw: &raw, problems, sets: Vec::new() };
    builder.names_are_distinct();
    let fields: Vec<Field> = raw.fields.iter().map(|field| builder.field(field)).collect();
    let key = builder.key(dataset);
    let sets = std::mem::take(&mut builder.sets);
    let rest = build_rules::build(file, &raw, &fields, problems);
    if problems.count() > before {
        return None;
    }
    let rest = rest?;
    let mut document = file.text.clone().into_bytes();
    for set in sets {
        document.extend_from_slice(format!("# codes/{set}.toml\n").as_bytes());
        document.extend_from_slice(code_documents.get(&*set).copied().unwrap_or_default().as_bytes());
    }
    let number = |at: usize| u16::try_from(at).expect("capped above");
    let names = fields.iter().enumerate().flat_map(|(at, field)| {
        let names = [field.code.to_string(), field.title.clone()];
        names.into_iter().chain(field.aliases.clone()).map(move |name| (name, number(at)))
    });
    let names = NameIndex::new(names.chain(Schema::member_names(fields.len())).collect::<Vec<_>>());
    Some(Schema {
        id: Arc::from(raw.id.get_ref().as_str()),
        dataset: Arc::clone(&dataset.id),
        default_audience: dataset.audience,
        names,
        key,
        roles: rest.roles,
        subject_kind: rest.subject_kind,
        subject: SubjectFields::of(&fields),
        audience: rest.audience,
        status: rest.status,
        rules: rest.rules,
        digest: sha256(&document),
        document,
        fields,
        generation: raw.generation,
        title: raw.title.into(),
    })
}

struct Builder<'b> {
    file: &'b CatalogueFile,
    catalogue: &'b Catalogue,
    raw: &'b raw::Schema,
    problems: &'b mut Problems,
    /// Code sets in use, by id.
    sets: Vec<Arc<str>>,
}

impl Builder<'_> {
    fn names_are_distinct(&mut self) {
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        for (number, field) in self.raw.fields.iter().enumerate() {
            let inner = field.get_ref();
            if inner.aliases.len() > MOST_ALIASES {
                let (en, zh) = (
                    format!("{}: at most 32 aliases", inner.code),
                    format!("{}：别名最多 32 个", inner.code),
                );
                self.problems.push(self.file, Some(field.span().start), "catalogue.aliases", en, zh);
            }
            let names = [&inner.code, &inner.title].into_iter().chain(&inner.aliases);
            for name in names {
                let reserved = Member::ALL.iter().any(|member| member.name() == name);
                let taken = seen.insert(name, number).is_some_and(|other| other != number);
                if reserved || taken || name.trim() != name || name.is_empty() {
                    self.problems.push(
                        self.file,
                        Some(field.span().start),
                        "catalogue.field-name",
                        format!("the name \"{name}\" is reserved, taken by another field, blank or padded; choose another"),
                        format!("名称 \"{name}\" 是保留名、已被其他字段使用、为空或带空白，请更换"),
                    );
                }
            }
        }
    }

    fn field(&mut self, spanned: &Spanned<raw::Field>) -> Field {
        let raw = spanned.get_ref();
        let kind = self.kind(spanned);
        let steps = raw.clean.as_ref().unwrap_or(&self.raw.clean);
        let has = |step: raw::CleanStep| steps.contains(&step);
        let folds = matches!(kind, FieldType::Code { .. } | FieldType::Number { .. } | FieldType::Date);
        let normal = matches!(kind, FieldType::Identifier { .. } | FieldType::Certificate { .. });
        if (has(raw::CleanStep::FoldWidth) && !folds) || (has(raw::CleanStep::NormalForm) && !normal) {
            self.report(
                spanned.span().start,
                "catalogue.clean",
                format!("{}: fold-width is for code, number and date, normal-form for identifiers and certificates; text travels as sent", raw.code),
                format!("{}：fold-width 仅用于代码、数字和日期，normal-form 仅用于标识和证件，文本应原样传输", raw.code),
            );
        }
        Field {
            code: Arc::from(raw.code.as_str()),
            title: raw.title.clone(),
            title_en: raw.title_en.clone(),
            aliases: raw.aliases.clone(),
            kind,
            class: Arc::from(raw.class.as_str()),
            required: raw.required,
            secret: raw.secret,
            clean: Clean {
                trim: has(raw::CleanStep::Trim),
                null_word: has(raw::CleanStep::NullWord),
                fold_width: has(raw::CleanStep::FoldWidth),
                normal_form: has(raw::CleanStep::NormalForm),
            },
            note: raw.note.clone(),
        }
    }

    fn kind(&mut self, spanned: &Spanned<raw::Field>) -> FieldType {
        let raw = spanned.get_ref();
        let name = raw.kind.get_ref().as_str();
        let allowed: &[&str] = match name {
            "text" => &["max", "unit", "repertoire"],
            "number" => &["precision", "scale"],
            "date" => &[],
            "code" => &["set", "separator", "max", "unit"],
            "certificate" => &["kind-field", "forms", "max", "unit"],
            _ => &["placeholders"],
        };
        let given = [
            ("max", raw.max.is_some()),
            ("unit", raw.unit.is_some()),
            ("repertoire", raw.repertoire.is_some()),
            ("precision", raw.precision.is_some()),
            ("scale", raw.scale.is_some()),
            ("set", raw.set.is_some()),
            ("separator", raw.separator.is_some()),
            ("placeholders", raw.placeholders.is_some()),
            ("kind-field", raw.kind_field.is_some()),
            ("forms", raw.forms.is_some()),
        ];
        for (key, _) in given.iter().filter(|(key, given)| *given && !allowed.contains(key)) {
            self.report(
                spanned.span().start,
                "catalogue.field-key",
                format!("{}: `{key}` means nothing for type {name}; remove it", raw.code),
                format!("{}：类型 {name} 不使用 {key}，请删除", raw.code),
            );
        }
        match name {
            "text" => FieldType::Text(self.limits(spanned, true).unwrap_or(SOME_LIMITS)),
            "number" => match (raw.precision, raw.scale) {
                (Some(precision), Some(scale)) if (1..=38).contains(&precision) && scale <= precision => {
                    FieldType::Number { precision, scale }
                }
                _ => {
                    self.report(
                        spanned.span().start,
                        "catalogue.number",
                        format!(
                            "{}: a number needs `precision` (1 to 38) and `scale` (not above it)",
                            raw.code
                        ),
                        format!("{}：数字需给出 precision（1 至 38）和不大于它的 scale", raw.code),
                    );
                    FieldType::Number { precision: 18, scale: 6 }
                }
            },
            "date" => FieldType::Date,
            "code" => self.code(spanned),
            "certificate" => self.certificate(spanned),
            _ => match Form::by_name(name) {
                Some(form) => {
                    let placeholders = raw.placeholders.iter().flatten();
                    let placeholders = placeholders.map(|value| value.clone().into_boxed_str()).collect();
                    FieldType::Identifier { form, placeholders }
                }
                None => {
                    self.report(
                        raw.kind.span().start,
                        "catalogue.type-unknown",
                        format!(
                            "{}: there is no type \"{name}\"; see the table in docs/catalogue-format.md",
                            raw.code
                        ),
                        format!("{}：没有类型 \"{name}\"，参见 docs/catalogue-format.md", raw.code),
                    );
                    FieldType::Date
                }
            },
        }
    }

    fn code(&mut self, spanned: &Spanned<raw::Field>) -> FieldType {
        let raw = spanned.get_ref();
        let id = raw.set.as_ref().map(|set| set.get_ref().as_str()).unwrap_or_default();
        let set = self.catalogue.code_set(id).cloned().unwrap_or_else(|| {
            let at = raw.set.as_ref().map_or(spanned.span().start, |set| set.span().start);
            self.report(
                at,
                "catalogue.code-set-unknown",
                format!("{}: there is no code set \"{id}\"; add codes/{id}.toml or correct `set`", raw.code),
                format!("{}：没有代码集 \"{id}\"，请添加 codes/{id}.toml 或更正 set", raw.code),
            );
            Arc::new(CodeSet {
                id: Arc::from(id),
                title: crate::schema::Title { en: String::new(), zh: String::new() },
                values: Vec::new(),
            })
        });
        if let Err(place) = self.sets.binary_search(&set.id) {
            self.sets.insert(place, Arc::clone(&set.id));
        }
        if raw.separator.as_deref() == Some("") {
            let code = &raw.code;
            let (en, zh) = (format!("{code}: `separator` is empty"), format!("{code}：separator 不能为空"));
            self.report(spanned.span().start, "catalogue.separator", en, zh);
        }
        let separator = raw.separator.clone().map(String::into_boxed_str);
        FieldType::Code { set, separator, limits: self.limits(spanned, false) }
    }

    fn certificate(&mut self, spanned: &Spanned<raw::Field>) -> FieldType {
        let raw = spanned.get_ref();
        let limits = self.limits(spanned, true).unwrap_or(SOME_LIMITS);
        let mut forms = Vec::new();
        for (kind, form) in raw.forms.iter().flatten() {
            match Form::by_name(form.get_ref()) {
                Some(form) => forms.push((kind.clone().into_boxed_str(), form)),
                None => self.report(
                    form.span().start,
                    "catalogue.type-unknown",
                    format!("{}: there is no identifier \"{}\"", raw.code, form.get_ref()),
                    format!("{}：没有标识类型 \"{}\"", raw.code, form.get_ref()),
                ),
            }
        }
        let kind_field = match &raw.kind_field {
            Some(name) => self.find(name),
            None => {
                self.report(
                    spanned.span().start,
                    "catalogue.kind-field",
                    format!("{}: a certificate needs `kind-field`, the field that names its kind", raw.code),
                    format!("{}：certificate 需要 kind-field 指明证件类型字段", raw.code),
                );
                None
            }
        };
        FieldType::Certificate { kind_field: kind_field.unwrap_or_default(), forms, limits }
    }

    fn limits(&mut self, spanned: &Spanned<raw::Field>, needed: bool) -> Option<Limits> {
        let raw = spanned.get_ref();
        let unit = match &raw.unit {
            None => Unit::Characters,
            Some(unit) => Unit::by_name(unit.get_ref()).unwrap_or_else(|| {
                self.report(
                    unit.span().start,
                    "catalogue.unit-unknown",
                    format!("{}: the unit is characters, utf8-bytes, gbk-bytes or gb18030-bytes", raw.code),
                    format!("{}：单位应为 characters、utf8-bytes、gbk-bytes 或 gb18030-bytes", raw.code),
                );
                Unit::Characters
            }),
        };
        match raw.max {
            Some(max) if max > 0 => {
                let repertoire = match raw.repertoire {
                    Some(raw::CodePage::Gbk) => CodePage::Gbk,
                    Some(raw::CodePage::Any) | None => CodePage::Any,
                };
                Some(Limits { max, unit, repertoire })
            }
            None if !needed => None,
            _ => {
                self.report(
                    spanned.span().start,
                    "catalogue.max",
                    format!("{}: `max` is needed and at least 1", raw.code),
                    format!("{}：需要 max，且至少为 1", raw.code),
                );
                None
            }
        }
    }

    fn key(&mut self, dataset: &Dataset) -> Vec<KeyPart> {
        let bound = self.raw.key.get_ref();
        let at = self.raw.key.span().start;
        for name in bound.keys().filter(|name| !dataset.key.iter().any(|key| **key == ***name)) {
            self.report(
                at,
                "catalogue.key-unknown",
                format!("dataset {} has no key \"{name}\"; remove it or add it there", dataset.id),
                format!("数据集 {} 没有主键 \"{name}\"，请删除或在数据集中添加", dataset.id),
            );
        }
        let mut key = Vec::new();
        for name in &dataset.key {
            let fields: Vec<u16> =
                bound.get(&**name).into_iter().flatten().filter_map(|f| self.find(f)).collect();
            if fields.is_empty() {
                self.report(
                    at,
                    "catalogue.key-missing",
                    format!(
                        "key \"{name}\" of dataset {} is bound to no field; name at least one",
                        dataset.id
                    ),
                    format!("数据集 {} 的主键 \"{name}\" 未绑定字段，请至少指定一个", dataset.id),
                );
            }
            key.push(KeyPart { name: Arc::clone(name), fields });
        }
        key
    }

    fn find(&mut self, name: &Spanned<String>) -> Option<u16> {
        let place = self.raw.fields.iter().position(|field| field.get_ref().code == *name.get_ref());
        if place.is_none() {
            self.problems.field_unknown(self.file, name);
        }
        place.map(|place| u16::try_from(place).expect("capped before"))
    }

    fn report(&mut self, at: usize, code: &'static str, en: impl Into<String>, zh: impl Into<String>) {
        self.problems.push(self.file, Some(at), code, en, zh);
    }
}

/// Stands in where an error was reported, so that the rest can be checked too.
const SOME_LIMITS: Limits = Limits { max: 1, unit: Unit::Characters, repertoire: CodePage::Any };
