//! The codec of one frame: header, sealed directory, sealed log entries, sealed items.
//!
//! ```text
//! header (120) │ directory │ log entries + tag │ item 0 + tag │ item 1 + tag │ … zeros up to a multiple of 512
//! ```
//! The header is authenticated as additional data of the directory, whose tag it carries. Its two checksums tell a torn
//! frame without a key; its digest is what the next frame carries as `previous`.

use xinqiao_crypto::sha256;

use crate::bytes::{Put, Take};
use crate::cipher::{DataKey, SUITE, TAG, nonce};
use crate::{ItemRef, OpenError};

/// What becomes of an item when its segment goes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Class {
    /// A change of state: archived.
    Event,
    /// Evidence kept for years: archived.
    Evidence,
    /// Personal data under retention: goes with the segment.
    Payload,
}

impl Class {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Event => 1,
            Self::Evidence => 2,
            Self::Payload => 3,
        }
    }

    pub(crate) fn of(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Event),
            2 => Some(Self::Evidence),
            3 => Some(Self::Payload),
            _ => None,
        }
    }
}

/// One item of a frame.
#[derive(Clone, Copy)]
pub struct Item<'a> {
    /// What becomes of it later.
    pub class: Class,
    /// What the reader must name to read it, e.g. the stream id; at most 65,535 bytes.
    pub aad: &'a [u8],
    /// The bytes.
    pub bytes: &'a [u8],
}

/// An idempotency key and the answer it leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IdemEntry {
    /// A digest over member and key.
    pub key: [u8; 16],
    /// Whatever finds the answer again.
    pub value: [u8; 24],
}

/// One commit group or one change of state.
#[derive(Clone, Copy)]
pub struct Frame<'a> {
    /// The caller's tag.
    pub kind: u8,
    /// Items, each read on its own later.
    pub items: &'a [Item<'a>],
    /// Idempotency keys this frame answers.
    pub idempotency: &'a [IdemEntry],
    /// Entries for the log files.
    pub log_entries: &'a [&'a [u8]],
    /// Index of the first of them in the log.
    pub first_log_index: u64,
}

/// Frames begin at multiples of this, so that a search for them after damage is cheap.
pub(crate) const ALIGN: u64 = 512;
pub(crate) const HEADER: usize = 120;
/// A body beyond this is refused, and a length beyond it is not believed.
pub(crate) const MAX_BODY: u64 = 64 << 20;
const BOUND: usize = 96;
const MAGIC: &[u8; 4] = b"XQFR";
const VERSION: u8 = 1;
const ITEM_META: usize = 7;
const IDEM: usize = 40;
const CHUNK_DIRECTORY: u32 = 0;
const CHUNK_LOG: u32 = 1;
const CHUNK_ITEMS: u32 = 2;

/// Where a frame stands.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) segment: u64,
    pub(crate) segment_id: [u8; 16],
    pub(crate) frame: u64,
    pub(crate) previous: [u8; 32],
    pub(crate) offset: u64,
}

/// Length of the encoded frame without padding; `None` if it exceeds the limits.
pub(crate) fn encoded_len(frame: &Frame<'_>) -> Option<u64> {
    if frame.items.len() > usize::from(u16::MAX) || frame.items.iter().any(|item| item.aad.len() > 0xffff) {
        return None;
    }
    let items: u64 = frame.items.iter().map(|item| (item.bytes.len() + TAG) as u64).sum();
    let log: u64 = frame.log_entries.iter().map(|entry| entry.len() as u64).sum();
    let log = if frame.log_entries.is_empty() { 0 } else { log + TAG as u64 };
    let body = directory_len(frame) as u64 + log + items;
    (body <= MAX_BODY).then_some(HEADER as u64 + body)
}

fn directory_len(frame: &Frame<'_>) -> usize {
    let items: usize = frame.items.iter().map(|item| ITEM_META + item.aad.len()).sum();
    items + frame.log_entries.len() * 4 + frame.idempotency.len() * IDEM
}

