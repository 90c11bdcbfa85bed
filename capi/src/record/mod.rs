//! What a base records about its loop while the process is observed.
//!
//! The thread that runs the loop writes, and any thread may read. The writer waits for nothing.
//! Each number is true by itself: a page may show a call that its time does not contain yet.

mod counter;
pub(crate) mod functions;
pub(crate) mod histogram;
pub(crate) mod reasons;
pub(crate) mod slow;

use std::sync::OnceLock;
use std::time::Instant;

use evshard::{EventBase, EventCounts, EventId, LoopStats, MembershipCounts, Ready, Registry};
use rustix::thread::gettid;

use crate::abi::access::call::Call;
use crate::abi::access::event_ptr::CallbackPtr;
use crate::abi::access::layout::Marks;
use counter::Counter;
use functions::Functions;
use histogram::Histogram;
use reasons::Reasons;
use slow::{SlowCall, SlowCalls, SlowLimit};

/// What the thread of a loop does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// The loop does not run: the program has not called it, or it has returned.
    Stopped = 0,
    /// The library's own code runs.
    Loop = 1,
    Wait = 2,
    Callback = 3,
}

pub(crate) const PHASES: [Phase; 4] = [Phase::Stopped, Phase::Loop, Phase::Wait, Phase::Callback];

/// How often a reader tries to read numbers of one phase. The phases of a loop that is so busy are
/// short, and their times matter little.
const READS_MAX: usize = 16;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) backend: &'static str,
    slow_limit: SlowLimit,
    /// The process that the numbers are of, and the base's number in it.
    process: Counter,
    number: Counter,
    /// The thread that runs the loop, or ran it last.
    thread: Counter,
    now: Packed,
    /// When the phase began.
    since_ns: Counter,
    /// The time in each phase, without the current one.
    spent_ns: [Counter; PHASES.len()],
    /// When the last wait ended.
    woken_ns: Counter,
    /// Of the next call: whether the program has activated the event, and when its timeout was due,
    /// or 0.
    was_activated: Counter,
    due_ns: Counter,
    turns: Counter,
    /// Calls by reason, in the order of the bits. A call counts for each of its reasons.
    by_reason: [Counter; 8],
    pub(crate) callback_times: Histogram,
    /// From the end of the wait to each call.
    pub(crate) lag: Histogram,
    /// From the moment when a timeout was due to its call.
    pub(crate) lateness: Histogram,
    pub(crate) functions: Functions,
    pub(crate) slow: SlowCalls,
    refused: Counter,
    published: Published,
}

/// The phase and the current call in one word, so that they belong together.
#[derive(Debug, Default)]
struct Packed(Counter);

/// What the loop does now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) phase: Phase,
    /// How long already.
    pub(crate) for_ns: u64,
    /// The function's slot, the descriptor and the reasons, in a callback.
    pub(crate) slot: u16,
    pub(crate) fd: i32,
    pub(crate) reasons: Reasons,
}

/// Numbers of the base. The loop copies them before each wait, because no other thread may read
/// the base of a program without threads.
#[derive(Debug, Default)]
struct Published([Counter; 9]);

/// A copy of the published numbers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BaseNumbers {
    pub(crate) memberships: MembershipCounts,
    pub(crate) held: usize,
    pub(crate) stats: LoopStats,
}

/// Nanoseconds since the library was first asked for them.
pub(crate) fn now_ns() -> u64 {
    ns_of(Instant::now())
}

/// The same of a moment; 0 for an earlier one.
pub(crate) fn ns_of(moment: Instant) -> u64 {
    static ZERO: OnceLock<Instant> = OnceLock::new();
    let zero = ZERO.get_or_init(Instant::now);
    moment.saturating_duration_since(*zero).as_nanos() as u64
}

/// The kernel's id of the calling thread.
fn thread_id() -> u64 {
    gettid().as_raw_nonzero().get().unsigned_abs().into()
}

impl Record {
    pub(crate) fn new(backend: &'static str, slow_limit: SlowLimit) -> Self {
        let counters = || std::array::from_fn(|_| Counter::default());
        let record = Self {
            backend,
            slow_limit,
            process: Counter::default(),
            number: Counter::default(),
            thread: Counter::default(),
            now: Packed::default(),
            since_ns: Counter::default(),
            spent_ns: std::array::from_fn(|_| Counter::default()),
            woken_ns: Counter::default(),
            was_activated: Counter::default(),
            due_ns: Counter::default(),
            turns: Counter::default(),
            by_reason: counters(),
            callback_times: Histogram::default(),
            lag: Histogram::default(),
            lateness: Histogram::default(),
            functions: Functions::default(),
            slow: SlowCalls::default(),
            refused: Counter::default(),
            published: Published::default(),
        };
        record.since_ns.set(now_ns());
        record
    }

