//! Workbooks made by hand: every kind of cell, and every defect on its own.

use std::io::Write;

use proptest::prelude::*;
use xinqiao_schemas::{Catalogue, FieldType};
use xinqiao_workbook::{ReadCaps, ReadOptions};
use zip::write::SimpleFileOptions;

use crate::book::{Book, relation, row};
use crate::seen::{noticed, of_schema, refusal, seen, with};

const SHEET: &str = "xl/worksheets/sheet1.xml";

/// The faults of one row below a header of these columns, or its texts if it has none.
fn cells(header: &[&str], cells: &str) -> Vec<String> {
    let book = Book::of(&format!("{}<row r=\"2\">{cells}</row>", row(1, header)));
    let (_, mut rows) = seen(&book.zipped());
    let (_, texts, faults) = rows.remove(0);
    if faults.is_empty() { texts.into_iter().map(|(_, text)| text).collect() } else { faults }
}

#[test]
fn cells_are_read_as_what_they_are() {
    let header = "<row r=\"1\"><c r=\"A1\" t=\"s\"><v>0</v></c><c r=\"B1\" t=\"s\"><v> 1 </v></c></row>";
    let rows = [
        "<row r=\"3\"><c r=\"A3\" t=\"s\"><v>2</v></c><c t=\"inlineStr\"><is><r><t>行</t></r><r><t>内</t></r></is></c></row>",
        "<row><c t=\"str\"><f>A3</f><v>公式 &amp; &#x4E00;</v></c><c t=\"s\"><v>3</v></c></row>",
        "<row r=\"9\"><c r=\"B9\" t=\"inlineStr\"><is><t>a_x000D_<![CDATA[<b>]]></t></is></c></row>",
    ];
    let book = Book::of(&format!("{header}{}", rows.concat()));
    let (reading, rows) = seen(&book.zipped());
    assert_eq!((reading.rows, reading.refused), (3, 0));
    let of = |field: &str, text: &str| (field.to_owned(), text.to_owned());
    assert_eq!(rows[0], ("数据!3".into(), vec![of("CF_WSH", "共享"), of("CF_NR", "行内")], vec![]));
    assert_eq!(rows[1], ("数据!4".into(), vec![of("CF_WSH", "公式 & 一")], vec![]));
    assert_eq!(rows[2], ("数据!9".into(), vec![of("CF_NR", "a\r<b>")], vec![]));
}

