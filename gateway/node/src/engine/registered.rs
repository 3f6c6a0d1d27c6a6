//! The register of the node: opened, fed with what the journal holds beyond it, asked, and told of each frame once it is durable.

use super::Node;
use super::committer::{KIND_RECORD, RECORD_AAD};
use super::open_error::OpenNodeError;
use std::borrow::Cow;
use std::cell::RefCell;
use std::ops::ControlFlow;
use std::sync::Arc;
use xinqiao_exchange::event::FrameRecord;
use xinqiao_exchange::group::Item;
use xinqiao_exchange::register::{self, Registered, Value};
use xinqiao_exchange::varint::Damaged;
use xinqiao_explain::Explain;
use xinqiao_runtime::refusal::RefusalCode;
use xinqiao_store::{
    AtRestKeys, Class, DataDir, ItemRef, Position, ReadError, Reader, Register, RegisterError,
    RegisterOptions,
};

/// Memtables that may wait to be written before whoever fills them writes one.
const WAITING: usize = 2;

type Entries = Vec<([u8; 16], Value)>;

/// An item of an archive, and what it was bound to.
type Archived = (ItemRef, Vec<u8>);

/// Opens the register and feeds it with what the journal holds beyond it. One that is damaged, or that knows more than the journal, is
/// built anew from archives and journal.
pub(super) fn open(
    dir: &DataDir,
    keys: &AtRestKeys,
    reader: &Reader,
    adopted: bool,
) -> Result<Arc<Register>, OpenNodeError> {
    let open = || Register::open(dir, keys, register::merge, RegisterOptions::default());
    let (mut opened, mut through) = match open() {
        Err(e) if e.must_rebuild() => {
            tracing::warn!(code = e.explain().code(), "{}", e.explain().english());
            Register::discard(dir).and_then(|()| open())
        }
        opened => opened,
    }
    .map_err(fault)?;
    if through.is_some() && (adopted || through > reader.end()) {
        // Of a state that was given up.
        drop(opened);
        (opened, through) = Register::discard(dir).and_then(|()| open()).map_err(fault)?;
    }
    let began = std::time::Instant::now();
    let fed = feed(&opened, reader, through)?;
    if through.is_none() && fed > 0 {
        tracing::info!(
            entries = fed,
            milliseconds = began.elapsed().as_millis() as u64,
            "the register was built from archives and journal"
        );
    }
    Ok(Arc::new(opened))
}

/// Applies everything after `through`; how many entries.
fn feed(register: &Register, reader: &Reader, through: Option<Position>) -> Result<u64, OpenNodeError> {
    let first = through.map_or(0, |at| at.segment);
    let live: Vec<u64> = reader.segments().iter().map(|s| s.segment).collect();
    let archived = reader.archives().map_err(|e| OpenNodeError::Queue(format!("evidence: {e}")))?;
    let mut all: Vec<u64> =
        archived.into_iter().chain(live.iter().copied()).filter(|n| *n >= first).collect();
    all.sort_unstable();
    all.dedup();
    let mut feeder = Feeder { register, through, fed: 0 };
    for segment in all {
        if live.contains(&segment) {
            feeder.segment(reader, segment)?;
        } else {
            feeder.archive(reader, segment)?;
        }
    }
    Ok(feeder.fed)
}

struct Feeder<'r> {
    register: &'r Register,
    through: Option<Position>,
    fed: u64,
}

impl Feeder<'_> {
    fn apply(&mut self, entries: &Entries, at: Position) -> Result<(), OpenNodeError> {
        self.fed += entries.len() as u64;
        let mut waiting = self.register.apply(entries, at);
        while waiting > WAITING {
            self.register.step().map_err(fault)?;
            waiting = self.register.stats().waiting;
        }
        Ok(())
    }

    fn segment(&mut self, reader: &Reader, segment: u64) -> Result<(), OpenNodeError> {
        let mut result = Ok(());
        reader.frames_of(segment, &mut |frame| {
            let mut step = || -> Result<(), OpenNodeError> {
                if frame.kind != KIND_RECORD || self.through.is_some_and(|at| frame.position <= at) {
                    return Ok(());
                }
                let (first, rest) = frame.items.split_first().ok_or(Fault::Damaged)?;
                let record = parse(&frame.read(first)?)?;
                let mut entries = Entries::new();
                register::entries_of::<Fault>(
                    &record,
                    &mut |item, _| {
                        let item = rest.get(usize::from(item)).ok_or(Fault::Damaged)?;
                        Ok(Cow::Owned(frame.read(item)?))
                    },
                    &mut entries,
                )?;
                self.apply(&entries, frame.position)
            };
            flow(step(), &mut result)
        })?;
        result
    }

    /// Of a retired segment: its events and evidence are all there.
    fn archive(&mut self, reader: &Reader, segment: u64) -> Result<(), OpenNodeError> {
        let mut frames: Vec<(ItemRef, Vec<Archived>)> = Vec::new();
        reader.archived(segment, |item| {
            if item.kind == KIND_RECORD {
                match item.class {
                    Class::Event => frames.push((item.reference, Vec::new())),
                    _ => {
                        if let Some((record, items)) = frames.last_mut()
                            && record.frame == item.reference.frame
                        {
                            items.push((item.reference, item.aad.to_vec()));
                        }
                    }
                }
            }
            ControlFlow::Continue(())
        })?;
        for (record, items) in frames {
            let at = Position { segment, frame: record.frame };
            if self.through.is_some_and(|through| at <= through) {
                continue;
            }
            let parsed = parse(&reader.read(record, RECORD_AAD)?)?;
            let mut entries = Entries::new();
            register::entries_of::<Fault>(
                &parsed,
                &mut |item, _| {
                    // Items are numbered behind the record.
                    let found = items.iter().find(|(reference, _)| reference.item == item + 1);
                    let (reference, aad) = found.ok_or(Fault::Damaged)?;
                    Ok(Cow::Owned(reader.read(*reference, aad)?))
                },
                &mut entries,
            )?;
            self.apply(&entries, at)?;
        }
        Ok(())
    }
}

