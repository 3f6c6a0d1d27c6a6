//! What is wrong with a file, a row or a cell: a stable code, where, and what to do, in English and Chinese.
//!
//! `{0}`… are limits, names from the schema or names of sheets, never a value of a cell.

use std::fmt;
use std::sync::Arc;

/// A stable code with its two sentences.
#[derive(Debug, PartialEq, Eq)]
pub struct Problem {
    /// Lower case with dots and hyphens, e.g. `cell.digits-lost`.
    pub code: &'static str,
    /// English sentence with places `{0}`…
    pub en: &'static str,
    /// Chinese sentence with the same places.
    pub zh: &'static str,
}

macro_rules! problems {
    ($($name:ident $code:literal $en:literal $zh:literal)*) => {
        $(pub(crate) static $name: Problem = Problem { code: $code, en: $en, zh: $zh };)*
        /// All problems, for documentation and for tests.
        pub static PROBLEMS: &[&Problem] = &[$(&$name),*];
    };
}

problems! {
    // ---- the file as a whole: nothing, or nothing further, is read
    FILE_UNREADABLE "file.unreadable" "The file cannot be read to its end. Check that it is complete and not on a drive that went away." "文件无法读完，请检查文件是否完整、所在磁盘是否仍可访问。"
    FILE_EMPTY "file.empty" "The file holds no row below a header row." "文件中表头以下没有数据行。"
    FILE_TOO_LARGE "file.too-large" "The file is larger than {0} bytes. Split it." "文件超过 {0} 字节，请拆分。"
    FILE_TOO_MANY_CELLS "file.too-many-cells" "The file holds more than {0} cells. Split it, or delete cells far from the table." "文件超过 {0} 个单元格，请拆分，或删除表格以外的零散单元格。"
    FILE_TOO_MANY_ROWS "file.too-many-rows" "The file holds more than {0} rows. Split it." "文件超过 {0} 行，请拆分。"
    FILE_CELL_TOO_LONG "file.cell-too-long" "A cell holds more than {0} bytes. Shorten it; a quotation mark that is never closed looks the same." "有单元格超过 {0} 字节，请缩短；引号未闭合也会造成这种情况。"
    FILE_ENCODING "file.encoding" "The text is not valid {0}. Save it again as UTF-8, or declare the character set it is in." "文本不是有效的 {0}，请另存为 UTF-8，或声明其字符集。"
    FILE_ENCODING_UNSURE "file.encoding-unsure" "It cannot be told in which character set the text is. Declare it (UTF-8, UTF-16 or GB18030), or save the file as UTF-8." "无法判断文本的字符集，请声明（UTF-8、UTF-16 或 GB18030），或另存为 UTF-8。"
    FILE_QUOTE "file.quote-unclosed" "A quotation mark opens here and is never closed; the rows after it were not read. Close it." "此处的引号没有闭合，其后的行未读取，请补上。"
    FILE_BINARY "file.not-a-table" "This is neither a workbook nor text. Save the table as .xlsx." "文件既不是工作簿也不是文本，请将表格另存为 .xlsx。"
    FILE_HTML "file.html" "This is a web page, whatever its name says. Open it in a spreadsheet program and save it as .xlsx." "文件实为网页（与扩展名无关），请用表格软件打开后另存为 .xlsx。"
    FILE_XML "file.xml-spreadsheet" "This is an XML document, not a workbook. Open it in a spreadsheet program and save it as .xlsx." "文件是 XML 文档，不是工作簿，请用表格软件打开后另存为 .xlsx。"
    FILE_DAMAGED "file.damaged" "The workbook is damaged or incomplete. Open it in a spreadsheet program, save it as a new .xlsx and use that." "工作簿已损坏或不完整，请用表格软件打开并另存为新的 .xlsx 后使用。"
    FILE_EXPANDS "file.expands" "The workbook unpacks to more than {0} bytes. Split it, or copy the table alone into a new workbook." "工作簿解压后超过 {0} 字节，请拆分，或只将表格复制到新的工作簿。"
    FILE_TEMPORARY "file.temporary" "The computer's folder for temporary files cannot be used, or is full. Make room there, or name another one in TMPDIR." "临时文件目录无法使用或已满，请清理空间，或用 TMPDIR 指定其他目录。"
    FILE_ROW_TOO_LONG "file.row-too-long" "A row holds more than {0} bytes. Shorten its cells." "有一行超过 {0} 字节，请缩短其单元格。"
    FILE_PASSWORD "file.password" "The workbook is protected with a password and cannot be read. Remove the password from it and save it." "工作簿设有打开密码，无法读取。请取消密码后保存。"
    FILE_MACROS "file.macros" "The workbook contains macros. Save it as a workbook without macros (.xlsx)." "工作簿含有宏，请另存为不含宏的工作簿（.xlsx）。"
    FILE_EXTERNAL_LINKS "file.external-links" "The workbook takes values from other workbooks, which are not part of it. Break the links (Data, Edit Links), so that the values stay, and save it." "工作簿引用了其他工作簿的数据。请在“数据—编辑链接”中断开链接（保留数值）后保存。"
    FILE_ARCHIVE "file.archive" "This is an archive or another kind of document, not a workbook. Unpack it, or save the table as .xlsx." "文件是压缩包或其他类型的文档，不是工作簿。请解压，或将表格另存为 .xlsx。"
    FILE_XLS "file.xls" "This is a workbook of the old form (.xls). Save it as .xlsx." "文件是旧格式工作簿（.xls），请另存为 .xlsx。"
    FILE_XLSB "file.xlsb" "This is a binary workbook (.xlsb). Save it as .xlsx." "文件是二进制工作簿（.xlsb），请另存为 .xlsx。"
    HEADER_MISSING "header.missing" "No row names the fields of schema {0}. One row must hold their codes or titles as in the template." "没有找到模式 {0} 的表头行：应有一行为模板中的字段代码或名称。"
    HEADER_UNKNOWN "header.unknown" "This column's title is no field of schema {0}. Correct it as in the template, or delete the column." "该列名称不是模式 {0} 的字段，请按模板更正，或删除该列。"
    HEADER_TWICE "header.twice" "This column and column {0} name the same field {1}. Keep one." "该列与第 {0} 列是同一字段 {1}，请保留一列。"
    HEADER_CONFLICT "header.conflict" "Two header rows name different fields in this column. Keep one of them." "该列的两行表头指向不同字段，请保留一个。"
    // ---- a row
    ROW_COLUMNS "row.column-count" "The row has {1} columns, the header row {0}. Check quotation marks and separators." "该行有 {1} 列，表头有 {0} 列，请检查引号和分隔符。"
    ROW_QUOTE "row.quote" "A quotation mark stands where a value may not have one. Quote the whole value and double the marks inside." "引号位置不合规，请将整个值加引号并将内部引号写两次。"
    // ---- a cell
    CELL_NO_COLUMN "cell.no-column" "The cell stands in a column without a title. Give the column its title, or clear the cell." "该单元格所在列没有名称，请补上列名或清空该单元格。"
    CELL_SCIENTIFIC "cell.scientific" "Field {0} holds a number in scientific notation: digits are lost. Format the column as text and enter the value again from the document." "字段 {0} 为科学计数法，数字已丢失。请将该列设为“文本”格式，按原件重新录入。"
    CELL_ZEROS_LOST "cell.zeros-lost" "Field {0} is shorter than its codes: leading zeros were dropped. Format the column as text and enter the value again with its zeros." "字段 {0} 的长度不足，前导零已丢失。请将该列设为“文本”格式，带零重新录入。"
    CELL_DATE_SERIAL "cell.date-serial" "Field {0} holds the number by which a spreadsheet counts days, and two systems (1900, 1904) count differently. Format the cell as a date, or enter it as text like 2026/11/20." "字段 {0} 是表格内部的日期序号，而 1900 与 1904 两种系统计法不同。请将单元格设为日期格式，或以文本录入，如 2026/11/20。"
    CELL_APOSTROPHE "cell.apostrophe" "The value of field {0} begins with an apostrophe, which a spreadsheet uses to mark text and which is no part of it. Remove it." "字段 {0} 的值以撇号开头，它是表格的文本标记，不属于值本身，请删除。"
    CELL_FORMULA_TEXT "cell.formula-text" "Field {0} holds a formula written as text (=\"…\"). Enter the value alone." "字段 {0} 是以文本形式书写的公式（=\"…\"），请只录入值本身。"
    CELL_FORMULA "cell.formula-uncalculated" "Field {0} is a formula whose result is not in the file. Open the file in a spreadsheet program, save it, or replace the formula by its value." "字段 {0} 为公式，但文件中没有计算结果。请用表格软件打开并保存，或将公式替换为值。"
    CELL_ERROR "cell.error-value" "Field {0} holds an error of the spreadsheet such as #N/A. Correct the formula, or enter the value." "字段 {0} 是表格错误值（如 #N/A），请更正公式或直接录入值。"
    CELL_NUMBER "cell.number" "Field {0} is a text, but the cell holds a number, whose leading zeros a spreadsheet drops. Format the column as text and enter the value again from the document." "字段 {0} 为文本，但单元格是数字，表格会丢掉前导零。请将该列设为“文本”格式，按原件重新录入。"
    CELL_DIGITS_LOST "cell.digits-lost" "Field {0} holds a number of more than 15 digits, of which a spreadsheet keeps no more. Format the column as text and enter the value again from the document." "字段 {0} 是超过 15 位的数字，表格只保留 15 位，其余已丢失。请将该列设为“文本”格式，按原件重新录入。"
    CELL_DATE "cell.date" "Field {0} is no date, but the cell holds one: a spreadsheet turns entries such as 1-2 into dates. Format the column as text and enter the value again." "字段 {0} 不是日期，但单元格是日期：表格会把 1-2 之类的内容改为日期。请将该列设为“文本”格式后重新录入。"
    CELL_NO_DAY "cell.no-day" "Field {0} is formatted as a date but holds none: a time alone, or a day before March 1900, on which spreadsheet programs disagree. Enter the date as text like 2026/11/20." "字段 {0} 设为日期格式但不是确定的日期（只有时间，或早于 1900 年 3 月，各软件算法不同）。请以文本录入，如 2026/11/20。"
    CELL_BOOLEAN "cell.boolean" "Field {0} holds TRUE or FALSE. Format the column as text and enter the value." "字段 {0} 是逻辑值 TRUE 或 FALSE，请将该列设为“文本”格式后录入实际值。"
    CELL_MERGED "cell.merged" "The cell of field {0} is merged with others, of which only the first holds the value. Unmerge them and fill each row." "字段 {0} 的单元格与其他单元格合并，只有首个单元格有值。请取消合并并逐行填写。"
    CELL_UNREADABLE "cell.unreadable" "The cell of field {0} is damaged or of a kind that is not known. Enter the value again." "字段 {0} 的单元格已损坏或类型不明，请重新录入。"
    // ---- what was passed over, or is worth saying; nothing is refused for it
    PASSED_TITLE "passed.title" "A row above the header row was passed over." "表头以上的行已略过。"
    PASSED_TOTAL "passed.total" "A row of totals was passed over." "合计行已略过。"
    PASSED_FOOTNOTE "passed.footnote" "A note below the table was passed over." "表下说明已略过。"
    PASSED_HEADER "passed.header-again" "A repeated header row was passed over." "重复的表头行已略过。"
    PASSED_COLUMN_NUMBERS "passed.column-numbers" "A row that numbers the columns was passed over." "列号行已略过。"
    PASSED_HIDDEN_SHEET "passed.hidden-sheet" "A hidden sheet was passed over. Unhide it if it is to be read." "隐藏的工作表已略过；如需读取，请取消隐藏。"
    PASSED_SHEET "passed.sheet" "A sheet without a header row was passed over." "没有表头行的工作表已略过。"
    READ_HIDDEN_ROWS "read.hidden-rows" "From here on rows are hidden or filtered; they were read like the others. Delete those that are not to be sent." "从此行起有隐藏或被筛选的行，仍按普通行读取；不需报送的请删除。"
    PASSED_NUMBERING "passed.numbering" "A column that numbers the rows was passed over." "序号列已略过。"
}

