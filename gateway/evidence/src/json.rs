//! JSON as evidence needs it: one reading per text. Duplicate members, trailing bytes, deep nesting and oversize are
//! refused, because two readers that disagree about a signed text make the signature worthless.

use std::fmt;

use serde::de::{DeserializeOwned, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Number, Value};

use crate::explain::explained;

/// The largest integer that every JSON reader keeps exactly (2^53 - 1); larger ones are refused everywhere.
pub const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// Nesting beyond this is refused.
const MAX_DEPTH: usize = 32;

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
        } => "json.malformed", "line {line}, column {column}: not JSON as expected here (syntax, duplicate or unknown member, wrong type, or nesting over 32)",
             "第 {line} 行第 {column} 列：不符合此处要求的 JSON（语法错误、成员重复或未知、类型不符，或嵌套超过 32 层）";
        /// A number that not every reader keeps exactly.
        UnsafeNumber => "json.unsafe-number", "a number is outside ±(2^53-1) or not finite; send it as a string", "数字超出 ±(2^53-1) 或非有限数；请改用字符串";
    }
}

impl JsonError {
    pub(crate) fn at(error: &serde_json::Error) -> Self {
        Self::Malformed { line: error.line(), column: error.column() }
    }
}

/// Reads `bytes` into `T`, after a check that no object anywhere in it repeats a member.
pub(crate) fn from_slice<T: DeserializeOwned>(bytes: &[u8], cap: usize) -> Result<T, JsonError> {
    let value = parse(bytes, cap)?;
    drop(value);
    serde_json::from_slice(bytes).map_err(|error| JsonError::at(&error))
}

/// Reads any JSON value strictly.
pub(crate) fn parse(bytes: &[u8], cap: usize) -> Result<Value, JsonError> {
    if bytes.len() > cap {
        return Err(JsonError::TooLarge { cap });
    }
    let Strict(value) = serde_json::from_slice(bytes).map_err(|error| JsonError::at(&error))?;
    if depth(&value) > MAX_DEPTH {
        return Err(JsonError::Malformed { line: 1, column: 1 });
    }
    Ok(value)
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("JSON without duplicate members")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number is not finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let Strict(value) = members.next_value()?;
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("duplicate member"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicate_members_are_refused_at_any_depth() {
        assert!(parse(br#"{"a":1,"b":{"a":1}}"#, 100).is_ok());
        for wrong in
            [r#"{"a":1,"a":2}"#, r#"[{"x":{"a":1,"\u0061":1}}]"#, r#"{"a":1} x"#, r#"{"a":1e999}"#, "", "{"]
        {
            assert!(parse(wrong.as_bytes(), 100).is_err(), "{wrong}");
        }
    }

    #[test]
    fn caps_hold() {
        assert_eq!(parse(b"[1,2]", 4), Err(JsonError::TooLarge { cap: 4 }));
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(parse(deep(32).as_bytes(), 10_000).is_ok());
        assert!(parse(deep(33).as_bytes(), 10_000).is_err());
        assert!(parse(deep(5_000).as_bytes(), 10_000).is_err());
    }
}
