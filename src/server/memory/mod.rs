//! The memory of all connections' buffers together, and its limit.
//!
//! An incomplete message is in [`HeldBytes`], unsent output in [`HeldBuffer`]. Both count against
//! one [`MemoryLimit`] of the whole server, which they never exceed:
//!
//! | held | what happens |
//! |---|---|
//! | over 7/8 of the limit | new connections wait, or are reset with `--overload shed` |
//! | | workers reset the connections with the largest buffers, until 3/4 is held |
//! | all of it | a connection whose buffer would grow is reset |
//!
//! Memory that was freed goes back to the system (`trim.rs`).

mod counted;
mod held_buffer;
mod held_bytes;
mod limit;
mod machine;
mod trim;

use std::sync::Arc;

pub(super) use counted::{CountedMemory, NoMemory};
pub(super) use held_buffer::HeldBuffer;
pub(super) use held_bytes::HeldBytes;
pub(super) use limit::MemoryLimit;
pub(super) use machine::default_limit;
pub use machine::prepare_for_address_limit;

/// The limits of a connection's buffers.
#[derive(Clone, Debug)]
pub(super) struct BufferLimits {
    /// Bytes of one connection in each direction.
    pub(super) connection_bytes: usize,
    /// The memory of all connections.
    pub(super) memory: Arc<MemoryLimit>,
}
