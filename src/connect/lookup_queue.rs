//! A bounded queue of jobs, and when it needs another thread.
//!
//! One lock and one condition variable. The rules of the protocol:
//!
//! - A thread looks for a job, and begins to wait, under one lock: no job comes in between.
//! - A push counts the threads that wait and the jobs that wait for them. With more jobs than such
//!   threads, it starts another thread, up to the limit. A thread that was notified and has not
//!   run yet counts as waiting, and so does its job.
//! - Closing wakes all threads.

use std::collections::VecDeque;
use std::io;

use crate::sync::{Condvar, Mutex};

/// Jobs for up to `threads_max` threads.
#[derive(Debug)]
pub(super) struct LookupQueue<J> {
    state: Mutex<State<J>>,
    changed: Condvar,
    capacity: usize,
    threads_max: usize,
}

#[derive(Debug)]
struct State<J> {
    waiting: VecDeque<J>,
    threads: usize,
    /// How many of the threads wait for a job.
    idle: usize,
    is_closed: bool,
}

/// Why a job was not accepted.
#[derive(Debug)]
pub(super) enum Refused {
    /// So many jobs wait already.
    Full(usize),
    /// There is no thread, and the system starts none.
    NoThread(io::Error),
}

impl<J> LookupQueue<J> {
    pub(super) fn new(capacity: usize, threads_max: usize) -> Self {
        let state = State { waiting: VecDeque::new(), threads: 0, idle: 0, is_closed: false };
        Self { state: Mutex::new(state), changed: Condvar::new(), capacity, threads_max }
    }

    /// Queues a job, and calls `start_thread` if no thread is free for it. A full queue first
    /// forgets all jobs that `is_cancelled`.
    pub(super) fn push(
        &self,
        job: J,
        is_cancelled: impl Fn(&J) -> bool,
        start_thread: impl FnOnce() -> io::Result<()>,
    ) -> Result<(), Refused> {
        let mut state = self.state.lock();
        if state.waiting.len() >= self.capacity {
            state.waiting.retain(|job| !is_cancelled(job));
        }
        if state.waiting.len() >= self.capacity {
            return Err(Refused::Full(state.waiting.len()));
        }
        if state.waiting.len() >= state.idle && state.threads < self.threads_max {
            match start_thread() {
                Ok(()) => state.threads += 1,
                Err(error) if state.threads == 0 => return Err(Refused::NoThread(error)),
                // The job waits for one of the threads that run.
                Err(_) => {}
            }
        }
        state.waiting.push_back(job);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Waits for a job; `None` means that the thread is to end.
    pub(super) fn next(&self) -> Option<J> {
        let mut state = self.state.lock();
        loop {
            if state.is_closed {
                return None;
            }
            if let Some(job) = state.waiting.pop_front() {
                return Some(job);
            }
            state.idle += 1;
            state = self.changed.wait(state);
            state.idle -= 1;
        }
    }

    /// Ends all threads, each when it has finished its job; returns the jobs that did not begin.
    pub(super) fn close(&self) -> VecDeque<J> {
        let mut state = self.state.lock();
        state.is_closed = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        self.changed.notify_all();
        waiting
    }

    /// Jobs that wait, threads, and threads that wait.
    #[cfg(all(test, not(loom)))]
    pub(super) fn counts(&self) -> (usize, usize, usize) {
        let state = self.state.lock();
        (state.waiting.len(), state.threads, state.idle)
    }
}

/// Models: R1, a job that comes while a thread becomes idle is done; R2, jobs that come while
/// threads start and wait are all done, by at most `threads_max` threads; R3, closing ends threads
/// that are about to wait; R4, mutations of each.
#[cfg(all(test, loom))]
mod loom_models {
    use std::sync::Arc;

    use loom::thread;

    use super::*;

    type Queue = LookupQueue<u32>;
    type Next = fn(&Queue) -> Option<u32>;
    type Close = fn(&Queue);

