//! The types of the event base's interface: interests, reasons, ids and event descriptions.
//!
//! Everything here is `Copy` data or a builder, without logic or system calls. The values of the
//! bits are libevent's (`event2/event.h`), so that a number in a trace means the same in both.

use std::fmt;
use std::num::NonZeroU32;
use std::os::fd::{AsRawFd, RawFd};

bitflags::bitflags! {
    /// What an event waits for on its descriptor (libevent: `EV_READ`, `EV_WRITE`, `EV_CLOSED`).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Interest: u8 {
        /// Data can be read, a connection accepted, or the end of the stream seen.
        const READ = 0x02;
        /// Data can be written without blocking.
        const WRITE = 0x04;
        /// The peer closed its sending half; reported without reading the data before it.
        const CLOSED = 0x80;
    }
}

bitflags::bitflags! {
    /// Why a handler was called (libevent: the `what` argument of the callback).
    ///
    /// Reasons that arise in one turn of the loop are passed in one call.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Ready: u8 {
        /// The event's timeout elapsed.
        const TIMEOUT = 0x01;
        /// The descriptor is readable, failed or hung up.
        const READ = 0x02;
        /// The descriptor is writable, failed or hung up.
        const WRITE = 0x04;
        /// The event's signal was delivered.
        const SIGNAL = 0x08;
        /// The event was scheduled by `Registry::schedule`. (libevent passes no reason to its
        /// deferred callbacks.)
        const DEFERRED = 0x10;
        /// The event could not be made pending after `add` had returned. The kernel refused the
        /// descriptor at a flush of deferred changes, or the `add` of a `Remote` failed. The event
        /// is not pending; `Registry::take_refusal` returns the error. (libevent only logs it.)
        const REFUSED = 0x40;
        /// The peer closed its sending half, or the connection failed.
        const CLOSED = 0x80;
    }
}

impl From<Interest> for Ready {
    /// The readiness that an interest waits for: readable for reading, and so on.
    fn from(interest: Interest) -> Self {
        Self::from_bits_retain(interest.bits())
    }
}

/// Identifies one event of one base; `Copy`, 8 bytes (so is `Option<EventId>`).
///
/// An id carries the generation of its slot. Once the event is freed the id is *stale* and stays
/// so, even when the slot holds a new event. Using a stale id is an error or has no effect; it
/// never reaches another event. Do not mix ids of different bases: the base cannot detect it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    pub(crate) index: u32,
    pub(crate) generation: NonZeroU32,
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventId({}.{})", self.index, self.generation)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

/// A number of the owner's choice, passed to the handler at every call (libevent: the callback's
/// `arg`).
///
/// Usually it is the key of a connection in a table of the context. Events that share a connection
/// share a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// The arguments of a handler's call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fired {
    /// The event that fired; stale already if it was made by `Registry::once`.
    pub id: EventId,
    pub(crate) source: PackedSource,
    /// Why it fired.
    pub ready: Ready,
    /// The token it was created with.
    pub token: Token,
}

impl Fired {
    /// Its descriptor; `None` for a timer and for a signal.
    #[must_use]
    pub fn fd(&self) -> Option<RawFd> {
        self.source.unpack().fd()
    }

    /// Its signal's number (libevent passes it in the callback's `fd`); `None` for all others.
    #[must_use]
    pub fn signal(&self) -> Option<i32> {
        self.source.unpack().signal()
    }
}

/// Describes an event before it exists (libevent: the arguments of `event_new`).
///
/// ```
/// use evshard::{EventSpec, Interest, Token};
/// # let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
/// let reader = EventSpec::io(&socket, Interest::READ).persist().token(Token(7));
/// let ticker = EventSpec::timer().persist();
/// # let _ = (reader, ticker);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "a spec does nothing until `Registry::create` makes an event of it"]
pub struct EventSpec {
    pub(crate) source: Source,
    pub(crate) interest: Interest,
    pub(crate) token: Token,
    pub(crate) persist: bool,
    pub(crate) edge: bool,
    pub(crate) stable_fd: bool,
}

/// Where an event's readiness comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Its timeout or an activation by hand, nothing else.
    Timer,
    /// A descriptor of the owner.
    Fd(RawFd),
    /// A signal of the process.
    Signal(i32),
    /// The base's own notifier.
    Notify,
}

impl Source {
    pub(crate) fn fd(self) -> Option<RawFd> {
        if let Self::Fd(fd) = self { Some(fd) } else { None }
    }

    pub(crate) fn signal(self) -> Option<i32> {
        if let Self::Signal(number) = self { Some(number) } else { None }
    }
}

/// A [`Source`] in four bytes: a descriptor's number, or a value below -1 for the others.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct PackedSource(i32);

impl PackedSource {
    /// A timer. Not -1: a failed call returns that, and adding it must be an error.
    const TIMER: i32 = i32::MIN;
    /// Beyond this no signal can have a number.
    const SIGNALS: i32 = 1 << 16;