#[test]
fn numbers_and_dates_stand_only_where_the_field_is_one() {
    let of = |cell: &str| {
        ["CF_WSH", "CF_XDR_SHXYM", "CF_XDR_LB", "CF_NR_FK", "CF_JDRQ"].map(|field| {
            cells(&["CF_NR", field], &format!("<c t=\"inlineStr\"><is><t>罚</t></is></c>{cell}"))
                .pop()
                .unwrap()
        })
    };
    let number = of("<c><v>350200100012345</v></c>");
    assert_eq!(
        number,
        [
            "cell.number 数据!B2",
            "cell.number 数据!B2",
            "cell.number 数据!B2",
            "350200100012345",
            "cell.date-serial 数据!B2"
        ]
    );
    let long = of("<c><v>3.5020319900101E+17</v></c>");
    assert_eq!(long, [0; 5].map(|_| "cell.digits-lost 数据!B2"));
    assert_eq!(of("<c><v>1234.5599999999999</v></c>")[3], "1234.56");
    assert_eq!(of("<c><v>20261120</v></c>")[4], "20261120");
    let day = of("<c s=\"2\"><v>46346</v></c>");
    assert_eq!(
        day,
        ["cell.date 数据!B2", "cell.date 数据!B2", "cell.date 数据!B2", "cell.date 数据!B2", "2026/11/20"]
    );
    assert_eq!(of("<c s=\"1\"><v>46346.4375</v></c>")[4], "2026/11/20 10:30:00");
    assert_eq!(of("<c t=\"d\"><v>2026-11-20</v></c>")[4], "2026/11/20");
    assert_eq!(of("<c s=\"1\"><v>0.5</v></c>")[3..], ["cell.date 数据!B2", "cell.no-day 数据!B2"]);
    assert_eq!(of("<c s=\"1\"><v>60</v></c>")[4], "cell.no-day 数据!B2");
    // A style of the styles that cells are not made by is none.
    assert_eq!(of("<c s=\"0\"><v>46346</v></c>")[4], "cell.date-serial 数据!B2");
    for (cell, problem) in [
        ("<c t=\"b\"><v>1</v></c>", "cell.boolean"),
        ("<c t=\"e\"><v>#SPILL!</v></c>", "cell.error-value"),
        ("<c t=\"str\"><v>#N/A</v></c>", "cell.error-value"),
        ("<c><f>A1</f></c>", "cell.formula-uncalculated"),
        ("<c><f>A1</f><v>0</v></c>", "cell.formula-uncalculated"),
        ("<c><f t=\"shared\" si=\"0\"/><v/></c>", "cell.formula-uncalculated"),
        ("<c t=\"s\"><v>77</v></c>", "cell.unreadable"),
        ("<c t=\"s\"><v>-1</v></c>", "cell.unreadable"),
        ("<c t=\"?\"><v>1</v></c>", "cell.unreadable"),
        ("<c><v>NaN</v></c>", "cell.unreadable"),
        ("<c><v>1 2</v></c>", "cell.unreadable"),
    ] {
        for seen in of(cell) {
            assert_eq!(seen, format!("{problem} 数据!B2"), "{cell}");
        }
    }
    // A formula that results in nothing leaves the cell blank; one with a result is what it results in.
    assert_eq!(
        cells(
            &["CF_NR", "CF_WSH"],
            "<c t=\"inlineStr\"><is><t>罚</t></is></c><c t=\"str\"><f>A1</f><v></v></c>"
        ),
        ["罚"]
    );
    assert_eq!(of("<c><f>A1</f><v>12.5</v></c>")[3], "12.5");
}

#[test]
fn a_code_is_taken_from_a_number_only_if_it_can_be_no_other() {
    let catalogue = Catalogue::builtin().unwrap();
    let mut seen = 0;
    for schema in catalogue.schemas() {
        let text = schema.fields().iter().find(|field| matches!(field.kind(), FieldType::Text(_))).unwrap();
        for field in schema.fields() {
            let FieldType::Code { set, separator: None, .. } = field.kind() else { continue };
            for value in set.values().iter().filter(|value| value.code().bytes().all(|b| b.is_ascii_digit()))
            {
                let code = value.code();
                let rows = row(1, &[text.code(), field.code()]);
                let book = Book::of(&format!("{rows}<row><c/><c><v>{code}</v></c></row>"));
                let (_, mut rows) = of_schema(schema, &book.zipped(), &ReadOptions::default());
                let (_, texts, faults) = rows.remove(0);
                let zeros = code != "0" && code.starts_with('0');
                let expected = if zeros { vec!["cell.zeros-lost 数据!B2".to_owned()] } else { vec![] };
                assert_eq!(faults, expected, "{} {code}", field.code());
                assert!(zeros || texts == [(field.code().to_owned(), code.to_owned())], "{code}");
                seen += 1;
            }
        }
    }
    assert!(seen > 3);
}

#[test]
fn days_of_1904_are_counted_from_there() {
    let rows = format!(
        "{}<row r=\"2\"><c t=\"inlineStr\"><is><t>罚</t></is></c><c s=\"1\"><v>44884</v></c></row>",
        row(1, &["CF_NR", "CF_JDRQ"])
    );
    let book = Book::of(&rows).replace("xl/workbook.xml", "<workbookPr/>", "<workbookPr date1904=\"1\"/>");
    assert_eq!(seen(&book.zipped()).1[0].1[1].1, "2026/11/20");
}

