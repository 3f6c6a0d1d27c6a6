//! Text files of departments: character sets, separators, headers, and what a spreadsheet left in them.

use proptest::prelude::*;
use xinqiao_workbook::{PROBLEMS, ReadCaps, ReadOptions, TextCharset};

use crate::seen::{noticed, refusal, seen, with};

fn faults(text: &str) -> Vec<String> {
    seen(text.as_bytes()).1.into_iter().flat_map(|(_, _, faults)| faults).collect()
}

fn notices(text: &str) -> Vec<String> {
    noticed(&seen(text.as_bytes()).0)
}

fn gb(text: &str) -> Vec<u8> {
    encoding_rs::GB18030.encode(text).0.into_owned()
}

fn utf16(text: &str, low_first: bool) -> Vec<u8> {
    text.encode_utf16()
        .flat_map(|unit| if low_first { unit.to_le_bytes() } else { unit.to_be_bytes() })
        .collect()
}

#[test]
fn the_cases_of_departments_read_alike_whatever_their_dialect() {
    let good = include_bytes!("cases/00-good.csv").as_slice();
    let texts = |bytes: &[u8]| -> Vec<_> {
        let (reading, rows) = seen(bytes);
        assert_eq!(reading.refused, 0, "{rows:?}");
        rows.into_iter().map(|(_, texts, _)| texts).collect()
    };
    let all = texts(good);
    assert_eq!(all.len(), 3);
    for (name, case) in [
        ("01a", include_bytes!("cases/01a-blank-rows.csv").as_slice()),
        ("01b", include_bytes!("cases/01b-trailing-columns.csv")),
        ("02a", include_bytes!("cases/02a-crcrlf-quoteall.csv")),
        ("03a", include_bytes!("cases/03a-utf16le-tab.csv")),
        ("03c", include_bytes!("cases/03c-tab-utf8.csv")),
        ("03d", include_bytes!("cases/03d-semicolon.csv")),
        ("08b", include_bytes!("cases/08b-fullwidth-brackets.csv")),
    ] {
        let read = texts(case);
        assert!(!read.is_empty(), "{name}");
        for row in &read {
            assert!(row.contains(&("CF_CFJG".into(), "示例市卫生健康委员会".into())), "{name}");
            assert!(
                row.iter().any(|(field, text)| field == "CF_WSH" && text.starts_with("厦卫罚")),
                "{name}"
            );
        }
    }
    assert_eq!(texts(include_bytes!("cases/03d-semicolon.csv"))[0], all[0]);
    assert_eq!(texts(include_bytes!("cases/03c-tab-utf8.csv"))[0], all[0]);
}

#[test]
fn what_a_spreadsheet_destroyed_is_refused_with_the_cell_that_holds_it() {
    let of = |bytes: &[u8]| seen(bytes).1.remove(0).2;
    assert_eq!(of(include_bytes!("cases/05a-sci-regno.csv")), ["cell.scientific D2"]);
    assert_eq!(of(include_bytes!("cases/05g-apostrophe-regno-only.csv")), ["cell.apostrophe D2"]);
    let cell = |text: &str| faults(&format!("CF_WSH,CF_XDR_GSZC,CF_JDRQ\n{text}\n"));
    assert_eq!(cell("甲1号,#N/A,2026/11/20"), ["cell.error-value B2"]);
    assert_eq!(cell("甲1号,########,2026/11/20"), ["cell.error-value B2"]);
    assert_eq!(cell("甲1号,\"=\"\"350200100012345\"\"\",2026/11/20"), ["cell.formula-text B2"]);
    assert_eq!(cell("甲1号,350200100012345,46346"), ["cell.date-serial C2"]);
    assert_eq!(cell("甲1号,350200100012345,2026/11/20"), [""; 0]);
    assert_eq!(cell("'引文'一号,350200100012345,2026/11/20"), [""; 0]);
}

