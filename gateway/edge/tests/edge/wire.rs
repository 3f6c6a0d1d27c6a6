//! A client that speaks raw bytes over TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;

use crate::site::{Site, within};

pub(crate) struct Wire {
    pub(crate) stream: TlsStream<TcpStream>,
    rest: Vec<u8>,
}

/// One response as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    }
}

impl Wire {
    /// Connects as a department over HTTP/1.1.
    pub(crate) async fn open(site: &Site, department: &str) -> Self {
        let config = site.pki.client(department, b"http/1.1");
        Self::connect(site.address, config).await.expect("the handshake succeeds")
    }

    pub(crate) async fn connect(address: SocketAddr, config: Arc<ClientConfig>) -> io::Result<Self> {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        let name = "localhost".try_into().unwrap();
        let stream = within(TlsConnector::from(config).connect(name, tcp)).await?;
        Ok(Self { stream, rest: Vec::new() })
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        within(self.stream.write_all(bytes.as_ref())).await.expect("the node reads");
        within(self.stream.flush()).await.expect("the node reads");
    }

    /// Sends, however far the node lets it.
    pub(crate) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        within(self.stream.write_all(bytes.as_ref())).await?;
        within(self.stream.flush()).await
    }

    /// A POST with this body and these further header lines.
    pub(crate) async fn post(&mut self, path: &str, headers: &str, body: &[u8]) -> Answer {
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: node\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
        self.send([head.as_bytes(), body].concat()).await;
        self.answer().await
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: node\r\n\r\n")).await;
        self.answer().await
    }

    /// The next response; fails if the connection ends first.
    pub(crate) async fn answer(&mut self) -> Answer {
        self.try_answer().await.expect("a response before the end of the connection")
    }

    pub(crate) async fn try_answer(&mut self) -> io::Result<Answer> {
        let end = loop {
            if let Some(end) = self.rest.windows(4).position(|w| w == b"\r\n\r\n") {
                break end + 4;
            }
            self.more().await?;
        };
        let head = String::from_utf8(self.rest.drain(..end).collect()).unwrap();
        let status = head[9..12].parse().unwrap();
        let mut answer = Answer { status, head, body: Vec::new() };
        let length = answer.header("content-length").map_or(0, |n| n.parse().unwrap());
        while self.rest.len() < length {
            self.more().await?;
        }
        answer.body = self.rest.drain(..length).collect();
        Ok(answer)
    }

    /// Everything until the node closes.
    pub(crate) async fn read_to_end(&mut self) -> Vec<u8> {
        while self.more().await.is_ok() {}
        std::mem::take(&mut self.rest)
    }

    /// Waits for the node to close the connection, however rudely.
    pub(crate) async fn closed(&mut self) {
        let rest = self.read_to_end().await;
        assert!(rest.is_empty(), "closed without a further word, not {:?}", String::from_utf8_lossy(&rest));
    }

    async fn more(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        match within(self.stream.read(&mut buffer)).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.rest.extend_from_slice(&buffer[..count]);
                Ok(())
            }
        }
    }
}
