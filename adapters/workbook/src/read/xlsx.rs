//! Workbooks of Excel 2007 and later (ECMA-376, transitional and strict), read as a stream.
//!
//! Not by `calamine`: it keeps all shared texts in memory, bounds nothing that it unpacks, and does not say which rows are hidden,
//! which cells are merged and which formulas were never calculated.

mod sheet;
mod styles;

use std::collections::HashMap;
use std::io::{Read, Seek};
use std::sync::Arc;

use quick_xml::events::{BytesStart, Event};
use xinqiao_schemas::Schema;

use crate::fault::{self, Fault, Place};
use crate::read::archive::Archive;
use crate::read::header::Names;
use crate::read::markup::{Markup, attribute};
use crate::read::merged::Merged;
use crate::read::strings::Strings;
use crate::read::table::{CellCount, Shape, Table, finished};
use crate::read::{EachRow, ReadCaps, ReadOptions, Reading};
use sheet::Book;
use styles::Styles;

/// Sheets of a workbook.
const SHEETS: usize = 1_024;

pub(crate) fn read<R: Read + Seek>(
    schema: &Schema,
    source: R,
    options: &ReadOptions,
    each: EachRow<'_>,
) -> Result<Reading, Fault> {
    let caps = &options.caps;
    let mut archive = Archive::open(source, caps)?;
    let main = main_part(&mut archive, caps)?;
    let Outline { sheets, from_1904, styles, strings } = outline(&mut archive, &main, caps)?;
    let styles = match styles {
        Some(part) => Styles::read(archive.part(&part)?, caps)?,
        None => Styles::default(),
    };
    let strings = match strings {
        Some(part) => Strings::read(archive.part(&part)?, caps)?,
        None => Strings::none(),
    };
    let mut book = Book { strings, styles, from_1904 };
    let names = Names::new(schema);
    let mut reading = Reading::default();
    let mut count = CellCount::new(caps);
    let mut found = false;
    for Listed { name, hidden, part } in sheets {
        if hidden {
            let place = Place { sheet: Some(name), row: None, column: None };
            reading.notice(Fault::new(&fault::PASSED_HIDDEN_SHEET, place));
            continue;
        }
        let on_sheet = |fault: Fault| fault.on(&name);
        let merged = Merged::find(archive.part(&part)?).map_err(on_sheet)?;
        let mut table = Table::new(schema, &names, caps, Some(Arc::clone(&name)), &mut reading, each);
        table.merged(merged);
        let mut hidden_rows = None;
        let mut filled = false;
        let rows = sheet::rows(archive.part(&part)?, &mut book, caps, &mut |row| {
            count.take(row.cells.iter().filter(|(_, value)| !value.is_blank()).count())?;
            filled |= row.cells.iter().any(|(_, value)| !value.is_blank());
            if row.hidden && hidden_rows.is_none() {
                hidden_rows = Some(row.number);
            }
            table.row(row.number, row.cells, Shape::FULL)
        });
        rows.map_err(on_sheet)?;
        let headed = table.end().map_err(on_sheet)?;
        found |= headed;
        let of_sheet = Place { sheet: Some(Arc::clone(&name)), row: None, column: None };
        if let (Some(row), true) = (hidden_rows, headed) {
            reading.notice(Fault::new(&fault::READ_HIDDEN_ROWS, Place::row_of(Some(&name), row)));
        }
        if filled && !headed {
            reading.notice(Fault::new(&fault::PASSED_SHEET, of_sheet));
        }
    }
    finished(schema, found, reading)
}

/// The name of the part that lists the sheets; or what the archive is instead.
fn main_part<R: Read + Seek>(archive: &mut Archive<R>, caps: &ReadCaps) -> Result<String, Fault> {
    if !archive.has("[Content_Types].xml") || !archive.has("_rels/.rels") {
        return Err(Fault::of_file(&fault::FILE_ARCHIVE));
    }
    let relations = relations(archive, "", caps)?;
    let main = relations.values().find(|relation| relation.is("officeDocument"));
    let main = main.ok_or_else(|| Fault::of_file(&fault::FILE_ARCHIVE))?.target.clone();
    let macros = archive.names().any(|name| name.ends_with("vbaproject.bin"));
    let mut kind = String::new();
    let mut markup = Markup::new(archive.part("[Content_Types].xml")?, caps);
    loop {
        match markup.next()? {
            Event::Start(tag) | Event::Empty(tag) if tag.local_name().as_ref() == "Override" => {
                let name = attribute(&tag, "PartName")?;
                if name.is_some_and(|name| name.trim_start_matches('/').eq_ignore_ascii_case(&main)) {
                    kind = attribute(&tag, "ContentType")?.unwrap_or_default().to_lowercase();
                }
            }
            Event::Eof => break,
            _ => {}
        }
    }
    if kind.contains("sheet.binary") {
        return Err(Fault::of_file(&fault::FILE_XLSB));
    }
    if macros || kind.contains("macroenabled") {
        return Err(Fault::of_file(&fault::FILE_MACROS));
    }
    // Some programs give the type of all XML parts only; what is no list of sheets has none then.
    let other = ["wordprocessingml", "presentationml", "visio"].iter().any(|other| kind.contains(other));
    if other { Err(Fault::of_file(&fault::FILE_ARCHIVE)) } else { Ok(main) }
}

