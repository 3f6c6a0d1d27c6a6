//! What a department fills in: a workbook per schema, and the XML Schema of its bodies.

use rust_xlsxwriter::{DataValidation, Format, FormatBorder, Workbook};
use std::fmt::Write;
use xinqiao_schemas::{FieldType, Schema};

/// Rows of the sheet that carry a drop-down.
const ROWS: u32 = 10_000;
/// A spreadsheet's own limit on the text of a drop-down list.
const LIST_CHARACTERS: usize = 250;

/// A workbook with one sheet to fill and one that explains each field (填表说明).
pub fn workbook(schema: &Schema) -> Option<Vec<u8>> {
    let mut book = Workbook::new();
    let head = Format::new().set_bold().set_border(FormatBorder::Thin);
    let text = Format::new().set_num_format("@");
    let sheet = book.add_worksheet().set_name("数据").ok()?;
    for (n, field) in schema.fields().iter().enumerate() {
        let column = u16::try_from(n).ok()?;
        // The header is read back as a field's name; which are required stands on the second sheet.
        sheet.write_with_format(0, column, field.title(), &head).ok()?;
        sheet.set_column_width(column, 20).ok()?;
        // Everything is text, so that codes keep their zeroes and dates their spelling.
        sheet.set_column_format(column, &text).ok()?;
        if let FieldType::Code { set, separator: None, .. } = field.kind() {
            let codes: Vec<&str> = set.values().iter().map(|v| v.code()).collect();
            let listed: usize = codes.iter().map(|c| c.chars().count() + 1).sum();
            if listed < LIST_CHARACTERS && set.values().iter().all(|v| v.suffix().is_none()) {
                let choice = DataValidation::new().allow_list_strings(&codes).ok()?;
                sheet.add_data_validation(1, column, ROWS, column, &choice).ok()?;
            }
        }
    }
    sheet.set_freeze_panes(1, 0).ok()?;
    let notes = book.add_worksheet().set_name("填表说明").ok()?;
    for (column, title) in ["代码", "名称", "必填", "类型", "说明"].iter().enumerate() {
        notes.write_with_format(0, u16::try_from(column).ok()?, *title, &head).ok()?;
    }
    for (n, field) in schema.fields().iter().enumerate() {
        let row = u32::try_from(n).ok()? + 1;
        notes.write(row, 0, field.code()).ok()?;
        notes.write(row, 1, field.title()).ok()?;
        notes.write(row, 2, if field.required() { "是" } else { "" }).ok()?;
        let (kind, note) = describe(field.kind());
        notes.write(row, 3, kind).ok()?;
        notes.write(row, 4, note).ok()?;
    }
    notes.set_column_width(1, 36).ok()?;
    notes.set_column_width(4, 60).ok()?;
    book.save_to_buffer().ok()
}

fn describe(kind: &FieldType) -> (&'static str, String) {
    match kind {
        FieldType::Text(l) => ("文本", format!("最长 {}", l.max)),
        FieldType::Number { precision, scale } => {
            ("数字", format!("最多 {precision} 位，其中小数 {scale} 位"))
        }
        FieldType::Date => ("日期", "如 2026/07/20；长期填 2099/12/31".into()),
        FieldType::Code { set, separator, .. } => {
            let codes: Vec<&str> = set.values().iter().map(|v| v.code()).collect();
            let several = separator.as_deref().map_or(String::new(), |s| format!("；多个值以“{s}”分隔"));
            ("代码", format!("取值：{}{several}", codes.join("、")))
        }
        FieldType::Identifier { .. } => ("标识码", "按国家标准校验".into()),
        FieldType::Certificate { limits, .. } => ("证件号码", format!("最长 {}", limits.max)),
    }
}

/// The XML Schema of `<records><record>…</record></records>` for a schema. It fixes names and order-free content;
/// the rules themselves are in `schema.json` and are judged at submission.
pub fn xml_schema(schema: &Schema) -> String {
    let mut out = String::from(concat!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n",
        "<xs:schema xmlns:xs=\"http://www.w3.org/2001/XMLSchema\" elementFormDefault=\"qualified\">\n",
        "  <xs:element name=\"records\">\n    <xs:complexType>\n      <xs:sequence>\n",
        "        <xs:element name=\"record\" maxOccurs=\"unbounded\">\n          <xs:complexType>\n            <xs:all>\n",
    ));
    let reserved = ["ref", "replaces", "authorisation", "audience"];
    for field in schema.fields() {
        let least = u8::from(field.required());
        let kind = match field.kind() {
            FieldType::Number { precision, scale } => format!(
                "<xs:simpleType><xs:restriction base=\"xs:decimal\"><xs:totalDigits value=\"{precision}\"/><xs:fractionDigits value=\"{scale}\"/></xs:restriction></xs:simpleType>"
            ),
            _ => "<xs:simpleType><xs:restriction base=\"xs:string\"/></xs:simpleType>".to_owned(),
        };
        let title = field.title().replace('&', "&amp;").replace('<', "&lt;");
        let _ = writeln!(
            out,
            "              <xs:element name=\"{}\" minOccurs=\"{least}\"><xs:annotation><xs:documentation xml:lang=\"zh\">{title}</xs:documentation></xs:annotation>{kind}</xs:element>",
            field.code(),
        );
    }
    for name in reserved {
        let _ =
            writeln!(out, "              <xs:element name=\"{name}\" minOccurs=\"0\" type=\"xs:string\"/>");
    }
    out.push_str(concat!(
        "            </xs:all>\n          </xs:complexType>\n        </xs:element>\n",
        "      </xs:sequence>\n    </xs:complexType>\n  </xs:element>\n</xs:schema>\n",
    ));
    out
}
