//! Circles between the modules of one crate: `a` needs `b` and `b` needs `a`, directly or by way of others.
//!
//! A module is a file or folder; `thing.rs` and `thing/` are one. In each folder the modules beside one another are
//! looked at, each with all that lies below it. What a module and the one it lies in need of each other is not a circle.
//! Needs are read from `use` lines and from paths in the code; a name that a module only passes on (`pub use`) is
//! followed to where it is. Tests inside the sources are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The circles that are allowed to be there, with the reason: none.
const ALLOWED: [(&str, &str); 0] = [];

#[test]
fn modules_of_a_crate_need_each_other_in_one_direction() {
    let mut found = Vec::new();
    for manifest in super::tracked().into_iter().filter(|p| p.ends_with("Cargo.toml") && p != "Cargo.toml") {
        let source = super::root().join(&manifest).with_file_name("src");
        found.extend(circles(&source).into_iter().map(|c| {
            let folder = manifest.trim_end_matches("/Cargo.toml");
            (format!("{folder}: {}", c.modules.join(" ↔ ")), c.because)
        }));
    }
    let text: Vec<_> =
        found.iter().map(|(name, because)| format!("{name}\n    {}", because.join("\n    "))).collect();
    let names: BTreeSet<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    let allowed: BTreeSet<&str> = ALLOWED.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, allowed, "{} circles:\n{}", found.len(), text.join("\n"));
}

#[test]
fn circles_are_found_through_paths_uses_and_names_passed_on() {
    let crate_of = |files: &[(&str, &str)]| {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        circles(dir.path()).into_iter().map(|c| c.modules.join(" ↔ ")).collect::<Vec<_>>()
    };
    let none: &[&str] = &[];
    // A module and the one it lies in; a name in a comment, a text or a test.
    let quiet =
        "//! crate::b::x\nfn f() { let _ = \"crate::b::x\"; }\n#[cfg(test)] mod tests { use crate::b::x; }";
    let parent = "pub mod deep; pub struct Own; fn f() { deep::g() }";
    let files = [
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", quiet),
        ("b.rs", parent),
        ("b/deep.rs", "use super::Own; use crate::a::f;"),
    ];
    assert_eq!(crate_of(&files), none);
    // A path without `use`, and a `use` of what the root passes on.
    let passed = "mod a; mod b; pub use b::{Thing, Other as Renamed};";
    let files = [
        ("lib.rs", passed),
        ("a.rs", "use crate::{std_thing, Renamed};"),
        ("b.rs", "fn f() { crate::a::g() }"),
    ];
    assert_eq!(crate_of(&files), ["a ↔ b"]);
    // Three in a ring, one of them by way of a file below it; and two below one folder.
    let files = [
        ("lib.rs", "mod a; mod b; mod c;"),
        ("a.rs", "mod one; mod two;"),
        ("a/one.rs", "use super::super::b; use super::two::X;"),
        ("a/two.rs", "mod inner { fn f(x: super::super::one::Y) {} }"),
        ("b.rs", "use super::c::*;"),
        ("c.rs", "use crate::a::one::Y;"),
    ];
    assert_eq!(crate_of(&files), ["a ↔ b ↔ c", "a::one ↔ a::two"]);
}

struct Circle {
    modules: Vec<String>,
    /// One line of source for each need within the circle.
    because: Vec<String>,
}

/// All circles of the crate whose sources lie in `source`; none if there are no sources.
fn circles(source: &Path) -> Vec<Circle> {
    let mut modules = BTreeMap::new();
    read(source, &mut Vec::new(), &mut modules);
    let known: BTreeSet<Vec<String>> = modules.keys().cloned().collect();
    let files: Modules =
        modules.into_iter().map(|(m, text)| (m.clone(), File::read(&text, &m, &known))).collect();
    // For each folder, who needs whom among the modules in it, with one example.
    let mut needs: BTreeMap<Vec<String>, Needs> = BTreeMap::new();
    for (module, file) in &files {
        for (from, path) in &file.paths {
            let Some(target) = resolve(&files, from, path, 0) else { continue };
            let same = module.iter().zip(&target).take_while(|(a, b)| a == b).count();
            if same < module.len() && same < target.len() {
                let example = format!("{} needs {}", module.join("::"), path.join("::"));
                let pair = (module[same].clone(), target[same].clone());
                needs.entry(module[..same].to_vec()).or_default().entry(pair).or_insert(example);
            }
        }
    }
    let mut found = Vec::new();
    for (folder, needs) in needs {
        for modules in components(&needs) {
            let within = |(a, b): &(String, String)| modules.contains(a) && modules.contains(b);
            let because =
                needs.iter().filter(|(pair, _)| within(pair)).map(|(_, text)| text.clone()).collect();
            let name =
                |m: &String| folder.iter().chain([m]).map(String::as_str).collect::<Vec<_>>().join("::");
            found.push(Circle { modules: modules.iter().map(name).collect(), because });
        }
    }
    found
}

