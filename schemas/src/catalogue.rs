//! The catalogue: datasets, schemas, code sets, mappings and policies from TOML files, checked as a whole.
//!
//! `docs/catalogue-format.md` is the contract of the files. Loading collects every error of every file, each with file, line
//! and a way out, rather than the first.

mod build_mapping;
mod build_parts;
mod build_policy;
mod build_rules;
mod build_schema;
pub(crate) mod check;
pub(crate) mod error;
mod raw;
mod unread;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::mapping::Mapping;
use crate::model::Audience;
use crate::policy::Policy;
use crate::route::{Route, RouteError, RouteSecrets};
use crate::schema::{CodeSet, Schema, Title};
use error::{LoadError, LoadErrors, Problems};
pub use unread::ReadAsScan;
use unread::Texts;

/// Everything the files say, ready to use.
#[derive(Default)]
pub struct Catalogue {
    datasets: BTreeMap<Arc<str>, Arc<Dataset>>,
    code_sets: BTreeMap<Arc<str>, Arc<CodeSet>>,
    schemas: BTreeMap<Arc<str>, Arc<Schema>>,
    /// By source and target schema.
    mappings: BTreeMap<(Arc<str>, Arc<str>), Arc<Mapping>>,
    policies: BTreeMap<Arc<str>, Arc<Policy>>,
}

/// One kind of record.
#[derive(Debug)]
pub struct Dataset {
    pub(crate) id: Arc<str>,
    pub(crate) title: Title,
    pub(crate) key: Vec<Arc<str>>,
    pub(crate) audience: Audience,
    pub(crate) retention: Retention,
    pub(crate) working_days: Option<u16>,
}

/// How long the payload of a dataset is kept by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Days after the last acknowledgement.
    pub acknowledged_days: u32,
    /// Days at most, acknowledged or not.
    pub maximum_days: u32,
    /// The same for the history lane.
    pub history_maximum_days: u32,
}

impl Dataset {
    /// The dataset id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its title.
    pub fn title(&self) -> &Title {
        &self.title
    }

    /// Logical names of the key fields, in the order in which they enter the record key.
    pub fn key(&self) -> &[Arc<str>] {
        &self.key
    }

    /// The audience of records that say nothing.
    pub fn audience(&self) -> Audience {
        self.audience
    }

    /// How long its payload is kept.
    pub fn retention(&self) -> Retention {
        self.retention
    }

    /// Working days within which a decision must be reported, if that is ruled.
    pub fn reporting_working_days(&self) -> Option<u16> {
        self.working_days
    }
}

/// One file of a catalogue.
#[derive(Clone, PartialEq, Eq)]
pub struct CatalogueFile {
    /// Path below the catalogue's directory, e.g. `schemas/administrative-penalty-2020.toml`.
    pub path: String,
    /// Its text.
    pub text: String,
}

impl fmt::Debug for CatalogueFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

/// Folders that hold catalogue files.
const FOLDERS: [&str; 5] = ["datasets", "codes", "schemas", "mappings", "policies"];

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

impl Catalogue {
    /// Loads the files of a directory.
    ///
    /// # Errors
    /// Everything that is wrong with them, at once.
    pub fn load(directory: &Path) -> Result<Self, LoadErrors> {
        let (files, mut errors) = read_all(directory);
        match (Self::from_files(&files), errors.is_empty()) {
            (Ok(catalogue), true) => Ok(catalogue),
            (Ok(_), false) => Err(LoadErrors::new(errors)),
            (Err(more), _) => {
                errors.extend(more.into_vec());
                Err(LoadErrors::new(errors))
            }
        }
    }

    /// The files of a directory, unjudged, for [`Catalogue::from_files`].
    ///
    /// # Errors
    /// Folders that are none of a catalogue's, and files that cannot be read.
    pub fn read_files(directory: &Path) -> Result<Vec<CatalogueFile>, LoadErrors> {
        let (files, errors) = read_all(directory);
        if errors.is_empty() { Ok(files) } else { Err(LoadErrors::new(errors)) }
    }

    /// The catalogue that was compiled in.
    ///
    /// # Errors
    /// As [`Catalogue::load`]; a test keeps the compiled-in files free of them.
    pub fn builtin() -> Result<Self, LoadErrors> {
        Self::from_files(&Self::builtin_files())
    }

