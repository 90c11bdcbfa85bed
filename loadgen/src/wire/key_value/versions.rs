//! Which versions of a key a read may return now.
//!
//! Each write of a key gets the next version when it is made. Versions are not the order in which
//! the server executes writes that are outstanding at the same time. So a read is wrong only if it
//! returns a version that another write has certainly replaced: one that was acknowledged before
//! that other write was made, which itself was acknowledged before the read was made. On a server
//! that executes one command on a key after the other, no right reply breaks this rule, whatever
//! the number of connections and threads.
//!
//! No write is stored. Per key there are four numbers, in 16 bytes:
//!
//! - the last version that was given out, and how many writes are outstanding;
//! - `settled`: all versions up to this one were acknowledged, or refused;
//! - `floor`: no earlier version can be current.
//!
//! A write remembers `settled` from when it was made; once it is acknowledged, `floor` lies above
//! that. A write on a connection that was lost stays outstanding for good, because the server may
//! execute it at any time. From then on `settled` of that key does not grow.

use std::sync::atomic::{AtomicU64, Ordering};

/// The numbers of one key: each half of a word changes with the other in one step.
#[derive(Debug, Default)]
struct Key {
    /// The last version in the high half, the writes outstanding in the low one.
    given: AtomicU64,
    /// `settled` in the high half, `floor` in the low one.
    ordered: AtomicU64,
}

/// The versions of all keys. All threads share them.
///
/// A number that is read too early is lower than the latest one, which only makes the check milder.
/// So there is no order to keep between the two words of a key, nor between keys. What must be seen
/// is a version that was given out before its value came back through the server; the strongest
/// order of memory and the system calls between do that.
#[derive(Debug)]
pub(super) struct Versions(Vec<Key>);

/// A write that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) version: u32,
    /// All versions up to this one had been acknowledged when it was made.
    pub(super) settled: u32,
}

/// One write and no version, in the halves of `given`.
const WRITE: u64 = (1 << 32) | 1;
const ONE_OUTSTANDING: u64 = 1;

impl Versions {
    /// No key has been written.
    pub(super) fn new(keys: u32) -> Self {
        Self((0..keys).map(|_| Key::default()).collect())
    }

    fn key(&self, key: u32) -> &Key {
        &self.0[key as usize]
    }

    /// Gives a version to a write that is made now.
    pub(super) fn claim(&self, key: u32) -> Claim {
        let key = self.key(key);
        let settled = high(key.ordered.load(Ordering::SeqCst));
        let before = key.given.fetch_add(WRITE, Ordering::SeqCst);
        Claim { version: high(before).wrapping_add(1), settled }
    }

    /// The server has executed the write.
    pub(super) fn acknowledged(&self, key: u32, settled: u32) {
        let ordered = &self.key(key).ordered;
        raise(ordered, |settled_now, floor| (settled_now, later(floor, settled.wrapping_add(1))));
        self.ended(key);
    }

    /// The server has refused the write, and will not execute it.
    pub(super) fn refused(&self, key: u32) {
        self.ended(key);
    }

    fn ended(&self, key: u32) {
        let key = self.key(key);
        let before = key.given.fetch_sub(ONE_OUTSTANDING, Ordering::SeqCst);
        if low(before) == 1 {
            raise(&key.ordered, |settled, floor| (later(settled, high(before)), floor));
        }
    }

    /// The earliest version that a read which is made now may return; 0 if no write has been
    /// acknowledged yet.
    pub(super) fn floor(&self, key: u32) -> u32 {
        low(self.key(key).ordered.load(Ordering::SeqCst))
    }

    /// The last version that has been given out.
    pub(super) fn last(&self, key: u32) -> u32 {
        high(self.key(key).given.load(Ordering::SeqCst))
    }
}

fn high(word: u64) -> u32 {
    (word >> 32) as u32
}

fn low(word: u64) -> u32 {
    word as u32
}

/// Sets both halves of a word in one step.
fn raise(word: &AtomicU64, change: impl Fn(u32, u32) -> (u32, u32)) {
    let changed = |word: u64| {
        let (high, low) = change(high(word), low(word));
        Some(u64::from(high) << 32 | u64::from(low))
    };
    // It always returns a word, so it cannot fail.
    let _ = word.fetch_update(Ordering::SeqCst, Ordering::SeqCst, changed);
}

/// The later of two versions. They are counted modulo 2^32: a key that is written a million times
/// a second begins again after an hour.
fn later(one: u32, other: u32) -> u32 {
    if is_before(one, other) { other } else { one }
}

