//! Catalogue files as officers write them, and a record sent by what they say.
//!
//! Input: text; a line `=== <path>` begins a file, `=== record` a JSON body for each schema, `=== calendar` a calendar.

use std::borrow::Cow;
use std::collections::BTreeMap;

use xinqiao_schemas::calendar::Calendar;
use xinqiao_schemas::{
    Action, Caps, Catalogue, CatalogueFile, Charset, Date, Format, RawRecord, Release, RouteSecrets, Schema,
    Slot, SubjectKind, decode,
};

use super::bodies::{HEAD, context};

/// What stands nowhere but where it was planted.
const CANARY: &str = "芷菡萏鸢";

pub(super) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let text = format!("\n{text}");
    // A folder holds a name once.
    let (mut files, mut record) = (BTreeMap::new(), "");
    for part in text.split("\n=== ").skip(1) {
        let (path, text) = part.split_once('\n').unwrap_or((part, ""));
        match path {
            "record" => record = text,
            "calendar" => calendar(text),
            _ => drop(files.insert(path, text)),
        }
    }
    let file = |(path, text): (&str, &str)| CatalogueFile { path: path.to_owned(), text: text.to_owned() };
    let files: Vec<CatalogueFile> = files.into_iter().map(file).collect();
    let catalogue = match Catalogue::from_files(&files) {
        Ok(catalogue) => catalogue,
        Err(errors) => {
            for error in errors.iter() {
                let file =
                    files.iter().find(|file| file.path == error.file).expect("an error names its file");
                let lines = file.text.split('\n').count();
                assert!(error.line.is_none_or(|line| (1..=lines).contains(&line)), "and a line of it");
                assert!(error.code.starts_with("catalogue."), "{}", error.code);
                assert!(!error.en.is_empty() && !error.zh.is_empty(), "in both languages");
            }
            assert!(errors.iter().next().is_some(), "refused for a reason");
            return;
        }
    };
    described(&catalogue, &files);
    for schema in catalogue.schemas() {
        let mut records = Vec::new();
        let caps = Caps::default();
        let _ = decode(schema, Format::Json, Charset::Utf8, record.as_bytes(), &caps, &mut |_, read| {
            records.extend(read.ok().map(RawRecord::into_owned));
        });
        for record in records {
            released(&catalogue, schema, &record);
        }
    }
}

/// Working days are those that a calendar says, and deadlines fall on them.
fn calendar(text: &str) {
    let Ok(calendar) = Calendar::parse(text) else { return };
    let Some((first, last)) = calendar.span() else { return };
    assert!(first <= last);
    let Some(day) = Date::new(first, 1, 1) else { return };
    for days in [0, 1, 7, 30] {
        let Ok(end) = calendar.deadline(day, days) else { continue };
        assert!(end >= day);
        let between = (day.to_days() + 1..=end.to_days()).filter_map(Date::from_days);
        let worked = between.filter(|day| calendar.is_working_day(*day) == Ok(true)).count();
        assert_eq!(worked, days as usize, "as many working days as were given");
    }
}

/// Everything that is derived from a catalogue that loads can be derived, and is the same the next time.
fn described(catalogue: &Catalogue, files: &[CatalogueFile]) {
    let again = Catalogue::from_files(files).expect("what loads loads again");
    for (one, other) in catalogue.schemas().zip(again.schemas()) {
        assert_eq!((one.id(), one.digest()), (other.id(), other.digest()), "a digest is of the files");
        assert!(one.json_schema().is_object());
        assert!(one.xml_schema().contains("<xs:"));
        assert!(one.template_csv().lines().count() >= 1);
        for (number, field) in one.fields().iter().enumerate() {
            assert_eq!(one.field_number(field.code()), Some(number), "a code names its field");
        }
    }
    let _ = catalogue.check();
}

/// To every recipient of every policy: the line is JSON, holds what the policy lets out, and nothing that it drops.
fn released(catalogue: &Catalogue, schema: &Schema, record: &RawRecord<'static>) {
    let secrets = RouteSecrets::new([7; 32]);
    let context = context();
    let to = catalogue.schemas().map(|to| to.id()).collect::<Vec<_>>();
    for policy in catalogue.policies() {
        let hides =
            |class: &str| SubjectKind::ALL.iter().all(|kind| policy.action(class, *kind) == Action::Drop);
        let mut planted = record.clone();
        for (number, _) in schema.fields().iter().enumerate().filter(|(_, field)| hides(field.class())) {
            if let Slot::Text(text) = planted.field(number) {
                let text = format!("{text}{CANARY}");
                planted.set_field(number, Slot::Text(Cow::Owned(text)));
            }
        }
        for (raw, to) in [record, &planted].into_iter().flat_map(|raw| to.iter().map(move |to| (raw, to))) {
            let Ok(route) = catalogue.route(schema.id(), to, policy.id(), &secrets) else { continue };
            let mut findings = Vec::new();
            let Some(record) = schema.validate(raw.clone(), &context, &mut findings) else {
                assert!(findings.iter().any(|finding| finding.refuses()), "refused for a reason");
                continue;
            };
            let _ = route.explain(&record);
            let mut out = Vec::new();
            let Release::Released(_) = route.release(&record, &HEAD, &mut out) else {
                assert!(out.is_empty(), "nothing is appended");
                continue;
            };
            let line = String::from_utf8(out).expect("a line is text");
            assert!(!line.contains('\n') && !line.contains(CANARY), "a field that is dropped left");
            let value: serde_json::Value = serde_json::from_str(&line).expect("a line is JSON");
            let target = route.target_schema();
            for code in value["data"].as_object().expect("a line has data").keys() {
                let number = target.field_number(code).expect("a field of the target");
                let action = policy
                    .action(target.fields()[number].class(), record.effective_kind(policy.recipient_kind()));
                assert_ne!(action, Action::Drop, "a field that is dropped left");
            }
        }
    }
}
