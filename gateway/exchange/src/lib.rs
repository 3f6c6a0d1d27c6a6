//! The exchange domain of Xinqiao (信桥): what happens to a record between the moment it is decoded and the moment
//! its recall is confirmed. No I/O, no clock, no randomness: time, revisions and rows come in, events go out.
//!
//! A submission is validated by [`accept`], gathered with others into a frame by [`group`], and becomes state by
//! [`state`]. Batches are made by [`seal`]. The server runs these against the journal and the queue.

pub mod accept;
pub mod contradiction;
pub mod event;
pub mod findings;
pub mod governance;
pub mod group;
pub mod known;
pub mod names;
pub mod op;
pub mod order;
pub mod output;
pub mod payload;
pub mod plan;
pub mod publication;
pub mod recall_revs;
pub mod register;
pub mod revs;
pub mod seal;
pub mod secrets;
pub mod source;
pub mod state;
pub mod table;
pub mod tombstones;
pub mod varint;
