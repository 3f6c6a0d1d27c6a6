//! What every part of a running node shares and none of them owns: the reasons for a refusal, metrics, the byte
//! budget, turns between members, the drain signal, the clock, and how the log is written.
//!
//! Nothing here knows HTTP, TLS, the journal or a record.

mod budget;
pub mod clock;
mod drain;
pub mod logging;
pub mod metrics;
mod readiness;
pub mod refusal;
mod turns;

pub use budget::{Account, Budget, INLINE, Permit};
pub use drain::Drain;
pub use readiness::{Check, State};
pub use turns::{Turn, on_blocking_thread};
