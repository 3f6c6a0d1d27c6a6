//! Whether a connection goes on: flags that its requests, bodies and bytes set, and the clocks that run on them.
//!
//! Requests pay for a flag each, not for looking at a clock; [`Liveness::check`] looks at the clocks a few times per
//! deadline. Bodies, replies and the transport know a connection by this alone; its member, its certificates and the
//! HTTP on it are known to `connection.rs` and `drive.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;
use xinqiao_runtime::Drain;
use xinqiao_runtime::metrics::Counter;

use super::settings::Deadlines;

/// The state that everything of one connection shares.
pub(super) struct Liveness {
    deadlines: Arc<Deadlines>,
    expiry: Expiry,
    is_h2: bool,
    /// Requests in progress, replies not yet taken included.
    open: AtomicU32,
    /// A request began or ended since the last check.
    active: AtomicBool,
    head_begun: AtomicBool,
    blocked: AtomicBool,
    lingering: AtomicBool,
    retiring: AtomicBool,
    flooded: AtomicBool,
    body_unread: AtomicBool,
    /// Tokens for idle frames, earned by the time since frames last came.
    frame_tokens: AtomicU32,
    /// Replies in progress.
    replies: Mutex<Vec<Sending>>,
    clocks: Mutex<Clocks>,
    order: AtomicU8,
    wake: Notify,
    drain: Drain,
    /// Bytes of bodies; here, since a body shares nothing else with its connection.
    received: Counter,
}

/// When a connection ends however busy it is.
#[derive(Clone, Copy, Default)]
pub(super) struct Expiry {
    /// When the member's certificate ends: the connection must not outlive it.
    pub(super) certificate: Option<Instant>,
    /// When the connection has lasted long enough.
    pub(super) life: Option<Instant>,
}

/// One reply in progress, and whether the peer took a piece of it since the last check.
struct Sending {
    request: u64,
    moved: bool,
    /// Bytes taken since a check first saw this reply.
    bytes: u64,
    begun: Option<Instant>,
    clock: Option<Instant>,
}

/// Since when the checks have found things as they are.
#[derive(Default)]
struct Clocks {
    quiet: Option<Instant>,
    head: Option<Instant>,
    blocked: Option<Instant>,
    lingering: Option<Instant>,
    retiring: Option<Instant>,
}

/// What the clocks say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// All deadlines are kept.
    CarryOn,
    /// Finish what is in flight, for this reason.
    Finish(&'static str),
    /// Close now, for this reason.
    Cut(&'static str),
}

/// What the connection is to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Go on.
    CarryOn,
    /// Finish what is in flight and take nothing new.
    Finish,
    /// Close now.
    Cut,
}

/// Idle frames a peer may send per check, beyond what its requests call for.
const TOKENS_PER_CHECK: u32 = 16;

const CARRY_ON: u8 = 0;
const FINISH: u8 = 1;
const CUT: u8 = 2;

impl Liveness {
    pub(super) fn new(deadlines: Arc<Deadlines>, expiry: Expiry, is_h2: bool, received: Counter) -> Self {
        Self {
            deadlines,
            expiry,
            is_h2,
            open: AtomicU32::new(0),
            active: AtomicBool::new(true),
            head_begun: AtomicBool::new(false),
            blocked: AtomicBool::new(false),
            lingering: AtomicBool::new(false),
            retiring: AtomicBool::new(false),
            flooded: AtomicBool::new(false),
            body_unread: AtomicBool::new(false),
            frame_tokens: AtomicU32::new(0),
            replies: Mutex::default(),
            clocks: Mutex::default(),
            order: AtomicU8::new(CARRY_ON),
            wake: Notify::new(),
            drain: Drain::new(),
            received,
        }
    }

    pub(super) fn is_h2(&self) -> bool {
        self.is_h2
    }

    pub(super) fn deadlines(&self) -> &Deadlines {
        &self.deadlines
    }

    /// Given when the connection is to finish.
    pub(super) fn drain(&self) -> &Drain {
        &self.drain
    }

    /// Whether requests are in progress.
    pub(super) fn is_busy(&self) -> bool {
        self.open.load(Relaxed) != 0
    }

    pub(super) fn order(&self) -> Order {
        match self.order.load(Relaxed) {
            CUT => Order::Cut,
            FINISH => Order::Finish,
            _ => Order::CarryOn,
        }
    }

    /// Completes when there is an order to look at.
    pub(super) async fn ordered(&self) {
        self.wake.notified().await;
    }

    /// Finishes what is in flight and takes nothing new.
    pub(super) fn finish(&self) {
        if self.order.compare_exchange(CARRY_ON, FINISH, Relaxed, Relaxed).is_ok() {
            self.drain.begin();
            self.wake.notify_one();
        }
    }

    /// Closes without waiting for what is in flight.
    pub(super) fn cut(&self) {
        self.order.store(CUT, Relaxed);
        self.wake.notify_one();
    }

    /// A newer connection is to take its place: HTTP/2 says so at once, HTTP/1.1 with its next reply, so that no request meets a
    /// closed connection; silence ends it too.
    pub(super) fn retire(&self) {
        self.retiring.store(true, Relaxed);
        if self.is_h2 {
            self.finish();
        }
    }

