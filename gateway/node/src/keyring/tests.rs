use super::*;
use crate::config::{Keys, Seal};
use std::os::unix::fs::PermissionsExt;
use xinqiao_evidence::endorsement::PublishedKeys;
use xinqiao_evidence::tlog::{Checkpoint, VerifiedCheckpoint};

mod chain;

const NODE: &str = "xm.example/350200-credit";
const PASSPHRASE: &str = "correct horse battery staple";

struct Site {
    dir: tempfile::TempDir,
    settings: Keys,
    clock: Clock,
}

impl Site {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), settings: Keys::default(), clock: Clock::default() }
    }

    fn made() -> Self {
        let site = Self::new();
        Keyring::init_as(&site.keys(), &site.settings).unwrap();
        site
    }

    fn keys(&self) -> PathBuf {
        self.dir.path().join("keys")
    }

    fn secret(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, format!("{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn sealed() -> Keys {
        Keys { seal: Seal::Passphrase, ..Keys::default() }
    }

    fn open(&self) -> Result<Keyring, KeyringError> {
        Keyring::open(&self.keys(), &self.settings)
    }

    fn rotate(&self, ring: &Keyring, kind: KeyKind) {
        if kind == KeyKind::AtRest {
            ring.renew_at_rest(&self.clock).unwrap();
        } else {
            ring.begin(kind, NODE, self.clock.now(), &self.clock).unwrap();
            ring.activate(kind, NODE, &self.clock).unwrap().unwrap();
        }
    }

    /// File names in the directory.
    fn files(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.keys()).unwrap();
        let mut names: Vec<_> = names.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// What tells one record secret from another.
fn mark(ring: &Keyring) -> Vec<u8> {
    ring.record.id_key().sign(b"mark").to_vec()
}

fn checkpoint(ring: &Keyring) -> String {
    let root = xinqiao_evidence::Digest::of(b"root");
    Checkpoint { origin: format!("{NODE}/epoch-1"), size: 1, root }.sign_with(&*ring.log()).unwrap()
}

#[test]
fn every_key_of_many_rotations_still_verifies_and_is_reached_from_the_first() {
    let site = Site::made();
    let ring = site.open().unwrap();
    ring.tidy(NODE, &site.clock).unwrap();
    let first = ring.manifest(&site.clock).0.kid().to_owned();
    let pinned = Jwks::new([ring.manifest(&site.clock).0.public_jwk().clone()]);
    let mut notes = vec![checkpoint(&ring)];
    for _ in 0..3 {
        for kind in KeyKind::ALL {
            site.rotate(&ring, kind);
        }
        notes.push(checkpoint(&ring));
    }
    let ring = site.open().unwrap();
    let document = ring.published();
    assert_eq!(ring.endorsements().len(), 4, "one for each manifest key");
    let reached = PublishedKeys::from_json(document.to_string().as_bytes()).unwrap().follow(&pinned).unwrap();
    assert_eq!(reached.keys().len(), 12);
    assert!(reached.find(&first).is_some_and(|k| k.retired().is_some()));
    for note in notes {
        assert!(VerifiedCheckpoint::open_with_jwks(&note, NODE, &reached).is_ok());
    }
}

#[test]
fn a_log_in_change_is_read_with_either_key() {
    let site = Site::made();
    let ring = site.open().unwrap();
    let old = ring.jwks();
    let pending = ring.begin(KeyKind::Log, NODE, site.clock.now() + 3_600, &site.clock).unwrap();
    assert_eq!(pending.state, KeyState::Pending);
    let note = checkpoint(&ring);
    let new = ring.jwks().find(&pending.kid).unwrap().clone();
    for keys in [&old, &Jwks::new([new])] {
        assert!(VerifiedCheckpoint::open_with_jwks(&note, NODE, keys).is_ok());
    }
    assert_eq!(ring.begin(KeyKind::Log, NODE, 0, &site.clock).unwrap().kid, pending.kid, "one is pending");
    let again = site.open().unwrap();
    assert_eq!(again.log().len(), 2, "after a restart too");
    again.activate(KeyKind::Log, NODE, &site.clock).unwrap().unwrap();
    assert!(VerifiedCheckpoint::open_with_jwks(&checkpoint(&again), NODE, &old).is_err());
    assert_eq!(again.activate(KeyKind::Log, NODE, &site.clock), Ok(None));
}

#[test]
fn keys_of_the_first_version_are_taken_over_as_they_are() {
    let site = Site::made();
    let before = site.open().unwrap();
    std::fs::remove_file(site.keys().join("keyring.json")).unwrap();
    assert_eq!(
        site.files(),
        ["acknowledgement.p8", "at-rest.secret", "log.p8", "manifest.p8", "record.secret"]
    );
    let ring = site.open().unwrap();
    assert_eq!(ring.jwks(), before.jwks());
    ring.tidy(NODE, &site.clock).unwrap();
    assert!(site.keys().join("keyring.json").exists());
    assert!(ring.unnoted().is_empty());
    site.rotate(&ring, KeyKind::Manifest);
    let told: Vec<_> = ring.unnoted().into_iter().map(|(_, kind, state)| (kind, state)).collect();
    assert_eq!(told, [(KeyKind::Manifest, KeyState::Retired), (KeyKind::Manifest, KeyState::Active)]);
    assert_eq!(Keyring::init(&site.keys()).unwrap_err().code(), "keys.exist");
}

#[test]
fn retired_private_keys_go_after_a_day_and_public_ones_stay() {
    let site = Site::made();
    let ring = site.open().unwrap();
    site.rotate(&ring, KeyKind::Manifest);
    ring.tidy(NODE, &site.clock).unwrap();
    assert!(site.keys().join("manifest.p8").exists(), "work begun with it may still end");
    site.clock.observe(site.clock.now() + 24 * 3_600 + 1);
    ring.tidy(NODE, &site.clock).unwrap();
    assert!(!site.keys().join("manifest.p8").exists());
    assert_eq!(site.open().unwrap().jwks(), ring.jwks());
    let places: Vec<_> = ring.view(site.clock.now()).iter().map(|k| k.place).collect();
    assert_eq!(places.iter().filter(|p| **p == crate::keyring::KeyPlace::Destroyed).count(), 1);
}

#[test]
fn older_at_rest_keys_are_kept_until_they_are_forgotten() {
    let site = Site::made();
    let ring = site.open().unwrap();
    site.rotate(&ring, KeyKind::AtRest);
    assert!(ring.is_rewrapping() && site.open().unwrap().is_rewrapping(), "a crash leaves both");
    ring.forget_at_rest(&site.clock).unwrap();
    let again = site.open().unwrap();
    assert!(!again.is_rewrapping());
    assert_eq!(again.at_rest().current(), 2);
    let states: Vec<_> =
        again.view(0).iter().filter(|k| k.kind == KeyKind::AtRest).map(|k| k.state).collect();
    assert_eq!(states, [KeyState::Retired, KeyState::Active]);
}

/// A crash after the file of at-rest keys was replaced and before the book was.
#[test]
fn the_book_follows_the_file_of_at_rest_keys() {
    let site = Site::made();
    let ring = site.open().unwrap();
    ring.tidy(NODE, &site.clock).unwrap();
    let book = std::fs::read(site.keys().join("keyring.json")).unwrap();
    site.rotate(&ring, KeyKind::AtRest);
    std::fs::write(site.keys().join("keyring.json"), &book).unwrap();
    let again = site.open().unwrap();
    assert_eq!(again.at_rest().current(), 2);
    assert_eq!(again.view(0).iter().filter(|k| k.kind == KeyKind::AtRest).count(), 2);
}

/// Cut off anywhere, a rotation leaves the keys of before: files of the directory are put back as they were at each
/// step but the last.
#[test]
fn a_new_key_without_its_place_in_the_book_does_no_harm() {
    let site = Site::made();
    let ring = site.open().unwrap();
    ring.tidy(NODE, &site.clock).unwrap();
    let (book, jwks) = (std::fs::read(site.keys().join("keyring.json")).unwrap(), ring.jwks());
    ring.begin(KeyKind::Manifest, NODE, 0, &site.clock).unwrap();
    std::fs::write(site.keys().join("keyring.json"), &book).unwrap();
    std::fs::write(site.keys().join("keyring.json.tmp"), b"{").unwrap();
    let again = site.open().unwrap();
    assert_eq!(again.jwks(), jwks);
    site.rotate(&again, KeyKind::Manifest);
    assert_eq!(site.open().unwrap().jwks(), again.jwks());
}

#[test]
fn a_failing_disk_changes_nothing_in_memory() {
    let site = Site::made();
    let ring = site.open().unwrap();
    ring.tidy(NODE, &site.clock).unwrap();
    let before = ring.jwks();
    // A directory in the way of the temporary file stops even root.
    let way = site.keys().join("keyring.json.tmp");
    std::fs::create_dir(&way).unwrap();
    assert_eq!(ring.begin(KeyKind::Manifest, NODE, 0, &site.clock).unwrap_err().code(), "keys.unusable");
    assert_eq!(ring.jwks(), before);
    std::fs::remove_dir(&way).unwrap();
    site.rotate(&ring, KeyKind::Manifest);
    assert_ne!(ring.jwks(), before);
}

#[test]
fn sealing_goes_from_mode_to_mode_and_leaves_no_plain_file() {
    let mut site = Site::made();
    let plain = site.open().unwrap();
    site.rotate(&plain, KeyKind::Manifest);
    let jwks = plain.jwks();
    let record = std::fs::read(site.keys().join("record.secret")).unwrap();
    let first = Keys { passphrase_file: Some(site.secret("first", PASSPHRASE)), ..Site::sealed() };
    reseal(&site.keys(), &site.settings, &first).unwrap();
    assert_eq!(site.open().err().map(|e| e.code()), Some("keys.other-seal"));
    site.settings = first.clone();
    assert_eq!(site.open().unwrap().jwks(), jwks);
    for name in site.files().iter().filter(|n| *n != "keyring.json") {
        let bytes = std::fs::read(site.keys().join(name)).unwrap();
        assert!(bytes.starts_with(b"XQSEAL"), "{name}");
        assert!(!bytes.windows(32).any(|w| w == record), "{name}");
    }
    // Another passphrase, then plain again.
    let second =
        Keys { passphrase_file: Some(site.secret("second", "another long passphrase")), ..first.clone() };
    reseal(&site.keys(), &first, &second).unwrap();
    assert_eq!(site.open().err().map(|e| e.code()), Some("keys.wrong-passphrase"));
    site.settings = second.clone();
    site.rotate(&site.open().unwrap(), KeyKind::Log);
    reseal(&site.keys(), &second, &Keys::default()).unwrap();
    site.settings = Keys::default();
    assert_eq!(mark(&site.open().unwrap()), mark(&plain));
}

#[test]
fn what_cannot_be_opened_is_said_in_one_sentence() {
    let mut site = Site::made();
    let sealed = Keys { passphrase_file: Some(site.secret("p", "short")), ..Site::sealed() };
    let code = |r: Result<(), KeyringError>| r.unwrap_err().code();
    assert_eq!(code(reseal(&site.keys(), &site.settings, &sealed)), "keys.weak-passphrase");
    assert_eq!(code(reseal(&site.keys(), &site.settings, &Site::sealed())), "keys.not-configured");
    let credential = Keys { seal: Seal::Credential, credential: Some("../p".into()), ..Keys::default() };
    assert_eq!(code(reseal(&site.keys(), &site.settings, &credential)), "keys.no-credential");
    let absent = Keys { passphrase_file: Some(site.dir.path().join("absent")), ..Site::sealed() };
    assert_eq!(code(reseal(&site.keys(), &site.settings, &absent)), "keys.missing");
    let open = site.secret("open", PASSPHRASE);
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o644)).unwrap();
    let open = Keys { passphrase_file: Some(open), ..Site::sealed() };
    assert_eq!(code(reseal(&site.keys(), &site.settings, &open)), "keys.open");
    assert!(site.open().is_ok(), "the last good state serves on");
    site.settings = Keys { passphrase_file: Some(site.secret("q", PASSPHRASE)), ..Site::sealed() };
    reseal(&site.keys(), &Keys::default(), &site.settings).unwrap();
    site.secret("q", "wrong horse battery staple");
    let error = site.open().err().unwrap().to_string();
    assert!(error.starts_with("keys.wrong-passphrase: ") && !error.contains("horse"), "{error}");
    for name in site.files() {
        let path = site.keys().join(&name);
        let good = std::fs::read(&path).unwrap();
        site.secret("q", PASSPHRASE);
        let mut bad = good.clone();
        match name.as_str() {
            "keyring.json" => bad.truncate(good.len() / 2),
            _ => bad[good.len() / 2] ^= 0x55,
        }
        std::fs::write(&path, &bad).unwrap();
        assert!(site.open().is_err(), "{name} damaged");
        std::fs::write(&path, &good).unwrap();
    }
    assert!(site.open().is_ok());
}

