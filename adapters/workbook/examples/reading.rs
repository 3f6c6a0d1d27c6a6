//! How fast a file of many rows is read, and in how much memory:
//! `cargo run --release -p xinqiao-workbook --example reading -- write FILE ROWS [shared]`, then `… -- read FILE`.
//!
//! Each row has all fields of a schema: texts that differ from row to row, dates, amounts.

#![allow(clippy::print_stdout, reason = "what it is for")]

use std::error::Error;
use std::fs::File;
use std::time::Instant;

use rust_xlsxwriter::{Format, Workbook};
use xinqiao_schemas::{Catalogue, FieldType, Schema};
use xinqiao_workbook::{ReadOptions, read};

fn main() -> Result<(), Box<dyn Error>> {
    let catalogue = Catalogue::builtin()?;
    let schema = catalogue.schema("administrative-penalty-2020").ok_or("no such schema")?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["write", file, rows, ref shared @ ..] => write(schema, file, rows.parse()?, shared == ["shared"]),
        ["read", file] => measure(schema, file),
        _ => Err("write FILE ROWS [shared] | read FILE".into()),
    }
}

fn write(schema: &Schema, file: &str, rows: u32, shared: bool) -> Result<(), Box<dyn Error>> {
    let mut book = Workbook::new();
    let day = Format::new().set_num_format("yyyy/mm/dd");
    let sheet = if shared {
        book.add_worksheet_with_low_memory()
    } else {
        book.add_worksheet_with_constant_memory()
    }?;
    for (column, field) in (0..).zip(schema.fields()) {
        sheet.write(0, column, field.title())?;
    }
    for row in 1..=rows {
        for (column, field) in (0..).zip(schema.fields()) {
            match field.kind() {
                FieldType::Date => sheet.write_with_format(row, column, 45_000 + row % 365, &day)?,
                FieldType::Number { .. } => sheet.write(row, column, f64::from(row) / 100.0)?,
                _ => sheet.write(row, column, format!("样例{row}-{column}"))?,
            };
        }
    }
    book.save(file)?;
    Ok(())
}

fn measure(schema: &Schema, file: &str) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let mut bytes = 0;
    let reading = read(schema, File::open(file)?, &ReadOptions::default(), &mut |row| {
        bytes += row.texts(schema).map(|(_, text)| text.len()).sum::<usize>();
    })?;
    let seconds = start.elapsed().as_secs_f64();
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    println!(
        "{} rows, {} refused, {bytes} bytes of text, {seconds:.1} s, {peak}",
        reading.rows, reading.refused
    );
    Ok(())
}
