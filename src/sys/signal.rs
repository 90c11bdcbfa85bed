//! Signals by a handler (`sigaction(2)`): it counts each delivery in every slot that watches the
//! signal, and writes to the slot's eventfd. This is the self-pipe trick without a pipe.
//!
//! The handler may run at any moment in any thread, also while a base releases its slot. So slots
//! are never freed: they form a chain that only grows, and a new base reuses a vacant slot. A late
//! handler then counts in valid memory, and the count is not read.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use super::check;
use super::eventfd::EventFd;
use super::signal_counts::{SIGNAL_MAX, SignalCounts};

/// Whether a signal can have this number.
pub(crate) fn is_signal(number: i32) -> bool {
    (1..=SIGNAL_MAX).contains(&number)
}

/// One base's counts and eventfd, for the handler. Its fields are atomic and live for ever.
#[derive(Debug)]
struct SignalSlot {
    counts: SignalCounts,
    eventfd: EventFd,
    in_use: AtomicBool,
    /// Whether it counts only while it is [`CLAIMED`].
    must_claim: AtomicBool,
    /// The process that opened the eventfd: a write by a forked child would wake its parent.
    owner: AtomicU32,
    next: OnceLock<&'static Self>,
}

/// The chain of all slots. The handler may walk it, because that takes no lock.
static FIRST: OnceLock<&'static SignalSlot> = OnceLock::new();

/// For each signal, how many slots watch it and its previous action. The handler does not lock it.
static INSTALLED: Mutex<[Installed; SIGNAL_MAX as usize + 1]> =
    Mutex::new([const { Installed { users: 0, before: None } }; SIGNAL_MAX as usize + 1]);

struct Installed {
    users: u32,
    before: Option<libc::sigaction>,
}

/// The slot that claimed the signals last, of those that must; null if it was released.
static CLAIMED: AtomicPtr<SignalSlot> = AtomicPtr::new(std::ptr::null_mut());

/// Serialises growing the chain. Whether [`before_fork`] and [`after_fork`] are set.
static GROWING: Mutex<bool> = Mutex::new(false);

type Locks = (MutexGuard<'static, bool>, MutexGuard<'static, [Installed; SIGNAL_MAX as usize + 1]>);

thread_local! {
    /// Both locks, while this thread forks.
    static FORKING: Cell<Option<Locks>> = const { Cell::new(None) };
}

/// Takes both locks before a `fork(2)`. A child has only the thread that forked. If another one
/// held a lock at that moment, the child would wait for it for ever.
extern "C" fn before_fork() {
    let locks = (lock(&GROWING), lock(&INSTALLED));
    // A thread that ends has no storage any more. Then nothing is held.
    let _ = FORKING.try_with(|forking| forking.set(Some(locks)));
}

extern "C" fn after_fork() {
    let _ = FORKING.try_with(Cell::take);
}

fn set_fork_functions() -> io::Result<()> {
    // Miri has neither this function nor forks.
    if cfg!(miri) {
        return Ok(());
    }
    // SAFETY: the functions last as long as this code is loaded, which libc knows.
    let code =
        unsafe { libc::pthread_atfork(Some(before_fork), Some(after_fork), Some(after_fork)) };
    if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code)) }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn chain() -> impl Iterator<Item = &'static SignalSlot> {
    std::iter::successors(FIRST.get().copied(), |slot| slot.next.get().copied())
}

/// The handler. It does what `signal-safety(7)` allows: atomic operations, `getpid(2)` and
/// `write(2)`.
extern "C" fn on_signal(number: libc::c_int) {
    // The interrupted code may be about to read it.
    let errno = io::Error::last_os_error().raw_os_error().unwrap_or(0);
    let process = std::process::id();
    for slot in chain().filter(|slot| slot.is_of(process)) {
        slot.deliver(number);
    }
    // SAFETY: the location is this thread's own and always valid.
    let location = unsafe { libc::__errno_location() };
    // SAFETY: as above; only this thread writes it, and this thread is here.
    unsafe { *location = errno };
}

impl SignalSlot {
    fn is_of(&self, process: u32) -> bool {
        self.owner.load(Ordering::Relaxed) == process
    }