/// Appends the frame to `buffer` and returns its digest; references of the items go to `refs`.
/// The frame must have passed [`encoded_len`].
pub(crate) fn encode(
    frame: &Frame<'_>,
    place: &Place,
    key: &DataKey,
    buffer: &mut Vec<u8>,
    refs: &mut Vec<ItemRef>,
) -> [u8; 32] {
    let start = buffer.len();
    buffer.resize(start + HEADER, 0);
    directory(frame, buffer);
    let dir_end = buffer.len();
    let mut aad = AadBuffer::new(place);

    let log_start = buffer.len();
    for entry in frame.log_entries {
        buffer.extend_from_slice(entry);
    }
    if !frame.log_entries.is_empty() {
        let tag =
            key.seal(nonce(place.frame, CHUNK_LOG), aad.chunk(CHUNK_LOG, &[]), &mut buffer[log_start..]);
        buffer.extend_from_slice(&tag);
    }
    let log_len = buffer.len() - log_start;

    for (ordinal, item) in frame.items.iter().enumerate() {
        let ordinal = u16::try_from(ordinal).expect("encoded_len bounds the items");
        let at = buffer.len();
        refs.push(ItemRef {
            segment: place.segment,
            frame: place.frame,
            item: ordinal,
            offset: place.offset + (at - start) as u64,
            len: narrow(item.bytes.len()),
        });
        buffer.extend_from_slice(item.bytes);
        let chunk = CHUNK_ITEMS + u32::from(ordinal);
        let tag = key.seal(nonce(place.frame, chunk), aad.chunk(chunk, item.aad), &mut buffer[at..]);
        buffer.extend_from_slice(&tag);
    }

    let (header, body) = buffer[start..].split_at_mut(HEADER);
    let mut put = Put(header, 0);
    put.bytes(MAGIC).u8(VERSION).u8(SUITE).u8(frame.kind).u8(0).bytes(&place.segment_id).u64(place.frame);
    put.bytes(&place.previous).u64(frame.first_log_index);
    put.u32(narrow(frame.items.len()))
        .u32(narrow(frame.log_entries.len()))
        .u32(narrow(frame.idempotency.len()));
    put.u32(narrow(dir_end - start - HEADER)).u32(narrow(log_len)).u32(narrow(body.len()));
    let dir = &mut body[..dir_end - start - HEADER];
    let tag =
        key.seal(nonce(place.frame, CHUNK_DIRECTORY), aad.chunk(CHUNK_DIRECTORY, &header[..BOUND]), dir);
    let body_check = crc32fast::hash(body);
    Put(header, BOUND).bytes(&tag).u32(body_check);
    let header_check = crc32fast::hash(&header[..HEADER - 4]);
    Put(header, HEADER - 4).u32(header_check);
    sha256(header)
}

fn directory(frame: &Frame<'_>, buffer: &mut Vec<u8>) {
    for item in frame.items {
        buffer.push(item.class.code());
        buffer.extend_from_slice(&u16::try_from(item.aad.len()).expect("bounded").to_le_bytes());
        buffer.extend_from_slice(&narrow(item.bytes.len()).to_le_bytes());
        buffer.extend_from_slice(item.aad);
    }
    for entry in frame.log_entries {
        buffer.extend_from_slice(&narrow(entry.len()).to_le_bytes());
    }
    for entry in frame.idempotency {
        buffer.extend_from_slice(&entry.key);
        buffer.extend_from_slice(&entry.value);
    }
}

fn narrow(len: usize) -> u32 {
    u32::try_from(len).expect("encoded_len bounds the frame")
}

/// Additional data of a chunk: segment, frame, chunk and suite, then what the caller binds.
struct AadBuffer(Vec<u8>);

const AAD_FIXED: usize = 16 + 8 + 4 + 1;

impl AadBuffer {
    fn new(place: &Place) -> Self {
        let mut bytes = Vec::with_capacity(AAD_FIXED + BOUND);
        bytes.extend_from_slice(&place.segment_id);
        bytes.extend_from_slice(&place.frame.to_be_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.push(SUITE);
        Self(bytes)
    }

    fn chunk(&mut self, chunk: u32, bound: &[u8]) -> &[u8] {
        self.0.truncate(AAD_FIXED);
        self.0[24..28].copy_from_slice(&chunk.to_be_bytes());
        self.0.extend_from_slice(bound);
        &self.0
    }
}

/// A header whose checksum holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    bytes: [u8; HEADER],
    pub(crate) kind: u8,
    pub(crate) segment_id: [u8; 16],
    pub(crate) frame: u64,
    pub(crate) previous: [u8; 32],
    pub(crate) first_log_index: u64,
    pub(crate) items: u32,
    pub(crate) log_entries: u32,
    pub(crate) idempotency: u32,
    pub(crate) dir_len: u32,
    pub(crate) log_len: u32,
    pub(crate) body_len: u32,
    body_check: u32,
}

