//! What opens any file of the store: the data directory and the at-rest keys in force. Archives and indexes need no more.

use parking_lot::RwLock;

use crate::{AtRestKeys, DataDir};

/// The directory, and the keys that wrap the data keys in it.
pub(crate) struct AtRest {
    pub(crate) dir: DataDir,
    /// Replaced whole when the at-rest key changes.
    pub(crate) keys: RwLock<AtRestKeys>,
}
