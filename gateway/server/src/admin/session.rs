//! How an officer's connection lives: asked for the card again each time, and not for ever.

use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::rustls::server::NoServerSessionStorage;
use xinqiao_edge::{Deadlines, TlsPolicy, TlsPolicySource};

/// After a working day the card is asked for again.
const LONGEST: Duration = Duration::from_secs(8 * 3_600);

/// The same policy without session tickets: officers who come back show their certificate, and their card, again.
pub fn tls_policy(tls_policy: TlsPolicySource) -> TlsPolicySource {
    Arc::new(move || {
        let TlsPolicy { tls, identify } = tls_policy();
        let mut tls = (*tls).clone();
        tls.send_tls13_tickets = 0;
        tls.session_storage = Arc::new(NoServerSessionStorage {});
        TlsPolicy { tls: Arc::new(tls), identify }
    })
}

/// An idle connection ends after this long, any after eight hours.
pub fn deadlines(idle_seconds: u64, others: Deadlines) -> Deadlines {
    Deadlines { idle: Duration::from_secs(idle_seconds), life: Some(LONGEST), ..others }
}
