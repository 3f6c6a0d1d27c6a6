//! Files of departments: text, and workbooks whose parts are anything.
//!
//! Input: whether it is a whole file or the parts of a workbook; then the file, or sheet, shared texts, styles and list of sheets, each
//! up to a byte 0xFF.

use std::io::{Cursor, Write};

use xinqiao_workbook::{Fault, ReadCaps, ReadOptions, Reading, read};
use zip::CompressionMethod;
use zip::write::{SimpleFileOptions, ZipWriter};

use super::Input;
use super::bodies::rules;

/// Small, so that inputs of a fuzzer reach them.
const CAPS: ReadCaps = ReadCaps {
    text_bytes: 16 << 10,
    book_bytes: 64 << 10,
    expanded_bytes: 128 << 10,
    shared_bytes: 16 << 10,
    shared_in_memory: 1 << 20,
    cells: 2_000,
    rows: 200,
    cell_bytes: 2_000,
    row_bytes: 4_000,
};

pub(super) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let file = if input.byte().is_multiple_of(2) { input.rest().to_vec() } else { book(&mut input) };
    let (outcome, rows) = seen(&file, CAPS);
    // Texts that lie on the disk are the texts that would be in memory.
    let (on_disk, same) = seen(&file, ReadCaps { shared_in_memory: 0, ..CAPS });
    match (&outcome, &on_disk) {
        (Ok(one), Ok(other)) => {
            assert_eq!((one.rows, one.refused), (other.rows, other.refused));
            assert_eq!(rows, same);
            assert!(one.rows > 0 && one.rows <= CAPS.rows);
        }
        // The cap on shared texts counts their places too, and only those on the disk.
        (one, other) => assert!(one.is_err() || code(other) == "file.expands", "{one:?} {other:?}"),
    }
}

fn code(outcome: &Result<Reading, Fault>) -> &'static str {
    outcome.as_ref().map_or_else(Fault::code, |_| "")
}

/// What is read; each row names its place below the one before, and is a record exactly if it has no fault.
fn seen(file: &[u8], caps: ReadCaps) -> (Result<Reading, Fault>, Vec<(String, String)>) {
    let schema = rules().schemas[0];
    let mut rows = Vec::new();
    let mut last: Option<(Option<String>, u32)> = None;
    let outcome = read(schema, Cursor::new(file), &ReadOptions { charset: None, caps }, &mut |row| {
        let place = row.place();
        let here = (place.sheet().map(str::to_owned), place.row().expect("a row has a number"));
        assert!(last.as_ref().is_none_or(|last| last.0 != here.0 || last.1 < here.1), "rows go down");
        last = Some(here);
        let texts: Vec<(&str, &str)> = row.texts(schema).collect();
        assert!(texts.iter().all(|(_, text)| text.len() <= caps.cell_bytes && !text.is_empty()));
        let shown = format!("{texts:?} {:?}", row.faults());
        for fault in row.faults() {
            assert!(!fault.text_en().contains('{') && !fault.text_zh().contains('{'), "{fault:?}");
        }
        let sound = row.faults().is_empty();
        assert_eq!(row.into_record(schema).is_ok(), sound);
        rows.push((place.to_string(), shown));
    });
    (outcome, rows)
}

fn book(input: &mut Input<'_>) -> Vec<u8> {
    const TYPES: &str = "<Types><Override PartName=\"/xl/workbook.xml\" ContentType=\"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml\"/></Types>";
    const ROOT: &str = "<Relationships><Relationship Id=\"a\" Type=\"x/officeDocument\" Target=\"xl/workbook.xml\"/></Relationships>";
    const RELATIONS: &str = "<Relationships><Relationship Id=\"s\" Type=\"x/worksheet\" Target=\"s.xml\"/><Relationship Id=\"t\" Type=\"x/styles\" Target=\"t.xml\"/><Relationship Id=\"u\" Type=\"x/sharedStrings\" Target=\"u.xml\"/></Relationships>";
    const LIST: &[u8] = b"<workbook><sheets><sheet name=\"s\" r:id=\"s\"/></sheets></workbook>";
    let (sheet, strings, styles, list) = (input.piece(), input.piece(), input.piece(), input.piece());
    let parts: [(&str, &[u8]); 7] = [
        ("[Content_Types].xml", TYPES.as_bytes()),
        ("_rels/.rels", ROOT.as_bytes()),
        ("xl/_rels/workbook.xml.rels", RELATIONS.as_bytes()),
        ("xl/workbook.xml", if list.is_empty() { LIST } else { list }),
        ("xl/s.xml", sheet),
        ("xl/t.xml", styles),
        ("xl/u.xml", strings),
    ];
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in parts {
        let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        writer.start_file(name, stored).expect("memory");
        writer.write_all(content).expect("memory");
    }
    writer.finish().expect("memory").into_inner()
}
