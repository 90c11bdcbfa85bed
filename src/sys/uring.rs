//! io_uring: a ring, the three operations in use, and the call that submits and waits.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use io_uring::types::{CancelBuilder, Fd, SubmitArgs, Timespec, epoll_event};
use io_uring::{IoUring, opcode, squeue};

use super::epoll::{Epoll, Op};

/// The completion of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Completion {
    /// The user data that the operation was submitted with.
    pub(crate) user_data: u64,
    /// Its result, or a negative `errno`.
    pub(crate) result: i32,
    /// Whether more completions of the same operation will follow (`IORING_CQE_F_MORE`).
    pub(crate) more: bool,
}

/// One `epoll_ctl(2)` to make through a ring.
#[derive(Clone, Copy)]
pub(crate) struct CtlRequest {
    op: i32,
    fd: RawFd,
    event: libc::epoll_event,
}

impl CtlRequest {
    pub(crate) fn new(op: Op, fd: RawFd, events: u32) -> Self {
        Self { op: op.raw(), fd, event: libc::epoll_event { events, u64: fd as u64 } }
    }
}

/// A submission and a completion queue.
pub(crate) struct Ring {
    ring: IoUring,
    /// The number of `io_uring_enter(2)` calls.
    #[cfg(test)]
    pub(crate) enters: usize,
}

impl Ring {
    /// `io_uring_setup(2)` with queues of `entries` submissions and `completions` completions.
    ///
    /// Any thread may submit. Completions do not interrupt the thread; the kernel posts them when
    /// it next enters the kernel (`IORING_SETUP_COOP_TASKRUN`). A bad entry does not stop the
    /// submission of those behind it (`IORING_SETUP_SUBMIT_ALL`).
    ///
    /// # Errors
    ///
    /// The kernel's error, or `Unsupported` with the missing feature on kernels before 5.19. It
    /// fails also in a sandbox that allows to create a ring, but not to enter it.
    pub(crate) fn new(entries: u32, completions: u32) -> io::Result<Self> {
        let mut builder = IoUring::builder();
        builder.setup_cqsize(completions).setup_submit_all();
        builder.setup_coop_taskrun().setup_taskrun_flag();
        let ring = builder.build(entries)?;
        let features = ring.params();
        for (has, name) in [
            (features.is_feature_nodrop(), "IORING_FEAT_NODROP"),
            (features.is_feature_ext_arg(), "IORING_FEAT_EXT_ARG"),
            (features.is_feature_skip_cqe_on_success(), "IORING_FEAT_CQE_SKIP"),
        ] {
            if !has {
                let missing = format!("this kernel's io_uring lacks {name}");
                return Err(io::Error::new(io::ErrorKind::Unsupported, missing));
            }
        }
        ring.submit()?;
        Ok(Self {
            ring,
            #[cfg(test)]
            enters: 0,
        })
    }

    /// Whether the submission queue is full until the next [`enter`](Self::enter).
    pub(crate) fn is_full(&mut self) -> bool {
        self.ring.submission().is_full()
    }

    /// Pushes an `IORING_OP_POLL_ADD`. It completes once any of the `POLL*` bits of `mask` holds,
    /// or at each wake-up if `multishot`. False if the queue is full.
    #[must_use = "a full queue takes nothing"]
    pub(crate) fn push_poll(
        &mut self,
        fd: RawFd,
        mask: u32,
        multishot: bool,
        user_data: u64,
    ) -> bool {
        let poll = opcode::PollAdd::new(Fd(fd), mask).multi(multishot);
        self.push_plain(&poll.build().user_data(user_data))
    }

    /// Pushes an `IORING_OP_ASYNC_CANCEL` of the operation with the user data `target`, which then
    /// completes. The cancellation itself completes only if it finds no such operation. False if
    /// the queue is full.
    #[must_use = "a full queue takes nothing"]
    pub(crate) fn push_cancel(&mut self, target: u64, user_data: u64) -> bool {
        let cancel = opcode::AsyncCancel::new(target).build().user_data(user_data);
        self.push_plain(&cancel.flags(squeue::Flags::SKIP_SUCCESS))
    }

