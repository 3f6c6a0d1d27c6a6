//! Departments and recipients that work while the node lives, stop when it dies, and remember what they were told.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use xinqiao::demo::process::NodeProcess;
use xinqiao_client::{Client, ClientError, LineVerdict, Puller};
use xinqiao_evidence::Digest;

use super::Chance;
use crate::site::{DEPARTMENTS, PATIENCE, PROVINCE, Site};
use crate::traffic::Request;

/// Records of a large request.
const MANY: usize = 50;
/// Numbers between the first records of two requests.
const STRIDE: u64 = 64;

/// A request that was answered.
#[derive(Debug, Clone)]
pub struct Done {
    /// The request.
    pub request: Request,
    /// The submission's id.
    pub id: String,
    /// Digest of the answer, byte for byte.
    pub answer: Digest,
}

/// All who send.
pub struct Fleet {
    site: Arc<Site>,
    senders: Vec<Sender>,
    numbers: Arc<AtomicU64>,
    /// Answers that came a second time and were the same.
    pub repeated: u64,
}

/// One connection that sends, one request after the other.
struct Sender {
    department: usize,
    chance: Chance,
    receipts: PathBuf,
    /// Not answered: to be sent again.
    doubtful: Option<Request>,
    /// Not answered, and not sent again before the end.
    left: Vec<Request>,
    done: Vec<Done>,
    repeated: u64,
}

/// The fleet at work.
pub struct Working {
    senders: Vec<JoinHandle<Sender>>,
    pullers: Vec<JoinHandle<()>>,
    answered: watch::Receiver<u64>,
}

impl Fleet {
    /// Half of the senders for each department.
    pub fn new(site: &Arc<Site>, senders: usize, seed: u64) -> Self {
        let receipts = site.dir.join("receipts");
        std::fs::create_dir_all(&receipts).expect("a directory can be made");
        let sender = |n| Sender {
            department: n % DEPARTMENTS.len(),
            chance: Chance::new(seed ^ (n as u64 + 1) << 40),
            receipts: receipts.clone(),
            doubtful: None,
            left: Vec::new(),
            done: Vec::new(),
            repeated: 0,
        };
        Self {
            site: site.clone(),
            senders: (0..senders).map(sender).collect(),
            numbers: Arc::default(),
            repeated: 0,
        }
    }

    /// Sets everyone to work. They stop by themselves when the node dies.
    pub fn work(&mut self, node: &NodeProcess) -> Working {
        let (tell, answered) = watch::channel(0);
        let tell = Arc::new(tell);
        let senders = std::mem::take(&mut self.senders).into_iter().map(|sender| {
            let client = self.site.client(DEPARTMENTS[sender.department], node);
            tokio::spawn(sender.work(client, self.numbers.clone(), tell.clone()))
        });
        let senders = senders.collect();
        let pullers = Site::streams().map(|(member, dataset)| {
            let (site, client) = (self.site.clone(), self.site.client(member, node));
            tokio::spawn(async move {
                let ended = follow(&site, client, member, dataset).await;
                assert!(
                    ended.is_transient() || matches!(ended, ClientError::Tls(_)),
                    "{member}.{dataset}: {ended}"
                );
            })
        });
        Working { senders, pullers: pullers.collect(), answered }
    }

    /// Waits until everyone has noticed that the node is gone.
    pub async fn rest(&mut self, working: Working) {
        for sender in working.senders {
            let mut sender = sender.await.expect("a sender ends well");
            self.repeated += std::mem::take(&mut sender.repeated);
            self.senders.push(sender);
        }
        for puller in working.pullers {
            puller.await.expect("a puller ends well");
        }
    }

    /// What was answered.
    pub fn done(&self) -> impl Iterator<Item = &Done> {
        self.senders.iter().flat_map(|s| &s.done)
    }

    /// What was never answered.
    pub fn in_doubt(&self) -> impl Iterator<Item = &Request> {
        self.senders.iter().flat_map(|s| s.left.iter().chain(&s.doubtful))
    }

    /// Sends everything in doubt again, and counts it as answered.
    pub async fn settle(&mut self, node: &NodeProcess) {
        for sender in &mut self.senders {
            let client = self.site.client(DEPARTMENTS[sender.department], node);
            for request in sender.left.drain(..).chain(sender.doubtful.take()).collect::<Vec<_>>() {
                sender.send(&client, &request).await.expect("a living node answers");
            }
        }
    }

