//! The rules in force: catalogue, plan and sources, compiled together and replaced whole while the node runs.
//!
//! What was checked under older rules and not yet committed is checked again; chunks made under an older policy are
//! withheld at sealing, and a batch sealed under one and never handed out is taken back. When [`Node::adopt_policies`]
//! or [`Node::adopt_members`] returns, nothing leaves under the older rules any more.

use super::Node;
use crate::config::{Config, Member, shared_authorities};
use crate::engine::Keyring;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use xinqiao_exchange::plan::{Plan, Recipient};
use xinqiao_exchange::source::Source;
use xinqiao_schemas::{Catalogue, CatalogueFile, ReadAsScan};

/// Rules that belong together.
pub struct Rules {
    /// Grows with every change.
    pub number: u64,
    /// The catalogue, with the policies officers approved.
    pub catalogue: Catalogue,
    /// Who gets what, and how.
    pub plan: Plan,
    /// Who may send what.
    pub sources: BTreeMap<String, Arc<Source>>,
    base: Arc<Vec<CatalogueFile>>,
    policies: BTreeMap<String, String>,
    read_as_scan: Vec<ReadAsScan>,
    members: Vec<Member>,
}

/// Rules that cannot take effect; those in force stay.
#[derive(Debug)]
pub enum RulesError {
    /// The catalogue or the plan does not hold together; what and where.
    Unusable(String),
    /// They could not be noted in the journal.
    NotNoted,
}

impl fmt::Display for RulesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unusable(why) => f.write_str(why),
            Self::NotNoted => f.write_str("the change could not be written to the journal; try again"),
        }
    }
}
impl std::error::Error for RulesError {}

/// The policies that officers put in the place of the catalogue's, by id.
struct Put {
    policies: BTreeMap<String, String>,
    /// The ids of those that they had approved before. They are taken whatever is asked of new ones by now, so that a node
    /// starts on what was once decided.
    settled: BTreeSet<String>,
}

impl Put {
    fn settled(policies: BTreeMap<String, String>) -> Self {
        Self { settled: policies.keys().cloned().collect(), policies }
    }

    /// Settled is what is in force already, word for word.
    fn after(now: &Rules, policies: BTreeMap<String, String>) -> Self {
        let known = policies.iter().filter(|(id, text)| now.policies.get(*id) == Some(text));
        Self { settled: known.map(|(id, _)| id.clone()).collect(), policies }
    }
}

impl Rules {
    /// The first rules of a run.
    pub(super) fn first(
        config: &Config,
        base: Vec<CatalogueFile>,
        policies: BTreeMap<String, String>,
        members: Vec<Member>,
        secrets: &Keyring,
    ) -> Result<Self, RulesError> {
        Self::compile(1, config, Arc::new(base), Put::settled(policies), members, secrets)
    }

    /// The same with what officers decided laid over it, under whatever rules they decided it.
    pub(super) fn decided(
        self,
        config: &Config,
        policies: BTreeMap<String, String>,
        members: Vec<Member>,
        secrets: &Keyring,
    ) -> Result<Self, RulesError> {
        if policies == self.policies && members == self.members {
            return Ok(self);
        }
        Self::compile(self.number, config, self.base, Put::settled(policies), members, secrets)
    }

    fn compile(
        number: u64,
        config: &Config,
        base: Arc<Vec<CatalogueFile>>,
        put: Put,
        members: Vec<Member>,
        secrets: &Keyring,
    ) -> Result<Self, RulesError> {
        let (catalogue, read_as_scan) = overlaid(&base, &put)?;
        let plan = Plan::compile(&catalogue, &recipients(config, &members), &secrets.record)
            .map_err(|e| RulesError::Unusable(e.to_string()))?;
        let sources = sources(&members);
        Ok(Self { number, catalogue, plan, sources, base, policies: put.policies, read_as_scan, members })
    }

    /// The policies officers approved, by id.
    pub fn policies(&self) -> &BTreeMap<String, String> {
        &self.policies
    }

    /// Policies that officers approved under older rules, and of which more is scanned now than they say.
    pub fn read_as_scan(&self) -> &[ReadAsScan] {
        &self.read_as_scan
    }

    /// The members whose source rights are in force.
    pub fn members(&self) -> &[Member] {
        &self.members
    }
}

impl Node {
    /// The rules in force. Take them once per request: they may be replaced at any time.
    pub fn rules(&self) -> Arc<Rules> {
        self.rules.read().clone()
    }

    /// Would these policies, by id, be usable on top of the catalogue?
    pub fn rehearse_policies(&self, policies: &BTreeMap<String, String>) -> Result<(), RulesError> {
        let now = self.rules();
        let members = now.members.clone();
        let put = Put::after(&now, policies.clone());
        Rules::compile(0, &self.config, now.base.clone(), put, members, &self.secrets).map(drop)
    }

