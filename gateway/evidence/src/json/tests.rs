//! The streaming reading takes exactly what a reading into a tree of values takes, and keeps no tree.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// A reading into a tree, as simple as it can be: what the streaming one is held against.
mod tree {
    use super::*;

    pub(super) enum Tree {
        Leaf,
        Array(Vec<Tree>),
        Object(BTreeMap<String, Tree>),
    }

    pub(super) fn accepts(bytes: &[u8]) -> bool {
        serde_json::from_slice::<Tree>(bytes).is_ok_and(|tree| depth(&tree) <= MAX_DEPTH)
    }

    fn depth(tree: &Tree) -> usize {
        match tree {
            Tree::Leaf => 0,
            Tree::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
            Tree::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        }
    }

    impl<'de> Deserialize<'de> for Tree {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_any(Grow)
        }
    }

    struct Grow;

    impl<'de> Visitor<'de> for Grow {
        type Value = Tree;

        fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            out.write_str("JSON without duplicate members")
        }

        fn visit_bool<E>(self, _: bool) -> Result<Tree, E> {
            Ok(Tree::Leaf)
        }

        fn visit_i64<E>(self, _: i64) -> Result<Tree, E> {
            Ok(Tree::Leaf)
        }

        fn visit_u64<E>(self, _: u64) -> Result<Tree, E> {
            Ok(Tree::Leaf)
        }

        fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Tree, E> {
            serde_json::Number::from_f64(value).map(|_| Tree::Leaf).ok_or_else(|| E::custom("not finite"))
        }

        fn visit_str<E>(self, _: &str) -> Result<Tree, E> {
            Ok(Tree::Leaf)
        }

        fn visit_unit<E>(self) -> Result<Tree, E> {
            Ok(Tree::Leaf)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
            let mut array = Vec::new();
            while let Some(item) = items.next_element()? {
                array.push(item);
            }
            Ok(Tree::Array(array))
        }

        fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Tree, A::Error> {
            let mut object = BTreeMap::new();
            while let Some(name) = members.next_key::<String>()? {
                let value = members.next_value()?;
                if object.insert(name, value).is_some() {
                    return Err(A::Error::custom("duplicate member"));
                }
            }
            Ok(Tree::Object(object))
        }
    }
}

#[test]
fn duplicate_members_are_refused_at_any_depth() {
    assert!(check(br#"{"a":1,"b":{"a":1}}"#, 100).is_ok());
    for wrong in
        [r#"{"a":1,"a":2}"#, r#"[{"x":{"a":1,"\u0061":1}}]"#, r#"{"a":1} x"#, r#"{"a":1e999}"#, "", "{"]
    {
        assert!(check(wrong.as_bytes(), 100).is_err(), "{wrong}");
    }
    // Beyond the names that are compared one by one too.
    let names = |last: &str| (0..100).map(|n| format!("\"n{n}\":0,")).collect::<String>() + last;
    assert!(check(format!("{{{}}}", names("\"m\":0")).as_bytes(), 10_000).is_ok());
    for twice in ["\"n0\":0", "\"n15\":0", "\"n16\":0", "\"n99\":0", "\"n\\u0039\":0"] {
        assert!(check(format!("{{{}}}", names(twice)).as_bytes(), 10_000).is_err(), "{twice}");
    }
}

#[test]
fn caps_hold() {
    assert_eq!(check(b"[1,2]", 4), Err(JsonError::TooLarge { cap: 4 }));
    assert_eq!(from_slice::<Vec<u8>>(b"[1,2]", 4), Err(JsonError::TooLarge { cap: 4 }));
    let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    assert!(check(deep(32).as_bytes(), 10_000).is_ok());
    assert!(check(deep(33).as_bytes(), 10_000).is_err());
    assert!(check(deep(5_000).as_bytes(), 10_000).is_err());
}

#[test]
fn names_are_counted_over_the_objects_that_are_open() {
    let object = |names: usize| {
        let members: Vec<String> = (0..names).map(|n| format!("\"{n}\":0")).collect();
        format!("{{{}}}", members.join(","))
    };
    let accepts = |text: String| check(text.as_bytes(), usize::MAX).is_ok();
    assert!(accepts(object(MAX_NAMES)));
    assert!(!accepts(object(MAX_NAMES + 1)));
    // One after the other they cost nothing; one within the other they add up.
    assert!(accepts(format!("[{0},{0},{0}]", object(MAX_NAMES))));
    assert!(accepts(format!("{{\"a\":{0},\"b\":{0}}}", object(MAX_NAMES - 2))));
    assert!(!accepts(format!("{{\"a\":{0},\"b\":{0}}}", object(MAX_NAMES))));
}

#[test]
fn any_json_is_read_as_the_same_members_once_it_passed() {
    let text = br#"{ "a" : [1, {"b":null}] , "\u0062":"x" }"#;
    assert!(check(text, 100).is_ok());
    let members = object(text).unwrap();
    assert_eq!(members["a"].get(), r#"[1, {"b":null}]"#);
    assert_eq!(members["b"].get(), r#""x""#);
    assert!(object(b"[1]").is_none() && object(b"1").is_none());
}

/// JSON, sound but for repeated names and depth, with odd spacing, escapes and numbers.
fn texts() -> impl Strategy<Value = String> {
    let name = || {
        prop_oneof![
            "[ab]",
            Just("\\u0061".to_owned()),
            Just("\\ud83d\\ude00".to_owned()),
            Just("桥".to_owned())
        ]
    };
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("-0".to_owned()),
        Just("1e400".to_owned()),
        Just("123456789012345678901234567890".to_owned()),
        any::<f64>().prop_map(|n| format!("{n:e}")),
        any::<i64>().prop_map(|n| n.to_string()),
        name().prop_map(|text| format!("\"{text}\"")),
    ];
    leaf.prop_recursive(40, 60, 4, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4)
                .prop_map(|items| format!("[{}]", items.join(" ,"))),
            proptest::collection::vec((name(), inner), 0..4).prop_map(|members| {
                let members: Vec<_> =
                    members.iter().map(|(name, value)| format!("\"{name}\" :\n{value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_stream_takes_exactly_what_the_tree_takes(text in texts()) {
        prop_assert_eq!(check(text.as_bytes(), usize::MAX).is_ok(), tree::accepts(text.as_bytes()), "{}", text);
    }

    #[test]
    fn also_of_damaged_texts(text in texts(), at in any::<prop::sample::Index>(), byte in any::<u8>(), what in 0..3u8) {
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len());
        match what {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            _ => bytes.truncate(at),
        }
        prop_assert_eq!(check(&bytes, usize::MAX).is_ok(), tree::accepts(&bytes));
    }

    #[test]
    fn and_of_nesting_around_the_cap(arrays in proptest::collection::vec(any::<bool>(), 28..40)) {
        let open: String = arrays.iter().map(|array| if *array { "[" } else { "{\"a\":" }).collect();
        let close: String = arrays.iter().rev().map(|array| if *array { "]" } else { "}" }).collect();
        let text = format!("{open}0{close}");
        prop_assert_eq!(check(text.as_bytes(), usize::MAX).is_ok(), tree::accepts(text.as_bytes()));
        prop_assert_eq!(tree::accepts(text.as_bytes()), arrays.len() <= MAX_DEPTH);
    }
}
