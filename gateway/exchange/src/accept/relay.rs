//! Lines of another node's batch, taken as a source's records are: validated again, entitlement checked again, the
//! audience only ever narrowed. A line that has already passed this node is refused, so 回流 cannot loop: `via` names
//! this node, or, if a node of an earlier version has stripped it, the rev of the recall is one this node drew.
//!
//! Every line that is taken gets a rev of this node, so that what this node says of the record itself (the end of its
//! publication, a withdrawal by a policy) stands in one order with what its upstream says. The upstream's rev decides which of its
//! lines is the newest: lanes overtake each other, and an older line is not passed on.

use super::{Prepared, Reason, RevOf, Surroundings, Way, Work, some};
use crate::event::Origin;
use crate::known::Age;
use crate::names::{Lane, NodeName};
use crate::op::{Load, Op};
use crate::plan::{DatasetPlan, SchemaPlan};
use crate::revs;
use crate::secrets::{Naming, RecordId, RecordKey};
use crate::source::Source;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use xinqiao_schemas::{
    Audience, Caps, Charset, Date, Format, RecordStatus, SourceUnit, ValidateContext, decode,
};

/// The most nodes a line may have passed.
const VIA_CAP: usize = 8;

/// A line of a batch.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RelayLine<'a> {
    op: Op,
    #[serde(borrow)]
    key: Cow<'a, str>,
    rev: u64,
    audience: Option<Audience>,
    #[serde(borrow, default)]
    via: Vec<Cow<'a, str>>,
    #[serde(borrow, default, rename = "ref")]
    reference: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// The data of a line that recalls.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecallData<'a> {
    #[serde(borrow)]
    reason: Cow<'a, str>,
    #[serde(borrow)]
    basis: Cow<'a, str>,
    #[serde(borrow)]
    effective: Cow<'a, str>,
}

/// A verified batch of an upstream node.
pub struct RelayBatch<'a> {
    /// The dataset.
    pub dataset: &'a DatasetPlan,
    /// The schema its manifest names.
    pub schema: &'a SchemaPlan,
    /// The upstream, as a source.
    pub source: &'a Source,
    /// The upstream's name as a node.
    pub upstream: &'a NodeName,
    /// This node.
    pub own: &'a NodeName,
    /// The lane of its stream.
    pub lane: Lane,
    /// The digest of its manifest, hexadecimal.
    pub manifest_digest: &'a str,
    /// The lines, each with its line feed.
    pub lines: &'a [u8],
    /// The business date of receipt.
    pub received: Date,
    /// Limits on one record.
    pub caps: &'a Caps,
    /// Called with upstream revs, so that the revs this node draws are later than any it has seen.
    pub observe_rev: &'a dyn Fn(u64),
}

/// What became of the lines of a batch.
pub struct TakenBatch {
    /// What is to be committed.
    pub prepared: Prepared,
    /// The highest rev of its lines.
    pub highest: u64,
}

/// Validates the lines of a verified batch. Refused lines are found in `rejected` by their number.
pub fn accept_relayed(batch: RelayBatch<'_>, around: &Surroundings<'_>) -> TakenBatch {
    let load = if batch.lane == Lane::History { Load::History } else { Load::Daily };
    let mut work = Work::new(batch.dataset, load, batch.received, around);
    work.origins.push(Origin {
        node: batch.upstream.as_str().to_owned(),
        manifest_digest: batch.manifest_digest.to_owned(),
    });
    let RelayBatch { dataset, schema, source, upstream, own, received, caps, observe_rev, lines, .. } = batch;
    let step = Step { dataset, schema, source, upstream, own, received, caps };
    let mut highest = 0;
    for (n, line) in lines.split_inclusive(|b| *b == b'\n').enumerate() {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let ordinal = u32::try_from(n).unwrap_or(u32::MAX);
        match serde_json::from_slice::<RelayLine<'_>>(line) {
            Ok(parsed) if !(1..=revs::HIGHEST_TAKEN).contains(&parsed.rev) => work.findings.refuse_line(
                ordinal,
                "relay.rev-out-of-range",
                "The line's rev is 0 or too near 2^53; the upstream node's numbers have gone wrong, call its operator.",
                "该行的版本号（rev）为 0 或过于接近 2^53，来源节点的编号有误，请联系其运维人员。",
            ),
            Ok(parsed) => {
                // Before the line is looked at, and whether it is taken or refused.
                if parsed.rev <= revs::HIGHEST_FOLLOWED {
                    observe_rev(parsed.rev);
                }
                highest = parsed.rev.max(highest);
                step.take(&mut work, ordinal, &parsed);
            }
            Err(_) => work.findings.refuse_line(
                ordinal,
                "relay.line-malformed",
                "The line is not of the form this version knows; the upstream node must send it again.",
                "该行不符合本版本的数据行格式，请上级或来源节点重新发送。",
            ),
        }
    }
    TakenBatch { prepared: work.finish(), highest }
}

struct Step<'a> {
    dataset: &'a DatasetPlan,
    schema: &'a SchemaPlan,
    source: &'a Source,
    upstream: &'a NodeName,
    own: &'a NodeName,
    received: Date,
    caps: &'a Caps,
}