/// A relation of one part to another.
struct Relation {
    kind: String,
    target: String,
}

impl Relation {
    fn is(&self, kind: &str) -> bool {
        self.kind.rsplit('/').next().is_some_and(|last| last.eq_ignore_ascii_case(kind))
    }
}

/// The relations of a part (of the archive for ""), by id, targets as names of parts.
fn relations<R: Read + Seek>(
    archive: &mut Archive<R>,
    part: &str,
    caps: &ReadCaps,
) -> Result<HashMap<String, Relation>, Fault> {
    let (folder, name) = part.rsplit_once('/').unwrap_or(("", part));
    let file = format!("{folder}/_rels/{name}.rels");
    let mut relations = HashMap::new();
    let mut markup = Markup::new(archive.part(file.trim_start_matches('/'))?, caps);
    loop {
        match markup.next()? {
            Event::Start(tag) | Event::Empty(tag) if tag.local_name().as_ref() == "Relationship" => {
                let of = |name: &str| attribute(&tag, name).map(Option::unwrap_or_default);
                let relation =
                    Relation { kind: of("Type")?.into(), target: resolved(folder, &of("Target")?) };
                relations.insert(of("Id")?.into_owned(), relation);
            }
            Event::Eof => return Ok(relations),
            _ => {}
        }
        if relations.len() > 4 * SHEETS {
            return Err(Fault::of_file(&fault::FILE_DAMAGED));
        }
    }
}

/// A target as the name of a part: from the root, or from the folder of the part that has the relation.
fn resolved(folder: &str, target: &str) -> String {
    let target = target.replace('\\', "/");
    let mut steps: Vec<&str> = if target.starts_with('/') {
        Vec::new()
    } else {
        folder.split('/').filter(|s| !s.is_empty()).collect()
    };
    for step in target.split('/') {
        match step {
            "" | "." => {}
            ".." => drop(steps.pop()),
            step => steps.push(step),
        }
    }
    steps.join("/")
}

/// What the part that lists the sheets says.
struct Outline {
    sheets: Vec<Listed>,
    from_1904: bool,
    styles: Option<String>,
    strings: Option<String>,
}

struct Listed {
    name: Arc<str>,
    hidden: bool,
    part: String,
}

fn outline<R: Read + Seek>(archive: &mut Archive<R>, main: &str, caps: &ReadCaps) -> Result<Outline, Fault> {
    let relations = relations(archive, main, caps)?;
    if relations.values().any(|relation| relation.is("vbaProject") || relation.is("xlMacrosheet")) {
        return Err(Fault::of_file(&fault::FILE_MACROS));
    }
    if relations.values().any(|relation| relation.is("externalLink")) {
        return Err(Fault::of_file(&fault::FILE_EXTERNAL_LINKS));
    }
    let target = |kind: &str| {
        let relation = relations.values().find(|relation| relation.is(kind));
        relation.map(|relation| relation.target.clone())
    };
    let (styles, strings) = (target("styles"), target("sharedStrings"));
    let mut outline = Outline { sheets: Vec::new(), from_1904: false, styles, strings };
    let mut markup = Markup::new(archive.part(main)?, caps);
    loop {
        match markup.next()? {
            Event::Start(tag) | Event::Empty(tag) => match tag.local_name().as_ref() {
                "workbookPr" => {
                    outline.from_1904 = matches!(attribute(&tag, "date1904")?.as_deref(), Some("1" | "true"));
                }
                "sheet" => outline.sheets.extend(listed(&tag, &relations)?),
                _ => {}
            },
            Event::Eof => return Ok(outline),
            _ => {}
        }
        if outline.sheets.len() > SHEETS {
            return Err(Fault::of_file(&fault::FILE_DAMAGED));
        }
    }
}

/// A sheet with cells; charts and dialogues have none.
fn listed(tag: &BytesStart<'_>, relations: &HashMap<String, Relation>) -> Result<Option<Listed>, Fault> {
    // `sheetId` has another local name; `r:id` is the only one called so.
    let id = attribute(tag, "id")?.unwrap_or_default();
    let relation = relations.get(&*id).ok_or_else(|| Fault::of_file(&fault::FILE_DAMAGED))?;
    if !relation.is("worksheet") {
        return Ok(None);
    }
    let hidden = attribute(tag, "state")?.is_some_and(|state| state != "visible");
    let name = attribute(tag, "name")?.unwrap_or_default();
    // It is shown to people, on a terminal too.
    let name: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
    Ok(Some(Listed { name: name.into(), hidden, part: relation.target.clone() }))
}
