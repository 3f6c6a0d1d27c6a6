//! Placeholder.

pub mod edge;
pub mod metrics;
pub mod problem;
