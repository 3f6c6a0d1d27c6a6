//! Fuzz targets: each takes any bytes and panics if a promise of the product does not hold for them.
//!
//! `tests/fuzz` hands these functions to libFuzzer, one thin program each; `tests/tests/fuzz_corpus.rs` runs them over
//! their tracked seeds and over plain mutations of those, so that `cargo test` alone keeps every input that once failed.
//! Promises go beyond "does not crash": what is encoded is decoded, two readers agree, changed bytes are never
//! verified, what is hidden never leaves.

// The places are written out because `tests/fuzz` compiles this file too, as part of its own small crate: its programs need
// the crates that are fuzzed, instrumented, and not the engine with all it stands on.
#[path = "fuzz/bodies.rs"]
mod bodies;
#[path = "fuzz/catalogue.rs"]
mod catalogue;
#[path = "fuzz/certificates.rs"]
mod certificates;
#[path = "fuzz/der.rs"]
mod der;
#[path = "fuzz/edge.rs"]
mod edge;
#[path = "fuzz/input.rs"]
mod input;
#[path = "fuzz/journal.rs"]
mod journal;
#[path = "fuzz/jws.rs"]
mod jws;
#[path = "fuzz/manifest.rs"]
mod manifest;
#[path = "fuzz/ocsp.rs"]
mod ocsp;
#[path = "fuzz/release.rs"]
mod release;
#[path = "fuzz/revocation.rs"]
mod revocation;
#[path = "fuzz/tlog.rs"]
mod tlog;
#[path = "fuzz/workbook.rs"]
mod workbook;

use input::Input;

/// One target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: of the program in `tests/fuzz/fuzz_targets`, and of the folder of its seeds in `tests/fuzz/corpus`.
    pub name: &'static str,
    /// Runs one input.
    pub run: fn(&[u8]),
}

/// All targets, by name.
pub const TARGETS: &[Target] = &[
    Target { name: "bodies", run: bodies::run },
    Target { name: "catalogue", run: catalogue::run },
    Target { name: "certificates", run: certificates::run },
    Target { name: "edge", run: edge::run },
    Target { name: "journal", run: journal::run },
    Target { name: "jws", run: jws::run },
    Target { name: "manifest", run: manifest::run },
    Target { name: "ocsp", run: ocsp::run },
    Target { name: "release", run: release::run },
    Target { name: "revocation", run: revocation::run },
    Target { name: "tlog", run: tlog::run },
    Target { name: "workbook", run: workbook::run },
];

/// Runs one input of the target of this name.
///
/// # Panics
/// There is no such target, or a promise does not hold.
pub fn run(name: &str, input: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target of this name");
    (target.run)(input);
}
