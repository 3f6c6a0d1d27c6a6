//! What an error of the store says to people: a stable code, and one sentence in each language that names the place
//! and the remedy. Stored values never appear in it.

/// A message for the person who runs the node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Explanation {
    /// Stable identifier, kebab-case with dots.
    pub code: &'static str,
    /// What, where, what to do.
    pub english: String,
    /// The same in Chinese.
    pub chinese: String,
}

impl Explanation {
    pub(crate) fn new(code: &'static str, english: String, chinese: String) -> Self {
        Self { code, english, chinese }
    }
}

/// `Display` of an error is its English sentence; `Error::source` is the cause where there is one.
macro_rules! explained {
    ($error:ty, $source:ident) => {
        impl std::fmt::Display for $error {
            fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str(&self.explain().english)
            }
        }
        impl std::error::Error for $error {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                Self::$source(self)
            }
        }
    };
}
pub(crate) use explained;
