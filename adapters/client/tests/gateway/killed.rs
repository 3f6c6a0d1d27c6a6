//! A sender in a process of its own, killed or failed at every step it takes, and begun again: the books must balance.
//!
//! strace kills the process as it enters a system call, or makes the call fail as a full or dying disk would. Where it is
//! missing, or may not trace, these steps are skipped, and say so.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use xinqiao_client::{
    Client, ClientError, KeySource, Offered, Profile, RetryPolicy, SendSettings, Sender, Submission,
    SubmissionOutcome,
};

use crate::sending::Setting;

const PLACE: &str = "XINQIAO_SENDER_PLACE";
const ADDRESS: &str = "XINQIAO_SENDER_ADDRESS";
const FILLS_UP: &str = "XINQIAO_SENDER_FILLS_UP";
const BODIES: [&str; 2] = ["{\"n\":1}\n{\"bad\":1}\n", "{\"n\":2}\n"];
/// Feedback that waits at the gateway.
const NEWS: u64 = 3;
/// A process that does not end is a failure.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where the process finds its certificates, and where it leaves things.
struct Place {
    gateway: PathBuf,
    folder: PathBuf,
    /// What the sender took on, as the process was told.
    promised: PathBuf,
    heard: PathBuf,
}

impl Place {
    fn of(gateway: &Path, folder: &Path) -> Self {
        let file = |name: &str| folder.join(name);
        Self {
            gateway: gateway.to_owned(),
            folder: file("sender"),
            promised: file("promised"),
            heard: file("heard"),
        }
    }

    async fn open(&self, address: &str) -> Result<Sender, ClientError> {
        let file = |name: &str| self.gateway.join(name);
        let (certificate, key, ca) = (file("health.crt"), file("health.key"), file("ca.crt"));
        let mut profile = Profile::new("https://gateway.xm.example", &certificate, &key, &ca);
        profile.address = Some(address.to_owned());
        let client = Client::connect(&profile)?.with_retry(RetryPolicy::never());
        let keys = Some(KeySource::File(file("pinned.json")));
        Sender::open(client, SendSettings { keys, ..SendSettings::new(&self.folder) }).await
    }

    /// Numbers of bodies that the sender took on.
    fn promised(&self) -> BTreeSet<u64> {
        numbers(&self.promised)
    }

    /// Feedback this department has taken in.
    fn heard(&self) -> BTreeSet<u64> {
        numbers(&self.heard)
    }
}

fn numbers(path: &Path) -> BTreeSet<u64> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// A number that is cut short, or told twice, does no harm: numbers are lines of their own.
fn note(path: &Path, number: u64) {
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
    let _ = file.write_all(format!("\n{number}\n").as_bytes());
}

/// What the others run in a process of its own: offers everything, settles everything, takes feedback in.
#[test]
#[ignore = "the tests beside it run it"]
fn a_sender_in_a_process_of_its_own() {
    let (Some(place), Ok(address)) = (std::env::var_os(PLACE), std::env::var(ADDRESS)) else { return };
    let places: Vec<PathBuf> = std::env::split_paths(&place).collect();
    let place = Place::of(&places[0], &places[1]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        // A step that failed once is tried again, by the same sender unless it asks to be opened anew.
        let mut sender = None;
        for _ in 0..4 {
            match attempt(&place, &address, &mut sender).await {
                Ok(()) => return println!("all done"),
                Err(error) if error.code() == "sender.reopen" => sender = None,
                Err(error) => println!("{}", error.code()),
            }
            if std::env::var_os(FILLS_UP).is_some() {
                // Someone makes room.
                let own = std::process::id().to_string();
                let made = Command::new("prlimit").args(["--pid", &own, "--fsize=unlimited"]).status();
                assert!(made.unwrap().success());
            }
        }
        panic!("four attempts failed");
    });
}