    /// What the threads have done. Its own lock and condition variable order nothing else.
    struct Done {
        jobs: loom::sync::Mutex<Vec<u32>>,
        changed: loom::sync::Condvar,
    }

    impl Done {
        fn wait_for(&self, count: usize) {
            let mut jobs = self.jobs.lock().unwrap();
            while jobs.len() < count {
                jobs = self.changed.wait(jobs).unwrap();
            }
        }
    }

    /// Pushes `jobs` one by one, waits for them after each `batch`, and closes the queue. A lost
    /// job or a thread that does not end is loom's deadlock error.
    fn model(threads_max: usize, jobs: u32, batch: u32, next: Next, close: Close) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(move || {
            let queue = Arc::new(Queue::new(8, threads_max));
            let done = Arc::new(Done {
                jobs: loom::sync::Mutex::new(Vec::new()),
                changed: loom::sync::Condvar::new(),
            });
            let mut threads = Vec::new();
            for job in 0..jobs {
                let start = || {
                    let (queue, done) = (queue.clone(), done.clone());
                    threads.push(thread::spawn(move || {
                        while let Some(job) = next(&queue) {
                            done.jobs.lock().unwrap().push(job);
                            done.changed.notify_all();
                        }
                    }));
                    Ok(())
                };
                queue.push(job, |_| false, start).unwrap();
                if (job + 1) % batch == 0 {
                    done.wait_for(job as usize + 1);
                }
            }
            close(&queue);
            assert!(threads.len() <= threads_max);
            for thread in threads {
                thread.join().unwrap();
            }
            let mut jobs_done = done.jobs.lock().unwrap().clone();
            jobs_done.sort_unstable();
            assert_eq!(jobs_done, (0..jobs).collect::<Vec<_>>());
        });
    }

    fn close(queue: &Queue) {
        assert!(queue.close().is_empty());
    }

    #[test]
    fn loom_r1_a_job_that_comes_while_a_thread_becomes_idle_is_done() {
        model(1, 2, 1, Queue::next, close);
    }

    #[test]
    fn loom_r2_jobs_that_come_while_threads_start_and_wait_are_all_done() {
        model(2, 3, 3, Queue::next, close);
    }

    #[test]
    fn loom_r3_closing_ends_threads_that_are_about_to_wait() {
        model(2, 2, 2, Queue::next, close);
    }

    /// Looks for a job and begins to wait under two locks: a notification in between is lost.
    #[test]
    #[ignore = "must fail"]
    fn waiting_after_the_lock_was_released() {
        model(
            1,
            2,
            1,
            |queue| loop {
                let mut state = queue.state.lock();
                if state.is_closed {
                    return None;
                }
                if let Some(job) = state.waiting.pop_front() {
                    return Some(job);
                }
                state.idle += 1;
                drop(state);
                let mut state = queue.changed.wait(queue.state.lock());
                state.idle -= 1;
            },
            close,
        );
    }

    /// Does not look again before it waits: a job pushed while the thread had another one waits.
    #[test]
    #[ignore = "must fail"]
    fn waiting_without_looking() {
        model(
            1,
            2,
            2,
            |queue| {
                let mut state = queue.state.lock();
                if state.is_closed {
                    return None;
                }
                state.idle += 1;
                state = queue.changed.wait(state);
                state.idle -= 1;
                state.waiting.pop_front()
            },
            close,
        );
    }

    /// Wakes one thread of two.
    #[test]
    #[ignore = "must fail"]
    fn closing_with_one_notification() {
        model(2, 2, 2, Queue::next, |queue| {
            queue.state.lock().is_closed = true;
            queue.changed.notify_one();
        });
    }

    #[test]
    fn loom_r4_catches_every_mutation() {
        let mutation = |name| crate::sync::must_fail(&format!("{}::{name}", module_path!()));
        mutation("waiting_after_the_lock_was_released");
        mutation("waiting_without_looking");
        mutation("closing_with_one_notification");
    }
}
