//! Links to other organisations' machines that this node opens itself: upstream nodes it follows, and recipients it
//! pushes to. For each, `machine.rs` decides what comes next and does nothing itself; the file above it does what the machine
//! says, over the network and with the node, and tells it how that ended.

mod backoff;
pub mod push;
pub mod relay;
