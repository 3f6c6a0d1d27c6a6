//! What the store costs beside the least possible: the same bytes written and synced by a bare loop in the same run.
//! `cargo run --release -p xinqiao-store --example append_cost [DIR]`

use std::fs::File;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use xinqiao_store::{
    AtRestKeys, Class, DataDir, Frame, IdemEntry, Item, Journal, Options, Position, Queue, Reader, Rows,
};

const ROUNDS: u32 = 1500;
const BLOCK: u32 = 100;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let base = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let path = base.join(format!("xinqiao-cost-{}", std::process::id()));
    std::fs::create_dir_all(&path)?;
    let result = run(&path);
    std::fs::remove_dir_all(&path)?;
    result
}

fn run(path: &std::path::Path) -> Result<(), Box<dyn std::error::Error>> {
    let dir = DataDir::open(path.join("data"))?;
    let keys = AtRestKeys::generate();
    let (mut journal, reader, _) = Journal::open(&dir, &keys, Options::default())?;
    for (items, item_len, entry_len) in [(1, 500, 500), (64, 512, 512), (16, 65_536, 4_096)] {
        append(path, &mut journal, items, item_len, entry_len)?;
    }
    journal.roll();
    replay(&reader)?;
    drop((journal, reader));
    let started = Instant::now();
    let (_journal, reader, _) = Journal::open(&dir, &keys, Options::default())?;
    say(&format!("open after a crash: {:.1} ms", millis(started.elapsed())));
    lookups(&reader)?;
    queue(&dir, &keys)?;
    Ok(())
}

fn say(line: &str) {
    use std::io::Write;
    // Nothing is left to say it to when this fails.
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn append(
    path: &std::path::Path,
    journal: &mut Journal,
    count: usize,
    item_len: usize,
    entry_len: usize,
) -> Result<(), Box<dyn std::error::Error>> {
    let bytes = vec![0x5a; item_len];
    let entry = vec![0x2a; entry_len];
    let items = vec![Item { class: Class::Payload, aad: b"province.penalty", bytes: &bytes }; count];
    let entries = vec![&entry[..]; count];
    let total = (count * (item_len + 16 + 7 + 16 + 4 + 40 + entry_len) + 136).next_multiple_of(512);
    let raw = File::options().read(true).write(true).create(true).truncate(true).open(path.join("raw"))?;
    let random: Vec<u8> = (0..total).map(|n| (n * 31 % 251) as u8 | 1).collect();
    allocate(&raw, total as u64 * u64::from(ROUNDS))?;
    let (mut raw_times, mut journal_times) = (Vec::new(), Vec::new());
    let mut log_index = journal.next_log_index();
    // In turns, so that both see the same neighbours on the machine.
    for block in 0..ROUNDS / BLOCK {
        for round in 0..BLOCK {
            let started = Instant::now();
            raw.write_all_at(&random, u64::from(block * BLOCK + round) * total as u64)?;
            raw.sync_data()?;
            raw_times.push(started.elapsed());
        }
        for round in 0..BLOCK {
            let idempotency: Vec<_> = (0..count)
                .map(|n| IdemEntry { key: spread(block * BLOCK + round, n as u32), value: [1; 24] })
                .collect();
            let frame = Frame {
                kind: 1,
                items: &items,
                idempotency: &idempotency,
                log_entries: &entries,
                first_log_index: log_index,
            };
            let started = Instant::now();
            journal.append(&frame)?;
            journal_times.push(started.elapsed());
            log_index += count as u64;
        }
    }
    let (raw, own) = (summary(&mut raw_times), summary(&mut journal_times));
    say(&format!(
        "append {count:>3} items of {item_len:>5} B, {count:>3} entries of {entry_len:>4} B: frame {:>7} B, raw {raw}, journal {own}, ratio {:.2}",
        total,
        mean(&journal_times).as_secs_f64() / mean(&raw_times).as_secs_f64(),
    ));
    std::fs::remove_file(path.join("raw"))?;
    Ok(())
}

/// Blocks for the bare loop, allocated as the journal does it.
fn allocate(file: &File, len: u64) -> std::io::Result<()> {
    rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, len)?;
    file.sync_all()
}

