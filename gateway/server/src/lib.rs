//! The Xinqiao gateway: composition root of the node and its command line.
//!
//! [`edge`] is the network, [`engine`] the node, [`api`] the way from one to the other.

pub mod admin;
pub mod api;
pub mod cli;
pub mod config;
pub mod demo;
pub mod edge;
pub mod engine;
pub mod keyring;
pub mod logging;
pub mod metrics;
pub mod problem;
pub mod serve;
pub mod standing;
pub mod template;
