//! The exchange API: paths and headers in, engine calls, answers out. Which path there is, and who may ask for what, stands
//! in [`rows`].

mod acknowledge;
mod log;
mod records;
mod streams;

use crate::routes::{Call, Route, Row, Table, json};
use http::StatusCode;
use std::sync::Arc;
use xinqiao_certs::Role;
use xinqiao_edge::{Exchange, Reply};
use xinqiao_node::engine::Node;
use xinqiao_runtime::refusal::{Refusal, RefusalCode};

/// The OpenAPI 3.1 document, as served.
pub const OPENAPI: &str = include_str!("api/openapi.json");

/// Those who send records.
const SENDERS: &[Role] = &[Role::Department, Role::Node];
/// Those who get batches.
const RECIPIENTS: &[Role] = &[Role::Recipient, Role::Relay];
/// Every member; what it sees is decided by its name.
const MEMBERS: &[Role] = &Role::ALL;

type Rows = Route<Arc<Node>>;

static ROUTES: [Rows; 14] =
    [
        Rows::get("/v1/datasets", MEMBERS, &[], |c| Box::pin(records::datasets(c))),
        Rows::post("/v1/datasets/{dataset}/records", SENDERS, &["op", "schema", "load"], |c| {
            Box::pin(records::post(c))
        }),
        Rows::get("/v1/datasets/{dataset}/{file}", MEMBERS, &["schema"], |c| Box::pin(records::file(c)))
            .only(&["schema.json", "schema.xsd", "template.csv", "template.xlsx"]),
        Rows::get("/v1/submissions/{id}", SENDERS, &[], |c| Box::pin(view(c, Node::submission_view))),
        Rows::get("/v1/feedback", SENDERS, &["after", "wait"], |c| Box::pin(records::feedback(c))),
        Rows::get("/v1/streams", RECIPIENTS, &[], |c| Box::pin(streams::list(c))),
        Rows::get("/v1/streams/{stream}/batches", RECIPIENTS, &["after", "limit", "wait"], |c| {
            Box::pin(streams::batches(c))
        }),
        Rows::get("/v1/streams/{stream}/batches/{seq}/payload", RECIPIENTS, &[], |c| {
            Box::pin(streams::payload(c))
        }),
        Rows::post("/v1/streams/{stream}/acknowledgements", RECIPIENTS, &[], |c| {
            Box::pin(acknowledge::acknowledge(c))
        })
        .query_unread(),
        Rows::get("/v1/recalls/{id}", SENDERS, &[], |c| Box::pin(view(c, Node::recall_view))),
        Rows::get("/v1/keys", MEMBERS, &[], |c| Box::pin(log::keys(c))),
        Rows::get("/v1/log/checkpoint", MEMBERS, &[], |c| Box::pin(log::checkpoint(c))),
        Rows::get("/v1/log/tile/{tile}", MEMBERS, &[], |c| Box::pin(log::tile(c))).with_rest(),
        Rows::get("/v1/openapi.json", MEMBERS, &[], |c| Box::pin(openapi(c))),
    ];
static TABLE: Table<Arc<Node>> = Table { routes: &ROUTES, head: true };

/// Every path and method of this listener, with who may ask and which query parameters there are.
pub fn rows() -> impl Iterator<Item = Row> {
    TABLE.rows()
}

/// Answers one request.
pub async fn route(node: Arc<Node>, exchange: Exchange) -> Reply {
    let uri = exchange.parts.uri.clone();
    let found = TABLE.find(uri.path());
    let template = found.template();
    match TABLE.response(&node, exchange, &uri, found).await {
        Ok(reply) => reply,
        Err(problem) => Reply::problem(template, problem),
    }
}

async fn openapi(call: Call<'_, Arc<Node>>) -> Result<Reply, Refusal> {
    Ok(Reply::bytes(call.template, StatusCode::OK, "application/json", OPENAPI))
}

/// What becomes of a thing the member sent, by its id. Reads the disk, away from the threads that answer requests.
async fn view<T: serde::Serialize + Send + 'static>(
    call: Call<'_, Arc<Node>>,
    of: fn(&Node, &str, &str) -> Result<T, Refusal>,
) -> Result<Reply, Refusal> {
    let [id, _] = call.names.map(str::to_owned);
    let (node, member) = (call.with.clone(), call.exchange.member.name().to_owned());
    let found = tokio::task::spawn_blocking(move || of(&node, &member, &id)).await;
    json(call.template, &found.map_err(|_| RefusalCode::Internal)??)
}
