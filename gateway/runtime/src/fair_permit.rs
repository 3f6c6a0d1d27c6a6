//! Who works next: long work on the processors is done a few pieces at a time, and members take turns at it.
//!
//! Without this a member with sixty large bodies has sixty threads of the blocking pool, and another's small request
//! gets a sixtieth of the processors. Waiting costs nothing and keeps the order of arrival within a member; between
//! members each gets one piece in turn, however many the others have waiting.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::fair_queue::FairQueue;

/// The node's permits for long work, given out fairly between members.
#[derive(Clone)]
pub(crate) struct FairSemaphore(Arc<Mutex<State>>);

struct State {
    free: usize,
    waiting: FairQueue<oneshot::Sender<FairPermit>>,
}

/// The right to do one piece of long work; given to the next in turn when dropped.
pub struct FairPermit(Option<FairSemaphore>);

impl FairSemaphore {
    pub(crate) fn new(permits: usize) -> Self {
        Self(Arc::new(Mutex::new(State { free: permits.max(1), waiting: FairQueue::new() })))
    }

    /// Waits until the member is next. May be dropped while waiting. Names of members must be bounded in number.
    pub(crate) async fn acquire(&self, member: &str) -> FairPermit {
        let next = {
            let mut state = self.0.lock();
            if state.free > 0 {
                state.free -= 1;
                return FairPermit(Some(self.clone()));
            }
            let (give, next) = oneshot::channel();
            let member = state.waiting.member(member);
            state.waiting.push(member, give);
            next
        };
        next.await.expect(
            "a sender leaves the queue only to give its permit: the queue lives as long as this handle",
        )
    }

    fn release(&self) {
        let mut state = self.0.lock();
        while let Some(next) = state.waiting.pop() {
            match next.send(FairPermit(Some(self.clone()))) {
                Ok(()) => return,
                // It no longer waits; its permit must not come back by being dropped under this lock.
                Err(mut permit) => permit.0 = None,
            }
        }
        state.free += 1;
    }
}

impl Drop for FairPermit {
    fn drop(&mut self) {
        if let Some(semaphore) = self.0.take() {
            semaphore.release();
        }
    }
}

impl std::fmt::Debug for FairPermit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FairPermit")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    type Acquiring = Pin<Box<dyn Future<Output = FairPermit>>>;

    fn wait(semaphore: &FairSemaphore, member: &str) -> Acquiring {
        let (semaphore, member) = (semaphore.clone(), Arc::from(member));
        let mut acquiring: Acquiring = Box::pin(async move { semaphore.acquire(&member).await });
        assert!(poll(&mut acquiring).is_none(), "all are taken");
        acquiring
    }

    fn poll(acquiring: &mut Acquiring) -> Option<FairPermit> {
        match acquiring.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(permit) => Some(permit),
            Poll::Pending => None,
        }
    }

    fn take(semaphore: &FairSemaphore) -> FairPermit {
        let (semaphore, name) = (semaphore.clone(), Arc::from("first"));
        poll(&mut (Box::pin(async move { semaphore.acquire(&name).await }) as Acquiring))
            .expect("a free permit")
    }

    #[test]
    fn a_member_with_one_piece_is_next_however_many_another_has() {
        let semaphore = FairSemaphore::new(1);
        let first = take(&semaphore);
        let mut waiting: Vec<(&str, Acquiring)> =
            (0..20).map(|_| ("noisy", wait(&semaphore, "noisy"))).collect();
        waiting.extend(["quiet", "calm", "quiet"].map(|name| (name, wait(&semaphore, name))));
        let (mut order, mut permit) = (Vec::new(), Some(first));
        while !waiting.is_empty() {
            drop(permit.take());
            let at = waiting.iter_mut().position(|(_, acquiring)| {
                permit = poll(acquiring);
                permit.is_some()
            });
            order.push(waiting.remove(at.expect("somebody is next")).0);
        }
        assert_eq!(order[..6], ["noisy", "quiet", "calm", "noisy", "quiet", "noisy"]);
    }

    #[test]
    fn who_gave_up_is_passed_over_and_no_permit_is_lost() {
        let semaphore = FairSemaphore::new(2);
        let held = [take(&semaphore), take(&semaphore)];
        drop((0..5).map(|_| wait(&semaphore, "gone")).collect::<Vec<_>>());
        let mut last = wait(&semaphore, "last");
        drop(held);
        let permit = poll(&mut last).expect("its turn");
        let other = take(&semaphore);
        let given_but_never_polled = wait(&semaphore, "late");
        drop((permit, given_but_never_polled, other));
        drop((take(&semaphore), take(&semaphore)));
        assert_eq!(semaphore.0.lock().free, 2);
    }
}