/// Whether `one` is an earlier version than `other`.
pub(super) fn is_before(one: u32, other: u32) -> bool {
    (one.wrapping_sub(other) as i32) < 0
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::thread;

    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;

    #[test]
    fn an_acknowledged_write_replaces_all_that_were_acknowledged_before_it_was_made() {
        let versions = Versions::new(2);
        assert_eq!((versions.floor(0), versions.last(0)), (0, 0));
        let first = versions.claim(0);
        assert_eq!((first, versions.floor(0)), (Claim { version: 1, settled: 0 }, 0));
        versions.acknowledged(0, first.settled);
        assert_eq!(versions.floor(0), 1);
        let (second, third) = (versions.claim(0), versions.claim(0));
        versions.acknowledged(0, second.settled);
        // The first one is replaced. The server may execute the third before the second.
        assert_eq!(versions.floor(0), 2);
        versions.acknowledged(0, third.settled);
        assert_eq!((versions.floor(0), versions.last(0)), (2, 3));
        let fourth = versions.claim(0);
        versions.acknowledged(0, fourth.settled);
        assert_eq!(versions.floor(0), 4);
        assert_eq!((versions.floor(1), versions.last(1)), (0, 0));
    }

    #[test]
    fn a_refused_write_replaces_nothing_and_one_without_an_answer_lets_nothing_settle() {
        let versions = Versions::new(1);
        let claims = [versions.claim(0), versions.claim(0)];
        versions.acknowledged(0, claims[0].settled);
        versions.refused(0);
        assert_eq!(versions.floor(0), 1);
        let _lost = versions.claim(0);
        for _ in 0..3 {
            let claim = versions.claim(0);
            assert_eq!(claim.settled, 2);
            versions.acknowledged(0, claim.settled);
        }
        assert_eq!((versions.floor(0), versions.last(0)), (3, 6));
    }

    #[test]
    fn versions_begin_again_without_a_break() {
        assert_eq!(later(u32::MAX, 1), 1);
        assert_eq!(later(1, u32::MAX), 1);
        assert!(is_before(u32::MAX, 0) && !is_before(0, u32::MAX) && !is_before(5, 5));
    }

    #[test]
    fn no_thread_finds_a_wrong_read_of_a_server_that_all_of_them_use() {
        let (versions, server) = (Versions::new(1), Mutex::new(0));
        let turn = |number: u32| {
            if number.is_multiple_of(2) {
                let claim = versions.claim(0);
                // Others write meanwhile.
                thread::yield_now();
                *server.lock().unwrap() = claim.version;
                versions.acknowledged(0, claim.settled);
            } else {
                let floor = versions.floor(0);
                let found = *server.lock().unwrap();
                assert!(!is_before(found, floor), "{found} below {floor}");
                assert!(!is_before(versions.last(0), found), "{found} was not given out");
            }
        };
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..5_000).for_each(turn));
            }
        });
        assert_eq!(versions.last(0), 10_000);
        assert!(versions.floor(0) > 0);
    }

    /// What may happen to the requests on one key.
    #[derive(Debug, Clone)]
    enum Step {
        Write,
        Read,
        /// The server executes one of the outstanding requests.
        Execute(Index),
        /// The reply to one of the executed requests arrives.
        Reply(Index),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => Just(Step::Write),
            3 => Just(Step::Read),
            4 => any::<Index>().prop_map(Step::Execute),
            4 => any::<Index>().prop_map(Step::Reply),
        ]
    }

    #[derive(Debug, Clone, Copy)]
    enum Request {
        Write(Claim),
        Read { floor: u32 },
    }

    proptest! {
        #[test]
        fn no_read_of_a_server_that_executes_one_after_the_other_is_found_wrong(
            steps in prop::collection::vec(step(), 0..200),
        ) {
            let versions = Versions::new(1);
            let (mut sent, mut executed) = (Vec::new(), Vec::new());
            let mut current = 0;
            for step in steps {
                match step {
                    Step::Write => sent.push(Request::Write(versions.claim(0))),
                    Step::Read => sent.push(Request::Read { floor: versions.floor(0) }),
                    Step::Execute(which) if !sent.is_empty() => {
                        let request = sent.swap_remove(which.index(sent.len()));
                        if let Request::Write(claim) = request {
                            current = claim.version;
                        }
                        executed.push((request, current));
                    }
                    Step::Reply(which) if !executed.is_empty() => {
                        let which = which.index(executed.len());
                        match executed.swap_remove(which) {
                            (Request::Write(claim), _) => versions.acknowledged(0, claim.settled),
                            (Request::Read { floor }, found) => {
                                prop_assert!(!is_before(found, floor), "{found} below {floor}");
                                prop_assert!(!is_before(versions.last(0), found));
                            }
                        }
                    }
                    Step::Execute(_) | Step::Reply(_) => {}
                }
            }
        }
    }
}
