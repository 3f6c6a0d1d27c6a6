//! The load generator: one thread, connections kept open, a fixed number of requests in flight, as fast as they are answered.

use super::bodies::{Rendered, find};
use super::machine::{Mark, Spent};
use super::site::Version;
use super::{Fault, median};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Requests of HTTP/2 at once on a connection.
const STREAMS: usize = 8;

/// Numbers records for the whole process, so that none is ever sent twice.
pub(super) static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// Whom to load, and how.
pub(super) struct Load<'a> {
    /// The server.
    pub(super) address: SocketAddr,
    /// Its processes.
    pub(super) pids: &'a [u32],
    /// How to speak TLS to it; the version of HTTP is this one's.
    pub(super) connector: TlsConnector,
    /// HTTP/1.1: a connection for each request in flight. HTTP/2: eight of them share one.
    pub(super) version: Version,
    /// Requests in flight.
    pub(super) in_flight: usize,
    /// What is sent, in turns.
    pub(super) requests: Vec<Rendered>,
    /// Whether answers must say that every record was accepted.
    pub(super) checked: bool,
    /// A new connection for every request; HTTP/1.1 only.
    pub(super) anew: bool,
}

/// When to stop.
#[derive(Clone, Copy)]
pub(super) enum Until {
    /// After a fifth of this time to warm up, and this time measured.
    Time(Duration),
    /// When so many records are sent; nothing is left out.
    Records(u64),
}

/// What came of it.
pub(super) struct Outcome {
    pub(super) requests: u64,
    pub(super) records: u64,
    pub(super) spent: Spent,
    /// Milliseconds: the middle, and what 99 of 100 stay below.
    pub(super) p50: f64,
    pub(super) p99: f64,
}

impl Outcome {
    pub(super) fn per_second(&self) -> f64 {
        self.requests as f64 / self.spent.wall.as_secs_f64()
    }
    pub(super) fn records_per_second(&self) -> f64 {
        self.records as f64 / self.spent.wall.as_secs_f64()
    }
    /// Microseconds of the server's CPU per request.
    pub(super) fn server_cpu(&self) -> f64 {
        self.spent.server.as_secs_f64() * 1e6 / self.requests.max(1) as f64
    }
    /// Microseconds of the server's CPU per record.
    pub(super) fn server_cpu_per_record(&self) -> f64 {
        self.spent.server.as_secs_f64() * 1e6 / self.records.max(1) as f64
    }
    /// Microseconds of the generator's CPU per request.
    pub(super) fn generator_cpu(&self) -> f64 {
        self.spent.generator.as_secs_f64() * 1e6 / self.requests.max(1) as f64
    }
}

/// The middle of what several rounds gave.
pub(super) fn middle(outcomes: &[Outcome], of: impl Fn(&Outcome) -> f64) -> f64 {
    median(outcomes.iter().map(of).collect())
}

#[derive(Default)]
struct Tally {
    latencies: Vec<u32>,
    records: u64,
    sent: u64,
}

/// Loads a server.
pub(super) fn run(load: &Load<'_>, until: Until) -> Result<Outcome, Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, drive(load, until))
}

async fn drive(load: &Load<'_>, until: Until) -> Result<Outcome, Fault> {
    let began = Instant::now();
    let (from, end, most) = match until {
        Until::Time(window) => (began + window / 5, began + window / 5 + window, u64::MAX),
        Until::Records(most) => (began, began + Duration::from_secs(86_400), most),
    };
    let tally = Rc::new(RefCell::new(Tally::default()));
    let mut tasks = Vec::new();
    let mut shared = None;
    for n in 0..load.in_flight {
        if load.version == Version::Http2 && n % STREAMS == 0 {
            shared = Some(open(&load.connector, load.address).await?);
        }
        let mut requests = load.requests.clone();
        let turn = n % requests.len();
        requests.rotate_left(turn);
        if !matches!(until, Until::Time(_)) || load.requests[0].records > 1 {
            requests.truncate(2);
        }
        let worker = Worker {
            address: load.address,
            connector: load.connector.clone(),
            shared: shared.clone(),
            requests,
            checked: load.checked,
            anew: load.anew,
            tally: tally.clone(),
        };
        tasks.push(tokio::task::spawn_local(worker.work(from, end, most)));
    }
    if matches!(until, Until::Time(_)) {
        tokio::time::sleep_until(from.into()).await;
    }
    let mark = Mark::now(load.pids);
    let spent = if matches!(until, Until::Time(_)) {
        tokio::time::sleep_until(end.into()).await;
        Some(mark.spent(load.pids))
    } else {
        None
    };
    for task in tasks {
        task.await??;
    }
    let spent = spent.unwrap_or_else(|| mark.spent(load.pids));
    let mut tally = tally.take();
    tally.latencies.sort_unstable();
    let at = |share: f64| {
        let place = (tally.latencies.len() as f64 * share) as usize;
        tally.latencies.get(place).map_or(f64::NAN, |micros| f64::from(*micros) / 1e3)
    };
    Ok(Outcome {
        requests: tally.latencies.len() as u64,
        records: tally.records,
        p50: at(0.5),
        p99: at(0.99),
        spent,
    })
}

