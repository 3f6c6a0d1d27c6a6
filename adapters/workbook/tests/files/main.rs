//! Files of departments, read as rows of a schema: text, workbooks made by hand, workbooks that programs of others wrote.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod book;
mod programs;
mod seen;
mod text;
mod xlsx;
