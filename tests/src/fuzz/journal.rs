//! A journal whose files were damaged, exchanged, lost or set back, opened again.
//!
//! Input: which history, then what happens to its files. What is recovered is a beginning of what was written, or a refusal
//! with a name; nothing is invented, and what is appended afterwards follows what was recovered.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use xinqiao_explain::Explain;

use xinqiao_store::{
    AtRestKeys, Class, DataDir, Frame, IdemEntry, Item, Journal, OpenError, Options, Position, ReadError,
    Reader,
};

use super::Input;

/// Every file of a data directory but its lock, by its path below it.
type Files = BTreeMap<PathBuf, Vec<u8>>;

/// A frame as replay shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Shown {
    position: Position,
    kind: u8,
    items: Vec<(Class, Vec<u8>, Vec<u8>)>,
    log: Vec<Vec<u8>>,
    first_log_index: u64,
    idempotency: Vec<IdemEntry>,
}

struct History {
    keys: AtRestKeys,
    /// The files after each step; the last is what is damaged.
    steps: Vec<Files>,
    /// The frames that replay shows of the last.
    frames: Vec<Shown>,
    /// What is kept of its retired segments.
    archived: Vec<Kept>,
}

/// An item of a retired segment: where it stands, and what it holds.
type Kept = (u64, Class, Vec<u8>, Vec<u8>);

/// How a history ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Crash,
    Clean,
    Retired,
}

fn histories() -> &'static [History] {
    static HISTORIES: OnceLock<Vec<History>> = OnceLock::new();
    HISTORIES.get_or_init(|| {
        let ends = [(2, End::Crash), (7, End::Crash), (7, End::Clean), (7, End::Retired)];
        ends.into_iter().map(|(frames, end)| history(frames, end)).collect()
    })
}

fn history(frames: u64, end: End) -> History {
    let (folder, keys) = (folder(), AtRestKeys::generate());
    let (mut journal, reader) = opened(folder.path(), &keys, false).expect("an empty directory");
    let mut steps = Vec::new();
    for number in 0..frames {
        append(&mut journal, number);
        steps.push(files(folder.path()));
    }
    if end == End::Retired {
        for segment in [1, 2] {
            reader.retire(segment, u64::MAX).expect("a closed segment");
            steps.push(files(folder.path()));
        }
        reader.forget_archive(1).expect("an archive");
    }
    let frames = shown(&reader).expect("nothing is damaged yet");
    let archived = archived(&reader);
    match end {
        End::Clean => journal.close().expect("a clean stop"),
        _ => drop(journal),
    }
    steps.push(files(folder.path()));
    History { keys, steps, frames, archived }
}

/// In memory where there is such a place.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a temporary folder")
}

fn opened(folder: &Path, keys: &AtRestKeys, adopt: bool) -> Result<(Journal, Reader), OpenError> {
    let dir = DataDir::open(folder)?;
    let options = Options { segment_bytes: 3 << 10, adopt_rollback: adopt, ..Options::default() };
    Journal::open(&dir, keys, options).map(|(journal, reader, _)| (journal, reader))
}

/// Frame number `n`, unlike all others in every part.
fn append(journal: &mut Journal, n: u64) {
    let (event, payload) = (format!("event {n}"), vec![n.to_le_bytes()[0]; 60 + 400 * (n as usize % 2)]);
    let items = [
        Item { class: Class::Event, aad: b"", bytes: event.as_bytes() },
        Item { class: Class::Payload, aad: b"province.penalty", bytes: &payload },
    ];
    let entry = format!("entry {n}");
    let frame = Frame {
        kind: 7,
        items: &items,
        idempotency: &[idempotency(n)],
        log_entries: &[entry.as_bytes()],
        first_log_index: n,
    };
    journal.append(&frame).expect("there is room");
}

fn idempotency(n: u64) -> IdemEntry {
    let mut key = [0x5a; 16];
    key[..8].copy_from_slice(&n.to_le_bytes());
    IdemEntry { key, value: [n.to_le_bytes()[0]; 24] }
}

