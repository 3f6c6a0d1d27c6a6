//! What officers decided, as data: laid over the configuration's files, kept whole as a document of the journal.
//!
//! Who may decide what, and how a decision is put into force, is the server's governance.

mod adopted;
mod overlay;

pub use adopted::{Adopted, Unusable, canonical, roster, settled};
pub use overlay::{FileSet, Overlay, OverlayAnchor};
