//! Text for a reader that may stall: a bounded queue, and a thread that writes. No other thread
//! waits for the reader.

use std::io;
use std::sync::{Arc, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

#[cfg(loom)]
use loom::sync::{Condvar, Mutex, MutexGuard};
#[cfg(not(loom))]
use std::sync::{Condvar, Mutex, MutexGuard};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::AsFd;
use rustix::io::Errno;

/// Texts that may wait. A log line is some 150 bytes, so they take little memory, and the lines of
/// a whole start or reload fit.
const QUEUED_MAX: usize = if cfg!(loom) { 1 } else { 1024 };
/// How long the program waits at its end for a reader that does not read.
pub(crate) const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);
/// `PIPE_BUF` of pipe(7): a pipe that poll(2) reports as writable takes as much without blocking.
const WRITE_BYTES_MAX: usize = 4096;

/// The queue of one output.
#[derive(Debug)]
pub(crate) struct OutputQueue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    next: Batch,
    /// Whether the thread has an earlier batch, which is not written completely.
    is_writing: bool,
}

/// What the thread has to do, in the order of the fields.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) texts: Vec<String>,
    /// How many texts did not fit after these.
    pub(crate) dropped: u64,
    /// Whether the file is to be opened again.
    pub(crate) reopen: bool,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.texts.is_empty() && self.dropped == 0 && !self.reopen
    }
}

impl OutputQueue {
    fn new() -> Self {
        Self { state: Mutex::new(State::default()), changed: Condvar::new() }
    }

    /// No code panics while it has the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the thread, which passes each batch to `write`.
    pub(crate) fn start(
        name: &str,
        mut write: impl FnMut(Batch) + Send + 'static,
    ) -> io::Result<Arc<Self>> {
        let queue = Arc::new(Self::new());
        let of_thread = queue.clone();
        start_thread(name, move || {
            loop {
                write(of_thread.next());
            }
        })?;
        Ok(queue)
    }

    /// Queues a text; returns `false` if it does not fit and is dropped.
    pub(crate) fn put(&self, text: String) -> bool {
        let mut state = self.lock();
        let fits = state.next.texts.len() < QUEUED_MAX;
        if fits {
            state.next.texts.push(text);
        } else {
            state.next.dropped += 1;
        }
        self.changed.notify_all();
        fits
    }

    /// Requests that the file is opened again, after what is queued was written.
    pub(crate) fn reopen(&self) {
        self.lock().next.reopen = true;
        self.changed.notify_all();
    }

    /// Waits until everything is written, for at most [`FLUSH_TIMEOUT`].
    pub(crate) fn flush(&self) {
        let deadline = Instant::now() + FLUSH_TIMEOUT;
        let mut state = self.lock();
        while state.is_writing || !state.next.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The earlier batch is written; waits for the next one.
    fn next(&self) -> Batch {
        let mut state = self.lock();
        state.is_writing = false;
        self.changed.notify_all();
        while state.next.is_empty() {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.is_writing = true;
        std::mem::take(&mut state.next)
    }
}

/// Starts a thread that no one joins.
pub(crate) fn start_thread(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let started = Builder::new().name(name.to_owned()).spawn(run);
    let op = "start a thread";
    started.map(drop).map_err(|source| io::Error::other(evshard::Error::Os { op, source }))
}

/// Writes the whole text, waiting for room until the deadline. The output may be non-blocking:
/// other processes may share it.
pub(crate) fn write_text(
    output: impl AsFd,
    text: &str,
    deadline: Option<Instant>,
) -> io::Result<()> {
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let left = left.map(TryInto::try_into).transpose().map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(&output, PollFlags::OUT)], left.as_ref()) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            // A sandbox may refuse to wait. The text is worth more than the bound on its time.
            Err(_) => {}
        }
        match rustix::io::write(&output, &rest[..rest.len().min(WRITE_BYTES_MAX)]) {
            Ok(count) => rest = &rest[count..],
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(all(test, loom))]
mod loom_models {
    use loom::sync::atomic::{AtomicUsize, Ordering};
    use loom::thread;

    use super::*;

    /// The last text. The writer ends with it.
    const LAST: &str = "last";

    const EARLY: &str = "a flush returned before each text was written or counted";