/// Everything that can be replayed, or why it cannot.
fn shown(reader: &Reader) -> Result<Vec<Shown>, (Vec<Shown>, ReadError)> {
    let mut all = Vec::new();
    let mut fault = None;
    let replayed = reader.replay(None, |frame| {
        let read =
            |item: &xinqiao_store::ReplayItem<'_>| Ok((item.class, item.aad.to_vec(), frame.read(item)?));
        match frame.items.iter().map(read).collect::<Result<_, ReadError>>() {
            Ok(items) => all.push(Shown {
                position: frame.position,
                kind: frame.kind,
                items,
                log: frame.log_entries.iter().map(|entry| entry.to_vec()).collect(),
                first_log_index: frame.first_log_index,
                idempotency: frame.idempotency.clone(),
            }),
            Err(error) => {
                fault = Some(error);
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    });
    match (replayed, fault) {
        (Ok(_), None) => Ok(all),
        (Err(error), _) | (_, Some(error)) => Err((all, error)),
    }
}

/// What can be read of retired segments.
fn archived(reader: &Reader) -> Vec<Kept> {
    let mut all = Vec::new();
    for segment in reader.archives().unwrap_or_default() {
        let read = reader.archived(segment, |item| {
            if let Ok(bytes) = reader.read(item.reference, item.aad) {
                all.push((segment, item.class, item.aad.to_vec(), bytes));
            }
            ControlFlow::Continue(())
        });
        if let Err(error) = read {
            assert!(!error.explain().code().is_empty(), "a refusal has a code");
        }
    }
    all
}

pub(super) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let histories = histories();
    let history = input.choose(histories);
    let adopt = input.byte().is_multiple_of(4);
    let mut files = history.steps.last().expect("a history has an end").clone();
    for _ in 0..4 {
        if input.is_empty() {
            break;
        }
        damage(&mut files, history, &mut input);
    }
    let folder = folder();
    write(folder.path(), &files);
    let (mut journal, reader) = match opened(folder.path(), &history.keys, adopt) {
        Ok(opened) => opened,
        Err(error) => {
            assert!(!error.explain().code().is_empty(), "a refusal has a code");
            return;
        }
    };
    let found = shown(&reader);
    let (whole, frames) = match &found {
        Ok(frames) => (true, frames),
        Err((frames, error)) => {
            assert!(!error.explain().code().is_empty(), "a refusal has a code");
            (false, frames)
        }
    };
    assert!(history.frames.starts_with(frames), "what is recovered is a beginning of what was written");
    assert!(
        archived(&reader).iter().all(|kept| history.archived.contains(kept)),
        "an archive holds what it held"
    );
    for n in 0..9 {
        if let Ok(Some(value)) = reader.idempotent(&idempotency(n).key) {
            assert_eq!(value, idempotency(n).value, "an answer is the one that was given");
            assert!(n < 7, "an answer that nobody gave");
        }
    }
    if !whole {
        return;
    }
    let before = frames.clone();
    append(&mut journal, 8);
    drop((journal, reader));
    let (_journal, reader) =
        opened(folder.path(), &history.keys, false).expect("what was opened opens again");
    let after = shown(&reader).expect("what was read is read again");
    let (last, rest) = after.split_last().expect("a frame was appended");
    assert_eq!(rest, before, "what was recovered stays");
    assert_eq!(last.log, [b"entry 8"], "and what is appended follows it");
}

/// One thing that happens to the files.
fn damage(files: &mut Files, history: &History, input: &mut Input<'_>) {
    let names: Vec<PathBuf> = files.keys().cloned().collect();
    if names.is_empty() {
        return;
    }
    let way = input.byte();
    let name = input.choose(&names).clone();
    let other = input.choose(&names).clone();
    match way % 8 {
        0 | 1 => {
            let changed = input.damaged(&files[&name]);
            files.insert(name, changed);
        }
        2 => {
            // A lost cluster, or one that landed elsewhere.
            let (from, to, count) =
                (input.short() % 16 * 512, input.short() % 16 * 512, input.short() % 1_200);
            let source = files[&other].clone();
            let bytes = source.get(from..(from + count).min(source.len())).unwrap_or_default();
            let target = files.get_mut(&name).expect("it is there");
            if let Some(place) = target.get_mut(to..to + bytes.len()) {
                place.copy_from_slice(bytes);
            }
        }
        3 => {
            let (from, count) = (input.short() % 8_192, input.short() % 8_192);
            let target = files.get_mut(&name).expect("it is there");
            let end = (from + count).min(target.len());
            if let Some(place) = target.get_mut(from..end) {
                place.fill(0);
            }
        }
        4 => drop(files.remove(&name)),
        5 => drop(files.insert(name, files[&other].clone())),
        6 => {
            let step = input.choose(&history.steps);
            match step.get(&name) {
                Some(old) => drop(files.insert(name, old.clone())),
                None => drop(files.remove(&name)),
            }
        }
        _ => drop(files.insert(name, input.piece().to_vec())),
    }
    if way >= 0x80 {
        files.iter_mut().for_each(|(name, bytes)| mend(name, bytes));
    }
}

/// Makes the checksums good again, so that what lies behind them is reached.
fn mend(name: &Path, bytes: &mut [u8]) {
    const HEADER: usize = 120;
    const SEGMENT_HEADER: usize = 144;
    let check = |bytes: &[u8]| {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        crc.sum().to_le_bytes()
    };
    if name.file_name().is_some_and(|name| name == "CLEAN") && bytes.len() > 4 {
        let end = bytes.len() - 4;
        let sum = check(&bytes[..end]);
        bytes[end..].copy_from_slice(&sum);
    }
    if bytes.starts_with(b"XQSG") && bytes.len() >= SEGMENT_HEADER {
        let sum = check(&bytes[..SEGMENT_HEADER - 4]);
        bytes[SEGMENT_HEADER - 4..SEGMENT_HEADER].copy_from_slice(&sum);
    }
    for at in (0..bytes.len()).step_by(512) {
        let Some(header) = bytes.get(at..at + HEADER).filter(|header| header.starts_with(b"XQFR")) else {
            continue;
        };
        let length = u32::from_le_bytes(header[92..96].try_into().expect("four bytes")) as usize;
        if let Some(body) = bytes.get(at + HEADER..(at + HEADER).saturating_add(length)) {
            let sum = check(body);
            bytes[at + HEADER - 8..at + HEADER - 4].copy_from_slice(&sum);
        }
        let sum = check(&bytes[at..at + HEADER - 4]);
        bytes[at + HEADER - 4..at + HEADER].copy_from_slice(&sum);
    }
}

fn files(folder: &Path) -> Files {
    let mut all = Files::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(&next).expect("a folder").map(|entry| entry.expect("an entry")) {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if path.file_name().is_none_or(|name| name != "LOCK") {
                let name = path.strip_prefix(folder).expect("below it").to_owned();
                all.insert(name, std::fs::read(&path).expect("a file"));
            }
        }
    }
    all
}

fn write(folder: &Path, files: &Files) {
    for (name, bytes) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("room");
        std::fs::write(path, bytes).expect("room");
    }
}
