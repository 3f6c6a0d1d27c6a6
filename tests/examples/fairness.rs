//! What one department's full blast does to another's waiting, on the real program over real mutual TLS.
//!
//! `cargo run --release -p xinqiao-tests --example fairness -- [single|bulk|large|mixed|all] [--seconds N] [--rounds N] [--dir DIR]`
//!
//! What is measured and what it means stands in `docs/performance.md`.

fn main() -> std::process::ExitCode {
    xinqiao_tests::bench::fairness::main()
}
