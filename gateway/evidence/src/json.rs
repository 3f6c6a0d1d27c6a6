//! JSON as evidence needs it: one reading per text. Duplicate members, trailing bytes, deep nesting and oversize are
//! refused, because two readers that disagree about a signed text make the signature worthless.
//!
//! Texts come from strangers, so no tree of values is built of them. A text is read straight into the type that is wanted,
//! and then walked once more by [`check`], which keeps nothing but the member names of the objects that are open at
//! the time. A tree of a text of small values takes twenty times the text and a second per 10 MiB.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::explain::explained;

/// The largest integer that every JSON reader keeps exactly (2^53 - 1); larger ones are refused everywhere.
pub const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// Nesting beyond this is refused.
const MAX_DEPTH: usize = 32;

/// More member names than this in the objects open at one place are refused: no document of this system has a hundredth of
/// them, and they are what a reading has to keep.
const MAX_NAMES: usize = 65_536;

/// Up to so many names of one object are compared one by one; a set costs more.
const FEW_NAMES: usize = 16;

explained! {
    /// A text is not JSON that every reader would read alike.
    pub enum JsonError {
        /// Above the cap for its kind.
        TooLarge {
            /// The cap in bytes.
            cap: usize
        } => "json.too-large", "the JSON text exceeds {cap} bytes; the sender must split it", "JSON 文本超过 {cap} 字节；请发送方拆分";
        /// Not JSON, a duplicate member, nested too deep, or trailing bytes.
        Malformed {
            /// Line, from 1.
            line: usize,
            /// Column, from 1.
            column: usize
        } => "json.malformed", "line {line}, column {column}: not JSON as expected here (syntax, duplicate or unknown member, wrong type, nesting over 32, or over 65536 names)",
             "第 {line} 行第 {column} 列：不符合此处要求的 JSON（语法错误、成员重复或未知、类型不符、嵌套超过 32 层，或名称超过 65536 个）";
        /// A number that not every reader keeps exactly.
        UnsafeNumber => "json.unsafe-number", "a number is outside ±(2^53-1) or not finite; send it as a string", "数字超出 ±(2^53-1) 或非有限数；请改用字符串";
    }
}

impl JsonError {
    pub(crate) fn at(error: &serde_json::Error) -> Self {
        Self::Malformed { line: error.line(), column: error.column() }
    }
}

/// Reads `bytes` into `T`, and checks that no object anywhere in it repeats a member.
///
/// `T` comes first: it knows which members there may be, so most of what is not wanted ends there, having cost
/// nothing. Both readings must pass, so their order decides nothing else.
pub(crate) fn from_slice<'a, T: Deserialize<'a>>(bytes: &'a [u8], cap: usize) -> Result<T, JsonError> {
    if bytes.len() > cap {
        return Err(JsonError::TooLarge { cap });
    }
    let read = serde_json::from_slice(bytes).map_err(|error| JsonError::at(&error))?;
    check(bytes, cap)?;
    Ok(read)
}

/// Whether `bytes` are JSON of at most `cap` bytes that every reader reads alike. Memory: the names of open objects.
pub(crate) fn check(bytes: &[u8], cap: usize) -> Result<(), JsonError> {
    if bytes.len() > cap {
        return Err(JsonError::TooLarge { cap });
    }
    let mut names = MAX_NAMES;
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    Strict { depth: 0, names: &mut names }
        .deserialize(&mut reader)
        .and_then(|()| reader.end())
        .map_err(|error| JsonError::at(&error))
}

/// One value, walked and forgotten.
struct Strict<'a> {
    /// Containers it stands in.
    depth: usize,
    /// Names that may still be kept.
    names: &'a mut usize,
}

impl Strict<'_> {
    fn inner<E: serde::de::Error>(&mut self) -> Result<Strict<'_>, E> {
        if self.depth == MAX_DEPTH {
            return Err(E::custom("nested too deep"));
        }
        Ok(Strict { depth: self.depth + 1, names: self.names })
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        // Not `deserialize_ignored_any`: that would pass over text that is not UTF-8, and lone surrogates.
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("JSON without duplicate members")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        if value.is_finite() { Ok(()) } else { Err(E::custom("number is not finite")) }
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        let inner = self.inner()?;
        while items.next_element_seed(Strict { depth: inner.depth, names: inner.names })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        let inner = self.inner()?;
        let mut names = Names::default();
        while let Some(Name(name)) = members.next_key()? {
            *inner.names = inner.names.checked_sub(1).ok_or_else(|| A::Error::custom("too many names"))?;
            if !names.insert(name) {
                return Err(A::Error::custom("duplicate member"));
            }
            members.next_value_seed(Strict { depth: inner.depth, names: inner.names })?;
        }
        *inner.names += names.len();
        Ok(())
    }
}

/// The names one object has had so far.
#[derive(Default)]
struct Names<'de> {
    few: Vec<Cow<'de, str>>,
    many: HashSet<Cow<'de, str>>,
}

impl<'de> Names<'de> {
    /// False if it was there.
    fn insert(&mut self, name: Cow<'de, str>) -> bool {
        if self.many.is_empty() {
            if self.few.contains(&name) {
                return false;
            }
            if self.few.len() < FEW_NAMES {
                self.few.push(name);
                return true;
            }
            self.many.extend(self.few.drain(..));
        }
        self.many.insert(name)
    }

    fn len(&self) -> usize {
        self.few.len() + self.many.len()
    }
}

/// A name, borrowed from the text unless it is written with escapes.
struct Name<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// The members of an object that passed [`check`], each as its text.
pub(crate) fn object(bytes: &[u8]) -> Option<BTreeMap<String, &RawValue>> {
    serde_json::from_slice(bytes).ok()
}

/// The first `most` items of an array, and whether there are more. Those are read too, as the same type, and let go.
pub(crate) fn at_most<'de, T, D>(most: usize, deserializer: D) -> Result<(Vec<T>, bool), D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    struct Items<T>(usize, PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Items<T> {
        type Value = (Vec<T>, bool);

        fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            out.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
            let (mut kept, mut more) = (Vec::new(), false);
            while let Some(item) = items.next_element()? {
                if kept.len() < self.0 { kept.push(item) } else { more = true }
            }
            Ok((kept, more))
        }
    }
    deserializer.deserialize_seq(Items(most, PhantomData))
}

/// A string cut off after `most` characters, for rules that a longer one breaks just as well.
pub(crate) fn cut<'de, D: Deserializer<'de>>(most: usize, deserializer: D) -> Result<String, D::Error> {
    struct Short(usize);
    impl Visitor<'_> for Short {
        type Value = String;

        fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            out.write_str("a string")
        }

        fn visit_str<E>(self, text: &str) -> Result<String, E> {
            let end = text.char_indices().nth(self.0).map_or(text.len(), |(at, _)| at);
            Ok(text[..end].to_owned())
        }
    }
    deserializer.deserialize_str(Short(most))
}

/// Any value, even `null`, counts as present.
pub(crate) fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<()>, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| Some(()))
}

#[cfg(test)]
mod tests;