#[test]
fn titles_notes_totals_and_repeated_headers_are_passed_over_and_said() {
    let text = "行政处罚信息表,,\n单位：样例,,\n序号,CF_WSH,CF_SY\n1,甲1号,一\n序号,CF_WSH,CF_SY\n2,甲2号,二\n合计,,2\n填表人：某,,\n";
    let (reading, rows) = seen(text.as_bytes());
    assert_eq!(rows.iter().map(|(place, _, _)| place.as_str()).collect::<Vec<_>>(), ["4", "6"]);
    assert_eq!(rows[0].1, [("CF_WSH".to_owned(), "甲1号".to_owned()), ("CF_SY".into(), "一".into())]);
    assert_eq!((reading.rows, reading.refused), (2, 0));
    assert_eq!(
        notices(text),
        [
            "passed.numbering A3",
            "passed.title 1",
            "passed.title 2",
            "passed.header-again 5",
            "passed.total 7",
            "passed.footnote 8"
        ]
    );
    let wide = "CF_WSH,CF_SY,CF_YJ,CF_NR\n甲1号,一,二,三\n合 计,2,,\n注：以上,,,\n";
    assert_eq!(notices(wide), ["passed.total 3", "passed.footnote 4"]);
}

#[test]
fn a_header_of_two_rows_names_each_column_by_the_lower_title() {
    let text = "行政处罚决定书文号,处罚情况,\n,CF_SY,CF_YJ\n甲1号,一,二\n";
    let (_, rows) = seen(text.as_bytes());
    let fields: Vec<&str> = rows[0].1.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!((rows.len(), fields), (1, vec!["CF_WSH", "CF_SY", "CF_YJ"]));
    let codes = "行政处罚决定书文号,CF_SY\nCF_WSH,CF_SY\n甲1号,一\n";
    assert_eq!(seen(codes.as_bytes()).1.len(), 1);
}

#[test]
fn headers_that_do_not_fit_are_refused_with_their_cell() {
    let of = |text: &str| {
        let fault = with(text.as_bytes(), &ReadOptions::default()).0.unwrap_err();
        format!("{} {}", fault.code(), fault.place())
    };
    assert_eq!(of("CF_WSH,没有这一列,CF_SY\n甲,乙,丙\n"), "header.unknown B1");
    assert_eq!(of("CF_WSH,CF_SY,行政处罚决定书文号\n甲,乙,丙\n"), "header.twice C1");
    assert_eq!(of("甲,乙\n丙,丁\n"), "header.missing ");
    assert_eq!(of("CF_WSH,CF_SY\n"), "file.empty ");
    assert_eq!(of(""), "file.empty ");
    assert_eq!(faults("CF_WSH,CF_SY,\n甲,乙,丙\n"), ["cell.no-column C2"]);
    assert_eq!(faults("CF_WSH,CF_SY,CF_YJ\n甲,乙\n"), ["row.column-count 2"]);
    assert_eq!(faults("CF_WSH,CF_SY\n甲,乙\"丙\n"), ["row.quote B2"]);
    assert_eq!(of("CF_WSH,CF_SY\n甲,\"乙\n"), "file.quote-unclosed B2");
}

#[test]
fn character_sets_are_detected_declared_or_refused() {
    let text = "行政处罚决定书文号,CF_SY\n甲1号,违法事实\n";
    let plain = seen(text.as_bytes()).1;
    assert_eq!(seen(&gb(text)).1, plain);
    assert_eq!(seen(&utf16(&format!("\u{FEFF}{text}"), true)).1, plain);
    assert_eq!(seen(&utf16(&format!("\u{FEFF}{text}"), false)).1, plain);
    assert_eq!(seen(format!("\u{FEFF}{text}").as_bytes()).1, plain);
    // Two ideographs alone do not tell GB18030 from other sets; a declaration does.
    let short = gb("CF_WSH,CF_SY\n1,甲\n");
    assert_eq!(refusal(&short), "file.encoding-unsure");
    let declared = ReadOptions { charset: Some(TextCharset::Gb18030), ..ReadOptions::default() };
    assert_eq!(with(&short, &declared).1[0].1[1].1, "甲");
    let (big5, _, lost) = encoding_rs::BIG5.encode("CF_WSH,CF_SY\n某某公司,違反規定從事經營活動\n");
    assert!(!lost);
    assert_eq!(refusal(&big5), "file.encoding-unsure");
    let contradicts = with(format!("\u{FEFF}{text}").as_bytes(), &declared).0.unwrap_err();
    assert_eq!(contradicts.code(), "file.encoding");
}

