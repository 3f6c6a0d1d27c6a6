//! `pull`: follow a stream into a directory, verifying before anything is acknowledged.

use super::{Connection, Failure, block_on};
use crate::console;
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;
use xinqiao_client::{Client, KeySource, PullSettings, Puller};

#[derive(Args)]
pub(crate) struct Pull {
    #[command(flatten)]
    connection: Connection,
    /// Stream, <recipient>.<dataset>
    #[arg(long)]
    stream: String,
    /// Directory; batches go to <dir>/<stream>/
    #[arg(long)]
    into: PathBuf,
    /// The node's pinned public keys (JWKS); left out: those it shows first, kept in the directory
    #[arg(long)]
    keys: Option<PathBuf>,
    /// Acknowledge every batch that verifies
    #[arg(long)]
    ack: bool,
    /// Keep waiting for more
    #[arg(long)]
    follow: bool,
    /// Go on in this epoch, after its change was confirmed with the node's administrator
    #[arg(long)]
    adopt_epoch: Option<u64>,
}

impl Pull {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let client = Client::connect(&self.connection.profile()?)?;
        let keys = match &self.keys {
            Some(path) => KeySource::File(path.clone()),
            None => KeySource::TrustOnFirstUse,
        };
        let mut settings = PullSettings::new(&self.stream, &self.into, keys);
        settings.adopt_epoch = self.adopt_epoch;
        let mut said = None;
        block_on(async {
            let connection = client.clone();
            let mut puller = Puller::open(client, settings).await?;
            let wait = if self.follow { Duration::from_secs(30) } else { Duration::ZERO };
            loop {
                let trouble = connection.trouble();
                if let Some(why) = trouble.as_ref().filter(|why| said.as_ref() != Some(*why)) {
                    console::complain(why);
                }
                said = trouble;
                match puller.next(wait).await {
                    Ok(Some(pulled)) => console::json(&serde_json::json!({
                        "seq": pulled.seq, "records": pulled.records, "bytes": pulled.bytes, "void": pulled.void,
                    })),
                    Ok(None) if self.follow => {}
                    Ok(None) => break,
                    Err(e) => {
                        if e.is_verification() && self.ack {
                            puller.report_unusable().await?;
                        }
                        return Err(e.into());
                    }
                }
                if self.ack {
                    for done in puller.acknowledge(|_, _| None).await? {
                        console::progress(format!("acknowledged {}", done.seq));
                    }
                }
            }
            if self.ack {
                puller.acknowledge(|_, _| None).await?;
            }
            console::progress_done();
            Ok(())
        })
    }
}
