//! Policies that would let texts out to the public unread.

use crate::sent::{NEW, company, send, with};
use xinqiao_schemas::{Catalogue, CatalogueFile, ReadAsScan, SubjectKind};

#[test]
fn a_policy_that_passes_texts_to_the_public_needs_a_basis() {
    let path = "policies/portal-public.toml";
    let load = |from: &str, to: &str| {
        let mut files = Catalogue::builtin_files();
        let file = files.iter_mut().find(|file| file.path == path).expect("it ships");
        assert!(file.text.contains(from));
        file.text = file.text.replacen(from, to, 1);
        Catalogue::from_files(&files)
    };
    let codes = |result: Result<Catalogue, xinqiao_schemas::LoadErrors>| {
        result.err().iter().flat_map(|errors| errors.iter().map(|error| error.code)).collect::<Vec<_>>()
    };
    for class in ["public", "document-number", "authority"] {
        let (from, to) = (format!("\n{class} = \"scan\""), format!("\n{class} = \"pass\""));
        assert_eq!(codes(load(&from, &to)), ["catalogue.passes-unread"], "{class}");
        let mut files = Catalogue::builtin_files();
        let file = files.iter_mut().find(|file| file.path == path).expect("it ships");
        file.text =
            file.text.replacen(&from, &to, 1) + &format!("\n[unscanned]\n{class} = \"某市信用条例第一条\"\n");
        let loaded = Catalogue::from_files(&files).unwrap_or_else(|errors| panic!("{errors}"));
        let policy = loaded.policy("portal-public").expect("it ships");
        assert_eq!(policy.unscanned_basis(class), Some("某市信用条例第一条"));
    }
    let scanned = ("\ninternal = \"drop\"", "\ninternal = \"drop\"\n[unscanned]\namount = \" \"");
    assert_eq!(codes(load(scanned.0, scanned.1)), ["catalogue.unscanned"]);
}

#[test]
fn a_policy_adopted_before_is_scanned_where_it_would_pass_texts_unread() {
    let mut files = Catalogue::builtin_files();
    let at = files.iter().position(|file| file.path == "policies/portal-public.toml").expect("it ships");
    let shipped = files.remove(at);
    let adopted = |edits: &[(&str, &str)]| {
        let text = edits.iter().fold(shipped.text.clone(), |text, (from, to)| {
            assert!(text.contains(from), "{from}");
            text.replacen(from, to, 1)
        });
        let file = CatalogueFile { path: shipped.path.clone(), text };
        Catalogue::from_files_and_adopted(&files, &[file]).unwrap_or_else(|errors| panic!("{errors}"))
    };
    let in_table = "subject-name = { legal-person = \"scan\", individual-business = \"scan\", natural-person = \"drop\" }\n";
    let (lax, read) = adopted(&[
        ("\npublic = \"scan\"", "\npublic = 'pass'"),
        ("document-number = \"scan\"", "document-number = \"pass\""),
        (in_table, ""),
        (
            "internal = \"drop\"\n",
            "internal = \"drop\"\n[classes.subject-name]\nlegal-person = \"pass\"\nindividual-business = \"mask-all\"\n",
        ),
    ]);
    let classes = ["document-number", "public", "subject-name"].map(str::to_owned).to_vec();
    assert_eq!(read, [ReadAsScan { policy: "portal-public".into(), classes }]);
    let policy = lax.policy("portal-public").expect("it is there");
    let names = SubjectKind::ALL.map(|kind| policy.action("subject-name", kind).name());
    assert_eq!(names, ["scan", "drop", "mask-all"]);
    assert_eq!(policy.action("amount", SubjectKind::LegalPerson).name(), "pass", "it is closed");
    // What a manifest names by digest is what was done.
    let text = String::from_utf8(policy.document().to_vec()).expect("TOML");
    assert!(text.contains("document-number = \"scan\"") && !text.contains("'pass'"), "{text}");
    let number = "其他-对张三丰（身份证350299198507070075）处罚";
    let outcome = send(&lax, NEW, NEW, &with(company(), "CF_CFLB", number));
    assert!(!outcome.lines.is_empty());
    outcome.never_shows(&["350299198507070075"]);
    // Alone and long after it still says what its lines were made under, so they do not count as scanned.
    let before = CatalogueFile {
        path: shipped.path.clone(),
        text: shipped.text.replacen("\npublic = \"scan\"", "\npublic = \"pass\"", 1),
    };
    let alone = Catalogue::from_files(&[before]).unwrap_or_else(|errors| panic!("{errors}"));
    let alone = alone.policy("portal-public").expect("it is there");
    assert!(!alone.is_at_least_as_strict_as(policy, None) && policy.is_at_least_as_strict_as(alone, None));
    // What is as it should be is taken as it was written.
    let (sound, read) = adopted(&[]);
    assert_eq!(
        (read, sound.policy("portal-public").expect("it is there").document()),
        (Vec::new(), shipped.text.as_bytes())
    );
}
