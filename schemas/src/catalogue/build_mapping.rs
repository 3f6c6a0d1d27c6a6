//! From a mapping file to a mapping. A field that nobody named is an error: nothing is forgotten in silence.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use toml::Spanned;
use xinqiao_crypto::sha256;

use crate::catalogue::error::Problems;
use crate::catalogue::{Catalogue, CatalogueFile, raw};
use crate::mapping::{ContextItem, Mapping, Source, Table, Target, Unmapped};
use crate::model::SubjectKind;
use crate::schema::{FieldType, Schema};

pub(super) fn mapping(
    name: &str,
    file: &CatalogueFile,
    catalogue: &Catalogue,
    problems: &mut Problems,
) -> Option<Mapping> {
    let before = problems.count();
    let raw: raw::Mapping = problems.parse(file)?;
    problems.named(file, name, &raw.id);
    let mut find = |id: &Spanned<String>| {
        let schema = catalogue.schema(id.get_ref()).cloned();
        if schema.is_none() {
            problems.push(
                file,
                Some(id.span().start),
                "catalogue.schema-unknown",
                format!(
                    "there is no sound schema {0}; add or repair schemas/{0}.toml, or correct the name",
                    id.get_ref()
                ),
                format!("没有可用的模式 {0}，请添加或修复 schemas/{0}.toml，或更正名称", id.get_ref()),
            );
        }
        schema
    };
    let (from, to) = (find(&raw.from), find(&raw.to));
    let (from, to) = (from?, to?);
    if from.dataset != to.dataset || from.id == to.id {
        problems.push(
            file,
            Some(raw.to.span().start),
            "catalogue.mapping-ends",
            "a mapping leads between two different schemas of one dataset",
            "映射应连接同一数据集的两个不同模式",
        );
    }
    let mut builder = Builder { file, from: &from, raw: &raw, problems, used: BTreeSet::new() };
    let targets = builder.targets(&to);
    let dropped = builder.dropped();
    if problems.count() > before {
        return None;
    }
    let document = file.text.clone().into_bytes();
    Some(Mapping {
        id: Arc::from(raw.id.get_ref().as_str()),
        title: raw.title.into(),
        targets,
        dropped,
        from,
        to,
        digest: sha256(&document),
        document,
    })
}

struct Builder<'b> {
    file: &'b CatalogueFile,
    from: &'b Schema,
    raw: &'b raw::Mapping,
    problems: &'b mut Problems,
    /// Source fields that some target reads.
    used: BTreeSet<u16>,
}

