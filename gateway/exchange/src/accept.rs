//! The record path up to the committer: decode, validate, source rights, tombstones, and for each recipient map,
//! desensitise and encode. Pure computation over one body; nothing is stored here, and of what was submitted only
//! what recipients may see comes out.

use crate::event::Origin;
use crate::findings::{Findings, Said};
use crate::known::{Known, Newest};
use crate::names::{Lane, StreamId};
use crate::op::{Load, Op};
use crate::order::Touched;
use crate::output::{Output, Piece};
use crate::plan::{DatasetPlan, SchemaPlan};
use crate::recall_revs::RecallRevs;
use crate::register::{Fact, Facts, Registered};
use crate::secrets::{Naming, RecordId, RecordName};
use crate::source::{NotYours, Source};
use std::cell::OnceCell;
use std::collections::HashMap;
use xinqiao_schemas::{
    Audience, BodyError, Caps, Charset, Date, Finding, Format, LineHead, RawRecord, RecallEffect, RecallLine,
    RecipientKind, RecordStatus, Release, SourceUnit, ValidRecord, ValidateContext, decode, recall_line,
};

mod identity;
mod recall_made;
mod relay;

use identity::{Here, PutOf, RecallOf};
pub use recall_made::{RecallMade, TombstoneChange};
pub use relay::{RelayBatch, TakenBatch, accept_relayed};

/// One submission, as it came.
pub struct Submission<'a> {
    /// The dataset.
    pub dataset: &'a DatasetPlan,
    /// The schema the body is in.
    pub schema: &'a SchemaPlan,
    /// Who sends it.
    pub source: &'a Source,
    /// The operation.
    pub op: Op,
    /// The load.
    pub load: Load,
    /// The form of the body.
    pub format: Format,
    /// Its character set.
    pub charset: Charset,
    /// The body, decompressed.
    pub body: &'a [u8],
    /// The business date of receipt.
    pub received: Date,
    /// Limits on the body.
    pub caps: &'a Caps,
}

/// Draws the rev that the function it is given makes of the last one drawn.
pub type LeapRev<'a> = dyn Fn(&dyn Fn(u64) -> u64) -> u64 + 'a;

/// What the path needs of the node.
pub struct Surroundings<'a> {
    /// Draws the next rev.
    pub next_rev: &'a dyn Fn() -> u64,
    /// Draws the rev that this function makes of the last one: a later one, but not the very next.
    pub leap_rev: &'a LeapRev<'a>,
    /// What is known of a record of the dataset: of what was committed before the preparation began all, of what is committed
    /// meanwhile perhaps; the committer compares (`order`).
    pub known: &'a dyn Fn(&RecordId) -> Known,
    /// What the register has under an id, a name, or a recipient's key: of what was committed before the preparation began all, of
    /// what is committed meanwhile perhaps.
    pub registered: &'a dyn Fn(&[u8; 16]) -> Option<Registered>,
    /// Were lines delivered before there was a register? It has only recipients' keys of those.
    pub has_older: bool,
    /// Has this stream been used? A recall goes to the history lane only if it has.
    pub stream_in_use: &'a dyn Fn(&StreamId) -> bool,
    /// Called every few records: a caller that must not hold a processor for long yields it here.
    pub make_room: &'a dyn Fn(),
}

/// Records between two calls of [`Surroundings::make_room`]: some hundred microseconds of work.
const STRETCH: u32 = 16;

/// A submission that has been validated and desensitised; it waits to be committed.
pub struct Prepared {
    /// Records accepted.
    pub accepted: u32,
    /// Records refused.
    pub refused: u32,
    /// Records accepted with a doubt.
    pub warned: u32,
    /// Records accepted about subjects without a code, on the basis of their authority.
    pub uncoded: u32,
    /// Relayed lines that had passed this node before; they count as refused too.
    pub looped: u32,
    /// The findings, the JSON text of an array.
    pub rejected: String,
    /// Per recipient (and lane) what goes out.
    pub outputs: Vec<StreamOutput>,
    /// Every operation on a record, in order: the committer compares them with what was committed meanwhile.
    pub touched: Vec<Touched>,
    /// The names and ids that what was decided rests on: the committer asks whether something was made of one meanwhile.
    pub names: Vec<RecordName>,
    /// What is to be remembered of records for good.
    pub facts: Facts,
    /// Lines that recall what nobody knows.
    pub unknown: u32,
    /// Records recalled and reinstated, in order.
    pub tombstones: Vec<TombstoneChange>,
}