type Modules = BTreeMap<Vec<String>, File>;
type Needs = BTreeMap<(String, String), String>;

/// Reads every file below `dir` as the module it is.
fn read(dir: &Path, module: &mut Vec<String>, into: &mut BTreeMap<Vec<String>, String>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default().to_owned();
        if path.is_dir() {
            module.push(stem);
            read(&path, module, into);
            module.pop();
        } else if path.extension().is_some_and(|e| e == "rs") && stem != "tests" {
            let root = module.is_empty() && matches!(stem.as_str(), "lib" | "main");
            let name = module.iter().cloned().chain((!root).then_some(stem)).collect();
            let text = std::fs::read_to_string(&path).expect("a source file is UTF-8");
            into.entry(name).or_default().push_str(&text);
        }
    }
}

/// What one file names.
struct File {
    /// Each path with the module it is written in (a module written inside the file counts).
    paths: Vec<(Vec<String>, Vec<String>)>,
    /// Names brought in by `use`, and what they stand for.
    uses: BTreeMap<String, Vec<String>>,
}

impl File {
    fn read(text: &str, module: &[String], known: &BTreeSet<Vec<String>>) -> Self {
        let tokens = without_tests(tokens(text));
        let mut file = Self { paths: Vec::new(), uses: BTreeMap::new() };
        let (mut at, mut here, mut depth, mut opened) = (0, module.to_vec(), 0, Vec::new());
        while at < tokens.len() {
            match tokens[at].as_str() {
                "{" => depth += 1,
                "}" => {
                    depth -= 1;
                    if opened.last() == Some(&depth) {
                        opened.pop();
                        here.pop();
                    }
                }
                "mod" if tokens.get(at + 2).is_some_and(|t| t == "{") => {
                    here.push(tokens[at + 1].clone());
                    opened.push(depth);
                }
                "use" if at == 0 || tokens[at - 1] != "$" => {
                    let mut leaves = Vec::new();
                    at = use_tree(&tokens, at + 1, &[], &mut leaves);
                    for (path, name) in leaves {
                        if here == module {
                            file.uses.insert(name, path.clone());
                        }
                        file.paths.push((here.clone(), path));
                    }
                    continue;
                }
                first if is_name(first) && (at == 0 || tokens[at - 1] != "::") => {
                    let mut path = vec![first.to_owned()];
                    while tokens.get(at + 1).is_some_and(|t| t == "::")
                        && tokens.get(at + 2).is_some_and(|t| is_name(t))
                    {
                        path.push(tokens[at + 2].clone());
                        at += 2;
                    }
                    let child = here.iter().cloned().chain([first.to_owned()]).collect::<Vec<_>>();
                    if path.len() > 1
                        && (matches!(first_of(&path), "crate" | "super" | "self") || known.contains(&child))
                    {
                        file.paths.push((here.clone(), path));
                    }
                }
                _ => {}
            }
            at += 1;
        }
        file
    }
}

fn first_of(path: &[String]) -> &str {
    path.first().map_or("", String::as_str)
}

/// The module a path leads to; `None` if it leads out of the crate.
fn resolve(files: &Modules, from: &[String], path: &[String], depth: usize) -> Option<Vec<String>> {
    let mut module = from.to_vec();
    let mut rest = path;
    match first_of(path) {
        "crate" => module.clear(),
        "self" | "super" => {}
        name => {
            let mut child = module.clone();
            child.push(name.to_owned());
            files.contains_key(&child).then_some(())?;
        }
    }
    while let Some((name, after)) = rest.split_first() {
        match name.as_str() {
            "crate" | "self" => {}
            "super" => drop(module.pop()),
            _ => {
                module.push(name.clone());
                if !files.contains_key(&module) {
                    module.pop();
                    break;
                }
            }
        }
        rest = after;
    }
    // Passed on from elsewhere?
    if let Some(name) = rest.first()
        && let Some(meant) = files.get(&module).and_then(|f| f.uses.get(name))
        && depth < 8
    {
        return resolve(files, &module, meant, depth + 1).or(Some(module));
    }
    Some(module)
}

