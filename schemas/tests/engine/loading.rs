//! Catalogue files: what loads, and what each mistake says.

use xinqiao_schemas::{Catalogue, CatalogueFile, LoadErrors};

use crate::fixture::files;

/// The fixture with one text replaced in one file.
fn altered(path: &str, from: &str, to: &str) -> Result<Catalogue, LoadErrors> {
    let mut files = files();
    let file = files.iter_mut().find(|file| file.path == path).unwrap();
    assert!(file.text.contains(from), "{from} not in {path}");
    file.text = file.text.replacen(from, to, 1);
    Catalogue::from_files(&files)
}

const SCHEMA: &str = "schemas/sample-penalty-2020.toml";
const MAPPING: &str = "mappings/sample-penalty-2017-to-sample-penalty-2020.toml";
const PORTAL: &str = "policies/portal-public.toml";
const DATASET: &str = "datasets/administrative-penalty.toml";

#[test]
fn the_compiled_in_catalogue_loads() {
    let catalogue = Catalogue::builtin().unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(
        catalogue.schemas().count(),
        Catalogue::builtin_files().iter().filter(|f| f.path.starts_with("schemas/")).count()
    );
}

#[test]
fn each_mistake_is_named() {
    for (path, from, to, code) in [
        (SCHEMA, "class = \"subject-name\"", "clas = \"subject-name\"", "catalogue.syntax"),
        (SCHEMA, "id = \"sample-penalty-2020\"", "id = \"sample-penalty-2021\"", "catalogue.file-name"),
        (SCHEMA, "dataset = \"administrative-penalty\"", "dataset = \"other\"", "catalogue.dataset-unknown"),
        (SCHEMA, "aliases = []", "aliases = [\"证件类型\"]", "catalogue.field-name"),
        (SCHEMA, "aliases = []", "aliases = [\"ref\"]", "catalogue.field-name"),
        (SCHEMA, "max = 200", "max = 0", "catalogue.max"),
        (SCHEMA, "max = 200", "max = 200\nscale = 2", "catalogue.field-key"),
        (SCHEMA, "unit = \"characters\"", "unit = \"glyphs\"", "catalogue.unit-unknown"),
        (SCHEMA, "type = \"organisation-code\"", "type = \"organization-code\"", "catalogue.type-unknown"),
        (SCHEMA, "set = \"subject-kind\"", "set = \"subjects\"", "catalogue.code-set-unknown"),
        (SCHEMA, "clean = [\"trim\", \"null-word\"]", "clean = [\"normal-form\"]", "catalogue.clean"),
        (SCHEMA, "scale = 6", "scale = 60", "catalogue.number"),
        (SCHEMA, "kind-field = \"CF_XDR_ZJLX\"", "kind-field = \"CF_XDR_LX\"", "catalogue.field-unknown"),
        (SCHEMA, "document = [\"CF_WSH\"]", "documents = [\"CF_WSH\"]", "catalogue.key-missing"),
        (SCHEMA, "document = [\"CF_WSH\"]", "documents = [\"CF_WSH\"]", "catalogue.key-unknown"),
        (SCHEMA, "decision-date = \"CF_JDRQ\"", "decision-date = \"CF_WSH\"", "catalogue.not-a-date"),
        (
            SCHEMA,
            "\"自然人\" = \"natural-person\"",
            "\"个人\" = \"natural-person\"",
            "catalogue.code-unknown",
        ),
        (SCHEMA, "[subject-kind] ", "[subject-kind]\nalways = \"legal-person\"\n#", "catalogue.subject-kind"),
        (SCHEMA, "revoked = [\"1\"]", "revoked = [\"9\"]", "catalogue.code-unknown"),
        (SCHEMA, "than = \"CF_JDRQ\"", "", "catalogue.rule-key"),
        (SCHEMA, "min = \"0\"", "min = \"none\"", "catalogue.bound"),
        (SCHEMA, "contains = [\"罚款\"]", "contains = [\"罚款\"], filled = true", "catalogue.condition"),
        (
            MAPPING,
            "CF_NR_FK = { empty = \"the 2017 table has no amount\" }",
            "",
            "catalogue.target-forgotten",
        ),
        (MAPPING, "CF_BM = \"no place in the 2020 table\"", "", "catalogue.source-forgotten"),
        (MAPPING, "CF_BM = \"no", "CF_WSH = \"no", "catalogue.dropped"),
        (MAPPING, "{ copy = \"CF_WSH\" }", "{ copy = \"CF_WSHH\" }", "catalogue.source-unknown"),
        (MAPPING, "{ copy = \"CF_WSH\" }", "{ copy = \"CF_WSH\", const = \"x\" }", "catalogue.target-shape"),
        (MAPPING, "CF_WSH = {", "CF_WSHH = {", "catalogue.target-unknown"),
        (MAPPING, "table = \"status\"", "table = \"states\"", "catalogue.table-unknown"),
        (MAPPING, "\"0\" = \"0\"", "\"7\" = \"0\"", "catalogue.table-key"),
        (
            MAPPING,
            "from = \"sample-penalty-2017\"",
            "from = \"sample-penalty-2016\"",
            "catalogue.schema-unknown",
        ),
        (
            PORTAL,
            "legal-person = \"release\"",
            "natural-person = \"release\"",
            "catalogue.natural-person-basis",
        ),
        (
            PORTAL,
            "public = \"release\"",
            "public = \"release\"\ngovernment = \"release\"",
            "catalogue.portal-audience",
        ),
        (PORTAL, "free-text = \"scan\"", "free-text = \"scann\"", "catalogue.action-unknown"),
        (DATASET, "acknowledged-days = 30", "acknowledged-days = 300", "catalogue.retention"),
        (DATASET, "\"document\", \"decided\"", "\"subject\"", "catalogue.dataset-key"),
        ("codes/penalty-kind.toml", "accept = [\"其它\"]", "accept = [\"罚款\"]", "catalogue.code-twice"),
    ] {
        let errors = altered(path, from, to).expect_err(code);
        let error =
            errors.iter().find(|error| error.code == code).unwrap_or_else(|| panic!("{code}: {errors}"));
        assert_eq!(error.file, path);
        assert!(error.line.is_some(), "{error}");
        assert!(!error.en.is_empty() && !error.zh.is_empty());
    }
}

