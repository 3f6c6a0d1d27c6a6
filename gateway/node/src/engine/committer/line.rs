//! The line before the committer: members take turns, so that whoever sends one record waits for one group and not for
//! everything another member has waiting. Within a member the order of arrival stays, and nothing overtakes what tells
//! that everything before it is done.

use super::Job;
use tokio::sync::mpsc;
use xinqiao_runtime::FairQueue;

/// Everything waiting to be committed.
pub(in crate::engine) struct Line {
    jobs: mpsc::UnboundedReceiver<Job>,
    waiting: FairQueue<Job>,
    /// What waits for all that came before it; what came after it is still in the channel.
    fence: Option<Job>,
}

impl Line {
    pub(in crate::engine) fn new(jobs: mpsc::UnboundedReceiver<Job>) -> Self {
        Self { jobs, waiting: FairQueue::new(), fence: None }
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
        self.waiting.pop().or_else(|| self.fence.take())
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
                let member = self.waiting.member(&s.ready.submitted.member);
                self.waiting.push(member, job);
            }
            // The node's own and officers' changes take turns as a member does.
            Job::Change { .. } => {
                let node = self.waiting.member("");
                self.waiting.push(node, job);
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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;
    use xinqiao_exchange::group::Change;

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
}
