//! The client against a small gateway made here: real TLS, real HTTP, answers as each test wants them.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod calls;
mod courses;
mod killed;
mod ledger;
mod node;
mod pulling;
mod sending;
mod server;
