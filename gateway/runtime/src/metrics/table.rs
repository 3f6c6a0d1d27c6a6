//! The list of every metric: name, kind, labels, meaning. `docs/metrics.md` is compared with it.

/// How a metric behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Distribution over the given upper bounds.
    Histogram(&'static [f64]),
}

/// What the table says about one metric.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
}

const SECONDS: &[f64] = &[
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0, 30.0,
];
const SIZES: &[f64] =
    &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000.0, 10_000.0];

macro_rules! metrics {
    ($($variant:ident = $name:literal, $kind:expr, [$($label:literal),*], $help:literal;)+) => {
        /// One metric of the node. Labels are bounded: names from configuration or fixed words.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Metric {
            $(#[doc = concat!("`", $name, "`: ", $help)] $variant,)+
        }

        pub(super) const ROWS: &[Row] = &[
            $(Row { name: $name, kind: $kind, labels: &[$($label),*], help: $help },)+
        ];

        impl Metric {
            /// Every metric, in the order of the table.
            pub const ALL: &'static [Metric] = &[$(Metric::$variant,)+];
        }
    };
}

use Kind::{Counter, Gauge, Histogram};

metrics! {
    // Ingest.
    IngestRecords = "xinqiao_ingest_records_total", Counter, ["dataset", "outcome"], "Records by outcome: accepted, refused, warned (also counted as accepted).";
    IngestSubmissions = "xinqiao_ingest_submissions_total", Counter, ["dataset", "outcome"], "Submissions by outcome: accepted, partial, refused, repeated.";
    IngestUncodedRecords = "xinqiao_ingest_uncoded_records_total", Counter, ["member", "dataset"], "Records taken about organisations without a code, on the basis registered for their authority.";
    CommitGroups = "xinqiao_commit_groups_total", Counter, [], "Commit groups written to the journal.";
    CommitGroupRecords = "xinqiao_commit_group_records", Histogram(SIZES), [], "Records per commit group.";
    CommitSyncSeconds = "xinqiao_commit_sync_seconds", Histogram(SECONDS), [], "Time of one journal sync.";
    CommitFailures = "xinqiao_commit_failures_total", Counter, [], "Commit groups whose write or sync failed.";
    // Delivery.
    QueuePendingRecords = "xinqiao_queue_pending_records", Gauge, ["stream"], "Records waiting for the recipient.";
    QueuePendingBytes = "xinqiao_queue_pending_bytes", Gauge, ["stream"], "Bytes waiting for the recipient.";
    QueueOldestSeconds = "xinqiao_queue_oldest_seconds", Gauge, ["stream"], "Age of the oldest record waiting for the recipient.";
    Batches = "xinqiao_delivery_batches_total", Counter, ["stream", "state"], "Batches by what happened: sealed, served, acknowledged, partial, rejected, void.";
    DeliveredBytes = "xinqiao_delivery_payload_bytes_total", Counter, ["stream"], "Payload bytes sent to the recipient.";
    FeedbackRecords = "xinqiao_feedback_records_total", Counter, ["dataset"], "Records a recipient rejected, told back to the source.";
    WithheldRecords = "xinqiao_withheld_records", Gauge, ["stream"], "Records withheld at sealing, waiting for a decision.";
    StreamsHeld = "xinqiao_streams_held", Gauge, [], "Streams on hold.";
    RecallsOpen = "xinqiao_recalls_open", Gauge, ["dataset"], "Recalls some recipient has not confirmed.";
    PushAttempts = "xinqiao_push_attempts_total", Counter, ["recipient", "outcome"], "Pushes by outcome: delivered, retry, dead.";
    PushDeadLetters = "xinqiao_push_dead_letters", Gauge, ["recipient"], "Batches whose push was given up.";
    RelayLagSeconds = "xinqiao_relay_lag_seconds", Gauge, ["upstream"], "Age of the newest upstream batch not yet taken over.";
    RelayRecords = "xinqiao_relay_records_total", Counter, ["upstream", "outcome"], "Relayed records by outcome: accepted, refused, looped.";
    RetentionOverdue = "xinqiao_retention_overdue_records", Gauge, ["dataset"], "Records destroyed by age before they were acknowledged.";
    // The network edge.
    HttpRequests = "xinqiao_http_requests_total", Counter, ["route", "status"], "Requests by route template and status.";
    HttpRequestSeconds = "xinqiao_http_request_seconds", Histogram(SECONDS), ["route"], "Time from the request head to the end of the reply.";
    HttpReceivedBytes = "xinqiao_http_received_bytes_total", Counter, [], "Bytes of request bodies as received.";
    HttpSentBytes = "xinqiao_http_sent_bytes_total", Counter, [], "Bytes of reply bodies handed to the connection.";
    HttpProblems = "xinqiao_http_problems_total", Counter, ["code"], "Problem documents by code.";
    HttpPanics = "xinqiao_http_panics_total", Counter, [], "Handlers that panicked; each is a defect.";
    EdgeConnections = "xinqiao_edge_connections", Gauge, ["listener"], "Open connections past the handshake.";
    EdgeAccepted = "xinqiao_edge_connections_accepted_total", Counter, ["listener"], "Connections accepted by the socket.";
    EdgeRefused = "xinqiao_edge_connections_refused_total", Counter, ["listener", "reason"], "Connections closed at once: address, handshakes, connections, files.";
    EdgeClosed = "xinqiao_edge_connections_closed_total", Counter, ["listener", "reason"], "Connections the node closed: idle, header-slow, reply-stalled, reply-slow, frame-flood, identity-changed, certificate-expired, superseded, session-over, lingered, draining.";
    HandshakesFailed = "xinqiao_edge_handshakes_failed_total", Counter, ["listener", "reason"], "TLS handshakes that failed: deadline, no-certificate, certificate, protocol, closed.";
    LimitsHit = "xinqiao_edge_limits_hit_total", Counter, ["limit"], "Requests or connections beyond a limit, by limit.";
    OfficerLockouts = "xinqiao_officer_lockouts_total", Counter, ["who"], "Lock-outs on the officers' listener: address, officer.";
    ProposalsOpen = "xinqiao_officer_proposals_open", Gauge, [], "Proposals that wait for a second officer.";
    MemoryBudget = "xinqiao_memory_budget_bytes", Gauge, ["state"], "Node-wide byte budget: used, total.";
    // The node.
    JournalBytes = "xinqiao_journal_bytes", Gauge, [], "Bytes in journal segments.";
    JournalSegments = "xinqiao_journal_segments", Gauge, [], "Journal segments on disk.";
    PayloadOverdue = "xinqiao_payload_overdue_seconds", Gauge, [], "Age of the oldest payload that is past its retention and still on the disk because segments could not be let go; 0 while there is none.";
    QueueRows = "xinqiao_queue_rows", Gauge, [], "Rows in the queue database: what is recent or under way; older ones are in the indexes of `data/evidence`.";
    CheckpointAge = "xinqiao_queue_checkpoint_age_seconds", Gauge, [], "Age of the last checkpoint of the queue database.";
    QueueRebuilds = "xinqiao_queue_rebuilds_total", Counter, [], "Times the queue database was rebuilt from the journal.";
    DiskFreeBytes = "xinqiao_disk_free_bytes", Gauge, [], "Free bytes on the data directory's file system.";
    ClockHealthy = "xinqiao_clock_healthy", Gauge, [], "1 while the clock is synchronised and has not gone backward.";
    CertificateExpiryDays = "xinqiao_certificate_expiry_days", Gauge, ["kind", "name"], "Days until a certificate, trust anchor, revocation list or OCSP response runs out, by kind: certificate, anchor, crl, ocsp.";
    CertificatesRefused = "xinqiao_certificates_refused", Gauge, [], "1 while files of certificates or members are refused and the last good set serves.";
    SigningKeyExpiryDays = "xinqiao_signing_key_expiry_days", Gauge, ["use"], "Days until a signing key is due for rotation, by use; absent while `keys` gives no schedule for it.";
    LogLinesDropped = "xinqiao_log_lines_dropped_total", Counter, [], "Log lines dropped because the output could not take them.";
    BuildInfo = "xinqiao_build_info", Gauge, ["version"], "Always 1; the label carries the version.";
}

impl Metric {
    /// The exposed name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// How it behaves.
    #[must_use]
    pub fn kind(self) -> Kind {
        self.row().kind
    }

    pub(super) fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }
}
