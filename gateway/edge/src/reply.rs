//! What a handler gives back, and how its bytes leave: in pieces small enough to see progress,
//! with their share of the byte budget held until the connection has taken them.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Response, StatusCode, header};
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

use super::request_guard::RequestGuard;
use xinqiao_runtime::Permit;
use xinqiao_runtime::refusal::{Refusal, RefusalCode};

/// Largest piece handed to the connection at once.
const PIECE: usize = 64 * 1024;

/// The response to one exchange, as a handler gives it.
pub struct Reply {
    route: &'static str,
    code: Option<RefusalCode>,
    content: Content,
}

#[allow(clippy::large_enum_variant, reason = "the large one is the usual one; a box would cost every reply")]
enum Content {
    Response(Response<ReplyBody>),
    Refusal(Refusal),
}

impl Reply {
    /// A response. `route` is the template of the path, such as `/v1/streams/{stream}/batches`: it goes to log and metrics.
    #[must_use]
    pub fn new(route: &'static str, response: Response<ReplyBody>) -> Self {
        Self { route, code: None, content: Content::Response(response) }
    }

    /// A small body of the given media type.
    #[must_use]
    pub fn bytes(
        route: &'static str,
        status: StatusCode,
        media_type: &'static str,
        bytes: impl Into<Bytes>,
    ) -> Self {
        let mut response = Response::new(ReplyBody::from(bytes.into()));
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static(media_type));
        Self::new(route, response)
    }

    /// A problem document; the edge adds the trace number.
    #[must_use]
    pub fn problem(route: &'static str, problem: impl Into<Refusal>) -> Self {
        let problem = problem.into();
        Self { route, code: Some(problem.code()), content: Content::Refusal(problem) }
    }

    /// Names the code of a response that repeats a problem document byte for byte.
    #[must_use]
    pub fn with_code(mut self, code: RefusalCode) -> Self {
        self.code = Some(code);
        self
    }

    /// The response, which carries the request's guard to its last byte. One to HEAD has the headers of that to GET, length
    /// included, and no byte: HTTP/2 does not leave them out by itself.
    pub(super) fn into_response(self, mut guard: RequestGuard) -> Response<ReplyBody> {
        let mut response = match self.content {
            Content::Response(response) => response,
            Content::Refusal(problem) => {
                crate::problem::to_response(&problem, &guard.trace().to_string()).map(ReplyBody::from)
            }
        };
        guard.responded(self.route, self.code, response.status());
        if guard.asks_for_head() {
            leave_body_out(&mut response);
        }
        response.map(|body| body.with(guard))
    }
}

/// Takes the body out and says how long it would have been (RFC 9110, 9.3.2). A streamed body ends where it is.
fn leave_body_out(response: &mut Response<ReplyBody>) {
    let body = std::mem::replace(response.body_mut(), ReplyBody::empty());
    let has_none = matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if let Some(length) = body.size_hint().exact().filter(|_| !has_none) {
        response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    }
}

/// The bytes of a reply.
pub struct ReplyBody {
    source: Source,
    permit: Option<Permit>,
    guard: Option<RequestGuard>,
}

enum Source {
    Whole(Bytes),
    Pieces { pieces: mpsc::Receiver<Option<Bytes>>, rest: Bytes, length: Option<u64>, ended: bool },
}

/// The writing end of a streamed [`ReplyBody`].
///
/// Dropping it without [`ReplySender::finish`] cuts the connection, so that the peer sees a
/// truncated reply and not a complete one.
pub struct ReplySender(mpsc::Sender<Option<Bytes>>);

/// The reply was cut: the peer left, or the writer gave up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplyCut;

impl ReplyBody {
    /// No bytes.
    #[must_use]
    pub fn empty() -> Self {
        Self::from(Bytes::new())
    }

    /// Bytes that come piece by piece. `length` is announced when known.
    #[must_use]
    pub fn streamed(length: Option<u64>) -> (ReplySender, Self) {
        let (sender, pieces) = mpsc::channel(2);
        let source = Source::Pieces { pieces, rest: Bytes::new(), length, ended: false };
        (ReplySender(sender), Self { source, permit: None, guard: None })
    }