impl Step<'_> {
    fn take(&self, work: &mut Work<'_>, ordinal: u32, line: &RelayLine<'_>) {
        if RecordKey::parse(&line.key).is_none() {
            return work.findings.refuse_line(
                ordinal,
                "relay.key-malformed",
                "The line's key is not 32 lower-case hexadecimal digits.",
                "该行的记录键不是 32 位小写十六进制数。",
            );
        }
        let Some(audience) = line.audience else {
            return work.findings.refuse_line(
                ordinal,
                "relay.audience-missing",
                "The line does not say who may see it (audience); a relayed line without it is refused.",
                "该行未注明使用范围（audience），转送数据缺少使用范围的一律拒收。",
            );
        };
        // In front of the length of `via`: a line that goes round is counted as looped, not as refused for its distance.
        if self.has_passed(line) {
            return work.findings.loops(ordinal);
        }
        if line.via.len() >= VIA_CAP {
            return work.findings.refuse_line(
                ordinal,
                "relay.too-far",
                "The line has passed eight nodes already; shorten the way between the nodes.",
                "该行已经过八个节点，请缩短节点间的转送路径。",
            );
        }
        if line.via.iter().any(|node| NodeName::parse(node).is_err()) {
            return work.findings.refuse_line(
                ordinal,
                "relay.via-malformed",
                "The line's `via` holds what is not the name of a node.",
                "该行的转送路径（via）中含有不是节点名称的内容。",
            );
        }
        let lineage = self.upstream.as_str();
        let id = self.dataset.identifier.id(lineage, Naming::Upstream(&line.key));
        let known = (work.around.known)(&id);
        let recalled = work.is_recalled(&id, || known);
        let newest = work.newest.get(&id).copied().unwrap_or(known.newest);
        let rev = match (newest.age(line.op, line.rev), line.op) {
            (Age::Older, Op::Put) if recalled => return work.findings.recalled(ordinal),
            (Age::Older, _) => return work.findings.accept(ordinal, &[]),
            (Age::Unknown, _) => RevOf::Kept,
            (Age::Newer, Op::Put) => RevOf::Drawn,
            (Age::Newer, _) => RevOf::Passed,
        };
        let mut via: Vec<&str> = line.via.iter().map(AsRef::as_ref).collect();
        via.push(self.upstream.as_str());
        let way = Way { via: &via, origin: Some(line.rev), rev };
        if line.op != Op::Put {
            let data: Option<RecallData<'_>> = serde_json::from_str(line.data.get()).ok();
            let effective = data.as_ref().and_then(|d| Date::parse_accepted(&d.effective).ok());
            let reason = Reason {
                reference: line.reference.as_deref(),
                reason: data.as_ref().map_or("relayed", |d| &d.reason),
                basis: data.as_ref().map_or("", |d| &d.basis),
                effective: effective.map_or(self.received, |(d, _)| d),
            };
            work.findings.accept(ordinal, &[]);
            return work.recall_everywhere(id, line.op, ordinal, &way, &reason);
        }
        // The upstream asks for `reinstate` itself. Its withdrawals may also mean that one version could not be shown
        // here, which says nothing against a later one: the newest counts, as at every recipient. Only a put that was
        // taken ends the recall: after a refused one, the older version must stay withdrawn.
        let stands = self.put(work, ordinal, line, audience, id, &way);
        if stands && recalled {
            work.lift(id, line.rev);
        }
    }

    /// Has the line passed this node before, or begun here?
    fn has_passed(&self, line: &RelayLine<'_>) -> bool {
        let own = self.own.as_str();
        let named = own == self.upstream.as_str() || line.via.iter().any(|node| node == own);
        // Puts keep their `via` in every version.
        let recalled_here = || {
            line.op != Op::Put
                && self.dataset.may_return()
                && self.dataset.recall_revs.is_own(line.op, line.rev)
        };
        named || recalled_here()
    }

    /// Passes a record on; true if it stands from now on.
    fn put(
        &self,
        work: &mut Work<'_>,
        ordinal: u32,
        line: &RelayLine<'_>,
        audience: Audience,
        id: RecordId,
        way: &Way<'_>,
    ) -> bool {
        let context = ValidateContext {
            received: self.received,
            source: SourceUnit {
                unit_code: some(&self.source.unit.code),
                unit_name: some(&self.source.unit.name),
                ..SourceUnit::default()
            },
            relayed: Some(audience),
        };
        let schema = &self.schema.schema;
        let body = line.data.get().as_bytes();
        let (mut done, mut stands) = (false, false);
        let outcome = decode(schema, Format::Json, Charset::Utf8, body, self.caps, &mut |_, record| {
            done = true;
            let raw = match record {
                Ok(raw) => raw,
                Err(found) => return work.findings.refuse(ordinal, &found),
            };
            let mut found = Vec::new();
            let Some(record) = schema.validate(raw, &context, &mut found) else {
                return work.findings.refuse(ordinal, &found);
            };
            if let Err(why) = self.source.authority(record.authority_code(), record.decision_date()) {
                return work.findings.not_yours(ordinal, why);
            }
            work.findings.accept(ordinal, &found);
            stands = record.status() != RecordStatus::Revoked;
            work.release(self.schema, &record, id, ordinal, way);
        });
        if outcome.is_err() && !done {
            work.findings.refuse_line(
                ordinal,
                "relay.line-malformed",
                "The line's data is not an object of the schema the batch names.",
                "该行的数据不是批次所注明数据标准的对象。",
            );
        }
        stands
    }
}
