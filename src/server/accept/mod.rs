//! Accepting: from the kernel's backlog to a worker's handoff.

mod accept_rate;
mod acceptor;
mod acceptor_thread;
mod fd_exhaustion;
mod listen_socket;
mod pause;
mod shard_queues;
mod shards;
mod shutdown;
mod state;
#[cfg(all(test, not(loom)))]
mod tests;

pub(super) use acceptor::{Acceptor, HasAcceptor};
pub(super) use acceptor_thread::AcceptorThread;
pub(super) use shards::{Shards, distribute};
pub(super) use state::BacklogOwner;
