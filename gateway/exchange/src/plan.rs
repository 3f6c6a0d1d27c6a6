//! The plan of a node: for each dataset, who receives it, how it is mapped for them and what they may see.
//! Compiled once from catalogue and configuration; a change of either makes a new plan.

use crate::event::{Description, Encoding};
use crate::names::{InvalidName, Lane, StreamId};
use crate::recall_revs::RecallRevs;
use crate::secrets::{Identifier, Keyer, RecordSecret};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use xinqiao_crypto::{hex, sha256};
use xinqiao_schemas::{Catalogue, Dataset, RecipientKind, Route, RouteSecrets, Schema};

/// A recipient as the configuration names it.
#[derive(Clone, Debug)]
pub struct Recipient {
    /// The member's name.
    pub name: String,
    /// The policy it is served under.
    pub policy: String,
    /// Dataset → the schema it wants.
    pub datasets: BTreeMap<String, String>,
    /// How its payloads are encoded.
    pub encoding: Encoding,
    /// What goes to it may come back: it is a node, and this one receives from nodes.
    pub may_return: bool,
}

/// Everything the record path needs to know.
pub struct Plan {
    datasets: BTreeMap<String, Arc<DatasetPlan>>,
}

/// One dataset.
pub struct DatasetPlan {
    /// The dataset.
    pub dataset: Arc<Dataset>,
    /// Makes the ids of its records.
    pub identifier: Identifier,
    /// The revs of own recalls that may come back.
    pub recall_revs: RecallRevs,
    /// Who receives it.
    pub recipients: Vec<RecipientPlan>,
    /// Schemas it may come in.
    pub schemas: Vec<Arc<SchemaPlan>>,
}

/// One recipient of a dataset.
pub struct RecipientPlan {
    /// The member's name.
    pub name: String,
    /// The stream of daily records.
    pub daily: StreamId,
    /// The stream of history.
    pub history: StreamId,
    /// Makes its keys.
    pub keyer: Keyer,
    /// What its batches say they were made with.
    pub description: Description,
    /// The digests of every mapping into its schema, one a line: what `mapping_digest` of its manifests is over.
    pub mapping_set: Vec<u8>,
    /// What kind of recipient it is.
    pub kind: RecipientKind,
    /// What goes to it may come back: it is a node, and this one receives from nodes.
    pub may_return: bool,
}

/// One schema a dataset may come in, with its way to each recipient.
pub struct SchemaPlan {
    /// The schema.
    pub schema: Arc<Schema>,
    /// In the order of [`DatasetPlan::recipients`].
    pub routes: Vec<Route>,
}

/// A plan that cannot be made.
#[derive(Debug)]
pub enum PlanError {
    /// A recipient wants a dataset the catalogue has not.
    Dataset(String),
    /// A recipient wants a schema the catalogue has not, or of another dataset.
    Schema(String),
    /// A schema has no way to a recipient's.
    Route(String),
    /// A name that cannot be part of a stream's.
    Name(InvalidName),
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dataset(d) => {
                write!(f, "the catalogue has no dataset `{d}`; correct the recipient's `datasets`")
            }
            Self::Schema(s) => write!(
                f,
                "the catalogue has no schema `{s}` of that dataset; correct the recipient's `datasets`"
            ),
            Self::Route(why) => f.write_str(why),
            Self::Name(n) => write!(f, "{n}: lower-case letters, digits and hyphens only"),
        }
    }
}
impl std::error::Error for PlanError {}

impl From<InvalidName> for PlanError {
    fn from(n: InvalidName) -> Self {
        PlanError::Name(n)
    }
}

impl Plan {
    /// Compiles a plan. Schemas of a dataset that have no mapping to a recipient's schema are not open at this node.
    pub fn compile(
        catalogue: &Catalogue,
        recipients: &[Recipient],
        secret: &RecordSecret,
    ) -> Result<Plan, PlanError> {
        for r in recipients {
            for (dataset, schema) in &r.datasets {
                catalogue.dataset(dataset).ok_or_else(|| PlanError::Dataset(dataset.clone()))?;
                let found = catalogue.schema(schema).ok_or_else(|| PlanError::Schema(schema.clone()))?;
                if found.dataset() != dataset {
                    return Err(PlanError::Schema(schema.clone()));
                }
            }
        }
        let mut datasets = BTreeMap::new();
        for dataset in catalogue.datasets() {
            let plan = DatasetPlan::compile(catalogue, dataset, recipients, secret)?;
            datasets.insert(dataset.id().to_owned(), Arc::new(plan));
        }
        Ok(Plan { datasets })
    }

