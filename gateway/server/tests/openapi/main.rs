//! The OpenAPI documents of the two listeners against the code they describe: rows of the tables, problem codes, examples,
//! types. What a running node answers is held against them by `xinqiao_tests::openapi`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod described;
mod examples;
mod form;
mod types;
