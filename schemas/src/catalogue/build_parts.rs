//! From dataset and code set files to their compiled form.

use std::sync::Arc;

use toml::Spanned;

use crate::catalogue::error::Problems;
use crate::catalogue::{CatalogueFile, Dataset, Retention, raw};
use crate::schema::{CodeSet, CodeValue, Suffix};

pub(super) fn dataset(name: &str, file: &CatalogueFile, problems: &mut Problems) -> Option<Dataset> {
    let before = problems.count();
    let raw: raw::Dataset = problems.parse(file)?;
    problems.named(file, name, &raw.id);
    let keys = raw.key.get_ref();
    if keys.is_empty() || keys.iter().enumerate().any(|(at, key)| key.is_empty() || keys[..at].contains(key))
    {
        problems.push(
            file,
            Some(raw.key.span().start),
            "catalogue.dataset-key",
            "`key` must list one or more different logical names",
            "key 应列出一个或多个互不相同的逻辑名称",
        );
    }
    let retention = raw.retention.get_ref();
    let history = retention.history_maximum_days.unwrap_or(retention.maximum_days);
    if retention.maximum_days == 0 || retention.acknowledged_days > retention.maximum_days.min(history) {
        problems.push(
            file,
            Some(raw.retention.span().start),
            "catalogue.retention",
            "retention must be at least a day, and acknowledged-days not above the maximum",
            "保留期至少一天，且 acknowledged-days 不得超过最大值",
        );
    }
    (problems.count() == before).then(|| Dataset {
        id: Arc::from(raw.id.get_ref().as_str()),
        key: keys.iter().map(|key| Arc::from(key.as_str())).collect(),
        audience: raw.audience,
        retention: Retention {
            acknowledged_days: retention.acknowledged_days,
            maximum_days: retention.maximum_days,
            history_maximum_days: history,
        },
        working_days: raw.reporting.map(|reporting| reporting.working_days),
        title: raw.title.into(),
    })
}

pub(super) fn code_set(name: &str, file: &CatalogueFile, problems: &mut Problems) -> Option<CodeSet> {
    let before = problems.count();
    let raw: raw::CodeSet = problems.parse(file)?;
    problems.named(file, name, &raw.id);
    let mut spellings: Vec<&str> = Vec::new();
    for value in &raw.values {
        let at = Some(value.span().start);
        let value = value.get_ref();
        for spelling in std::iter::once(&value.code).chain(&value.accept) {
            if spelling.is_empty() || spellings.contains(&spelling.as_str()) {
                problems.push(
                    file,
                    at,
                    "catalogue.code-twice",
                    format!("the code or spelling \"{spelling}\" is empty or occurs twice; keep one"),
                    format!("代码或写法 \"{spelling}\" 为空或重复，请保留一个"),
                );
            }
            spellings.push(spelling);
        }
        let separator = value.suffix_separator.as_deref();
        if separator == Some("") || (separator.is_some() && value.suffix == raw::SuffixRule::None) {
            problems.push(
                file,
                at,
                "catalogue.code-suffix",
                "`suffix-separator` needs a text and `suffix = \"optional\"` or \"required\"",
                "suffix-separator 须非空，并同时写 suffix = \"optional\" 或 \"required\"",
            );
        }
    }
    if raw.values.is_empty() {
        let (en, zh) = ("a code set needs at least one [[value]]", "代码集至少需要一个 [[value]]");
        problems.push(file, Some(raw.id.span().start), "catalogue.code-set-empty", en, zh);
    }
    if problems.count() > before {
        return None;
    }
    let value = |value: Spanned<raw::CodeValue>| {
        let value = value.into_inner();
        CodeValue {
            code: value.code.into_boxed_str(),
            en: value.en,
            suffix: (value.suffix != raw::SuffixRule::None).then(|| Suffix {
                separator: value.suffix_separator.unwrap_or_else(|| "-".to_owned()).into_boxed_str(),
                required: value.suffix == raw::SuffixRule::Required,
            }),
            accept: value.accept.into_iter().map(String::into_boxed_str).collect(),
        }
    };
    Some(CodeSet {
        id: Arc::from(raw.id.get_ref().as_str()),
        title: raw.title.into(),
        values: raw.values.into_iter().map(value).collect(),
    })
}
