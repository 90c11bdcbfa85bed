//! Defects that evbuffer had, each as a test of what must not happen.

use std::error::Error;
use std::fmt;
use std::io::{BufRead, Read, Write};
use std::sync::{Arc, Mutex};

use evshard::{Buffer, BufferError, Changes, Eol};

use super::{buffer_of, bytes_of};

/// CVE-2014-6272: sizes near the maximum overflowed, and a too small chunk was written beyond its
/// end.
#[test]
fn a_size_near_the_maximum_is_an_error_and_changes_nothing() {
    let mut buffer = buffer_of(b"abc");
    for n in [usize::MAX, usize::MAX - 2] {
        let too_long = BufferError::TooLong { length: 3, more: n };
        assert_eq!(buffer.reserve(n).map(drop), Err(too_long));
        assert_eq!(buffer.append_with(n, |_| unreachable!("no space")), Err(too_long));
    }
    for bytes in [usize::MAX - 3, isize::MAX as usize, isize::MAX as usize / 2] {
        let no_memory = buffer.append_with(bytes, |_| unreachable!("no space")).unwrap_err();
        assert_eq!(no_memory, BufferError::OutOfMemory { bytes });
        let Err(BufferError::OutOfMemory { .. }) = buffer.reserve(bytes).map(drop) else {
            panic!("{bytes} bytes of memory");
        };
    }
    assert_eq!(bytes_of(&buffer), b"abc");
    assert_eq!(buffer.take_changes(), Changes { added: 3, removed: 0 });
    assert_eq!(buffer.pull_up(usize::MAX), None);
    assert_eq!(buffer.copy_out(usize::MAX, &mut [0; 8]), 0);
    assert_eq!(buffer.find(b"c", usize::MAX..), None);
    assert_eq!(buffer.find(b"c", ..=usize::MAX), Some(2));
    assert_eq!(buffer.find_eol(Eol::Any, usize::MAX), None);
    assert_eq!(buffer.drain(usize::MAX), 3);
}

/// libevent#335: after space was reserved, a later append went before an earlier one.
#[test]
fn bytes_added_in_different_ways_stay_in_order() {
    let mut buffer = Buffer::new();
    drop(buffer.reserve(12).unwrap());
    buffer.append(b": first line\n");
    drop(buffer.reserve(2048).unwrap());
    buffer.append(b": second line\n");
    fmt::Write::write_fmt(&mut buffer, format_args!(": {} line\n", "third")).unwrap();
    assert_eq!(bytes_of(&buffer), b": first line\n: second line\n: third line\n");
}

/// libevent#340: the fix of CVE-2014-6272 no longer used the room of a chunk.
#[test]
fn reserving_again_uses_the_same_room() {
    let mut buffer = Buffer::new();
    for _ in 0..100 {
        buffer.append_with(10, |space| space.len()).unwrap();
    }
    assert_eq!(buffer.peek(..).count(), 1);
}

/// libevent#349: a prepend counted the free space before the first chunk instead of its bytes.
#[test]
fn a_prepend_counts_its_bytes() {
    let mut buffer = buffer_of(b"0123456789");
    buffer.drain(5);
    buffer.take_changes();
    buffer.prepend(b"ab");
    assert_eq!(buffer.take_changes(), Changes { added: 2, removed: 0 });
    buffer.prepend(&[b'x'; 100]);
    assert_eq!(buffer.take_changes(), Changes { added: 100, removed: 0 });
    assert!(bytes_of(&buffer).ends_with(b"xxab56789"));
}

/// libevent#774: after an empty prepend before shared bytes, an append went to the front.
#[test]
fn an_append_after_an_empty_prepend_goes_to_the_end() {
    let (mut buffer, mut other) = (Buffer::new(), Buffer::new());
    buffer.append_shared("foo");
    buffer.prepend(b"");
    assert_eq!(buffer.move_to(&mut other, 1), 1);
    buffer.append(b"bar");
    assert_eq!(bytes_of(&buffer), b"oobar");
    assert_eq!(bytes_of(&other), b"f");
}

/// libevent#778: two chunks changed their order when less was committed than reserved.
#[test]
fn a_commit_of_less_than_reserved_keeps_the_order() {
    let (mut buffer, mut other) = (Buffer::new(), Buffer::new());
    for (n, byte) in [(5000, b'a'), (3, b'b'), (2000, b'c')] {
        let mut space = buffer.reserve(6000).unwrap();
        let all = vec![byte; n];
        assert_eq!((&all[..]).read_vectored(&mut space.slices()).unwrap(), n);
        space.commit(n).unwrap();
        buffer.prepend(b"<");
        buffer.append(b">");
        other.append_buffer(&mut buffer);
        buffer.append_buffer(&mut other);
    }
    let (a, c) = ([b'a'; 5000], [b'c'; 2000]);
    assert_eq!(bytes_of(&buffer), [b"<<<", &a[..], b">bbb>", &c[..], b">"].concat());
}