    /// Whether its next reply is its last.
    pub(super) fn is_retiring(&self) -> bool {
        self.retiring.load(Relaxed)
    }

    pub(super) fn request_began(&self) {
        self.open.fetch_add(1, Relaxed);
        self.active.store(true, Relaxed);
        self.head_begun.store(false, Relaxed);
    }

    pub(super) fn request_ended(&self) {
        self.active.store(true, Relaxed);
        self.open.fetch_sub(1, Relaxed);
    }

    /// The connection took `bytes` more of the reply to `request`.
    pub(super) fn reply_moved(&self, request: u64, bytes: u64) {
        let mut replies = self.replies.lock();
        match replies.iter_mut().find(|reply| reply.request == request) {
            Some(reply) => {
                reply.moved = true;
                reply.bytes = reply.bytes.saturating_add(bytes);
            }
            None => replies.push(Sending { request, moved: true, bytes, begun: None, clock: None }),
        }
    }

    pub(super) fn reply_ended(&self, request: u64) {
        self.replies.lock().retain(|reply| reply.request != request);
    }

    pub(super) fn bytes_arrived(&self) {
        if self.open.load(Relaxed) == 0 {
            self.head_begun.store(true, Relaxed);
        }
    }

    /// Whether the peer took bytes when it was last offered some.
    pub(super) fn peer_took(&self, some: bool) {
        // Most offers find it as it was: a load is cheaper than a store on a line that others read.
        if self.blocked.load(Relaxed) == some {
            self.blocked.store(!some, Relaxed);
        }
    }

    /// Tokens for the frames of a peer that left some time between them.
    pub(super) fn take_frame_tokens(&self) -> u32 {
        self.frame_tokens.swap(0, Relaxed)
    }

    /// The peer sends frames that carry nothing; the transport ends.
    pub(super) fn flood(&self) {
        self.flooded.store(true, Relaxed);
    }

    pub(super) fn is_flooded(&self) -> bool {
        self.flooded.load(Relaxed)
    }

    /// A body is let go of after so many bytes; before its end, closing must linger.
    pub(super) fn body_dropped(&self, received: u64, at_its_end: bool) {
        self.received.add(received);
        if !at_its_end {
            self.leave_body_unread();
        }
    }

    /// Nobody reads the rest of a body: closing must linger.
    pub(super) fn leave_body_unread(&self) {
        self.body_unread.store(true, Relaxed);
    }

    /// Only with HTTP/1.1: with HTTP/2 the rest of a body belongs to its stream.
    pub(super) fn body_left_unread(&self) -> bool {
        !self.is_h2 && self.body_unread.load(Relaxed)
    }

    pub(super) fn linger(&self) {
        self.lingering.store(true, Relaxed);
    }

    /// Looks at the clocks. Each runs while its condition holds from one check to the next, so a deadline is exceeded by
    /// at most the time between two checks.
    pub(super) fn check(&self, now: Instant) -> Verdict {
        let deadlines = &*self.deadlines;
        let over = |clock: &mut Option<Instant>, holds: bool, limit: Duration| {
            *clock = if holds { Some(clock.unwrap_or(now)) } else { None };
            clock.is_some_and(|since| now.duration_since(since) > limit)
        };
        let tokens = self.frame_tokens.load(Relaxed).saturating_add(TOKENS_PER_CHECK);
        self.frame_tokens.store(tokens, Relaxed);
        let clocks = &mut *self.clocks.lock();
        let quiet = self.open.load(Relaxed) == 0 && !self.active.swap(false, Relaxed);
        let in_head = quiet && !self.is_h2 && self.head_begun.load(Relaxed);
        if over(&mut clocks.lingering, self.lingering.load(Relaxed), deadlines.linger) {
            return Verdict::Cut("lingered");
        }
        if over(&mut clocks.blocked, self.blocked.load(Relaxed), deadlines.reply_stall) {
            return Verdict::Cut("reply-stalled");
        }
        for reply in self.replies.lock().iter_mut() {
            let still = !std::mem::take(&mut reply.moved);
            if over(&mut reply.clock, still, deadlines.reply_stall) {
                return Verdict::Cut("reply-stalled");
            }
            let begun = *reply.begun.get_or_insert(now);
            let beyond_grace = now.duration_since(begun).saturating_sub(deadlines.reply_stall);
            if u128::from(reply.bytes) < u128::from(deadlines.reply_rate) * beyond_grace.as_millis() / 1_000 {
                return Verdict::Cut("reply-slow");
            }
        }
        if over(&mut clocks.head, in_head, deadlines.header) {
            return Verdict::Cut("header-slow");
        }
        if over(&mut clocks.retiring, quiet && self.is_retiring(), deadlines.header) {
            return Verdict::Finish("superseded");
        }
        if over(&mut clocks.quiet, quiet, deadlines.idle) {
            return Verdict::Finish("idle");
        }
        if self.expiry.certificate.is_some_and(|end| now > end) {
            return Verdict::Finish("certificate-expired");
        }
        if self.expiry.life.is_some_and(|end| now > end) {
            return Verdict::Finish("session-over");
        }
        Verdict::CarryOn
    }
}

#[cfg(test)]
mod tests;
