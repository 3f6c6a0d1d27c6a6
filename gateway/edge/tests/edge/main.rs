//! The network edge under raw bytes on real sockets.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bodies;
mod front_proxy;
mod head;
mod http2;
mod legacy;
mod lifecycle;
mod limits;
mod operators;
mod peers;
mod requests;
mod site;
mod smuggling;
mod wire;
