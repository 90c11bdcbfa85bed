//! A base and other threads: notifiers and remotes.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use evshard::{Config, Error, EventBase, EventSpec, Fired, LoopEnd, LoopFlags, Registry, Wake};

fn count(_: &mut Registry<u64>, calls: &mut u64, _: Fired) {
    *calls += 1;
}

on_every_base! {
    fn notifications_of_an_awake_base_collapse_into_one_call(config: Config) {
        let mut base = EventBase::<u64>::new(config).unwrap();
        let notified = base.registry().create(EventSpec::notify(), count);
        base.registry().add(notified, None).unwrap();
        let notifier = base.registry().notifier();
        for _ in 0..5 {
            assert_eq!(notifier.notify(), Wake::Suppressed, "the base is awake");
        }
        let mut calls = 0;
        base.run_with(&mut calls, LoopFlags::NONBLOCK).unwrap();
        assert_eq!(calls, 1);
    }

    fn posted_closures_run_in_order_on_the_bases_thread(config: Config) {
        let mut base = EventBase::<Vec<u32>>::new(config).unwrap();
        let (remote, here) = (base.remote(), thread::current().id());
        let poster = thread::spawn(move || {
            for number in 0..1000 {
                let job = move |_: &mut Registry<_>, log: &mut Vec<u32>| {
                    assert_eq!(thread::current().id(), here);
                    log.push(number);
                };
                remote.post(job).unwrap();
            }
            remote.post(|registry, _| registry.loop_exit()).unwrap();
        });
        let mut log = Vec::new();
        assert_eq!(base.run_until_exit(&mut log).unwrap(), LoopEnd::Stopped);
        poster.join().unwrap();
        assert!(log.into_iter().eq(0..1000));
    }

    fn a_posted_closure_may_post_and_create_events(config: Config) {
        let mut base = EventBase::<u64>::new(config).unwrap();
        let remote = base.remote();
        let again = remote.clone();
        remote.post(move |registry, _| {
            let id = registry.create(EventSpec::timer(), count);
            registry.activate(id, evshard::Ready::READ).unwrap();
            again.post(|registry, _| registry.loop_exit()).unwrap();
        }).unwrap();
        let mut calls = 0;
        base.run_until_exit(&mut calls).unwrap();
        assert_eq!(calls, 1);
    }

    fn a_remote_outlives_its_base_and_returns_an_error(config: Config) {
        let base = EventBase::<u64>::new(config).unwrap();
        let remote = base.remote();
        let witness = Arc::new(());
        let held = witness.clone();
        remote.post(move |_, _| drop(held)).unwrap();
        drop(base);
        assert_eq!(Arc::strong_count(&witness), 1, "what was not run is dropped");
        assert!(matches!(remote.post(|_, _| ()), Err(Error::BaseGone)));
    }

    fn many_threads_wake_a_base_that_has_no_timeout(config: Config) {
        const THREADS: u64 = 4;
        const EACH: u64 = 20_000;
        let mut base = EventBase::<u64>::new(config).unwrap();
        let seen = Arc::new(AtomicU64::new(0));
        let posters: Vec<_> = (0..THREADS).map(|_| {
            let (remote, seen) = (base.remote(), seen.clone());
            thread::spawn(move || for _ in 0..EACH {
                let seen = seen.clone();
                remote.post(move |registry, _| {
                    if seen.fetch_add(1, Ordering::Relaxed) + 1 == THREADS * EACH {
                        registry.loop_exit();
                    }
                }).unwrap();
            })
        }).collect();
        base.run_until_exit(&mut 0).unwrap();
        assert_eq!(seen.load(Ordering::Relaxed), THREADS * EACH);
        for poster in posters {
            poster.join().unwrap();
        }
    }

    fn an_eventfd_that_was_reported_is_not_reported_again(config: Config) {
        let mut base = EventBase::<u64>::new(config).unwrap();
        let remote = base.remote();
        let poster = thread::spawn(move || {
            while remote.post(|_, _| ()).unwrap() != Wake::Sent {
                thread::yield_now();
            }
            remote.loop_exit();
        });
        base.run_until_exit(&mut 0).unwrap();
        poster.join().unwrap();
        // This turn reports the notification that was sent while the loop ended; no other follows.
        base.run_with(&mut 0, LoopFlags::NONBLOCK | LoopFlags::NO_EXIT_ON_EMPTY).unwrap();
        let reported = base.registry().stats().events;
        for _ in 0..3 {
            base.run_with(&mut 0, LoopFlags::NONBLOCK | LoopFlags::NO_EXIT_ON_EMPTY).unwrap();
        }
        assert_eq!(base.registry().stats().events, reported);
    }
}
