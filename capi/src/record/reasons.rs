//! Why the program was called.

use std::fmt;

use crate::abi::access::call::Call;
use crate::abi::access::layout::EventFlags;

bitflags::bitflags! {
    /// The reasons of a call. Those of an event have libevent's bits.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Reasons: u8 {
        const TIMEOUT = 0x01;
        const READ = 0x02;
        const WRITE = 0x04;
        const SIGNAL = 0x08;
        /// `event_active`, whatever reasons it gave.
        const ACTIVATION = 0x10;
        const DEFERRED = 0x20;
        const FINALIZER = 0x40;
        const CLOSED = 0x80;
    }
}

/// Each reason with its name.
pub(crate) const REASONS: [(Reasons, &str); 8] = [
    (Reasons::READ, "read"),
    (Reasons::WRITE, "write"),
    (Reasons::CLOSED, "closed"),
    (Reasons::TIMEOUT, "timeout"),
    (Reasons::SIGNAL, "signal"),
    (Reasons::ACTIVATION, "activation"),
    (Reasons::DEFERRED, "deferred"),
    (Reasons::FINALIZER, "finalizer"),
];

impl Reasons {
    pub(crate) fn of(call: &Call, was_activated: bool) -> Self {
        match call {
            Call::Event { .. } if was_activated => Self::ACTIVATION,
            Call::Event { what, .. } => {
                Self::from_bits_retain((*what & EventFlags::REASONS.bits()) as u8)
            }
            Call::Callback { .. } => Self::DEFERRED,
            Call::Finalizer { .. } => Self::FINALIZER,
        }
    }

    /// The numbers of the bits.
    pub(crate) fn numbers(self) -> impl Iterator<Item = usize> {
        let mut left = self.bits();
        std::iter::from_fn(move || {
            let number = left.trailing_zeros();
            left &= left.checked_sub(1)?;
            Some(number as usize)
        })
    }

    /// Whether the call was for a descriptor.
    pub(crate) fn has_descriptor(self) -> bool {
        self.intersects(Self::READ | Self::WRITE | Self::CLOSED)
    }
}

/// The names, as `read and timeout`.
impl fmt::Display for Reasons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = REASONS.iter().filter(|(reason, _)| self.contains(*reason));
        for (index, (_, name)) in names.enumerate() {
            f.write_str(if index == 0 { "" } else { " and " })?;
            f.write_str(name)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_number_of_its_own_and_a_name() {
        let mut all = Reasons::empty();
        for (reason, name) in REASONS {
            assert_eq!(reason.numbers().collect::<Vec<_>>(), [reason.bits().ilog2() as usize]);
            assert_eq!(reason.to_string(), name);
            all |= reason;
        }
        assert!(all.is_all());
        assert_eq!(all.numbers().collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!((Reasons::TIMEOUT | Reasons::READ).to_string(), "read and timeout");
    }
}
