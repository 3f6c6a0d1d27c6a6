//! What the real program does when its disk is full, damaged, exchanged or put back from an older copy: it refuses or
//! rebuilds, says so, and never serves what is not what it wrote.

mod damage;
mod disk;
mod picture;
mod queue;
mod rollback;
mod sync;

use picture::Picture;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use xinqiao::demo::process::NodeProcess;
use xinqiao_client::{ClientError, Sent};
use xinqiao_tests::crash::drain;
use xinqiao_tests::site::Site;
use xinqiao_tests::traffic::Request;

/// A node that has worked for a while.
struct World {
    _dir: TempDir,
    site: Arc<Site>,
    sent: Vec<(Request, Sent)>,
}

impl World {
    fn new(extra: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let site = Arc::new(Site::new(dir.path(), extra));
        Self { _dir: dir, site, sent: Vec::new() }
    }

    /// The next request.
    fn next(&self, count: usize) -> Request {
        let n = self.sent.len();
        Request { first: n as u64 * 64, count, department: n % 2 }
    }

    /// Sends so many more requests of so many records.
    async fn send(&mut self, node: &NodeProcess, requests: usize, count: usize) {
        for _ in 0..requests {
            self.try_send(node, count).await.expect("the node takes records");
        }
    }

    /// Sends one more request; an answer is remembered.
    async fn try_send(&mut self, node: &NodeProcess, count: usize) -> Result<(), ClientError> {
        let request = self.next(count);
        let sent = self.site.client(request.member(), node).send(&request.submission()).await?;
        self.sent.push((request, sent));
        Ok(())
    }

    /// Lets a recipient pull and acknowledge everything.
    async fn pull(&self, node: &NodeProcess, member: &str) -> Result<u64, ClientError> {
        let mut batches = 0;
        for (of, dataset) in Site::streams().filter(|(of, _)| *of == member) {
            let mut puller = self.site.puller(self.site.client(of, node), of, dataset).await?;
            batches += drain(&mut puller, of, Duration::ZERO).await?;
        }
        Ok(batches)
    }

    async fn picture(&self, node: &NodeProcess) -> Picture {
        Picture::take(&self.site, node, &self.sent).await
    }
}

/// Says past the test harness that a test could not be run.
fn skipped(why: &str) {
    let _ = std::io::stderr().write_all(format!("SKIPPED: {why}\n").as_bytes());
}

/// Files below a directory, in order.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a directory can be read") {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() { all.extend(files(&path)) } else { all.push(path) }
    }
    all.sort();
    all
}

/// Copies a directory tree.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory can be made");
    for entry in std::fs::read_dir(from).expect("a directory can be read") {
        let entry = entry.expect("an entry can be read");
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).expect("a file can be copied");
        }
    }
}

/// Flips one bit of a file; again, and it is as before.
fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).expect("a file can be read");
    bytes[at] ^= 0x10;
    std::fs::write(path, bytes).expect("a file can be written");
}
