//! Conversion of interests to the kernel's poll bits, and of poll bits to readiness. `poll(2)`,
//! `epoll(7)` and io_uring have the same bits.

use crate::event::{Interest, Ready};
use crate::sys::epoll;
use crate::sys::poll;

const _: () = {
    assert!(poll::IN == epoll::IN && poll::OUT == epoll::OUT && poll::RDHUP == epoll::RDHUP);
    assert!(poll::ERR == epoll::ERR && poll::HUP == epoll::HUP);
};

/// The poll bits of an interest. The kernel always reports errors and hang-ups in addition.
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

/// The readiness of poll bits.
///
/// As in libevent, an error or a full hang-up is readable and writable: reading or writing then
/// returns the error. Here it is also a close. In libevent it is not, and a loop whose only event
/// waits for the close spins.
#[inline]
pub(super) fn ready_of(mask: u32) -> Ready {
    if mask == poll::IN {
        // As nearly always.
        return Ready::READ;
    }
    if mask & poll::ERR != 0 || (mask & poll::HUP != 0 && mask & poll::RDHUP == 0) {
        return Ready::READ | Ready::WRITE | Ready::CLOSED;
    }
    let ready_if = |bit, ready: Ready| if mask & bit != 0 { ready } else { Ready::empty() };
    ready_if(poll::IN, Ready::READ)
        | ready_if(poll::OUT, Ready::WRITE)
        | ready_if(poll::RDHUP, Ready::CLOSED)
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