#[test]
fn a_backup_brings_every_key_back_and_the_drill_proves_it() {
    let mut site = Site::made();
    let ring = site.open().unwrap();
    for kind in KeyKind::ALL {
        site.rotate(&ring, kind);
    }
    let (to, paper) = (site.dir.path().join("backup"), site.secret("paper", "kept on paper in a safe"));
    Backup::take(&site.keys(), &site.settings).unwrap().write(&to, &paper, &site.settings).unwrap();
    let backup = Backup::read(&to, &paper).unwrap();
    assert!(backup.drill(&site.keys(), &site.settings).unwrap().passed());
    assert_eq!(backup.restore(&site.keys(), &site.settings).unwrap_err().code(), "keys.exist");
    // Onto a new machine, where keys are sealed.
    let record = mark(&ring);
    std::fs::rename(site.keys(), site.dir.path().join("old")).unwrap();
    site.settings = Keys { passphrase_file: Some(site.secret("q", PASSPHRASE)), ..Site::sealed() };
    backup.restore(&site.keys(), &site.settings).unwrap();
    let back = site.open().unwrap();
    assert_eq!((back.jwks(), back.at_rest().to_bytes()), (ring.jwks(), ring.at_rest().to_bytes()));
    assert_eq!(mark(&back), record);
    // Keys made since are missing; another node's backup is noticed.
    site.rotate(&back, KeyKind::Log);
    let drill = backup.drill(&site.keys(), &site.settings).unwrap();
    assert!(!drill.passed() && drill.record && drill.lacking.len() == 1);
    let other = Site::made();
    assert!(!backup.drill(&other.keys(), &other.settings).unwrap().record);
    let twice = Backup::take(&site.keys(), &site.settings).unwrap();
    let same = site.settings.passphrase_file.clone().unwrap();
    let second = site.dir.path().join("second");
    assert_eq!(twice.write(&second, &same, &site.settings).unwrap_err().code(), "keys.same-passphrase");
    assert_eq!(twice.write(&to, &paper, &site.settings).unwrap_err().code(), "keys.exist");
    for (from, passphrase) in
        [(&to, site.secret("wrong", "kept on paper in a sale")), (&paper, paper.clone())]
    {
        assert_eq!(Backup::read(from, &passphrase).err().map(|e| e.code()), Some("keys.backup"));
    }
    let mut bytes = std::fs::read(&to).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&to, &bytes).unwrap();
    assert!(Backup::read(&to, &paper).is_err());
}

#[test]
fn the_schedule_is_followed_by_kind() {
    let mut site = Site::made();
    site.settings = Keys { manifest_days: 30, at_rest_days: 400, ..Keys::default() };
    let ring = site.open().unwrap();
    let now = site.clock.now();
    let day = 86_400;
    assert_eq!(ring.due(now), (vec![], vec![]));
    assert_eq!(ring.due(now + 23 * day + 2), (vec![], vec![KeyKind::Manifest]), "a week before");
    assert_eq!(ring.due(now + 401 * day), (vec![], vec![KeyKind::Manifest, KeyKind::AtRest]));
    ring.begin(KeyKind::Manifest, NODE, now + 7 * day, &site.clock).unwrap();
    assert_eq!(ring.due(now + 7 * day), (vec![KeyKind::Manifest], vec![]));
    let left: Vec<_> = ring.view(now).iter().filter_map(|k| Some((k.kind, k.state, k.days_left?))).collect();
    assert!(left.contains(&(KeyKind::Manifest, KeyState::Pending, 7)));
    assert!(left.iter().any(|l| l.0 == KeyKind::AtRest && (399..=400).contains(&l.2)), "{left:?}");
}
