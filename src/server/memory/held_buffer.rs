//! Bytes that wait to be sent. Their memory counts against the limit as long as they exist.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::counted::{CountedMemory, NoMemory};
use super::limit::MemoryLimit;
use crate::buffer::Buffer;
use crate::transport::{Transport, would_block};

/// A growing buffer of one connection, whose chunks are freed as they are sent.
#[derive(Debug)]
pub(in crate::server) struct HeldBuffer {
    bytes: Buffer,
    /// How many of the bytes are in files.
    file_bytes: usize,
    memory: CountedMemory,
}

impl HeldBuffer {
    /// An empty buffer, without memory.
    pub(in crate::server) fn new(limit: &Arc<MemoryLimit>) -> Self {
        Self { bytes: Buffer::new(), file_bytes: 0, memory: CountedMemory::new(limit) }
    }

    pub(in crate::server) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(in crate::server) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// How many of its bytes are in memory.
    pub(in crate::server) fn len_in_memory(&self) -> usize {
        self.bytes.len() - self.file_bytes
    }

    /// Its memory in bytes. What it shares with others counts as its own.
    pub(in crate::server) fn memory(&self) -> usize {
        self.memory.bytes()
    }

    /// Appends bytes. If there is no memory for all of them, nothing changes.
    pub(in crate::server) fn append(&mut self, bytes: &[u8]) -> Result<(), NoMemory> {
        let growth = self.bytes.growth(bytes.len());
        if growth == 0 {
            return self.bytes.try_append(bytes).map_err(|_| NoMemory);
        }
        let memory = self.memory.bytes().checked_add(growth).ok_or(NoMemory)?;
        self.memory.grow_to(memory, || self.bytes.try_append(bytes))
    }

    /// Appends bytes without a copy. If there is no memory for them, nothing changes.
    pub(in crate::server) fn append_shared(&mut self, bytes: Arc<[u8]>) -> Result<(), NoMemory> {
        let memory = self.memory.bytes().checked_add(bytes.len()).ok_or(NoMemory)?;
        self.memory.set(memory)?;
        self.bytes.append_shared(bytes);
        Ok(())
    }

    /// Appends a range of a file, which needs no memory.
    ///
    /// # Errors
    ///
    /// Those of [`Buffer::append_file`]; nothing changes then.
    pub(in crate::server) fn append_file(
        &mut self,
        file: Arc<File>,
        range: Range<u64>,
    ) -> io::Result<()> {
        let before = self.bytes.len();
        self.bytes.append_file(file, range)?;
        self.file_bytes += self.bytes.len() - before;
        Ok(())
    }

    /// Writes what the transport takes, at most `max` bytes, and frees it; returns how many bytes
    /// that were, perhaps none.
    pub(in crate::server) fn write_to(
        &mut self,
        transport: &Transport,
        max: usize,
    ) -> io::Result<usize> {
        let written = match transport.write_from(&mut self.bytes, max) {
            Err(error) if would_block(&error) => return Ok(0),
            result => result?,
        };
        self.memory.shrink_to(self.bytes.held_memory());
        if self.file_bytes > 0 {
            self.file_bytes = self.bytes.file_bytes();
        }
        Ok(written)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use proptest::prelude::*;

    use super::*;

    fn limited_to(max: usize) -> Arc<MemoryLimit> {
        Arc::new(MemoryLimit::new(max, Vec::new()))
    }

    #[test]
    fn a_buffer_that_may_not_grow_is_unchanged() {
        let limit = limited_to(3_000);
        let mut held = HeldBuffer::new(&limit);
        held.append(&[1; 1_500]).unwrap();
        assert_eq!(held.append(&[2; 1_501]), Err(NoMemory));
        assert_eq!((held.len(), limit.held()), (1_500, held.memory()));
    }

    proptest! {
        /// Against plain vectors: what is sent agrees, and the sum of all memory is counted.
        #[test]
        fn what_is_sent_agrees_with_a_vector_and_memory_is_counted(
            steps in prop::collection::vec((0..2_usize, 0..20_000_usize, 0..3_u8), 0..40),
        ) {
            let limit = limited_to(150_000);
            let pair = || {
                let (near, far) = UnixStream::pair().unwrap();
                near.set_nonblocking(true).unwrap();
                far.set_nonblocking(true).unwrap();
                (HeldBuffer::new(&limit), Transport::new(near), far, Vec::new())
            };
            let mut all = [pair(), pair()];
            for (index, count, step) in steps {
                let (held, transport, far, model) = &mut all[index];
                match step {
                    0 => {
                        let bytes: Vec<u8> = (0..count).map(|at| (at % 251) as u8).collect();
                        if held.append(&bytes).is_ok() {
                            model.extend(bytes);
                        }
                    }
                    1 => {
                        let sent = held.write_to(transport, count).unwrap();
                        let mut got = vec![0; sent];
                        far.read_exact(&mut got).unwrap();
                        prop_assert!(model.drain(..sent).eq(got));
                    }
                    _ => {
                        *held = HeldBuffer::new(&limit);
                        model.clear();
                    }
                }
                prop_assert_eq!(held.len(), model.len());
                prop_assert_eq!(held.is_empty(), held.memory() == 0);
                let counted: usize = all.iter().map(|(held, ..)| held.memory()).sum();
                prop_assert!(limit.held() == counted && counted <= 150_000);
            }
            drop(all);
            prop_assert_eq!(limit.held(), 0);
        }
    }
}
