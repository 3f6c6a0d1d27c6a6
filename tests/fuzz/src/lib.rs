//! What is fuzzed, compiled a second time for libFuzzer: see `tests/src/fuzz.rs` and this folder's README.

#[path = "../../src/fuzz.rs"]
pub mod fuzz;