async fn attempt(place: &Place, address: &str, sender: &mut Option<Sender>) -> Result<(), ClientError> {
    if sender.is_none() {
        *sender = Some(place.open(address).await?);
    }
    let sender = sender.as_mut().unwrap();
    for (n, body) in (0..).zip(BODIES) {
        sender.offer(body, &records(body))?;
        note(&place.promised, n);
    }
    while sender.settle().await?.is_some() {}
    let news = sender.feedback(Duration::ZERO).await?;
    for one in &news.feedback {
        note(&place.heard, one.n);
    }
    match news.feedback.iter().all(|one| place.heard().contains(&one.n)) {
        true => sender.confirm(&news),
        false => Err(ClientError::setting("heard", "was not written", "未写入")),
    }
}

fn records(body: &str) -> Submission<'_> {
    Submission::new("administrative-penalty", body.to_owned())
}

/// The process, not traced; its words come back.
fn plain(place: &[&Path; 2], address: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    with_place(&mut command, place, address);
    command
}

/// The process under strace, which writes what it did into `trace`.
fn traced(options: &[&str], trace: &Path, place: &[&Path; 2], address: &str) -> Command {
    let mut command = Command::new("strace");
    command.args(["-f", "-s", "0"]).args(options).arg("-o").arg(trace).arg(std::env::current_exe().unwrap());
    with_place(&mut command, place, address);
    command
}

fn with_place(command: &mut Command, place: &[&Path; 2], address: &str) {
    command.args(["--exact", "killed::a_sender_in_a_process_of_its_own", "--ignored", "--nocapture"]);
    command.env(PLACE, std::env::join_paths(place).unwrap()).env(ADDRESS, address);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
}

/// Runs it to its end; whether it got through.
async fn run(mut command: Command) -> bool {
    let child = tokio::task::spawn_blocking(move || command.output());
    let output = tokio::time::timeout(PATIENCE, child).await.expect("the process ends").unwrap().unwrap();
    String::from_utf8_lossy(&output.stdout).contains("all done")
}

/// Begins again where the process ended: what it was promised is sent without being offered once more, then the rest.
async fn recover(setting: &Setting, place: &Place, what: &str) {
    let mut sender = place.open(&setting.gateway.address).await.unwrap();
    while sender.settle().await.unwrap_or_else(|error| panic!("{what}: {error}")).is_some() {}
    for n in place.promised() {
        let key = sender.key_of(&records(BODIES[n as usize]), "");
        let outcome = sender.outcome(&key);
        assert!(matches!(outcome, Some(SubmissionOutcome::Accepted(_))), "{what}: {n} was promised");
    }
    drop(sender);
    attempt(place, &setting.gateway.address, &mut None).await.unwrap();
    reconcile(setting, place, what).await;
}

/// Everything offered was taken once, answered, verified and kept; nothing else is left.
async fn reconcile(setting: &Setting, place: &Place, what: &str) {
    let mut sender = place.open(&setting.gateway.address).await.unwrap();
    assert_eq!(sender.waiting().count(), 0, "{what}");
    let taken = setting.node().taken.clone();
    let mut bodies: Vec<&[u8]> = taken.iter().map(|taken| &*taken.body).collect();
    bodies.sort_unstable();
    assert_eq!(bodies, BODIES.map(str::as_bytes), "{what}: each is taken once");
    for body in BODIES {
        let offered = sender.offer(body, &records(body)).unwrap();
        let Offered::Known(accepted) = offered else { panic!("{what}: {offered:?}") };
        let receipt = std::fs::read_to_string(sender.receipt(&accepted)).unwrap();
        let sent = taken.iter().find(|taken| taken.body == body.as_bytes()).unwrap();
        assert!(accepted.verified && receipt == sent.receipt(), "{what}");
        assert!(matches!(sender.outcome(&sent.key), Some(SubmissionOutcome::Accepted(_))), "{what}");
    }
    assert_eq!((place.heard(), sender.feedback_confirmed()), ((1..=NEWS).collect(), NEWS), "{what}");
    let left = std::fs::read_dir(&place.folder).unwrap().map(|entry| entry.unwrap().file_name());
    let names: Vec<String> = left.map(|name| name.into_string().unwrap()).collect();
    let known = |name: &String| name == ".lock" || name == "sender.state" || name.ends_with(".receipt.json");
    assert!(names.len() == 2 + BODIES.len() && names.iter().all(known), "{what}: {names:?}");
}

