//! Errors that a person must act on: a stable code for programs, one English and one Chinese sentence for people.

/// What every error of this crate can say of itself. None of the sentences repeats a value of a record.
pub trait Explain: std::error::Error {
    /// Stable, kebab-case with dots, e.g. `manifest.not-signed`.
    fn code(&self) -> &'static str;
    /// What is wrong, where, and what to do, in English; the same as `Display`.
    fn english(&self) -> String {
        self.to_string()
    }
    /// The same sentence in Chinese.
    fn chinese(&self) -> String;
}

/// Declares an error enum whose variants carry `code, English, Chinese`; the sentences may name the variant's fields.
/// What it `wraps` speaks for itself.
macro_rules! explained {
    (
        $(#[$meta:meta])*
        pub enum $name:ident {
            $(
                $(#[$vmeta:meta])*
                $variant:ident $({ $($(#[$fmeta:meta])* $field:ident : $ty:ty),+ $(,)? })?
                    => $code:literal, $english:literal, $chinese:literal;
            )+
        }
        $( wraps { $( $(#[$wmeta:meta])* $wrapper:ident($wrapped:ty) ),+ $(,)? } )?
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum $name {
            $(
                $(#[$vmeta])*
                $variant $({ $($(#[$fmeta])* $field : $ty),+ })?,
            )+
            $( $( $(#[$wmeta])* $wrapper($wrapped), )+ )?
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self {
                    $( Self::$variant $({ $($field),+ })? => { $($(let _ = $field;)+)? write!(out, $english) } )+
                    $( $( Self::$wrapper(inner) => std::fmt::Display::fmt(inner, out), )+ )?
                }
            }
        }

        impl std::error::Error for $name {}

        impl $crate::explain::Explain for $name {
            fn code(&self) -> &'static str {
                match self {
                    $( Self::$variant $({ $($field: _),+ })? => $code, )+
                    $( $( Self::$wrapper(inner) => $crate::explain::Explain::code(inner), )+ )?
                }
            }

            fn chinese(&self) -> String {
                match self {
                    $( Self::$variant $({ $($field),+ })? => { $($(let _ = $field;)+)? format!($chinese) } )+
                    $( $( Self::$wrapper(inner) => $crate::explain::Explain::chinese(inner), )+ )?
                }
            }
        }

        $( $(
            impl From<$wrapped> for $name {
                fn from(inner: $wrapped) -> Self {
                    Self::$wrapper(inner)
                }
            }
        )+ )?
    };
}

pub(crate) use explained;
