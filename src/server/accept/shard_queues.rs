//! Shard queues: an acceptor's side of all handoffs, and how it places a connection.

use std::sync::Arc;

use crate::base::Wake;
use crate::server::handoff::Handoff;
use crate::server::handoff::accepted_connection::AcceptedConnection;
use crate::server::placement::load::Loads;
use crate::server::placement::{PlacementHint, Placer};

/// The producer side of every shard's queue.
#[derive(Debug)]
pub(super) struct ShardQueues {
    queues: Vec<ShardQueue>,
    loads: Loads,
    pub(super) placer: Placer,
}

/// The producer side of one shard's queue.
#[derive(Debug)]
struct ShardQueue {
    handoff: Arc<Handoff>,
    /// Whether it got a connection since the worker was last woken.
    touched: bool,
    wakes_sent: u64,
    wakes_suppressed: u64,
}

/// An accepted connection that no shard has yet, and what placement needs.
#[derive(Debug)]
pub(super) struct UnplacedConnection {
    pub(super) connection: AcceptedConnection,
    pub(super) hint: PlacementHint,
    pub(super) is_local: bool,
}

impl ShardQueue {
    fn wake(&mut self) {
        self.touched = false;
        match self.handoff.wake_worker() {
            Wake::Sent => self.wakes_sent += 1,
            Wake::Suppressed => self.wakes_suppressed += 1,
        }
    }
}

impl ShardQueues {
    /// The queues of these shards.
    pub(super) fn new(handoffs: &[Arc<Handoff>], loads: Loads, placer: Placer) -> Self {
        let queue = |handoff: &Arc<Handoff>| ShardQueue {
            handoff: handoff.clone(),
            touched: false,
            wakes_sent: 0,
            wakes_suppressed: 0,
        };
        Self { queues: handoffs.iter().map(queue).collect(), loads, placer }
    }

    /// Offers a connection to the shards in the order of placement, and returns it if none has
    /// room. A worker whose queue becomes half full is woken in the middle of the batch.
    pub(super) fn place(&mut self, unplaced: UnplacedConnection) -> Result<(), UnplacedConnection> {
        let UnplacedConnection { mut connection, hint, is_local } = unplaced;
        for shard in self.placer.order(&self.loads, hint, is_local) {
            let queue = &mut self.queues[shard];
            match queue.handoff.offer(connection) {
                Ok(makes_half_full) => {
                    queue.touched = true;
                    if makes_half_full {
                        queue.wake();
                    }
                    return Ok(());
                }
                Err(refused) => connection = refused,
            }
        }
        Err(UnplacedConnection { connection, hint, is_local })
    }

    /// After a batch: wakes every worker that got a connection since its last wake.
    pub(super) fn wake_touched(&mut self) {
        self.queues.iter_mut().filter(|queue| queue.touched).for_each(ShardQueue::wake);
    }

    /// Whether every shard has ended.
    pub(super) fn are_all_closed(&self) -> bool {
        self.queues.iter().all(|queue| queue.handoff.is_closed())
    }

    /// Whether a queue that was full may have room by now.
    pub(super) fn may_have_room(&self) -> bool {
        self.queues.iter().any(|queue| queue.handoff.may_have_room())
    }

    /// By shard: wakes that cost a system call, and those that did not.
    pub(super) fn wakes(&self) -> (Vec<u64>, Vec<u64>) {
        self.queues.iter().map(|queue| (queue.wakes_sent, queue.wakes_suppressed)).unzip()
    }
}
