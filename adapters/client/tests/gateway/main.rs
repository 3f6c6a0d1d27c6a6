//! The client against a small gateway made here: real TLS, real HTTP, answers as each test wants them.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod calls;
mod node;
mod pulling;
mod server;
