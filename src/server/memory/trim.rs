//! Returning freed memory to the system.
//!
//! The allocator keeps what is freed, for later use. After a burst it would keep most of it for
//! ever. When half of what was held is freed, a thread of its own gives the free pages back, at
//! most once a second. No worker waits for it unless it allocates at that moment.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{self, SyncSender};
use std::time::Duration;
use std::{io, thread};

use crate::sys::malloc;

/// Less memory is not worth the work.
const FREED_MIN: usize = 16 << 20;

/// The minimum interval between two trims, so that memory that is soon needed again is kept.
const INTERVAL: Duration = Duration::from_secs(1);

/// Notices that much memory was freed, and returns it to the system.
#[derive(Debug)]
pub(super) struct Trimmer {
    /// The most that was held since the last trim.
    peak: AtomicUsize,
    /// Wakes the thread. `None` if the system has no thread for it; nothing is returned then.
    wake: Option<SyncSender<()>>,
}

impl Trimmer {
    pub(super) fn start() -> Self {
        Self { peak: AtomicUsize::new(0), wake: start_thread().ok() }
    }

    /// Now so many bytes are held, after a buffer grew.
    pub(super) fn grown(&self, held: usize) {
        if held > self.peak.load(Relaxed) {
            self.peak.fetch_max(held, Relaxed);
        }
    }

    /// Now so many bytes are held, after a buffer was freed.
    pub(super) fn shrunk(&self, held: usize) {
        let peak = self.peak.load(Relaxed);
        if is_worth_a_trim(peak, held)
            && self.peak.compare_exchange(peak, held, Relaxed, Relaxed).is_ok()
            && let Some(wake) = &self.wake
        {
            // If it is full, the thread will trim anyway.
            let _ = wake.try_send(());
        }
    }
}

fn is_worth_a_trim(peak: usize, held: usize) -> bool {
    held <= peak / 2 && peak - held >= FREED_MIN
}

/// The thread ends with the trimmer.
fn start_thread() -> io::Result<SyncSender<()>> {
    let (wake, woken) = mpsc::sync_channel(1);
    thread::Builder::new().name("trim".into()).spawn(move || {
        while woken.recv().is_ok() {
            // Meanwhile more may be freed.
            thread::sleep(INTERVAL);
            malloc::trim();
        }
    })?;
    Ok(wake)
}
