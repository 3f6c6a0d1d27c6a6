//! Reading what an officer hands in.

use serde::de::DeserializeOwned;
use xinqiao_edge::{Body, BodyCaps, Exchange};
use xinqiao_runtime::refusal::{Refusal, RefusalCode};

/// 64 policies of the catalogue's size fit with room to spare.
pub(super) const LARGE: usize = 4 << 20;
/// Room for a reason.
pub(super) const SMALL: usize = 64 << 10;
/// What a value of a JSON tree takes at most: itself, its place in a container that doubles, its name.
const PER_VALUE: usize = 128;

/// Reads a body of up to `cap` bytes, off the threads that answer requests if it is long, and paid for: members of an entry
/// may be anything, so a tree is made of them.
pub(super) async fn read<T>(exchange: Exchange, cap: usize) -> Result<T, Refusal>
where
    T: DeserializeOwned + Send + 'static,
{
    let Exchange { body, account, .. } = exchange;
    let Body { bytes, permit } = body.read(BodyCaps { decoded: cap, ..BodyCaps::of(cap) }).await?;
    // Every value but the first follows one of these.
    let values = bytes.iter().filter(|b| matches!(b, b',' | b'[' | b'{')).count() + 1;
    let takes = bytes.len() + values * PER_VALUE;
    let reading = account.take_beside(&permit, takes)?;
    let work = move || {
        let _paid = (permit, reading);
        serde_json::from_slice(&bytes)
    };
    // Which member is wrong and where, without anything that was sent.
    account.in_turn(takes, work).await.map_err(|e| {
        let (line, column) = (e.line(), e.column());
        Refusal::new(RefusalCode::BodyMalformed).detail(
            format!("Line {line}, column {column}: not as the interface describes it (syntax, unknown member, or a value of the wrong form)."),
            format!("第 {line} 行第 {column} 列：与接口说明不符（语法错误、未知成员，或取值形式不正确）。"),
        )
    })
}