#[test]
fn merged_cells_of_a_record_are_refused_and_merged_titles_are_not() {
    let rows = [
        row(1, &["行政处罚信息表"]),
        row(2, &["行政处罚决定书文号", "处罚情况", ""]),
        row(3, &["", "CF_SY", "CF_NR"]),
        row(4, &["甲1号", "一", "二"]),
        row(5, &["", "一", "二"]),
        row(6, &["甲3号", "一"]),
    ];
    let merges = "<mergeCells count=\"5\"><mergeCell ref=\"A1:C1\"/><mergeCell ref=\"A2:A3\"/><mergeCell ref=\"B2:C2\"/><mergeCell  ref = 'A4:A5' /><mergeCell ref=\"B6:C6\"/></mergeCells>";
    let book = Book::with_sheet(&format!("<sheetData>{}</sheetData>{merges}", rows.concat()));
    let (reading, rows) = seen(&book.zipped());
    assert_eq!(noticed(&reading), ["passed.title 数据!1"]);
    let faults: Vec<_> = rows.into_iter().map(|(place, _, faults)| (place, faults)).collect();
    let expected = [
        ("数据!4", vec![]),
        ("数据!5", vec!["cell.merged 数据!A5".to_owned()]),
        ("数据!6", vec!["cell.merged 数据!C6".into()]),
    ];
    assert_eq!(faults, expected.map(|(place, faults)| (place.to_owned(), faults)));
    // Far behind the rows, over the border of what is looked at at once.
    for distance in 65_250..65_350 {
        let filler = " ".repeat(distance);
        let content = format!(
            "<sheetData>{}{}{}</sheetData>{filler}{merges}",
            row(3, &["CF_WSH", "CF_SY", "CF_NR"]),
            row(4, &["甲1号", "一", "二"]),
            row(5, &["", "一", "二"])
        );
        let (reading, _) = seen(&Book::with_sheet(&content).zipped());
        assert_eq!(reading.refused, 1, "{distance}");
    }
}

#[test]
fn hidden_sheets_and_rows_are_said() {
    let hidden = format!("{}{}", row(1, &["CF_WSH", "CF_NR"]), row(2, &["乙1号", "不读"]));
    let shown = format!(
        "{}{}<row r=\"3\" hidden=\"1\"><c t=\"inlineStr\"><is><t>甲2号</t></is></c></row>{}",
        row(1, &["CF_WSH", "CF_NR"]),
        row(2, &["甲1号", "一"]),
        row(4, &["(1)", "（2）"])
    );
    let worksheets = relation("s2", "worksheet", "/xl/worksheets/Sheet2.xml")
        + &relation("s3", "worksheet", "worksheets/../worksheets/./sheet3.xml")
        + &relation("s4", "chartsheet", "chartsheets/sheet1.xml");
    let book = Book::of(&shown)
        .replace("xl/_rels/workbook.xml.rels", "</Relationships>", &format!("{worksheets}</Relationships>"))
        .replace("xl/workbook.xml", "</sheets>", "<sheet name=\"旧\" state=\"veryHidden\" r:id=\"s2\"/><sheet name=\"说明\" r:id=\"s3\"/><sheet name=\"图\" r:id=\"s4\"/></sheets>")
        .put("xl/worksheets/sheet2.xml", &format!("<worksheet><sheetData>{hidden}</sheetData></worksheet>"))
        .put("xl/worksheets/sheet3.xml", &format!("<x:worksheet xmlns:x=\"x\"><x:sheetData>{}</x:sheetData></x:worksheet>", row(1, &["代码", "名称"]).replace("<row", "<x:row").replace("</row", "</x:row")));
    let (reading, rows) = seen(&book.zipped());
    assert_eq!(
        rows.iter().map(|(place, _, _)| place.as_str()).collect::<Vec<_>>(),
        ["数据!2", "数据!3", "数据!4"]
    );
    assert_eq!(noticed(&reading), ["read.hidden-rows 数据!3", "passed.hidden-sheet 旧", "passed.sheet 说明"]);
}

#[test]
fn rows_that_number_the_columns_are_passed_over() {
    let rows = [
        row(1, &["CF_WSH", "CF_SY", "CF_NR"]),
        row(2, &["1", "2", "3"]),
        row(3, &["（1）", "（2）", "（3）"]),
        row(4, &["1", "3", "2"]),
    ];
    let (reading, rows) = seen(&Book::of(&rows.concat()).zipped());
    assert_eq!(
        (noticed(&reading), rows.len()),
        (vec!["passed.column-numbers 数据!2".into(), "passed.column-numbers 数据!3".to_owned()], 1)
    );
}

