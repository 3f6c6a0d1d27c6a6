//! The demonstration: a federation of three nodes as real processes on this machine, three departments, and the whole
//! life of a record. Every step is checked; a step that does not hold ends the demonstration with an error.
//!
//! [`federation`] makes certificates, configurations and processes and is used by the end-to-end tests too; [`story`]
//! is what happens.

pub mod federation;
pub mod process;
pub mod story;

pub use story::{Options, tell};
