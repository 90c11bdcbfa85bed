//! The verdict on a measurement, and the results of its objectives.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::IntoDeserializer;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::units::counted;

/// The verdict on a measurement, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Verdict {
    /// The rules found no fault.
    Valid,
    /// Something may have distorted it; see the reasons.
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
    /// The reasons of the verdict; empty for [`Verdict::Valid`].
    pub(crate) reasons: Vec<Reason>,
    /// Notes that do not lower the verdict: "overloaded", "co-located", ...
    pub(crate) labels: Vec<Reason>,
    /// The loader's part in each known percentile of the headline latency, and in its maximum, by
    /// the field's name. Older versions did not record it.
    #[serde(default)]
    pub(crate) percentiles: BTreeMap<String, LoaderPart>,
}

impl Validity {
    /// VALID, without reasons and notes.
    pub(crate) fn valid() -> Self {
        Self {
            verdict: Verdict::Valid,
            reasons: Vec::new(),
            labels: Vec::new(),
            percentiles: BTreeMap::new(),
        }
    }

    /// Whether a percentile of the headline latency, or "max", may be the loader's own delay.
    pub(crate) fn is_of_loader(&self, field: &str) -> bool {
        self.percentiles.get(field).is_some_and(|part| part.verdict != Verdict::Valid)
    }

    /// The verdict with its first reason, in a line, and how many reasons more there are.
    pub(crate) fn summary(&self) -> String {
        let Some((first, others)) = self.reasons.split_first() else {
            return self.verdict.to_string();
        };
        let more = match others.len() as u64 {
            0 => String::new(),
            count => format!(" (and {})", counted(count, "more reason")),
        };
        format!("{}: {}: {}{more}", self.verdict, first.code, first.text)
    }

    /// Whether it is labelled [`Code::CoLocated`].
    pub(crate) fn is_co_located(&self) -> bool {
        self.labels.iter().any(|label| label.code == Code::CoLocated)
    }
}

/// How much of a value may be the loader's own delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LoaderPart {
    /// VALID up to a tenth of the value, SUSPECT up to half of it.
    pub(crate) verdict: Verdict,
    /// Without the loader's delays, the value could be smaller by so much.
    pub(crate) at_most_ns: u64,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reason {
    pub(crate) code: Code,
    /// The verdict that it causes; [`Verdict::Valid`] for a label.
    pub(crate) level: Verdict,
    /// A sentence with the figures and the remedy.
    pub(crate) text: String,
}

/// One service-level objective and its result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SloRecord {
    /// As given, such as "p99<1ms".
    pub(crate) objective: String,
    /// Whether the measured value meets it; null if that is not known.
    pub(crate) met: Option<bool>,
    /// Whether the true value does, at the 95 % level.
    pub(crate) decision: Decision,
    /// The measured value, with its unit.
    pub(crate) found: String,
}

/// The decision about an objective at the 95 % level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Decision {
    /// It is met.
    Passed,
    /// It is missed.
    Failed,
    /// The measurement does not say. A longer one may.
    Undecided,
}

/// The kind of a finding, a stable word for scripts. `validity/rules` has the meaning of each code.
/// `loadgen merge` finds the last ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", remote = "Self")]
pub(crate) enum Code {
    NothingMeasured,
    LoaderLate,
    LoaderStalled,
    LoaderDelay,
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
    /// Lines of `--json-stream` were lost.
    StreamLost,
    /// The number of unsent requests is computed from the rate.
    Estimated,
    /// Loader and server shared processors.
    CoLocated,
    DebugBuild,
    /// An agent was lost before the end of the run.
    AgentLost,
    /// The agents did not begin at one time.
    StartSkew,
    /// The server answered one agent later than the others.
    AgentsDiffer,
    Merged,
    NotSimultaneous,
    SameSeed,
    Servers,
    EnvironmentsDiffer,
    /// A code of another version.
    #[serde(untagged)]
    Other(String),
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

/// Anything but a string is an error.
impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::deserialize(IntoDeserializer::<D::Error>::into_deserializer(text))
    }
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
    fn a_verdict_in_one_line_names_its_first_reason_and_counts_the_others() {
        let reason = |code, level| Reason { code, level, text: "p99 1 ms".to_owned() };
        let mut validity = Validity::valid();
        assert_eq!(validity.summary(), "VALID");
        validity.verdict = Verdict::Invalid;
        validity.reasons.push(reason(Code::LoaderLate, Verdict::Invalid));
        assert_eq!(validity.summary(), "INVALID: loader-late: p99 1 ms");
        validity.reasons.push(reason(Code::LoaderCpu, Verdict::Suspect));
        assert_eq!(validity.summary(), "INVALID: loader-late: p99 1 ms (and 1 more reason)");
    }

    #[test]
    fn a_code_is_shown_as_it_stands_in_the_file() {
        assert_eq!(serde_json::to_string(&Code::BelowRate).unwrap(), "\"below-rate\"");
        assert_eq!(Code::BelowRate.to_string(), "below-rate");
    }

    #[test]
    fn a_code_that_is_no_string_is_an_error_that_says_so() {
        for text in ["null", "5", "{\"loader-late\": null}"] {
            let error = serde_json::from_str::<Code>(text).unwrap_err().to_string();
            assert!(error.contains("expected a string"), "{error}");
        }
    }

    #[test]
    fn a_code_of_another_version_is_kept() {
        let code: Code = serde_json::from_str("\"too-warm\"").unwrap();
        assert_eq!(code, Code::Other("too-warm".to_owned()));
        assert_eq!(serde_json::to_string(&code).unwrap(), "\"too-warm\"");
        assert_eq!(code.to_string(), "too-warm");
    }
}