/// Reads a tree of `use` from `at`; returns the place behind it.
fn use_tree(
    tokens: &[String],
    mut at: usize,
    before: &[String],
    leaves: &mut Vec<(Vec<String>, String)>,
) -> usize {
    let mut path = before.to_vec();
    while let Some(token) = tokens.get(at) {
        match token.as_str() {
            "::" => {}
            "{" => {
                at += 1;
                while tokens.get(at).is_some_and(|t| t != "}" && t != ";") {
                    at = use_tree(tokens, at, &path, leaves);
                    at += usize::from(tokens.get(at).is_some_and(|t| t == ","));
                }
                return at + 1;
            }
            "as" => {
                leaves.push((path, tokens.get(at + 1).cloned().unwrap_or_default()));
                return at + 2;
            }
            "," | "}" | ";" => break,
            "self" if !path.is_empty() => {}
            _ => path.push(token.clone()),
        }
        at += 1;
    }
    let name = path.last().cloned().unwrap_or_default();
    leaves.push((path, name));
    at
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Names, `::` and single signs; comments, texts, characters and lifetimes are left out.
fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let is = |at: usize, wanted: &str| wanted.chars().enumerate().all(|(n, c)| chars.get(at + n) == Some(&c));
    let mut out: Vec<String> = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let c = chars[at];
        if is(at, "//") {
            while at < chars.len() && chars[at] != '\n' {
                at += 1;
            }
        } else if is(at, "/*") {
            while at < chars.len() && !is(at, "*/") {
                at += 1;
            }
            at += 2;
        } else if c == '"' {
            at += 1;
            while at < chars.len() && chars[at] != '"' {
                at += if chars[at] == '\\' { 2 } else { 1 };
            }
            at += 1;
        } else if c == 'r' && (is(at + 1, "\"") || is(at + 1, "#\"") || is(at + 1, "##\"")) {
            let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
            let end = format!("\"{}", "#".repeat(hashes));
            at += 2 + hashes;
            while at < chars.len() && !is(at, &end) {
                at += 1;
            }
            at += end.len();
        } else if c == '\'' {
            // A character or a lifetime.
            match (chars.get(at + 1), chars.get(at + 2)) {
                (Some('\\'), _) => {
                    at += 3;
                    while at < chars.len() && chars[at] != '\'' {
                        at += 1;
                    }
                    at += 1;
                }
                (_, Some('\'')) => at += 3,
                _ => {
                    at += 1;
                    while at < chars.len() && (chars[at].is_alphanumeric() || chars[at] == '_') {
                        at += 1;
                    }
                }
            }
        } else if c.is_alphanumeric() || c == '_' {
            let from = at;
            while at < chars.len() && (chars[at].is_alphanumeric() || chars[at] == '_') {
                at += 1;
            }
            out.push(chars[from..at].iter().collect());
            // A byte string or byte: its prefix is no name.
            if matches!(out.last().map(String::as_str), Some("b" | "br" | "c"))
                && matches!(chars.get(at), Some('"' | '\''))
            {
                out.pop();
            }
        } else if is(at, "::") {
            out.push("::".into());
            at += 2;
        } else {
            if !c.is_whitespace() {
                out.push(c.into());
            }
            at += 1;
        }
    }
    out
}

/// Leaves out each item below `#[cfg(test)]`.
fn without_tests(tokens: Vec<String>) -> Vec<String> {
    let mark = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut out = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at..].len() >= mark.len() && tokens[at..].iter().zip(mark).all(|(a, b)| a == b) {
            at += mark.len();
            let mut depth = 0;
            while at < tokens.len() {
                match tokens[at].as_str() {
                    "{" => depth += 1,
                    "}" => depth -= 1,
                    _ => {}
                }
                let end = depth == 0 && matches!(tokens[at].as_str(), "}" | ";");
                at += 1;
                if end {
                    break;
                }
            }
        } else {
            out.push(tokens[at].clone());
            at += 1;
        }
    }
    out
}

/// Groups of modules that all need one another, directly or not; only those with more than one.
fn components(needs: &Needs) -> Vec<Vec<String>> {
    let names: BTreeSet<&String> = needs.keys().flat_map(|(a, b)| [a, b]).collect();
    let reach = |from: &String| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from.clone()]);
        while let Some(name) = open.pop() {
            for (_, to) in needs.keys().filter(|(a, _)| *a == name) {
                if seen.insert(to.clone()) {
                    open.push(to.clone());
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&String, BTreeSet<String>> = names.iter().map(|n| (*n, reach(n))).collect();
    let mut groups = BTreeSet::new();
    for name in &names {
        let group: Vec<String> =
            reached[name].iter().filter(|other| reached[other].contains(*name)).cloned().collect();
        if group.len() > 1 {
            groups.insert(group);
        }
    }
    groups.into_iter().collect()
}
