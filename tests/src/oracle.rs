//! Tools of others that judge what the node makes.

use std::io::Write;
use std::process::Command;

/// Makes a missing tool an error.
pub const REQUIRED: &str = "XINQIAO_REQUIRE_ORACLES";

/// Whether a tool answers. If not, the test that wants it is skipped, visibly; with [`REQUIRED`]` = 1` it fails.
pub fn has(tool: &str, arguments: &[&str]) -> bool {
    let found = Command::new(tool).args(arguments).output().is_ok_and(|output| output.status.success());
    if !found {
        assert!(
            std::env::var_os(REQUIRED).is_none_or(|value| value != "1"),
            "{tool} {arguments:?} is missing"
        );
        // Past the test harness, which keeps what a passing test prints.
        let notice = format!("SKIPPED: {tool} {arguments:?} is not installed\n");
        std::io::stderr().write_all(notice.as_bytes()).expect("standard error can be written");
    }
    found
}