    /// Two threads log to a queue of one, and one of them flushes. `next` is the writer's.
    fn model(next: fn(&OutputQueue) -> Batch) {
        loom::model(move || {
            let queue = Arc::new(OutputQueue::new());
            // Texts that were written or dropped. The lock orders it.
            let done = Arc::new(AtomicUsize::new(0));
            let writer = thread::spawn({
                let (queue, done) = (queue.clone(), done.clone());
                move || {
                    loop {
                        let batch = next(&queue);
                        let count = batch.texts.len() + batch.dropped as usize;
                        done.fetch_add(count, Ordering::Relaxed);
                        if batch.texts.iter().any(|text| text == LAST) {
                            return;
                        }
                    }
                }
            });
            let other = thread::spawn({
                let queue = queue.clone();
                move || queue.put("a".to_owned())
            });
            queue.put("b".to_owned());
            queue.flush();
            assert!(done.load(Ordering::Relaxed) >= 1, "{EARLY}");
            other.join().unwrap();
            queue.flush();
            assert_eq!(done.load(Ordering::Relaxed), 2, "{EARLY}");
            assert!(queue.put(LAST.to_owned()), "there is room after a flush");
            writer.join().unwrap();
        });
    }

    /// A notification that is missed is a deadlock, which loom reports.
    #[test]
    fn loom_each_text_is_written_or_counted_and_a_flush_waits_for_it() {
        model(OutputQueue::next);
    }

    #[test]
    #[should_panic = "a flush returned before each text was written or counted"]
    fn loom_a_batch_that_is_not_marked_as_being_written_is_found() {
        model(|queue| {
            let batch = queue.next();
            queue.lock().is_writing = false;
            queue.changed.notify_all();
            batch
        });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::os::unix::net::UnixStream;
    use std::sync::mpsc::{self, Receiver, SyncSender};
    use std::thread;

    use super::*;

    /// A queue whose thread passes on each batch and waits for the test to take it.
    fn queue() -> (Arc<OutputQueue>, Receiver<Batch>) {
        let (sender, batches): (SyncSender<Batch>, _) = mpsc::sync_channel(0);
        (OutputQueue::start("test", move |batch| drop(sender.send(batch))).unwrap(), batches)
    }

    #[test]
    fn what_does_not_fit_is_counted_where_it_was_dropped() {
        let (queue, batches) = queue();
        assert!(queue.put("first".to_owned()));
        // The thread takes its first batch at any moment of this.
        let fitting = (0..2 * QUEUED_MAX).filter(|n| queue.put(n.to_string())).count();
        let mut received = Vec::new();
        let mut dropped = 0;
        while received.len() as u64 + dropped < 1 + 2 * QUEUED_MAX as u64 {
            let batch = batches.recv().unwrap();
            received.extend(batch.texts);
            dropped += batch.dropped;
        }
        assert_eq!(received[..2], ["first", "0"]);
        assert_eq!(received.len(), 1 + fitting);
        assert_eq!(dropped, (2 * QUEUED_MAX - fitting) as u64);
        assert!(queue.put("later".to_owned()));
        let batch = batches.recv().unwrap();
        assert_eq!((batch.texts, batch.dropped), (vec!["later".to_owned()], 0));
    }

    #[test]
    fn a_flush_waits_for_the_writer_and_not_for_ever() {
        let (queue, batches) = queue();
        queue.put("x".to_owned());
        let start = Instant::now();
        queue.flush();
        assert!(start.elapsed() >= FLUSH_TIMEOUT, "{:?}", start.elapsed());
        assert_eq!(batches.recv().unwrap().texts, ["x"]);
        queue.flush();
        let state = queue.lock();
        assert!(!state.is_writing && state.next.is_empty());
    }

    #[test]
    fn a_reader_that_stalls_costs_a_text_and_not_the_program() {
        let (_reader, writer) = io::pipe().unwrap();
        let deadline = Some(Instant::now() + Duration::from_millis(50));
        let error = write_text(&writer, &"0123456789".repeat(10_000), deadline).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn an_output_that_does_not_block_loses_nothing() {
        let (mut reader, writer) = UnixStream::pair().unwrap();
        writer.set_nonblocking(true).unwrap();
        let text = "0123456789".repeat(100_000);
        let reading = thread::spawn(move || {
            let mut received = String::new();
            reader.read_to_string(&mut received).unwrap();
            received
        });
        write_text(&writer, &text, None).unwrap();
        drop(writer);
        assert!(reading.join().unwrap() == text);
    }

    #[test]
    fn a_full_device_is_an_error() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let error = write_text(&full, "x", None).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
