//! The loader's maximum on a machine, measured once and stored in the user's cache.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::PROFILE;
use crate::atomic_file;
use crate::error::Error;

/// What helps against a file that cannot be used.
pub(super) const REMEDY: &str = "write it again with 'loadgen calibrate -o FILE'";

/// The results of `loadgen calibrate`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Calibration {
    /// Version and build of the program that measured.
    pub(crate) loadgen_version: String,
    pub(crate) loadgen_profile: String,
    pub(crate) kernel: String,
    pub(crate) cpu_model: Option<String>,
    /// Time of the measurement, in seconds since 1970.
    pub(crate) made_unix_s: Option<u64>,
    /// Requests per second of one thread in a closed loop against an echo server.
    pub(crate) ceiling_per_s: f64,
    /// The rate at which the lateness was measured.
    pub(crate) lateness_rate_per_s: f64,
    /// The loader's own lateness, by the name of the pacing.
    pub(crate) lateness: BTreeMap<String, LatenessFloor>,
}

/// Percentiles of the loader's own lateness in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LatenessFloor {
    pub(crate) p50_ns: Option<u64>,
    pub(crate) p99_ns: Option<u64>,
    pub(crate) p999_ns: Option<u64>,
}

impl Calibration {
    /// The default path of the file; nothing for a user without a home.
    pub(crate) fn path() -> Option<PathBuf> {
        let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        cache_file(variable("XDG_CACHE_HOME").map(Into::into), variable("HOME").map(Into::into))
    }

    /// The calibration in the user's cache, if there is one.
    pub(super) fn stored() -> Option<Self> {
        Self::read(&Self::path()?).ok()
    }

    /// The calibration in a file.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let text = fs::read_to_string(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::BadResult {
                path: path.to_owned(),
                complaint: format!(
                    "there is no such calibration; make it with 'loadgen calibrate -o {}'",
                    path.display()
                ),
            },
            _ => atomic_file::failure("read the calibration", path)(error),
        })?;
        serde_json::from_str(&text).map_err(|error| Error::BadResult {
            path: path.to_owned(),
            complaint: format!("it is no calibration ({error}); {REMEDY}"),
        })
    }

    /// Whether this program measured it on this machine.
    pub(super) fn is_of(&self, kernel: &str, cpu_model: &Option<String>) -> bool {
        self.loadgen_version == env!("CARGO_PKG_VERSION")
            && self.loadgen_profile == PROFILE
            && self.kernel == kernel
            && self.cpu_model == *cpu_model
    }
}

/// By the rules of the XDG base directories: only an absolute path counts.
fn cache_file(cache: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    let cache = cache.filter(|path| path.is_absolute());
    let folder = cache.or_else(|| home.map(|home| home.join(".cache")))?;
    Some(folder.join("loadgen/calibration.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calibration() -> Calibration {
        let floor = LatenessFloor { p50_ns: Some(2_000), p99_ns: Some(9_000), p999_ns: None };
        Calibration {
            loadgen_version: env!("CARGO_PKG_VERSION").to_owned(),
            loadgen_profile: PROFILE.to_owned(),
            kernel: "6.1".to_owned(),
            cpu_model: Some("Fast".to_owned()),
            made_unix_s: Some(1_700_000_000),
            ceiling_per_s: 123_456.0,
            lateness_rate_per_s: 20_000.0,
            lateness: [("sleep".to_owned(), floor)].into(),
        }
    }

    #[test]
    fn a_stored_calibration_is_found_again() {
        let folder = test_needs::folder();
        let path = folder.path().join("calibration.json");
        let complaint = Calibration::read(&path).unwrap_err().to_string();
        let said = format!("make it with 'loadgen calibrate -o {}'", path.display());
        assert!(complaint.ends_with(&said), "{complaint}");
        fs::write(&path, serde_json::to_string(&calibration()).unwrap()).unwrap();
        assert_eq!(Calibration::read(&path).unwrap(), calibration());
        fs::write(&path, "{").unwrap();
        let complaint = Calibration::read(&path).unwrap_err().to_string();
        assert!(complaint.contains("it is no calibration"), "{complaint}");
        assert!(complaint.ends_with(REMEDY), "{complaint}");
    }

    #[test]
    fn another_machine_s_or_kernel_s_or_version_s_is_not_ours() {
        let (fast, slow) = (Some("Fast".to_owned()), Some("Slow".to_owned()));
        assert!(calibration().is_of("6.1", &fast));
        assert!(!calibration().is_of("6.2", &fast));
        assert!(!calibration().is_of("6.1", &slow));
        let old = Calibration { loadgen_version: "0.0.1".to_owned(), ..calibration() };
        assert!(!old.is_of("6.1", &fast));
    }

    #[test]
    fn the_cache_is_the_user_s() {
        let file = |cache: Option<&str>, home: Option<&str>| {
            let path = cache_file(cache.map(PathBuf::from), home.map(PathBuf::from))?;
            Some(path.display().to_string())
        };
        assert_eq!(file(Some("/c"), Some("/h")).unwrap(), "/c/loadgen/calibration.json");
        assert_eq!(file(Some("c"), Some("/h")).unwrap(), "/h/.cache/loadgen/calibration.json");
        assert_eq!(file(None, None), None);
    }
}
