//! Revocation lists that an authority publishes by HTTP: fetched into the file the configuration names, if they are newer
//! and signed by an authority this node knows. The watcher takes them from there. A failure is a warning; the list in force
//! stays until it is stale.

use super::{TrustKeeper, lists};
use bytes::{Bytes, BytesMut};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use xinqiao_certs::pki::write_public;
use xinqiao_certs::{ListRead, Lists, UnixTime, read_file};
use xinqiao_explain::Explanation;
use xinqiao_node::config;

/// No list is larger.
const LARGEST: usize = 64 << 20;
/// One fetch, from the connection to the last byte.
const PATIENCE: Duration = Duration::from_secs(60);
/// A failed fetch is tried again after this at the latest.
const AGAIN: Duration = Duration::from_secs(300);

/// Starts fetching whatever lists have a URL.
pub(super) fn spawn(tasks: &mut JoinSet<()>, keeper: &Arc<TrustKeeper>) {
    let keeper = keeper.clone();
    tasks.spawn(async move {
        let mut due: HashMap<PathBuf, Instant> = HashMap::new();
        loop {
            for list in &keeper.material().named.revocation.lists {
                let Some(url) = &list.url else { continue };
                if due.get(&list.file).is_some_and(|at| Instant::now() < *at) {
                    continue;
                }
                let refresh = Duration::from_secs(u64::from(list.refresh_minutes.0.max(1)) * 60);
                let pause = match keeper.fetch(url, list).await {
                    Ok(()) => refresh,
                    Err(()) => refresh.min(AGAIN),
                };
                due.insert(list.file.clone(), Instant::now() + jittered(pause));
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
}

/// Between nine and eleven tenths of it, so that many nodes do not come at once.
fn jittered(pause: Duration) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    let random = RandomState::new().hash_one(0u8) % 1_000;
    pause.mul_f64(0.9 + random as f64 / 5_000.0)
}

impl TrustKeeper {
    async fn fetch(self: &Arc<Self>, url: &str, list: &config::RevocationList) -> Result<(), ()> {
        let name = list.file.display().to_string();
        let got = match tokio::time::timeout(PATIENCE, get(url)).await {
            Ok(Ok(bytes)) => {
                let (keeper, file) = (self.clone(), list.file.clone());
                tokio::task::spawn_blocking(move || keeper.replace_list(&file, &bytes))
                    .await
                    .unwrap_or_else(|_| Err(("the program failed".into(), "程序故障".into())))
            }
            Ok(Err(why)) => Err((why, "下载失败".to_owned())),
            Err(_) => Err(("no answer in time".to_owned(), "应答超时".to_owned())),
        };
        match got {
            Ok(()) => {
                self.troubles.lock().remove(&name);
                Ok(())
            }
            Err((en, zh)) => {
                let in_force = &self.live().set.in_force;
                let (then, then_zh) = match in_force.lists.iter().any(|list| list.name() == name) {
                    true => ("the one in force stays", "原列表继续生效"),
                    false => ("no list of this file is in force", "该文件没有列表生效"),
                };
                let advice = Explanation::new(
                    "crl.not-fetched",
                    format!("the revocation list could not be fetched from {url}: {en}; {then}"),
                    format!("无法从 {url} 获取吊销列表（{zh}），{then_zh}"),
                )
                .at(name.as_str());
                tracing::warn!(code = advice.code(), "{}  {}", advice.english(), advice.chinese());
                self.troubles.lock().insert(name, advice);
                Err(())
            }
        }
    }

    /// Puts a fetched list in the place of the file, if it is newer and signed by someone known.
    fn replace_list(&self, file: &std::path::Path, bytes: &[u8]) -> Result<(), (String, String)> {
        let name = file.display().to_string();
        let authorities = self.authorities();
        let read = |files: &[(&str, &[u8])]| Lists::read(files, &authorities, UnixTime::now());
        let new = read(&[(&name, bytes)]);
        if let Some(fault) = new.faults.first() {
            return Err((fault.why.english(), fault.why.chinese()));
        }
        if let Some(of_nobody) = new.speaking.iter().find(|new| !lists::vouched(&new.list, &authorities)) {
            return Err((
                format!("it is not signed by an authority this node knows ({})", of_nobody.list.issuer()),
                "并非由本节点已知的机构签发".into(),
            ));
        }
        let old = read_file(file).unwrap_or_default();
        // Whoever sits between may answer with another genuine list, in which nobody here is revoked.
        let followed = |old: &ListRead| new.speaking.iter().any(|new| new.list.succeeds(&old.list));
        if !read(&[(&name, &old)]).speaking.iter().all(followed) {
            let issuers: Vec<&str> = new.speaking.iter().map(|new| new.list.issuer()).collect();
            return Err((
                format!(
                    "it is not about the same certificates as the file ({}); remove the file if the authority has changed",
                    issuers.join("; ")
                ),
                "其签发机构或范围与现有文件不同；如机构确已更换，请先删除该文件".into(),
            ));
        }
        let both = read(&[(&name, &old), (&name, bytes)]);
        if !both.speaking.iter().any(|read| read.files == [1]) {
            return Ok(());
        }
        write_public(file, bytes).map_err(|e| (e.english().to_owned(), e.chinese().to_owned()))
    }
}

async fn get(url: &str) -> Result<Bytes, String> {
    let uri: Uri = url.parse().map_err(|_| "the URL is malformed".to_owned())?;
    let host = uri.host().ok_or("the URL names no host")?;
    if uri.scheme_str() != Some("http") {
        return Err("the URL must begin with http://; a list is signed, so it needs no TLS".into());
    }
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let stream =
        TcpStream::connect((bare, uri.port_u16().unwrap_or(80))).await.map_err(|e| e.kind().to_string())?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
    let connection = tokio::spawn(connection);
    let path = uri.path_and_query().map_or("/", |p| p.as_str());
    let authority = uri.authority().map_or(host, |a| a.as_str());
    let request = Request::get(path).header("host", authority).body(Empty::<Bytes>::new());
    let answered = async {
        let response =
            sender.send_request(request.map_err(|e| e.to_string())?).await.map_err(|e| e.to_string())?;
        if response.status() != StatusCode::OK {
            return Err(format!("the answer was {}", response.status()));
        }
        let (mut body, mut whole) = (response.into_body(), BytesMut::new());
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|e| e.to_string())?.into_data() else { continue };
            if whole.len() + data.len() > LARGEST {
                return Err("it is larger than 64 MiB".into());
            }
            whole.extend_from_slice(&data);
        }
        Ok(whole.freeze())
    };
    let response = answered.await;
    connection.abort();
    response
}