    /// Pushes an `IORING_OP_ASYNC_CANCEL` of every operation. False if the queue is full.
    #[must_use = "a full queue takes nothing"]
    pub(crate) fn push_cancel_all(&mut self, user_data: u64) -> bool {
        let cancel = opcode::AsyncCancel2::new(CancelBuilder::any().all());
        self.push_plain(&cancel.build().user_data(user_data))
    }

    /// Pushes an operation without pointers.
    fn push_plain(&mut self, entry: &squeue::Entry) -> bool {
        // SAFETY: only called with operations that hold no pointer, so nothing must stay alive.
        unsafe { self.ring.submission().push(entry) }.is_ok()
    }

    /// `io_uring_enter(2)`: submits the pushed operations and waits for `want` completions, at most
    /// `timeout` (`None` is forever).
    ///
    /// # Errors
    ///
    /// The kernel's error; expect `ETIME` (the timeout elapsed) and `EINTR`.
    pub(crate) fn enter(&mut self, want: usize, timeout: Option<Duration>) -> io::Result<()> {
        #[cfg(test)]
        {
            self.enters += 1;
        }
        let Some(timeout) = timeout.filter(|_| want > 0) else {
            return self.ring.submit_and_wait(want).map(drop);
        };
        // The kernel counts in nanoseconds; its maximum is 292 years.
        let seconds = timeout.as_secs().min(i64::MAX as u64 / 1_000_000_000 - 1);
        let timeout = Timespec::new().sec(seconds).nsec(timeout.subsec_nanos());
        let args = SubmitArgs::new().timespec(&timeout);
        self.ring.submitter().submit_with_args(want, &args).map(drop)
    }

    /// Whether an [`enter`](Self::enter) that does not wait has an effect: an operation is pushed,
    /// or the kernel has completions that it could not post yet.
    pub(crate) fn has_work(&mut self) -> bool {
        let submission = self.ring.submission();
        !submission.is_empty() || submission.taskrun() || submission.cq_overflow()
    }

    /// Whether the kernel holds completions that did not fit into the queue.
    pub(crate) fn overflowed(&mut self) -> bool {
        self.ring.submission().cq_overflow()
    }

    /// Takes the oldest completion.
    pub(crate) fn next(&mut self) -> Option<Completion> {
        let entry = self.ring.completion().next()?;
        Some(Completion {
            user_data: entry.user_data(),
            result: entry.result(),
            more: io_uring::cqueue::more(entry.flags()),
        })
    }

    /// Makes all `requests` with one call per queue length, and appends the result of each, 0 or
    /// a negative `errno`, in their order.
    ///
    /// # Errors
    ///
    /// The kernel's error. Any part of the requests may have been made. Do not use the ring again.
    pub(crate) fn epoll_ctl_all(
        &mut self,
        epoll: &Epoll,
        requests: &[CtlRequest],
        results: &mut Vec<i32>,
    ) -> io::Result<()> {
        let length = self.ring.params().sq_entries() as usize;
        for some in requests.chunks(length) {
            let first = results.len();
            results.resize(first + some.len(), -libc::EIO);
            for (index, request) in (0..).zip(some) {
                let event = (&raw const request.event).cast::<epoll_event>();
                let (epoll, fd) = (Fd(epoll.as_raw_fd()), Fd(request.fd));
                let entry = opcode::EpollCtl::new(epoll, fd, request.op, event);
                let entry = entry.build().user_data(index);
                // SAFETY: the kernel reads the event during the submission. The submission ends
                // before the borrow of `requests`, or else the caller drops the ring.
                unsafe { self.ring.submission().push(&entry) }.map_err(io::Error::other)?;
            }
            let mut missing = some.len();
            while missing > 0 {
                match self.enter(missing, None) {
                    Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                    _ => {}
                }
                while let Some(completion) = self.next() {
                    results[first + completion.user_data as usize] = completion.result;
                    missing -= 1;
                }
            }
        }
        Ok(())
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the ring owns the descriptor and keeps it open as long as it is borrowed.
        unsafe { BorrowedFd::borrow_raw(self.ring.as_raw_fd()) }
    }
}