    /// The plan of one dataset.
    pub fn dataset(&self, id: &str) -> Option<&Arc<DatasetPlan>> {
        self.datasets.get(id)
    }

    /// All of them, in order of id.
    pub fn datasets(&self) -> impl Iterator<Item = &DatasetPlan> {
        self.datasets.values().map(|d| &**d)
    }

    /// The recipient a stream belongs to.
    pub fn recipient_of(&self, stream: &StreamId) -> Option<&RecipientPlan> {
        self.dataset(stream.dataset())?.recipients.iter().find(|r| r.name == stream.recipient())
    }
}

impl DatasetPlan {
    fn compile(
        catalogue: &Catalogue,
        dataset: &Arc<Dataset>,
        recipients: &[Recipient],
        secret: &RecordSecret,
    ) -> Result<DatasetPlan, PlanError> {
        let id = dataset.id();
        let wanting: Vec<(&Recipient, &str)> =
            recipients.iter().filter_map(|r| Some((r, r.datasets.get(id)?.as_str()))).collect();
        let mut schemas = Vec::new();
        for schema in catalogue.schemas().filter(|s| s.dataset() == id) {
            let reachable = wanting
                .iter()
                .all(|(_, to)| *to == schema.id() || catalogue.mapping(schema.id(), to).is_some());
            if !reachable {
                continue;
            }
            let mut routes = Vec::with_capacity(wanting.len());
            for (r, to) in &wanting {
                let secrets = RouteSecrets::new(secret.pseudonym(&r.name));
                let route = catalogue
                    .route(schema.id(), to, &r.policy, &secrets)
                    .map_err(|e| PlanError::Route(format!("recipient `{}`: {e}", r.name)))?;
                routes.push(route);
            }
            schemas.push(Arc::new(SchemaPlan { schema: schema.clone(), routes }));
        }
        let mut plans = Vec::with_capacity(wanting.len());
        for (n, (r, to)) in wanting.iter().enumerate() {
            let target = catalogue.schema(to).ok_or_else(|| PlanError::Schema((*to).into()))?;
            let policy = catalogue.policy(&r.policy).ok_or_else(|| {
                PlanError::Route(format!(
                    "recipient `{}`: the catalogue has no policy `{}`",
                    r.name, r.policy
                ))
            })?;
            let mut mappings: Vec<String> = schemas
                .iter()
                .map(|s: &Arc<SchemaPlan>| hex::encode(&s.routes[n].digests().mapping) + "\n")
                .collect();
            mappings.sort_unstable();
            let mapping_set = mappings.concat().into_bytes();
            plans.push(RecipientPlan {
                name: r.name.clone(),
                daily: StreamId::new(&r.name, id, Lane::Daily)?,
                history: StreamId::new(&r.name, id, Lane::History)?,
                keyer: secret.keyer(&r.name, id),
                description: Description {
                    schema: (*to).to_owned(),
                    schema_digest: hex::encode(target.digest()),
                    mapping_digest: hex::encode(&sha256(&mapping_set)),
                    policy: r.policy.clone(),
                    policy_digest: hex::encode(policy.digest()),
                    encoding: r.encoding,
                },
                mapping_set,
                kind: policy.recipient_kind(),
                may_return: r.may_return,
            });
        }
        Ok(DatasetPlan {
            dataset: dataset.clone(),
            identifier: secret.identifier(id),
            recall_revs: secret.recall_revs(id),
            recipients: plans,
            schemas,
        })
    }

    /// May its lines come back to this node?
    pub fn may_return(&self) -> bool {
        self.recipients.iter().any(|r| r.may_return)
    }

    /// The schema a submission names; none may be named only while a single one is open.
    pub fn schema(&self, id: Option<&str>) -> Option<&Arc<SchemaPlan>> {
        match id {
            Some(id) => self.schemas.iter().find(|s| s.schema.id() == id),
            None => match self.schemas.as_slice() {
                [one] => Some(one),
                _ => None,
            },
        }
    }
}

impl RecipientPlan {
    /// The stream of a lane.
    pub fn stream(&self, lane: Lane) -> &StreamId {
        match lane {
            Lane::Daily => &self.daily,
            Lane::History => &self.history,
        }
    }
}
