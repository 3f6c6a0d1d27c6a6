//! Workbooks that programs of others write when the test runs (.ci/oracles.txt).

use std::io::Write;
use std::path::Path;
use std::process::Command;

use crate::seen::{Seen, noticed, seen};

const WRITER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/files/programs/penalties.py");

/// Whether a program answers; if not, the test is skipped, visibly, or fails where tests must find everything.
fn has(program: &str, arguments: &[&str]) -> bool {
    let found = Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success());
    if !found {
        let required = std::env::var_os("XINQIAO_REQUIRE_ORACLES").is_some_and(|value| value == "1");
        assert!(!required, "{program} {arguments:?} is missing");
        let notice = format!("SKIPPED: {program} {arguments:?} is not installed\n");
        std::io::stderr().write_all(notice.as_bytes()).unwrap();
    }
    found
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

fn written(folder: &Path, program: &str, options: &[&str]) -> Vec<u8> {
    let file = folder.join(format!("{program}{}.xlsx", options.concat()));
    let arguments = [&[WRITER, program, file.to_str().unwrap()], options].concat();
    run("python3", &arguments);
    std::fs::read(file).unwrap()
}

fn expected() -> Vec<Vec<(String, String)>> {
    let columns = ["CF_WSH", "CF_XDR_MC", "CF_XDR_SHXYM", "CF_JDRQ", "CF_NR_FK", "CF_NR"];
    [
        ["甲罚〔2026〕1号", "样例一公司", "91350200MA00000015", "2026/11/20", "1234.56", "罚款"],
        ["甲罚〔2026〕2号", "样例 & <二>公司", "91350200MA00000023", "2024/02/29", "0.3", "警告，\n限期改正"],
        ["甲罚〔2026〕3号", "𠮷田样例公司", "91350200MA00000031", "1999/12/31", "100", "罚款"],
    ]
    .map(|row| columns.iter().zip(row).map(|(c, text)| ((*c).to_owned(), text.to_owned())).collect())
    .into()
}

fn texts(rows: &[Seen]) -> Vec<Vec<(String, String)>> {
    rows.iter().map(|(_, texts, _)| texts.clone()).collect()
}

#[test]
fn tables_of_other_programs_are_read_alike() {
    if !has("python3", &["-c", "import openpyxl, xlsxwriter"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (program, options) in [
        ("openpyxl", vec![]),
        ("openpyxl", vec!["1904"]),
        ("xlsxwriter", vec![]),
        ("xlsxwriter", vec!["1904", "inline"]),
    ] {
        let (reading, rows) = seen(&written(folder.path(), program, &options));
        assert_eq!(texts(&rows), expected(), "{program} {options:?}");
        assert_eq!(reading.refused, 0);
        let mut notices = noticed(&reading);
        notices.sort();
        let total = if program == "openpyxl" { 6 } else { 8 };
        let total = format!("passed.total 数据!{total}");
        assert_eq!(
            notices,
            ["passed.hidden-sheet 旧数据", "passed.numbering 数据!A2", "passed.title 数据!1", &total]
        );
    }
}

#[test]
fn what_other_programs_destroyed_is_refused_by_cell() {
    if !has("python3", &["-c", "import openpyxl, xlsxwriter"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for program in ["openpyxl", "xlsxwriter"] {
        let (_, rows) = seen(&written(folder.path(), program, &["defects"]));
        let faults: Vec<String> = rows.into_iter().flat_map(|(_, _, faults)| faults).collect();
        let mut expected = vec![
            "cell.digits-lost 数据!D3",
            "cell.number 数据!D4",
            "cell.date-serial 数据!E4",
            "cell.date 数据!B5",
            "cell.boolean 数据!G5",
            "cell.formula-uncalculated 数据!C6",
            "cell.error-value 数据!G6",
        ];
        if program == "openpyxl" {
            expected.insert(5, "cell.merged 数据!D6");
        }
        assert_eq!(faults, expected, "{program}");
    }
}

/// What LibreOffice makes of a file, in another form.
fn converted(folder: &Path, file: &str, form: &str) -> Vec<u8> {
    let profile = format!("-env:UserInstallation=file://{}/profile", folder.display());
    let (out, file) = (folder.join("converted"), folder.join(file));
    let arguments = ["--headless", "--convert-to", form, "--outdir", out.to_str().unwrap()];
    run("soffice", &[&[profile.as_str()], &arguments[..], &[file.to_str().unwrap()]].concat());
    std::fs::read(out.join(file.file_name().unwrap()).with_extension(form)).unwrap()
}

#[test]
fn tables_that_libreoffice_opened_and_saved_are_read_alike() {
    if !has("python3", &["-c", "import openpyxl, xlsxwriter"]) || !has("soffice", &["--version"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for program in ["openpyxl", "xlsxwriter"] {
        written(folder.path(), program, &[]);
        written(folder.path(), program, &["defects"]);
        let form = "xlsx";
        let (reading, rows) = seen(&converted(folder.path(), &format!("{program}.xlsx"), form));
        assert_eq!((texts(&rows), reading.refused), (expected(), 0), "{program}");
        let hidden = noticed(&reading).iter().any(|notice| notice.starts_with("passed.hidden-sheet 旧数据"));
        assert!(hidden, "{program}");
        let (_, rows) = seen(&converted(folder.path(), &format!("{program}defects.xlsx"), form));
        let faults: Vec<String> = rows.into_iter().flat_map(|(_, _, faults)| faults).collect();
        // It calculates a formula without a result, and believes the 0 that XlsxWriter writes for one.
        let mut expected = vec![
            "cell.digits-lost 数据!D3",
            "cell.number 数据!D4",
            "cell.date-serial 数据!E4",
            "cell.date 数据!B5",
            "cell.boolean 数据!G5",
            "cell.error-value 数据!G6",
        ];
        let own = if program == "openpyxl" {
            "cell.merged 数据!D6"
        } else {
            "cell.formula-uncalculated 数据!C6"
        };
        expected.insert(5, own);
        assert_eq!(faults, expected, "{program}");
    }
}
