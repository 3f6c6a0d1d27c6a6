//! The node's own program, for tests that want real processes. Cargo hands a package's programs to its own tests only,
//! so it is found, and built if need be, beside the test that asks.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Names the program to use instead of the one built here.
pub const PROGRAM: &str = "XINQIAO_PROGRAM";

/// The path of `xinqiao`, built in the profile of the running test. Panics if it cannot be built: a test that wants a
/// process cannot go on without.
pub fn node_program() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| match std::env::var_os(PROGRAM) {
        Some(path) => PathBuf::from(path),
        None => build(),
    })
}

/// Cargo itself decides whether anything is older than its sources; when nothing is, this takes a moment.
fn build() -> PathBuf {
    let own = std::env::current_exe().expect("a running program has a path");
    // target/<profile>/deps/test-… or target/<profile>/examples/…
    let profile = own.ancestors().nth(2).expect("tests lie in a folder of the profile").to_owned();
    let target = profile.parent().expect("profiles lie in the target folder");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // Of the whole workspace: asked for one package, cargo would choose fewer features of shared dependencies (serde's,
    // for one) and build them and everything above them a second time.
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args([
        "build",
        "--quiet",
        "--workspace",
        "--bin",
        "xinqiao",
    ]);
    cargo.arg("--target-dir").arg(target);
    match profile.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => {}
        Some(name) => {
            cargo.args(["--profile", name]);
        }
    }
    // Cargo tells a test about its package; build scripts would take that for a change of theirs and build all anew.
    let told = |name: &str| {
        ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"]
            .iter()
            .any(|of| name.starts_with(of))
    };
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(told)) {
        cargo.env_remove(name);
    }
    let status = cargo.status().expect("cargo runs");
    assert!(status.success(), "the node's program does not build");
    profile.join("xinqiao")
}
