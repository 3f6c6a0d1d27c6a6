//! What a department fills in: a workbook per schema.

use rust_xlsxwriter::{DataValidation, Format, FormatBorder, Workbook, XlsxError};
use xinqiao_schemas::{FieldType, Schema};

use crate::WorkbookError;

/// Rows of the sheet that carry a drop-down.
const ROWS: u32 = 10_000;
/// A spreadsheet's own limit on the text of a drop-down list.
const LIST_CHARACTERS: usize = 250;

/// An Excel 2007 workbook (ECMA-376) for one schema: the sheet 数据 to fill, its first row the fields' Chinese titles, and the
/// sheet 填表说明 that says of each field its code, title, whether it is required, and its type.
///
/// Every column is formatted as text, so that codes keep their zeroes and dates their spelling. A short closed code list
/// is offered as a drop-down.
pub fn template(schema: &Schema) -> Result<Vec<u8>, WorkbookError> {
    write(schema).map_err(|error| WorkbookError::new(schema.id(), error))
}

fn write(schema: &Schema) -> Result<Vec<u8>, XlsxError> {
    let mut book = Workbook::new();
    let head = Format::new().set_bold().set_border(FormatBorder::Thin);
    let text = Format::new().set_num_format("@");
    let sheet = book.add_worksheet().set_name("数据")?;
    for (column, field) in (0..).zip(schema.fields()) {
        // The header is read back as a field's name; which are required stands on the second sheet.
        sheet.write_with_format(0, column, field.title(), &head)?;
        sheet.set_column_width(column, 20)?;
        sheet.set_column_format(column, &text)?;
        if let FieldType::Code { set, separator: None, .. } = field.kind() {
            let codes: Vec<&str> = set.values().iter().map(|v| v.code()).collect();
            let listed: usize = codes.iter().map(|c| c.chars().count() + 1).sum();
            if listed < LIST_CHARACTERS && set.values().iter().all(|v| v.suffix().is_none()) {
                let choice = DataValidation::new().allow_list_strings(&codes)?;
                sheet.add_data_validation(1, column, ROWS, column, &choice)?;
            }
        }
    }
    sheet.set_freeze_panes(1, 0)?;
    let notes = book.add_worksheet().set_name("填表说明")?;
    for (column, title) in (0..).zip(["代码", "名称", "必填", "类型", "说明"]) {
        notes.write_with_format(0, column, title, &head)?;
    }
    for (row, field) in (1..).zip(schema.fields()) {
        notes.write(row, 0, field.code())?;
        notes.write(row, 1, field.title())?;
        notes.write(row, 2, if field.required() { "是" } else { "" })?;
        let (kind, note) = describe(field.kind());
        notes.write(row, 3, kind)?;
        notes.write(row, 4, note)?;
    }
    notes.set_column_width(1, 36)?;
    notes.set_column_width(4, 60)?;
    book.save_to_buffer()
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
