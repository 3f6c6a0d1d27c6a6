//! How an officer's connection lives: asked for the card again each time, and not for ever.

use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::rustls::server::NoServerSessionStorage;
use xinqiao_edge::{Deadlines, Terms, TermsSource};

/// After a working day the card is asked for again.
const LONGEST: Duration = Duration::from_secs(8 * 3_600);

/// The same terms without session tickets: who comes back shows his certificate, and his card, again.
pub fn terms(terms: TermsSource) -> TermsSource {
    Arc::new(move || {
        let Terms { tls, identify } = terms();
        let mut tls = (*tls).clone();
        tls.send_tls13_tickets = 0;
        tls.session_storage = Arc::new(NoServerSessionStorage {});
        Terms { tls: Arc::new(tls), identify }
    })
}

/// An idle connection ends after this long, any after eight hours.
pub fn deadlines(idle_seconds: u64, others: Deadlines) -> Deadlines {
    Deadlines { idle: Duration::from_secs(idle_seconds), life: Some(LONGEST), ..others }
}
