//! Links to other organisations' machines that this node opens itself: upstream nodes it follows, and recipients it
//! pushes to.

pub mod push;
pub mod relay;
