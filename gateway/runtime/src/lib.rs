//! What every part of a running node shares and none of them owns: the reasons for a refusal, metrics, the byte
//! budget, fair queues between members, the drain signal, the clock, and how the log is written.
//!
//! Nothing here knows HTTP, TLS, the journal or a record.

mod blocking;
mod budget;
pub mod clock;
mod drain;
mod fair_permit;
mod fair_queue;
pub mod logging;
pub mod metrics;
mod readiness;
pub mod refusal;

pub use blocking::on_blocking_thread;
pub use budget::{Account, Budget, INLINE, Permit};
pub use drain::Drain;
pub use fair_permit::FairPermit;
pub use fair_queue::{FairMember, FairQueue};
pub use readiness::{Check, State};
