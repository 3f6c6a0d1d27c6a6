//! Changes of the keyring: a successor is made, takes over, and what it succeeds is destroyed after a while.

use super::book::{Book, KeyKind, KeyState, Place};
use super::error::KeyringError;
use super::store::{self, Made};
use super::view::serves;
use super::{Current, KeyView, Keyring, files, seal};
use crate::config;
use parking_lot::MutexGuard;
use std::path::Path;
use xinqiao_evidence::keys::ManifestKey;
use xinqiao_runtime::clock::Clock;
use xinqiao_store::AtRestKeys;

/// Seconds a retired private key is kept: work begun with it ends well before.
const KEEP: i64 = 24 * 3_600;

impl Keyring {
    /// Makes the successor of a signing key and publishes it; it takes over at `activates`. One that is pending already
    /// stays.
    pub fn begin(
        &self,
        kind: KeyKind,
        node: &str,
        activates: i64,
        clock: &Clock,
    ) -> Result<KeyView, KeyringError> {
        let _one = self.changing.lock();
        let now = clock.now();
        if let Some(pending) = self.current.read().book.find(kind, KeyState::Pending) {
            return Ok(KeyView::of(pending, &self.settings, now));
        }
        let mut made = Made::new(kind, &self.settings, self.token.as_ref())?;
        let kid = made.kid();
        if let Some(bytes) = made.private.take() {
            let name = format!("{}-{kid}.p8", kind.as_str());
            files::replace(&self.dir.join(&name), &self.sealer.seal(&kid, &bytes))?;
            made.place = Place::File(name);
        }
        let fact = made.fact(KeyState::Pending, now, Some(activates));
        let view = KeyView::of(&fact, &self.settings, now);
        self.change(node, clock, |book, _| {
            book.keys.push(fact);
            true
        })?;
        Ok(view)
    }

    /// Lets the pending key of a kind take over now. Nothing that is signed falls between the two.
    pub fn activate(
        &self,
        kind: KeyKind,
        node: &str,
        clock: &Clock,
    ) -> Result<Option<KeyView>, KeyringError> {
        let _one = self.changing.lock();
        if !self.change(node, clock, |book, now| book.activate(kind, now))? {
            return Ok(None);
        }
        let current = self.current.read();
        Ok(current.book.find(kind, KeyState::Active).map(|f| KeyView::of(f, &self.settings, clock.now())))
    }

