//! The server: the node behind its listeners.
//!
//! [`trust`] is the trust set in force, [`governance`] what officers decide, [`links`] what this node dials itself,
//! [`routes`] the table each HTTP listener is read from, [`api`] the exchange API, [`admin`] the officers' API,
//! [`officers`] what is said there, [`serve`] puts them together. What a record becomes is decided below, in the node; how
//! a byte gets here, in the edge.

pub mod admin;
pub mod api;
pub mod governance;
pub mod links;
pub mod officers;
pub mod routes;
pub mod serve;
pub mod trust;
