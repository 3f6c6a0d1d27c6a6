//! Failures of reading a part of a file: a limit that was reached, a damaged file, a disk that went away.

use std::fmt;
use std::io;

use crate::fault::{self, Fault, Problem};

/// A limit that was reached, told through the error of a reader.
#[derive(Debug)]
pub(crate) struct Limit {
    problem: &'static Problem,
    limit: u64,
}

impl Limit {
    pub(crate) fn error(problem: &'static Problem, limit: u64) -> io::Error {
        io::Error::other(Limit { problem, limit })
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.problem.code, self.limit)
    }
}

impl std::error::Error for Limit {}

/// What an error of reading says about the file.
pub(crate) fn judged(error: &io::Error) -> Fault {
    if let Some(limit) = error.get_ref().and_then(|inner| inner.downcast_ref::<Limit>()) {
        return Fault::of_file(limit.problem).with(limit.limit);
    }
    match error.kind() {
        io::ErrorKind::InvalidData
        | io::ErrorKind::InvalidInput
        | io::ErrorKind::UnexpectedEof
        | io::ErrorKind::Unsupported
        | io::ErrorKind::Other => Fault::of_file(&fault::FILE_DAMAGED),
        _ => Fault::of_file(&fault::FILE_UNREADABLE),
    }
}
