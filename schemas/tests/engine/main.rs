//! The engine against the sample catalogue of `docs/catalogue-format.md` and its fixtures.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod decoding;
mod describing;
mod fixture;
mod loading;
mod properties;
mod recalls;
mod releasing;
mod validating;
