//! The connections a client has open, so that those to a gateway no longer trusted can be cut.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Waker};
use xinqiao_certs::CertificateDer;

/// All open connections of one client.
#[derive(Clone, Default)]
pub(super) struct Links(Arc<Mutex<Vec<Weak<Switch>>>>);

/// One connection's: who is at the other end, and whether to stop.
pub(super) struct Switch {
    chain: Vec<CertificateDer<'static>>,
    cut: AtomicBool,
    reader: Mutex<Option<Waker>>,
}

impl Links {
    pub(super) fn add(&self, chain: Vec<CertificateDer<'static>>) -> Arc<Switch> {
        let switch = Arc::new(Switch { chain, cut: AtomicBool::new(false), reader: Mutex::default() });
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|link| link.strong_count() > 0);
        all.push(Arc::downgrade(&switch));
        switch
    }

    /// Cuts every connection whose gateway is not `accepted` any more.
    pub(super) fn keep(&self, accepted: impl Fn(&[CertificateDer<'_>]) -> bool) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for link in all.iter().filter_map(Weak::upgrade) {
            if !accepted(&link.chain) {
                link.cut();
            }
        }
    }
}

impl Switch {
    fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Whether the connection was cut; if not, its reader is woken when it is.
    pub(super) fn is_cut(&self, cx: &Context<'_>) -> bool {
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        if !reader.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *reader = Some(cx.waker().clone());
        }
        self.cut.load(Ordering::SeqCst)
    }
}
