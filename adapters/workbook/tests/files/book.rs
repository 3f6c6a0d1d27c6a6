//! Workbooks part by part, so that each defect is exactly the one a test means.

use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;

/// The parts of a workbook, by name.
#[derive(Clone)]
pub(crate) struct Book(pub(crate) Vec<(String, Vec<u8>)>);

const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>";
const MAIN: &str = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
const RELATIONS: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";

impl Book {
    /// One sheet 数据 with these rows as XML.
    pub(crate) fn of(rows: &str) -> Self {
        Self::with_sheet(&format!("<sheetData>{rows}</sheetData>"))
    }

    /// One sheet 数据 with this content.
    pub(crate) fn with_sheet(content: &str) -> Self {
        let kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml";
        Book(Vec::new())
            .put("[Content_Types].xml", &format!("<Types><Override PartName=\"/xl/workbook.xml\" ContentType=\"{kind}\"/></Types>"))
            .put(
                "_rels/.rels",
                &format!("<Relationships><Relationship Id=\"a\" Type=\"{RELATIONS}/officeDocument\" Target=\"xl/workbook.xml\"/></Relationships>"),
            )
            .put(
                "xl/workbook.xml",
                &format!("<workbook xmlns=\"{MAIN}\" xmlns:r=\"{RELATIONS}\"><workbookPr/><sheets><sheet name=\"数据\" sheetId=\"1\" r:id=\"s1\"/></sheets></workbook>"),
            )
            .put("xl/_rels/workbook.xml.rels", &format!("<Relationships>{}{}{}</Relationships>",
                relation("s1", "worksheet", "worksheets/sheet1.xml"),
                relation("t", "styles", "styles.xml"),
                relation("u", "sharedStrings", "/xl/sharedStrings.xml"),
            ))
            .put("xl/styles.xml", "<styleSheet><numFmts><numFmt numFmtId=\"164\" formatCode=\"yyyy&quot;年&quot;m&quot;月&quot;d&quot;日&quot;\"/></numFmts><cellStyleXfs><xf numFmtId=\"14\"/></cellStyleXfs><cellXfs><xf numFmtId=\"0\"/><xf numFmtId=\"14\"/><xf numFmtId=\"164\"/></cellXfs></styleSheet>")
            .put("xl/sharedStrings.xml", "<sst><si><t>CF_WSH</t></si><si><t>CF_NR</t></si><si><r><t>共</t></r><r><t xml:space=\"preserve\">享</t></r><rPh><t>gong</t></rPh></si><si/><si><t/></si></sst>")
            .put("xl/worksheets/sheet1.xml", &format!("<worksheet xmlns=\"{MAIN}\">{content}</worksheet>"))
    }

    /// With a part, instead of the one that has this name.
    pub(crate) fn put(mut self, name: &str, content: &str) -> Self {
        self.0.retain(|(known, _)| known != name);
        self.0.push((name.to_owned(), format!("{DECLARATION}{content}").into_bytes()));
        self
    }

    /// With a text in a part exchanged.
    pub(crate) fn replace(mut self, name: &str, from: &str, to: &str) -> Self {
        let (_, part) = self.0.iter_mut().find(|(known, _)| known == name).unwrap();
        let text = String::from_utf8(part.clone()).unwrap();
        assert!(text.contains(from), "{from}");
        *part = text.replace(from, to).into_bytes();
        self
    }

    pub(crate) fn zipped(&self) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, part) in &self.0 {
            writer.start_file(name.as_str(), SimpleFileOptions::default()).unwrap();
            writer.write_all(part).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }
}

pub(crate) fn relation(id: &str, kind: &str, target: &str) -> String {
    format!("<Relationship Id=\"{id}\" Type=\"{RELATIONS}/{kind}\" Target=\"{target}\"/>")
}

/// A row with texts in the cells themselves.
pub(crate) fn row(number: u32, texts: &[&str]) -> String {
    let cell = |text: &&str| format!("<c t=\"inlineStr\"><is><t>{text}</t></is></c>");
    format!("<row r=\"{number}\">{}</row>", texts.iter().map(cell).collect::<String>())
}
