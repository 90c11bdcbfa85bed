//! The machine and the time of a run, for the record. An unknown value is null, not zero.
//!
//! ```text
//! processors   the processors, what slows them down or delays their wake-up, and stolen time
//! system       the kernel, its settings and limits
//! sharing      whether loader and server share processors
//! calibration  the loader's maximum on this machine, if it was measured
//! concerns     reasons not to measure here, in sentences
//! ```

pub(crate) mod calibration;
pub(crate) mod concerns;
mod file;
mod processors;
mod sharing;
mod system;

use std::env;
use std::path::Path;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use self::calibration::{Calibration, REMEDY};
use self::processors::Processors;
pub(crate) use self::processors::{CpuList, Steal};
pub(crate) use self::sharing::Sharing;
use self::system::System;
use crate::error::Error;
use crate::options::Target;

/// Version of this program.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The same with the commit of its sources, if that is known.
pub(crate) const VERSION_WITH_COMMIT: &str = env!("VERSION_WITH_COMMIT");

/// How this program was built. A debug build must not measure.
const PROFILE: &str = if cfg!(debug_assertions) { "debug" } else { "release" };

/// The machine and the moment of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Environment {
    /// Version of this program.
    pub(crate) loadgen_version: String,
    /// "debug" or "release".
    pub(crate) loadgen_profile: String,
    /// The command line.
    pub(crate) command: String,
    /// Start of the run in seconds since 1970.
    pub(crate) started_unix_s: Option<u64>,
    /// Kernel release.
    pub(crate) kernel: String,
    /// Model name of the processor.
    pub(crate) cpu_model: Option<String>,
    /// Processors that this process may use, limited by its cgroup's quota.
    pub(crate) cpus: Option<usize>,
    /// Processors the loader's threads may use, as the kernel lists them ("0-3").
    pub(crate) loader_cpus: Option<CpuList>,
    /// Whether loader and server share processors, if known.
    pub(crate) sharing: Option<Sharing>,
    pub(crate) processors: Processors,
    pub(crate) system: System,
    /// The loader's maximum here, if `loadgen calibrate` has measured it.
    pub(crate) calibration: Option<Calibration>,
}

impl Environment {
    /// Describes this machine now, and how loader and target share it. The loader's threads are
    /// bound to the processors `pinned`.
    pub(crate) fn capture(target: &Target, pinned: Option<CpuList>) -> Self {
        let mut environment = Self::of_machine();
        environment.loader_cpus = pinned.or(environment.loader_cpus);
        environment.sharing = sharing::of(target, environment.loader_cpus.as_ref());
        environment
    }

    /// Describes this machine now, without a target.
    pub(crate) fn of_machine() -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        let words = env::args_os().map(|word| word.to_string_lossy().into_owned());
        let words = without_secrets(words).map(|word| quoted(&word));
        let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
        let cpu_info = file::text("/proc/cpuinfo").unwrap_or_default();
        let cpu_model = processors::model(&cpu_info);
        Self {
            loadgen_version: VERSION.to_owned(),
            loadgen_profile: PROFILE.to_owned(),
            command: words.collect::<Vec<_>>().join(" "),
            started_unix_s: since_1970.ok().map(|time| time.as_secs()),
            cpus: thread::available_parallelism().ok().map(Into::into),
            loader_cpus: CpuList::of_this_process(),
            sharing: None,
            processors: Processors::capture(&cpu_info),
            system: System::capture(),
            calibration: Calibration::stored().filter(|found| found.is_of(&kernel, &cpu_model)),
            kernel,
            cpu_model,
        }
    }

    /// Compares with the calibration in this file, which must be of this program and machine.
    pub(crate) fn calibrate_by(&mut self, path: &Path) -> Result<(), Error> {
        let found = Calibration::read(path)?;
        if !found.is_of(&self.kernel, &self.cpu_model) {
            let complaint = format!(
                "it is of loadgen {} ({}), kernel {} and processor {}, not of this program and \
                 machine; {REMEDY}",
                found.loadgen_version,
                found.loadgen_profile,
                found.kernel,
                found.cpu_model.as_deref().unwrap_or("unknown")
            );
            return Err(Error::BadResult { path: path.to_owned(), complaint });
        }
        self.calibration = Some(found);
        Ok(())
    }

    /// Updates the sharing with the processors of the server, which are known once it runs.
    pub(crate) fn server_may_use(&mut self, cpus_allowed: &str) {
        if self.sharing != Some(Sharing::SeparateMachines)
            && let (Some(loader), Ok(server)) = (&self.loader_cpus, cpus_allowed.parse())
        {
            self.sharing = Some(sharing::on_one_machine(loader, &server));
        }
    }
}

