//! Where and when a run took place, for the record. What cannot be found out is left empty.

use std::env;
use std::fs;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::options::Options;

/// The machine and the moment of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Environment {
    /// Version of this program.
    pub(crate) loadgen_version: String,
    /// Kernel release.
    pub(crate) kernel: String,
    /// Model name of the processor.
    pub(crate) cpu_model: Option<String>,
    /// Processors this process may use.
    pub(crate) cpus: Option<usize>,
    /// Start of the run in seconds since 1970.
    pub(crate) started_unix_s: Option<u64>,
    /// The command line.
    pub(crate) command: String,
}

impl Environment {
    /// Describes this machine now, and how loader and target share it.
    pub(crate) fn capture(_options: &Options) -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        let words = env::args_os().map(|word| quoted(&word.to_string_lossy()));
        Self {
            loadgen_version: env!("CARGO_PKG_VERSION").to_owned(),
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            cpu_model: fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| cpu_model(&text)),
            cpus: thread::available_parallelism().ok().map(Into::into),
            started_unix_s: since_1970.ok().map(|time| time.as_secs()),
            command: words.collect::<Vec<_>>().join(" "),
        }
    }
}

fn cpu_model(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The word as a shell would need it.
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
    use super::*;

    #[test]
    fn the_cpu_model_is_the_first_model_name() {
        let text = "processor\t: 0\nmodel name\t: Fast CPU @ 3 GHz\nmodel name\t: other\n";
        assert_eq!(cpu_model(text).as_deref(), Some("Fast CPU @ 3 GHz"));
        assert_eq!(cpu_model("processor : 0\n"), None);
    }

    #[test]
    fn words_that_a_shell_would_split_are_quoted() {
        assert_eq!(quoted("--size=16KiB"), "--size=16KiB");
        assert_eq!(quoted("my file"), "'my file'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
