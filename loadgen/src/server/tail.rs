//! The last output of a process. All its output is read, so that the process never blocks; the end
//! is stored, to be shown if the process fails.

use std::collections::VecDeque;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Bytes stored: a few lines of a log, or the end of a backtrace.
const TAIL_BYTES: usize = 4_096;

/// How long the output of a process that has ended may take to arrive.
const OUTPUT_DELAY_MAX: Duration = Duration::from_millis(200);

/// Reads a stream in a thread of its own, and stores its end.
#[derive(Debug)]
pub(super) struct Tail {
    stored: Arc<Mutex<VecDeque<u8>>>,
    reader: JoinHandle<()>,
}

impl Tail {
    /// Begins to read.
    pub(super) fn of(mut stream: impl Read + Send + 'static) -> Self {
        let stored = Arc::<Mutex<VecDeque<u8>>>::default();
        let shared = Arc::clone(&stored);
        let reader = thread::spawn(move || {
            let mut buffer = [0; TAIL_BYTES];
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                let mut stored = shared.lock().unwrap_or_else(PoisonError::into_inner);
                stored.extend(&buffer[..count]);
                let excess = stored.len().saturating_sub(TAIL_BYTES);
                stored.drain(..excess);
            }
        });
        Self { stored, reader }
    }

    /// The end of what has been written so far.
    pub(super) fn text(&self) -> String {
        let mut stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(stored.make_contiguous()).trim_end().to_owned()
    }

    /// The end of all that was written by a process that has ended.
    pub(super) fn last_words(&self) -> String {
        let begun = Instant::now();
        // A process that inherited the stream may hold it open.
        while !self.reader.is_finished() && begun.elapsed() < OUTPUT_DELAY_MAX {
            thread::sleep(Duration::from_millis(1));
        }
        self.text()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn only_the_end_is_stored() {
        let long = "x".repeat(3 * TAIL_BYTES) + "the end\n";
        let text = Tail::of(Cursor::new(long)).last_words();
        assert!(text.ends_with("xthe end"), "{text}");
        assert_eq!(text.len(), TAIL_BYTES - 1, "but for the line's end");
    }

    #[test]
    fn what_is_no_text_is_shown_as_far_as_it_is() {
        let text = Tail::of(Cursor::new(b"a\xFFb".to_vec())).last_words();
        assert_eq!(text, "a\u{FFFD}b");
    }
}
