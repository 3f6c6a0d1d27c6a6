//! From a policy file to a policy.

use std::collections::BTreeMap;
use std::sync::Arc;

use xinqiao_crypto::sha256;

use crate::catalogue::error::Problems;
use crate::catalogue::{CatalogueFile, raw};
use crate::model::{Audience, SubjectKind};
use crate::policy::{Action, Admission, Policy, RecipientKind};

pub(super) fn policy(name: &str, file: &CatalogueFile, problems: &mut Problems) -> Option<Policy> {
    let before = problems.count();
    let raw: raw::Policy = problems.parse(file)?;
    problems.named(file, name, &raw.id);
    let basis = Some(raw.natural_person_basis.trim().to_owned()).filter(|basis| !basis.is_empty());
    let natural = raw.subjects.get(&SubjectKind::NaturalPerson);
    if let Some(natural) = natural
        && *natural.get_ref() == Admission::Release
        && basis.is_none()
    {
        problems.push(
            file,
            Some(natural.span().start),
            "catalogue.natural-person-basis",
            "natural persons are released without a legal basis; name it in `natural-person-basis`, or use \"with-authorisation\"",
            "未写明法律依据即发布自然人信息；请填写 natural-person-basis，或改为 \"with-authorisation\"",
        );
    }
    let classes = classes(&raw.classes, file, problems);
    let mut unscanned = BTreeMap::new();
    for (class, basis) in &raw.unscanned {
        let named = basis.get_ref().trim();
        if named.is_empty() {
            problems.push(
                file,
                Some(basis.span().start),
                "catalogue.unscanned",
                format!("[unscanned] says on which basis a class leaves unread for a portal or an agency; name that of `{class}`"),
                format!("[unscanned] 须写明该类别不经扫描即向门户或机构提供的依据；请填写 {class} 的依据"),
            );
        }
        unscanned.insert(Arc::from(class.as_str()), named.to_owned());
    }
    let admission = |audience| raw.audiences.get(&audience).copied().unwrap_or(Admission::Withhold);
    let audiences = Audience::ALL.map(admission);
    if raw.recipient_kind == RecipientKind::Portal {
        for audience in [Audience::Government, Audience::Authorised] {
            if admission(audience) != Admission::Withhold {
                problems.push(
                    file,
                    Some(raw.id.span().start),
                    "catalogue.portal-audience",
                    format!("a portal is public and cannot receive records for `{}`; remove that line of [audiences]", audience.as_str()),
                    format!("门户面向公众，不能接收使用范围为 {} 的记录，请删除 [audiences] 中该行", audience.as_str()),
                );
            }
        }
    }
    if problems.count() > before {
        return None;
    }
    let subject =
        |kind| raw.subjects.get(&kind).map_or(Admission::Withhold, |admission| *admission.get_ref());
    let document = file.text.clone().into_bytes();
    Some(Policy {
        id: Arc::from(raw.id.get_ref().as_str()),
        recipient_kind: raw.recipient_kind,
        pass_reference: raw.reference == raw::ReferenceRule::Pass,
        natural_person_basis: basis,
        audiences,
        subjects: SubjectKind::ALL.map(subject),
        classes,
        unscanned,
        title: raw.title.into(),
        digest: sha256(&document),
        document,
    })
}

fn classes(
    raw: &BTreeMap<String, toml::Spanned<raw::ClassRule>>,
    file: &CatalogueFile,
    problems: &mut Problems,
) -> BTreeMap<Arc<str>, [Action; 3]> {
    let mut classes = BTreeMap::new();
    for (class, rule) in raw {
        let mut action = |word: &str| {
            Action::by_name(word).unwrap_or_else(|| {
                problems.push(
                    file,
                    Some(rule.span().start),
                    "catalogue.action-unknown",
                    format!(
                        "{class}: there is no action \"{word}\"; see the list in docs/catalogue-format.md"
                    ),
                    format!("{class}：没有动作 \"{word}\"，参见 docs/catalogue-format.md"),
                );
                Action::Drop
            })
        };
        let actions = match rule.get_ref() {
            raw::ClassRule::All(word) => [action(word); 3],
            raw::ClassRule::BySubject(words) => {
                SubjectKind::ALL.map(|kind| words.get(&kind).map_or(Action::Drop, |word| action(word)))
            }
        };
        classes.insert(Arc::from(class.as_str()), actions);
    }
    classes
}
