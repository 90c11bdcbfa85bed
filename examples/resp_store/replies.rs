//! The replies of one connection that wait, in the order of its requests.

use std::collections::VecDeque;

use super::protocol::{Reply, array};

/// Replies that are not sent yet, because one before them, or they themselves, are awaited.
#[derive(Default)]
pub(crate) struct Replies {
    queue: VecDeque<Pending>,
    /// The place of the first in the queue, counted over the life of the connection.
    first: u64,
}

enum Pending {
    Ready(Reply),
    /// The header of an array, whose elements follow.
    Array(usize),
    /// Another shard has the key.
    Awaited,
    /// The sum of integers, of which so many are awaited.
    Sum {
        awaited: usize,
        sum: i64,
    },
}

impl Replies {
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(crate) fn push(&mut self, reply: Reply) {
        self.queue.push_back(Pending::Ready(reply));
    }

    pub(crate) fn push_array(&mut self, length: usize) {
        self.queue.push_back(Pending::Array(length));
    }

    /// The place of a reply that comes later.
    pub(crate) fn push_awaited(&mut self) -> u64 {
        self.push_pending(Pending::Awaited)
    }

    /// The place of a sum of so many integers that come later.
    pub(crate) fn push_sum(&mut self, awaited: usize) -> u64 {
        self.push_pending(Pending::Sum { awaited, sum: 0 })
    }

    fn push_pending(&mut self, pending: Pending) -> u64 {
        self.queue.push_back(pending);
        self.first + self.queue.len() as u64 - 1
    }

    /// A reply has come for this place.
    pub(crate) fn fill(&mut self, at: u64, reply: Reply) {
        let pending = &mut self.queue[(at - self.first) as usize];
        match (&mut *pending, reply) {
            (Pending::Sum { awaited, sum }, Reply::Integer(number)) => {
                (*awaited, *sum) = (*awaited - 1, *sum + number);
                if *awaited == 0 {
                    *pending = Pending::Ready(Reply::Integer(*sum));
                }
            }
            (_, reply) => *pending = Pending::Ready(reply),
        }
    }

    /// Appends the replies that are ready, up to the first that is awaited.
    pub(crate) fn take_ready(&mut self, out: &mut Vec<u8>) {
        while let Some(pending) = self.queue.front() {
            match pending {
                Pending::Ready(reply) => reply.append_to(out),
                Pending::Array(length) => array(out, *length),
                Pending::Awaited | Pending::Sum { .. } => return,
            }
            self.queue.pop_front();
            self.first += 1;
        }
        // An idle connection keeps no memory.
        self.queue = VecDeque::new();
    }
}
