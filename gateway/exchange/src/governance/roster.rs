//! Whether acts may be proposed at all: what they would leave of the officers.

use super::{ACTS, Act, OfficerIdentity, StepRefused};
use std::collections::{BTreeMap, BTreeSet};
use xinqiao_evidence::Digest;

/// The role that decides.
pub const SECURITY_OFFICER: &str = "security-officer";

/// Members by name, as far as these rules look at them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roster(pub BTreeMap<String, OfficerRole>);

/// What a member is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfficerRole {
    /// Its role.
    pub role: String,
    /// Let in no longer.
    pub suspended: bool,
}

/// The node as acts find it.
pub struct View<'a> {
    /// Members in force.
    pub roster: &'a Roster,
    /// Members as `adopt-files` would leave them.
    pub files: &'a Roster,
    /// The state of a subject: any text that is another one when the subject is; empty if there is no such thing.
    pub subject: &'a dyn Fn(&str) -> String,
    /// Whether changes need two officers.
    pub four_eyes: bool,
}

impl Roster {
    /// Security officers who are let in.
    pub fn security_officers(&self) -> usize {
        self.0.values().filter(|m| m.decides()).count()
    }

    /// Whether this is one of them.
    pub fn decides(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(OfficerRole::decides)
    }

    /// The members after these acts.
    pub fn after(&self, acts: &[Act], files: &Roster) -> Roster {
        let mut next = self.clone();
        for act in acts {
            match act {
                Act::MemberPut { member } => {
                    let suspended = next.0.get(&member.name).is_some_and(|m| m.suspended);
                    next.0.insert(member.name.clone(), OfficerRole { role: member.role.clone(), suspended });
                }
                Act::MemberRemove { name } => {
                    next.0.remove(name);
                }
                Act::MemberSuspend { name } | Act::MemberResume { name } => {
                    if let Some(m) = next.0.get_mut(name) {
                        m.suspended = act.closes();
                    }
                }
                Act::AdoptFiles { .. } => next = files.clone(),
                Act::AnchorPut { .. }
                | Act::AnchorRemove { .. }
                | Act::PolicyPut { .. }
                | Act::KeyRotate { .. } => {}
            }
        }
        next
    }
}

impl OfficerRole {
    fn decides(&self) -> bool {
        self.role == SECURITY_OFFICER && !self.suspended
    }
}

impl View<'_> {
    /// May this officer (nobody: the configuration file) propose or approve these acts?
    ///
    /// Suspending is always allowed while an officer is left to do it, so that a stolen card is closed out by whoever
    /// notices; everything else must leave enough officers for the next decision.
    pub fn check(&self, acts: &[Act], who: Option<&OfficerIdentity>) -> Result<(), StepRefused> {
        let subjects: BTreeSet<String> = acts.iter().map(Act::subject).collect();
        if acts.is_empty() || acts.len() > ACTS || subjects.len() != acts.len() {
            return Err(StepRefused::Acts);
        }
        // What the file says is taken as a whole; a key that was succeeded cannot be put back if another act fails.
        let alone = |a: &Act| matches!(a, Act::AdoptFiles { .. } | Act::KeyRotate { .. });
        if acts.len() > 1 && acts.iter().any(alone) {
            return Err(StepRefused::Acts);
        }
        for act in acts {
            let (what, name) = act.what();
            let known = self.roster.0.get(name);
            let idle = match act {
                Act::MemberRemove { .. } => known.is_none(),
                Act::MemberSuspend { .. } => known.is_none_or(|m| m.suspended),
                Act::MemberResume { .. } => known.is_none_or(|m| !m.suspended),
                // One letter in the wrong case, and an authority that was to go would stay.
                Act::AnchorRemove { .. } => (self.subject)(&act.subject()).is_empty(),
                _ => false,
            };
            if idle {
                return Err(StepRefused::Idle);
            }
            if what == "member" && who.is_some_and(|w| w.name == name) {
                return Err(StepRefused::Oneself);
            }
        }
        let after = self.roster.after(acts, self.files);
        if let Some(who) = who {
            let role = |r: &Roster| r.0.get(&who.name).map(|m| (m.role.clone(), m.suspended));
            if role(self.roster) != role(&after) {
                return Err(StepRefused::Oneself);
            }
        }
        let least = if self.four_eyes && !acts.iter().all(Act::closes) { 2 } else { 1 };
        // A node that has fewer already may still be given more.
        let enough = after.security_officers() >= least.min(self.roster.security_officers().max(1));
        if enough { Ok(()) } else { Err(StepRefused::Officers) }
    }

    /// The digest of what these acts touch, hexadecimal. A proposal holds while it stays the same: a change of anything
    /// else leaves it as it was checked, a change of what it touches means that it must be proposed again.
    pub fn base(&self, acts: &[Act]) -> String {
        let touched: BTreeMap<String, String> =
            acts.iter().map(|a| (a.subject(), (self.subject)(&a.subject()))).collect();
        let text = serde_json::to_vec(&touched).expect("text is JSON");
        Digest::of(&text).to_hex()
    }

    /// How many officers these acts need.
    pub fn needs(&self, acts: &[Act]) -> u8 {
        if self.four_eyes && !acts.iter().all(Act::closes) { 2 } else { 1 }
    }
}
