//! What `verify` and `log verify` look at: everything beside a batch, the end of a stream, every hash tile; and what they
//! say they did not look at.

use super::{PENALTY, keep, pull, send};
use std::path::{Path, PathBuf};
use xinqiao_tests::site::{PROVINCE, Site};

/// A folder with three batches, answered, and the receipts; and one with a batch of another stream of the same node.
struct Pulled {
    _dir: tempfile::TempDir,
    site: Site,
    stream: PathBuf,
}

impl Pulled {
    fn verify(&self, keys: bool) -> (i32, String) {
        let (keys_file, pulled, receipts) =
            (self.site.keys(), self.site.pulled(), self.site.dir.join("receipts"));
        let mut arguments: Vec<&std::ffi::OsStr> = vec!["verify".as_ref()];
        if keys {
            arguments.extend(["--keys".as_ref(), keys_file.as_os_str()]);
        }
        arguments.extend([pulled.as_os_str(), receipts.as_os_str()]);
        self.site.run(&arguments)
    }

    /// Changes the folder, sees what is said, and changes it back.
    fn with(&self, change: impl FnOnce(&Path)) -> (i32, String) {
        let kept = tempfile::tempdir().unwrap();
        copy(&self.stream, kept.path());
        change(&self.stream);
        let told = self.verify(true);
        std::fs::remove_dir_all(&self.stream).unwrap();
        std::fs::create_dir(&self.stream).unwrap();
        copy(kept.path(), &self.stream);
        told
    }

    fn refused(&self, said: &str, change: impl FnOnce(&Path)) {
        let (code, told) = self.with(change);
        assert!(code == 4 && told.contains(said), "expected {said:?}: {code} {told}");
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

async fn pulled() -> Pulled {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(dir.path(), "");
    let node = site.start();
    for n in 0..3 {
        keep(&site, n, &send(&site, &node, n).await.unwrap());
        assert_eq!(pull(&site, &node).await, 1);
    }
    assert!(node.stop());
    let stream = site.pulled().join(format!("{PROVINCE}.{PENALTY}"));
    Pulled { _dir: dir, site, stream }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_beside_a_batch_is_verified() {
    let pulled = pulled().await;
    let (code, told) = pulled.verify(true);
    assert_eq!(code, 0, "{told}");
    for said in ["3 log proof(s), 3 acknowledgement(s): verified", "not looked at: the node's whole log"] {
        assert!(told.contains(said), "{told}");
    }
    let swap = |dir: &Path, kind: &str| {
        std::fs::copy(dir.join(format!("2.{kind}")), dir.join(format!("1.{kind}"))).unwrap();
    };
    pulled.refused("1.proof", |dir| swap(dir, "proof"));
    pulled.refused("1.acknowledgement.json", |dir| swap(dir, "acknowledgement.json"));
    pulled.refused("1.payload.ndjson.zst", |dir| swap(dir, "payload.ndjson.zst"));
    pulled.refused("batches at the end are missing", |dir| {
        for kind in ["manifest.json", "proof", "payload.ndjson.zst", "acknowledgement.json"] {
            std::fs::remove_file(dir.join(format!("3.{kind}"))).unwrap();
        }
    });
    pulled.refused("3.manifest.json is missing", |dir| {
        std::fs::remove_file(dir.join("3.manifest.json")).unwrap();
    });
    pulled.refused("not of the batch", |dir| std::fs::write(dir.join("1.payload.ndjson.gz"), "x").unwrap());
    pulled.refused("state.json", |dir| {
        let state = std::fs::read_to_string(dir.join("state.json")).unwrap();
        std::fs::write(dir.join("state.json"), state.replace("\"acknowledged\": 3", "\"acknowledged\": 4"))
            .unwrap();
    });
    // What is no fault is told all the same.
    let (code, told) = pulled.with(|dir| {
        std::fs::remove_file(dir.join("2.proof")).unwrap();
        std::fs::remove_file(dir.join("2.acknowledgement.json")).unwrap();
        std::fs::write(dir.join("1.manifest (copy).json"), "{}").unwrap();
    });
    assert_eq!(code, 0, "{told}");
    for said in
        ["1 batch(es) have no log proof", "1 acknowledged batch(es) have no answer", "1 other file(s)"]
    {
        assert!(told.contains(said), "expected {said:?}: {told}");
    }
    // Without keys everything is still compared with everything.
    let (code, told) = pulled.verify(false);
    assert!(code == 4 && told.contains("NOT authenticated"), "{told}");
    std::fs::copy(pulled.stream.join("2.proof"), pulled.stream.join("1.proof")).unwrap();
    let (code, told) = pulled.verify(false);
    assert!(code == 4 && told.contains("1.proof"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_of_another_stream_and_other_tiles_are_found() {
    let pulled = pulled().await;
    let elsewhere = pulled.site.pulled().join(format!("{PROVINCE}.administrative-licence"));
    std::fs::create_dir(&elsewhere).unwrap();
    copy(&pulled.stream, &elsewhere);
    let (code, told) = pulled.verify(true);
    assert!(code == 4 && told.contains("copies of another place"), "{told}");

    let (code, told) = pulled.site.verify_log();
    assert!(
        code == 0 && told.contains("hash tiles, root verified") && told.contains("not looked at"),
        "{told}"
    );
    let tiles = pulled.site.data().join("log/tile/0/000.p");
    let tile = std::fs::read_dir(&tiles).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&tile).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&tile, &bytes).unwrap();
    let (code, told) = pulled.site.verify_log();
    assert!(
        code == 4 && told.contains("tile/0/000.p") && told.contains("not those of the entries"),
        "{told}"
    );
    std::fs::remove_file(&tile).unwrap();
    let (code, told) = pulled.site.verify_log();
    assert!(code == 4 && told.contains("missing"), "{told}");
}