    /// To be held while keys of stored data are wrapped anew: an old key is dropped only by whoever has seen to it that
    /// nothing needs it, and a key added meanwhile would pass for the one that everything is wrapped by.
    pub fn rewrapping(&self) -> MutexGuard<'_, ()> {
        self.rewrapping.lock()
    }

    /// Adds a new at-rest key and makes it current; what the older ones wrapped is to be wrapped again by the caller.
    pub fn renew_at_rest(&self, clock: &Clock) -> Result<AtRestKeys, KeyringError> {
        let _one = self.changing.lock();
        let mut keys = self.at_rest();
        keys.rotate();
        self.keep_at_rest(&keys, clock.now())?;
        Ok(keys)
    }

    /// Drops older at-rest keys: everything is wrapped by the current one.
    pub fn forget_at_rest(&self, clock: &Clock) -> Result<(), KeyringError> {
        let _one = self.changing.lock();
        let mut keys = self.at_rest();
        let old: Vec<u32> = keys.ids().filter(|id| *id != keys.current()).collect();
        for id in old {
            keys.forget(id);
        }
        self.keep_at_rest(&keys, clock.now())
    }

    fn keep_at_rest(&self, keys: &AtRestKeys, now: i64) -> Result<(), KeyringError> {
        let mut book = self.current.read().book.clone();
        let sealed = self.sealer.seal(store::AT_REST, &keys.to_bytes());
        files::replace(&self.dir.join(&book.at_rest), &sealed)?;
        // From here on the file is the truth: the keys in memory must not be older than it.
        store::reconcile_at(&mut book, keys, now);
        let mut current = self.current.write();
        current.at_rest = keys.clone();
        current.book = book;
        store::write_book(&self.dir, &current.book)
    }

    /// Older at-rest keys that still may wrap something.
    pub fn is_rewrapping(&self) -> bool {
        self.current.read().at_rest.ids().count() > 1
    }

    /// Kinds whose pending key is to take over, then kinds that need a successor by the schedule.
    pub fn due(&self, now: i64) -> (Vec<KeyKind>, Vec<KeyKind>) {
        let book = &self.current.read().book;
        let pending = self.pending_seconds();
        let wants = |kind: &KeyKind| {
            let pending = if *kind == KeyKind::AtRest { 0 } else { pending };
            book.wants_successor(*kind, serves(*kind, &self.settings), pending, now)
        };
        (book.due(now), KeyKind::ALL.into_iter().filter(wants).collect())
    }

    /// Seconds between publishing a key and signing with it.
    pub fn pending_seconds(&self) -> i64 {
        i64::try_from(self.settings.pending_hours.seconds()).unwrap_or(i64::MAX)
    }

    /// Sees to it that there is a book, that the manifest key in service has vouched for the others, that what was to be
    /// destroyed is, and destroys what has been retired long enough.
    pub fn tidy(&self, node: &str, clock: &Clock) -> Result<(), KeyringError> {
        let _one = self.changing.lock();
        clock.observe(self.current.read().book.latest());
        let vouched = {
            let current = self.current.read();
            current.book.endorsements.iter().any(|v| v.by == current.manifest.kid())
        };
        if !vouched || !self.dir.join(store::BOOK).exists() {
            self.change(node, clock, |_, _| true)?;
        }
        self.destroy_retired(clock.now())?;
        self.finish_leaving()
    }

    fn destroy_retired(&self, now: i64) -> Result<(), KeyringError> {
        let mut book = self.current.read().book.clone();
        let mut tokens = Vec::new();
        let mut leaving = Vec::new();
        for key in &mut book.keys {
            let old = key.state == KeyState::Retired && key.retired.is_some_and(|at| at + KEEP <= now);
            if !old || key.public.is_none() {
                continue;
            }
            match std::mem::replace(&mut key.place, Place::Gone) {
                Place::File(name) => leaving.push(name),
                Place::Token(id) => tokens.push(id),
                Place::Gone => {}
            }
        }
        if leaving.is_empty() && tokens.is_empty() {
            return Ok(());
        }
        for id in &tokens {
            if let Some(token) = &self.token {
                token.destroy(id)?;
            }
        }
        book.leaving.extend(leaving);
        self.replace_book(book)
    }

    fn finish_leaving(&self) -> Result<(), KeyringError> {
        let mut book = self.current.read().book.clone();
        if book.leaving.is_empty() {
            return Ok(());
        }
        store::destroy_leaving(&self.dir, &mut book)?;
        self.replace_book(book)
    }

    /// What the log does not tell yet: kid, kind, state.
    pub fn unnoted(&self) -> Vec<(String, KeyKind, KeyState)> {
        self.current.read().book.unnoted()
    }

    /// The log tells it now.
    pub fn note(&self, kid: &str, state: KeyState) -> Result<(), KeyringError> {
        let _one = self.changing.lock();
        let mut book = self.current.read().book.clone();
        for key in book.keys.iter_mut().filter(|k| k.kid == kid) {
            key.noted = Some(state);
        }
        self.replace_book(book)
    }

    fn replace_book(&self, book: Book) -> Result<(), KeyringError> {
        store::write_book(&self.dir, &book)?;
        self.current.write().book = book;
        Ok(())
    }

    /// Changes the book, lets the manifest key in service afterwards vouch for it (and the one before, if it is hurried),
    /// stores it, and only then uses it. No manifest is dated meanwhile. False: nothing was to be changed. An error: as
    /// before, and it may be tried again.
    fn change(
        &self,
        node: &str,
        clock: &Clock,
        step: impl FnOnce(&mut Book, i64) -> bool,
    ) -> Result<bool, KeyringError> {
        let mut current = self.current.write();
        clock.observe(current.book.latest());
        let now = clock.now();
        let mut book = current.book.clone();
        if !step(&mut book, now) {
            return Ok(false);
        }
        let next = Current::read(&self.dir, book, current.at_rest.clone(), &self.sealer, self.token.as_ref());
        let mut next = next?;
        let vouch = |book: &mut Book, key: &ManifestKey| {
            book.endorse(node, now, key).map_err(|_| KeyringError::Signing("an endorsement"))
        };
        let manifest = next.manifest.clone();
        if current.book.is_planned_after(manifest.kid(), now) {
            // It takes over earlier than was announced. Only the word of the one it succeeds leads to it.
            vouch(&mut next.book, &current.manifest)?;
        }
        vouch(&mut next.book, &manifest)?;
        store::write_book(&self.dir, &next.book)?;
        *current = next;
        Ok(true)
    }
}

/// Seals the keys in `dir` anew, as `to` says; `from` says how they are sealed now. The node must not run.
pub fn reseal(dir: &Path, from: &config::Keys, to: &config::Keys) -> Result<(), KeyringError> {
    let mut book = store::read_book(dir)?;
    let mut from = from.clone();
    from.seal = book.seal.mode();
    let (old, new) = (seal::Access::new(&from)?, seal::Access::new(to)?);
    let before = old.unlock(&book.seal)?;
    let (fact, after) = new.lock()?;
    let keep = |what: &str, name: &str| -> Result<String, KeyringError> {
        let path = dir.join(name);
        let bytes = before.open(what, files::read(&path)?).ok_or(KeyringError::Damaged(path))?;
        let fresh = store::fresh_name(name);
        files::replace(&dir.join(&fresh), &after.seal(what, &bytes))?;
        Ok(fresh)
    };
    let mut gone = vec![book.record.clone(), book.at_rest.clone()];
    book.record = keep(store::RECORD, &book.record)?;
    book.at_rest = keep(store::AT_REST, &book.at_rest)?;
    for key in &mut book.keys {
        if let Place::File(name) = &key.place {
            if key.kind == KeyKind::AtRest {
                key.place = Place::File(book.at_rest.clone());
                continue;
            }
            gone.push(name.clone());
            key.place = Place::File(keep(&key.kid, name)?);
        }
    }
    book.seal = fact;
    book.leaving.extend(gone);
    store::write_book(dir, &book)?;
    store::destroy_leaving(dir, &mut book)?;
    store::write_book(dir, &book)
}
