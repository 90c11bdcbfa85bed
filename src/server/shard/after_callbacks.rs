//! What callbacks ask of other connections and shards, and what must wait until no callback runs:
//! sending what was collected, reading again, closing, and waking the shards that were posted to.
//!
//! The event of this runs after the callbacks of the turn that are due already. So several sends to
//! one connection are one call.

use super::call::NextStep;
use super::connection_state::Stage;
use super::worker::Worker;
use crate::base::Registry;
use crate::event::{EventId, EventSpec, Fired};

/// The connections for which something is to be done once no callback runs.
#[derive(Debug)]
pub(super) struct AfterCallbacks {
    event: EventId,
    /// Each with its event, because another connection may have the key by then.
    listed: Vec<(usize, EventId)>,
    /// Whether the service posted to shards, which must be woken.
    posted: bool,
}

impl AfterCallbacks {
    pub(super) fn new(registry: &mut Registry<Worker>) -> Self {
        let event = registry.create(EventSpec::timer(), on_after_callbacks);
        Self { event, listed: Vec::new(), posted: false }
    }

    /// Lists a connection that is not listed yet.
    pub(super) fn list(&mut self, registry: &mut Registry<Worker>, key: usize, readable: EventId) {
        self.schedule(registry);
        self.listed.push((key, readable));
    }

    /// Wakes the shards to which the service posts.
    pub(super) fn wake_posted(&mut self, registry: &mut Registry<Worker>) {
        if !std::mem::replace(&mut self.posted, true) {
            self.schedule(registry);
        }
    }

    /// Does nothing if it is scheduled already.
    fn schedule(&self, registry: &mut Registry<Worker>) {
        registry.schedule(self.event).expect("it lives as long as the worker");
    }
}

fn on_after_callbacks(registry: &mut Registry<Worker>, worker: &mut Worker, _: Fired) {
    worker.run_after_callbacks(registry);
    worker.mark();
}

impl Worker {
    /// Does for each listed connection what is to be done. What that lists again waits for the next
    /// run.
    fn run_after_callbacks(&mut self, registry: &mut Registry<Self>) {
        // First, so that other shards work meanwhile.
        if std::mem::take(&mut self.shard.after_callbacks.posted) {
            self.host.wake_posted();
        }
        let mut listed = std::mem::take(&mut self.shard.after_callbacks.listed);
        for (key, readable) in listed.drain(..) {
            let connections = &mut self.shard.connections;
            let Some(connection) = connections.get_mut(key) else { continue };
            if connection.readable != readable {
                continue;
            }
            connection.is_listed = false;
            let resumes = std::mem::take(&mut connection.resumes);
            let mut connection = self.connection(registry, key);
            if let Stage::Closing(reason) = connection.stage {
                connection.end(reason);
                continue;
            }
            connection.flush();
            if connection.is_open() && resumes {
                connection.apply(NextStep::Read);
            }
            connection.count_tls_memory();
        }
        // Keep its memory for the next time.
        let after = &mut self.shard.after_callbacks.listed;
        if after.is_empty() {
            *after = listed;
        }
    }
}
