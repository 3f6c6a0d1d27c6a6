//! The side of a node that takes submissions: once per key, the same answer to a repeat, a receipt with a real proof.

use std::borrow::Cow;
use std::io::Read;

use serde_json::json;
use xinqiao_evidence::base64;
use xinqiao_evidence::entry::{Counts, Event};
use xinqiao_evidence::jcs;
use xinqiao_evidence::receipt::{Receipt, Salt, salted_digest};

use crate::node::Node;
use crate::server::{Reply, Seen};

/// A submission that was taken.
#[derive(Clone)]
pub(crate) struct Taken {
    pub(crate) key: String,
    pub(crate) body: Vec<u8>,
    request: String,
    pub(crate) answer: Vec<u8>,
}

impl Taken {
    /// The receipt, byte for byte as it was sent.
    pub(crate) fn receipt(&self) -> String {
        #[derive(serde::Deserialize)]
        struct Answer<'a> {
            #[serde(borrow)]
            receipt: &'a serde_json::value::RawValue,
        }
        serde_json::from_slice::<Answer<'_>>(&self.answer).unwrap().receipt.get().to_owned()
    }
}

impl Node {
    /// A line that says `bad` is refused; if all are, so is the submission.
    pub(crate) fn submit(&mut self, seen: &Seen) -> Reply {
        let key = seen.header("idempotency-key").to_owned();
        let request =
            format!("{}?{} {} {}", seen.path, seen.query, seen.header("content-type"), seen.header("prefer"));
        let mut body = seen.body.to_vec();
        if seen.header("content-encoding") == "gzip" {
            body.clear();
            flate2::read::GzDecoder::new(&seen.body[..]).read_to_end(&mut body).unwrap();
        }
        if let Some(known) = self.taken.iter().find(|taken| taken.key == key) {
            return match known.request == request && known.body == body {
                true => Reply::json(201, known.answer.clone()),
                false => problem(422, "idempotency.reused", &json!([])),
            };
        }
        let lines: Vec<&[u8]> = body.split(|b| *b == b'\n').filter(|line| !line.is_empty()).collect();
        let takes_all = self.takes_all;
        let bad = move |line: &[u8]| !takes_all && line.windows(3).any(|part| part == b"bad");
        let findings: Vec<serde_json::Value> = (lines.iter().enumerate())
            .filter(|(_, line)| bad(line))
            .map(|(n, _)| json!({"record": n, "field": null, "code": "record.bad", "severity": "refuse", "en": "bad", "zh": "不合格"}))
            .collect();
        let (all, refused) = (lines.len() as u64, findings.len() as u64);
        let rejected = json!(findings);
        if refused == all {
            return problem(422, "records.refused", &rejected);
        }
        let salt = Salt::generate().unwrap();
        let counts = Counts { accepted: all - refused, refused, warned: 0 };
        let query = |name: &str| {
            let value = seen.query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            value.map(str::to_owned)
        };
        let index = self.entries.len();
        self.log(Event::Submission {
            member: "health".into(),
            dataset: Cow::Owned(seen.path.split('/').nth(3).unwrap().to_owned()),
            schema: query("schema").unwrap_or("administrative-penalty-2020".into()).into(),
            op: query("op").unwrap().into(),
            load: query("load").unwrap_or("daily".into()).into(),
            handling: None,
            counts,
            body_digest: salted_digest(&salt, &body).into(),
            rejected_digest: salted_digest(&salt, &jcs::to_jcs(&rejected).unwrap()).into(),
        });
        let receipt = Receipt {
            entry: self.entries[index].clone(),
            proof: self.proof(index),
            rejected: rejected.clone(),
            salt,
        };
        let receipt = serde_json::value::RawValue::from_string(String::from_utf8(receipt.to_json()).unwrap());
        let answer = serde_json::to_vec(&json!({
            "submission": format!("{index}-{}", base64::encode(&index.to_be_bytes()[6..]).trim_end_matches('=')),
            "accepted": counts.accepted,
            "refused": refused,
            "warned": 0,
            "receipt": receipt.unwrap(),
            "errors": rejected,
        }))
        .unwrap();
        self.taken.push(Taken { key, body, request, answer: answer.clone() });
        Reply::json(201, answer)
    }

    /// Five at a time.
    pub(crate) fn feedback_page(&self, seen: &Seen) -> Reply {
        let after: u64 =
            seen.query.split('&').find_map(|p| p.strip_prefix("after=")).unwrap().parse().unwrap();
        let page: Vec<u64> = (after + 1..=self.feedback).take(5).collect();
        let feedback: Vec<serde_json::Value> = page
            .iter()
            .map(|n| json!({"n": n, "submission": "1-x", "record": 0, "stream": "p.d", "code": "X", "message": "m", "time": "2026-11-21T08:00:00Z"}))
            .collect();
        let next = page.last().copied().unwrap_or(after);
        Reply::json(200, json!({"feedback": feedback, "next": next}).to_string())
    }
}

pub(crate) fn problem(status: u16, code: &str, errors: &serde_json::Value) -> Reply {
    let body = json!({"type": "about:blank", "title": code, "title_zh": code, "status": status, "code": code, "errors": errors});
    Reply::problem(status, body.to_string())
}
