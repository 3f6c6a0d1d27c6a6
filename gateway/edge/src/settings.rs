//! The edge's caps and deadlines, with defaults that suit a department line.

use std::time::Duration;

/// How much one edge takes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caps {
    /// Connections past the handshake.
    pub connections: usize,
    /// Handshakes in progress, counted apart so that strangers cannot use up the members' connections.
    pub handshakes: usize,
    /// Connections per address (IPv6: per /64), handshakes included.
    pub per_address: usize,
    /// Connections per member.
    pub per_member: usize,
    /// Requests in flight per member, over all its connections.
    pub requests_per_member: u32,
    /// Bytes of one request head; at least 8 KiB.
    pub header_bytes: usize,
    /// Header fields of one request.
    pub header_count: usize,
    /// HTTP/2 streams at once per connection.
    pub h2_streams: u32,
    /// HTTP/2 streams the peer may reset before they were answered (rapid reset).
    pub h2_resets: usize,
    /// HTTP/2 receive window of a connection, which bounds what is buffered before the budget sees it.
    pub h2_window: u32,
}

impl Default for Caps {
    fn default() -> Self {
        Self {
            connections: 4_096,
            handshakes: 256,
            per_address: 512,
            per_member: 256,
            requests_per_member: 512,
            header_bytes: 32 * 1024,
            header_count: 64,
            h2_streams: 128,
            h2_resets: 32,
            h2_window: 512 * 1024,
        }
    }
}

/// How long one edge waits. Deadlines on idle time, heads and stalls are
/// checked on a tick, so they may be exceeded by half of the shortest of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deadlines {
    /// TCP accept to the end of the TLS handshake.
    pub handshake: Duration,
    /// First byte of an HTTP/1.1 request head to its end.
    pub header: Duration,
    /// Between two pieces of a body, and the grace before [`Deadlines::body_rate`] counts.
    pub body_stall: Duration,
    /// A whole body.
    pub body_total: Duration,
    /// Bytes per second a body must average after the grace.
    pub body_rate: u32,
    /// No request in progress on a connection.
    pub idle: Duration,
    /// A whole connection, however busy; none: as long as its certificate.
    pub life: Option<Duration>,
    /// Between two pieces of a reply that the peer takes.
    pub reply_stall: Duration,
    /// Bytes per second a reply must average once it lasts longer than [`Deadlines::reply_stall`].
    pub reply_rate: u32,
    /// What a refused peer still sends, body or handshake, is swallowed for this long, so that it can read the refusal.
    pub linger: Duration,
    /// From the drain signal to the cut.
    pub drain: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            header: Duration::from_secs(10),
            body_stall: Duration::from_secs(15),
            body_total: Duration::from_secs(600),
            body_rate: 4 * 1024,
            idle: Duration::from_secs(75),
            life: None,
            reply_stall: Duration::from_secs(60),
            reply_rate: 1024,
            linger: Duration::from_secs(3),
            drain: Duration::from_secs(30),
        }
    }
}

impl Deadlines {
    /// How often a connection looks at its clocks.
    pub(super) fn tick(&self) -> Duration {
        let shortest = self.header.min(self.idle).min(self.reply_stall).min(self.linger);
        let shortest = self.life.map_or(shortest, |life| shortest.min(life));
        (shortest / 4).max(Duration::from_millis(5))
    }
}
