//! Why a node could not be opened.

use super::queue_fault::QueueFault;
use crate::keyring::KeyringError;
use std::fmt;
use xinqiao_explain::Explain;
use xinqiao_store::{OpenError, ReadError, RegisterError};

/// A node that could not be opened. Nothing was changed.
#[derive(Debug)]
pub enum OpenNodeError {
    /// The catalogue does not load.
    Catalogue(String),
    /// The keys are unusable.
    Keyring(KeyringError),
    /// The store does not open.
    Store(OpenError),
    /// Something stored does not read.
    Read(ReadError),
    /// The queue cannot be built.
    Queue(String),
    /// The log files do not open.
    Log(String),
    /// The register does not open.
    Register(RegisterError),
}

impl fmt::Display for OpenNodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Catalogue(e) | Self::Queue(e) | Self::Log(e) => f.write_str(e),
            Self::Keyring(e) => write!(f, "{e}"),
            Self::Store(e) => {
                write!(f, "{}: {} {}", e.explain().code(), e.explain().english(), e.explain().chinese())
            }
            Self::Register(e) => {
                write!(f, "{}: {} {}", e.explain().code(), e.explain().english(), e.explain().chinese())
            }
            Self::Read(e) => {
                write!(f, "{}: {} {}", e.explain().code(), e.explain().english(), e.explain().chinese())
            }
        }
    }
}
impl std::error::Error for OpenNodeError {}

macro_rules! from {
    ($($source:ty => $variant:ident),+) => { $(
        impl From<$source> for OpenNodeError {
            fn from(e: $source) -> Self { Self::$variant(e) }
        }
    )+ };
}
from!(KeyringError => Keyring, OpenError => Store, ReadError => Read);

impl From<QueueFault> for OpenNodeError {
    fn from(e: QueueFault) -> Self {
        Self::Queue(e.to_string())
    }
}