#[test]
fn what_is_no_plain_workbook_gets_one_sentence() {
    let book = Book::of(&(row(1, &["CF_WSH", "CF_NR"]) + &row(2, &["甲", "乙"])));
    assert_eq!(seen(&book.zipped()).0.rows, 1);
    let types = "[Content_Types].xml";
    let rels = "xl/_rels/workbook.xml.rels";
    let xml = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml";
    let also = |kind: &str| {
        book.clone().replace(rels, "</Relationships>", &(relation("z", kind, "z.xml") + "</Relationships>"))
    };
    for (book, code) in [
        (book.clone().put("xl/vbaProject.bin", ""), "file.macros"),
        (
            book.clone().replace(types, xml, "application/vnd.ms-excel.sheet.macroEnabled.main+xml"),
            "file.macros",
        ),
        (also("xlMacrosheet"), "file.macros"),
        (
            book.clone().replace(types, xml, "application/vnd.ms-excel.sheet.binary.macroEnabled.main"),
            "file.xlsb",
        ),
        (also("externalLink"), "file.external-links"),
        (book.clone().replace(types, "spreadsheetml.sheet", "wordprocessingml.document"), "file.archive"),
        (Book(vec![("表.xlsx".into(), book.zipped())]), "file.archive"),
        (book.clone().replace("xl/workbook.xml", "r:id=\"s1\"", "r:id=\"s9\""), "file.damaged"),
        (book.clone().replace(rels, "sheet1.xml", "sheet9.xml"), "file.damaged"),
        (book.clone().replace(SHEET, "</sheetData></worksheet>", ""), "file.damaged"),
        (book.clone().replace(SHEET, "</sheetData>", "</row>"), "file.damaged"),
        (book.clone().replace(SHEET, "甲", "&none;"), "file.damaged"),
        (
            book.clone().replace(SHEET, "<worksheet", "<!DOCTYPE x [<!ENTITY none \"x\">]><worksheet"),
            "file.damaged",
        ),
        (book.clone().replace(SHEET, "r=\"2\"", "r=\"1\""), "file.damaged"),
        (book.clone().replace(SHEET, "r=\"2\"", "r=\"1048577\""), "file.damaged"),
        (book.clone().replace(SHEET, "<row r=\"2\"><c", "<row r=\"2\"><c r=\"A3\""), "file.damaged"),
        (book.clone().replace(SHEET, "<row r=\"2\"><c", "<row r=\"2\"><c r=\"XFE2\""), "file.damaged"),
        (book.clone().replace(SHEET, "甲", &"<a>".repeat(100)), "file.damaged"),
    ] {
        assert_eq!(refusal(&book.zipped()), code);
    }
    let whole = book.zipped();
    for cut in [whole.len() / 2, whole.len() - 1] {
        assert_eq!(refusal(&whole[..cut]), "file.damaged");
    }
    let mut encrypted = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    encrypted.start_file("a", SimpleFileOptions::default()).unwrap();
    encrypted.write_all(b"a").unwrap();
    let mut encrypted = encrypted.finish().unwrap().into_inner();
    let central = encrypted.windows(4).rposition(|at| at == b"PK\x01\x02").unwrap();
    encrypted[central + 8] |= 1;
    assert_eq!(refusal(&encrypted), "file.password");
    // Compound files: the old form, and the case around a workbook with a password.
    let mut compound = b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1".to_vec();
    compound.resize(70_000 / 128 * 128, 0);
    assert_eq!(refusal(&compound), "file.xls");
    compound.extend("EncryptedPackage\0".encode_utf16().flat_map(u16::to_le_bytes));
    assert_eq!(refusal(&compound), "file.password");
}

