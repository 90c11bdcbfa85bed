//! Segments of real files: sent, loaded, and truncated meanwhile.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use evshard::{Buffer, BufferError, Eol};

use super::bytes_of;

fn file_of(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// A buffer with "head ", the bytes 2 to 8 of a file, and " tail".
fn buffer_with(file: impl Into<Arc<File>>) -> Buffer {
    let mut buffer = Buffer::new();
    buffer.append(b"head ");
    buffer.append_file(file, 2..8).unwrap();
    buffer.append(b" tail");
    buffer
}

/// Writes until the buffer is empty or a call fails; what arrived.
fn send(buffer: &mut Buffer, max: usize) -> (Vec<u8>, std::io::Result<()>) {
    let (socket, mut peer) = UnixStream::pair().unwrap();
    let mut result = Ok(());
    while result.is_ok() && !buffer.is_empty() {
        result = buffer.write_to(&socket, max).map(|n| assert!(n > 0 && n <= max, "{n}"));
    }
    drop(socket);
    let mut arrived = Vec::new();
    peer.read_to_end(&mut arrived).unwrap();
    (arrived, result)
}

#[test]
fn a_file_segment_is_sent_between_the_bytes_around_it() {
    for max in [1, 3, 1000] {
        let (arrived, result) = send(&mut buffer_with(file_of(b"0123456789")), max);
        assert_eq!((arrived.as_slice(), result.is_ok()), (&b"head 234567 tail"[..], true));
    }
}

#[test]
fn a_file_can_be_in_many_buffers_and_its_position_is_not_used() {
    let mut file = file_of(b"0123456789");
    file.seek(SeekFrom::Start(9)).unwrap();
    let file = Arc::new(file);
    let mut first = buffer_with(Arc::clone(&file));
    let mut second = first.share();
    assert_eq!(send(&mut first, 1000).0, b"head 234567 tail");
    second.load(1000).unwrap();
    assert_eq!(bytes_of(&second), b"head 234567 tail");
    drop((first, second));
    assert_eq!(Arc::strong_count(&file), 1, "both buffers are done with it");
    assert_eq!((&*file).stream_position().unwrap(), 9);
}

#[test]
fn where_sendfile_does_not_work_the_segment_is_read_and_written() {
    // sendfile refuses to append to a file.
    let folder = test_needs::folder();
    let path = folder.path().join("appended");
    let target = OpenOptions::new().append(true).create(true).open(&path).unwrap();
    let long = vec![b'x'; 200_000];
    let mut buffer = Buffer::new();
    buffer.append_file(file_of(&long), 0..200_000).unwrap();
    while !buffer.is_empty() {
        buffer.write_to(&target, usize::MAX).unwrap();
    }
    assert!(std::fs::read(path).unwrap() == long);
}

#[test]
fn bytes_of_a_file_are_seen_only_when_they_are_loaded() {
    let mut buffer = buffer_with(file_of(b"01234\n6789"));
    assert_eq!(buffer.len(), 16);
    assert_eq!(bytes_of(&buffer), b"head ");
    assert_eq!(buffer.find(b"234", ..), None);
    assert_eq!(buffer.pull_up(6), None);
    assert_eq!(buffer.read_line(Eol::Lf), None);
    assert_eq!(buffer.copy_out(3, &mut [0; 10]), 2);
    assert_eq!(buffer.load(7).unwrap(), 7);
    assert_eq!(bytes_of(&buffer), b"head 23");
    assert_eq!(buffer.load(100).unwrap(), 16);
    assert_eq!(buffer.read_line(Eol::Lf).as_deref(), Some(&b"head 234"[..]));
    assert_eq!(buffer.pull_up(7), Some(&b"67 tail"[..]));
    assert!(buffer.take_changes().removed == 9, "loading is no change");
}

#[test]
fn the_standard_traits_read_file_segments() {
    let mut all = String::new();
    buffer_with(file_of(b"0123456789")).read_to_string(&mut all).unwrap();
    assert_eq!(all, "head 234567 tail");
    let mut buffer = buffer_with(file_of(b"0123456789"));
    buffer.drain(5);
    assert_eq!(buffer.fill_buf().unwrap(), b"234567");
}

#[test]
fn a_file_that_is_truncated_meanwhile_is_an_error_where_it_ends() {
    let file = Arc::new(file_of(b"0123456789"));
    let expected = BufferError::FileTooShort { at: 4, end: 8 };
    let found = |error: &std::io::Error| {
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        *error.get_ref().unwrap().downcast_ref::<BufferError>().unwrap()
    };
    let mut buffers = [(); 3].map(|()| buffer_with(Arc::clone(&file)));
    file.set_len(4).unwrap();
    let [sent, loaded, read] = &mut buffers;

    let (arrived, result) = send(sent, 1000);
    assert_eq!(arrived, b"head 23");
    assert_eq!(found(&result.unwrap_err()), expected);
    assert_eq!(sent.len(), 9, "what was not sent is still there");

    assert_eq!(found(&loaded.load(1000).unwrap_err()), expected);
    assert_eq!((loaded.len(), bytes_of(loaded)), (16, b"head ".to_vec()));
    assert_eq!(loaded.load(7).unwrap(), 7, "as far as the file goes");

    let mut all = Vec::new();
    assert_eq!(found(&read.read_to_end(&mut all).unwrap_err()), expected);
    assert_eq!(all, b"head ");
}

#[test]
fn a_range_that_no_file_has_is_refused_and_nothing_is_appended() {
    let mut buffer = Buffer::new();
    let refused = |result: std::io::Result<()>| {
        *result.unwrap_err().get_ref().unwrap().downcast_ref::<BufferError>().unwrap()
    };
    let mut append = |range| refused(buffer.append_file(file_of(b"0123456789"), range));
    #[expect(clippy::reversed_empty_ranges, reason = "it is what must be refused")]
    let reversed = 5..4;
    assert_eq!(append(reversed), BufferError::NotARange { start: 5, end: 4 });
    assert_eq!(append(0..u64::MAX), BufferError::NotARange { start: 0, end: u64::MAX });
    assert_eq!(append(0..11), BufferError::FileTooShort { at: 10, end: 11 });
    buffer.append_file(file_of(b""), 0..0).unwrap();
    assert!(buffer.is_empty());
}

#[test]
fn lengths_of_huge_files_do_not_overflow() {
    // A character device has any length, and no file system allots it.
    let zero = Arc::new(File::open("/dev/zero").unwrap());
    let all = 0..i64::MAX as u64;
    let mut buffer = Buffer::new();
    buffer.append_file(Arc::clone(&zero), all.clone()).unwrap();
    buffer.append_file(Arc::clone(&zero), all.clone()).unwrap();
    buffer.append(b"x");
    assert_eq!(buffer.len(), usize::MAX);
    let error = buffer.append_file(zero, 0..1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let mut other = super::buffer_of(b"y");
    let moved = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        buffer.append_buffer(&mut other);
    }));
    assert!(moved.is_err());
    assert_eq!((buffer.len(), other.len()), (usize::MAX, 1), "nothing was moved");
    assert_eq!(buffer.load(10).unwrap(), 10);
    assert_eq!(bytes_of(&buffer), [0; 10]);
    assert_eq!(buffer.drain(usize::MAX - 1), usize::MAX - 1);
    assert_eq!(bytes_of(&buffer), b"x");
}

#[test]
fn an_error_of_the_kernel_reaches_the_caller_and_changes_nothing() {
    // The file is not open for reading.
    let folder = test_needs::folder();
    let file = File::create(folder.path().join("written")).unwrap();
    file.set_len(10).unwrap();
    let mut buffer = buffer_with(file);
    buffer.drain(5);
    let (socket, _peer) = UnixStream::pair().unwrap();
    let error = buffer.write_to(&socket.as_fd(), 1000).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(9), "EBADF");
    assert_eq!(buffer.load(1).unwrap_err().raw_os_error(), Some(9), "EBADF");
    assert_eq!(buffer.len(), 11);
}
