//! The node without its network: the exchange domain run against the journal, the queue and the log; the node's keys,
//! its configuration, and what officers decided.
//!
//! Nothing here speaks HTTP or TLS. Requests are calls, refusals are values with a code; the server renders them.

pub mod config;
pub mod decisions;
pub mod engine;
pub mod keyring;