    /// Puts these policies, by id, in the place of the catalogue's, from now on. All that officers approved, not a
    /// difference. Blocks.
    pub fn adopt_policies(&self, policies: BTreeMap<String, String>) -> Result<(), RulesError> {
        let _turn = self.adopting.lock();
        let now = self.rules();
        self.adopt(Put::after(&now, policies), now.members.clone())
    }

    /// The same of policies that were in force before and are put back, because what was to follow them could not be.
    pub fn put_back_policies(&self, policies: BTreeMap<String, String>) -> Result<(), RulesError> {
        let _turn = self.adopting.lock();
        let members = self.rules().members.clone();
        self.adopt(Put::settled(policies), members)
    }

    /// Puts these members' source rights in force, from now on. All members, not a difference. Blocks.
    pub fn adopt_members(&self, members: Vec<Member>) -> Result<(), RulesError> {
        let _turn = self.adopting.lock();
        let policies = self.rules().policies.clone();
        self.adopt(Put::settled(policies), members)?;
        self.warn_of_shared_authorities();
        Ok(())
    }

    /// Says in the log which members act for one authority in two lineages.
    pub(super) fn warn_of_shared_authorities(&self) {
        for shared in shared_authorities(self.rules().members()) {
            tracing::warn!("{shared}");
        }
    }

    /// Says in the log of which policies more is scanned than they say.
    pub(super) fn warn_of_read_as_scan(&self) {
        for ReadAsScan { policy, classes } in self.rules().read_as_scan() {
            tracing::warn!(
                policy,
                classes = classes.join(", "),
                "a policy that officers adopted lets classes out to the public unread; they are scanned all the same: propose it with `scan`, or with the basis in [unscanned]"
            );
        }
    }

    fn adopt(&self, put: Put, members: Vec<Member>) -> Result<(), RulesError> {
        let now = self.rules();
        let next =
            Rules::compile(now.number + 1, &self.config, now.base.clone(), put, members, &self.secrets)?;
        let next = Arc::new(next);
        // First what a manifest will refer to, then the rules, then what streams are made with: each is durable before
        // the next, and the last commit is behind everything that was checked by the older rules.
        self.keep_documents(&next, &mut self.committing()).map_err(|_| RulesError::NotNoted)?;
        *self.rules.write() = next.clone();
        self.describe_streams(&next, &mut self.committing()).map_err(|_| RulesError::NotNoted)?;
        self.barrier().map_err(|_| RulesError::NotNoted)
    }

    /// Rules that are in force still when a commit's turn comes.
    pub(super) fn while_rules(&self, number: u64) -> impl Fn() -> bool + Send + 'static {
        let rules = self.rules.clone();
        move || rules.read().number == number
    }
}

/// The recipients a configuration names; what they are is known from the members.
pub fn recipients(config: &Config, members: &[Member]) -> Vec<Recipient> {
    let relays = |name: &str| members.iter().any(|m| m.name == name && m.role == xinqiao_certs::Role::Relay);
    let one = |r: &crate::config::Recipient| Recipient {
        name: r.member.clone(),
        policy: r.policy.clone(),
        datasets: r.datasets.clone(),
        encoding: r.encoding,
        may_return: !config.upstreams.is_empty() && relays(&r.member),
    };
    config.recipients.iter().map(one).collect()
}

fn sources(members: &[Member]) -> BTreeMap<String, Arc<Source>> {
    let one = |m: &Member| {
        let s = m.source.as_ref()?;
        let source = Source {
            member: m.name.clone(),
            unit: s.unit.clone(),
            datasets: s.datasets.clone(),
            authorities: s.authorities.clone(),
            lineage: s.lineage.clone().unwrap_or_else(|| m.name.clone()),
            relay: m.role == xinqiao_certs::Role::Node,
        };
        Some((m.name.clone(), Arc::new(source)))
    };
    members.iter().filter_map(one).collect()
}

/// The catalogue with some of its policies replaced, or added to.
fn overlaid(base: &[CatalogueFile], put: &Put) -> Result<(Catalogue, Vec<ReadAsScan>), RulesError> {
    let path = |id: &str| format!("policies/{id}.toml");
    let replaced: Vec<String> = put.policies.keys().map(|id| path(id)).collect();
    let mut files: Vec<CatalogueFile> =
        base.iter().filter(|f| !replaced.contains(&f.path)).cloned().collect();
    let mut settled = Vec::new();
    for (id, text) in &put.policies {
        let into = if put.settled.contains(id) { &mut settled } else { &mut files };
        into.push(CatalogueFile { path: path(id), text: text.clone() });
    }
    let (catalogue, read_as_scan) = Catalogue::from_files_and_adopted(&files, &settled)
        .map_err(|e| RulesError::Unusable(e.to_string()))?;
    // A name the catalogue does not look at would be in force for officers and for nobody else.
    match put.policies.keys().find(|id| catalogue.policy(id).is_none()) {
        Some(_) => Err(RulesError::Unusable("a policy's id must be letters, digits and hyphens".into())),
        None => Ok((catalogue, read_as_scan)),
    }
}
