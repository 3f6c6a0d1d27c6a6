//! Reading a request body: capped before it is read, paid for as it grows, never waited for without end.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use tokio::time::Instant;

use super::body::{Body, BodyCaps};
use super::decode::{self, Encoding};
use super::liveness::Liveness;
use super::settings::Deadlines;
use xinqiao_runtime::refusal::{Refusal, RefusalCode};
use xinqiao_runtime::{Account, Permit};

/// First allocation for a body of unknown length, and the step it pays for at least.
const STEP: usize = 16 * 1024;
/// Read without a look at the other connections of this worker: some hundred microseconds of decryption.
const STRETCH: usize = 128 * 1024;
/// Pieces without a byte that a body may have.
const EMPTY_PIECES: u32 = 64;

/// The body of a request, not yet read. Dropping it refuses the body.
pub struct RequestBody {
    incoming: Incoming,
    encoding: Result<Encoding, Refusal>,
    declared: Option<u64>,
    liveness: Arc<Liveness>,
    account: Account,
    received: u64,
    empty: u32,
    ended: bool,
}

impl RequestBody {
    pub(super) fn new(
        incoming: Incoming,
        headers: &HeaderMap,
        liveness: Arc<Liveness>,
        account: Account,
    ) -> Self {
        let declared = incoming.size_hint().exact();
        let ended = incoming.is_end_stream();
        let encoding = Encoding::of(headers);
        Self { incoming, encoding, declared, liveness, account, received: 0, empty: 0, ended }
    }

    /// The length the sender announced, if it did.
    #[must_use]
    pub fn declared(&self) -> Option<u64> {
        self.declared
    }

    /// Reads and decodes it all.
    ///
    /// # Errors
    /// `body.too-large`, `body.decompressed-too-large`, `body.truncated`, `body.too-slow`,
    /// `encoding.unsupported`, `encoding.corrupt`, `encoding.window-too-large`, `busy.memory`.
    pub async fn read(mut self, caps: BodyCaps) -> Result<Body, Refusal> {
        let encoding = std::mem::replace(&mut self.encoding, Ok(Encoding::Identity))?;
        let account = self.account.clone();
        let wire = self.read_wire(caps.wire, &account).await?;
        match encoding {
            Encoding::Identity => Ok(wire),
            encoding => decode::decode(encoding, wire, &account, caps).await,
        }
    }

    async fn read_wire(&mut self, cap: usize, account: &Account) -> Result<Body, Refusal> {
        let expected = match self.declared {
            Some(length) => {
                usize::try_from(length).ok().filter(|n| *n <= cap).ok_or(RefusalCode::BodyTooLarge)?
            }
            None => 0,
        };
        if expected > STEP {
            account.would_fit(expected)?;
        }
        let mut permit = account.take(expected.min(STEP))?;
        let mut pace: Option<Pace> = None;
        let mut first = Bytes::new();
        let mut gathered: Vec<u8> = Vec::new();
        let mut stretch = 0;
        while let Some(piece) = self.piece(&mut pace).await? {
            stretch += piece.len();
            if stretch >= STRETCH {
                stretch = 0;
                tokio::task::yield_now().await;
            }
            let held = first.len() + gathered.len();
            let total =
                held.checked_add(piece.len()).filter(|n| *n <= cap).ok_or(RefusalCode::BodyTooLarge)?;
            if held == 0 {
                let missing = total.saturating_sub(permit.bytes());
                permit.grow(missing)?;
                first = piece;
                continue;
            }
            if gathered.is_empty() {
                reserve(&mut gathered, total, expected, cap, &mut permit)?;
                gathered.extend_from_slice(&first);
                first = Bytes::new();
            }
            reserve(&mut gathered, total, expected, cap, &mut permit)?;
            gathered.extend_from_slice(&piece);
        }
        let (bytes, held) = if gathered.is_empty() {
            let held = first.len();
            (first, held)
        } else {
            let held = gathered.capacity();
            (Bytes::from(gathered), held)
        };
        permit.shrink_to(held);
        Ok(Body { bytes, permit })
    }

    async fn piece(&mut self, pace: &mut Option<Pace>) -> Result<Option<Bytes>, Refusal> {
        let deadlines = self.liveness.deadlines();
        loop {
            let frame = {
                let mut next = pin!(self.incoming.frame());
                // A timer costs; most pieces are already here.
                let at_once = poll_fn(|cx| match next.as_mut().poll(cx) {
                    Poll::Ready(frame) => Poll::Ready(Some(frame)),
                    Poll::Pending => Poll::Ready(None),
                });
                match at_once.await {
                    Some(frame) => frame,
                    None => tokio::time::timeout_at(
                        pace.get_or_insert_with(|| Pace::new(deadlines)).until(),
                        next,
                    )
                    .await
                    .map_err(|_| RefusalCode::BodyTooSlow)?,
                }
            };
            match frame {
                None => {
                    self.ended = true;
                    return Ok(None);
                }
                Some(Err(_broken)) => return Err(RefusalCode::BodyTruncated.into()),
                Some(Ok(frame)) => {
                    // Trailers carry nothing this node reads.
                    let Ok(data) = frame.into_data() else {
                        continue;
                    };
                    self.received += data.len() as u64;
                    if let Some(pace) = pace {
                        pace.moved(data.len());
                    }
                    self.ended = self.incoming.is_end_stream();
                    if !data.is_empty() {
                        return Ok(Some(data));
                    }
                    // They come without end and always at once, so no clock would ever be asked.
                    self.empty += 1;
                    if self.empty > EMPTY_PIECES {
                        return Err(RefusalCode::BodyTooSlow.into());
                    }
                }
            }
        }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        self.liveness.body_dropped(self.received, self.ended);
    }
}

impl std::fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestBody").field("declared", &self.declared).finish_non_exhaustive()
    }
}

/// Makes `gathered` hold `total` bytes, paying for its whole capacity first.
fn reserve(
    gathered: &mut Vec<u8>,
    total: usize,
    expected: usize,
    cap: usize,
    permit: &mut Permit,
) -> Result<(), Refusal> {
    if total <= gathered.capacity() {
        return Ok(());
    }
    let most = if expected > 0 { expected } else { cap };
    let capacity = gathered.capacity().saturating_mul(2).max(STEP).min(most).max(total);
    permit.grow(capacity.saturating_sub(permit.bytes()))?;
    gathered.reserve_exact(capacity - gathered.len());
    Ok(())
}

/// Made when the first piece has to be waited for.
///
/// Until when the next piece must come: within the stall deadline, the total, and the minimum rate after its grace.
struct Pace {
    began: Instant,
    last: Instant,
    received: u64,
    stall: Duration,
    total: Duration,
    rate: u64,
}

impl Pace {
    fn new(deadlines: &Deadlines) -> Self {
        let now = Instant::now();
        Self {
            began: now,
            last: now,
            received: 0,
            stall: deadlines.body_stall,
            total: deadlines.body_total,
            rate: u64::from(deadlines.body_rate.max(1)),
        }
    }

    fn moved(&mut self, bytes: usize) {
        self.received = self.received.saturating_add(bytes as u64);
        self.last = Instant::now();
    }

    fn until(&self) -> Instant {
        let earned = Duration::from_millis(self.received.saturating_mul(1_000) / self.rate);
        let by_rate = self.began + self.stall.saturating_add(earned).min(self.total);
        by_rate.min(self.last + self.stall)
    }
}
