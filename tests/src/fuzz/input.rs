//! The bytes of one run, taken apart: choices from the front, text or bytes from the rest.

/// What is left of an input. Everything is given for any input; what is missing reads as zero or empty, so that no input
/// is wasted and a mutation in one place does not shift the meaning of the others more than it must.
pub(crate) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub(crate) fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    /// The next two bytes, little end first.
    pub(crate) fn short(&mut self) -> usize {
        usize::from(u16::from_le_bytes([self.byte(), self.byte()]))
    }

    /// One of several things.
    ///
    /// # Panics
    /// There is none.
    pub(crate) fn choose<'t, T>(&mut self, things: &'t [T]) -> &'t T {
        &things[usize::from(self.byte()) % things.len()]
    }

    /// Up to so many bytes.
    pub(crate) fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// The bytes up to the next byte 0xFF, which no UTF-8 text holds, and which is taken too.
    pub(crate) fn piece(&mut self) -> &'a [u8] {
        let end = self.0.iter().position(|byte| *byte == 0xFF).unwrap_or(self.0.len());
        let piece = &self.0[..end];
        self.0 = self.0.get(end + 1..).unwrap_or_default();
        piece
    }

    /// The same as text; what is not UTF-8 is replaced.
    pub(crate) fn text(&mut self) -> String {
        String::from_utf8_lossy(self.piece()).into_owned()
    }

    /// A document with the changes that the next bytes tell: bytes replaced, put in, taken out, doubled, cut off.
    pub(crate) fn damaged(&mut self, original: &[u8]) -> Vec<u8> {
        let mut out = original.to_vec();
        for _ in 0..self.byte() % 8 {
            let (way, at, count) = (self.byte(), self.short(), usize::from(self.byte()));
            let at = if out.is_empty() { 0 } else { at % out.len() };
            let end = (at + count).min(out.len());
            match way % 6 {
                0 => out.splice(at..(at + 1).min(out.len()), [self.byte()]).for_each(drop),
                1 => out.splice(at..at, self.bytes(count).iter().copied()).for_each(drop),
                2 => out.splice(at..end, self.bytes(count).iter().copied()).for_each(drop),
                3 => out.drain(at..end).for_each(drop),
                4 => {
                    let doubled = out[at..end].to_vec();
                    out.splice(at..at, doubled).for_each(drop);
                }
                _ => out.truncate(at),
            }
        }
        out
    }

    /// All that is left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}
