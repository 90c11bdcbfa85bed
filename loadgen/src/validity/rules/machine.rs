//! Whether the machine belonged to the measurement.

use super::super::evidence::Evidence;
use super::percent;
use crate::environment::Sharing;
use crate::record::{Code, Reason};

/// Share of all processors' time that may be stolen.
const STEAL_SUSPECT: f64 = 0.01;

/// The hypervisor gave processor time to others.
pub(super) fn steal(evidence: &Evidence<'_>) -> Option<Reason> {
    let stolen = evidence.run.steal_share.filter(|&share| share > STEAL_SUSPECT)?;
    let text = format!(
        "the hypervisor took {} of the processor time for others; measure on a machine of your own",
        percent(stolen)
    );
    Some(Reason::suspect(Code::Steal, text))
}

/// Loader and server take time from each other: what is slow may be either.
pub(super) fn co_located(evidence: &Evidence<'_>) -> Option<Reason> {
    evidence.env.sharing.filter(|sharing: &Sharing| sharing.is_co_located()).map(|_| {
        let text = "loader and server share processors: latencies contain both, and the rate is \
                    that of both together; use another machine, or separate cores (--pin)";
        Reason::label(Code::CoLocated, text.to_owned())
    })
}

/// The loader was built without optimisation.
pub(super) fn debug_build(evidence: &Evidence<'_>) -> Option<Reason> {
    (evidence.env.loadgen_profile == "debug").then(|| {
        let text = "this loadgen is a debug build, several times slower; build it with --release";
        Reason::label(Code::DebugBuild, text.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{codes, one};
    use super::*;
    use crate::record::Verdict::{Suspect, Valid};
    use crate::record::tests::sample;

    #[test]
    fn one_percent_of_stolen_time_is_the_most() {
        assert_eq!(codes(sample::open(), |_, run| run.steal_share = Some(0.01)), []);
        let found = codes(sample::open(), |_, run| run.steal_share = Some(0.011));
        assert_eq!(found, one(Code::Steal, Suspect));
    }

    #[test]
    fn shared_processors_are_a_label() {
        for (sharing, shared) in [
            (Sharing::SeparateMachines, false),
            (Sharing::SeparateProcessors, false),
            (Sharing::SharedProcessors, true),
        ] {
            let found = codes(sample::closed(), |record, _| record.env.sharing = Some(sharing));
            assert_eq!(found, if shared { one(Code::CoLocated, Valid) } else { vec![] });
        }
    }

    #[test]
    fn a_debug_build_says_so() {
        let found = codes(sample::open(), |record, _| {
            record.env.loadgen_profile = "debug".to_owned();
        });
        assert_eq!(found, one(Code::DebugBuild, Valid));
    }
}
