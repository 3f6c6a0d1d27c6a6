//! A recipient's acknowledgement, from its body to the engine.
//!
//! A body may be large and made to be costly, so nothing here is done on a thread that answers requests: it is read in
//! the member's turn, and what reading takes is paid for before it begins.

use super::records::one;
use super::streams::stream_of;
use crate::routes::{Call, json};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use std::sync::Arc;
use xinqiao_edge::{BodyCaps, Exchange, Reply};
use xinqiao_evidence::acknowledgement::{
    Acknowledgement, AcknowledgementError, MAX_ACKNOWLEDGEMENT, reading_takes,
};
use xinqiao_evidence::jws::MAX_JWS;
use xinqiao_evidence::keys::Jwks;
use xinqiao_node::engine::Node;
use xinqiao_node::engine::acknowledge::Received;
use xinqiao_runtime::INLINE;
use xinqiao_runtime::refusal::{Refusal, RefusalCode};

/// How it is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Jws,
}

impl Form {
    fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let kind = one(headers, CONTENT_TYPE)?.unwrap_or("");
        match kind.split(';').next().unwrap_or("").trim().to_ascii_lowercase().as_str() {
            "application/json" => Ok(Self::Json),
            "application/jose+json" => Ok(Self::Jws),
            _ => Err(Refusal::new(RefusalCode::MediaTypeUnsupported).detail(
                "Use application/json, or application/jose+json for a signed acknowledgement.",
                "请使用 application/json；已签名的确认请使用 application/jose+json。",
            )),
        }
    }

    /// What could only be refused once it is read is not decompressed either.
    fn caps(self) -> BodyCaps {
        let decoded = if self == Self::Json { MAX_ACKNOWLEDGEMENT } else { MAX_JWS };
        BodyCaps { decoded, ..BodyCaps::of(16 << 20) }
    }

    fn read(self, bytes: &[u8], keys: &Jwks) -> Result<Acknowledgement, Refusal> {
        let read = match self {
            Self::Json => Acknowledgement::from_json(bytes),
            Self::Jws => Acknowledgement::from_jws(bytes, keys),
        };
        read.map_err(|e| match e {
            AcknowledgementError::Jws(_) => RefusalCode::AcknowledgementSignature.into(),
            _ => RefusalCode::AcknowledgementMalformed.into(),
        })
    }
}

pub(super) async fn acknowledge(call: Call<'_, Arc<Node>>) -> Result<Reply, Refusal> {
    let Call { with: node, exchange, names: [stream, _], template, .. } = call;
    let stream = stream_of(stream)?;
    let Exchange { member, parts, body, account, .. } = exchange;
    node.my_stream(member.name(), &stream)?;
    let form = Form::of(&parts.headers)?;
    let body = body.read(form.caps()).await?;
    let length = body.bytes.len();
    let takes = if length <= INLINE { 0 } else { reading_takes(length, form == Form::Jws) };
    let reading = account.take_beside(&body.permit, takes)?;
    let keys = node.acknowledgement_keys(member.name());
    let work = move || (form.read(&body.bytes, &keys), body, reading);
    let (said, body, reading) = account.in_turn(length, work).await;
    let mut paid = body.permit;
    paid.merge(reading);
    let received = Received { said: said?, as_sent: body.bytes, paid: Some((account, paid)) };
    json(template, &node.acknowledge(member.name(), &stream, received).await?)
}