fn may_trace() -> bool {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "true"]).stderr(Stdio::null());
    let may = strace.status().is_ok_and(|status| status.success());
    if !may {
        let required = std::env::var_os("XINQIAO_REQUIRE_ORACLES").is_some_and(|value| value == "1");
        assert!(!required || Command::new("strace").arg("-V").output().is_ok(), "strace is missing");
        let notice = "SKIPPED: a sender killed at every step: strace is missing or may not trace\n";
        std::io::stderr().write_all(notice.as_bytes()).unwrap();
    }
    may
}

/// Injects a fault into the first call of a kind, then the second, until there is none left; how many there were.
async fn at_every(call: &str, fault: &str) -> u32 {
    let setting = Setting::new().await;
    setting.node().feedback = NEWS;
    for step in 1..200 {
        let what = format!("{call} {step} {fault}");
        let folder = tempfile::tempdir().unwrap();
        let place = Place::of(setting.gateway.directory.path(), folder.path());
        let places = [setting.gateway.directory.path(), folder.path()];
        setting.node().taken.clear();
        let (only, inject) = (format!("trace={call}"), format!("inject={call}:{fault}:when={step}"));
        let trace = folder.path().join("trace");
        let options = ["-e", &*only, "-e", &*inject];
        run(traced(&options, &trace, &places, &setting.gateway.address)).await;
        recover(&setting, &place, &what).await;
        let said = std::fs::read_to_string(trace).unwrap();
        if !said.contains("(INJECTED)") && !said.contains("killed by SIGKILL") {
            return step - 1;
        }
    }
    panic!("{call} is called without end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_every_step_on_disk_it_goes_on_exactly() {
    if !may_trace() {
        return;
    }
    // What is written, synced, named and removed: the steps whose order the promises hang on.
    let mut steps = 0;
    for call in ["fsync", "fdatasync", "rename", "unlink", "write"] {
        let here = at_every(call, "signal=KILL").await;
        assert!(here > 0, "{call} is never called: the step has another name now");
        steps += here;
    }
    assert!(steps > 25, "{steps}");
    println!("{steps} steps");
}

/// Kills the process when the gateway has the `nth` submission: before it is taken, or after that and before its answer.
async fn killed_by_the_gateway(nth: usize, taken: bool) {
    let setting = Setting::new().await;
    setting.node().feedback = NEWS;
    let folder = tempfile::tempdir().unwrap();
    let place = Place::of(setting.gateway.directory.path(), folder.path());
    let places = [setting.gateway.directory.path(), folder.path()];
    let child: Arc<Mutex<Option<Child>>> = Arc::default();
    let (victim, mut submissions) = (child.clone(), 0);
    // Taken back by the node as if it had died too.
    let undo: Arc<Mutex<bool>> = Arc::default();
    let mark = undo.clone();
    setting.bend(move |seen, reply| {
        submissions += usize::from(seen.path.ends_with("/records"));
        if submissions == nth
            && let Some(mut child) = victim.lock().unwrap().take()
        {
            child.kill().unwrap();
            child.wait().unwrap();
            *mark.lock().unwrap() = !taken;
        }
        reply
    });
    // The lock is held until the child is in its place: the gateway waits for that.
    {
        let mut held = child.lock().unwrap();
        *held = Some(plain(&places, &setting.gateway.address).spawn().unwrap());
    }
    let until = tokio::time::Instant::now() + PATIENCE;
    while child.lock().unwrap().is_some() {
        assert!(tokio::time::Instant::now() < until, "the process came to its submission");
        tokio::task::yield_now().await;
    }
    {
        let mut node = setting.node();
        if *undo.lock().unwrap() {
            node.taken.pop();
        }
        node.bend = None;
    }
    recover(&setting, &place, &format!("killed at submission {nth}, taken: {taken}")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_the_gateway_has_its_submission_it_asks_again_under_the_same_key() {
    for nth in [1, 2] {
        for taken in [true, false] {
            killed_by_the_gateway(nth, taken).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_full_or_fails_once_costs_nothing_that_was_promised() {
    if !may_trace() {
        return;
    }
    let faults = [
        ("fsync", "error=EIO"),
        ("fdatasync", "error=EIO"),
        ("rename", "error=ENOSPC"),
        ("write", "error=ENOSPC"),
        ("unlink", "error=EIO"),
    ];
    for (call, fault) in faults {
        assert!(at_every(call, fault).await > 0, "{call} is never called");
    }
}

/// A file that may not grow takes part of a line, as on a disk that fills up. Once there is room the same sender goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fills_up_within_a_line_and_is_cleared_costs_nothing() {
    // Bytes: the header of the state fits, the first line after it does not, or the second.
    for room in [400, 500, 600, 800] {
        let setting = Setting::new().await;
        setting.node().feedback = NEWS;
        let folder = tempfile::tempdir().unwrap();
        let place = Place::of(setting.gateway.directory.path(), folder.path());
        let places = [setting.gateway.directory.path(), folder.path()];
        let mut command = Command::new("sh");
        let limit = format!("--fsize={room}:unlimited");
        // The signal that comes with the limit is not what a full disk does.
        command.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh", "prlimit", &limit]);
        command.arg(std::env::current_exe().unwrap()).env(FILLS_UP, "1");
        with_place(&mut command, &places, &setting.gateway.address);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains("client.local-file") && said.contains("all done"), "{room}: {said}");
        reconcile(&setting, &place, &format!("room for {room} bytes")).await;
    }
}

/// A kill loses nothing that was written; a power cut loses what was not synced. So the order of the calls is looked at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_leaves_and_nothing_is_removed_before_what_it_rests_on_is_synced() {
    if !may_trace() {
        return;
    }
    let setting = Setting::new().await;
    setting.node().feedback = NEWS;
    let folder = tempfile::tempdir().unwrap();
    let place = Place::of(setting.gateway.directory.path(), folder.path());
    let places = [setting.gateway.directory.path(), folder.path()];
    let trace = folder.path().join("trace");
    let calls = "trace=write,writev,sendto,sendmsg,fsync,fdatasync,rename,unlink";
    assert!(run(traced(&["-yy", "-e", calls], &trace, &places, &setting.gateway.address)).await);
    reconcile(&setting, &place, "traced").await;
    let trace = std::fs::read_to_string(trace).unwrap();
    let within = format!("{}/", place.folder.display());
    let (mut dirty, mut unnamed) = (BTreeSet::new(), false);
    let mut seen: Vec<&str> = Vec::new();
    for line in trace.lines() {
        let call = line.split_once(char::is_whitespace).map_or(line, |(_, call)| call.trim_start());
        let (name, arguments) = call.split_once('(').unwrap_or((call, ""));
        assert!(!call.contains("unfinished"), "one thread does it all: {line}");
        // A file is what stands between < and >; a name between quotes.
        let file =
            arguments.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or("", |(file, _)| file);
        let quoted: Vec<&str> = arguments.split('"').skip(1).step_by(2).collect();
        match name {
            "write" | "writev" if file.starts_with(&within) => drop(dirty.insert(file.to_owned())),
            "fsync" | "fdatasync" => {
                dirty.remove(file);
                unnamed &= file != place.folder.to_str().unwrap();
            }
            "rename" if quoted.iter().all(|path| path.starts_with(&within)) => {
                assert!(!dirty.contains(quoted[0]), "renamed before it was synced: {line}");
                unnamed = true;
            }
            "unlink" => assert!(dirty.is_empty() && !unnamed, "{dirty:?} {unnamed}: {line}"),
            _ if call.contains("<TCP:[") => {
                assert!(dirty.is_empty() && !unnamed, "{dirty:?} {unnamed}: {line}")
            }
            _ => continue,
        }
        seen.push(if call.contains("<TCP:[") { "leaves" } else { name });
    }
    for step in ["leaves", "write", "fsync", "fdatasync", "rename", "unlink"] {
        assert!(seen.contains(&step), "{step} was not seen: {seen:?}");
    }
}
