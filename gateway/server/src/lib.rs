//! Placeholder.

pub mod edge;
pub mod logging;
pub mod metrics;
pub mod problem;
