//! How deferred changes reach the kernel.

use evshard::Config;

use crate::Outcome;

/// One `epoll_ctl` a change.
pub(crate) fn by_epoll_ctl(config: Config) -> Config {
    config
}

/// All changes of a turn in one `io_uring_enter`.
pub(crate) fn by_io_uring(_config: Config) -> Outcome<Config> {
    Err("this build flushes changes by epoll_ctl only".into())
}
