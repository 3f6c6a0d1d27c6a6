//! What the register costs with ten million entries of a 16-byte key and a 40-byte value: CPU, memory, disk, lookups,
//! start. `cargo run --release -p xinqiao-store --example register_cost [ENTRIES] [DIR]`

use std::path::PathBuf;
use std::time::Instant;

use xinqiao_store::{AtRestKeys, DataDir, Position, Register, RegisterOptions};

const GROUP: u64 = 1000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let entries = std::env::args().nth(1).map_or(Ok(10_000_000), |entries| entries.parse())?;
    let base = std::env::args().nth(2).map_or_else(std::env::temp_dir, PathBuf::from);
    let path = base.join(format!("xinqiao-register-{}", std::process::id()));
    let result = run(&path, entries);
    std::fs::remove_dir_all(&path)?;
    result
}

fn run(path: &std::path::Path, entries: u64) -> Result<(), Box<dyn std::error::Error>> {
    let dir = DataDir::open(path)?;
    let keys = AtRestKeys::generate();
    let options = RegisterOptions::default();
    let (register, _) = Register::open(&dir, &keys, newest, options.clone())?;
    let resting = resident()?;
    let (mut cpu, mut group, mut peak) = (0, Vec::new(), resting);
    let wall = Instant::now();
    for frame in 0..entries / GROUP {
        group.clear();
        group.extend((0..GROUP).map(|at| (key(frame * GROUP + at), [7u8; 40])));
        let before = cpu_ns()?;
        let mut waiting = register.apply(&group, Position { segment: 1, frame });
        while waiting > 1 {
            register.step()?;
            waiting = register.stats().waiting;
        }
        cpu += cpu_ns()? - before;
        if frame % 500 == 0 {
            peak = peak.max(resident()?);
        }
    }
    let before = cpu_ns()?;
    register.flush()?;
    while register.step()? {}
    cpu += cpu_ns()? - before;
    let (stats, count) = (register.stats(), entries as f64);
    say(&format!(
        "apply, writing, merges: {:.3} µs of CPU an entry, {:.1} s in all",
        cpu as f64 / 1e3 / count,
        wall.elapsed().as_secs_f64()
    ));
    say(&format!("runs (level, entries): {:?}", stats.runs));
    say(&format!("disk: {:.1} B an entry", stats.disk_bytes as f64 / count));
    say(&format!(
        "memory: {:.2} B an entry by its own count; resident {:.2} now, {:.2} at most",
        stats.memory_bytes as f64 / count,
        resident()?.saturating_sub(resting) as f64 / count,
        peak.saturating_sub(resting) as f64 / count
    ));
    lookups(&register, entries)?;
    drop(register);
    let begun = Instant::now();
    let (register, through) = Register::open(&dir, &keys, newest, options)?;
    say(&format!("open: {:.1} ms, through {through:?}", begun.elapsed().as_secs_f64() * 1e3));
    let begun = Instant::now();
    register.verify()?;
    say(&format!("verify: {:.2} s", begun.elapsed().as_secs_f64()));
    let begun = Instant::now();
    register.settle()?;
    say(&format!("settle: {:.2} s", begun.elapsed().as_secs_f64()));
    lookups(&register, entries)
}

fn lookups(register: &Register, entries: u64) -> Result<(), Box<dyn std::error::Error>> {
    let misses: Vec<_> = (0..1_000_000).map(|at| key(u64::MAX - at)).collect();
    let hits: Vec<_> = (0..200_000).map(|at| key(at * 7919 % entries)).collect();
    for (name, keys, there) in [("misses", &misses, false), ("hits", &hits, true)] {
        let begun = cpu_ns()?;
        for key in keys {
            assert_eq!(register.get(key)?.is_some(), there);
        }
        let one = cpu_ns()? - begun;
        let begun = cpu_ns()?;
        for part in keys.chunks(5000) {
            register.get_many(part, |_, value| assert_eq!(value.is_some(), there))?;
        }
        let micros = |ns: u64| ns as f64 / 1e3 / keys.len() as f64;
        say(&format!("{name}: {:.3} µs of CPU each, {:.3} by 5,000", micros(one), micros(cpu_ns()? - begun)));
    }
    Ok(())
}

fn newest(_: &[u8], newer: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(newer);
}

/// Spread over all bits as outputs of a keyed function are (the finaliser of SplitMix64).
fn key(number: u64) -> [u8; 16] {
    let mix = |mut bits: u64| {
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    };
    let high = mix(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut key = [0; 16];
    key[..8].copy_from_slice(&high.to_be_bytes());
    key[8..].copy_from_slice(&mix(high ^ 0x5555).to_be_bytes());
    key
}

/// CPU time of the process, of the system too: this program has one thread.
fn cpu_ns() -> std::io::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/schedstat")?;
    Ok(text.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0))
}

fn resident() -> std::io::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    Ok(text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096)
}

#[expect(clippy::print_stdout, reason = "a program that prints figures")]
fn say(line: &str) {
    println!("{line}");
}