    /// The files that were compiled in, e.g. to write them out as a starting point.
    pub fn builtin_files() -> Vec<CatalogueFile> {
        let file = |(path, text): &(&str, &str)| CatalogueFile {
            path: (*path).to_owned(),
            text: (*text).to_owned(),
        };
        EMBEDDED.iter().map(file).collect()
    }

    /// Loads files that are already in memory. Only `<folder>/<id>.toml` of the known folders count.
    ///
    /// # Errors
    /// Everything that is wrong with them, at once.
    pub fn from_files(files: &[CatalogueFile]) -> Result<Self, LoadErrors> {
        Self::from_files_and_adopted(files, &[]).map(|(catalogue, _)| catalogue)
    }

    /// The same with policies that were adopted before, perhaps under older rules: of what they would let out to the public
    /// unread they scan. Which of them do is given too.
    ///
    /// # Errors
    /// Everything else that is wrong with them, at once.
    pub fn from_files_and_adopted(
        files: &[CatalogueFile],
        adopted: &[CatalogueFile],
    ) -> Result<(Self, Vec<ReadAsScan>), LoadErrors> {
        let mut problems = Problems::default();
        let mut catalogue = Self::default();
        let of = |folder: &'static str| {
            files.iter().chain(adopted).filter_map(move |file| {
                let name = file.path.strip_prefix(folder)?.strip_prefix('/')?.strip_suffix(".toml")?;
                (!name.contains('/')).then_some((name, file))
            })
        };
        for (name, file) in of("datasets") {
            if let Some(dataset) = build_parts::dataset(name, file, &mut problems) {
                catalogue.datasets.insert(Arc::clone(&dataset.id), Arc::new(dataset));
            }
        }
        let mut code_documents = BTreeMap::new();
        for (name, file) in of("codes") {
            code_documents.insert(name.to_owned(), file.text.as_str());
            if let Some(set) = build_parts::code_set(name, file, &mut problems) {
                catalogue.code_sets.insert(Arc::clone(&set.id), Arc::new(set));
            }
        }
        for (name, file) in of("schemas") {
            if let Some(schema) = build_schema::schema(name, file, &catalogue, &code_documents, &mut problems)
            {
                catalogue.schemas.insert(Arc::clone(&schema.id), Arc::new(schema));
            }
        }
        for (name, file) in of("mappings") {
            if let Some(mapping) = build_mapping::mapping(name, file, &catalogue, &mut problems) {
                let key = (Arc::clone(&mapping.from.id), Arc::clone(&mapping.to.id));
                if catalogue.mappings.insert(key, Arc::new(mapping)).is_some() {
                    problems.push(
                        file,
                        None,
                        "catalogue.mapping-twice",
                        "another mapping leads from the same schema to the same schema; remove one",
                        "另有映射的来源和目标模式相同，请删除其一",
                    );
                }
            }
        }
        let texts = Texts::of(catalogue.schemas().map(|schema| &**schema));
        let mut scanned = Vec::new();
        for (name, file) in of("policies") {
            let read = if adopted.iter().any(|known| known.path == file.path) {
                texts.read_as_scan(file)
            } else {
                None
            };
            let file = match &read {
                Some((read, classes)) => {
                    scanned.push(ReadAsScan { policy: name.to_owned(), classes: classes.clone() });
                    read
                }
                None => file,
            };
            texts.refuse_unread(file, &mut problems);
            if let Some(policy) = build_policy::policy(name, file, &mut problems) {
                catalogue.policies.insert(Arc::clone(&policy.id), Arc::new(policy));
            }
        }
        problems.into_result().map(|()| (catalogue, scanned))
    }

    /// The dataset of this id.
    pub fn dataset(&self, id: &str) -> Option<&Arc<Dataset>> {
        self.datasets.get(id)
    }

    /// All datasets, by id.
    pub fn datasets(&self) -> impl Iterator<Item = &Arc<Dataset>> {
        self.datasets.values()
    }

    /// The schema of this id.
    pub fn schema(&self, id: &str) -> Option<&Arc<Schema>> {
        self.schemas.get(id)
    }

    /// All schemas, by id.
    pub fn schemas(&self) -> impl Iterator<Item = &Arc<Schema>> {
        self.schemas.values()
    }

    /// The code set of this id.
    pub fn code_set(&self, id: &str) -> Option<&Arc<CodeSet>> {
        self.code_sets.get(id)
    }

    /// The policy of this id.
    pub fn policy(&self, id: &str) -> Option<&Arc<Policy>> {
        self.policies.get(id)
    }

    /// All policies, by id.
    pub fn policies(&self) -> impl Iterator<Item = &Arc<Policy>> {
        self.policies.values()
    }

    /// The mapping between two schemas.
    pub fn mapping(&self, from: &str, to: &str) -> Option<&Arc<Mapping>> {
        self.mappings.get(&(Arc::from(from), Arc::from(to)))
    }

    /// All mappings, by source and target.
    pub fn mappings(&self) -> impl Iterator<Item = &Arc<Mapping>> {
        self.mappings.values()
    }

    /// Compiles the way from a schema to a recipient. Equal schemas need no mapping.
    ///
    /// # Errors
    /// Schema, policy or mapping is not there, or they do not fit together.
    pub fn route(
        &self,
        from: &str,
        to: &str,
        policy: &str,
        secrets: &RouteSecrets,
    ) -> Result<Route, RouteError> {
        let schema =
            |id: &str| self.schema(id).cloned().ok_or_else(|| RouteError::SchemaUnknown(id.to_owned()));
        let (source, target) = (schema(from)?, schema(to)?);
        let policy =
            self.policy(policy).cloned().ok_or_else(|| RouteError::PolicyUnknown(policy.to_owned()))?;
        if source.dataset != target.dataset {
            return Err(RouteError::OtherDataset(from.to_owned(), to.to_owned()));
        }
        let mapping = match self.mapping(from, to) {
            _ if from == to => None,
            Some(mapping) => Some(Arc::clone(mapping)),
            None => return Err(RouteError::NoMapping(from.to_owned(), to.to_owned())),
        };
        Route::new(source, target, mapping, policy, secrets)
    }
}

