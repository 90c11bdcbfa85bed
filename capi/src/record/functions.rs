//! How often each function of the program was called, and how long it took.

use super::counter::Counter;

/// Functions with numbers of their own. A program that is larger than nginx has some hundred
/// callbacks.
const SLOTS: usize = 512;
const SLOTS_LOG2: u32 = SLOTS.ilog2();
/// How many slots a function may be away from its own.
const PROBES: usize = 16;
/// The slot of the functions that find no slot.
const OTHERS: usize = SLOTS;

#[derive(Debug, Default)]
struct Slot {
    /// 0 while the slot is free.
    address: Counter,
    calls: Counter,
    total_ns: Counter,
    max_ns: Counter,
}

/// A table of functions by address.
#[derive(Debug)]
pub(crate) struct Functions(Box<[Slot]>);

/// What is known of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FunctionTimes {
    /// 0 for all functions that found no slot.
    pub(crate) address: u64,
    pub(crate) calls: u64,
    pub(crate) total_ns: u64,
    pub(crate) max_ns: u64,
}

impl Default for Functions {
    fn default() -> Self {
        Self((0..=OTHERS).map(|_| Slot::default()).collect())
    }
}

impl Functions {
    /// The number of a function's slot. It gets one if there is one.
    #[inline]
    pub(crate) fn slot_of(&self, address: u64) -> u16 {
        // Fibonacci hashing: the upper bits of the product depend on all bits of the address.
        let first = (address.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - SLOTS_LOG2)) as usize;
        for probe in 0..PROBES {
            let number = (first + probe) % SLOTS;
            let known = self.0[number].address.get();
            if known == 0 {
                self.0[number].address.set(address);
            }
            if known == 0 || known == address {
                return number as u16;
            }
        }
        OTHERS as u16
    }

    #[inline]
    pub(crate) fn record(&self, slot: u16, ns: u64) {
        let slot = &self.0[usize::from(slot)];
        slot.calls.add(1);
        slot.total_ns.add(ns);
        slot.max_ns.raise_to(ns);
    }

    /// The address of the function in a slot; 0 if there is none.
    pub(crate) fn address(&self, slot: u16) -> u64 {
        self.0.get(usize::from(slot)).map_or(0, |slot| slot.address.get())
    }

    /// Forgets all calls. Functions keep their slots.
    pub(crate) fn reset(&self) {
        for Slot { calls, total_ns, max_ns, .. } in &self.0 {
            [calls, total_ns, max_ns].iter().for_each(|counter| counter.set(0));
        }
    }

    /// The functions that were called.
    pub(crate) fn copy(&self) -> Vec<FunctionTimes> {
        let copies = self.0.iter().map(|slot| FunctionTimes {
            address: slot.address.get(),
            calls: slot.calls.get(),
            total_ns: slot.total_ns.get(),
            max_ns: slot.max_ns.get(),
        });
        copies.filter(|function| function.calls > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_one_function_are_added_up_apart_from_those_of_others() {
        let functions = Functions::default();
        for (address, ns) in [(0x1000, 5), (0x2000, 7), (0x1000, 3)] {
            let slot = functions.slot_of(address);
            assert_eq!(functions.address(slot), address);
            functions.record(slot, ns);
        }
        let mut copy = functions.copy();
        copy.sort_by_key(|function| function.address);
        let first = FunctionTimes { address: 0x1000, calls: 2, total_ns: 8, max_ns: 5 };
        let second = FunctionTimes { address: 0x2000, calls: 1, total_ns: 7, max_ns: 7 };
        assert_eq!(copy, [first, second]);
    }

    #[test]
    fn more_functions_than_slots_are_counted_together_and_none_is_lost() {
        let functions = Functions::default();
        for number in 1..=2_000_u64 {
            functions.record(functions.slot_of(0x40_0000 + number * 16), 1);
        }
        let copy = functions.copy();
        assert_eq!(copy.iter().map(|function| function.calls).sum::<u64>(), 2_000);
        let others = copy.iter().find(|function| function.address == 0).expect("some are left");
        assert!((2_000 - SLOTS as u64..1_900).contains(&others.calls), "{}", others.calls);
    }
}
