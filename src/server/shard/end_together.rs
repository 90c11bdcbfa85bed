//! The end of a drain: the shards end together, once none has a connection. Until then a shard
//! without connections still answers the messages of others.

use std::sync::Arc;

use crate::base::Notifier;
use crate::sync::{AtomicU64, Ordering};

/// What the shards of a server share.
#[derive(Debug)]
pub(in crate::server) struct EndTogether {
    /// How many shards serve connections. Once it is zero, it stays so.
    serving: AtomicU64,
    workers: Box<[Notifier]>,
}

/// One shard. Its drop ends its part, however its thread ends.
#[derive(Debug)]
pub(super) struct ServingShard {
    shared: Arc<EndTogether>,
    serves: bool,
}

impl EndTogether {
    /// All shards serve. Each notifier wakes one of them.
    pub(in crate::server) fn new(workers: Vec<Notifier>) -> Arc<Self> {
        Arc::new(Self { serving: AtomicU64::new(workers.len() as u64), workers: workers.into() })
    }

    /// A shard has no connections; returns whether it was the last that had any.
    fn leave(&self) -> bool {
        self.serving.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// A shard has a connection again; returns false if all have ended meanwhile.
    fn enter(&self) -> bool {
        let enter = |serving| (serving > 0).then_some(serving + 1);
        self.serving.fetch_update(Ordering::AcqRel, Ordering::Acquire, enter).is_ok()
    }

    fn has_ended(&self) -> bool {
        self.serving.load(Ordering::Acquire) == 0
    }
}

impl ServingShard {
    pub(super) fn new(shared: Arc<EndTogether>) -> Self {
        Self { shared, serves: true }
    }

    /// The shard drains and has no connections. If no shard has any, all of them are woken, this
    /// one too, and find that [all have ended](Self::all_have_ended).
    pub(super) fn ends(&mut self) {
        if std::mem::take(&mut self.serves) && self.shared.leave() {
            for worker in &self.shared.workers {
                worker.notify();
            }
        }
    }

    /// The shard is about to have a connection. Returns false if all have ended: it must not.
    pub(super) fn serves(&mut self) -> bool {
        self.serves = self.serves || self.shared.enter();
        self.serves
    }

    /// Whether no shard has connections any more.
    pub(super) fn all_have_ended(&self) -> bool {
        self.shared.has_ended()
    }
}

impl Drop for ServingShard {
    fn drop(&mut self) {
        self.ends();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn shards(count: usize) -> Vec<ServingShard> {
        let shared = EndTogether::new(Vec::new());
        shared.serving.store(count as u64, Ordering::Relaxed);
        (0..count).map(|_| ServingShard::new(shared.clone())).collect()
    }

    #[test]
    fn a_shard_whose_thread_failed_does_not_keep_the_others() {
        let mut shards = shards(2);
        shards.pop();
        assert!(!shards[0].all_have_ended());
        shards[0].ends();
        shards[0].ends();
        assert!(shards[0].all_have_ended());
    }

    #[test]
    fn a_shard_may_serve_again_until_all_have_ended() {
        let mut shards = shards(2);
        shards[0].ends();
        assert!(shards[0].serves() && shards[0].serves());
        shards[1].ends();
        assert!(!shards[0].all_have_ended());
        shards[0].ends();
        assert!(shards[0].all_have_ended() && !shards[0].serves() && !shards[1].serves());
    }
}

/// T12: a shard that dials while the others end is either seen by them, or does not dial.
#[cfg(all(test, loom))]
mod loom_models {
    use loom::thread;

    use super::*;

    type Enter = fn(&EndTogether) -> bool;

    /// One shard has no connections, and dials. The other closes its last one meanwhile.
    fn model(enter: Enter) {
        loom::model(move || {
            let shared =
                Arc::new(EndTogether { serving: AtomicU64::new(1), workers: Box::new([]) });
            let other = thread::spawn({
                let shared = shared.clone();
                move || shared.leave()
            });
            let dials = enter(&shared);
            let all_ended = other.join().unwrap();
            assert!(!(dials && all_ended), "all shards end, and one of them has a connection");
            assert_eq!(shared.has_ended(), all_ended);
        });
    }

    #[test]
    fn loom_t12_a_shard_that_dials_is_seen_by_those_that_end_or_does_not_dial() {
        model(EndTogether::enter);
    }

    #[test]
    #[ignore = "must fail"]
    fn a_look_before_the_increment() {
        model(|shared| !shared.has_ended() && shared.serving.fetch_add(1, Ordering::AcqRel) < 9);
    }

    #[test]
    fn loom_t7_catches_every_mutation() {
        let mutation = |name| crate::sync::must_fail(&format!("{}::{name}", module_path!()));
        mutation("a_look_before_the_increment");
    }
}
