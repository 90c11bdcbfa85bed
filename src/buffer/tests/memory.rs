//! How much memory buffers hold, and when they allocate.

use super::*;
use crate::buffer::COPY_MAX;

/// The sizes of the chunks' storage is not visible; the number of chunks is.
fn chunks(buffer: &Buffer) -> usize {
    buffer.chunks.iter().count()
}

#[test]
fn a_buffer_that_becomes_empty_owns_no_memory() {
    let mut buffer = Buffer::new();
    buffer.check();
    for _ in 0..100 {
        buffer.append(&[1; 1000]);
    }
    buffer.drain(usize::MAX);
    buffer.check();
    assert_eq!((buffer.len(), chunks(&buffer)), (0, 0));
}

#[test]
fn an_echo_through_two_buffers_uses_the_same_memory_again() {
    let (mut input, mut output) = (Buffer::new(), Buffer::new());
    let mut addresses = Vec::new();
    for _ in 0..3 {
        input.append(&[7; 64]);
        output.append_buffer(&mut input);
        addresses.push(output.peek(..).next().unwrap().as_ptr());
        output.drain(64);
    }
    assert_eq!(addresses, [addresses[0]; 3]);
}

#[test]
fn small_appends_fill_the_last_chunk_and_chunks_grow_with_the_buffer() {
    let mut buffer = Buffer::new();
    for _ in 0..spare::SMALL {
        buffer.append(b"a");
    }
    assert_eq!(chunks(&buffer), 1);
    for _ in spare::SMALL..1_000_000 {
        buffer.append(b"a");
    }
    // 1, 2, 4 … 64 KiB, and then 64 KiB each: not a thousand chunks of 1 KiB.
    assert!(chunks(&buffer) <= 7 + 1_000_000_usize.div_ceil(spare::LARGE), "{}", chunks(&buffer));
}

#[test]
fn short_messages_that_are_moved_share_a_chunk() {
    let (mut input, mut output) = (Buffer::new(), Buffer::new());
    for _ in 0..spare::SMALL / 64 {
        input.append(&[7; 64]);
        output.append_buffer(&mut input);
    }
    assert_eq!(chunks(&output), 1);
}

#[test]
fn a_move_copies_no_long_chunk() {
    let (mut from, mut to) = (Buffer::new(), Buffer::new());
    from.append(&vec![1; 100_000]);
    let address = from.peek(..).next().unwrap().as_ptr();
    assert_eq!(from.move_to(&mut to, COPY_MAX + 1), COPY_MAX + 1);
    assert_eq!(to.peek(..).next().unwrap().as_ptr(), address);
    to.prepend_buffer(&mut from);
    assert_eq!(to.peek(..).next().unwrap().as_ptr(), address.wrapping_add(COPY_MAX + 1));
    assert_eq!((to.len(), from.len()), (100_000, 0));
}

#[test]
fn shared_bytes_are_not_copied_and_are_dropped_with_the_last_of_them() {
    let owner = std::sync::Arc::new([1_u8; 100].to_vec());
    struct Bytes(std::sync::Arc<Vec<u8>>);
    impl AsRef<[u8]> for Bytes {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    let mut buffer = Buffer::new();
    buffer.append_shared(Bytes(std::sync::Arc::clone(&owner)));
    assert_eq!(buffer.peek(..).next().unwrap().as_ptr(), owner.as_ptr());
    let mut second = buffer.share();
    buffer.drain(100);
    second.drain(99);
    assert_eq!(std::sync::Arc::strong_count(&owner), 2);
    second.drain(1);
    assert_eq!(std::sync::Arc::strong_count(&owner), 1);
}

#[test]
fn reserved_space_never_shows_bytes_that_were_removed() {
    let mut buffer = Buffer::new();
    for secret in [vec![1; 1000], vec![1; 1], vec![1; 1]] {
        buffer.append(&secret);
        let nonzero = |space: &mut [u8]| space.iter().filter(|byte| **byte != 0).count();
        assert_eq!(buffer.append_with(10, nonzero).unwrap(), 0);
        let mut space = buffer.reserve(5000).unwrap();
        assert!(space.slices().iter().all(|slice| slice.iter().all(|byte| *byte == 0)));
        drop(space);
        buffer.drain(usize::MAX);
    }
}

#[test]
fn a_spare_with_old_bytes_is_zeroed_before_it_is_reserved() {
    for size in [spare::SMALL, spare::LARGE] {
        spare::give_back(vec![1; size].into_boxed_slice());
        let mut buffer = Buffer::new();
        let mut space = buffer.reserve(size).unwrap();
        assert!(space.slices().iter().all(|slice| slice.iter().all(|byte| *byte == 0)));
    }
}

#[test]
fn the_longest_reads_are_not_copied_and_short_ones_hold_no_large_chunk() {
    let (mut peer, socket) = std::os::unix::net::UnixStream::pair().unwrap();
    let spare = spare::take(spare::LARGE);
    let address = spare.as_ptr();
    spare::give_back(spare);
    for (n, is_copied) in [(100, true), (20_000, false)] {
        std::io::Write::write_all(&mut peer, &vec![1; n]).unwrap();
        let mut buffer = Buffer::new();
        assert_eq!(buffer.read_from(&socket, 30_000).unwrap(), n);
        assert_eq!(buffer.peek(..).next().unwrap().as_ptr() != address, is_copied);
        let memory = buffer.chunks.iter().map(Chunk::memory).sum::<usize>();
        assert!(memory <= 4 * n.max(spare::SMALL), "{memory} for {n}");
    }
}

#[test]
fn few_bytes_beside_many_make_no_large_chunk() {
    let mut buffer = Buffer::new();
    buffer.append_shared(vec![1; 1 << 20]);
    buffer.append(b"\r\n");
    buffer.prepend(b"head");
    let memory: Vec<usize> = buffer.chunks.iter().map(Chunk::memory).collect();
    assert_eq!(memory, [spare::SMALL, 0, spare::SMALL]);
}

#[test]
fn pulling_up_a_little_more_each_time_copies_little() {
    let mut buffer = Buffer::new();
    for _ in 0..1000 {
        buffer.append_shared([1; 10]);
    }
    let mut moves = 0;
    let mut address = std::ptr::null();
    for n in 1..=1000 {
        let pulled = buffer.pull_up(n * 10).unwrap().as_ptr();
        moves += usize::from(pulled != address);
        address = pulled;
    }
    assert!(moves < 10, "{moves}");
    buffer.check();
}

#[test]
fn an_append_that_may_fail_grows_as_other_appends_do() {
    let (mut buffer, mut other) = (Buffer::new(), Buffer::new());
    for n in [1, 1_000, 100, 5_000, 70_000, 1, 300] {
        let memory = buffer.memory() + buffer.growth(n);
        buffer.try_append(&vec![1; n]).unwrap();
        other.append(&vec![1; n]);
        assert_eq!((buffer.memory(), chunks(&buffer)), (memory, chunks(&other)));
        buffer.check();
    }
    buffer.drain(usize::MAX);
    assert_eq!(buffer.memory(), 0);
}
