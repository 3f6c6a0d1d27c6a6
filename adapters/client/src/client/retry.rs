//! When to ask again, and when to stop.

use std::future::Future;
use std::time::Duration;
use xinqiao_crypto::random;

use crate::error::ClientError;

/// How often and how long to try again what failed for a passing reason.
///
/// Only for calls that are safe to repeat: reads, acknowledgements, and submissions under one idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// All attempts together; 1 means none again.
    pub attempts: u32,
    /// Before the second attempt; doubled each time, and shortened by up to half at random.
    pub first_wait: Duration,
    /// No single wait is longer, whatever `Retry-After` asks.
    pub longest_wait: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts: 6, first_wait: Duration::from_millis(500), longest_wait: Duration::from_secs(60) }
    }
}

impl RetryPolicy {
    /// Asks once.
    pub fn never() -> Self {
        Self { attempts: 1, ..Self::default() }
    }

    pub(crate) async fn run<T, F>(&self, mut attempt: impl FnMut() -> F) -> Result<T, ClientError>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        let mut done = 0;
        loop {
            let error = match attempt().await {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            done += 1;
            if done >= self.attempts || !error.is_transient() {
                return Err(error);
            }
            tokio::time::sleep(self.wait(done, &error)).await;
        }
    }

    fn wait(&self, done: u32, error: &ClientError) -> Duration {
        if let ClientError::Problem(problem) = error
            && let Some(seconds) = problem.retry_after
        {
            return Duration::from_secs(seconds).min(self.longest_wait);
        }
        let doubled = self.first_wait.saturating_mul(1u32.checked_shl(done - 1).unwrap_or(u32::MAX));
        let whole = doubled.min(self.longest_wait);
        whole - whole.mul_f64(f64::from(random_byte()) / 512.0)
    }
}

fn random_byte() -> u8 {
    // Without randomness the wait is merely not spread.
    random::array().map_or(0, |[byte]| byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Problem;

    fn busy(retry_after: Option<u64>) -> ClientError {
        ClientError::Problem(Box::new(Problem { status: 503, retry_after, ..Problem::default() }))
    }

    #[test]
    fn waits_double_up_to_the_longest_and_honour_retry_after() {
        let policy = RetryPolicy::default();
        for done in 1..40 {
            let wait = policy.wait(done, &ClientError::Timeout);
            let whole = Duration::from_millis(500)
                .saturating_mul(2u32.saturating_pow(done - 1))
                .min(policy.longest_wait);
            assert!(wait <= whole && wait >= whole / 2, "{done}: {wait:?}");
        }
        assert_eq!(policy.wait(1, &busy(Some(7))), Duration::from_secs(7));
        assert_eq!(policy.wait(1, &busy(Some(7_000_000))), policy.longest_wait);
    }

    #[test]
    fn refusals_are_not_repeated() {
        let refused = ClientError::Problem(Box::new(Problem { status: 422, ..Problem::default() }));
        assert!(!refused.is_transient() && refused.is_refusal());
        assert!(busy(None).is_transient());
        assert!(!ClientError::Tls(String::new()).is_transient());
    }
}
