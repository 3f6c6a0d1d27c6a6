//! What the machine gives others in the same run: bare hyper and rustls, nginx, and the disk alone.

use super::site::{SERVER, identity, trust};
use super::{Fault, median};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio_rustls::TlsAcceptor;
use xinqiao::demo::federation::free_port;

/// The first argument of the child that is a bare server.
pub(super) const BARE: &str = "serve-bare";

/// A server to compare with, as a process of its own.
pub(super) struct Baseline {
    child: Child,
    /// Where it listens.
    pub(super) address: SocketAddr,
}

impl Baseline {
    /// hyper and tokio-rustls with the node's TLS settings, and nothing else.
    pub(super) fn bare(pki: &Path) -> Result<Self, Fault> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(BARE)
            .arg(pki)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        Ok(Self { child, address: line.trim().parse()? })
    }

    /// nginx with TLS 1.3 and client certificates, answering from memory; `None` if it is not installed. With a revocation
    /// list it checks clients against that.
    pub(super) fn nginx(pki: &Path, list: Option<&Path>) -> Result<Option<Self>, Fault> {
        let dir = pki.join("nginx");
        std::fs::create_dir_all(&dir)?;
        let port = free_port()?;
        let (d, p) = (dir.display(), pki.display());
        let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|name| format!("{name}_temp_path {d}/{name};\n"))
            .collect();
        let list = list.map_or_else(String::new, |list| format!("ssl_crl {};\n", list.display()));
        let config = format!(
            "worker_processes 2;\ndaemon off;\npid {d}/pid;\nerror_log {d}/error.log;\nevents {{ worker_connections 1024; }}\n\
             http {{\naccess_log off;\n{paths}server {{\nlisten 127.0.0.1:{port} ssl;\nssl_certificate {p}/{SERVER}.crt;\n\
             ssl_certificate_key {p}/{SERVER}.key;\nssl_client_certificate {p}/ca.crt;\nssl_verify_client on;\n{list}\
             ssl_protocols TLSv1.3;\nssl_session_tickets off;\nkeepalive_requests 1000000000;\n\
             location / {{ return 200 \"ok\"; }}\n}}\n}}\n"
        );
        let path = dir.join("nginx.conf");
        std::fs::write(&path, config)?;
        let started = Command::new("nginx").arg("-c").arg(&path).arg("-e").arg(dir.join("start.log")).spawn();
        let child = match started {
            Ok(child) => child,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        let baseline = Self { child, address: SocketAddr::from(([127, 0, 0, 1], port)) };
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(baseline.address).is_err() {
            if Instant::now() > deadline {
                let said = std::fs::read_to_string(dir.join("error.log")).unwrap_or_default();
                return Err(format!("nginx did not start: {said}").into());
            }
            std::thread::yield_now();
        }
        Ok(Some(baseline))
    }

    /// Its processes.
    pub(super) fn pids(&self) -> Vec<u32> {
        super::machine::family(self.child.id())
    }
}

impl Drop for Baseline {
    fn drop(&mut self) {
        // nginx takes its workers along when it is asked, not when it is killed; the bare server ends with its input.
        drop(self.child.stdin.take());
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

/// The child: serves until its input ends.
pub(super) fn serve_bare(arguments: &[String]) -> Result<(), Fault> {
    let pki = Path::new(arguments.first().ok_or("the folder of certificates")?);
    let tls = xinqiao_certs::tls::server_config(&identity(pki, SERVER)?, &trust(pki)?);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        super::say(listener.local_addr()?.to_string());
        std::io::stdout().flush()?;
        let acceptor = TlsAcceptor::from(tls);
        loop {
            let (tcp, _) = listener.accept().await?;
            tcp.set_nodelay(true)?;
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(tcp).await else { return };
                let http = hyper::server::conn::http1::Builder::new();
                let _ended =
                    http.serve_connection(TokioIo::new(stream), hyper::service::service_fn(take)).await;
            });
        }
    })
}

async fn take(
    request: http::Request<hyper::body::Incoming>,
) -> Result<http::Response<Full<Bytes>>, Infallible> {
    let length = request.into_body().collect().await.map_or(0, |body| body.to_bytes().len());
    Ok(http::Response::new(Full::from(length.to_string())))
}

/// Appends with a sync each, per second: what a journal on this disk can reach at most, one frame at a time.
pub(super) fn syncs(dir: &Path, bytes: usize, window: Duration) -> Result<f64, Fault> {
    let file = tempfile::tempfile_in(dir)?;
    let data = vec![0x5a; bytes];
    let span = 64 << 20;
    for offset in (0..span).step_by(bytes) {
        file.write_all_at(&data, offset)?;
    }
    file.sync_all()?;
    let mut rates = Vec::new();
    for _ in 0..3 {
        let (began, mut count) = (Instant::now(), 0u64);
        while began.elapsed() < window / 3 {
            file.write_all_at(&data, count * bytes as u64 % span)?;
            file.sync_data()?;
            count += 1;
        }
        rates.push(count as f64 / began.elapsed().as_secs_f64());
    }
    Ok(median(rates))
}
