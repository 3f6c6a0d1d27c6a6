//! Send, pull, verify and acknowledge: what a department's or a recipient's side needs to talk to a gateway.
//!
//! [`Client`] makes single calls. [`Sender`] hands records in from a folder that survives crashes: each submission goes once,
//! and its receipt is kept. [`Puller`] follows a stream into a directory and acknowledges only what it has verified and
//! stored. Verification itself is `xinqiao-evidence`'s; certificates and TLS are `xinqiao-certs`'.

mod client;
mod durable;
mod error;
mod followed;
mod profile;
mod puller;
mod sender;
mod transport;

pub use client::{
    BatchEntry, BatchPage, Client, Feedback, FeedbackPage, Received, RetryPolicy, Sent, StreamInfo,
    Submission,
};
pub use error::{ClientError, Finding, Problem};
pub use followed::FollowedKeys;
pub use profile::Profile;
pub use puller::{
    Acknowledged, FollowedState, KeySource, Limits, LineVerdict, Outcome, PullSettings, Pulled, Puller,
    Review,
};
pub use sender::{Acceptance, News, Offered, Refusal, SendSettings, Sender, Settled, SubmissionOutcome};
pub use transport::Tls;