impl fmt::Debug for Catalogue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<&str> = self.schemas.keys().map(|id| &**id).collect();
        write!(f, "Catalogue({})", ids.join(", "))
    }
}

fn read_all(directory: &Path) -> (Vec<CatalogueFile>, Vec<LoadError>) {
    let mut files = Vec::new();
    let mut errors = unknown_folders(directory);
    for folder in FOLDERS {
        read_folder(directory, folder, &mut files, &mut errors);
    }
    (files, errors)
}

/// A misspelt folder would be a whole set of rules that silently does nothing.
fn unknown_folders(directory: &Path) -> Vec<LoadError> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    let folders = entries.filter(|entry| entry.path().is_dir());
    let names = folders.filter_map(|entry| entry.file_name().into_string().ok());
    let unknown = names
        .filter(|name| !FOLDERS.contains(&name.as_str()) && name != "calendar" && !name.starts_with('.'));
    let error = |name: String| {
        LoadError::new(
            &name,
            None,
            "catalogue.folder-unknown",
            format!(
                "a catalogue has the folders {}, calendar; rename or remove this one",
                FOLDERS.join(", ")
            ),
            format!("目录只含 {}、calendar 文件夹，请改名或删除", FOLDERS.join("、")),
        )
    };
    unknown.map(error).collect()
}

fn read_folder(directory: &Path, folder: &str, files: &mut Vec<CatalogueFile>, errors: &mut Vec<LoadError>) {
    let path = directory.join(folder);
    let unreadable = |path: &str, error: &std::io::Error| {
        LoadError::new(
            path,
            None,
            "catalogue.unreadable",
            format!("cannot be read ({error}); check the path and its permissions"),
            format!("无法读取（{error}），请检查路径和权限"),
        )
    };
    let entries = match std::fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && directory.is_dir() => return,
        Err(error) => return errors.push(unreadable(folder, &error)),
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".toml"))
        .collect();
    names.sort();
    for name in names {
        let relative = format!("{folder}/{name}");
        match std::fs::read_to_string(path.join(&name)) {
            Ok(text) => files.push(CatalogueFile { path: relative, text }),
            Err(error) => errors.push(unreadable(&relative, &error)),
        }
    }
}
