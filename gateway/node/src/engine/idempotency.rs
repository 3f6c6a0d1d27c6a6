//! Once per idempotency key: the key and fingerprint of a submission, and the guard that lets one request per key go on
//! at a time.

use super::Node;
use super::pieces::in_pieces;
use super::submit::Head;
use std::sync::Arc;
use tokio::sync::watch;

/// Held while the submission under a key is worked on; those that wait for the key go on when it is dropped.
pub(super) struct IdempotencyGuard {
    node: Arc<Node>,
    key: [u8; 16],
    _done: watch::Sender<()>,
}

impl Drop for IdempotencyGuard {
    fn drop(&mut self) {
        self.node.inflight.lock().remove(&self.key);
    }
}

impl Node {
    /// Waits until no other request works under this key.
    pub(super) async fn idempotency_guard(self: &Arc<Self>, key: [u8; 16]) -> IdempotencyGuard {
        loop {
            let mut first = {
                let mut inflight = self.inflight.lock();
                match inflight.get(&key) {
                    Some(first) => first.clone(),
                    None => {
                        let (done, waiting) = watch::channel(());
                        inflight.insert(key, waiting);
                        return IdempotencyGuard { node: self.clone(), key, _done: done };
                    }
                }
            };
            // An error says that the guard was dropped, which is what is waited for.
            let _ = first.changed().await;
        }
    }

    /// What a member's key is known by.
    pub(super) fn idempotency_key(&self, member: &str, key: &str) -> [u8; 16] {
        let mut mac = self.id_key.begin();
        mac.update(b"idempotency");
        mac.update(&(member.len() as u32).to_be_bytes());
        mac.update(member.as_bytes());
        mac.update(key.as_bytes());
        mac.finish16()
    }

    /// Tells two submissions under one key apart.
    pub(super) fn fingerprint(&self, head: &Head, body: &[u8]) -> [u8; 16] {
        let mut mac = self.id_key.begin();
        let format = [head.format as u8, head.charset as u8, u8::from(head.strict)];
        for part in [
            head.dataset.as_bytes(),
            head.schema.as_deref().unwrap_or("").as_bytes(),
            head.op.name().as_bytes(),
            head.load.name().as_bytes(),
            &format,
        ] {
            mac.update(&(part.len() as u32).to_be_bytes());
            mac.update(part);
        }
        in_pieces(body, |piece| mac.update(piece));
        mac.finish16()
    }
}