impl Builder<'_> {
    fn targets(&mut self, to: &Schema) -> Vec<Target> {
        for (name, target) in &self.raw.target {
            if !to.fields.iter().any(|field| *field.code == **name) {
                self.report(
                    Some(target.span().start),
                    "catalogue.target-unknown",
                    format!("{} has no field {name}; remove the entry or correct the code", to.id),
                    format!("{} 没有字段 {name}，请删除或更正代码", to.id),
                );
            }
        }
        let mut targets = Vec::new();
        for field in &to.fields {
            match self.raw.target.get(&*field.code) {
                Some(target) => targets.extend(self.target(&field.code, target)),
                None => self.report(
                    Some(self.raw.to.span().start),
                    "catalogue.target-forgotten",
                    format!("nothing says how {} of {} comes about; add it under [target], with `empty` if it stays blank", field.code, to.id),
                    format!("未说明 {1} 的字段 {0} 如何产生；请在 [target] 中添加，保持为空时写 empty", field.code, to.id),
                ),
            }
        }
        targets
    }

    fn target(&mut self, code: &str, spanned: &Spanned<raw::Target>) -> Option<Target> {
        let at = spanned.span().start;
        let raw = spanned.get_ref();
        let ways = [
            raw.copy.is_some(),
            raw.first_of.is_some(),
            raw.concat.is_some(),
            raw.constant.is_some(),
            raw.by_subject_kind.is_some(),
            raw.context.is_some(),
            raw.empty.is_some(),
        ];
        let reads = raw.copy.is_some() || raw.first_of.is_some() || raw.concat.is_some();
        let odd = (raw.separator.is_some() != raw.concat.is_some())
            || (!reads && (raw.table.is_some() || raw.shift_point.is_some()))
            || (raw.unmapped_value.is_some() && raw.table.is_none())
            || (raw.empty.is_some() && (raw.default.is_some() || raw.when.is_some()));
        if ways.iter().filter(|way| **way).count() != 1 || odd {
            self.report(
                Some(at),
                "catalogue.target-shape",
                format!("{code}: say exactly one of copy, first-of, concat (with separator), const, by-subject-kind, context, empty; table and shift-point need a source field"),
                format!("{code}：copy、first-of、concat（配 separator）、const、by-subject-kind、context、empty 应恰有其一；table 和 shift-point 需要来源字段"),
            );
            return None;
        }
        let source = self.source(at, raw)?;
        let table = match &raw.table {
            Some(name) => Some(self.table(at, name, raw, &source)?),
            None => None,
        };
        Some(Target {
            source,
            when: raw.when.as_ref().map(|kinds| SubjectKind::ALL.map(|kind| kinds.contains(&kind))),
            table,
            shift_point: raw.shift_point,
            default: raw.default.clone().map(String::into_boxed_str),
        })
    }

    fn source(&mut self, at: usize, raw: &raw::Target) -> Option<Source> {
        if let Some(code) = &raw.copy {
            return self.find(at, code).map(Source::Copy);
        }
        if let Some(codes) = raw.first_of.as_ref().or(raw.concat.as_ref()) {
            let fields: Vec<u16> = codes.iter().filter_map(|code| self.find(at, code)).collect();
            return Some(match &raw.separator {
                Some(separator) => Source::Concat { fields, separator: separator.clone().into_boxed_str() },
                None => Source::FirstOf(fields),
            });
        }
        if let Some(values) = &raw.by_subject_kind {
            return Some(Source::BySubjectKind(
                SubjectKind::ALL.map(|kind| values.get(&kind).map(|value| value.clone().into_boxed_str())),
            ));
        }
        if let Some(context) = raw.context {
            return Some(Source::Context(match context {
                raw::Context::AuthorityCode => ContextItem::AuthorityCode,
                raw::Context::AuthorityName => ContextItem::AuthorityName,
                raw::Context::UnitCode => ContextItem::UnitCode,
                raw::Context::UnitName => ContextItem::UnitName,
            }));
        }
        Some(match &raw.constant {
            Some(value) => Source::Const(value.clone().into_boxed_str()),
            None => Source::Empty,
        })
    }

    fn table(&mut self, at: usize, name: &str, raw: &raw::Target, source: &Source) -> Option<Table> {
        let Some(values) = self.raw.tables.get(name) else {
            self.report(
                Some(at),
                "catalogue.table-unknown",
                format!("there is no table {name}; add [tables.{name}]"),
                format!("没有对照表 {name}，请添加 [tables.{name}]"),
            );
            return None;
        };
        let values: HashMap<Box<str>, Box<str>> =
            values.iter().map(|(key, value)| (Box::from(key.as_str()), Box::from(value.as_str()))).collect();
        let mut split = None;
        for field in source.fields() {
            if let FieldType::Code { set, separator, .. } = &self.from.fields[usize::from(*field)].kind {
                split = split.or_else(|| separator.clone());
                for key in values.keys().filter(|key| !set.values.iter().any(|known| known.code == **key)) {
                    self.report(
                        Some(at),
                        "catalogue.table-key",
                        format!("table {name}: \"{key}\" is not in the code set {} of the source; it would never be used", set.id),
                        format!("对照表 {name}：\"{key}\" 不在来源代码集 {} 中，永远不会用到", set.id),
                    );
                }
            }
        }
        let unmapped = match raw.unmapped_value {
            Some(raw::UnmappedValue::Keep) => Unmapped::Keep,
            Some(raw::UnmappedValue::Empty) => Unmapped::Empty,
            Some(raw::UnmappedValue::Quarantine) | None => Unmapped::Quarantine,
        };
        Some(Table { name: name.to_owned(), values, unmapped, split })
    }

    fn dropped(&mut self) -> Vec<(u16, String)> {
        let mut dropped = Vec::new();
        for (code, why) in &self.raw.dropped {
            let at = why.span().start;
            let used = std::mem::take(&mut self.used);
            let found = self.find(at, code);
            self.used = used;
            let Some(field) = found else { continue };
            if self.used.contains(&field) || why.get_ref().trim().is_empty() {
                self.report(
                    Some(at),
                    "catalogue.dropped",
                    format!("{code}: a field under [dropped] needs a reason, and no target may read it"),
                    format!("{code}：[dropped] 中的字段须写明原因，且不得被目标字段使用"),
                );
            }
            dropped.push((field, why.get_ref().clone()));
        }
        for (number, field) in self.from.fields.iter().enumerate() {
            let number = u16::try_from(number).expect("the loader caps the number of fields");
            if !self.used.contains(&number) && !dropped.iter().any(|(field, _)| *field == number) {
                self.report(
                    Some(self.raw.from.span().start),
                    "catalogue.source-forgotten",
                    format!(
                        "no target reads {} of {}; use it, or name it under [dropped] with the reason",
                        field.code, self.from.id
                    ),
                    format!(
                        "没有目标字段使用 {1} 的 {0}；请使用它，或在 [dropped] 中写明原因",
                        field.code, self.from.id
                    ),
                );
            }
        }
        dropped
    }

    /// The number of a source field, which counts as used from now on.
    fn find(&mut self, at: usize, code: &str) -> Option<u16> {
        let place = self.from.fields.iter().position(|field| *field.code == *code);
        let Some(place) = place else {
            self.report(
                Some(at),
                "catalogue.source-unknown",
                format!("{} has no field {code}; correct the code", self.from.id),
                format!("{} 没有字段 {code}，请更正代码", self.from.id),
            );
            return None;
        };
        let number = u16::try_from(place).expect("the loader caps the number of fields");
        self.used.insert(number);
        Some(number)
    }

    fn report(
        &mut self,
        at: Option<usize>,
        code: &'static str,
        en: impl Into<String>,
        zh: impl Into<String>,
    ) {
        self.problems.push(self.file, at, code, en, zh);
    }
}
