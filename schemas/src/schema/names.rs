//! From the name of a member to the number of its slot: a table without collisions, built once per schema.

/// Names of a schema's fields (codes, aliases, titles) and of the reserved members.
#[derive(Debug)]
pub(crate) struct NameIndex {
    seed: u64,
    mask: u64,
    /// Entry number plus one; zero is free.
    table: Box<[u16]>,
    entries: Vec<(Box<str>, u16)>,
}

impl NameIndex {
    /// Builds the table. Names must be distinct; a name given twice answers with its first slot.
    pub(crate) fn new(names: impl IntoIterator<Item = (String, u16)>) -> Self {
        let mut entries: Vec<(Box<str>, u16)> = Vec::new();
        for (name, slot) in names {
            if !entries.iter().any(|(known, _)| **known == *name) {
                entries.push((name.into_boxed_str(), slot));
            }
        }
        let mut size = (entries.len().max(1) * 4).next_power_of_two();
        loop {
            for seed in 1..200 {
                if let Some(table) = place(&entries, size, seed) {
                    return Self { seed, mask: size as u64 - 1, table, entries };
                }
            }
            size *= 2;
        }
    }

    /// The slot of a name.
    #[inline]
    pub(crate) fn get(&self, name: &[u8]) -> Option<u16> {
        let at = hash(name, self.seed) & self.mask;
        let entry = self.table[at as usize];
        let (known, slot) = self.entries.get(usize::from(entry.checked_sub(1)?))?;
        (known.as_bytes() == name).then_some(*slot)
    }

    /// The known name most like an unknown one, if it is off by two characters at most: for hints.
    pub(crate) fn nearest(&self, name: &str) -> Option<&str> {
        if name.len() > 64 {
            return None;
        }
        let near = self.entries.iter().map(|(known, _)| (distance(known, name), known));
        near.filter(|(d, known)| *d <= 2 && *d < known.chars().count() / 2)
            .min_by_key(|(d, _)| *d)
            .map(|(_, k)| &**k)
    }
}

fn place(entries: &[(Box<str>, u16)], size: usize, seed: u64) -> Option<Box<[u16]>> {
    let mut table = vec![0_u16; size];
    for (number, (name, _)) in entries.iter().enumerate() {
        let cell = &mut table[(hash(name.as_bytes(), seed) & (size as u64 - 1)) as usize];
        if *cell != 0 {
            return None;
        }
        *cell = u16::try_from(number + 1).expect("the loader refuses schemas with more than 1,000 fields");
    }
    Some(table.into_boxed_slice())
}

#[inline]
fn hash(name: &[u8], seed: u64) -> u64 {
    const K: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut h = seed.wrapping_mul(K) ^ name.len() as u64;
    let mut chunks = name.chunks_exact(8);
    for chunk in &mut chunks {
        let word = u64::from_le_bytes(chunk.try_into().expect("chunks of eight"));
        h = (h.rotate_left(23) ^ word).wrapping_mul(K);
    }
    let mut tail = 0_u64;
    for &byte in chunks.remainder() {
        tail = tail << 8 | u64::from(byte);
    }
    h = (h.rotate_left(23) ^ tail).wrapping_mul(K);
    h ^ (h >> 29)
}

/// Levenshtein distance in characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (diagonal + usize::from(x != *y)).min(above + 1).min(row[j] + 1);
            diagonal = above;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_name_and_no_other() {
        let names: Vec<(String, u16)> = (0..300).map(|i| (format!("CF_字段_{i}"), i)).collect();
        let index = NameIndex::new(names.clone());
        for (name, slot) in &names {
            assert_eq!(index.get(name.as_bytes()), Some(*slot));
        }
        assert_eq!(index.get(b"CF_XDR_MC"), None);
        assert_eq!(index.get(b""), None);
        assert_eq!(index.nearest("CF_字段_12x"), Some("CF_字段_12"));
        assert_eq!(index.nearest("350203199001011234"), None);
    }
}
