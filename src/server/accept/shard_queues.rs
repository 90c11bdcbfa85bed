//! Links: a gate's ends of all handoffs, and how a connection gets into one of them.

use std::sync::Arc;

use super::super::handoff::Handoff;
use super::super::handoff::accepted_connection::Arrival;
use super::super::placement::load::Loads;
use super::super::placement::{Clue, Placer};
use crate::base::Wake;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Links {
    links: Vec<Link>,
    loads: Loads,
    pub(super) placer: Placer,
}

/// One shard's.
#[derive(Debug)]
struct Link {
    handoff: Arc<Handoff>,
    /// Was offered something since it was last woken.
    touched: bool,
    wakes_sent: u64,
    wakes_suppressed: u64,
}

/// A connection that was accepted, and what placement knows of it.
#[derive(Debug)]
pub(super) struct Visitor {
    pub(super) arrival: Arrival,
    pub(super) clue: Clue,
    pub(super) at_home: bool,
}

impl Link {
    fn wake(&mut self) {
        self.touched = false;
        match self.handoff.wake_worker() {
            Wake::Sent => self.wakes_sent += 1,
            Wake::Suppressed => self.wakes_suppressed += 1,
        }
    }
}

impl Links {
    /// Links to all these shards.
    pub(super) fn new(handoffs: &[Arc<Handoff>], loads: Loads, placer: Placer) -> Self {
        let link = |handoff: &Arc<Handoff>| Link {
            handoff: handoff.clone(),
            touched: false,
            wakes_sent: 0,
            wakes_suppressed: 0,
        };
        Self { links: handoffs.iter().map(link).collect(), loads, placer }
    }

    /// Offers a connection to the shards in the order of placement; gives it back if none has
    /// room. Whose queue becomes half full by it is woken in the middle of the batch.
    pub(super) fn place(&mut self, visitor: Visitor) -> Result<(), Visitor> {
        let Visitor { mut arrival, clue, at_home } = visitor;
        for shard in self.placer.order(&self.loads, clue, at_home) {
            let link = &mut self.links[shard];
            match link.handoff.offer(arrival) {
                Ok(makes_half_full) => {
                    link.touched = true;
                    if makes_half_full {
                        link.wake();
                    }
                    return Ok(());
                }
                Err(refused) => arrival = refused,
            }
        }
        Err(Visitor { arrival, clue, at_home })
    }

    /// After a batch: wakes the workers that were offered anything since they were woken.
    pub(super) fn wake_touched(&mut self) {
        self.links.iter_mut().filter(|link| link.touched).for_each(Link::wake);
    }

    /// Whether nobody is left to accept for.
    pub(super) fn are_all_closed(&self) -> bool {
        self.links.iter().all(|link| link.handoff.is_closed())
    }

    /// Whether one of those that had no room may have some by now.
    pub(super) fn may_have_room(&self) -> bool {
        self.links.iter().any(|link| link.handoff.may_have_room())
    }

    /// By shard: wakes that cost a system call, and those that did not.
    pub(super) fn wakes(&self) -> (Vec<u64>, Vec<u64>) {
        self.links.iter().map(|link| (link.wakes_sent, link.wakes_suppressed)).unzip()
    }
}
