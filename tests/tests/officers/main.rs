//! What officers do with a running node, over real sockets: streams and records, changes under four eyes, and what keeps
//! others out of their office.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod access;
mod command;
mod files;
mod office;
mod proposals;
mod streams;
mod tightening;
