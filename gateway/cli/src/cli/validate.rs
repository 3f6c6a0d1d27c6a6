//! `validate`: what a gateway would say about a file, without sending it. One JSON line per refused or doubtful record.

use super::Failure;
use crate::console;
use clap::Args;
use serde::Serialize;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use xinqiao_schemas::{
    Caps, Catalogue, Charset, Date, Finding, Format, Severity, SourceUnit, ValidateContext, decode,
};

#[derive(Args)]
pub(crate) struct Validate {
    /// Schema, such as administrative-penalty-2020
    #[arg(long)]
    schema: String,
    /// json, ndjson, xml or csv; left out: by the file's name
    #[arg(long)]
    format: Option<String>,
    /// utf-8 or gb18030
    #[arg(long, default_value = "utf-8")]
    charset: String,
    /// A catalogue directory; left out: the one built in
    #[arg(long)]
    catalogue: Option<PathBuf>,
    /// The file, or - for standard input
    file: PathBuf,
}

#[derive(Serialize)]
struct Line<'a> {
    record: u32,
    result: &'static str,
    findings: &'a [Finding],
}

#[derive(Serialize)]
struct Summary {
    records: u32,
    accepted: u32,
    doubtful: u32,
    refused: u32,
}

pub(crate) fn catalogue(dir: Option<&Path>) -> Result<Catalogue, Failure> {
    let loaded = match dir {
        Some(dir) => Catalogue::load(dir),
        None => Catalogue::builtin(),
    };
    loaded.map_err(|e| Failure::Failed(e.to_string()))
}

pub(crate) fn format_of(named: Option<&str>, file: &Path) -> Result<Format, Failure> {
    let name = named.map(str::to_owned).or_else(|| Some(file.extension()?.to_str()?.to_ascii_lowercase()));
    match name.as_deref() {
        Some("json") => Ok(Format::Json),
        Some("ndjson" | "jsonl") => Ok(Format::Ndjson),
        Some("xml") => Ok(Format::Xml),
        Some("csv") => Ok(Format::Csv),
        _ => Err(Failure::Usage("say --format json, ndjson, xml or csv 请用 --format 指明格式".into())),
    }
}

pub(crate) fn charset_of(name: &str) -> Result<Charset, Failure> {
    match name.to_ascii_lowercase().as_str() {
        "utf-8" | "utf8" => Ok(Charset::Utf8),
        "gb18030" | "gbk" | "gb2312" => Ok(Charset::Gb18030),
        _ => Err(Failure::Usage("--charset is utf-8 or gb18030 字符集应为 utf-8 或 gb18030".into())),
    }
}

pub(crate) fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    if file.as_os_str() == "-" {
        std::io::stdin().lock().read_to_end(&mut bytes)?;
    } else {
        bytes =
            std::fs::read(file).map_err(|e| Failure::Failed(format!("{}: {}", file.display(), e.kind())))?;
    }
    Ok(bytes)
}

pub(crate) fn today() -> Date {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs() as i64);
    Date::business_day(now)
}

impl Validate {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let catalogue = catalogue(self.catalogue.as_deref())?;
        let schema = catalogue.schema(&self.schema).ok_or_else(|| {
            let known: Vec<&str> = catalogue.schemas().map(|s| s.id()).collect();
            Failure::Usage(format!("there is no schema `{}`; there are: {}", self.schema, known.join(", ")))
        })?;
        let format = format_of(self.format.as_deref(), &self.file)?;
        let charset = charset_of(&self.charset)?;
        let body = read(&self.file)?;
        let context = ValidateContext { received: today(), source: SourceUnit::default(), relayed: None };
        let mut summary = Summary { records: 0, accepted: 0, doubtful: 0, refused: 0 };
        let mut found = Vec::new();
        let outcome = decode(schema, format, charset, &body, &Caps::default(), &mut |n, record| {
            summary.records += 1;
            found.clear();
            let valid = match record {
                Err(findings) => {
                    found = findings;
                    false
                }
                Ok(raw) => schema.validate(raw, &context, &mut found).is_some(),
            };
            let doubtful = found.iter().any(|f| f.severity() == Severity::Warn);
            summary.accepted += u32::from(valid);
            summary.doubtful += u32::from(valid && doubtful);
            summary.refused += u32::from(!valid);
            if !valid || doubtful {
                let result = if valid { "doubtful" } else { "refused" };
                console::json(&Line { record: n, result, findings: &found });
            }
        });
        if let Err(e) = outcome {
            return Err(Failure::Refused(format!("{}: {}\n{}", e.code(), e.text_en(), e.text_zh())));
        }
        console::complain(format!(
            "{} records: {} accepted ({} doubtful), {} refused  共 {} 条，通过 {} 条（其中疑问 {} 条），拒绝 {} 条",
            summary.records,
            summary.accepted,
            summary.doubtful,
            summary.refused,
            summary.records,
            summary.accepted,
            summary.doubtful,
            summary.refused,
        ));
        if summary.refused > 0 {
            Err(Failure::Refused("some records would be refused 部分记录不合格".into()))
        } else {
            Ok(())
        }
    }
}