#[test]
fn a_changed_byte_is_not_read_as_another_value() {
    let book = Book::of(&(row(1, &["CF_WSH", "CF_NR"]) + &row(2, &["甲罚〔2026〕123号", "罚款"])));
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, part) in &book.0 {
        let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        writer.start_file(name.as_str(), stored).unwrap();
        writer.write_all(part).unwrap();
    }
    let mut bytes = writer.finish().unwrap().into_inner();
    assert_eq!(seen(&bytes).0.rows, 1);
    let at = bytes.windows(3).rposition(|at| at == b"123").unwrap();
    bytes[at] = b'9';
    assert_eq!(refusal(&bytes), "file.damaged");
}

#[test]
fn caps_end_a_workbook_before_it_grows() {
    let book = Book::of(&(row(1, &["CF_WSH", "CF_NR"]) + &row(2, &["甲", "乙"]) + &row(3, &["丙", "丁"])));
    let caps = ReadCaps::default();
    let of = |book: &Book, caps| with(&book.zipped(), &ReadOptions { caps, charset: None }).0.unwrap_err();
    let plain: u64 = book.0.iter().map(|(_, part)| part.len() as u64).sum();
    for (caps, code) in [
        (ReadCaps { book_bytes: 100, ..caps }, "file.too-large"),
        (ReadCaps { expanded_bytes: plain - 1, ..caps }, "file.expands"),
        // Parts that are read twice are counted twice.
        (ReadCaps { expanded_bytes: plain, ..caps }, "file.expands"),
        (ReadCaps { cells: 5, ..caps }, "file.too-many-cells"),
        (ReadCaps { rows: 1, ..caps }, "file.too-many-rows"),
        (ReadCaps { cell_bytes: 5, ..caps }, "file.cell-too-long"),
        (ReadCaps { row_bytes: 10, ..caps }, "file.row-too-long"),
    ] {
        assert_eq!(of(&book, caps).code(), code);
    }
    let long = book.clone().replace(SHEET, "丁", "丁丁丁");
    assert_eq!(of(&long, ReadCaps { cell_bytes: 8, ..caps }).place().to_string(), "数据!B3");
    // What an archive claims is not believed: neither a size nor a number of parts.
    let mut bytes = book.zipped();
    let sheet = bytes.windows(4).rposition(|at| at == b"PK\x01\x02").unwrap();
    bytes[sheet + 24..sheet + 28].copy_from_slice(&1_u32.to_le_bytes());
    let limited = ReadOptions { caps: ReadCaps { expanded_bytes: plain, ..caps }, charset: None };
    assert!(matches!(with(&bytes, &limited).0.unwrap_err().code(), "file.expands" | "file.damaged"));
    let long = " ".repeat(400 << 10);
    assert_eq!(
        of(&book.clone().replace(SHEET, "<row r=\"2\"", &format!("<row {long} r=\"2\"")), caps).code(),
        "file.cell-too-long"
    );
    let shared = "<si><t>文</t></si>".repeat(10_000);
    let many = book.put("xl/sharedStrings.xml", &format!("<sst>{shared}</sst>"));
    let small = ReadCaps { shared_bytes: 20_000, shared_in_memory: 10_000, ..caps };
    assert_eq!(of(&many, small).code(), "file.expands");
}

#[test]
fn an_archive_that_claims_millions_of_parts_makes_no_room_for_them() {
    let mut bytes = Book::of("").zipped();
    let end = bytes.len() - 22;
    let record_at = end as u64;
    let mut tail = b"PK\x06\x06".to_vec();
    tail.extend(44_u64.to_le_bytes());
    tail.extend([45, 0, 45, 0]);
    tail.extend([0; 8]);
    let claimed = 5_000_000_u64;
    tail.extend(claimed.to_le_bytes());
    tail.extend(claimed.to_le_bytes());
    tail.extend((claimed * 46).to_le_bytes());
    tail.extend(0_u64.to_le_bytes());
    tail.extend(b"PK\x06\x07\0\0\0\0");
    tail.extend(record_at.to_le_bytes());
    tail.extend([1, 0, 0, 0]);
    let mut last = bytes.split_off(end);
    last[8..20].fill(0xFF);
    bytes.extend(tail);
    bytes.extend(last);
    assert_eq!(refusal(&bytes), "file.damaged");
}