    /// Sends everything that was answered again; the answers must be the same.
    pub async fn repeat(&mut self, node: &NodeProcess) {
        let repeating: Vec<_> = std::mem::take(&mut self.senders)
            .into_iter()
            .map(|mut sender| {
                let client = self.site.client(DEPARTMENTS[sender.department], node);
                tokio::spawn(async move {
                    for n in 0..sender.done.len() {
                        sender.repeat(&client, n).await.expect("a living node answers");
                    }
                    sender
                })
            })
            .collect();
        for sender in repeating {
            let mut sender = sender.await.expect("a sender ends well");
            self.repeated += std::mem::take(&mut sender.repeated);
            self.senders.push(sender);
        }
    }
}

impl Working {
    /// Waits for so many answers since the work began.
    pub async fn wait_for(&self, answers: u64) {
        let mut answered = self.answered.clone();
        let reached = tokio::time::timeout(PATIENCE, answered.wait_for(|n| *n >= answers)).await;
        assert!(matches!(reached, Ok(Ok(_))), "the node does not get on");
    }
}

impl Sender {
    async fn work(mut self, client: Client, numbers: Arc<AtomicU64>, tell: Arc<watch::Sender<u64>>) -> Self {
        if self.doubtful.is_some() && self.chance.one_in(5) {
            self.left.extend(self.doubtful.take());
        }
        loop {
            let request = match self.doubtful.take() {
                Some(request) => request,
                None => self.next(&numbers),
            };
            if self.send(&client, &request).await.is_none() {
                self.doubtful = Some(request);
                return self;
            }
            tell.send_modify(|n| *n += 1);
            if self.chance.one_in(12) {
                let n = self.chance.below(self.done.len() as u64) as usize;
                if self.repeat(&client, n).await.is_none() {
                    return self;
                }
            }
        }
    }

    fn next(&mut self, numbers: &AtomicU64) -> Request {
        let first = numbers.fetch_add(1, Ordering::SeqCst) * STRIDE;
        let count = if self.chance.one_in(2) { 1 } else { MANY };
        Request { first, count, department: self.department }
    }

    /// Nothing if no answer came.
    async fn send(&mut self, client: &Client, request: &Request) -> Option<()> {
        let sent = answer(client.send(&request.submission()).await)?;
        assert_eq!(
            (sent.status, sent.response.accepted),
            (201, request.count as u64),
            "{:?}",
            sent.response.errors
        );
        let receipt = self.receipts.join(format!("{}.receipt.json", request.key()));
        std::fs::write(receipt, sent.response.receipt.get()).expect("a receipt can be kept");
        let (request, id, answer) = (request.clone(), sent.response.submission, Digest::of(&sent.raw));
        self.done.push(Done { request, id, answer });
        Some(())
    }

    async fn repeat(&mut self, client: &Client, n: usize) -> Option<()> {
        let done = &self.done[n];
        let sent = answer(client.send(&done.request.submission()).await)?;
        assert_eq!(
            Digest::of(&sent.raw),
            done.answer,
            "the answer to {} is not the first one",
            done.request.key()
        );
        self.repeated += 1;
        Some(())
    }
}

/// The answer, or nothing if the node went away before it came.
fn answer<T>(result: Result<T, ClientError>) -> Option<T> {
    match result {
        Ok(answer) => Some(answer),
        Err(error) if error.is_transient() || matches!(error, ClientError::Tls(_)) => None,
        Err(error) => panic!("the node refused what it must take: {error}"),
    }
}

/// Pulls, verifies and acknowledges until something fails.
async fn follow(site: &Site, client: Client, member: &str, dataset: &str) -> ClientError {
    let mut puller = match site.puller(client, member, dataset).await {
        Ok(puller) => puller,
        Err(error) => return error,
    };
    loop {
        if let Err(error) = drain(&mut puller, member, Duration::from_secs(1)).await {
            return error;
        }
    }
}

/// Pulls and acknowledges what there is; the number of batches.
pub async fn drain(puller: &mut Puller, member: &str, wait: Duration) -> Result<u64, ClientError> {
    let mut batches = 0;
    loop {
        puller.acknowledge(|_, line| judge(member, line)).await?;
        match puller.next(wait).await? {
            Some(_) => batches += 1,
            None => return Ok(batches),
        }
    }
}

/// The province rejects a few records, always the same.
pub fn judge(member: &str, line: &[u8]) -> Option<LineVerdict> {
    let sum = line.iter().fold(0u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(*byte)));
    let refused = member == PROVINCE && sum % 37 == 0 && line.starts_with(br#"{"op":"put""#);
    refused.then(|| LineVerdict { code: "sample.refused".into(), message: "抽样退回".into() })
}
