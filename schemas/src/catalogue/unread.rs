//! What a policy would let out to the public without anybody having read it: a class that passes as it stands although a
//! field of it may hold prose or a person's number, and for which no basis is named. Such a policy does not load; one that
//! was adopted before is read with `scan` in that place, for a node must start on what its officers once decided.

use crate::catalogue::error::Problems;
use crate::catalogue::{CatalogueFile, raw};
use crate::policy::RecipientKind;
use crate::schema::Schema;

/// The first field of each class that may hold prose or a person's number.
pub(super) struct Texts(Vec<(String, String)>);

/// A policy that was adopted before and is in force with more of it scanned than it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadAsScan {
    /// The policy.
    pub policy: String,
    /// The classes of which it says `pass`.
    pub classes: Vec<String>,
}

impl Texts {
    pub(super) fn of<'s>(schemas: impl Iterator<Item = &'s Schema>) -> Self {
        let mut found: Vec<(String, String)> = Vec::new();
        for schema in schemas {
            for field in schema.fields().iter().filter(|field| !field.has_no_text()) {
                if !found.iter().any(|(class, _)| *class == field.class()) {
                    found.push((field.class().to_owned(), format!("{} ({})", field.code(), schema.id())));
                }
            }
        }
        Self(found)
    }

    /// Adds an error for every class that a policy lets out unread.
    pub(super) fn refuse_unread(&self, file: &CatalogueFile, problems: &mut Problems) {
        for (class, at, field) in self.unread(&file.text) {
            problems.push(
                file,
                Some(at),
                "catalogue.passes-unread",
                format!("{class}: {field} may hold a text or a person's number, and leaves for the public unread; say \"scan\", or name the basis in [unscanned]"),
                format!("{class}：{field} 可能含有文字或个人号码，不得不经扫描即向公众提供；请改为 \"scan\"，或在 [unscanned] 中写明依据"),
            );
        }
    }

    /// The policy with `scan` wherever it would let something out unread, and the classes; none if it lets nothing out so.
    pub(super) fn read_as_scan(&self, file: &CatalogueFile) -> Option<(CatalogueFile, Vec<String>)> {
        let classes: Vec<String> = self.unread(&file.text).into_iter().map(|(class, ..)| class).collect();
        if classes.is_empty() {
            return None;
        }
        let mut document: toml::Table = toml::from_str(&file.text).ok()?;
        let rules = document.get_mut("classes")?.as_table_mut()?;
        for class in &classes {
            let words: Vec<&mut toml::Value> = match rules.get_mut(class)? {
                toml::Value::Table(by_subject) => by_subject.iter_mut().map(|(_, word)| word).collect(),
                all => vec![all],
            };
            words
                .into_iter()
                .filter(|word| word.as_str() == Some("pass"))
                .for_each(|word| *word = "scan".into());
        }
        // Whoever reads the document by its digest should know that nobody wrote it so.
        let text = format!(
            "# As adopted, except that the node reads \"scan\" for \"pass\" of: {}.\n\n{}",
            classes.join(", "),
            toml::to_string(&document).ok()?
        );
        Some((CatalogueFile { path: file.path.clone(), text }, classes))
    }

    /// Classes that a policy lets out unread, each with the byte of its rule and the field that may hold a text.
    fn unread(&self, text: &str) -> Vec<(String, usize, &str)> {
        // Of files that do not parse the error was told before.
        let Ok(raw) = toml::from_str::<raw::Policy>(text) else { return Vec::new() };
        if raw.recipient_kind == RecipientKind::Government {
            return Vec::new();
        }
        let passes = |rule: &raw::ClassRule| match rule {
            raw::ClassRule::All(word) => word == "pass",
            raw::ClassRule::BySubject(words) => words.values().any(|word| word == "pass"),
        };
        let rules = raw
            .classes
            .iter()
            .filter(|(class, rule)| passes(rule.get_ref()) && !raw.unscanned.contains_key(*class));
        let unread = rules.filter_map(|(class, rule)| {
            let (_, field) = self.0.iter().find(|(known, _)| known == class)?;
            Some((class.clone(), rule.span().start, field.as_str()))
        });
        unread.collect()
    }
}