/// Lines for one stream.
pub struct StreamOutput {
    /// The recipient, by its number in the plan.
    pub recipient: usize,
    /// The stream.
    pub stream: StreamId,
    /// The lines.
    pub pieces: Vec<Piece>,
    /// Upstream batches they came from.
    pub origins: Vec<Origin>,
}

/// Validates a submission and makes what goes out.
pub fn accept(submission: &Submission<'_>, around: &Surroundings<'_>) -> Result<Prepared, BodyError> {
    let contexts = Contexts::new(submission.source, submission.received);
    let mut work = Work::new(submission.dataset, submission.load, submission.received, around);
    let s = submission;
    decode(&s.schema.schema, s.format, s.charset, s.body, s.caps, &mut |ordinal, record| {
        if ordinal % STRETCH == STRETCH - 1 {
            (around.make_room)();
        }
        match (record, s.op.recall_effect()) {
            (Err(found), _) => work.findings.refuse(ordinal, &found),
            (Ok(raw), None) => work.put(s, &contexts, ordinal, raw),
            (Ok(raw), Some(effect)) => work.recall(s, effect, &contexts, ordinal, raw),
        }
    })?;
    Ok(work.finish())
}

/// What validation knows of the source: for the member as such, and for each authority it acts for.
struct Contexts<'s> {
    source: &'s Source,
    plain: ValidateContext,
    /// Made when first needed: most records name the authority by its code.
    authorities: Vec<OnceCell<ValidateContext>>,
}

impl<'s> Contexts<'s> {
    fn new(source: &'s Source, received: Date) -> Self {
        let only = match source.authorities.as_slice() {
            [one] => Some(one),
            _ => None,
        };
        let authorities = source.authorities.iter().map(|_| OnceCell::new()).collect();
        Self { source, plain: context(source, only, received), authorities }
    }

    fn authority(&self, at: usize) -> &ValidateContext {
        let make = || context(self.source, self.source.authorities.get(at), self.plain.received);
        self.authorities[at].get_or_init(make)
    }
}

fn context(source: &Source, authority: Option<&crate::source::Authority>, received: Date) -> ValidateContext {
    ValidateContext {
        received,
        source: SourceUnit {
            authority_code: authority.and_then(|a| some(&a.code)),
            authority_name: authority.and_then(|a| some(&a.name)),
            unit_code: some(&source.unit.code),
            unit_name: some(&source.unit.name),
        },
        relayed: None,
    }
}

/// How a line came here.
#[derive(Clone, Copy)]
struct Way<'a> {
    /// The nodes it came through.
    via: &'a [&'a str],
    /// The rev it came with; none for what this node was handed by a source of its own.
    origin: Option<u64>,
    /// Where its rev comes from.
    rev: RevOf,
}

/// Where the rev of a line comes from.
#[derive(Clone, Copy, PartialEq)]
enum RevOf {
    /// It is drawn here.
    Drawn,
    /// It is drawn here for another node's recall: the node that it began at must recognise it.
    Passed,
    /// It is kept: whether another node's line is the newest of its record is not remembered. Every rev this node drew for a newer one
    /// is higher, so recipients find out.
    Kept,
}

impl Way<'_> {
    const OWN: Self = Way { via: &[], origin: None, rev: RevOf::Drawn };

    fn kept(&self) -> Option<u64> {
        self.origin.filter(|_| self.rev == RevOf::Kept)
    }
}

