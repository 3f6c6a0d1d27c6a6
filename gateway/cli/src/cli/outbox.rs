//! `outbox` and `trace`: what officers see of streams and records, over the officers' listener.

use super::{Connection, Failure, block_on};
use crate::console;
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::Value;
use xinqiao_client::Client;
use xinqiao_server::officers::{List, Reason, Ruling};

#[derive(Subcommand)]
pub(crate) enum Outbox {
    /// All streams with what waits in them
    List {
        #[command(flatten)]
        connection: Connection,
    },
    /// Chunks of a stream that were withheld
    Show {
        #[command(flatten)]
        connection: Connection,
        /// Stream
        stream: String,
    },
    /// Stop delivering a stream at once (security officer)
    Hold(Decide),
    /// Deliver again (security officer)
    Release(Decide),
    /// Let a withheld chunk out as it is, or throw it away (security officer)
    Rule {
        #[command(flatten)]
        decide: Decide,
        /// Chunk
        #[arg(long)]
        chunk: u64,
        /// Let it out; left out: throw it away
        #[arg(long)]
        release: bool,
    },
    /// Push again after a dead letter (system officer)
    Retry(Decide),
}

#[derive(Args)]
pub(crate) struct Decide {
    #[command(flatten)]
    connection: Connection,
    /// Stream
    stream: String,
    /// Why; goes into the log
    #[arg(long, default_value = "by command")]
    reason: String,
}

#[derive(Args)]
pub(crate) struct Trace {
    #[command(flatten)]
    connection: Connection,
    /// Dataset
    #[arg(long)]
    dataset: String,
    /// The member that sent the record
    #[arg(long, requires = "reference")]
    member: Option<String>,
    /// Its own reference
    #[arg(long = "ref", requires = "member")]
    reference: Option<String>,
    /// Or: a recipient
    #[arg(long, requires = "record")]
    recipient: Option<String>,
    /// and its key of the record
    #[arg(long = "record-key", requires = "recipient")]
    record: Option<String>,
}

impl Decide {
    fn reason(&self) -> Reason {
        Reason { reason: self.reason.clone() }
    }
}

fn ask(connection: &Connection, path: String) -> Result<(), Failure> {
    let client = Client::connect(&connection.profile()?)?;
    block_on(async {
        let List { items }: List<Value> = client.ask(&path).await?;
        items.iter().for_each(console::json);
        Ok(())
    })
}

fn decide(d: &Decide, path: &str, body: &impl Serialize) -> Result<(), Failure> {
    let client = Client::connect(&d.connection.profile()?)?;
    let body = serde_json::to_value(body).expect("requests have only string keys");
    block_on(async {
        let response: Value = client.tell(path, &body).await?;
        console::json(&response);
        Ok(())
    })
}

impl Outbox {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match &self {
            Outbox::List { connection } => ask(connection, "/v1/streams".into()),
            Outbox::Show { connection, stream } => ask(connection, format!("/v1/streams/{stream}/withheld")),
            Outbox::Hold(d) | Outbox::Release(d) => {
                let what = if matches!(self, Outbox::Hold(_)) { "hold" } else { "release" };
                decide(d, &format!("/v1/streams/{}/{what}", d.stream), &d.reason())
            }
            Outbox::Rule { decide: d, chunk, release } => {
                let body = Ruling { reason: d.reason.clone(), release: *release };
                decide(d, &format!("/v1/streams/{}/withheld/{chunk}", d.stream), &body)
            }
            Outbox::Retry(d) => decide(d, &format!("/v1/streams/{}/retry", d.stream), &d.reason()),
        }
    }
}

impl Trace {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let mut path = format!("/v1/trace?dataset={}", escape(&self.dataset));
        match (&self.member, &self.reference, &self.recipient, &self.record) {
            (Some(member), Some(reference), None, None) => {
                path += &format!("&member={}&ref={}", escape(member), escape(reference));
            }
            (None, None, Some(recipient), Some(key)) => {
                path += &format!("&recipient={}&key={}", escape(recipient), escape(key));
            }
            _ => {
                return Err(Failure::Usage(
                    "give --member and --ref, or --recipient and --record-key".into(),
                ));
            }
        }
        ask(&self.connection, path)
    }
}

fn escape(text: &str) -> String {
    use std::fmt::Write;
    text.bytes().fold(String::new(), |mut out, b| {
        if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_') {
            out.push(char::from(b));
        } else {
            let _ = write!(out, "%{b:02X}");
        }
        out
    })
}
