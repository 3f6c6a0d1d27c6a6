//! The byte stream under HTTP, and what it notes for the clocks of its connection.
//!
//! It follows the frames of HTTP/2 for floods. It notes when bytes arrive and since when the peer takes none, and on
//! closing swallows what still arrives (the rest of a refused body, a request that crossed a GOAWAY), since closing on
//! unread bytes resets the connection and the peer would never see the last reply.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::frames::FrameGuard;
use super::liveness::Liveness;

pub(super) struct Transport {
    stream: TlsStream<TcpStream>,
    liveness: Arc<Liveness>,
    frames: Option<FrameGuard>,
    shut: bool,
}

impl Transport {
    pub(super) fn new(stream: TlsStream<TcpStream>, liveness: Arc<Liveness>) -> Self {
        let frames = liveness.is_h2().then(FrameGuard::new);
        Self { stream, liveness, frames, shut: false }
    }

    fn took(&mut self, polled: &Poll<io::Result<usize>>) {
        self.liveness.peer_took(polled.is_ready());
        if let (Some(frames), Poll::Ready(Ok(bytes))) = (&mut self.frames, polled) {
            frames.left(*bytes);
        }
    }

    /// Whether the peer may still be sending what nobody reads: the rest of a refused body, or an HTTP/2 request that crossed
    /// the announcement of the end. Unread, either would cost it the last reply.
    fn lingers(&self) -> bool {
        self.liveness.is_h2() || self.liveness.body_left_unread()
    }

    fn swallow(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut scratch = [0u8; 4096];
        loop {
            let mut buffer = ReadBuf::new(&mut scratch);
            let tcp = Pin::new(&mut *self.stream.get_mut().0);
            if ready!(tcp.poll_read(cx, &mut buffer)).is_err() || buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.liveness.bytes_arrived();
            let this = &mut *self;
            if let Some(frames) = &mut this.frames {
                frames.refill(this.liveness.take_frame_tokens());
                if !frames.arrived(&buffer.filled()[before..]) {
                    this.liveness.flood();
                    return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
                }
            }
        }
        polled
    }
}

impl AsyncWrite for Transport {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.took(&polled);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.took(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        self.liveness.peer_took(polled.is_ready());
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.shut {
            let polled = Pin::new(&mut self.stream).poll_shutdown(cx);
            self.liveness.peer_took(polled.is_ready());
            ready!(polled)?;
            self.shut = true;
            if self.lingers() {
                self.liveness.linger();
            }
        }
        if self.lingers() { self.swallow(cx) } else { Poll::Ready(Ok(())) }
    }
}