/// Why a record is recalled, as its line says it.
struct Reason<'a> {
    reference: Option<&'a str>,
    reason: &'a str,
    basis: &'a str,
    effective: Date,
}

struct Work<'a> {
    received: Date,
    plan: &'a DatasetPlan,
    around: &'a Surroundings<'a>,
    lane: Lane,
    outputs: Vec<Output>,
    history: Vec<Option<Output>>,
    findings: Findings,
    uncoded: u32,
    found: Vec<Finding>,
    key_material: Vec<u8>,
    /// Buffers for names.
    form_2: Vec<u8>,
    message: Vec<u8>,
    touched: Vec<Touched>,
    /// Where names lead, by lines of this submission.
    here: Here,
    names: Vec<RecordName>,
    facts: Facts,
    /// Lines that recall what nobody knows.
    unknown: u32,
    tombstones: Vec<TombstoneChange>,
    /// What lines of this submission made of their records: are they recalled?
    recalled: HashMap<RecordId, bool>,
    /// The newest lines of another node's records, with those of this submission.
    newest: HashMap<RecordId, Newest>,
    origins: Vec<Origin>,
}

impl<'a> Work<'a> {
    fn new(plan: &'a DatasetPlan, load: Load, received: Date, around: &'a Surroundings<'a>) -> Self {
        let output = |r: &crate::plan::RecipientPlan| {
            Output::new(r.description.encoding, r.kind != RecipientKind::Government)
        };
        Self {
            received,
            plan,
            around,
            lane: load.lane(),
            outputs: plan.recipients.iter().map(output).collect(),
            history: plan.recipients.iter().map(|_| None).collect(),
            findings: Findings::default(),
            uncoded: 0,
            found: Vec::new(),
            key_material: Vec::new(),
            form_2: Vec::new(),
            message: Vec::new(),
            touched: Vec::new(),
            here: Here::default(),
            names: Vec::new(),
            facts: Facts::default(),
            unknown: 0,
            tombstones: Vec::new(),
            recalled: HashMap::new(),
            newest: HashMap::new(),
            origins: Vec::new(),
        }
    }

