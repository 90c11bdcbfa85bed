//! The last output of a process. All its output is read, so that the process never blocks; the end
//! is stored, to be shown if the process fails.

use std::collections::VecDeque;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Bytes kept: a few lines of a log, or the end of a backtrace.
const KEPT_BYTES: usize = 4_096;

/// How long the output of a process that has ended may take to arrive.
const OUTPUT_DELAY_MAX: Duration = Duration::from_millis(200);

/// Reads a stream in a thread of its own, and stores its end.
#[derive(Debug)]
pub(super) struct Tail {
    kept: Arc<Mutex<VecDeque<u8>>>,
    reader: JoinHandle<()>,
}

impl Tail {
    /// Begins to read.
    pub(super) fn of(mut stream: impl Read + Send + 'static) -> Self {
        let kept = Arc::<Mutex<VecDeque<u8>>>::default();
        let shared = Arc::clone(&kept);
        let reader = thread::spawn(move || {
            let mut buffer = [0; KEPT_BYTES];
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                let mut kept = shared.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend(&buffer[..count]);
                let excess = kept.len().saturating_sub(KEPT_BYTES);
                kept.drain(..excess);
            }
        });
        Self { kept, reader }
    }

    /// The end of what has been written so far.
    pub(super) fn text(&self) -> String {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(kept.make_contiguous()).trim_end().to_owned()
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
    fn the_end_is_kept_and_no_more() {
        let long = "x".repeat(3 * KEPT_BYTES) + "the end\n";
        let text = Tail::of(Cursor::new(long)).last_words();
        assert!(text.ends_with("xthe end"), "{text}");
        assert_eq!(text.len(), KEPT_BYTES - 1, "but for the line's end");
    }

    #[test]
    fn what_is_no_text_is_shown_as_far_as_it_is() {
        let text = Tail::of(Cursor::new(b"a\xFFb".to_vec())).last_words();
        assert_eq!(text, "a\u{FFFD}b");
    }
}
