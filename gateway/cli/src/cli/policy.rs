//! `policy`: what a recipient would see, and whether the shipped policies keep their promises.

use super::Failure;
use super::validate::{catalogue, charset_of, format_of, read, today};
use crate::console::{self, say};
use clap::{Args, Subcommand};
use std::path::PathBuf;
use xinqiao_schemas::{Caps, RouteSecrets, SourceUnit, ValidateContext, decode};

#[derive(Subcommand)]
pub(crate) enum Policy {
    /// Side by side, field by field: what was sent and what the recipient gets
    Explain(Explain),
    /// Check every mapping and policy of a catalogue: what they drop that a schema requires, and the like
    Test {
        /// A catalogue directory; left out: the one built in
        #[arg(long)]
        catalogue: Option<PathBuf>,
    },
}

#[derive(Args)]
pub(crate) struct Explain {
    /// The policy of the recipient, such as portal-public
    #[arg(long, alias = "policy")]
    recipient: String,
    /// Dataset
    #[arg(long)]
    dataset: String,
    /// Schema of the file
    #[arg(long)]
    schema: String,
    /// Schema the recipient wants; left out: the newest of the dataset
    #[arg(long)]
    to: Option<String>,
    /// json, ndjson, xml or csv
    #[arg(long)]
    format: Option<String>,
    /// utf-8 or gb18030
    #[arg(long, default_value = "utf-8")]
    charset: String,
    /// A catalogue directory; left out: the one built in
    #[arg(long)]
    catalogue: Option<PathBuf>,
    /// One JSON object per record
    #[arg(long)]
    json: bool,
    /// The file, or -
    file: PathBuf,
}

impl Policy {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Policy::Explain(e) => e.run(),
            Policy::Test { catalogue: dir } => {
                let catalogue = catalogue(dir.as_deref())?;
                let mut n = 0;
                for finding in catalogue.check() {
                    n += 1;
                    say(format!("{}: {}  {}", finding.schema, finding.en, finding.zh));
                }
                say(format!("{n} finding(s)  {n} 条提示"));
                Ok(())
            }
        }
    }
}

impl Explain {
    fn run(self) -> Result<(), Failure> {
        let catalogue = catalogue(self.catalogue.as_deref())?;
        let usage = |e: String| Failure::Usage(e);
        let schema =
            catalogue.schema(&self.schema).ok_or_else(|| usage(format!("no schema `{}`", self.schema)))?;
        let to = match &self.to {
            Some(to) => to.clone(),
            None => catalogue
                .schemas()
                .filter(|s| s.dataset() == self.dataset && s.id().starts_with(&self.dataset))
                .map(|s| s.id().to_owned())
                .max()
                .ok_or_else(|| usage(format!("no schema of dataset `{}`", self.dataset)))?,
        };
        let secrets = RouteSecrets::new([0; 32]);
        let route = catalogue
            .route(&self.schema, &to, &self.recipient, &secrets)
            .map_err(|e| usage(format!("{e}\n{}", e.text_zh())))?;
        let format = format_of(self.format.as_deref(), &self.file)?;
        let body = read(&self.file)?;
        let context = ValidateContext { received: today(), source: SourceUnit::default(), relayed: None };
        let outcome = decode(
            schema,
            format,
            charset_of(&self.charset)?,
            &body,
            &Caps::default(),
            &mut |n, record| {
                let mut found = Vec::new();
                let Some(record) = record.ok().and_then(|raw| schema.validate(raw, &context, &mut found))
                else {
                    return say(format!(
                        "record {n}: would be refused, see `xinqiao validate`  第 {n} 条：不合格"
                    ));
                };
                let explained = route.explain(&record);
                if self.json {
                    return console::json(&explained);
                }
                match explained.withheld {
                    Some(why) => say(format!(
                        "record {n}: NOT released ({}) {}  第 {n} 条：不共享",
                        why.code(),
                        why.text_zh()
                    )),
                    None => match explained.quarantined.as_slice() {
                        [] => say(format!("record {n}: released  第 {n} 条：共享")),
                        why => {
                            say(format!(
                                "record {n}: NOT released, the recipient's schema cannot hold it  第 {n} 条：接收方数据标准无法容纳，不下发"
                            ));
                            for f in why {
                                let (field, code) = (f.field().unwrap_or("-"), f.code());
                                say(format!("  {field:<16} {code}: {}  {}", f.text_en(), f.text_zh()));
                            }
                        }
                    },
                }
                if explained.effective != explained.declared {
                    let (declared, effective) = (explained.declared, explained.effective);
                    say(format!(
                        "  declared {}, treated as {}  填报为{}，按{}处理",
                        declared.as_str(),
                        effective.as_str(),
                        declared.zh(),
                        effective.zh()
                    ));
                }
                for row in &explained.rows {
                    let left = row.sent.as_deref().unwrap_or("");
                    let right = row.released.as_deref().unwrap_or("—");
                    let name = row.target.as_deref().unwrap_or("");
                    say(format!("  {name:<16} {}  [{}]\n      {left}\n    → {right}", row.title, row.action));
                }
            },
        );
        outcome
            .map(|_| ())
            .map_err(|e| Failure::Refused(format!("{}: {}\n{}", e.code(), e.text_en(), e.text_zh())))
    }
}