    fn may_count(&self) -> bool {
        let is_claimed = || std::ptr::eq(CLAIMED.load(Ordering::Relaxed), self);
        !self.must_claim.load(Ordering::Relaxed) || is_claimed()
    }

    fn deliver(&self, number: i32) {
        if self.may_count() && self.counts.add(number) {
            // The write fails only if the counter is full, and then it is readable.
            let _ = self.eventfd.signal();
        }
    }
}

/// The signals of one event base: counts of the deliveries since the last call, and a descriptor
/// that is readable when a count is not zero.
#[derive(Debug)]
pub(crate) struct SignalCounter {
    slot: &'static SignalSlot,
}

impl SignalCounter {
    /// Takes a vacant slot, or adds one to the chain. If it `must_claim`, it counts only while no
    /// other such slot has claimed the signals since [`claim`](Self::claim).
    pub(crate) fn new(must_claim: bool) -> io::Result<Self> {
        let mut can_fork = lock(&GROWING);
        if !*can_fork {
            set_fork_functions()?;
            *can_fork = true;
        }
        let process = std::process::id();
        let vacant =
            |slot: &&SignalSlot| slot.is_of(process) && !slot.in_use.swap(true, Ordering::Acquire);
        let slot = match chain().find(vacant) {
            Some(vacant) => vacant,
            None => grow(process)?,
        };
        // A late handler may have written to it for the previous owner.
        slot.eventfd.drain()?;
        slot.must_claim.store(must_claim, Ordering::Relaxed);
        Ok(Self { slot })
    }

    /// Claims the signals, if it must.
    pub(crate) fn claim(&self) {
        if self.slot.must_claim.load(Ordering::Relaxed) {
            CLAIMED.store(std::ptr::from_ref(self.slot).cast_mut(), Ordering::Relaxed);
        }
    }

    /// Begins to count a signal, and installs the handler if no other slot watches the signal.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a number that is not a signal's, and for signals that cannot be caught.
    pub(crate) fn watch(&self, number: i32) -> io::Result<()> {
        if !is_signal(number) {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        let mut installed = lock(&INSTALLED);
        let entry = &mut installed[number as usize];
        if entry.users == 0 {
            entry.before = Some(install(number)?);
        }
        entry.users += 1;
        self.slot.counts.watch(number);
        Ok(())
    }

    /// Stops counting a signal, and restores the previous action if no other slot watches it.
    pub(crate) fn unwatch(&self, number: i32) {
        let mut installed = lock(&INSTALLED);
        if !self.slot.counts.unwatch(number) {
            return;
        }
        let entry = &mut installed[number as usize];
        entry.users -= 1;
        if entry.users == 0
            && let Some(before) = entry.before.take()
        {
            restore(number, &before);
        }
    }

    /// The signal's deliveries since the last call.
    pub(crate) fn take(&self, number: i32) -> u32 {
        self.slot.counts.take(number)
    }

    /// Makes the descriptor unreadable until the next delivery. Call it before
    /// [`take`](Self::take), so that a delivery in between makes it readable again.
    pub(crate) fn drain(&self) -> io::Result<()> {
        self.slot.eventfd.drain()
    }

    /// Replaces the eventfd in a child after `fork(2)`, under the same number.
    pub(crate) fn renew(&self) -> io::Result<()> {
        self.slot.eventfd.renew()?;
        self.slot.owner.store(std::process::id(), Ordering::Relaxed);
        Ok(())
    }
}

impl AsRawFd for SignalCounter {
    fn as_raw_fd(&self) -> RawFd {
        self.slot.eventfd.as_raw_fd()
    }
}

impl Drop for SignalCounter {
    fn drop(&mut self) {
        for number in 1..=SIGNAL_MAX {
            self.unwatch(number);
        }
        let own = std::ptr::from_ref(self.slot).cast_mut();
        let (none, order) = (std::ptr::null_mut(), Ordering::Relaxed);
        // Another slot's claim stays.
        let _ = CLAIMED.compare_exchange(own, none, order, order);
        self.slot.in_use.store(false, Ordering::Release);
    }
}

fn grow(process: u32) -> io::Result<&'static SignalSlot> {
    let slot = Box::leak(Box::new(SignalSlot {
        counts: SignalCounts::new(),
        eventfd: EventFd::new()?,
        in_use: AtomicBool::new(true),
        must_claim: AtomicBool::new(false),
        owner: AtomicU32::new(process),
        next: OnceLock::new(),
    }));
    let end = chain().last().map_or(&FIRST, |last| &last.next);
    end.set(slot).expect("only one thread grows the chain at a time");
    Ok(slot)
}

