//! Shared by the integration tests: waiting, reading, every way to set up a base, and a server in a
//! process of its own.

#![allow(
    dead_code,
    unreachable_pub,
    unused_macros,
    reason = "each test program uses its own share of the helpers"
)]

pub mod example;
mod program;
#[cfg(feature = "cli")]
mod server_process;

use std::io::{self, Read};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use evshard::{
    BackendKind, ChangelistFlush, ChangelistPolicy, ClockKind, Config, EventBase, Features,
};
use test_needs::Need;

#[allow(unused_imports, reason = "as above")]
pub use program::Program;
#[cfg(feature = "cli")]
#[allow(unused_imports, reason = "as above")]
pub use server_process::{ServerProcess, total};

/// The timeout of every test: far longer than anything takes on a loaded machine. Reaching it is a
/// failure.
pub const TEST_TIMEOUT: Duration = Duration::from_secs(60);

pub const MS: Duration = Duration::from_millis(1);

/// Every way to set up a base: each backend, with changes passed at once or before each wait. Epoll
/// also passes them through io_uring. Each with the precise clock and with the coarse one.
pub fn all_configs() -> impl Iterator<Item = Config> {
    let plain = Config::default().ignore_environment();
    let kinds = usable_backends().flat_map(move |kind| {
        let deferred = plain.changelist(ChangelistPolicy::Deferred);
        let through_uring = deferred.backend(BackendKind::Epoll).flush(ChangelistFlush::IoUring);
        // Where there is io_uring, epoll can flush through it.
        let more = (kind == BackendKind::IoUring).then_some(through_uring);
        let deferred = deferred.backend(kind).flush(ChangelistFlush::EpollCtl);
        [plain.backend(kind), deferred].into_iter().chain(more)
    });
    kinds.flat_map(|config| [ClockKind::Precise, ClockKind::Coarse].map(|kind| config.clock(kind)))
}

/// Every backend that this machine allows. A test without one is listed as skipped in part.
pub fn usable_backends() -> impl Iterator<Item = BackendKind> {
    let is_missing =
        |kind| kind == BackendKind::IoUring && test_needs::missing_for_part(Need::IoUring);
    BackendKind::ALL.iter().copied().filter(move |kind| !is_missing(*kind))
}

/// Makes each function a test that runs once per way to set up a base. After `where` are the
/// features that it needs; backends without them are left out.
#[macro_export]
macro_rules! on_every_base {
    ($($(#[$meta:meta])* fn $name:ident($config:ident: $type:ty)
       $(where $features:expr;)? $body:block)*) => {
        $(#[test]
        $(#[$meta])*
        fn $name() {
            let needed = evshard::Features::empty() $(| $features)?;
            for $config in $crate::common::all_configs() {
                let $config: $type = $config.require_features(needed);
                if $crate::common::lacks($config, needed) {
                    continue;
                }
                eprintln!("on {:?}", $config);
                $body
            }
        })*
    };
}

/// Whether the config's backend lacks a feature.
pub fn lacks(config: Config, needed: Features) -> bool {
    if needed.is_empty() {
        return false;
    }
    let probe = EventBase::<()>::new(config.require_features(Features::empty()));
    !probe.expect("every backend is there").registry().features().contains(needed)
}

/// Waits until the condition holds.
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + TEST_TIMEOUT;
    while !condition() {
        assert!(Instant::now() < deadline, "never came true: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Reads once, and again if a signal interrupted the read: with a timeout, a stopped process gets
/// that error when it continues (`signal(7)`), and a ring of io_uring interrupts the thread that
/// started its server.
pub fn read(mut from: impl Read, bytes: &mut [u8]) -> io::Result<usize> {
    loop {
        match from.read(bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// The bytes up to the end of the stream, or the kind of error that ends it.
pub fn read_to_end(mut stream: TcpStream) -> Result<Vec<u8>, io::ErrorKind> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).map(|_| bytes).map_err(|error| error.kind())
}

/// Bytes that look random, the same for the same seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut bytes: Vec<u8> = (0..length.div_ceil(8)).flat_map(|_| next().to_le_bytes()).collect();
    bytes.truncate(length);
    bytes
}