/// libevent#806: prepended bytes were lost after an empty append, an empty commit and empty shared
/// bytes.
#[test]
fn nothing_is_lost_behind_empty_parts() {
    let (mut buffer, mut other) = (Buffer::new(), Buffer::new());
    buffer.append(b"");
    buffer.append_shared("");
    buffer.reserve(4096).unwrap().commit(0).unwrap();
    buffer.append_with(0, |_| 0).unwrap();
    buffer.append_buffer(&mut other);
    buffer.append_buffer(&mut other.share());
    assert_eq!((buffer.len(), buffer.peek(..).count()), (0, 0));
    buffer.prepend(b"bbbbb");
    other.append_shared("");
    other.append(b"eeee");
    buffer.append_buffer(&mut other);
    assert_eq!(bytes_of(&buffer), b"bbbbbeeee");
}

/// libevent#358: an empty chunk in the middle went to another buffer and ended the program.
#[test]
fn moving_exactly_a_chunk_leaves_no_empty_one() {
    let (mut buffer, mut other) = (Buffer::new(), Buffer::new());
    for text in ["one", "two", "three"] {
        buffer.append_shared(text);
    }
    assert_eq!(buffer.move_to(&mut other, 3), 3);
    assert_eq!(buffer.move_to(&mut other, 0), 0);
    assert_eq!(buffer.drain(3), 3);
    assert_eq!((buffer.peek(..).count(), other.peek(..).count()), (1, 1));
}

/// libevent#1802: draining all of a buffer read a chunk that was gone.
#[test]
fn draining_more_than_there_is_empties_the_buffer() {
    let mut buffer = Buffer::new();
    assert_eq!(buffer.drain(1), 0);
    buffer.append_shared("one");
    buffer.append(b"two");
    assert_eq!(buffer.drain(1 << 40), 6);
    assert_eq!((buffer.drain(1), buffer.remove(&mut [0; 4])), (0, 0));
    assert_eq!(buffer.take_changes(), Changes { added: 6, removed: 6 });
}

/// CVE-2026-63381 and libevent#1842: a buffer that shared the chunks of another used them after
/// they were freed.
#[test]
fn shared_bytes_outlive_the_buffer_they_came_from() {
    let mut source = buffer_of(&[b'a'; 5000]);
    source.append(b"tail");
    let mut copies = [source.share(), source.share().share()];
    source.append(b"only in the source");
    source.drain(4999);
    source.prepend(b"and here");
    assert!(bytes_of(&source).starts_with(b"and hereatailonly"));
    drop(source);
    for copy in &mut copies {
        assert_eq!(copy.len(), 5004);
        copy.append(b"!");
        copy.drain(4999);
        assert_eq!(bytes_of(copy), b"atail!");
    }
}

/// If two evbuffers share a chain, `evbuffer_pullup` of one writes into the room behind the shared
/// bytes, where the other has its own (2.1.12).
#[test]
fn pulling_up_changes_no_buffer_with_which_bytes_are_shared() {
    let mut first = buffer_of(b"shared ");
    let mut second = first.share();
    first.append_shared("first");
    second.append_shared("second");
    assert_eq!(first.pull_up(12), Some(&b"shared first"[..]));
    assert_eq!(second.pull_up(13), Some(&b"shared second"[..]));
    assert_eq!(bytes_of(&first), b"shared first");
}

/// libevent calls the cleanup function once. It must not be called while bytes are still used.
#[test]
fn shared_bytes_are_dropped_once_when_the_last_byte_is_removed() {
    struct Counted(Arc<Mutex<u32>>);
    impl AsRef<[u8]> for Counted {
        fn as_ref(&self) -> &[u8] {
            b"0123456789"
        }
    }
    impl Drop for Counted {
        fn drop(&mut self) {
            *self.0.lock().unwrap() += 1;
        }
    }
    let drops = Arc::new(Mutex::new(0));
    let (mut buffer, mut other) = (Buffer::new(), Buffer::new());
    buffer.append_shared(Counted(Arc::clone(&drops)));
    buffer.move_to(&mut other, 5);
    drop(buffer);
    other.drain(4);
    assert_eq!(*drops.lock().unwrap(), 0);
    other.drain(1);
    assert_eq!(*drops.lock().unwrap(), 1);
}

