//! What is read of a file, in a form that tests compare.

use std::io::Cursor;
use std::sync::{Arc, LazyLock};

use xinqiao_schemas::{Catalogue, Schema};
use xinqiao_workbook::{Fault, ReadOptions, Reading, read};

pub(crate) static SCHEMA: LazyLock<Arc<Schema>> = LazyLock::new(|| {
    Arc::clone(Catalogue::builtin().unwrap().schema("administrative-penalty-2020").unwrap())
});

/// A row: its place, its texts by code, its faults as `code place`.
pub(crate) type Seen = (String, Vec<(String, String)>, Vec<String>);

pub(crate) fn with(bytes: &[u8], options: &ReadOptions) -> (Result<Reading, Fault>, Vec<Seen>) {
    of_schema(&SCHEMA, bytes, options)
}

pub(crate) fn of_schema(
    schema: &Schema,
    bytes: &[u8],
    options: &ReadOptions,
) -> (Result<Reading, Fault>, Vec<Seen>) {
    let mut rows = Vec::new();
    let outcome = read(schema, Cursor::new(bytes), options, &mut |row| {
        let texts = row.texts(schema).map(|(name, text)| (name.to_owned(), text.to_owned())).collect();
        let faults = row.faults().iter().map(|f| format!("{} {}", f.code(), f.place())).collect();
        rows.push((row.place().to_string(), texts, faults));
    });
    (outcome, rows)
}

pub(crate) fn seen(bytes: &[u8]) -> (Reading, Vec<Seen>) {
    let (outcome, rows) = with(bytes, &ReadOptions::default());
    (outcome.unwrap(), rows)
}

pub(crate) fn refusal(bytes: &[u8]) -> &'static str {
    with(bytes, &ReadOptions::default()).0.unwrap_err().code()
}

pub(crate) fn noticed(reading: &Reading) -> Vec<String> {
    reading.notices.iter().map(|n| format!("{} {}", n.code(), n.place())).collect()
}
