//! What becomes of a record: batches, answers, feedback, recalls, lanes, pushes, relays, and the node's own life, over
//! real mutual TLS against real processes.

mod acknowledging;
mod answers;
mod life;
mod push;
mod reading;
mod recalls;
mod relay;
mod sending;
mod stopping;
mod upgrade;
mod watchers;

use serde_json::Value;
use std::sync::LazyLock;
use xinqiao_schemas::SubjectKind;
use xinqiao_schemas::synthetic::{Record, Table};
use xinqiao_tests::city::{City, NDJSON, ndjson, put, record};
use xinqiao_tests::peer::{Ask, Peer};

/// One node for the tests that need nothing special. They keep out of each other's streams: `answers` has the
/// history lane of licences, `recalls` the province's and the portal's penalties, `reading` the agency's streams.
static CITY: LazyLock<City> = LazyLock::new(|| City::start("exchange", |_| String::new()));

/// A put of city licences under a fresh key.
fn put_licences(records: &[Record]) -> Ask {
    let path = "/v1/datasets/administrative-licence/records?schema=xm-licence";
    Ask { path: path.into(), ..put(NDJSON, ndjson(records)) }
}

fn licence() -> Record {
    record(0, Table::CityLicence, SubjectKind::LegalPerson)
}

/// Sends records that are all to be taken; the answer.
async fn take(peer: &Peer, ask: Ask, accepted: u64) -> Value {
    let told = peer.ask(ask).await.good(201);
    assert_eq!((told["accepted"].as_u64(), told["refused"].as_u64()), (Some(accepted), Some(0)), "{told}");
    told
}

/// The id in an answer.
fn submission(told: &Value) -> &str {
    told["submission"].as_str().expect("an id")
}