impl Header {
    /// The header at the front of `bytes`, if there is an intact one of a known version.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; HEADER] = bytes.get(..HEADER)?.try_into().ok()?;
        if bytes[..4] != *MAGIC || crc32fast::hash(&bytes[..HEADER - 4]).to_le_bytes() != bytes[HEADER - 4..]
        {
            return None;
        }
        let mut take = Take(&bytes[4..]);
        if (take.u8()?, take.u8()?) != (VERSION, SUITE) {
            return None;
        }
        let kind = take.u8()?;
        if take.u8()? != 0 {
            return None;
        }
        let header = Self {
            kind,
            segment_id: take.array()?,
            frame: take.u64()?,
            previous: take.array()?,
            first_log_index: take.u64()?,
            items: take.u32()?,
            log_entries: take.u32()?,
            idempotency: take.u32()?,
            dir_len: take.u32()?,
            log_len: take.u32()?,
            body_len: take.u32()?,
            body_check: { Take(&bytes[BOUND + TAG..]).u32()? },
            bytes,
        };
        let front = u64::from(header.dir_len) + u64::from(header.log_len);
        let fits = u64::from(header.body_len) <= MAX_BODY && front <= u64::from(header.body_len);
        let log = (header.log_entries == 0) == (header.log_len == 0);
        (fits && log && header.items <= u32::from(u16::MAX)).then_some(header)
    }

    /// Length of the whole frame without padding.
    pub(crate) fn len(&self) -> u64 {
        HEADER as u64 + u64::from(self.body_len)
    }

    /// Bytes before the items: header, directory, log entries.
    pub(crate) fn front_len(&self) -> usize {
        HEADER + self.dir_len as usize + self.log_len as usize
    }

    pub(crate) fn digest(&self) -> [u8; 32] {
        sha256(&self.bytes)
    }

    pub(crate) fn body_intact(&self, body: &[u8]) -> bool {
        crc32fast::hash(body) == self.body_check
    }

    /// Index after the frame's last log entry, if it has any.
    pub(crate) fn next_log_index(&self) -> Option<u64> {
        (self.log_entries > 0).then(|| self.first_log_index.saturating_add(u64::from(self.log_entries)))
    }
}

/// The directory and log entries of a frame, opened.
pub(crate) struct Front<'a> {
    pub(crate) items: Vec<FrontItem<'a>>,
    pub(crate) log_entries: Vec<&'a [u8]>,
    pub(crate) idempotency: Vec<IdemEntry>,
}

/// An item as the directory names it.
pub(crate) struct FrontItem<'a> {
    pub(crate) class: Class,
    pub(crate) aad: &'a [u8],
    pub(crate) reference: ItemRef,
}

/// Opens the front of a frame. `front` is everything after the header up to the items, and is decrypted in place.
/// `None` if anything differs from what was sealed.
pub(crate) fn open_front<'a>(
    header: &Header,
    place: &Place,
    key: &DataKey,
    front: &'a mut [u8],
) -> Option<Front<'a>> {
    let (dir, log) = front.split_at_mut_checked(header.dir_len as usize)?;
    let log = log.get_mut(..header.log_len as usize)?;
    let mut aad = AadBuffer::new(place);
    let mut sealed = Vec::with_capacity(dir.len() + TAG);
    sealed.extend_from_slice(dir);
    sealed.extend_from_slice(&header.bytes[BOUND..BOUND + TAG]);
    let opened = key.open(
        nonce(place.frame, CHUNK_DIRECTORY),
        aad.chunk(CHUNK_DIRECTORY, &header.bytes[..BOUND]),
        &mut sealed,
    )?;
    dir.copy_from_slice(opened);
    let log: &[u8] = match header.log_entries {
        0 => &[],
        _ => key.open(nonce(place.frame, CHUNK_LOG), aad.chunk(CHUNK_LOG, &[]), log)?,
    };
    read_directory(header, place, dir, log)
}

fn read_directory<'a>(header: &Header, place: &Place, dir: &'a [u8], log: &'a [u8]) -> Option<Front<'a>> {
    let mut take = Take(dir);
    let mut offset = place.offset + header.front_len() as u64;
    let mut items = Vec::with_capacity(header.items as usize);
    for item in 0..header.items {
        let class = Class::of(take.u8()?)?;
        let aad_len = take.u16()?;
        let len = take.u32()?;
        let aad = take.bytes(usize::from(aad_len))?;
        let item = u16::try_from(item).ok()?;
        let reference = ItemRef { segment: place.segment, frame: place.frame, item, offset, len };
        items.push(FrontItem { class, aad, reference });
        offset = offset.checked_add(u64::from(len) + TAG as u64)?;
    }
    let mut rest = Take(log);
    let mut log_entries = Vec::new();
    for _ in 0..header.log_entries {
        let len = take.u32()?;
        log_entries.push(rest.bytes(len as usize)?);
    }
    let mut idempotency = Vec::new();
    for _ in 0..header.idempotency {
        idempotency.push(IdemEntry { key: take.array()?, value: take.array()? });
    }
    let complete = take.0.is_empty() && rest.0.is_empty() && offset == place.offset + header.len();
    complete.then_some(Front { items, log_entries, idempotency })
}

/// Opens one sealed item (ciphertext and tag) in place.
pub(crate) fn open_item<'a>(
    place: &Place,
    item: u16,
    aad: &[u8],
    key: &DataKey,
    sealed: &'a mut [u8],
) -> Option<&'a mut [u8]> {
    let chunk = CHUNK_ITEMS + u32::from(item);
    key.open(nonce(place.frame, chunk), AadBuffer::new(place).chunk(chunk, aad), sealed)
}

/// Rounds up to where the next frame may begin.
pub(crate) fn align(offset: u64) -> u64 {
    offset.next_multiple_of(ALIGN)
}

impl From<crate::Damage> for OpenError {
    fn from(damage: crate::Damage) -> Self {
        Self::Damaged(damage)
    }
}
