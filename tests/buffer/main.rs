//! `Buffer` by its public interface: what went wrong in libevent's evbuffer, files, streams, and
//! random operations on both.

mod defects;
mod differential;
mod files;
mod streams;

use evshard::Buffer;

/// All bytes that are in memory.
fn bytes_of(buffer: &Buffer) -> Vec<u8> {
    buffer.peek(..).flat_map(|slice| slice.to_vec()).collect()
}

fn buffer_of(bytes: &[u8]) -> Buffer {
    let mut buffer = Buffer::new();
    buffer.append(bytes);
    buffer
}
