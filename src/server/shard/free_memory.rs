//! Freeing memory when the buffers of all shards hold too much: the connections with the largest
//! buffers are reset. Their peers either read too slowly, or send messages that are never complete.
//!
//! Each worker looks for them in its next turn, and resets its own only while no other shard has
//! larger ones. Sizes are compared by powers of two.

use std::cmp::Reverse;
use std::time::Instant;

use super::close_reason::CloseReason;
use super::worker::Worker;
use crate::base::Registry;

impl Worker {
    /// Frees memory if there is too little. Called in each turn.
    #[inline]
    pub(super) fn free_memory_if_needed(&mut self, registry: &mut Registry<Self>) {
        if self.shard.limits.memory.is_freeing() {
            self.free_memory(registry);
        }
    }

    #[cold]
    fn free_memory(&mut self, registry: &mut Registry<Self>) {
        let memory = self.shard.limits.memory.clone();
        let sizes = self.shard.connections.iter().map(|(key, found)| (found.largest_buffer(), key));
        let mut sizes: Vec<_> = sizes.filter(|&(bytes, _)| bytes > 0).collect();
        sizes.sort_unstable_by_key(|&(bytes, _)| Reverse(bytes));
        for (index, (bytes, key)) in sizes.into_iter().enumerate() {
            if !memory.is_freeing() {
                break;
            }
            if !memory.is_among_the_largest(bytes) {
                // This shard has reset its largest. Now those of another may be the largest.
                if index > 0 {
                    memory.wake_workers();
                }
                break;
            }
            self.connection(registry, key).fail(CloseReason::NoMemory);
        }
        self.mark();
    }

    /// Logs that a connection was reset for lack of memory, at most once a second.
    #[cold]
    pub(super) fn log_no_memory(&mut self) {
        let Some(suppressed) = self.shard.no_memory_log.next(Instant::now()) else { return };
        let memory = &self.shard.limits.memory;
        log::warn!(
            target: "shard", shard = self.shard.handoff.shard(), held_bytes = memory.held(),
            limit_bytes = memory.max(), suppressed;
            "a connection was reset, because its buffers are large and the buffers of all hold too \
             much; raise the memory limit, or allow each connection less"
        );
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::net::TcpStream;
    use std::sync::Arc;

    use super::super::test_worker::{hand_over, pair, worker_with_memory};
    use super::*;
    use crate::base::{EventBase, LoopFlags};
    use crate::server::memory::{HeldBytes, MemoryLimit};
    use crate::server::service::{Connection, Service};

    const MIB: usize = 1 << 20;

    /// Consumes nothing, so that the server keeps all input.
    #[derive(Clone)]
    struct Keep;

    impl Service for Keep {
        type Session = ();
        type Message = ();

        fn open(&mut self, _: &mut Connection<'_, Self>) {}

        fn receive(&mut self, (): &mut (), _: &[u8], _: &mut Connection<'_, Self>) -> usize {
            0
        }
    }

    fn turn(base: &mut EventBase<Worker>, worker: &mut Worker) {
        base.run_with(worker, LoopFlags::ONCE | LoopFlags::NONBLOCK).unwrap();
    }

    /// A client whose message of this size the worker has read.
    fn client_with(base: &mut EventBase<Worker>, worker: &mut Worker, bytes: usize) -> TcpStream {
        let (mut client, socket) = pair();
        hand_over(worker, socket);
        let all = worker.shard.stats.bytes_in + bytes as u64;
        for piece in vec![7; bytes].chunks(MIB / 16) {
            let read = worker.shard.stats.bytes_in + piece.len() as u64;
            client.write_all(piece).unwrap();
            while worker.shard.stats.bytes_in < read && worker.shard.stats.errors.no_memory == 0 {
                turn(base, worker);
            }
        }
        assert!(worker.shard.stats.bytes_in == all || worker.shard.stats.errors.no_memory > 0);
        client
    }

    fn is_reset(client: &mut TcpStream) -> bool {
        client.set_nonblocking(true).unwrap();
        match client.read(&mut [0]).unwrap_err().kind() {
            ErrorKind::ConnectionReset => true,
            ErrorKind::WouldBlock => false,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn buffers_of_many_connections_grew_without_a_limit_in_all() {
        let memory = Arc::new(MemoryLimit::new(4 * MIB, Vec::new()));
        let (mut base, mut worker) = worker_with_memory(Keep, memory.clone());
        let mut small = client_with(&mut base, &mut worker, 1000);
        let mut large: Vec<TcpStream> =
            (0..8).map(|_| client_with(&mut base, &mut worker, 3 * MIB / 4)).collect();
        turn(&mut base, &mut worker);
        assert!(memory.held() <= 4 * MIB / 8 * 7, "{}", memory.held());
        assert!(!is_reset(&mut small), "its buffer is small");
        let reset = large.iter_mut().filter_map(|client| is_reset(client).then_some(())).count();
        assert_eq!(worker.shard.stats.errors.no_memory, reset as u64);
        assert!(reset > 0 && reset < 8, "{reset}");
        drop(worker);
        assert_eq!(memory.held(), 0);
    }

    #[test]
    fn a_shard_does_not_reset_its_connections_while_another_has_larger_ones() {
        let memory = Arc::new(MemoryLimit::new(4 * MIB, Vec::new()));
        let (mut base, mut worker) = worker_with_memory(Keep, memory.clone());
        let mut own = client_with(&mut base, &mut worker, MIB / 4);
        let of_another_shard = |bytes| {
            let mut held = HeldBytes::new(&memory);
            held.append(&vec![7; bytes]).unwrap();
            held
        };
        let larger: Vec<HeldBytes> = (0..7).map(|_| of_another_shard(MIB / 2)).collect();
        assert!(memory.is_freeing());
        turn(&mut base, &mut worker);
        assert!(!is_reset(&mut own));

        drop(larger);
        let _smaller: Vec<HeldBytes> = (0..27).map(|_| of_another_shard(MIB / 8)).collect();
        turn(&mut base, &mut worker);
        assert!(is_reset(&mut own));
    }
}
