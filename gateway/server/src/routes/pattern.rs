//! A template taken apart when this is compiled, and a path held against it.

/// The most parts after `/v1/`.
const DEPTH: usize = 5;

/// What a template is made of.
#[derive(Clone, Copy)]
enum Part {
    Word(&'static str),
    Name,
    End,
}

/// A template: words that must stand there, and names that may be anything.
#[derive(Clone, Copy)]
pub(super) struct Pattern {
    parts: [Part; DEPTH],
    length: usize,
    with_rest: bool,
}

/// A path, split once.
pub(super) struct Given<'a> {
    parts: [&'a str; DEPTH],
    /// How many parts it has, those beyond `DEPTH` too.
    length: usize,
    /// What follows `/v1/`.
    whole: &'a str,
}

impl Pattern {
    /// Of a template below `/v1/`. Run by the compiler: a template of another shape does not compile.
    pub(super) const fn of(template: &'static str) -> Self {
        let bytes = template.as_bytes();
        assert!(bytes.len() > 4 && matches!(bytes.split_at(4).0, b"/v1/"), "a path begins with /v1/");
        let (mut parts, mut length) = ([Part::End; DEPTH], 0);
        let (mut from, mut at) = (4, 4);
        while at <= bytes.len() {
            if at == bytes.len() || bytes[at] == b'/' {
                assert!(length < DEPTH && at > from, "a path has few parts, and none is empty");
                let part = template.split_at(at).0.split_at(from).1;
                parts[length] = if bytes[from] == b'{' { Part::Name } else { Part::Word(part) };
                length += 1;
                from = at + 1;
            }
            at += 1;
        }
        Self { parts, length, with_rest: false }
    }

    /// The last name takes what is left.
    pub(super) const fn with_rest(mut self) -> Self {
        assert!(matches!(self.parts[self.length - 1], Part::Name), "the template ends in a name");
        self.with_rest = true;
        self
    }
}

impl<'a> Given<'a> {
    /// Of a path below `/v1/`; others are in no table.
    pub(super) fn of(path: &'a str) -> Option<Self> {
        let whole = path.strip_prefix("/v1/")?;
        let (mut parts, mut length) = ([""; DEPTH], 0);
        for part in whole.split('/') {
            if let Some(place) = parts.get_mut(length) {
                *place = part;
            }
            length += 1;
        }
        Some(Self { parts, length, whole })
    }

    /// Whether it is of this template; `only` are the values of its last part, empty for any.
    pub(super) fn fits(&self, pattern: &Pattern, only: &[&str]) -> bool {
        let long_enough =
            self.length == pattern.length || (pattern.with_rest && self.length > pattern.length);
        long_enough
            && self.parts.iter().zip(&pattern.parts).take(pattern.length).all(
                |(given, wanted)| match wanted {
                    Part::Word(word) => given == word,
                    Part::Name | Part::End => true,
                },
            )
            && (only.is_empty() || only.contains(&self.parts[pattern.length - 1]))
    }

    /// What stands where the template has its names.
    pub(super) fn names(&self, pattern: &Pattern) -> [&'a str; 2] {
        let mut names = [""; 2];
        let places = self.parts.iter().zip(&pattern.parts).filter(|(_, part)| matches!(part, Part::Name));
        for (name, (given, _)) in names.iter_mut().zip(places) {
            *name = given;
        }
        if pattern.with_rest {
            let words = &self.parts[..pattern.length - 1];
            let before = words.iter().map(|word| word.len() + 1).sum::<usize>();
            let named = pattern.parts.iter().filter(|part| matches!(part, Part::Name)).count();
            names[named - 1] = self.whole.get(before..).unwrap_or_default();
        }
        names
    }
}