/// Where something stands. Rows and columns count from 1, as a spreadsheet program shows them.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Place {
    pub(crate) sheet: Option<Arc<str>>,
    pub(crate) row: Option<u32>,
    pub(crate) column: Option<u32>,
}

impl Place {
    pub(crate) fn row_of(sheet: Option<&Arc<str>>, row: u32) -> Self {
        Self { sheet: sheet.cloned(), row: Some(row), column: None }
    }

    pub(crate) fn cell(sheet: Option<&Arc<str>>, row: u32, column: u32) -> Self {
        Self { sheet: sheet.cloned(), row: Some(row), column: Some(column) }
    }

    /// The sheet; none in a text file.
    pub fn sheet(&self) -> Option<&str> {
        self.sheet.as_deref()
    }

    /// The row; none where the whole file or sheet is meant. In a text file rows count as a spreadsheet program shows
    /// them: blank ones too, and a value with line breaks is one row.
    pub fn row(&self) -> Option<u32> {
        self.row
    }

    /// The column; none where the whole row is meant.
    pub fn column(&self) -> Option<u32> {
        self.column
    }
}

/// `数据!C12`, or `数据!12` of a whole row.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(sheet) = &self.sheet {
            f.write_str(sheet)?;
            if self.row.is_some() {
                f.write_str("!")?;
            }
        }
        if let Some(column) = self.column {
            f.write_str(&letters(column))?;
        }
        self.row.map_or(Ok(()), |row| write!(f, "{row}"))
    }
}

