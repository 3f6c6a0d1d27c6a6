//! Spreadsheets for departments: the template of a schema, and files of a department read as rows of one.
//!
//! Knows the record model and nothing of the network: who serves or stores a workbook is another crate's matter.

mod fault;
mod read;
mod template;

pub use fault::{Fault, PROBLEMS, Place, Problem};
pub use read::{EachRow, ReadCaps, ReadOptions, Reading, Row, TextCharset, read};
pub use template::template;

use std::fmt;

/// A workbook that cannot be written: the schema does not fit what a spreadsheet can hold (16,384 columns, 32,767
/// characters in a cell). The fault lies in the catalogue.
#[derive(Debug)]
pub struct WorkbookError {
    schema: String,
    source: rust_xlsxwriter::XlsxError,
}

impl WorkbookError {
    fn new(schema: &str, source: rust_xlsxwriter::XlsxError) -> Self {
        Self { schema: schema.to_owned(), source }
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        "workbook.unwritable"
    }
}

impl fmt::Display for WorkbookError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "schema {}: no workbook can be made; correct its titles and code lists in the catalogue  模式 {} 无法生成 Excel 模板，请检查目录文件中的名称与代码表",
            self.schema, self.schema
        )
    }
}

impl std::error::Error for WorkbookError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}
