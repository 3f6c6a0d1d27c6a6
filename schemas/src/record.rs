//! A record as it was sent: one slot per field of its schema, borrowed from the body wherever possible.

use std::borrow::Cow;
use std::fmt;

/// What a sender said about one field.
#[derive(Clone, PartialEq, Eq, Default)]
pub enum Slot<'a> {
    /// Nothing.
    #[default]
    Absent,
    /// That there is none (JSON `null`).
    Null,
    /// A text, perhaps of length zero.
    Text(Cow<'a, str>),
}

impl Slot<'_> {
    /// The text, if it has at least one character.
    pub fn filled(&self) -> Option<&str> {
        match self {
            Slot::Text(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    /// True for absent, null and empty alike.
    pub fn is_blank(&self) -> bool {
        self.filled().is_none()
    }

    pub(crate) fn into_owned(self) -> Slot<'static> {
        match self {
            Slot::Absent => Slot::Absent,
            Slot::Null => Slot::Null,
            Slot::Text(text) => Slot::Text(Cow::Owned(text.into_owned())),
        }
    }
}

impl fmt::Debug for Slot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Slot::Absent => f.write_str("absent"),
            Slot::Null => f.write_str("null"),
            Slot::Text(text) => write!(f, "text of {} bytes", text.len()),
        }
    }
}

/// Members a record may carry beside its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Member {
    /// The source's own reference.
    Ref,
    /// The reference of the record that this one takes the place of.
    Replaces,
    /// Reference to the subject's consent or mandate.
    Authorisation,
    /// A narrower audience than the schema would give.
    Audience,
    /// Recalls: the reason code.
    Reason,
    /// Recalls: the document it rests on.
    Basis,
    /// Recalls: the day from which it holds.
    Effective,
}

impl Member {
    /// All members, in the order of their slots behind the fields.
    pub const ALL: [Self; 7] = [
        Self::Ref,
        Self::Replaces,
        Self::Authorisation,
        Self::Audience,
        Self::Reason,
        Self::Basis,
        Self::Effective,
    ];

    /// The name in JSON, XML and CSV.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ref => "ref",
            Self::Replaces => "replaces",
            Self::Authorisation => "authorisation",
            Self::Audience => "audience",
            Self::Reason => "reason",
            Self::Basis => "basis",
            Self::Effective => "effective",
        }
    }
}

/// A decoded, unchecked record.
#[derive(Clone, PartialEq, Eq)]
pub struct RawRecord<'a> {
    /// Fields of the schema in its order, then the reserved members in the order of [`Member::ALL`].
    slots: Vec<Slot<'a>>,
}

impl<'a> RawRecord<'a> {
    /// A record without anything, for a schema of so many fields.
    pub fn new(fields: usize) -> Self {
        let mut slots = Vec::new();
        slots.resize(fields + Member::ALL.len(), Slot::Absent);
        Self { slots }
    }

    /// Number of fields of the schema it was decoded for.
    pub fn fields(&self) -> usize {
        self.slots.len() - Member::ALL.len()
    }

    /// What was said about the field of that number. Absent if there is no such field.
    pub fn field(&self, number: usize) -> &Slot<'a> {
        if number < self.fields() { &self.slots[number] } else { &Slot::Absent }
    }

    /// Sets a field, for callers that build records without decoding a body.
    pub fn set_field(&mut self, number: usize, slot: Slot<'a>) {
        if number < self.fields() {
            self.slots[number] = slot;
        }
    }

    /// What was said in a reserved member.
    pub fn member(&self, member: Member) -> &Slot<'a> {
        &self.slots[self.fields() + member as usize]
    }

    /// Sets a reserved member.
    pub fn set_member(&mut self, member: Member, slot: Slot<'a>) {
        let at = self.fields() + member as usize;
        self.slots[at] = slot;
    }

    /// A copy that does not borrow from the body.
    pub fn into_owned(self) -> RawRecord<'static> {
        RawRecord { slots: self.slots.into_iter().map(Slot::into_owned).collect() }
    }

    pub(crate) fn slot_mut(&mut self, at: usize) -> &mut Slot<'a> {
        &mut self.slots[at]
    }

    pub(crate) fn into_slots(self) -> Vec<Slot<'a>> {
        self.slots
    }
}

impl fmt::Debug for RawRecord<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let filled = self.slots.iter().filter(|slot| !slot.is_blank()).count();
        write!(f, "RawRecord({filled} of {} slots filled)", self.slots.len())
    }
}
