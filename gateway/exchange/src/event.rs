//! What happened, as the journal keeps it. A frame of the journal holds one [`FrameRecord`]; everything the node
//! knows is the sum of these, applied in order by [`crate::state::State`].
//!
//! Items of a frame (payload, tables, manifests, acknowledgements) stand beside the record and are named here by
//! their number in the frame. No event carries a field of a record.

use crate::names::StreamId;
use crate::op::Op;
use serde::{Deserialize, Serialize};

/// The version of the record's own form.
pub const VERSION: u8 = 1;

/// One commit group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FrameRecord {
    /// The form's version.
    pub v: u8,
    /// Epoch the frame was written in.
    pub epoch: u64,
    /// Log index of the first entry of the group.
    pub first_index: u64,
    /// Entries in the group.
    pub entries: u32,
    /// The highest rev drawn so far.
    pub rev_high: u64,
    /// The signed checkpoint over the log with this group in it; empty if the group has no entry.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub checkpoint: String,
    /// What happened.
    pub events: Vec<Event>,
}

/// One thing that happened.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "e", rename_all = "kebab-case")]
pub enum Event {
    /// A submission was taken.
    Submitted(Submitted),
    /// Lines of one or more submissions for one stream.
    Chunk(NewChunk),
    /// A record was recalled.
    Recalled(Recalled),
    /// A recalled record may be sent again.
    Reinstated {
        /// The dataset.
        dataset: String,
        /// The record, 32 hexadecimal digits.
        id: String,
        /// At which rev: of another node's record that node's. Frames of earlier versions do not say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rev: Option<u64>,
    },
    /// What is remembered of the records of this frame for good ([`crate::register`]). Frames of earlier versions do not have it.
    Registered {
        /// Item with the facts.
        item: u16,
    },
    /// A batch was sealed.
    Sealed(Sealed),
    /// A batch's payload was handed out for the first time.
    Served {
        /// The stream.
        stream: StreamId,
        /// The batch.
        seq: u64,
    },
    /// A recipient answered.
    Acknowledged(Acknowledged),
    /// A stream was put on hold, or let go.
    Held {
        /// The stream.
        stream: StreamId,
        /// On hold?
        held: bool,
    },
    /// The records of a chunk may not leave as they are; they wait for an officer or to be sent again. Its recalls leave
    /// with the batch that takes the chunk. Those of earlier versions were queued anew, in a chunk of the same frame.
    Withheld {
        /// The stream.
        stream: StreamId,
        /// The chunk.
        chunk: u64,
        /// A stable code.
        reason: String,
        /// Reports to the sources.
        #[serde(default)]
        feedback: Vec<Feedback>,
    },
    /// An officer decided about a withheld chunk.
    Ruled {
        /// The stream.
        stream: StreamId,
        /// The chunk.
        chunk: u64,
        /// Let it out as it is (else it is discarded).
        release: bool,
    },
    /// The payload of a batch is gone: retention, or it may no longer be served.
    Erased {
        /// The stream.
        stream: StreamId,
        /// The number of the stream's batches in the rows, if they are of an earlier epoch.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        batches: Option<u32>,
        /// The batch.
        seq: u64,
        /// It was never handed out and may not be any more: nothing of it was delivered. Events of earlier versions say
        /// so by their reports alone.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        taken_back: bool,
        /// It reached its maximum age without a final answer. Reports alone do not mean that it was taken back then.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        expired: bool,
        /// Its recalls wait again, in the chunk whose event stands just before this one.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        requeued: bool,
        /// Reports to the sources.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        feedback: Vec<Feedback>,
    },
    /// Chunks that waited past the maximum age were dropped; a void stands in the stream.
    Dropped {
        /// The stream.
        stream: StreamId,
        /// The last chunk dropped; all unsealed chunks up to it go.
        through: u64,
        /// Reports to the sources.
        #[serde(default)]
        feedback: Vec<Feedback>,
    },
    /// A piece of the payload of a chunk was copied to a newer segment.
    Moved {
        /// The stream.
        stream: StreamId,
        /// The chunk.
        chunk: u64,
        /// Item of this frame that holds it now.
        item: u16,
        /// Which piece, from zero: more than one has what was a batch of an earlier epoch.
        #[serde(default, skip_serializing_if = "is_zero")]
        piece: u16,
        /// It is the payload of the chunk as it is withheld.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        withheld: bool,
    },
    /// A piece of a sealed payload was copied to a newer segment.
    PartMoved {
        /// The stream.
        stream: StreamId,
        /// The number of the stream's batches in the rows, if they are of an earlier epoch.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        batches: Option<u32>,
        /// The batch.
        seq: u64,
        /// Which piece, from zero.
        part: u16,
        /// Item of this frame that holds it now.
        item: u16,
    },
    /// What the chunks of a stream are made with, from here on.
    Described {
        /// The stream.
        stream: StreamId,
        /// The description.
        description: Description,
    },
    /// The publication of records ended; their withdrawals are in the chunks of this frame and of those just before.
    PublicationEnded {
        /// The stream.
        stream: StreamId,
        /// The chunks: the day each stood under in the schedule, its number, the next day it has to be looked at.
        gone: Vec<(u32, u64, Option<u32>)>,
    },
    /// A batch of an upstream node was taken in full.
    Relayed {
        /// The upstream's member name.
        upstream: String,
        /// Its stream.
        stream: String,
        /// The batch.
        seq: u64,
        /// Its epoch.
        epoch: u64,
        /// The manifest's digest, hexadecimal.
        digest: String,
        /// Item with the answer to give.
        #[serde(rename = "answer")]
        acknowledgement: u16,
        /// The highest rev of its lines. Frames of earlier versions do not say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        highest: Option<u64>,
    },
    /// Pushing a batch was given up, or taken up again.
    DeadLetter {
        /// The stream.
        stream: StreamId,
        /// Given up?
        dead: bool,
    },
    /// A schema, mapping or policy that took effect, kept under its digest for the evidence years.
    Document {
        /// Digest, hexadecimal.
        digest: String,
        /// Item with the document.
        item: u16,
    },
    /// A member connected with a certificate chain, kept as a document.
    CertificateSeen {
        /// The member.
        member: String,
        /// The document's digest, hexadecimal.
        digest: String,
        /// First second of the leaf's validity, unix seconds.
        issued: i64,
        /// Unix seconds.
        time: i64,
    },
    /// The node was found to be something that a later start must be able to compare itself with.
    Noted {
        /// What about it.
        subject: String,
        /// How it is, for whoever noted it.
        value: String,
    },
    /// Rows were copied into an index beside the archives, which is durable: they are found there once they left.
    Indexed {
        /// The index's number.
        number: u64,
        /// What it holds.
        ranges: Vec<KeyRange>,
    },
    /// Rows that an index holds left the queue. Those this very frame changes stay: the index has them as they were.
    RowsLeft(KeyRange),
    /// Officers proposed or decided something.
    Officers(crate::governance::Step),
    /// A new epoch begins; sequence numbers start again.
    Epoch {
        /// Its number.
        epoch: u64,
    },
}

