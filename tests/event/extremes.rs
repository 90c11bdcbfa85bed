//! Numbers and durations at the ends of their types: each works or is an error, and none panics.

use std::os::fd::RawFd;

use evshard::DispatchLimit;

use crate::app::*;
use crate::on_every_base;

const TIMES: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_nanos(1),
    Duration::from_secs(i64::MAX as u64),
    Duration::from_secs(u64::MAX / 2),
    Duration::from_secs(u64::MAX),
    Duration::MAX,
];

/// Whether a timeout of this length is due within a test.
fn is_short(time: Duration) -> bool {
    time < SHORT
}

on_every_base! {
    fn a_timeout_of_any_length_is_due_at_once_or_never(config: Config) {
        let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
        let registry = base.registry();
        for time in TIMES {
            registry.once(EventSpec::timer(), Some(time), log).unwrap();
            let persistent = registry.create(EventSpec::timer().persist(), log);
            registry.add(persistent, Some(time)).unwrap();
            let common = registry.common_timeout(time).unwrap();
            let of_common = registry.create(EventSpec::timer(), log);
            registry.add_common(of_common, common).unwrap();
            let (reader, _writer) = pair();
            let id = registry.create(EventSpec::io(&reader, Interest::READ), log);
            registry.add(id, Some(time)).unwrap();
            registry.remote().add(of_common, Some(time)).unwrap();
            registry.free(id);
            if !is_short(time) {
                registry.loop_exit_after(time);
            }
        }
        let short = TIMES.into_iter().filter(|time| is_short(*time)).count();
        while app.fired.len() < 3 * short {
            base.run_with(&mut app, LoopFlags::ONCE | LoopFlags::NONBLOCK).unwrap();
        }
        base.registry().loop_exit_after(SHORT);
        base.run_until_exit(&mut app).unwrap();
    }

    fn a_wait_for_the_end_of_time_ends_when_something_happens(config: Config) {
        for time in TIMES.into_iter().filter(|time| !is_short(*time)) {
            let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
            let (reader, _writer) = readable_pair();
            base.registry().once(EventSpec::timer(), Some(time), log).unwrap();
            base.registry().once(EventSpec::io(&reader, Interest::READ), Some(time), log).unwrap();
            base.run_with(&mut app, LoopFlags::ONCE).unwrap();
            assert_eq!(app.fired, [(0, Ready::READ)], "{time:?}");
        }
    }

    fn a_dispatch_limit_of_any_size_lets_handlers_run(config: Config) {
        for calls in [0, 1, u32::MAX] {
            for interval in TIMES {
                for from_priority in [0, u8::MAX] {
                    let (calls, interval) = (Some(calls), Some(interval));
                    let limit = DispatchLimit { calls, interval, from_priority };
                    let config = config.dispatch_limit(limit).priorities(from_priority);
                    let (mut base, mut app) = (Base::new(config).unwrap(), App::default());
                    base.registry().once(EventSpec::timer(), Some(Duration::ZERO), log).unwrap();
                    base.run(&mut app).unwrap();
                    assert_eq!(app.fired.len(), 1, "{limit:?}");
                }
            }
        }
    }

    fn a_descriptor_a_signal_or_a_priority_that_cannot_be_is_an_error(config: Config) {
        let mut base = Base::new(config).unwrap();
        let registry = base.registry();
        for number in [RawFd::MIN, -2, -1, RawFd::MAX] {
            let fd = registry.create(EventSpec::io(&number, Interest::READ), log);
            let error = registry.add(fd, None).unwrap_err();
            assert!(matches!(error, Error::Fd { .. }), "{error}");
            let signal = registry.create(EventSpec::signal(number), log);
            let error = registry.add(signal, None).unwrap_err();
            assert!(matches!(error, Error::Signal { .. }), "{error}");
            registry.activate_by_fd(number, Ready::all());
            registry.activate_by_signal(number);
        }
        let timer = registry.create(EventSpec::timer(), log);
        assert!(registry.set_priority(timer, 0).is_ok());
        let error = registry.set_priority(timer, u8::MAX).unwrap_err();
        assert!(matches!(error, Error::Priority { .. }), "{error}");
    }
}
