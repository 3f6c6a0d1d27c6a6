//! The connections of one edge past the handshake, where a drain and a change of the trust set find them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicU64,
    Ordering::{Relaxed, SeqCst},
};

use parking_lot::Mutex;
use xinqiao_runtime::metrics::Metric;

use super::connection::Connection;
use super::shared::Shared;

/// An edge's state with its connections.
pub(super) struct LiveConnections {
    pub(super) shared: Arc<Shared>,
    connections: Mutex<HashMap<u64, Arc<Connection>>>,
    next: AtomicU64,
    retirements: AtomicU64,
}

/// Takes its connection off the list when dropped.
pub(super) struct Listed {
    live: Arc<LiveConnections>,
    id: u64,
}

impl LiveConnections {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let (next, retirements) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { shared, connections: Mutex::default(), next, retirements }
    }

    pub(super) fn list(self: &Arc<Self>, connection: &Arc<Connection>) -> Listed {
        let id = self.next.fetch_add(1, Relaxed);
        self.connections.lock().insert(id, connection.clone());
        self.shared.metrics.gauge(Metric::EdgeConnections, &[self.shared.config.name]).add(1.0);
        // Looked at after listing, so that a drain begun meanwhile is seen by one side or the other.
        if self.shared.drain.begun() {
            connection.liveness.finish();
        }
        Listed { live: self.clone(), id }
    }

    /// Those there are now.
    pub(super) fn all(&self) -> Vec<Arc<Connection>> {
        self.connections.lock().values().cloned().collect()
    }

    /// Retires every connection whose handshake began before this, listed or not.
    pub(super) fn retire(&self) {
        // Counted first: a connection that is listed only later compares the count with that before its handshake.
        self.retirements.fetch_add(1, SeqCst);
        for connection in self.all() {
            connection.liveness.retire();
        }
    }

    /// How often connections were retired.
    pub(super) fn retirements(&self) -> u64 {
        self.retirements.load(SeqCst)
    }

    /// Begins the drain: connections finish what is in flight and take nothing new.
    pub(super) fn drain(&self) {
        self.shared.drain.begin();
        for connection in self.all() {
            connection.liveness.finish();
        }
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.live.connections.lock().remove(&self.id);
        let shared = &self.live.shared;
        shared.metrics.gauge(Metric::EdgeConnections, &[shared.config.name]).add(-1.0);
    }
}
