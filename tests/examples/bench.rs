//! Speed and memory of the real program over real mutual TLS, beside baselines of the same run.
//!
//! `cargo run --release -p xinqiao-tests --example bench -- [ingest|bulk|pull|connect|crowd|memory|restart|all] [options]`
//! `cargo run --release -p xinqiao-tests --example bench -- [ingest|bulk|connect|life|recall|restart|all] --against PROGRAM [options]`
//!
//! What is measured and what it means stands in `docs/performance.md`.

fn main() -> std::process::ExitCode {
    xinqiao_tests::bench::main()
}