#[test]
fn many_shared_texts_are_read_back_from_the_disk() {
    let texts: Vec<String> = (0..40_000).map(|n| format!("第{n}号{}", "长".repeat(n % 37))).collect();
    let shared: String = ["CF_WSH".to_owned(), "CF_NR".into()]
        .iter()
        .chain(&texts)
        .map(|text| format!("<si><t>{text}</t></si>"))
        .collect();
    let mut rows = "<row><c t=\"s\"><v>0</v></c><c t=\"s\"><v>1</v></c></row>".to_owned();
    // Once in order, once from everywhere.
    for n in 0..2_000 {
        rows.push_str(&format!(
            "<row><c t=\"s\"><v>{}</v></c><c t=\"s\"><v>{}</v></c></row>",
            n + 2,
            n * 7_919 % 40_000 + 2
        ));
    }
    let book = Book::of(&rows).put("xl/sharedStrings.xml", &format!("<sst>{shared}</sst>"));
    for shared_in_memory in [1 << 30, 0, 100_000] {
        let caps = ReadCaps { shared_in_memory, ..ReadCaps::default() };
        let (reading, rows) = with(&book.zipped(), &ReadOptions { caps, charset: None });
        assert_eq!(reading.unwrap().rows, 2_000);
        for (n, (_, seen, _)) in rows.iter().enumerate() {
            assert_eq!((&seen[0].1, &seen[1].1), (&texts[n], &texts[n * 7_919 % 40_000]));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_one_program_writes_is_read_as_it_was(
        rows in proptest::collection::vec(("值[\\u{4E00}-\\u{9FA5}a-z0-9 <&>\"'\r\n\t𠀀_x]{0,12}", 0_u32..1_000_000_000, 0_i32..80_000), 1..20)
    ) {
        let mut book = rust_xlsxwriter::Workbook::new();
        let day = rust_xlsxwriter::Format::new().set_num_format("yyyy-mm-dd");
        let sheet = book.add_worksheet();
        for (column, title) in (0..).zip(["CF_NR", "CF_NR_FK", "CF_JDRQ"]) {
            sheet.write(0, column, title).unwrap();
        }
        for (number, (text, amount, date)) in (1..).zip(&rows) {
            sheet.write(number, 0, text).unwrap();
            sheet.write(number, 1, f64::from(*amount) / 100.0).unwrap();
            sheet.write_with_format(number, 2, date + 61, &day).unwrap();
        }
        let (_, seen) = seen(&book.save_to_buffer().unwrap());
        prop_assert_eq!(seen.len(), rows.len());
        for ((text, amount, date), (_, texts, faults)) in rows.iter().zip(&seen) {
            prop_assert!(faults.is_empty(), "{:?}", faults);
            prop_assert_eq!(&texts[0].1, text);
            prop_assert_eq!(texts[1].1.parse::<f64>().unwrap(), f64::from(*amount) / 100.0);
            let mut day = Vec::new();
            xinqiao_schemas::Date::from_days(date + 61 - 25_569).unwrap().write_slash(&mut day);
            prop_assert_eq!(texts[2].1.as_bytes(), &day);
        }
    }

    #[test]
    fn no_damage_makes_it_panic(at in any::<proptest::sample::Index>(), part in 0_usize..7, bytes in proptest::collection::vec(any::<u8>(), 0..8), stored in any::<bool>()) {
        let mut book = Book::of(&(row(1, &["CF_WSH", "CF_NR"]) + &row(2, &["甲", "乙"])));
        if stored {
            let content = &mut book.0[part].1;
            let at = at.index(content.len());
            content.splice(at..at, bytes);
            let _ = with(&book.zipped(), &ReadOptions::default());
        } else {
            let mut zipped = book.zipped();
            let at = at.index(zipped.len());
            let end = zipped.len().min(at + bytes.len());
            zipped.splice(at..end, bytes);
            let _ = with(&zipped, &ReadOptions::default());
        }
    }
}
