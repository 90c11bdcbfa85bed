//! Moving and sharing bytes between buffers: O(chunks), however many bytes there are.

use std::mem;

use super::chunk::Chunk;
use super::{Buffer, COPY_MAX};

impl Buffer {
    /// Moves all bytes of `other` to the end of this buffer (libevent: `evbuffer_add_buffer`).
    pub fn append_buffer(&mut self, other: &mut Self) {
        self.grow(other.len);
        other.shrink(other.len);
        if self.chunks.is_empty() {
            mem::swap(&mut self.chunks, &mut other.chunks);
            return;
        }
        while let Some(chunk) = other.chunks.pop_front() {
            self.link(chunk);
        }
    }

    /// Moves all bytes of `other` before those of this buffer (libevent:
    /// `evbuffer_prepend_buffer`).
    pub fn prepend_buffer(&mut self, other: &mut Self) {
        self.grow(other.len);
        other.shrink(other.len);
        mem::swap(&mut self.chunks, &mut other.chunks);
        while let Some(chunk) = other.chunks.pop_front() {
            self.link(chunk);
        }
    }

    /// Moves up to `n` bytes from the front of this buffer to the end of `into`; returns how many
    /// (libevent: `evbuffer_remove_buffer`).
    pub fn move_to(&mut self, into: &mut Self, n: usize) -> usize {
        let n = n.min(self.len);
        into.grow(n);
        self.shrink(n);
        let mut left = n;
        while let Some(front) = self.chunks.front_mut()
            && left > 0
        {
            if front.len() <= left {
                left -= front.len();
                let Some(chunk) = self.chunks.pop_front() else { break };
                into.link(chunk);
                continue;
            }
            match front.bytes() {
                Some(bytes) if front.is_owned() && left <= COPY_MAX => {
                    into.copy_in(&bytes[..left]);
                    front.skip(left);
                }
                _ => into.link(front.split_front(left)),
            }
            break;
        }
        n
    }

    /// A second buffer with the same bytes, which are not copied (libevent:
    /// `evbuffer_add_buffer_reference`).
    ///
    /// Each of the two may change and be dropped as if it were alone. File segments are shared,
    /// too.
    ///
    /// ```
    /// let mut message = evshard::Buffer::new();
    /// message.append(b"to all clients");
    /// let mut outputs = [evshard::Buffer::new(), evshard::Buffer::new()];
    /// for output in &mut outputs {
    ///     output.append_buffer(&mut message.share());
    /// }
    /// # assert_eq!(outputs[1].len(), 14);
    /// ```
    #[must_use = "the second buffer is returned"]
    pub fn share(&mut self) -> Self {
        let mut second = Self::new();
        second.grow(self.len);
        for chunk in self.chunks.iter_mut() {
            second.chunks.push_back(chunk.share());
        }
        second
    }

    /// Adds a chunk whose bytes are counted already. Few bytes are copied into the last chunk if it
    /// has room. Otherwise each short message would hold a chunk of its own.
    fn link(&mut self, chunk: Chunk) {
        if let Some(bytes) = chunk.bytes()
            && chunk.is_owned()
            && bytes.len() <= COPY_MAX
            && let Some(back) = self.chunks.back_mut()
            && bytes.len() <= back.room().len()
        {
            back.append(bytes);
            chunk.recycle();
            return;
        }
        self.chunks.push_back(chunk);
    }
}