fn flow(step: Result<(), OpenNodeError>, result: &mut Result<(), OpenNodeError>) -> ControlFlow<()> {
    match step {
        Ok(()) => ControlFlow::Continue(()),
        Err(e) => {
            *result = Err(e);
            ControlFlow::Break(())
        }
    }
}

fn parse(record: &[u8]) -> Result<FrameRecord, OpenNodeError> {
    serde_json::from_slice(record)
        .map_err(|_| OpenNodeError::Queue("a frame of the journal is of a newer version".into()))
}

/// Why the entries of a frame cannot be had.
enum Fault {
    Damaged,
    Read(ReadError),
}

impl From<Damaged> for Fault {
    fn from(_: Damaged) -> Self {
        Self::Damaged
    }
}

impl From<ReadError> for Fault {
    fn from(e: ReadError) -> Self {
        Self::Read(e)
    }
}

impl From<Fault> for OpenNodeError {
    fn from(e: Fault) -> Self {
        match e {
            Fault::Damaged => {
                Self::Queue("a frame of the journal holds no facts of records that can be read".into())
            }
            Fault::Read(e) => e.into(),
        }
    }
}

fn fault(e: RegisterError) -> OpenNodeError {
    OpenNodeError::Register(e)
}

impl Node {
    /// Tells the register of a frame that is durable. Only the committer calls it.
    pub(super) fn register_frame(&self, record: &FrameRecord, items: &[Item], at: Position) {
        let mut entries = Entries::new();
        let taken = register::entries_of::<Damaged>(
            record,
            &mut |item, _| {
                items.get(usize::from(item)).map(|item| Cow::Borrowed(&*item.bytes)).ok_or(Damaged)
            },
            &mut entries,
        );
        if taken.is_err() {
            // What was just written does not read: a fault of this program.
            self.fail("register.damaged");
            return;
        }
        if self.register.apply(&entries, at) > WAITING
            && let Err(e) = self.register.step()
        {
            self.register_failed(&e);
        }
    }

    /// Says that the register cannot be asked or written.
    pub(super) fn register_failed(&self, e: &RegisterError) {
        tracing::error!(code = e.explain().code(), "{}", e.explain().english());
        if e.must_rebuild() {
            self.fail("register.damaged");
        }
    }

    /// What the register has under a key.
    ///
    /// # Errors
    /// It does not answer; what was wrong is in the log.
    pub(super) fn registered(&self, key: &[u8; 16]) -> Result<Option<Registered>, RefusalCode> {
        match self.register.get(key) {
            Ok(None) => Ok(None),
            Ok(Some(value)) => Registered::parse(&value).map(Some).map_err(|_| RefusalCode::DiskFailed),
            Err(e) => {
                self.register_failed(&e);
                Err(RefusalCode::DiskFailed)
            }
        }
    }

    /// Were lines taken while no register was kept?
    pub(super) fn has_older_lines(&self) -> Result<bool, RefusalCode> {
        Ok(self.registered(&register::KEPT_NONE)?.is_some())
    }
}

/// Asks the register and remembers whether it ever did not answer: what was decided then counts for nothing.
pub(super) struct Asking<'n> {
    node: &'n Node,
    failed: RefCell<Option<RefusalCode>>,
}

impl<'n> Asking<'n> {
    pub(super) fn new(node: &'n Node) -> Self {
        Self { node, failed: RefCell::default() }
    }

    pub(super) fn registered(&self, key: &[u8; 16]) -> Option<Registered> {
        self.node.registered(key).unwrap_or_else(|e| {
            *self.failed.borrow_mut() = Some(e);
            None
        })
    }

    /// # Errors
    /// It did not answer.
    pub(super) fn end(self) -> Result<(), RefusalCode> {
        self.failed.into_inner().map_or(Ok(()), Err)
    }
}
