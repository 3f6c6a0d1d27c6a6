//! Every fuzz target over its tracked seeds, and over plain mutations of them: what once failed stays mended, and targets
//! stay sound between the hours when `cargo fuzz` runs them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use xinqiao_tests::fuzz::TARGETS;

/// Mutations of each seed; with `XINQIAO_FUZZ_MUTATIONS` more.
const MUTATIONS: u64 = 24;
/// A tracked seed is small: a larger one hides what it is for.
const LARGEST: u64 = 32 << 10;

#[test]
fn every_target_has_a_program_and_seeds() {
    let named = |folder: &str, ending: &str| -> BTreeSet<String> {
        let entries = std::fs::read_dir(fuzz().join(folder)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap().replace(ending, "")).collect()
    };
    let known: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(known, named("fuzz_targets", ".rs"), "a program for each target");
    assert_eq!(known, named("corpus", ""), "a folder of seeds for each target");
    let manifest = std::fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for name in &known {
        let program = std::fs::read_to_string(fuzz().join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(program.contains(&format!("fuzz::run(\"{name}\", input)")), "{name} runs its own target");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "tests/fuzz/Cargo.toml: {name} is missing");
    }
}

/// The programs compile the targets' sources once more, in a package of their own: it must know what these name, which
/// nothing but `cargo fuzz` would say otherwise.
#[test]
fn the_package_of_the_programs_knows_every_crate_its_targets_name() {
    let manifest = std::fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    let sources = fuzz().parent().unwrap().join("src/fuzz");
    let mut named = BTreeSet::new();
    for entry in std::fs::read_dir(sources).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        named.extend(text.split(|c: char| !c.is_ascii_lowercase() && c != '_').filter_map(|word| {
            word.strip_prefix("xinqiao_")
                .filter(|name| *name != "tests")
                .map(|name| format!("xinqiao-{name}"))
        }));
    }
    assert!(named.len() > 5, "{named:?}");
    for name in named {
        assert!(manifest.contains(&format!("\n{name} = ")), "tests/fuzz/Cargo.toml: {name} is missing");
    }
}

macro_rules! corpus {
    ($($name:ident)+) => { $(
        #[test]
        fn $name() {
            run(stringify!($name));
        }
    )+

        #[test]
        fn each_target_is_run_here() {
            assert_eq!([$(stringify!($name)),+].to_vec(), TARGETS.iter().map(|target| target.name).collect::<Vec<_>>());
        }
    };
}

corpus! { bodies catalogue certificates edge journal jws manifest ocsp release revocation tlog workbook }

fn run(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target");
    let seeds = seeds(name);
    assert!(!seeds.is_empty(), "{name} has seeds");
    let mutations = std::env::var("XINQIAO_FUZZ_MUTATIONS").ok().and_then(|count| count.parse().ok());
    let mutations = mutations.unwrap_or(MUTATIONS);
    for (at, (path, seed)) in seeds.iter().enumerate() {
        assert!(seed.len() as u64 <= LARGEST, "{}: a seed of {} bytes", path.display(), seed.len());
        for round in 0..=mutations {
            let other = &seeds[(at + round as usize) % seeds.len()].1;
            let input = if round == 0 { seed.clone() } else { mutated(seed, other, at as u64, round) };
            let failed = catch_unwind(AssertUnwindSafe(|| (target.run)(&input))).is_err();
            assert!(!failed, "{}, mutation {round}: {}", path.display(), kept(name, &input).display());
        }
    }
}

/// Puts an input that failed where `cargo fuzz run <target> <file>` finds it.
fn kept(name: &str, input: &[u8]) -> PathBuf {
    let folder = fuzz().join("artifacts").join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder
        .join(format!("corpus-{:x}", input.iter().fold(7u64, |sum, b| sum.wrapping_mul(31) + u64::from(*b))));
    std::fs::write(&path, input).unwrap();
    path
}

fn seeds(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = fuzz().join("corpus").join(name);
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), std::fs::read(&path).unwrap())).collect()
}

/// The same for ever for the same seed and round: bytes changed, put in, taken out, and the end of another seed.
fn mutated(seed: &[u8], other: &[u8], at: u64, round: u64) -> Vec<u8> {
    let mut state = (at << 32 | round).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut draw = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below.max(1) as u64) as usize
    };
    let mut out = seed.to_vec();
    for _ in 0..=draw(4) {
        let place = draw(out.len() + 1);
        let end = (place + 1 + draw(16)).min(out.len());
        match draw(6) {
            0 | 1 if place < out.len() => out[place] ^= 1 << draw(8),
            2 => out.insert(place, draw(256) as u8),
            3 => drop(out.drain(place.min(end)..end)),
            4 => {
                let doubled = out[place.min(end)..end].to_vec();
                out.splice(place..place, doubled).for_each(drop);
            }
            5 if !other.is_empty() => {
                out.truncate(place);
                out.extend_from_slice(&other[draw(other.len())..]);
            }
            _ => out.truncate(place),
        }
    }
    out
}

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}
