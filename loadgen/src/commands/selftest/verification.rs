//! A server that makes one mistake in thousands of replies: is it found, and located?

use std::time::Duration;

use super::Check;
use crate::commands::echo_server::{self, Behaviour};
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::record::{Counters, Record};
use crate::units::counted;
use crate::wire::Mismatch;

const SIZE_BYTES: u64 = 64;

/// Where the mistake is: request 50, byte 17.
const REQUEST: u64 = 50;
const OFFSET: u64 = 17;
const AT_BYTE: u64 = REQUEST * SIZE_BYTES + OFFSET;

/// One connection, so that the server's bytes are the connection's.
const FLAGS: &str = "-c 1 --size 64 --duration 200ms --warmup 0s --timeout 100ms";

/// Longer than the timeout. The connection that replaces the first may have to wait for the rest.
const LATE: Duration = Duration::from_millis(150);

/// Has every mistake made once.
pub(super) fn check(interrupt: &Interrupt) -> Result<Vec<Check>, Error> {
    let run = |behaviour| -> Result<Record, Error> {
        Ok(echo_server::measure(behaviour, FLAGS, interrupt)?.record)
    };
    Ok(vec![
        none(&run(Behaviour::Faithful)?.counters),
        located("a wrong byte", &run(Behaviour::Flip { at_byte: AT_BYTE })?, OFFSET),
        // The byte after the missing one comes instead of it.
        lost(&run(Behaviour::Swallow { at_byte: AT_BYTE })?.counters),
        // The byte is there twice, so the next byte is wrong.
        located("a byte too many", &run(Behaviour::Insert { at_byte: AT_BYTE })?, OFFSET + 1),
        late(&run(Behaviour::Stall { at_byte: AT_BYTE, length: LATE })?.counters),
    ])
}

fn none(counters: &Counters) -> Check {
    Check {
        name: "no mistake",
        passed: !counters.has_errors() && counters.measured > 0,
        figures: format!("{}, {} wrong", counted(counters.completed, "reply"), counters.mismatches),
    }
}

fn located(name: &'static str, record: &Record, offset_bytes: u64) -> Check {
    let first = record.runs.first().and_then(|run| run.first_mismatch.as_ref());
    let is_there =
        |found: &Mismatch| (found.request, found.offset_bytes) == (REQUEST, offset_bytes);
    let place = first.map_or("nowhere".to_owned(), |found| {
        format!("in request {}, offset {}", found.request, found.offset_bytes)
    });
    Check {
        name,
        passed: record.counters.mismatches == 1 && first.is_some_and(is_there),
        figures: format!("found {place}; made in request {REQUEST}, offset {OFFSET}"),
    }
}

/// In a closed loop no byte follows that could come instead of the missing one at the end of a
/// reply; so it is a wrong byte, or a reply that never ends.
fn lost(counters: &Counters) -> Check {
    Check {
        name: "a missing byte",
        passed: counters.mismatches + counters.timeouts == 1,
        figures: format!(
            "{}, {}",
            counted(counters.mismatches, "wrong reply"),
            counted(counters.timeouts, "timeout")
        ),
    }
}

fn late(counters: &Counters) -> Check {
    Check {
        name: "a late reply",
        passed: counters.timeouts >= 1 && counters.mismatches == 0,
        figures: format!("{} timed out; a reply took {} ms", counters.timeouts, LATE.as_millis()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loader_that_overlooks_a_mistake_fails() {
        let blind = Counters { measured: 9, completed: 9, ..Counters::default() };
        assert!(none(&blind).passed && !lost(&blind).passed && !late(&blind).passed);
        assert!(!none(&Counters { mismatches: 1, ..blind.clone() }).passed);
        assert!(late(&Counters { timeouts: 1, ..blind }).passed);
    }
}
