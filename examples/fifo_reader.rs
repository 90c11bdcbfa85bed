//! A descriptor and a signal in one loop: prints what is written to a named pipe, and removes the
//! pipe at Ctrl-C.
//!
//! ```text
//! $ cargo run --example fifo_reader       # or with a path, instead of event.fifo
//! reading event.fifo; write to it from another shell, end with Ctrl-C
//! 6 bytes: "hello\n"                      # after: echo hello > event.fifo
//! ^Cremoved event.fifo
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::fs::{File, OpenOptions, remove_file};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::process::Command;

use evshard::{Config, EventBase, EventSpec, Fired, Interest, Registry};

fn on_readable(_: &mut Registry<File>, pipe: &mut File, _: Fired) {
    let mut buffer = [0; 4096];
    // It fails only if another reader of the pipe was faster.
    let Ok(n) = pipe.read(&mut buffer) else { return };
    println!("{n} bytes: {:?}", String::from_utf8_lossy(&buffer[..n]));
}

/// Opens the pipe, and makes it first if it is missing.
fn open_pipe(path: &str) -> Result<File, String> {
    if !Path::new(path).exists() {
        // mkfifo prints the reason itself if it fails.
        let made = Command::new("mkfifo").arg(path).status();
        made.map_err(|error| format!("cannot run mkfifo: {error}"))?;
    }
    // Also for writing: a pipe with a writer has no end of file, so writers may come at any time.
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(libc::O_NONBLOCK);
    let pipe = options.open(path).map_err(|error| format!("cannot open {path}: {error}"))?;
    let is_pipe = pipe.metadata().is_ok_and(|data| data.file_type().is_fifo());
    if is_pipe { Ok(pipe) } else { Err(format!("{path} is no named pipe; give another path")) }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).unwrap_or("event.fifo".to_owned());
    let mut pipe = open_pipe(&path)?;
    let mut base = EventBase::new(Config::default())?;
    let registry = base.registry();
    let readable = EventSpec::io(&pipe, Interest::READ).persist();
    let readable = registry.create(readable, on_readable);
    registry.add(readable, None)?;
    let interrupt = EventSpec::signal(libc::SIGINT);
    let interrupt = registry.create(interrupt, |registry, _, _| registry.loop_exit());
    registry.add(interrupt, None)?;
    println!("reading {path}; write to it from another shell, end with Ctrl-C");
    base.run(&mut pipe)?;
    remove_file(&path).map_err(|error| format!("cannot remove {path}: {error}"))?;
    println!("removed {path}");
    Ok(())
}
