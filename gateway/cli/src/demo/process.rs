//! A node as a process of its own: started, waited for, killed for real.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// How long a node may take to listen.
const START: Duration = Duration::from_secs(60);

/// A running node.
pub struct NodeProcess {
    child: Child,
    /// Its exchange listener.
    pub exchange: SocketAddr,
    /// Its local listener.
    pub local: SocketAddr,
    /// Its officers' listener, if it has one.
    pub admin: Option<SocketAddr>,
    /// Its epoch.
    pub epoch: u64,
}

/// A node that did not come up.
#[derive(Debug)]
pub struct NotStarted(pub String);

impl std::fmt::Display for NotStarted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the node did not start: {}", self.0)
    }
}
impl std::error::Error for NotStarted {}

impl NodeProcess {
    /// Starts `program serve --config …`; its log goes to `log`.
    pub fn start(program: &Path, config: &Path, log: &Path) -> Result<Self, NotStarted> {
        let failed = |e: &dyn std::fmt::Display| NotStarted(e.to_string());
        let log_file =
            std::fs::OpenOptions::new().create(true).append(true).open(log).map_err(|e| failed(&e))?;
        let mut child = Command::new(program)
            .arg("serve")
            .arg("--config")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log_file)
            .spawn()
            .map_err(|e| failed(&e))?;
        let stdout = child.stdout.take().ok_or_else(|| failed(&"no output"))?;
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let Ok(line) = line else { return };
                let _ = sender.send(line);
            }
        });
        match receiver.recv_timeout(START) {
            Ok(line) => {
                let said: serde_json::Value = serde_json::from_str(&line).map_err(|e| failed(&e))?;
                let address = |name: &str| said[name].as_str().and_then(|a| a.parse::<SocketAddr>().ok());
                match (address("exchange"), address("local"), said["epoch"].as_u64()) {
                    (Some(exchange), Some(local), Some(epoch)) => {
                        Ok(Self { child, exchange, local, admin: address("admin"), epoch })
                    }
                    _ => Err(failed(&"it said something unexpected")),
                }
            }
            Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                let tail = std::fs::read_to_string(log).unwrap_or_default();
                let from = tail.char_indices().rev().nth(1_500).map_or(0, |(n, _)| n);
                Err(NotStarted(tail[from..].to_owned()))
            }
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it without a word (SIGKILL).
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to stop and waits. True if it ended well.
    pub fn stop(mut self) -> bool {
        // Every shell has `kill` built in; the program of that name is not on every machine.
        let signalled =
            Command::new("sh").args(["-c", "kill -TERM \"$1\"", "sh", &self.id().to_string()]).status();
        if !signalled.is_ok_and(|status| status.success()) {
            let _ = self.child.kill();
        }
        self.child.wait().is_ok_and(|s| s.success())
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program that is running: it starts the nodes too.
pub fn this_program() -> std::io::Result<PathBuf> {
    std::env::current_exe()
}