/// Keys of a table of rows, the first and the last included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRange {
    /// The table's number.
    pub table: u8,
    /// The first key, hexadecimal.
    pub first: String,
    /// The last key, hexadecimal.
    pub last: String,
}

fn is_none_u32(n: &u32) -> bool {
    *n == 0
}

fn is_zero(n: &u16) -> bool {
    *n == 0
}

/// A submission, as the answer to it is rebuilt from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Submitted {
    /// Its index in the log: its entry stands in the same frame.
    pub index: u64,
    /// Who sent it.
    pub member: String,
    /// The dataset.
    pub dataset: String,
    /// The operation.
    pub op: Op,
    /// Records accepted.
    pub accepted: u32,
    /// Records refused.
    pub refused: u32,
    /// Records accepted with a doubt.
    pub warned: u32,
    /// Lines that recall what nobody knows.
    #[serde(default, skip_serializing_if = "is_none_u32")]
    pub unknown: u32,
    /// The salt of its digests, base64.
    pub salt: String,
    /// Its findings, the JSON text of an array.
    pub rejected: String,
}

/// A chunk: lines for one stream.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NewChunk {
    /// The stream.
    pub stream: StreamId,
    /// Item with the compressed lines.
    pub payload: u16,
    /// Item with the line table.
    pub table: u16,
    /// Lines.
    pub records: u32,
    /// Lines that recall.
    pub recalls: u32,
    /// Bytes before compression, line feeds included.
    pub raw: u64,
    /// Bytes of the payload item.
    pub bytes: u64,
    /// The earliest publication end in it, in days since 1970-01-01.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earliest_end: Option<u32>,
    /// Nodes whose batches the lines came from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<Origin>,
}

/// The batch of another node that lines came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The node.
    pub node: String,
    /// The digest of its manifest, hexadecimal.
    pub manifest_digest: String,
}

