//! The codes of findings: stable words for scripts.

use std::fmt;

use serde::{Deserialize, Serialize};

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
