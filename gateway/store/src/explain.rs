//! How the errors of the store become errors of Rust. What they say to people is in their `explain`; stored values never
//! appear in it.

/// `Display` of an error is its English sentence; `Error::source` is the cause where there is one.
macro_rules! explained {
    ($error:ty, $source:ident) => {
        impl std::fmt::Display for $error {
            fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str(&xinqiao_explain::Explain::english(self))
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
