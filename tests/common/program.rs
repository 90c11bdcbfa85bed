//! Another program in a process of its own, and the lines that it prints.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

/// A running program, which ends with this at the latest.
pub struct Program {
    pub child: Child,
    /// `None` ends its input.
    pub stdin: Option<ChildStdin>,
    /// What it prints, to both outputs.
    pub lines: Receiver<String>,
}

impl Program {
    pub fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdin = child.stdin.take();
        let (to_test, lines) = channel();
        let outputs: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for output in outputs {
            let to_test = to_test.clone();
            thread::spawn(move || {
                let lines = BufReader::new(output).lines();
                lines.map_while(Result::ok).try_for_each(|line| to_test.send(line))
            });
        }
        Self { child, stdin, lines }
    }

    pub fn input(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("it is open");
        stdin.write_all(text.as_bytes()).unwrap();
        stdin.flush().unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
