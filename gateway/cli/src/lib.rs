//! The `xinqiao` program: its command line, and the demonstration.

pub mod cli;
mod console;
pub mod demo;