#[test]
fn all_errors_are_reported_with_their_lines() {
    let mut files = files();
    for (path, from, to) in [
        (SCHEMA, "scale = 6", "scale = 60"),
        (SCHEMA, "max = 128", "max = 0"),
        (PORTAL, "\"scan\"", "\"scann\""),
    ] {
        let file = files.iter_mut().find(|file| file.path == path).unwrap();
        file.text = file.text.replacen(from, to, 1);
    }
    let errors = Catalogue::from_files(&files).unwrap_err();
    let found: Vec<(&str, &str)> = errors.iter().map(|error| (error.file.as_str(), error.code)).collect();
    for expected in
        [(SCHEMA, "catalogue.number"), (SCHEMA, "catalogue.max"), (PORTAL, "catalogue.action-unknown")]
    {
        assert!(found.contains(&expected), "{expected:?} not in {found:?}");
    }
    let text = &files.iter().find(|file| file.path == SCHEMA).unwrap().text;
    let line = errors.iter().find(|error| error.code == "catalogue.max").unwrap().line.unwrap();
    let shown: Vec<&str> = text.lines().skip(line - 1).take(3).collect();
    assert!(shown.iter().any(|line| line.contains("CF_WSH")), "{shown:?}");
}

#[test]
fn a_directory_loads_like_memory() {
    let directory = std::env::temp_dir().join(format!("xinqiao-catalogue-{}", std::process::id()));
    for CatalogueFile { path, text } in files() {
        let target = directory.join(path);
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::write(target, text).unwrap();
    }
    let loaded = Catalogue::load(&directory);
    std::fs::create_dir(directory.join("polices")).unwrap();
    let misspelt = Catalogue::load(&directory);
    std::fs::remove_dir_all(&directory).unwrap();
    let loaded = loaded.unwrap();
    assert_eq!(misspelt.unwrap_err().iter().next().unwrap().code, "catalogue.folder-unknown");
    let in_memory = Catalogue::from_files(&files()).unwrap();
    let digests =
        |catalogue: &Catalogue| catalogue.schemas().map(|schema| *schema.digest()).collect::<Vec<_>>();
    assert_eq!(digests(&loaded), digests(&in_memory));
    assert!(Catalogue::load(&directory).is_err(), "a directory that is not there is an error");
}

#[test]
fn a_schema_digest_covers_its_code_sets() {
    let before = Catalogue::from_files(&files()).unwrap();
    let after = altered("codes/penalty-kind.toml", "en = \"fine\"", "en = \"penalty\"").unwrap();
    let digest = |catalogue: &Catalogue| *catalogue.schema("sample-penalty-2020").unwrap().digest();
    assert_ne!(digest(&before), digest(&after));
}

proptest::proptest! {
    #[test]
    fn no_damage_makes_the_loader_panic(file in 0_usize..12, line in 0_usize..250, other in 0_usize..250, copy: bool) {
        let mut files = files();
        let place = file % files.len();
        let mut lines: Vec<&str> = files[place].text.lines().collect();
        let (line, other) = (line % lines.len(), other % lines.len());
        if copy { lines[line] = lines[other] } else { lines.swap(line, other) }
        files[place].text = lines.join("\n");
        if let Err(errors) = Catalogue::from_files(&files) {
            proptest::prop_assert!(errors.iter().count() > 0);
        }
    }
}
