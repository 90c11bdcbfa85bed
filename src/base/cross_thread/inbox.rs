//! The inbox: jobs that other threads send to a base, and the base's queue of those it received.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::sync::Mutex;

/// Posted jobs that the base has not received yet; `None` once the base is dropped.
pub(in crate::base) struct Inbox<J>(Mutex<Option<Vec<J>>>);

impl<J> Inbox<J> {
    /// Posts a job.
    ///
    /// # Errors
    ///
    /// [`Error::BaseGone`] if the inbox is closed; the job is then dropped.
    pub(in crate::base) fn push(&self, job: J) -> Result<()> {
        self.0.lock().as_mut().ok_or(Error::BaseGone)?.push(job);
        Ok(())
    }
}

/// The jobs of one base, in the order posted: those in its inbox, and those received from there.
pub(in crate::base) struct Jobs<J> {
    inbox: Arc<Inbox<J>>,
    /// Received and not run yet.
    received: VecDeque<J>,
}

impl<J> Jobs<J> {
    pub(in crate::base) fn new() -> Self {
        let inbox = Inbox(Mutex::new(Some(Vec::new())));
        Self { inbox: Arc::new(inbox), received: VecDeque::new() }
    }

    /// The end that other threads post to.
    pub(in crate::base) fn inbox(&self) -> Arc<Inbox<J>> {
        self.inbox.clone()
    }

    /// Takes everything posted so far out of the inbox.
    pub(in crate::base) fn receive(&mut self) {
        let posted = self.inbox.0.lock().as_mut().map(std::mem::take).unwrap_or_default();
        self.received.extend(posted);
    }

    /// The next received job.
    pub(in crate::base) fn pop(&mut self) -> Option<J> {
        self.received.pop_front()
    }

    /// Whether a received job has not run yet.
    pub(in crate::base) fn has_received(&self) -> bool {
        !self.received.is_empty()
    }

    /// Whether no job waits, received or not.
    pub(in crate::base) fn is_empty(&self) -> bool {
        self.received.is_empty() && self.inbox.0.lock().as_ref().is_none_or(Vec::is_empty)
    }

    /// Refuses further jobs and drops those that did not run: one may hold a handle of this base.
    pub(in crate::base) fn close(&mut self) {
        // The jobs are dropped after the lock is released: a drop may post.
        let unreceived = self.inbox.0.lock().take();
        drop(unreceived);
        self.received.clear();
    }
}