/// evbuffer's callbacks ran between two halves of a change and could change the buffer themselves.
#[test]
fn changes_are_counts_that_add_up() {
    let (mut buffer, mut other) = (buffer_of(b"0123456789"), Buffer::new());
    buffer.drain(3);
    assert_eq!(buffer.take_changes(), Changes { added: 10, removed: 3 });
    assert!(buffer.take_changes().is_empty());
    buffer.move_to(&mut other, 4);
    assert_eq!(buffer.take_changes(), Changes { added: 0, removed: 4 });
    assert_eq!(other.take_changes(), Changes { added: 4, removed: 0 });
    other.prepend_buffer(&mut buffer);
    other.pull_up(7).unwrap();
    assert_eq!(other.take_changes(), Changes { added: 3, removed: 0 });
    assert_eq!(bytes_of(&other), b"7893456");
}

#[test]
fn a_commit_of_more_than_reserved_adds_nothing() {
    let mut buffer = buffer_of(b"abc");
    let not_reserved = BufferError::NotReserved { committed: 11, reserved: 10 };
    assert_eq!(buffer.reserve(10).unwrap().commit(11), Err(not_reserved));
    assert_eq!(buffer.append_with(10, |_| 11), Err(not_reserved));
    assert_eq!(bytes_of(&buffer), b"abc");
    assert_eq!(buffer.take_changes(), Changes { added: 3, removed: 0 });
}

#[test]
fn a_reservation_that_is_dropped_or_forgotten_adds_nothing() {
    let mut buffer = buffer_of(b"abc");
    for n in [10, 10_000] {
        let mut space = buffer.reserve(n).unwrap();
        space.slices()[0].fill(b'x');
        drop(space);
        std::mem::forget(buffer.reserve(n).unwrap());
    }
    buffer.append(b"def");
    assert_eq!(bytes_of(&buffer), b"abcdef");
}

#[test]
fn a_panic_of_the_writer_adds_nothing() {
    let mut buffer = buffer_of(b"abc");
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        buffer.append_with(10, |_| panic!("the writer failed"))
    }));
    assert!(result.is_err());
    buffer.append(b"def");
    assert_eq!(bytes_of(&buffer), b"abcdef");
}

#[test]
fn each_end_of_line_ends_its_lines_also_across_chunks() {
    let text = b"one\r\ntwo\nthree\r\r\n\nfour\0five\r";
    let lines = |eol| {
        let mut buffer = Buffer::new();
        text.iter().for_each(|byte| buffer.append_shared([*byte]));
        let mut lines = Vec::new();
        while let Some(line) = buffer.read_line(eol) {
            lines.push(String::from_utf8(line).unwrap());
        }
        lines.push(String::from_utf8(bytes_of(&buffer)).unwrap());
        lines
    };
    assert_eq!(lines(Eol::Any), ["one", "two", "three", "four\0five", ""]);
    assert_eq!(lines(Eol::CrLf), ["one", "two", "three\r", "", "four\0five\r"]);
    assert_eq!(lines(Eol::CrLfStrict), ["one", "two\nthree\r", "\nfour\0five\r"]);
    assert_eq!(lines(Eol::Lf), ["one\r", "two", "three\r\r", "", "four\0five\r"]);
    assert_eq!(lines(Eol::Nul), ["one\r\ntwo\nthree\r\r\n\nfour", "five\r"]);
}

#[test]
fn a_search_ends_with_its_range() {
    let mut buffer = Buffer::new();
    ["ab", "ca", "bc"].into_iter().for_each(|part| buffer.append_shared(part));
    assert_eq!(buffer.find(b"abc", ..), Some(0));
    assert_eq!(buffer.find(b"abc", 1..), Some(3));
    assert_eq!(buffer.find(b"abc", 1..6), Some(3));
    assert_eq!(buffer.find(b"abc", 1..=4), None);
    assert_eq!(buffer.find(b"abc", ..2), None);
    assert_eq!(buffer.find(b"", ..), None);
    assert_eq!(buffer.find(b"abcabca", ..), None);
}

#[test]
fn the_standard_traits_read_and_write() -> Result<(), Box<dyn Error>> {
    let mut buffer = Buffer::new();
    fmt::Write::write_fmt(&mut buffer, format_args!("{}-", 1))?;
    buffer.write_all(b"two\nthree")?;
    let mut line = String::new();
    assert_eq!(BufRead::read_line(&mut buffer, &mut line)?, 6);
    assert_eq!(line, "1-two\n");
    buffer.read_to_string(&mut line)?;
    assert_eq!(line, "1-two\nthree");
    assert_eq!(buffer.read(&mut [0; 4])?, 0);
    Ok(())
}
