//! The crate as a verifier uses it: whole batches, logs and receipts, and verifiers that share no code with it.
#![allow(missing_docs, clippy::unwrap_used, reason = "test code")]

#[path = "evidence/batch.rs"]
mod batch;
#[path = "evidence/documents.rs"]
mod documents;
#[path = "evidence/java.rs"]
mod java;
#[path = "evidence/log.rs"]
mod log;
#[path = "evidence/oracles.rs"]
mod oracles;
#[path = "evidence/payload.rs"]
mod payload;
