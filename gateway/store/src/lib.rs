//! The store of a Xinqiao node: one data directory, one writer, everything encrypted at rest.
//!
//! The [`Journal`] is the truth: what it acknowledged survives a power cut. The [`Queue`] (sled) is an index built from
//! it and may be lost at any time, and so is the [`Register`]: small values under many random keys. [`LogFiles`] are the transparency log as C2SP tlog-tiles. The store is opaque about
//! the domain: bytes in, bytes out; what they mean is the exchange's business.

mod bytes;
mod cipher;
mod data_dir;
mod disk;
mod durable;
mod error;
mod explain;
mod journal;
mod keys;
mod log;
mod position;
mod queue;
mod register;

pub use data_dir::DataDir;
pub use disk::{Disk, RealDisk};
pub use error::{AppendError, Damage, Known, OpenError, ReadError, RetireError, Rollback};
pub use journal::{
    Appended, ArchivedItem, Class, Cut, Frame, IdemEntry, IndexWriter, Item, Journal, Options, Reader,
    Recovery, ReplayFrame, ReplayItem, SegmentStats, WallClock,
};
pub use keys::AtRestKeys;
pub use log::{LogError, LogFiles};
pub use position::{ItemRef, Position};
pub use queue::{MAX_KEY, MAX_VALUE, Queue, QueueError, QueueState, Row, Rows};
pub use register::{
    Merge, Register, RegisterError, RegisterOptions, RegisterStats, RegisterValue, RegisterWorker,
};
