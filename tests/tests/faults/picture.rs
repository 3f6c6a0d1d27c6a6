//! Everything members can see of a node, so that two moments can be compared.

use std::collections::BTreeMap;
use std::time::Duration;
use xinqiao::demo::process::NodeProcess;
use xinqiao_client::{ClientError, Sent};
use xinqiao_evidence::Digest;
use xinqiao_tests::site::{DEPARTMENTS, Site};
use xinqiao_tests::traffic::Request;

/// Answers by what was asked: a digest of each, or the code of the refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Picture(BTreeMap<String, Result<Digest, String>>);

impl Picture {
    /// Asks for everything: batches with their proofs, payloads, submissions, feedback, and every request once more.
    pub(crate) async fn take(site: &Site, node: &NodeProcess, sent: &[(Request, Sent)]) -> Self {
        let mut all = BTreeMap::new();
        for (member, dataset) in Site::streams() {
            let stream = format!("{member}.{dataset}");
            let client = site.client(member, node);
            for after in 0.. {
                let page = match client.batches(&stream, after, 1, Duration::ZERO).await {
                    Ok(page) => page,
                    Err(error) => {
                        all.insert(format!("{stream} after {after}"), refused(&error));
                        break;
                    }
                };
                let Some(batch) = page.batches.first() else { break };
                let text = format!("{}\n{}\n{:?}", batch.manifest.get(), batch.proof, batch.entry);
                all.insert(format!("{stream} after {after}"), Ok(Digest::of(text.as_bytes())));
                let payload = client.payload(&stream, after + 1).await;
                all.insert(format!("{stream} payload {}", after + 1), digest(&payload));
            }
        }
        for (request, sent) in sent {
            let client = site.client(request.member(), node);
            let view = client.submission(&sent.response.submission).await.map(|view| view.to_string());
            all.insert(format!("view of {}", request.key()), digest(&view));
            let again = client.send(&request.submission()).await.map(|sent| sent.raw);
            all.insert(format!("answer to {}", request.key()), digest(&again));
        }
        for member in DEPARTMENTS {
            let page = site.client(member, node).feedback(0, Duration::ZERO).await;
            let page = page.map(|page| format!("{:?} {}", page.feedback, page.next));
            all.insert(format!("feedback of {member}"), digest(&page));
        }
        Self(all)
    }

    /// What differs: what was asked, with both answers.
    pub(crate) fn differences(&self, other: &Self) -> Vec<String> {
        let names = self.0.keys().chain(other.0.keys()).collect::<std::collections::BTreeSet<_>>();
        let differ = names.into_iter().filter(|name| self.0.get(*name) != other.0.get(*name));
        differ.map(|name| format!("{name}: {:?} / {:?}", self.0.get(name), other.0.get(name))).collect()
    }

    /// What is answered here otherwise than there, refusals aside.
    pub(crate) fn contradictions(&self, other: &Self) -> Vec<String> {
        let wrong =
            self.0.iter().filter(|(name, answer)| answer.is_ok() && other.0.get(*name) != Some(*answer));
        wrong.map(|(name, answer)| format!("{name}: {answer:?} / {:?}", other.0.get(name))).collect()
    }

    /// Codes of everything that was refused.
    pub(crate) fn refusals(&self) -> Vec<String> {
        self.0
            .iter()
            .filter_map(|(name, answer)| Some(format!("{name}: {}", answer.as_ref().err()?)))
            .collect()
    }
}

fn digest<T: AsRef<[u8]>>(answer: &Result<T, ClientError>) -> Result<Digest, String> {
    match answer {
        Ok(bytes) => Ok(Digest::of(bytes.as_ref())),
        Err(error) => refused(error),
    }
}

fn refused(error: &ClientError) -> Result<Digest, String> {
    Err(error.code().to_owned())
}
