//! A thread that writes lines to a reader which may be slow, stall or go away.

use std::fs::File;
use std::io::{self, ErrorKind, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::Duration;

use crate::error::Error;

/// Most lines that wait for the reader. A line takes some 10 KiB, and 1 MiB at most.
const LINES_MAX: u64 = 64;

/// How long the writer waits at the end while the reader takes no line.
const STALL_MAX: Duration = Duration::from_secs(1);

/// The end of the lines that other threads hold. Pushing a line never waits.
#[derive(Debug)]
pub(super) struct LineWriter {
    /// How messages name the destination.
    name: String,
    sender: SyncSender<String>,
    /// What the thread ends with.
    ended: Receiver<io::Result<()>>,
    written: Arc<AtomicU64>,
    queued: u64,
    refused: u64,
}

impl LineWriter {
    /// Starts the thread.
    pub(super) fn start(name: String, file: File) -> io::Result<Self> {
        // One slot more than lines: the last line has its own.
        let (sender, lines) = mpsc::sync_channel(LINES_MAX as usize + 1);
        let (end, ended) = mpsc::channel();
        let written = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&written);
        thread::Builder::new()
            .name("json-stream".to_owned())
            // The receiver of the end has given up if sending fails.
            .spawn(move || end.send(write_all(file, &lines, &counter)))?;
        Ok(Self { name, sender, ended, written, queued: 0, refused: 0 })
    }

    /// How many lines found no room.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    /// Queues a line, or counts it if there is no room.
    pub(super) fn push(&mut self, line: String) {
        if self.queued - self.written.load(Ordering::Relaxed) < LINES_MAX {
            self.push_last(line);
        } else {
            self.refused += 1;
        }
    }

    /// Queues the last line, for which there is always room.
    pub(super) fn push_last(&mut self, line: String) {
        match self.sender.try_send(line) {
            Ok(()) => self.queued += 1,
            // The thread has ended with an error.
            Err(_) => self.refused += 1,
        }
    }

    /// Waits for the thread as long as the reader takes lines.
    pub(super) fn finish(self) -> Result<(), Error> {
        let Self { name, sender, ended, written, queued, refused } = self;
        drop(sender);
        let mut before = written.load(Ordering::Relaxed);
        let end = loop {
            match ended.recv_timeout(STALL_MAX) {
                Ok(end) => break Some(end),
                Err(RecvTimeoutError::Disconnected) => break None,
                Err(RecvTimeoutError::Timeout) => {
                    let now = written.load(Ordering::Relaxed);
                    if now == before {
                        break None;
                    }
                    before = now;
                }
            }
        };
        let complaint = match end {
            Some(Ok(())) if refused == 0 => return Ok(()),
            Some(Err(error)) if error.kind() == ErrorKind::BrokenPipe => {
                "the reader closed it; keep the reader until the run has ended".to_owned()
            }
            Some(Err(error)) => format!("{error}; make room, or name another file"),
            Some(Ok(())) | None => "the reader was too slow; read faster, or write to a file, or \
                                    raise --interval"
                .to_owned(),
        };
        let lines = queued + refused;
        let lost = lines - written.load(Ordering::Relaxed);
        Err(Error::StreamLost { name, lost, lines, complaint })
    }
}

fn write_all(mut file: File, lines: &Receiver<String>, written: &AtomicU64) -> io::Result<()> {
    for line in lines {
        file.write_all(line.as_bytes())?;
        written.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Read as _;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    /// A reader, and the file whose lines it gets.
    fn connected() -> (UnixStream, File) {
        let (reader, writer) = UnixStream::pair().unwrap();
        (reader, File::from(OwnedFd::from(writer)))
    }

    /// Pushes this many lines of a kilobyte and a last one, and ends.
    fn push_all(mut writer: LineWriter, lines: u64) -> Result<(), Error> {
        (0..lines).for_each(|_| writer.push(format!("{:1023}\n", "")));
        writer.push_last("last\n".to_owned());
        writer.finish()
    }

    #[track_caller]
    fn losses(result: Result<(), Error>) -> (u64, u64, String) {
        match result {
            Err(Error::StreamLost { lost, lines, complaint, .. }) => (lost, lines, complaint),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_reader_that_reads_gets_every_line() {
        let (reader, file) = connected();
        let reading = thread::spawn(move || {
            let mut text = String::new();
            File::from(OwnedFd::from(reader)).read_to_string(&mut text).unwrap();
            text
        });
        let writer = LineWriter::start("pipe".to_owned(), file).unwrap();
        push_all(writer, LINES_MAX).unwrap();
        let text = reading.join().unwrap();
        assert_eq!(
            (text.lines().count() as u64, text.lines().last()),
            (LINES_MAX + 1, Some("last"))
        );
    }

    #[test]
    fn lines_beyond_the_queue_and_those_in_it_are_lost_with_a_reader_that_stalls() {
        let (reader, file) = connected();
        let writer = LineWriter::start("pipe".to_owned(), file).unwrap();
        let (lost, lines, complaint) = losses(push_all(writer, 1_000));
        assert_eq!(lines, 1_001);
        // The socket holds some 200 KiB. The lines in the queue are lost, too.
        assert!((600..1_001).contains(&lost), "{lost}");
        assert!(complaint.contains("too slow"), "{complaint}");
        drop(reader);
    }

    #[test]
    fn a_reader_that_has_gone_and_a_full_disk_are_named() {
        let (reader, file) = connected();
        drop(reader);
        let writer = LineWriter::start("pipe".to_owned(), file).unwrap();
        let (lost, lines, complaint) = losses(push_all(writer, 5));
        assert_eq!((lost, lines), (6, 6));
        assert!(complaint.contains("the reader closed it"), "{complaint}");
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let writer = LineWriter::start("disk".to_owned(), full).unwrap();
        let (lost, lines, complaint) = losses(push_all(writer, 5));
        assert_eq!((lost, lines), (6, 6));
        assert!(complaint.contains("No space left"), "{complaint}");
    }
}