    /// Begins the numbers of a process: the first, or a child, whose numbers are its own.
    pub(crate) fn begin_process(&self, process: u32, number: u64) {
        self.process.set(process.into());
        self.number.set(number);
        // A callback that forks ends in the child, too, and has its slot there.
        let is_in_callback = self.now.phase() == Phase::Callback;
        self.thread.set(if is_in_callback { thread_id() } else { 0 });
        let counters = [&self.turns, &self.refused];
        let all = counters.into_iter().chain(&self.by_reason).chain(&self.spent_ns);
        all.for_each(|counter| counter.set(0));
        [&self.callback_times, &self.lag, &self.lateness].into_iter().for_each(Histogram::reset);
        self.slow.reset();
        self.published.put(&BaseNumbers::default());
        self.functions.reset();
        self.since_ns.set(now_ns());
    }

    /// The process that the numbers are of.
    pub(crate) fn process(&self) -> u32 {
        self.process.get() as u32
    }
}

/// What the thread of the loop calls.
impl Record {
    #[cold]
    #[inline(never)]
    pub(crate) fn begin_loop(&self) {
        self.thread.set(thread_id());
        self.enter(Phase::Loop, now_ns());
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn end_loop(&self, registry: &Registry<()>) {
        self.published.put(&BaseNumbers::of(registry));
        self.enter(Phase::Stopped, now_ns());
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn begin_wait(&self, registry: &Registry<()>) {
        self.turns.add(1);
        self.published.put(&BaseNumbers::of(registry));
        self.enter(Phase::Wait, now_ns());
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn end_wait(&self) {
        let now_ns = now_ns();
        self.enter(Phase::Loop, now_ns);
        self.woken_ns.set(now_ns);
    }

    /// Notes why the next call will be made. Call it before the callback is settled.
    #[cold]
    #[inline(never)]
    pub(crate) fn note_cause(
        &self,
        base: &EventBase<()>,
        callback: CallbackPtr,
        id: EventId,
        ready: Ready,
    ) {
        let was_activated = callback.marks().contains(Marks::ACTIVATED);
        let due = base.due(id, ready).filter(|_| !was_activated);
        self.was_activated.set(was_activated.into());
        self.due_ns.set(due.map_or(0, |due| ns_of(due).max(1)));
        if ready.contains(Ready::REFUSED) {
            self.note_refused();
        }
    }

    /// Notes a call that is about to be made.
    #[cold]
    #[inline(never)]
    pub(crate) fn begin_call(&self, call: Call) {
        let now_ns = now_ns();
        self.enter_phase(now_ns);
        let reasons = Reasons::of(&call, self.was_activated.get() != 0);
        let slot = self.functions.slot_of(call.address());
        self.now.set_call(slot, reasons, call.fd());
        for bit in reasons.numbers() {
            self.by_reason[bit].add(1);
        }
        self.lag.record(now_ns.saturating_sub(self.woken_ns.get()));
        let due_ns = self.due_ns.get();
        if due_ns != 0 {
            self.lateness.record(now_ns.saturating_sub(due_ns));
        }
    }

    /// Notes the end of the call that was begun.
    #[cold]
    #[inline(never)]
    pub(crate) fn end_call(&self) {
        let now_ns = now_ns();
        let took_ns = now_ns.saturating_sub(self.since_ns.get());
        let call = self.now.get(took_ns);
        self.enter(Phase::Loop, now_ns);
        self.callback_times.record(took_ns);
        self.functions.record(call.slot, took_ns);
        if took_ns >= self.slow_limit.ns {
            let Now { slot, fd, reasons, .. } = call;
            let address = self.functions.address(slot);
            let slow = SlowCall { ended_ns: now_ns, took_ns, address, fd, reasons };
            self.slow.note(&slow, &self.slow_limit);
        }
    }

    /// Counts a descriptor that the kernel refused.
    pub(crate) fn note_refused(&self) {
        self.refused.add_shared();
    }

    fn enter(&self, phase: Phase, now_ns: u64) {
        self.enter_phase(now_ns);
        self.now.set_phase(phase);
    }

    /// Ends the phase before.
    #[inline]
    fn enter_phase(&self, now_ns: u64) {
        let spent_ns = now_ns.saturating_sub(self.since_ns.get());
        self.spent_ns[self.now.phase() as usize].add(spent_ns);
        self.since_ns.set(now_ns);
    }
}

/// What readers call.
impl Record {
    pub(crate) fn number(&self) -> u64 {
        self.number.get()
    }

    pub(crate) fn thread(&self) -> Option<u64> {
        Some(self.thread.get()).filter(|thread| *thread != 0)
    }

    pub(crate) fn turns(&self) -> u64 {
        self.turns.get()
    }

    pub(crate) fn refused(&self) -> u64 {
        self.refused.get()
    }

    pub(crate) fn numbers(&self) -> BaseNumbers {
        self.published.get()
    }

    /// Calls with this reason.
    pub(crate) fn calls(&self, reason: Reasons) -> u64 {
        reason.numbers().map(|bit| self.by_reason[bit].get()).sum()
    }

    /// The time in a phase, without the current one: it never decreases.
    pub(crate) fn ended_ns(&self, phase: Phase) -> u64 {
        self.spent_ns[phase as usize].get()
    }

    /// What the loop does, and the time in each phase until now. If the phase changes meanwhile,
    /// they are read again. A phase that ends at this moment may count twice or not at all, until
    /// the next reading.
    pub(crate) fn phases(&self) -> (Now, [u64; PHASES.len()]) {
        for _ in 0..READS_MAX {
            let now = self.now();
            let spent = PHASES.map(|phase| {
                self.ended_ns(phase) + if phase == now.phase { now.for_ns } else { 0 }
            });
            if self.now.phase() == now.phase {
                return (now, spent);
            }
        }
        (self.now(), PHASES.map(|phase| self.ended_ns(phase)))
    }

    pub(crate) fn now(&self) -> Now {
        self.now.get(now_ns().saturating_sub(self.since_ns.get()))
    }
}

impl Packed {
    const PHASE_SHIFT: u32 = 56;
    const REASONS_SHIFT: u32 = 48;
    const SLOT_SHIFT: u32 = 32;

    fn phase(&self) -> Phase {
        PHASES[(self.0.get() >> Self::PHASE_SHIFT) as usize % PHASES.len()]
    }

    fn set_phase(&self, phase: Phase) {
        self.0.set((phase as u64) << Self::PHASE_SHIFT);
    }

    fn set_call(&self, slot: u16, reasons: Reasons, fd: i32) {
        self.0.set(
            (Phase::Callback as u64) << Self::PHASE_SHIFT
                | u64::from(reasons.bits()) << Self::REASONS_SHIFT
                | u64::from(slot) << Self::SLOT_SHIFT
                | u64::from(fd.cast_unsigned()),
        );
    }

    fn get(&self, for_ns: u64) -> Now {
        let word = self.0.get();
        Now {
            phase: self.phase(),
            for_ns,
            slot: (word >> Self::SLOT_SHIFT) as u16,
            fd: (word as u32).cast_signed(),
            reasons: Reasons::from_bits_retain((word >> Self::REASONS_SHIFT) as u8),
        }
    }
}

impl Published {
    fn put(&self, numbers: &BaseNumbers) {
        let BaseNumbers { memberships, held, stats } = numbers;
        let values = [
            memberships.descriptors as u64,
            memberships.signals as u64,
            memberships.timeouts as u64,
            memberships.active as u64,
            *held as u64,
            stats.repeated_waits,
            stats.notified_waits,
            stats.wait_errors,
            stats.changes,
        ];
        self.0.iter().zip(values).for_each(|(counter, value)| counter.set(value));
    }

    fn get(&self) -> BaseNumbers {
        let values: [u64; 9] = std::array::from_fn(|index| self.0[index].get());
        let [descriptors, signals, timeouts, active, held, counts @ ..] = values;
        let [repeated_waits, notified_waits, wait_errors, changes] = counts;
        BaseNumbers {
            memberships: MembershipCounts {
                descriptors: descriptors as usize,
                signals: signals as usize,
                timeouts: timeouts as usize,
                active: active as usize,
            },
            held: held as usize,
            stats: LoopStats {
                repeated_waits,
                notified_waits,
                wait_errors,
                changes,
                ..LoopStats::default()
            },
        }
    }
}

impl BaseNumbers {
    fn of(registry: &Registry<()>) -> Self {
        let (memberships, held) = (registry.memberships(), registry.counts().held);
        Self { memberships, held, stats: registry.stats() }
    }

    /// The counts, as `event_base_get_num_events` has them.
    pub(crate) fn counts(&self) -> EventCounts {
        let MembershipCounts { descriptors, signals, timeouts, active } = self.memberships;
        let added = descriptors + signals + timeouts + active;
        EventCounts { added, active, held: self.held }
    }
}
