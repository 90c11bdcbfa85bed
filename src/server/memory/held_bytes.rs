//! Input that is not consumed yet. Its memory counts against the limit as long as it exists.
//!
//! It is contiguous, because a service gets it as one slice.

use std::ops::Deref;
use std::sync::Arc;

use super::counted::{CountedMemory, NoMemory};
use super::limit::MemoryLimit;

/// The least memory of a buffer that grows: a smaller one would soon grow again.
const MEMORY_MIN: usize = 64;

/// A growing buffer of one connection.
#[derive(Debug)]
pub(in crate::server) struct HeldBytes {
    bytes: Vec<u8>,
    memory: CountedMemory,
}

impl HeldBytes {
    /// An empty buffer, without memory.
    pub(in crate::server) fn new(limit: &Arc<MemoryLimit>) -> Self {
        Self { bytes: Vec::new(), memory: CountedMemory::new(limit) }
    }

    /// Its memory in bytes.
    pub(in crate::server) fn memory(&self) -> usize {
        self.memory.bytes()
    }

    /// Whether so many bytes can be appended without more memory.
    fn has_room_for(&self, bytes: usize) -> bool {
        self.memory.bytes() - self.bytes.len() >= bytes
    }

    /// Appends bytes. If there is no memory for all of them, nothing changes.
    pub(in crate::server) fn append(&mut self, bytes: &[u8]) -> Result<(), NoMemory> {
        if !self.has_room_for(bytes.len()) {
            let needed = self.bytes.len().checked_add(bytes.len()).ok_or(NoMemory)?;
            self.grow_to(needed.max(self.memory.bytes().saturating_mul(2)).max(MEMORY_MIN))?;
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// Removes the first bytes.
    pub(in crate::server) fn consume(&mut self, bytes: usize) {
        self.bytes.drain(..bytes);
    }

    fn grow_to(&mut self, memory: usize) -> Result<(), NoMemory> {
        let more = memory - self.bytes.len();
        self.memory.grow_to(memory, || self.bytes.try_reserve_exact(more))
    }
}

impl Deref for HeldBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limited_to(max: usize) -> Arc<MemoryLimit> {
        Arc::new(MemoryLimit::new(max, Vec::new()))
    }

    #[test]
    fn a_buffer_that_may_not_grow_is_unchanged() {
        let limit = limited_to(100);
        let mut held = HeldBytes::new(&limit);
        held.append(&[1; 60]).unwrap();
        assert_eq!(held.append(&[2; 60]), Err(NoMemory));
        assert_eq!((&held[..], limit.held()), (&[1; 60][..], held.memory()));
    }

    #[test]
    fn a_buffer_larger_than_the_address_space_is_refused_and_not_an_abort() {
        let limit = limited_to(usize::MAX);
        let mut held = HeldBytes::new(&limit);
        held.append(b"kept").unwrap();
        assert_eq!(held.grow_to(usize::MAX / 2 + 1), Err(NoMemory));
        assert_eq!((&held[..], limit.held()), (&b"kept"[..], held.memory()));
    }

    proptest! {
        /// Against a plain vector: contents agree, and the sum of all memory is what is counted.
        #[test]
        fn held_bytes_agree_with_a_vector_and_are_counted(
            steps in prop::collection::vec((0..3_usize, 0..300_usize, any::<bool>()), 0..200),
        ) {
            let limit = limited_to(2_000);
            let mut all: Vec<(HeldBytes, Vec<u8>)> =
                (0..3).map(|_| (HeldBytes::new(&limit), Vec::new())).collect();
            for (index, count, appends) in steps {
                let (held, model) = &mut all[index];
                if appends {
                    let bytes = vec![count as u8; count];
                    if held.append(&bytes).is_ok() {
                        model.extend(bytes);
                    }
                } else if count > model.len() {
                    (*held, *model) = (HeldBytes::new(&limit), Vec::new());
                } else {
                    held.consume(count);
                    model.drain(..count);
                }
                prop_assert!(all.iter().all(|(held, model)| held[..] == model[..]));
                let counted: usize = all.iter().map(|(held, _)| held.memory()).sum();
                prop_assert!(limit.held() == counted && counted <= 2_000);
            }
            drop(all);
            prop_assert_eq!(limit.held(), 0);
        }
    }
}
