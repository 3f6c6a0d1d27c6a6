//! Send, pull, verify and acknowledge: what a department's or a recipient's side needs to talk to a gateway.
//!
//! [`Client`] makes single calls; [`Puller`] follows a stream into a directory and acknowledges only what it has verified
//! and stored. Verification itself is `xinqiao-evidence`'s; certificates and TLS are `xinqiao-certs`'.

mod client;
mod error;
mod followed;
mod profile;
mod puller;
mod transport;

pub use client::{
    Answer, BatchEntry, BatchPage, Client, Feedback, FeedbackPage, RetryPolicy, Sent, StreamInfo, Submission,
};
pub use error::{ClientError, Finding, Problem, Unverified};
pub use followed::FollowedKeys;
pub use profile::Profile;
pub use puller::{
    Acknowledged, KeySource, Limits, LineVerdict, Outcome, PullSettings, Pulled, Puller, Review,
};
pub use transport::Tls;