fn spread(a: u32, b: u32) -> [u8; 16] {
    let mut x = u128::from(a) << 32 | u128::from(b);
    x = (x ^ x >> 13).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    (x ^ x >> 65).wrapping_mul(0xd6e8_feb8_6659_fd93_a5a3_5640_d27f_e6a7).to_le_bytes()
}

fn mean(times: &[Duration]) -> Duration {
    times.iter().sum::<Duration>() / times.len() as u32
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn summary(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    let p99 = times[times.len() * 99 / 100];
    format!(
        "{:.0} µs (median {:.0}, p99 {:.0})",
        micros(mean(times)),
        micros(times[times.len() / 2]),
        micros(p99)
    )
}

fn replay(reader: &Reader) -> Result<(), Box<dyn std::error::Error>> {
    let started = Instant::now();
    let (mut frames, mut items, mut bytes) = (0u64, 0usize, 0u64);
    reader.replay(None, |frame| {
        frames += 1;
        items += frame.items.len();
        bytes += frame.items.iter().map(|item| u64::from(item.reference.len)).sum::<u64>();
        ControlFlow::Continue(())
    })?;
    let time = started.elapsed();
    say(&format!(
        "replay: {frames} frames, {items} items, {} MiB not read, in {:.1} ms: {:.1} M items/s",
        bytes >> 20,
        millis(time),
        items as f64 / time.as_secs_f64() / 1e6
    ));
    Ok(())
}

fn lookups(reader: &Reader) -> Result<(), Box<dyn std::error::Error>> {
    let segments = reader.segments().len();
    for (what, from) in [("known", 0), ("unknown", 1 << 20)] {
        let started = Instant::now();
        let mut found = 0;
        for n in 0..20_000 {
            found += u32::from(reader.idempotent(&spread(from + n % ROUNDS, n % 16))?.is_some());
        }
        let each = started.elapsed() / 20_000;
        say(&format!("idempotency key, {what}: {each:?} over {segments} segments ({found} found)"));
    }
    Ok(())
}

fn queue(dir: &DataDir, keys: &AtRestKeys) -> Result<(), Box<dyn std::error::Error>> {
    const GROUPS: u64 = 100_000;
    let (queue, _) = Queue::open(dir, keys, 64 << 20)?;
    let value = [0x33; 300];
    let started = Instant::now();
    let mut checkpoints = Duration::ZERO;
    for group in 0..GROUPS {
        let key = |stream: u8| [&[stream][..], &group.to_be_bytes()].concat();
        let rows = Rows {
            puts: vec![
                (1, key(0), value.to_vec()),
                (1, key(1), value.to_vec()),
                (2, key(0), value[..40].to_vec()),
            ],
            deletes: vec![],
        };
        queue.write(&rows, Position { segment: 1, frame: group })?;
        if group % 20_000 == 19_999 {
            let started = Instant::now();
            queue.checkpoint()?;
            checkpoints += started.elapsed();
        }
    }
    let time = started.elapsed() - checkpoints;
    say(&format!(
        "queue: {:?} per group of 3 rows; a rebuild of 10 million records in groups of 64 takes {:.1} s; checkpoint {:.0} ms",
        time / GROUPS as u32,
        time.as_secs_f64() / GROUPS as f64 * 1e7 / 64.0,
        millis(checkpoints) / 5.0
    ));
    let started = Instant::now();
    for group in (0..GROUPS).step_by(7) {
        queue.get(1, &[&[0][..], &group.to_be_bytes()].concat())?;
    }
    say(&format!("queue: {:?} per read", started.elapsed() / (GROUPS / 7) as u32));
    drop(queue);
    let started = Instant::now();
    let (queue, state) = Queue::open(dir, keys, 64 << 20)?;
    say(&format!(
        "queue: reopened and verified {} rows in {:.0} ms: {state:?}",
        queue.rows(),
        millis(started.elapsed())
    ));
    Ok(())
}