/// Installs the handler for one signal and returns the previous action.
fn install(number: i32) -> io::Result<libc::sigaction> {
    // SAFETY: a sigaction is plain data, for which all zeros are valid.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_signal as extern "C" fn(libc::c_int) as libc::sighandler_t;
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: the set lives across the call, which fills it.
    check(unsafe { libc::sigfillset(&raw mut action.sa_mask) })?;
    // SAFETY: a sigaction is plain data, for which all zeros are valid.
    let mut before: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: both live across the call; the handler does only what a handler may.
    check(unsafe { libc::sigaction(number, &raw const action, &raw mut before) })?;
    Ok(before)
}

fn restore(number: i32, before: &libc::sigaction) {
    // SAFETY: the action was this signal's before; it lives across the call.
    let result = unsafe { libc::sigaction(number, before, std::ptr::null_mut()) };
    debug_assert!(check(result).is_ok(), "the previous action can be installed again");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Signals that nothing else in this test program uses.
    const COUNTED: i32 = libc::SIGUSR1;
    const RESTORED: i32 = libc::SIGUSR2;
    const HANDLED: i32 = libc::SIGWINCH;

    fn action(number: i32) -> libc::sigaction {
        // SAFETY: a sigaction is plain data, for which all zeros are valid.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: the sigaction lives across the call, which fills it.
        check(unsafe { libc::sigaction(number, std::ptr::null(), &raw mut action) }).unwrap();
        action
    }

    fn disposition(number: i32) -> libc::sighandler_t {
        action(number).sa_sigaction
    }

    fn raise(number: i32) {
        // SAFETY: takes no pointer.
        check(unsafe { libc::raise(number) }).unwrap();
    }

    #[test]
    fn every_delivery_is_counted_in_every_slot_that_watches_the_signal() {
        let counters: Vec<SignalCounter> =
            (0..3).map(|_| SignalCounter::new(false).unwrap()).collect();
        counters[0].watch(COUNTED).unwrap();
        counters[1].watch(COUNTED).unwrap();
        for _ in 0..5 {
            raise(COUNTED);
        }
        let counts: Vec<u32> = counters.iter().map(|counter| counter.take(COUNTED)).collect();
        assert_eq!(counts, [5, 5, 0]);
        assert_eq!(counters[0].take(COUNTED), 0, "taken is taken");
    }

    #[test]
    fn the_disposition_is_restored_when_the_last_one_leaves() {
        let before = disposition(RESTORED);
        let (one, other) = (SignalCounter::new(false).unwrap(), SignalCounter::new(false).unwrap());
        one.watch(RESTORED).unwrap();
        other.watch(RESTORED).unwrap();
        let ours = disposition(RESTORED);
        assert_ne!(ours, before);
        one.unwatch(RESTORED);
        one.unwatch(RESTORED);
        assert_eq!(disposition(RESTORED), ours, "the other one still watches");
        drop(other);
        assert_eq!(disposition(RESTORED), before);
    }

    #[test]
    fn the_handler_restarts_interrupted_calls_and_is_not_interrupted_itself() {
        let counter = SignalCounter::new(false).unwrap();
        counter.watch(HANDLED).unwrap();
        let installed = action(HANDLED);
        assert_ne!(installed.sa_flags & libc::SA_RESTART, 0);
        for number in [libc::SIGINT, libc::SIGUSR1, SIGNAL_MAX] {
            // SAFETY: the set lives across the call and was initialised.
            let blocked = unsafe { libc::sigismember(&raw const installed.sa_mask, number) };
            assert_eq!(blocked, 1, "signal {number}");
        }
    }

    #[test]
    fn bad_numbers_and_signals_that_cannot_be_caught_are_refused() {
        let counter = SignalCounter::new(false).unwrap();
        for number in [0, -1, SIGNAL_MAX + 1, libc::SIGKILL] {
            let error = counter.watch(number).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
        }
    }
}
