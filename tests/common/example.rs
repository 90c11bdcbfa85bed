//! The examples, run as users run them.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};

use super::{TEST_TIMEOUT, eventually};

/// An example that runs in a process of its own.
pub struct Example {
    pub child: Child,
    /// What it prints, line by line.
    lines: Receiver<String>,
}

impl Example {
    pub fn start(name: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(example_program(name));
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("start {name}: {error}"));
        let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let (to_test, lines) = channel();
        // A thread reads, so that the test can time out. It ends with the child's output.
        std::thread::spawn(move || {
            stdout.lines().map_while(Result::ok).try_for_each(|line| to_test.send(line))
        });
        Self { child, lines }
    }

    #[track_caller]
    pub fn line(&self) -> String {
        self.lines.recv_timeout(TEST_TIMEOUT).expect("it prints another line")
    }

    /// Sends a signal by the shell's built-in kill, because some machines lack the program.
    pub fn signal(&self, signal: &str) {
        let kill = format!("kill -{signal} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Waits for its end; returns how it ended and what it printed to standard error.
    pub fn end(&mut self) -> (ExitStatus, String) {
        let mut status = None;
        eventually("the example ends", || {
            status = self.child.try_wait().expect("wait for the example");
            status.is_some()
        });
        let mut errors = String::new();
        let stderr = self.child.stderr.as_mut().expect("stderr is piped");
        stderr.read_to_string(&mut errors).expect("read its errors");
        (status.expect("it ended"), errors)
    }

    /// Waits for its success; returns the lines it printed that were not taken yet.
    #[track_caller]
    pub fn rest(mut self) -> Vec<String> {
        let (status, errors) = self.end();
        assert!(status.success(), "{status}: {errors}");
        assert_eq!(errors, "");
        self.lines.iter().collect()
    }

    /// Waits for its failure; returns its error message.
    #[track_caller]
    pub fn failure(mut self) -> String {
        let (status, errors) = self.end();
        assert_eq!(status.code(), Some(1), "{errors}");
        assert_eq!(self.lines.iter().count(), 0, "a failure prints to standard error only");
        errors
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

/// The example's program, in the folder beside that of this test program.
#[track_caller]
pub fn example_program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test program has a path");
    let profile = test.ancestors().nth(2).expect("it lies two folders below the profile's");
    let program = profile.join("examples").join(name);
    let changed = |path: &Path| fs::metadata(path).and_then(|data| data.modified()).ok();
    let [file, folder] = [format!("{name}.rs"), format!("{name}/main.rs")];
    let source = changed(&sources().join(file)).or_else(|| changed(&sources().join(folder)));
    assert!(
        source.is_some() && changed(&program) >= source,
        "{} is missing or older than its source: cargo build --examples",
        program.display()
    );
    program
}