    /// Holds a share of the byte budget until the reply has left.
    #[must_use]
    pub fn holding(mut self, permit: Permit) -> Self {
        self.permit = Some(permit);
        self
    }

    pub(super) fn with(mut self, guard: RequestGuard) -> Self {
        self.guard = Some(guard);
        if self.is_end_stream() {
            self.guard.iter_mut().for_each(RequestGuard::complete);
        }
        self
    }
}

impl From<Bytes> for ReplyBody {
    fn from(bytes: Bytes) -> Self {
        Self { source: Source::Whole(bytes), permit: None, guard: None }
    }
}

impl ReplySender {
    /// Hands over the next piece; waits while the peer is slow.
    ///
    /// # Errors
    /// The peer is gone.
    pub async fn send(&self, bytes: Bytes) -> Result<(), ReplyCut> {
        self.0.send(Some(bytes)).await.map_err(|_| ReplyCut)
    }

    /// The same from a thread that may block.
    ///
    /// # Errors
    /// The peer is gone.
    pub fn blocking_send(&self, bytes: Bytes) -> Result<(), ReplyCut> {
        self.0.blocking_send(Some(bytes)).map_err(|_| ReplyCut)
    }

    /// Says that all was sent.
    ///
    /// # Errors
    /// The peer is gone.
    pub async fn finish(self) -> Result<(), ReplyCut> {
        self.0.send(None).await.map_err(|_| ReplyCut)
    }

    /// The same from a thread that may block.
    ///
    /// # Errors
    /// The peer is gone.
    pub fn blocking_finish(self) -> Result<(), ReplyCut> {
        self.0.blocking_send(None).map_err(|_| ReplyCut)
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = ReplyCut;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReplyCut>>> {
        let body = self.get_mut();
        if body.guard.as_mut().is_some_and(|guard| guard.poll_ended(cx).is_some()) {
            return Poll::Ready(Some(Err(ReplyCut)));
        }
        let piece = match ready!(body.source.poll_piece(cx)) {
            Some(Ok(piece)) => piece,
            Some(Err(cut)) => return Poll::Ready(Some(Err(cut))),
            None => {
                body.guard.iter_mut().for_each(RequestGuard::complete);
                return Poll::Ready(None);
            }
        };
        if let Some(guard) = &mut body.guard {
            guard.moved(piece.len());
            if body.source.is_at_end() {
                guard.complete();
            }
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_at_end()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Source::Pieces { length: Some(length), .. } => SizeHint::with_exact(*length),
            Source::Pieces { length: None, .. } => SizeHint::default(),
        }
    }
}

impl Source {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ReplyCut>>> {
        let (rest, length) = match self {
            Self::Whole(bytes) => (bytes, None),
            Self::Pieces { pieces, rest, length, ended } => {
                while rest.is_empty() && !*ended {
                    match ready!(pieces.poll_recv(cx)) {
                        Some(Some(bytes)) => *rest = bytes,
                        Some(None) => *ended = true,
                        None => return Poll::Ready(Some(Err(ReplyCut))),
                    }
                }
                (rest, length.as_mut())
            }
        };
        if rest.is_empty() {
            return Poll::Ready(None);
        }
        let piece = rest.split_to(rest.len().min(PIECE));
        if let Some(length) = length {
            *length = length.saturating_sub(piece.len() as u64);
        }
        Poll::Ready(Some(Ok(piece)))
    }

    fn is_at_end(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Pieces { rest, length, ended, .. } => rest.is_empty() && (*ended || *length == Some(0)),
        }
    }
}

impl fmt::Display for ReplyCut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the reply was cut before its end")
    }
}

impl std::error::Error for ReplyCut {}

impl fmt::Debug for ReplyBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyBody").field("size", &self.size_hint()).finish_non_exhaustive()
    }
}
