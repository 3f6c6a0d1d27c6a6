//! The Java 8 program for provincial platforms, `docs/verifiers/java8`, compiled and run as a recipient would.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::SystemTime;
use xinqiao::demo::federation::{DOMAIN, Pki};
use xinqiao_certs::Role;
use xinqiao_certs::pki::{Request, Validity};

use crate::oracle::has;

/// The compiled program and what a member needs to run it, in one directory.
pub struct JavaPull {
    dir: PathBuf,
    store: PathBuf,
    password: PathBuf,
    authorities: PathBuf,
}

impl JavaPull {
    /// Compiles it, and makes the member a key store; nothing if this machine has no Java.
    pub fn new(dir: &Path, pki: &Pki, role: Role, member: &str) -> Option<Self> {
        if !has("java", &["-version"]) || !has("javac", &["-version"]) {
            return None;
        }
        std::fs::create_dir_all(dir).expect("a directory");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/verifiers/java8/XinqiaoPull.java");
        let output = Command::new("javac")
            .args(["-encoding", "UTF-8", "--release", "8", "-Xlint:all,-options", "-Werror", "-d"])
            .args([dir, &source])
            .output()
            .expect("javac runs");
        assert!(output.status.success(), "{}", said(&output));
        let days = Validity::days(SystemTime::now(), 2);
        let issued = pki.authority().issue(&Request::new(role, DOMAIN, member, days)).expect("a certificate");
        let store = issued.pkcs12(pki.authority(), member, "test-password").expect("a key store");
        let write = |name: &str, content: &[u8]| {
            let path = dir.join(name);
            std::fs::write(&path, content).expect("it can be written");
            path
        };
        Some(Self {
            dir: dir.to_owned(),
            store: write("member.p12", &store),
            password: write("password", b"test-password\n"),
            authorities: pki.dir.join("ca.crt"),
        })
    }

    /// Settings for a stream, verified with these public keys; what is pulled goes to a directory of this name.
    pub fn settings(
        &self,
        name: &str,
        (node, gateway): (&str, SocketAddr),
        stream: &str,
        keys: &Path,
    ) -> PathBuf {
        let lines = format!(
            "gateway=https://localhost:{}\nnode={node}\nstream={stream}\ndirectory={}\nkeys={}\nkey.store={}\n\
             key.store.password.file={}\ntrust.store={}\nlimit=2\n",
            gateway.port(),
            self.dir.join(name).display(),
            keys.display(),
            self.store.display(),
            self.password.display(),
            self.authorities.display(),
        );
        let path = self.dir.join(format!("{name}.properties"));
        std::fs::write(&path, lines).expect("it can be written");
        path
    }

    /// Where a batch's lines go.
    pub fn lines(&self, name: &str, stream: &str, seq: u64) -> PathBuf {
        self.dir.join(format!("{name}/{stream}/{seq}.ndjson"))
    }

    /// Runs it. Its exit code, and what it said.
    pub async fn run(&self, settings: &Path) -> (Option<i32>, String) {
        let mut command = Command::new("java");
        command.arg("-cp").arg(&self.dir).arg("XinqiaoPull").arg(settings);
        let output = tokio::task::spawn_blocking(move || command.output()).await;
        let output = output.expect("no panic").expect("java runs");
        (output.status.code(), said(&output))
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