/// The kernel's number of this boot: no other machine has it, and containers share it.
pub(crate) fn boot_id() -> Option<String> {
    file::text("/proc/sys/kernel/random/boot_id")
}

/// The flags whose values are secrets.
const SECRETS: [&str; 1] = ["--authenticate"];

/// The words of a command line, with stars for the values that are secrets.
fn without_secrets(words: impl Iterator<Item = String>) -> impl Iterator<Item = String> {
    let mut is_secret = false;
    words.map(move |word| {
        let is_this = std::mem::replace(&mut is_secret, SECRETS.contains(&word.as_str()));
        let flag = word.split_once('=').map(|(flag, _)| flag);
        match flag.filter(|flag| SECRETS.contains(flag)) {
            _ if is_this => "***".to_owned(),
            Some(flag) => format!("{flag}=***"),
            None => word,
        }
    })
}

/// The word, quoted for a shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+[]".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn words_that_a_shell_would_split_are_quoted() {
        assert_eq!(quoted("--size=16KiB"), "--size=16KiB");
        assert_eq!(quoted("my file"), "'my file'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn a_password_is_not_recorded() {
        let words = "loadgen run --authenticate a:b --authenticate=c:d --seed 1";
        let shown: Vec<String> = without_secrets(words.split(' ').map(str::to_owned)).collect();
        assert_eq!(shown.join(" "), "loadgen run --authenticate *** --authenticate=*** --seed 1");
    }

    fn captured(pinned: &str) -> Environment {
        let target = Target::Tcp("127.0.0.1:5555".to_owned());
        Environment::capture(&target, Some(pinned.parse().unwrap()))
    }

    #[test]
    fn what_is_written_can_be_read_again() {
        let captured = captured("0");
        let text = serde_json::to_string(&captured).unwrap();
        assert_eq!(serde_json::from_str::<Environment>(&text).unwrap(), captured);
    }

    #[test]
    fn a_record_of_an_older_version_is_read_as_far_as_it_goes() {
        let old = r#"{"loadgen_version": "0.1.0", "kernel": "5.10", "command": "loadgen run"}"#;
        let read: Environment = serde_json::from_str(old).unwrap();
        assert_eq!((&*read.kernel, read.sharing, read.cpus), ("5.10", None, None));
    }

    #[test]
    fn a_calibration_of_another_machine_is_refused_and_one_of_this_machine_is_used() {
        let folder = test_needs::folder();
        let path = folder.path().join("calibration.json");
        let mut environment = captured("0");
        let mut calibration = crate::record::tests::sample::calibration(1e5);
        let write = |found: &Calibration| fs::write(&path, serde_json::to_vec(found).unwrap());
        write(&calibration).unwrap();
        let complaint = environment.calibrate_by(&path).unwrap_err().to_string();
        assert!(complaint.contains("kernel 6.1 and processor unknown"), "{complaint}");
        calibration.loadgen_version = environment.loadgen_version.clone();
        calibration.loadgen_profile = environment.loadgen_profile.clone();
        calibration.kernel = environment.kernel.clone();
        calibration.cpu_model = environment.cpu_model.clone();
        write(&calibration).unwrap();
        environment.calibrate_by(&path).unwrap();
        assert_eq!(environment.calibration, Some(calibration));
    }

    #[test]
    fn where_the_server_may_run_settles_what_is_shared() {
        let mut environment = captured("900");
        environment.server_may_use("901-902");
        assert_eq!(environment.sharing, Some(Sharing::SeparateProcessors));
        environment.server_may_use("0-900");
        assert_eq!(environment.sharing, Some(Sharing::SharedProcessors));
        environment.sharing = Some(Sharing::SeparateMachines);
        environment.server_may_use("0-900");
        assert_eq!(environment.sharing, Some(Sharing::SeparateMachines));
    }
}