/// A recall, as the node remembers it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Recalled {
    /// The dataset.
    pub dataset: String,
    /// The record, 32 hexadecimal digits.
    pub id: String,
    /// How.
    pub op: Op,
    /// The recall's rev.
    pub rev: u64,
    /// The rev it came with from another node. Earlier versions passed that on as the recall's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<u64>,
    /// The submission that recalled it.
    pub index: u64,
    /// Keys of the record in the streams it was recalled from: unsealed puts of them lose their place.
    pub keys: Vec<(StreamId, String)>,
}

impl Recalled {
    /// The rev a later line of the record is compared with: of another node's record that node's.
    pub fn lineage_rev(&self) -> u64 {
        self.origin.unwrap_or(self.rev)
    }
}

/// A sealed batch.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sealed {
    /// The stream.
    pub stream: StreamId,
    /// Its number.
    pub seq: u64,
    /// The digest of the manifest, hexadecimal.
    pub digest: String,
    /// Item with the manifest.
    pub manifest: u16,
    /// Item with the line table.
    pub table: u16,
    /// Where the payload stands, in order.
    pub parts: Vec<Part>,
    /// Lines.
    pub records: u64,
    /// Payload bytes.
    pub bytes: u64,
    /// The digest of the payload, hexadecimal.
    pub payload_digest: String,
    /// First chunk taken.
    pub first_chunk: u64,
    /// Last chunk taken.
    pub last_chunk: u64,
    /// Index of the batch's entry in the log.
    pub index: u64,
    /// Pending recalls that have no unsealed line before them any more: chunk and key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cleared: Vec<(u64, String)>,
    /// A void: nothing to serve.
    #[serde(default)]
    pub void: bool,
    /// What its lines were made with: the number of a description. Chunks that are withheld may come before them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<u32>,
    /// An officer let its records out although the policy has changed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub released: bool,
    /// A control batch: it announces this description of the stream, which takes effect when it is acknowledged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announces: Option<u32>,
    /// Unix seconds.
    pub time: i64,
}

/// A piece of a sealed payload.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// The payload of a chunk, as it stands.
    Chunk(u64),
    /// An item of this frame.
    Item(u16),
}

/// A recipient's answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Acknowledged {
    /// The stream.
    pub stream: StreamId,
    /// The batch.
    pub seq: u64,
    /// The outcome.
    pub outcome: Outcome,
    /// The digest of the answer, hexadecimal: the same answer again is no news.
    pub digest: String,
    /// Item with the answer as it came.
    #[serde(rename = "answer")]
    pub acknowledgement: u16,
    /// Rejected lines.
    pub errors: u32,
    /// Reports to the sources.
    #[serde(default)]
    pub feedback: Vec<Feedback>,
    /// Unix seconds.
    pub time: i64,
}

/// How a recipient answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Everything is stored.
    Accepted,
    /// Some lines were refused.
    Partial,
    /// The batch does not verify or could not be stored: it stays pending.
    Rejected,
}

impl Outcome {
    /// Final answers close the batch.
    pub fn is_final(self) -> bool {
        self != Outcome::Rejected
    }
}

/// News for a source about one of its records.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Feedback {
    /// The source.
    pub member: String,
    /// The submission's log index.
    pub submission: u64,
    /// The record's place in it.
    pub record: u32,
    /// The source's own reference.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The stream it comes from.
    pub stream: StreamId,
    /// The batch, if one was sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// The recipient's code.
    pub code: String,
    /// The recipient's words.
    pub message: String,
    /// Unix seconds.
    pub time: i64,
}

/// What a stream's chunks are made with: it stands in every manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// The recipient's schema.
    pub schema: String,
    /// Its digest, hexadecimal.
    pub schema_digest: String,
    /// The digest over every mapping into it that is in force, hexadecimal.
    pub mapping_digest: String,
    /// The policy.
    pub policy: String,
    /// Its digest, hexadecimal.
    pub policy_digest: String,
    /// How payloads are encoded.
    pub encoding: Encoding,
}

/// How a payload is encoded, fixed when its chunks are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// `application/zstd`, between nodes.
    Zstd,
    /// `application/gzip`, for everyone else.
    #[default]
    Gzip,
    /// `application/x-ndjson`.
    Identity,
}

impl Encoding {
    /// The media type of a payload.
    pub fn media_type(self) -> &'static str {
        match self {
            Encoding::Zstd => "application/zstd",
            Encoding::Gzip => "application/gzip",
            Encoding::Identity => "application/x-ndjson",
        }
    }
}
