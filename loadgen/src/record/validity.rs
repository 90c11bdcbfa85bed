//! Whether to believe a measurement, and whether it met its objectives.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How far a measurement can be believed, worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Verdict {
    /// There is no reason for doubt.
    Valid,
    /// Something may have distorted it; the reasons say what.
    Suspect,
    /// Its numbers do not describe the server.
    Invalid,
}

/// As in the file.
impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(formatter)
    }
}

/// The verdict and its reasons.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Validity {
    pub(crate) verdict: Verdict,
    /// Why the verdict is not better; empty for [`Verdict::Valid`].
    pub(crate) reasons: Vec<Reason>,
    /// What a reader must know although it does not lower the verdict: "overloaded",
    /// "co-located", ...
    pub(crate) labels: Vec<Reason>,
}

impl Validity {
    /// Nothing found.
    pub(crate) fn valid() -> Self {
        Self { verdict: Verdict::Valid, reasons: Vec::new(), labels: Vec::new() }
    }

    /// Whether it is labelled [`Code::CoLocated`].
    pub(crate) fn is_co_located(&self) -> bool {
        self.labels.iter().any(|label| label.code == Code::CoLocated)
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reason {
    pub(crate) code: Code,
    /// The verdict it leads to; [`Verdict::Valid`] for a label.
    pub(crate) level: Verdict,
    /// A sentence for people, with the figures and what to do.
    pub(crate) text: String,
}

/// One service-level objective and its result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SloRecord {
    /// As given, such as "p99<1ms".
    pub(crate) objective: String,
    /// Whether it was met; null when there are too few samples to know.
    pub(crate) met: Option<bool>,
    /// What was found, in words with units.
    pub(crate) found: String,
}

/// What a finding is about. `validity/rules` says what each code means; the last ones are of
/// `loadgen merge`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Code {
    NothingMeasured,
    LoaderLate,
    LoaderCpu,
    BelowRate,
    Overloaded,
    NearCeiling,
    Arrivals,
    NotSteady,
    FewSamples,
    Little,
    Preempted,
    MajorFaults,
    Steal,
    Errors,
    EndedEarly,
    Interrupted,
    CarriedBacklog,
    /// Loader and server shared processors.
    CoLocated,
    DebugBuild,
    Merged,
    NotSimultaneous,
    SameSeed,
    Servers,
    EnvironmentsDiffer,
    /// A code of another version.
    #[serde(untagged)]
    Other(String),
}

/// As in the file.
impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_shown_as_it_stands_in_the_file() {
        assert_eq!(serde_json::to_string(&Code::BelowRate).unwrap(), "\"below-rate\"");
        assert_eq!(Code::BelowRate.to_string(), "below-rate");
    }

    #[test]
    fn a_code_of_another_version_is_kept() {
        let code: Code = serde_json::from_str("\"too-warm\"").unwrap();
        assert_eq!(code, Code::Other("too-warm".to_owned()));
        assert_eq!(serde_json::to_string(&code).unwrap(), "\"too-warm\"");
        assert_eq!(code.to_string(), "too-warm");
    }
}
