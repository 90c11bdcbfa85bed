//! Interest to the kernel's poll bits, and its answers to readiness: one numbering for `poll(2)`,
//! `epoll(7)` and io_uring.

use crate::event::{Interest, Ready};
use crate::sys::epoll;
use crate::sys::poll;

const _: () = {
    assert!(poll::IN == epoll::IN && poll::OUT == epoll::OUT && poll::RDHUP == epoll::RDHUP);
    assert!(poll::ERR == epoll::ERR && poll::HUP == epoll::HUP);
};

/// What to ask for. Errors and hang-ups are reported unasked.
pub(super) fn mask_of(interest: Interest) -> u32 {
    let mut mask = 0;
    if interest.contains(Interest::READ) {
        mask |= poll::IN;
    }
    if interest.contains(Interest::WRITE) {
        mask |= poll::OUT;
    }
    if interest.contains(Interest::CLOSED) {
        mask |= poll::RDHUP;
    }
    mask
}

/// An error, and a hang-up that is not merely the peer's half, wake the reader and the writer,
/// whichever finds out by trying, as in libevent. They also wake who waits for the peer's close:
/// libevent does not, and its loop spins on a level that nobody is told of.
pub(super) fn ready_of(mask: u32) -> Ready {
    if mask & poll::ERR != 0 || (mask & poll::HUP != 0 && mask & poll::RDHUP == 0) {
        return Ready::READ | Ready::WRITE | Ready::CLOSED;
    }
    let told = |bit, tells: Ready| if mask & bit != 0 { tells } else { Ready::empty() };
    told(poll::IN, Ready::READ) | told(poll::OUT, Ready::WRITE) | told(poll::RDHUP, Ready::CLOSED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_and_hang_ups_wake_every_interest() {
        let all = Ready::READ | Ready::WRITE | Ready::CLOSED;
        assert_eq!(ready_of(poll::ERR), all);
        assert_eq!(ready_of(poll::HUP | poll::IN), all);
        assert_eq!(
            ready_of(poll::HUP | poll::RDHUP | poll::IN),
            Ready::READ | Ready::CLOSED,
            "an orderly close keeps its exact bits"
        );
        assert_eq!(ready_of(poll::OUT), Ready::WRITE);
    }

    #[test]
    fn each_interest_is_answered_by_its_own_bit() {
        for interest in (0..=u8::MAX).filter_map(Interest::from_bits) {
            assert_eq!(ready_of(mask_of(interest)), Ready::from(interest));
        }
    }
}
