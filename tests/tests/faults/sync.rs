//! The order of system calls: a 201 leaves only after the journal is synced.

use crate::{World, skipped};
use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use xinqiao::demo::process::NodeProcess;
use xinqiao_tests::disk::run;
use xinqiao_tests::program::node_program;

const REQUESTS: usize = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn between_a_request_and_its_201_the_journal_is_written_and_synced() {
    if !run("strace", &["-V".as_ref()]) {
        return skipped("the order of system calls: strace is not installed");
    }
    let mut world = World::new("");
    let (trace, traced) = (world.site.dir.join("trace"), world.site.dir.join("traced"));
    // -D: the node stays this test's own child, so that it ends when it is told to.
    let script = format!(
        "#!/bin/sh\nexec strace -D -f -yy -s 0 -e trace=fdatasync,fsync,pwrite64,write,writev,sendto,recvfrom,read -o '{}' '{}' \"$@\"\n",
        trace.display(),
        node_program().display()
    );
    std::fs::write(&traced, script).expect("a script can be written");
    std::fs::set_permissions(&traced, std::fs::Permissions::from_mode(0o755)).expect("a script can be run");
    let node = match NodeProcess::start(&traced, &world.site.config(), &world.site.log()) {
        Ok(node) => node,
        Err(error) if error.0.contains("ptrace") => {
            return skipped("the order of system calls: tracing is not allowed");
        }
        Err(error) => panic!("{error}"),
    };
    let exchange = format!("TCP:[127.0.0.1:{}->", node.exchange.port());
    // One connection, one request after the other: the n-th answer is to the n-th request.
    let client = world.site.client(world.next(1).member(), &node);
    // One more, not looked at: while it is answered the node still writes frames of its own, as it does when it starts.
    for n in 0..=REQUESTS {
        let request = xinqiao_tests::traffic::Request { first: n as u64 * 64, count: 1, department: 0 };
        client.send(&request.submission()).await.expect("the node takes records");
    }
    drop(client);
    world.sent.clear();
    assert!(node.stop());
    let text = std::fs::read_to_string(&trace).expect("there is a trace");
    let answers = answers(&calls(&text), &exchange);
    assert!(answers.len() > REQUESTS, "{answers:?}");
    let last = &answers[answers.len() - REQUESTS..];
    assert!(
        last.iter().all(|synced| *synced),
        "an answer left before the journal was synced: {last:?}\n{text}"
    );
}

/// A call and what it returned; less than nothing if it failed or never returned.
struct Call {
    name: String,
    arguments: String,
    result: i64,
}

/// Calls in the order in which they returned, but what was sent in the order in which it was begun: nothing later can
/// have been waited for.
fn calls(text: &str) -> Vec<Call> {
    let mut begun: HashMap<&str, usize> = HashMap::new();
    let mut all: Vec<Call> = Vec::new();
    for line in text.lines() {
        let Some((pid, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        let result = rest.rsplit_once(" = ").and_then(|(_, r)| r.split_whitespace().next()?.parse().ok());
        if rest.starts_with("<... ") {
            let Some(at) = begun.remove(pid) else { continue };
            let result = result.unwrap_or(-1);
            if is_sending(&all[at].name) {
                all[at].result = result;
            } else {
                let Call { name, arguments, .. } = &all[at];
                let call = Call { name: name.clone(), arguments: arguments.clone(), result };
                all.push(call);
            }
        } else if let Some((name, arguments)) = rest.split_once('(') {
            begun.insert(pid, all.len());
            all.push(Call { name: name.into(), arguments: arguments.into(), result: result.unwrap_or(-1) });
        }
    }
    all
}

fn is_sending(name: &str) -> bool {
    matches!(name, "write" | "writev" | "sendto")
}

/// For each answer to a member: was the journal written and then synced since the request was read?
fn answers(calls: &[Call], exchange: &str) -> Vec<bool> {
    let mut all = Vec::new();
    let (mut written, mut synced) = (false, false);
    for call in calls.iter().filter(|call| call.result >= 0) {
        let journal = call.arguments.split_once('>').is_some_and(|(file, _)| file.ends_with(".seg"));
        let member = call.arguments.contains(exchange);
        match call.name.as_str() {
            "pwrite64" if journal => (written, synced) = (true, false),
            "fdatasync" | "fsync" if journal => synced = written,
            // Answers are longer than what keeps a connection going.
            name if is_sending(name) && member && call.result > 500 => {
                all.push(synced);
                (written, synced) = (false, false);
            }
            _ => {}
        }
    }
    all
}