    fn put<'r>(&mut self, s: &Submission<'r>, contexts: &'r Contexts<'_>, ordinal: u32, raw: RawRecord<'r>) {
        self.found.clear();
        let several = s.source.authorities.len() > 1;
        let by_code = s.schema.schema.names_authority(&raw);
        // Validation consumes the record, and filling in the code needs a second one: only then is it copied.
        let again = (several && !by_code).then(|| raw.clone());
        let Some(mut record) = s.schema.schema.validate(raw, &contexts.plain, &mut self.found) else {
            return self.findings.refuse(ordinal, &self.found);
        };
        // Older generations name the authority, not its code: the registered name leads to the code.
        if record.authority_code().is_none()
            && let (Some(raw), Some(name)) = (again, record.authority_name())
            && let Some(at) = s.source.authorities.iter().position(|a| a.name == name)
        {
            self.found.clear();
            match s.schema.schema.validate(raw, contexts.authority(at), &mut self.found) {
                Some(with_code) => record = with_code,
                None => return self.findings.refuse(ordinal, &self.found),
            }
        }
        // Without a code the name must be one of theirs: else another's decision would pass under the only code.
        let theirs = |name: &str| s.source.authorities.iter().any(|a| a.name.is_empty() || a.name == name);
        if !by_code && record.authority_name().is_some_and(|name| !theirs(name)) {
            return self.findings.not_yours(ordinal, NotYours::Authority);
        }
        let authority = match s.source.authority(record.authority_code(), record.decision_date()) {
            Ok(a) => a,
            Err(why) => return self.findings.not_yours(ordinal, why),
        };
        if record.claims_no_code() {
            if authority.uncoded_basis.is_none() {
                return self.findings.not_yours(ordinal, NotYours::Uncoded);
            }
            record.vouch();
        }
        let lineage = s.source.lineage_of(authority);
        let own = self.identify(&record, lineage);
        let replaced = record.replaces().map(|reference| self.replaced(lineage, reference));
        // Before anything is written for it; the committer asks whether something was made of its names in between.
        let old = replaced.map(|(id, _)| id);
        let (id, names, said, is_new) = match self.put_of(&s.schema.schema, &record, lineage, (own, old)) {
            PutOf::Record { id, names, said, is_new } => (id, names, said, is_new),
            PutOf::Recalled => return self.findings.recalled(ordinal),
            PutOf::Refused(why) => return self.findings.doubtful(ordinal, why),
        };
        self.findings.accept(ordinal, &self.found);
        self.uncoded += u32::from(record.subject().is_vouched_for());
        let unknown = replaced.filter(|(_, known)| !known).map(|_| Said::ReplacesUnknown);
        for said in said.into_iter().chain(unknown) {
            self.findings.said(ordinal, said);
        }
        self.release(s.schema, &record, id, ordinal, &Way::OWN);
        if let Some(touched) = self.touched.last_mut() {
            touched.is_new = is_new;
        }
        self.remember_put(id, names, ordinal);
        if let Some(old) = old.filter(|old| *old != id) {
            let reason = Reason { reference: None, reason: "replaced", basis: "", effective: s.received };
            self.recall_everywhere(old, Op::Withdraw, ordinal, &Way::OWN, &reason);
        }
    }

    /// Is the record recalled, by what is known or by a line in front of this one?
    fn is_recalled(&self, id: &RecordId, known: impl FnOnce() -> Known) -> bool {
        let here = if self.recalled.is_empty() { None } else { self.recalled.get(id).copied() };
        here.unwrap_or_else(|| known().recalled.is_some())
    }

    /// Notes that a record may be put again from this line on.
    fn lift(&mut self, id: RecordId, rev: u64) {
        self.recalled.insert(id, false);
        self.tombstones.push(TombstoneChange::Lift { id, rev });
    }

    /// Notes an operation on a record, with the lowest and the highest rev of its lines.
    fn touch(&mut self, (id, ordinal): (RecordId, u32), op: Op, (first, last): (u64, u64), way: &Way<'_>) {
        let kept = way.kept().is_some();
        let origin = way.origin.filter(|_| !kept).unwrap_or(0);
        let first = if kept { u64::MAX } else { first };
        self.touched.push(Touched { id, op, first, last, origin, is_new: false });
        self.facts.push(Fact::Done { id, op, rev: last, origin: way.origin, ordinal });
        if origin != 0 {
            self.newest.entry(id).or_insert_with(|| (self.around.known)(&id).newest).raise(op, origin);
        }
    }

    fn identify(&mut self, record: &ValidRecord<'_>, lineage: &str) -> RecordId {
        match record.reference() {
            Some(r) => self.plan.identifier.id(lineage, Naming::Reference(r)),
            None => {
                self.key_material.clear();
                record.key_material(&mut self.key_material);
                self.plan.identifier.id(lineage, Naming::KeyFields(&self.key_material))
            }
        }
    }

    /// Writes the record's line for every recipient. Where a policy does not release it, or the recipient's schema
    /// cannot hold it, a withdrawal of its key goes out instead, so that no older version of it stands there.
    fn release(
        &mut self,
        schema: &SchemaPlan,
        record: &ValidRecord<'_>,
        id: RecordId,
        ordinal: u32,
        way: &Way<'_>,
    ) {
        let end = record.publication_end().map(days);
        if record.status() == RecordStatus::Revoked {
            let reason = Reason {
                reference: record.reference(),
                reason: "revoked-by-status",
                basis: "",
                effective: self.received,
            };
            return self.recall_everywhere(id, Op::Withdraw, ordinal, way, &reason);
        }
        let rev = way.kept().unwrap_or_else(|| (self.around.next_rev)());
        // Drawn when it is first needed, so after the put's: the withdrawal has the higher rev. One for all recipients it
        // goes to, since it is one act.
        let mut back = None;
        for (n, route) in schema.routes.iter().enumerate() {
            let recipient = &self.plan.recipients[n];
            let key = recipient.keyer.key(&id);
            let text = key.hex();
            let out = &mut self.outputs[n];
            let start = out.line().len();
            let head =
                LineHead { op: "put", key: text.as_str(), rev, via: way.via, reference: record.reference() };
            match route.release(record, &head, out.line()) {
                Release::Released(_) => {
                    out.end_line(Op::Put, key, rev, ordinal, end, record.reference());
                    continue;
                }
                // Nothing is said to the source: that a policy hides a record is no fault of the record.
                Release::Withheld(_) => {}
                Release::Quarantined(why) => self.findings.quarantined(ordinal, &recipient.name, &why),
            }
            // Part of the line may be written already; none of it may stay.
            out.undo(start);
            // A withdrawal begins here; if it may come back through a ring of nodes it gets a rev this node recognises
            // (`recall_revs`), even if a node in the ring strips `via`.
            let rev = match way.kept() {
                None if recipient.may_return => {
                    *back.get_or_insert_with(|| own_recall_rev(self.plan, self.around, Op::Withdraw))
                }
                _ => rev,
            };
            let head = LineHead { op: "withdraw", rev, reference: None, ..head };
            recall_line(&head, Audience::Public, &unsaid(self.received), out.line());
            out.end_line(Op::Withdraw, key, rev, ordinal, None, None);
        }
        self.touch((id, ordinal), Op::Put, (rev, back.unwrap_or(rev)), way);
    }

    fn recall(
        &mut self,
        s: &Submission<'_>,
        effect: RecallEffect,
        contexts: &Contexts<'_>,
        ordinal: u32,
        raw: RawRecord<'_>,
    ) {
        self.found.clear();
        let schema = &s.schema.schema;
        let Some(request) = schema.validate_recall(raw, effect, &contexts.plain, &mut self.found) else {
            return self.findings.refuse(ordinal, &self.found);
        };
        let lineages: Vec<&str> = match request.authority_code() {
            None => s.source.lineages(),
            Some(code) => match s.source.authority(Some(code), None) {
                Ok(a) => vec![s.source.lineage_of(a)],
                Err(why) => return self.findings.not_yours(ordinal, why),
            },
        };
        let mut found = Vec::with_capacity(lineages.len());
        for lineage in lineages {
            match self.recall_of(schema, &request, lineage) {
                RecallOf::Records { ids, names, is_known } => found.push((ids, names, is_known)),
                RecallOf::Refused(why) => return self.findings.doubtful(ordinal, why),
            }
        }
        self.findings.accept(ordinal, &self.found);
        // Of several authorities, those that have the record; none of them, if nobody knows it: then it is kept for all.
        if found.iter().any(|(_, _, is_known)| *is_known) {
            found.retain(|(_, _, is_known)| *is_known);
        } else {
            self.unknown += 1;
            self.findings.nothing_known(ordinal);
        }
        let reason = Reason {
            reference: request.reference(),
            reason: request.reason(),
            basis: request.basis(),
            effective: request.effective(),
        };
        for (ids, names, _) in found {
            let mut names = &*names;
            for id in ids {
                self.recall_everywhere(id, s.op, ordinal, &Way::OWN, &reason);
                self.remember_recall(id, std::mem::take(&mut names), ordinal);
            }
        }
    }

    /// Writes a recall to every stream of the dataset; one that never had the record ignores it.
    fn recall_everywhere(&mut self, id: RecordId, op: Op, ordinal: u32, way: &Way<'_>, reason: &Reason<'_>) {
        let rev = match (way.rev, way.origin) {
            (RevOf::Kept, Some(rev)) => rev,
            (RevOf::Passed, Some(came_with)) if self.plan.may_return() => {
                (self.around.leap_rev)(&|last| RecallRevs::like(last, came_with))
            }
            _ => own_recall_rev(self.plan, self.around, op),
        };
        let mut keys = Vec::new();
        for (n, recipient) in self.plan.recipients.iter().enumerate() {
            let key = recipient.keyer.key(&id);
            let text = key.hex();
            let head = LineHead { op: op.name(), key: text.as_str(), rev, via: way.via, reference: None };
            let public = recipient.kind != RecipientKind::Government;
            let public_op = if public {
                unsaid(reason.effective)
            } else {
                RecallLine { reason: reason.reason, basis: reason.basis, effective: reason.effective }
            };
            let write = |out: &mut Output| {
                recall_line(&head, Audience::Public, &public_op, out.line());
                out.end_line(op, key, rev, ordinal, None, reason.reference);
            };
            write(&mut self.outputs[n]);
            keys.push((recipient.stream(self.lane).clone(), key));
            let other = match self.lane {
                Lane::Daily => &recipient.history,
                Lane::History => &recipient.daily,
            };
            // A put may wait in the other lane, or have gone out through it: the recall has to follow it there.
            if (self.around.stream_in_use)(other) {
                let out = self.history[n]
                    .get_or_insert_with(|| Output::new(recipient.description.encoding, public));
                write(out);
                keys.push((other.clone(), key));
            }
        }
        self.touch((id, ordinal), op, (rev, rev), way);
        if way.rev == RevOf::Kept {
            // A recall goes through both lanes, and the daily one decides what is recalled here.
            return;
        }
        match op {
            Op::Withdraw | Op::Repair => {
                self.recalled.insert(id, true);
                let origin = way.origin;
                self.tombstones.push(TombstoneChange::Set(RecallMade { id, op, rev, origin, keys }));
            }
            Op::Reinstate => self.lift(id, way.origin.unwrap_or(rev)),
            Op::Put | Op::Dispute | Op::Resolve => {}
        }
    }

    fn finish(mut self) -> Prepared {
        let mut outputs = Vec::new();
        let other = match self.lane {
            Lane::Daily => Lane::History,
            Lane::History => Lane::Daily,
        };
        let first = self.outputs.into_iter().enumerate().map(|(n, o)| (n, self.lane, o));
        let second = self.history.into_iter().enumerate().filter_map(|(n, o)| Some((n, other, o?)));
        for (n, lane, output) in first.chain(second) {
            let pieces = output.finish();
            if !pieces.is_empty() {
                let stream = self.plan.recipients[n].stream(lane).clone();
                outputs.push(StreamOutput { recipient: n, stream, pieces, origins: self.origins.clone() });
            }
        }
        if self.touched.len() > 1 {
            let put = self.touched.iter().filter(|t| t.op == Op::Put && t.first != u64::MAX).map(|t| t.id);
            self.findings.duplicates(put.collect());
        }
        let (accepted, refused, warned) = self.findings.counts();
        Prepared {
            accepted,
            refused,
            warned,
            uncoded: self.uncoded,
            looped: self.findings.looped(),
            rejected: self.findings.into_json(),
            outputs,
            touched: self.touched,
            names: self.names,
            facts: self.facts,
            unknown: self.unknown,
            tombstones: self.tombstones,
        }
    }
}

/// The rev of a recall that begins at this node: one that it recognises if the recall may come back.
fn own_recall_rev(plan: &DatasetPlan, around: &Surroundings<'_>, op: Op) -> u64 {
    if plan.may_return() {
        (around.leap_rev)(&|last| plan.recall_revs.next(op, last))
    } else {
        (around.next_rev)()
    }
}

/// A recall as recipients see it that are no authorities: without reason and basis.
pub(crate) fn unsaid(effective: Date) -> RecallLine<'static> {
    RecallLine { reason: "withdrawn", basis: "", effective }
}

/// Days since 1970-01-01; earlier days count as the first.
pub(crate) fn days(d: Date) -> u32 {
    u32::try_from(d.to_days()).unwrap_or(0)
}

fn some(s: &str) -> Option<String> {
    (!s.is_empty()).then(|| s.to_owned())
}
