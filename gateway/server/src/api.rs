//! The exchange API: paths and headers in, engine calls, answers out. Which role may do what stands in [`route`].

mod acknowledge;
mod log;
pub(crate) mod query;
mod records;
mod streams;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde::Serialize;
use std::sync::Arc;
use xinqiao_certs::Role;
use xinqiao_edge::{Exchange, Reply};
use xinqiao_node::engine::Node;
use xinqiao_runtime::problem::{Problem, ProblemCode};

/// The OpenAPI 3.1 document, as served.
pub const OPENAPI: &str = include_str!("api/openapi.json");

/// What a path is, with the names in it.
#[derive(Debug, PartialEq, Eq)]
enum Path<'a> {
    Datasets,
    Records(&'a str),
    DatasetFile(&'a str, &'a str),
    Submission(&'a str),
    Feedback,
    Streams,
    Batches(&'a str),
    Payload(&'a str, &'a str),
    Acknowledgements(&'a str),
    Recall(&'a str),
    Keys,
    Checkpoint,
    Tile(&'a str),
    OpenApi,
    Unknown,
}

impl<'a> Path<'a> {
    fn parse(path: &'a str) -> Self {
        let Some(rest) = path.strip_prefix("/v1/") else { return Path::Unknown };
        if let Some(tile) = rest.strip_prefix("log/tile/") {
            return Path::Tile(tile);
        }
        let parts: Vec<&str> = rest.splitn(6, '/').collect();
        match parts.as_slice() {
            ["datasets"] => Path::Datasets,
            ["datasets", dataset, "records"] => Path::Records(dataset),
            [
                "datasets",
                dataset,
                file @ ("schema.json" | "schema.xsd" | "template.csv" | "template.xlsx"),
            ] => Path::DatasetFile(dataset, file),
            ["submissions", id] => Path::Submission(id),
            ["feedback"] => Path::Feedback,
            ["streams"] => Path::Streams,
            ["streams", stream, "batches"] => Path::Batches(stream),
            ["streams", stream, "batches", seq, "payload"] => Path::Payload(stream, seq),
            ["streams", stream, "acknowledgements"] => Path::Acknowledgements(stream),
            ["recalls", id] => Path::Recall(id),
            ["keys"] => Path::Keys,
            ["log", "checkpoint"] => Path::Checkpoint,
            ["openapi.json"] => Path::OpenApi,
            _ => Path::Unknown,
        }
    }

    /// The template that goes to metrics and logs, and the one method the path knows.
    fn template(&self) -> (&'static str, Method) {
        match self {
            Path::Datasets => ("/v1/datasets", Method::GET),
            Path::Records(_) => ("/v1/datasets/{dataset}/records", Method::POST),
            Path::DatasetFile(..) => ("/v1/datasets/{dataset}/{file}", Method::GET),
            Path::Submission(_) => ("/v1/submissions/{id}", Method::GET),
            Path::Feedback => ("/v1/feedback", Method::GET),
            Path::Streams => ("/v1/streams", Method::GET),
            Path::Batches(_) => ("/v1/streams/{stream}/batches", Method::GET),
            Path::Payload(..) => ("/v1/streams/{stream}/batches/{seq}/payload", Method::GET),
            Path::Acknowledgements(_) => ("/v1/streams/{stream}/acknowledgements", Method::POST),
            Path::Recall(_) => ("/v1/recalls/{id}", Method::GET),
            Path::Keys => ("/v1/keys", Method::GET),
            Path::Checkpoint => ("/v1/log/checkpoint", Method::GET),
            Path::Tile(_) => ("/v1/log/tile/{tile}", Method::GET),
            Path::OpenApi => ("/v1/openapi.json", Method::GET),
            Path::Unknown => ("unknown", Method::GET),
        }
    }

    /// May a member of this role ask at all? What it sees there is decided by name.
    fn open_to(&self, role: Role) -> bool {
        match self {
            Path::Records(_) | Path::Feedback | Path::Submission(_) => {
                matches!(role, Role::Department | Role::Node)
            }
            Path::Recall(_) => matches!(role, Role::Department | Role::Node),
            Path::Datasets | Path::DatasetFile(..) => true,
            Path::Streams | Path::Batches(_) | Path::Payload(..) | Path::Acknowledgements(_) => {
                matches!(role, Role::Recipient | Role::Relay)
            }
            Path::Tile(tile) => !tile.starts_with("entries/") || role == Role::Auditor,
            Path::Keys | Path::Checkpoint | Path::OpenApi | Path::Unknown => true,
        }
    }
}

/// Answers one request.
pub async fn route(node: Arc<Node>, exchange: Exchange) -> Reply {
    let uri = exchange.parts.uri.clone();
    let path = Path::parse(uri.path());
    let (template, method) = path.template();
    match answer(node, exchange, &path, template, &method).await {
        Ok(reply) => reply,
        Err(problem) => Reply::problem(template, problem),
    }
}

async fn answer(
    node: Arc<Node>,
    exchange: Exchange,
    path: &Path<'_>,
    template: &'static str,
    method: &Method,
) -> Result<Reply, Problem> {
    if *path == Path::Unknown {
        return Err(ProblemCode::NotFound.into());
    }
    let asked = &exchange.parts.method;
    if asked != method && !(*method == Method::GET && asked == Method::HEAD) {
        let allow = if *method == Method::GET { "GET, HEAD" } else { "POST" };
        return Err(Problem::new(ProblemCode::MethodNotAllowed).allow(allow));
    }
    if !path.open_to(exchange.member.role()) {
        return Err(ProblemCode::RoleWrong.into());
    }
    let takes_none = matches!(
        path,
        Path::Datasets
            | Path::Streams
            | Path::Submission(_)
            | Path::Recall(_)
            | Path::Keys
            | Path::Checkpoint
            | Path::Tile(_)
            | Path::OpenApi
    );
    if takes_none {
        query::Query::parse(exchange.parts.uri.query(), &[])?;
    }
    match *path {
        Path::Records(dataset) => records::post(node, exchange, template, dataset).await,
        Path::Datasets => records::datasets(&node, &exchange, template),
        Path::DatasetFile(dataset, file) => records::file(&node, &exchange, template, dataset, file),
        Path::Submission(id) => {
            json(template, &blocking(&node, exchange.member.name(), id, Node::submission_view).await?)
        }
        Path::Recall(id) => {
            json(template, &blocking(&node, exchange.member.name(), id, Node::recall_view).await?)
        }
        Path::Feedback => records::feedback(&node, &exchange, template).await,
        Path::Streams => streams::list(&node, &exchange, template),
        Path::Batches(stream) => streams::batches(&node, &exchange, template, stream).await,
        Path::Payload(stream, seq) => streams::payload(&node, &exchange, template, stream, seq).await,
        Path::Acknowledgements(stream) => acknowledge::acknowledge(&node, exchange, template, stream).await,
        Path::Keys => log::keys(&node, template),
        Path::Checkpoint => log::checkpoint(&node, template),
        Path::Tile(tile) => log::tile(&node, template, tile).await,
        Path::OpenApi => Ok(Reply::bytes(template, StatusCode::OK, "application/json", OPENAPI)),
        Path::Unknown => Err(ProblemCode::NotFound.into()),
    }
}

/// Runs a view that reads the disk away from the reactor.
async fn blocking<T: Send + 'static>(
    node: &Arc<Node>,
    member: &str,
    id: &str,
    view: fn(&Node, &str, &str) -> Result<T, Problem>,
) -> Result<T, Problem> {
    let (node, member, id) = (node.clone(), member.to_owned(), id.to_owned());
    tokio::task::spawn_blocking(move || view(&node, &member, &id)).await.map_err(|_| ProblemCode::Internal)?
}

fn json(template: &'static str, body: &impl Serialize) -> Result<Reply, Problem> {
    let bytes = serde_json::to_vec(body).map_err(|_| ProblemCode::Internal)?;
    Ok(Reply::bytes(template, StatusCode::OK, "application/json", Bytes::from(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_parse() {
        assert_eq!(
            Path::parse("/v1/datasets/administrative-penalty/records"),
            Path::Records("administrative-penalty")
        );
        assert_eq!(Path::parse("/v1/streams/a.b/batches/3/payload"), Path::Payload("a.b", "3"));
        assert_eq!(Path::parse("/v1/log/tile/0/x001/234.p/5"), Path::Tile("0/x001/234.p/5"));
        for p in [
            "/",
            "/v1",
            "/v1/",
            "/v1/streams/",
            "/v2/keys",
            "/v1/keys/",
            "/v1//keys",
            "/v1/streams/a/b/c/d/e/f",
        ] {
            assert_eq!(Path::parse(p), Path::Unknown, "{p}");
        }
    }

    #[test]
    fn every_served_path_is_in_the_openapi_document() {
        let document: serde_json::Value = serde_json::from_str(OPENAPI).unwrap();
        let paths = document["paths"].as_object().unwrap();
        for path in [
            Path::Datasets,
            Path::Records("x"),
            Path::DatasetFile("x", "schema.json"),
            Path::Submission("x"),
            Path::Feedback,
            Path::Streams,
            Path::Batches("x"),
            Path::Payload("x", "1"),
            Path::Acknowledgements("x"),
            Path::Recall("x"),
            Path::Keys,
            Path::Checkpoint,
            Path::Tile("x"),
            Path::OpenApi,
        ] {
            let (template, method) = path.template();
            let method = method.as_str().to_ascii_lowercase();
            assert!(paths[template][&method].is_object(), "{template} {method}");
        }
    }
}
