//! Who works next: long work on the processors is done a few pieces at a time, and members take turns at it.
//!
//! Without this a member with sixty large bodies has sixty threads of the blocking pool, and another's small request
//! gets a sixtieth of the processors. Waiting costs nothing and keeps the order of arrival within a member; between
//! members each gets one piece in turn, however many the others have waiting.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// The node's places for long work.
#[derive(Clone)]
pub(crate) struct Turns(Arc<Mutex<State>>);

struct State {
    free: usize,
    /// Members with work waiting, the next one first.
    waiting: VecDeque<(Arc<str>, VecDeque<oneshot::Sender<Turn>>)>,
}

/// A place; given to the next in turn when dropped.
pub struct Turn(Option<Turns>);

impl Turns {
    pub(crate) fn new(places: usize) -> Self {
        Self(Arc::new(Mutex::new(State { free: places.max(1), waiting: VecDeque::new() })))
    }

    /// Waits for the member's turn. May be dropped while waiting.
    pub(crate) async fn enter(&self, member: &Arc<str>) -> Turn {
        let next = {
            let mut state = self.0.lock();
            if state.free > 0 {
                state.free -= 1;
                return Turn(Some(self.clone()));
            }
            let (give, next) = oneshot::channel();
            match state.waiting.iter_mut().find(|(name, _)| name == member) {
                Some((_, queue)) => queue.push_back(give),
                None => state.waiting.push_back((member.clone(), VecDeque::from([give]))),
            }
            next
        };
        next.await.expect("who waits is told before the queue goes: it lives as long as this place")
    }

    fn leave(&self) {
        let mut state = self.0.lock();
        while let Some((member, mut queue)) = state.waiting.pop_front() {
            let next = queue.pop_front();
            if !queue.is_empty() {
                state.waiting.push_back((member, queue));
            }
            let Some(next) = next else { continue };
            match next.send(Turn(Some(self.clone()))) {
                Ok(()) => return,
                // It no longer waits; its place must not come back by being dropped under this lock.
                Err(mut turn) => turn.0 = None,
            }
        }
        state.free += 1;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(turns) = self.0.take() {
            turns.leave();
        }
    }
}

impl std::fmt::Debug for Turn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Turn")
    }
}

/// Runs `work` in a thread that may block.
///
/// # Panics
/// Passes on a panic of `work`.
pub async fn on_blocking_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(failed) => std::panic::resume_unwind(failed.into_panic()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    type Entering = Pin<Box<dyn Future<Output = Turn>>>;

    fn enter(turns: &Turns, member: &str) -> Entering {
        let (turns, member) = (turns.clone(), Arc::from(member));
        let mut entering: Entering = Box::pin(async move { turns.enter(&member).await });
        assert!(poll(&mut entering).is_none(), "the place is taken");
        entering
    }

    fn poll(entering: &mut Entering) -> Option<Turn> {
        match entering.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(turn) => Some(turn),
            Poll::Pending => None,
        }
    }

    fn take(turns: &Turns) -> Turn {
        let (turns, name) = (turns.clone(), Arc::from("first"));
        poll(&mut (Box::pin(async move { turns.enter(&name).await }) as Entering)).expect("a free place")
    }

    #[test]
    fn a_member_with_one_piece_is_next_however_many_another_has() {
        let turns = Turns::new(1);
        let first = take(&turns);
        let mut waiting: Vec<(&str, Entering)> = (0..20).map(|_| ("noisy", enter(&turns, "noisy"))).collect();
        waiting.extend(["quiet", "calm", "quiet"].map(|name| (name, enter(&turns, name))));
        let (mut order, mut turn) = (Vec::new(), Some(first));
        while !waiting.is_empty() {
            drop(turn.take());
            let at = waiting.iter_mut().position(|(_, entering)| {
                turn = poll(entering);
                turn.is_some()
            });
            order.push(waiting.remove(at.expect("somebody is next")).0);
        }
        assert_eq!(order[..6], ["noisy", "quiet", "calm", "noisy", "quiet", "noisy"]);
    }

    #[test]
    fn who_gave_up_is_passed_over_and_no_place_is_lost() {
        let turns = Turns::new(2);
        let held = [take(&turns), take(&turns)];
        drop((0..5).map(|_| enter(&turns, "gone")).collect::<Vec<_>>());
        let mut last = enter(&turns, "last");
        drop(held);
        let turn = poll(&mut last).expect("its turn");
        let other = take(&turns);
        let told_but_never_looked = enter(&turns, "late");
        drop((turn, told_but_never_looked, other));
        drop((take(&turns), take(&turns)));
        assert_eq!(turns.0.lock().free, 2);
    }
}