/// A column's letters: 1 is A, 27 is AA.
pub(crate) fn letters(mut column: u32) -> String {
    let mut reversed = Vec::new();
    while column > 0 {
        column -= 1;
        reversed.push(char::from(b'A' + u8::try_from(column % 26).expect("below 26")));
        column /= 26;
    }
    reversed.iter().rev().collect()
}

/// One problem at one place.
#[derive(Clone, PartialEq, Eq)]
pub struct Fault {
    problem: &'static Problem,
    place: Place,
    params: Vec<String>,
}

impl Fault {
    pub(crate) fn new(problem: &'static Problem, place: Place) -> Self {
        Self { problem, place, params: Vec::new() }
    }

    pub(crate) fn of_file(problem: &'static Problem) -> Self {
        Self::new(problem, Place::default())
    }

    #[must_use]
    pub(crate) fn with(mut self, param: impl ToString) -> Self {
        self.params.push(param.to_string());
        self
    }

    /// The same on a sheet, where none is named yet.
    #[must_use]
    pub(crate) fn on(mut self, sheet: &Arc<str>) -> Self {
        self.place.sheet.get_or_insert_with(|| Arc::clone(sheet));
        self
    }

    /// The same at a cell, where no place is named yet.
    #[must_use]
    pub(crate) fn at(mut self, row: u32, column: u32) -> Self {
        self.place.row.get_or_insert(row);
        self.place.column.get_or_insert(column);
        self
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        self.problem.code
    }

    /// Where it stands.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// What is wrong and what to do, in English, without the place.
    pub fn text_en(&self) -> String {
        self.fill(self.problem.en)
    }

    /// The same in Chinese.
    pub fn text_zh(&self) -> String {
        self.fill(self.problem.zh)
    }

    fn fill(&self, sentence: &str) -> String {
        let mut text = sentence.to_owned();
        for (number, param) in self.params.iter().enumerate() {
            text = text.replace(&format!("{{{number}}}"), param);
        }
        text
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fault({} at {})", self.problem.code, self.place)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.place.to_string();
        let gap = if place.is_empty() { "" } else { ": " };
        write!(f, "{place}{gap}{} [{}]", self.text_en(), self.problem.code)
    }
}

impl std::error::Error for Fault {}