#[test]
fn what_is_no_table_is_named_for_what_it_is() {
    assert_eq!(refusal(b"\r\n<HTML><table><tr><td>1"), "file.html");
    assert_eq!(refusal(b"<?xml version=\"1.0\"?><Workbook/>"), "file.xml-spreadsheet");
    assert_eq!(refusal(&[0x89, b'P', b'N', b'G', 0, 1, 0, 0, 0xFF]), "file.not-a-table");
}

#[test]
fn caps_end_a_file_before_it_grows() {
    let text = b"CF_WSH,CF_SY\na,b\nc,d\n";
    let of = |caps| with(text, &ReadOptions { caps, charset: None }).0.unwrap_err().code();
    let caps = ReadCaps::default();
    assert_eq!(of(ReadCaps { text_bytes: 20, ..caps }), "file.too-large");
    assert_eq!(of(ReadCaps { cells: 5, ..caps }), "file.too-many-cells");
    assert_eq!(of(ReadCaps { rows: 1, ..caps }), "file.too-many-rows");
    assert_eq!(of(ReadCaps { cell_bytes: 5, ..caps }), "file.cell-too-long");
}

#[test]
fn every_problem_is_documented_with_its_sentences() {
    let document = include_str!("../../problems.md");
    let rows: Vec<String> =
        PROBLEMS.iter().map(|p| format!("| `{}` | {} | {} |", p.code, p.en, p.zh)).collect();
    let listed: Vec<&str> = document.lines().filter(|line| line.starts_with("| `")).collect();
    assert_eq!(listed, rows);
}

fn quoted(rows: &[Vec<String>], separator: char) -> String {
    let mut text =
        format!("CF_WSH{separator}CF_SY{separator}行政处罚内容\n").replace("行政处罚内容", "CF_NR");
    for row in rows {
        let cells: Vec<String> =
            row.iter().map(|cell| format!("\"{}\"", cell.replace('"', "\"\""))).collect();
        text.push_str(&cells.join(&separator.to_string()));
        text.push_str("\r\n");
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_table_reads_the_same_in_every_dialect_and_character_set(
        rows in proptest::collection::vec(proptest::collection::vec("值[\\u{4E00}-\\u{9FA5}a-z0-9 ,;\t\"\n𠀀]{0,8}", 3), 1..6)
    ) {
        for separator in [',', '\t', ';'] {
            let text = quoted(&rows, separator);
            for (charset, bytes) in [
                (TextCharset::Utf8, text.clone().into_bytes()),
                (TextCharset::Gb18030, gb(&text)),
                (TextCharset::Utf16Le, utf16(&text, true)),
                (TextCharset::Utf16Be, utf16(&text, false)),
            ] {
                let options = ReadOptions { charset: Some(charset), ..ReadOptions::default() };
                let (outcome, seen) = with(&bytes, &options);
                prop_assert!(outcome.is_ok(), "{outcome:?}");
                let read: Vec<Vec<String>> =
                    seen.into_iter().map(|(_, texts, _)| texts.into_iter().map(|(_, t)| t).collect()).collect();
                prop_assert_eq!(&read, &rows);
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut headed = b"CF_WSH,CF_SY\n".to_vec();
        headed.extend(&bytes);
        let _ = with(&headed, &ReadOptions::default());
        let _ = with(&bytes, &ReadOptions::default());
    }
}
