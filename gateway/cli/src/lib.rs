//! The `xinqiao` program: its command line, and the demonstration.

pub mod cli;
pub mod demo;
