//! The line before the committer: members take turns, so that whoever sends one record waits for one group and not for
//! everything another member has waiting. Within a member the order of arrival stays, and nothing overtakes what tells
//! that everything before it is done.

use super::Job;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Everything waiting to be committed.
pub(in crate::engine) struct Line {
    jobs: mpsc::UnboundedReceiver<Job>,
    lanes: Lanes<Job>,
    /// What waits for all that came before it; what came after it is still in the channel.
    fence: Option<Job>,
}

impl Line {
    pub(in crate::engine) fn new(jobs: mpsc::UnboundedReceiver<Job>) -> Self {
        Self { jobs, lanes: Lanes::default(), fence: None }
    }

    /// The next job; waits for one. Nothing: nobody is left who could send one.
    pub(super) fn wait(&mut self) -> Option<Job> {
        if let Some(job) = self.next() {
            return Some(job);
        }
        let job = self.jobs.blocking_recv()?;
        self.sort(job);
        self.next()
    }

    /// The next job, if one is waiting.
    pub(super) fn next(&mut self) -> Option<Job> {
        while self.fence.is_none() {
            match self.jobs.try_recv() {
                Ok(job) => self.sort(job),
                Err(_) => break,
            }
        }
        self.lanes.next().or_else(|| self.fence.take())
    }

    #[cfg(test)]
    pub(super) fn unseen(&self) -> usize {
        self.jobs.len()
    }

    /// Nothing waits, and nobody is left who could send a job.
    pub(super) fn is_closed(&self) -> bool {
        self.jobs.is_closed() && self.jobs.is_empty()
    }

    fn sort(&mut self, job: Job) {
        match job {
            Job::Submission(ref s) => {
                let member = self.lanes.name(&s.ready.submitted.member);
                self.lanes.push(member, job);
            }
            // The node's own and officers' changes take turns as a member does.
            Job::Change { .. } => {
                let node = self.lanes.name("");
                self.lanes.push(node, job);
            }
            Job::Barrier { .. }
            | Job::Checkpoint { .. }
            | Job::Rewrap { .. }
            | Job::Roll
            | Job::Snapshot { .. }
            | Job::Stop { .. } => self.fence = Some(job),
        }
    }
}

/// One queue per member; each in turn gives one.
struct Lanes<T> {
    /// Members seen so far; bounded by the registry.
    waiting: HashMap<Arc<str>, VecDeque<T>>,
    /// Those with something waiting, the next one first.
    order: VecDeque<Arc<str>>,
}

impl<T> Default for Lanes<T> {
    fn default() -> Self {
        Self { waiting: HashMap::new(), order: VecDeque::new() }
    }
}

impl<T> Lanes<T> {
    fn name(&self, member: &str) -> Arc<str> {
        self.waiting.get_key_value(member).map_or_else(|| member.into(), |(name, _)| name.clone())
    }

    fn push(&mut self, member: Arc<str>, one: T) {
        let lane = self.waiting.entry(member.clone()).or_default();
        if lane.is_empty() {
            self.order.push_back(member);
        }
        lane.push_back(one);
    }

    fn next(&mut self) -> Option<T> {
        let member = self.order.pop_front()?;
        let lane = self.waiting.get_mut(&member)?;
        let one = lane.pop_front();
        if !lane.is_empty() {
            self.order.push_back(member);
        }
        one
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use tokio::sync::oneshot;
    use xinqiao_exchange::group::Change;

    #[test]
    fn who_has_one_waiting_is_next_however_many_another_has() {
        let mut lanes = Lanes::default();
        for n in 0..100 {
            lanes.push(lanes.name("noisy"), ("noisy", n));
        }
        lanes.push(lanes.name("quiet"), ("quiet", 0));
        lanes.push(lanes.name("calm"), ("calm", 0));
        lanes.push(lanes.name("quiet"), ("quiet", 1));
        let order: Vec<_> = std::iter::from_fn(|| lanes.next()).take(7).collect();
        let wanted =
            [("noisy", 0), ("quiet", 0), ("calm", 0), ("noisy", 1), ("quiet", 1), ("noisy", 2), ("noisy", 3)];
        assert_eq!(order, wanted);
    }

    #[test]
    fn nothing_overtakes_a_barrier() {
        let (jobs, receiver) = mpsc::unbounded_channel();
        let mut line = Line::new(receiver);
        let change = || Job::Change {
            change: Change::default(),
            still: Box::new(|_| true),
            reply: oneshot::channel().0,
        };
        for job in [change(), change(), Job::Barrier { reply: oneshot::channel().0 }, change()] {
            assert!(jobs.send(job).is_ok());
        }
        drop(jobs);
        let kinds: Vec<bool> =
            std::iter::from_fn(|| line.wait()).map(|job| matches!(job, Job::Barrier { .. })).collect();
        assert_eq!(kinds, [false, false, true, false]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_order_stays_within_a_member_and_nobody_waits_for_two_of_another(
            steps in proptest::collection::vec((0..5u8, any::<bool>()), 1..300)
        ) {
            let mut lanes = Lanes::default();
            let (mut pushed, mut taken) = (0u32, Vec::new());
            // Since when each waits, counted in what others were given meanwhile.
            let mut given: BTreeMap<u8, BTreeMap<u8, u32>> = BTreeMap::new();
            let mut waiting: BTreeMap<u8, u32> = BTreeMap::new();
            for (member, push) in steps {
                if push {
                    lanes.push(lanes.name(&member.to_string()), (member, pushed));
                    pushed += 1;
                    *waiting.entry(member).or_default() += 1;
                    given.entry(member).or_default();
                } else if let Some((member, n)) = lanes.next() {
                    taken.push((member, n));
                    let left = waiting.get_mut(&member).expect("it was waiting");
                    *left -= 1;
                    given.remove(&member);
                    if *left > 0 {
                        given.insert(member, BTreeMap::new());
                    }
                    for others in given.values_mut() {
                        let times = others.entry(member).or_default();
                        *times += 1;
                        prop_assert!(*times <= 1, "one in turn each");
                    }
                }
            }
            taken.extend(std::iter::from_fn(|| lanes.next()));
            prop_assert_eq!(taken.len() as u32, pushed);
            for member in 0..5 {
                let own: Vec<u32> = taken.iter().filter(|t| t.0 == member).map(|t| t.1).collect();
                prop_assert!(own.is_sorted());
            }
        }
    }
}
