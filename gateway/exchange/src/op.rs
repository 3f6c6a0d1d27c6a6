//! What a submission does to a record, and in which lane it travels.

use crate::names::Lane;
use serde::{Deserialize, Serialize};
use xinqiao_schemas::RecallEffect;

/// The operation of a submission or a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    /// A record, new or changed.
    Put,
    /// 撤销: the decision no longer stands.
    Withdraw,
    /// 信用修复: stop publishing and sharing.
    Repair,
    /// 异议: the subject disputes it.
    Dispute,
    /// The dispute is settled and the record stands.
    Resolve,
    /// A recalled record may be sent again, on a named basis.
    Reinstate,
}

/// The kind of load a submission belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Load {
    /// Day to day.
    #[default]
    Daily,
    /// 存量.
    History,
    /// Records that were missed.
    Supplement,
    /// Records that were wrong.
    Correction,
}

impl Op {
    /// All of them, in the order of their numbers.
    pub const ALL: [Op; 6] = [Op::Put, Op::Withdraw, Op::Repair, Op::Dispute, Op::Resolve, Op::Reinstate];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Op::Put => "put",
            Op::Withdraw => "withdraw",
            Op::Repair => "repair",
            Op::Dispute => "dispute",
            Op::Resolve => "resolve",
            Op::Reinstate => "reinstate",
        }
    }

    /// Reads the name.
    pub fn parse(s: &str) -> Option<Op> {
        Op::ALL.into_iter().find(|op| op.name() == s)
    }

    /// Does it stop the record from standing anywhere?
    pub fn is_recall(self) -> bool {
        matches!(self, Op::Withdraw | Op::Repair)
    }

    /// What it does to a record that was put before; nothing of a put.
    pub fn recall_effect(self) -> Option<RecallEffect> {
        match self {
            Op::Put => None,
            Op::Withdraw | Op::Repair => Some(RecallEffect::Ends),
            Op::Dispute => Some(RecallEffect::Disputes),
            Op::Resolve | Op::Reinstate => Some(RecallEffect::Upholds),
        }
    }

    pub(crate) fn number(self) -> u8 {
        self as u8
    }

    pub(crate) fn from_number(n: u8) -> Option<Op> {
        Op::ALL.get(usize::from(n)).copied()
    }
}

impl Load {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Load::Daily => "daily",
            Load::History => "history",
            Load::Supplement => "supplement",
            Load::Correction => "correction",
        }
    }

    /// Reads the name.
    pub fn parse(s: &str) -> Option<Load> {
        [Load::Daily, Load::History, Load::Supplement, Load::Correction].into_iter().find(|l| l.name() == s)
    }

    /// The lane it travels in.
    pub fn lane(self) -> Lane {
        if self == Load::History { Lane::History } else { Lane::Daily }
    }
}