    #[inline]
    pub(crate) fn pack(source: Source) -> Self {
        match source {
            Source::Fd(fd) => Self(fd.max(-1)),
            // Clamping keeps a bad number out of range: the kernel refuses it.
            Source::Signal(number) => Self(Self::TIMER + number.clamp(0, Self::SIGNALS) + 1),
            Source::Timer | Source::Notify => Self(Self::TIMER),
        }
    }

    #[inline]
    pub(crate) fn is_timer(self) -> bool {
        self.0 == Self::TIMER
    }

    #[inline]
    pub(crate) fn is_signal(self) -> bool {
        self.0 < -1 && self.0 != Self::TIMER
    }

    #[inline]
    pub(crate) fn unpack(self) -> Source {
        match self.0 {
            Self::TIMER => Source::Timer,
            code if code < -1 => Source::Signal(code - Self::TIMER - 1),
            fd => Source::Fd(fd),
        }
    }
}

impl fmt::Debug for PackedSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.unpack().fmt(f)
    }
}

impl EventSpec {
    #[inline]
    fn new(source: Source, interest: Interest) -> Self {
        Self {
            source,
            interest,
            token: Token::default(),
            persist: false,
            edge: false,
            stable_fd: false,
        }
    }

    /// An event that waits for `interest` on a descriptor (libevent: `event_new` with
    /// `EV_READ`/`EV_WRITE`/`EV_CLOSED`). The owner keeps the descriptor open while the event is
    /// pending.
    #[inline]
    pub fn io(fd: &impl AsRawFd, interest: Interest) -> Self {
        Self::new(Source::Fd(fd.as_raw_fd()), interest)
    }

    /// An event that has only a timeout, given when it is added (libevent: `evtimer_new`).
    #[inline]
    pub fn timer() -> Self {
        Self::new(Source::Timer, Interest::empty())
    }

    /// An event that fires with [`Ready::SIGNAL`] when the process gets the signal `number`, once
    /// for each delivery (libevent: `event_new` with `EV_SIGNAL`; `evsignal_new` is this and
    /// [`persist`](Self::persist)). `signal(7)` lists the numbers.
    ///
    /// Any number of events, also of several bases, can wait for one signal; all of them fire.
    /// While at least one waits, the base replaces the signal's disposition and restores it
    /// afterwards.
    ///
    /// A persistent event's timeout is not re-armed when its signal fires it, as in libevent.
    #[inline]
    pub fn signal(number: i32) -> Self {
        Self::new(Source::Signal(number), Interest::empty())
    }

    /// A persistent event that fires with [`Ready::READ`] in the next turn of the loop after a
    /// call of [`Notifier::notify`](crate::Notifier::notify). Several calls before that turn are
    /// one firing.
    pub fn notify() -> Self {
        Self::new(Source::Notify, Interest::READ).persist().edge()
    }

    /// Keeps the event pending after it fires (libevent: `EV_PERSIST`). A timeout given to `add`
    /// becomes an interval, which the base re-arms before each call.
    #[inline]
    pub fn persist(mut self) -> Self {
        self.persist = true;
        self
    }

    /// Reports changes of readiness instead of its level (libevent: `EV_ET`). All events of one
    /// descriptor must agree; mixing is an error when the second one is added.
    #[inline]
    pub fn edge(mut self) -> Self {
        self.edge = true;
        self
    }

    /// Sets the token that [`Fired::token`] carries.
    #[inline]
    pub fn token(mut self, token: Token) -> Self {
        self.token = token;
        self
    }

    /// Promises that the descriptor is not closed while this event exists, pending or not.
    ///
    /// With the deferred changelist, a level-triggered event that is deleted and added again within
    /// one turn then costs no system call. Without the promise the pair costs one, because another
    /// file may have taken the number in between.
    pub fn stable_fd(mut self) -> Self {
        self.stable_fd = true;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_eight_bytes_also_when_optional() {
        assert_eq!(size_of::<EventId>(), 8);
        assert_eq!(size_of::<Option<EventId>>(), 8);
    }

    #[test]
    fn every_interest_has_its_answer() {
        assert_eq!(Ready::from(Interest::READ), Ready::READ);
        assert_eq!(Ready::from(Interest::WRITE), Ready::WRITE);
        assert_eq!(Ready::from(Interest::CLOSED), Ready::CLOSED);
    }

    #[test]
    fn a_source_survives_being_packed() {
        for source in
            [Source::Timer, Source::Fd(0), Source::Fd(i32::MAX), Source::Fd(-1), Source::Signal(64)]
        {
            assert_eq!(PackedSource::pack(source).unpack(), source);
        }
        for (odd, even) in [(Source::Fd(i32::MIN), -1), (Source::Fd(-2), -1)] {
            assert_eq!(
                PackedSource::pack(odd).unpack(),
                Source::Fd(even),
                "a bad number stays bad"
            );
        }
        for number in [i32::MIN, -1, 0] {
            assert_eq!(PackedSource::pack(Source::Signal(number)).unpack(), Source::Signal(0));
        }
        let beyond = PackedSource::pack(Source::Signal(i32::MAX)).unpack();
        assert_eq!(beyond, Source::Signal(PackedSource::SIGNALS));
    }
}