struct Worker {
    address: SocketAddr,
    connector: TlsConnector,
    shared: Option<SendRequest<Full<Bytes>>>,
    requests: Vec<Rendered>,
    checked: bool,
    anew: bool,
    tally: Rc<RefCell<Tally>>,
}

impl Worker {
    async fn work(mut self, from: Instant, end: Instant, most: u64) -> Result<(), Fault> {
        let mut stream = None;
        let mut answer = vec![0; 16 << 10];
        let mut turn = 0;
        loop {
            let began = Instant::now();
            if began >= end || self.tally.borrow().sent >= most {
                return Ok(());
            }
            let count = self.requests.len();
            let request = &mut self.requests[turn % count];
            turn += 1;
            let records = request.records;
            self.tally.borrow_mut().sent += records;
            request.number(NUMBERS.fetch_add(records.max(1), Relaxed));
            let done = if let Some(shared) = &mut self.shared {
                ask(shared, request, self.checked).await?
            } else {
                let mut open = match stream.take() {
                    Some(open) => open,
                    None => connect(&self.connector, self.address).await?,
                };
                open.write_all(&request.bytes).await?;
                let length = read(&mut open, &mut answer).await?;
                let done = Instant::now();
                check(answer.starts_with(b"HTTP/1.1 2"), &answer[..length], records, self.checked)?;
                if !self.anew {
                    stream = Some(open);
                }
                done
            };
            if began >= from && done <= end {
                let mut tally = self.tally.borrow_mut();
                tally.latencies.push(u32::try_from((done - began).as_micros()).unwrap_or(u32::MAX));
                tally.records += records;
            }
        }
    }
}

pub(super) async fn connect(
    connector: &TlsConnector,
    address: SocketAddr,
) -> Result<TlsStream<TcpStream>, Fault> {
    let tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    Ok(connector.connect("localhost".try_into()?, tcp).await?)
}

/// Reads one answer into `into`; its length.
pub(super) async fn read(stream: &mut TlsStream<TcpStream>, into: &mut Vec<u8>) -> Result<usize, Fault> {
    let mut filled = 0;
    let mut whole = None;
    loop {
        if filled == into.len() {
            into.resize(filled * 2, 0);
        }
        let count = stream.read(&mut into[filled..]).await?;
        if count == 0 {
            return Err("the server closed the connection".into());
        }
        filled += count;
        if whole.is_none()
            && let Some(head) = find(&into[..filled], b"\r\n\r\n")
        {
            let text = std::str::from_utf8(&into[..head])?.to_ascii_lowercase();
            let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
            whole = Some(head + 4 + length.ok_or("an answer without a length")?.trim().parse::<usize>()?);
        }
        if whole.is_some_and(|whole| filled >= whole) {
            return Ok(filled);
        }
    }
}

/// A connection of HTTP/2, driven by a task of its own.
async fn open(connector: &TlsConnector, address: SocketAddr) -> Result<SendRequest<Full<Bytes>>, Fault> {
    let stream = connect(connector, address).await?;
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::task::spawn_local(connection);
    Ok(sender)
}

/// One request of HTTP/2 and its answer; when that was whole.
async fn ask(
    shared: &mut SendRequest<Full<Bytes>>,
    request: &Rendered,
    checked: bool,
) -> Result<Instant, Fault> {
    shared.ready().await?;
    let answer = shared.send_request(request.http2()?).await?;
    let good = answer.status().is_success();
    let body = answer.into_body().collect().await?.to_bytes();
    let done = Instant::now();
    check(good, &body, request.records, checked)?;
    Ok(done)
}

fn check(success: bool, answer: &[u8], records: u64, checked: bool) -> Result<(), Fault> {
    let good = success
        && (!checked
            || find(answer, format!("\"accepted\":{records},\"refused\":0,\"warned\":0,").as_bytes())
                .is_some());
    if good {
        return Ok(());
    }
    let shown = String::from_utf8_lossy(&answer[..answer.len().min(1_500)]);
    Err(format!("not the answer wanted: {shown}").into())
}
