//! Errors that a person must act on: a stable code for programs, one English and one Chinese sentence for people.

/// Declares an error enum whose variants carry `code, English, Chinese`; the sentences may name the variant's fields.
/// For a variant that `wraps` another error, that error's code and texts are used.
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

        impl $name {
            /// Stable, kebab-case with dots.
            pub fn code(&self) -> &'static str {
                match self {
                    $( Self::$variant $({ $($field: _),+ })? => $code, )+
                    $( $( Self::$wrapper(inner) => inner.code(), )+ )?
                }
            }

        }

        impl xinqiao_explain::Explain for $name {
            fn explain(&self) -> xinqiao_explain::Explanation {
                match self {
                    $( Self::$variant $({ $($field),+ })? => {
                        $($(let _ = $field;)+)?
                        xinqiao_explain::Explanation::new($code, format!($english), format!($chinese))
                    } )+
                    $( $( Self::$wrapper(inner) => xinqiao_explain::Explain::explain(inner), )+ )?
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

#[cfg(test)]
mod tests {
    use crate::manifest::ManifestError;
    use crate::merkle::MerkleError;
    use crate::receipt::ReceiptError;
    use crate::tlog::TlogError;
    use xinqiao_explain::Explain;

    #[test]
    fn what_is_wrapped_speaks_for_itself_in_both_languages() {
        let error = ReceiptError::from(TlogError::from(MerkleError::OutOfRange { index: 7, size: 3 }));
        assert_eq!(error.code(), "merkle.out-of-range");
        assert_eq!(error.english(), "entry or tree 7 is not within a tree of 3 leaves");
        assert_eq!(error.chinese(), "条目或旧树 7 不在大小为 3 的树内");
        assert_eq!(ManifestError::KeyTime.code(), "manifest.key-time");
    }

    /// Codes are a contract: every one in the sources is unique and in kebab-case with dots.
    #[test]
    fn codes_are_unique_and_well_formed() {
        let sources = [
            include_str!("acknowledgement.rs"),
            include_str!("chain.rs"),
            include_str!("entry.rs"),
            include_str!("json.rs"),
            include_str!("jws.rs"),
            include_str!("endorsement.rs"),
            include_str!("keys/jwk.rs"),
            include_str!("manifest.rs"),
            include_str!("manifest/payload.rs"),
            include_str!("merkle/proof.rs"),
            include_str!("receipt.rs"),
            include_str!("tlog/note.rs"),
        ];
        let mut codes = std::collections::BTreeSet::new();
        let declarations = sources.iter().flat_map(|source| source.split("=> \"").skip(1));
        for code in declarations
            .filter_map(|rest| rest.split('"').next())
            .filter(|code| code.find('.').is_some_and(|dot| dot > 0))
        {
            assert!(code.split('.').all(crate::names::is_word), "{code}");
            assert!(codes.insert(code), "{code} is declared twice");
        }
        assert!(codes.len() > 50, "{codes:?}");
    }
}
