//! The configuration of a base (`struct event_config`), and how a base is made of it.

use std::ffi::{CStr, c_int};
use std::time::Duration;

use evshard::{
    BackendKind, ChangelistPolicy, ClockKind, Config, DispatchLimit, EventBase, EventCounts,
    Features, Leniency, SignalMethod,
};
use parking_lot::lock_api::Mutex;

use super::{Base, State};
use crate::abi::access::is_privileged_for_caller;
use crate::abi::access::lock::BaseLock;
use crate::admin;
use crate::base::finished::Finished;
use crate::check;
use crate::debug;

bitflags::bitflags! {
    /// `EVENT_BASE_FLAG_*`. libevent ignores those that it does not know.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(crate) struct BaseFlags: c_int {
        const NOLOCK = 0x01;
        const IGNORE_ENV = 0x02;
        const NO_CACHE_TIME = 0x08;
        const EPOLL_USE_CHANGELIST = 0x10;
        const PRECISE_TIMER = 0x20;
    }
}

/// `struct event_config`.
#[derive(Debug)]
pub(crate) struct EventConfig {
    pub(crate) avoided: Vec<Vec<u8>>,
    pub(crate) required: c_int,
    pub(crate) flags: BaseFlags,
    pub(crate) limit: DispatchLimit,
}

impl Default for EventConfig {
    fn default() -> Self {
        Self {
            avoided: Vec::new(),
            required: 0,
            flags: BaseFlags::empty(),
            limit: DispatchLimit::default(),
        }
    }
}

impl EventConfig {
    pub(crate) fn set_limit(
        &mut self,
        interval: Option<Duration>,
        calls: c_int,
        from_priority: c_int,
    ) {
        self.limit = DispatchLimit {
            calls: u32::try_from(calls).ok().filter(|calls| *calls != c_int::MAX.cast_unsigned()),
            interval,
            from_priority: u8::try_from(from_priority.max(0)).unwrap_or(u8::MAX),
        };
    }

    /// evshard's configuration with libevent's defaults: a coarse clock, and no io_uring unless
    /// the program's user asks for it by `EVSHARD_USE_IO_URING`.
    fn to_evshard(&self) -> Config {
        let has = |flag| self.flags.contains(flag);
        let mut config = Config::default().dispatch_limit(self.limit).clock(
            match has(BaseFlags::PRECISE_TIMER) {
                true => ClockKind::Precise,
                false => ClockKind::Coarse,
            },
        );
        if !self.is_set("EVSHARD_USE_IO_URING") {
            config = config.avoid(BackendKind::IoUring);
        }
        for name in &self.avoided {
            let kind = str::from_utf8(name).ok().and_then(BackendKind::by_name);
            config = kind.map_or(config, |kind| config.avoid(kind));
        }
        // A feature that no backend has leaves none.
        let required = u8::try_from(self.required).unwrap_or(u8::MAX);
        config = config.require_features(Features::from_bits_retain(required));
        if has(BaseFlags::IGNORE_ENV) {
            config = config.ignore_environment();
        }
        if has(BaseFlags::NO_CACHE_TIME) {
            config = config.cached_time(false);
        }
        if has(BaseFlags::EPOLL_USE_CHANGELIST) {
            config = config.changelist(ChangelistPolicy::Deferred);
        }
        let mut leniency = Leniency::all();
        if debug::MODE.is_on() {
            leniency -= Leniency::MIXED_TRIGGERS;
        }
        config.signals(SignalMethod::Handler).lenient(leniency)
    }

    fn is_set(&self, variable: &str) -> bool {
        let counts = !self.flags.contains(BaseFlags::IGNORE_ENV) && !is_privileged_for_caller();
        counts && std::env::var_os(variable).is_some()
    }

    /// The name of a backend, as libevent calls it.
    fn method(&self, backend: &str) -> &'static CStr {
        let defers = self.flags.contains(BaseFlags::EPOLL_USE_CHANGELIST)
            || self.is_set("EVENT_EPOLL_USE_CHANGELIST");
        match backend {
            "epoll" if defers => c"epoll (with changelist)",
            "epoll" => c"epoll",
            "io_uring" => c"io_uring",
            "poll" => c"poll",
            _ => c"select",
        }
    }
}

impl Base {
    /// Opens a base. Threads may share it if `has_threads`.
    pub(crate) fn new(config: &EventConfig, has_threads: bool) -> evshard::Result<Self> {
        debug::MODE.note_use();
        check::begin();
        let mut base = EventBase::new(config.to_evshard())?;
        let method = config.method(base.registry().backend_name());
        let has_edges = base.registry().features().contains(Features::EDGE);
        let is_shared = has_threads && !config.flags.contains(BaseFlags::NOLOCK);
        let state = State {
            base,
            method,
            has_edges,
            owner: None,
            current: None,
            calls: 0,
            repetitions: 0,
            waiters: 0,
            common: Vec::new(),
            max_before: EventCounts::default(),
            is_freed: false,
            idle: None,
            messages: Vec::new(),
            ending: Vec::new(),
        };
        let state = Mutex::from_raw(BaseLock::new(is_shared), state);
        let record = admin::new_record(method.to_str().unwrap_or_default());
        let is_watched = record.is_some() || check::is_on();
        let finished = Finished::default();
        Ok(Self { state, address: 0, is_shared, finished, is_watched, record })
    }
}
