//! `loadgen import`: a file of requests from a log, from captured packets, or from MONITOR.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use crate::cli::ImportArgs;
use crate::console;
use crate::destination::Destination;
use crate::error::Error;
use crate::exit;
use crate::import::{ImportedFile, Selection, Source};
use crate::interrupt::Interrupt;
use crate::units::counted;

/// Whether the output would replace the input, by whatever name.
fn is_same_file(input: &Path, output: &Path) -> bool {
    let input = if input.as_os_str() == "-" { Path::new("/dev/stdin") } else { input };
    let (Ok(input), Ok(output)) = (fs::metadata(input), fs::metadata(output)) else { return false };
    input.is_file() && (input.dev(), input.ino()) == (output.dev(), output.ino())
}

pub(super) fn import(args: ImportArgs, interrupt: &Interrupt) -> Result<u8, Error> {
    let ImportArgs { source, file, out, port, select_db: database, first } = args;
    let usage = |text: &str| Err(Error::Usage(text.to_owned()));
    if port.is_some() && source != Source::Pcap {
        return usage("--port is for packets: leave it out, or write pcap");
    }
    if database.is_some() && source != Source::RedisMonitor {
        return usage("--select-db is for commands: leave it out, or write redis-monitor");
    }
    if let Destination::File(path) = &out
        && is_same_file(&file, path)
    {
        return Err(Error::Usage(format!(
            "--out {}: it is the file that is imported; name another file",
            path.display()
        )));
    }
    let selection = Selection { port, database, first: first.map(|first| first as usize) };
    let output = out.open()?;
    let name = file.display().to_string();
    let failure = |complaint: String| Error::Import { name: name.clone(), complaint };
    let read = move || -> Result<ImportedFile, String> {
        if file.as_os_str() == "-" {
            return ImportedFile::read(source, BufReader::new(io::stdin()), selection);
        }
        let input = File::open(&file)
            .map_err(|error| format!("{error}; name a file, or - for standard input"))?;
        ImportedFile::read(source, BufReader::new(input), selection)
    };
    let Some(import) = interrupt.or(read) else {
        console::say("interrupted; nothing was written");
        return Ok(exit::INTERRUPTED);
    };
    let import = import.map_err(failure)?;
    let (noun, advice) = match source {
        Source::NginxLog => ("request", "is it an access log?"),
        Source::Pcap => {
            ("request", "is it HTTP/1.1 without TLS, and captured on the way to the server?")
        }
        Source::RedisMonitor => ("command", "is it what redis-cli MONITOR has printed?"),
    };
    if import.count == 0 {
        let left_out = if import.left_out.is_empty() {
            String::new()
        } else {
            format!("; left out: {}", import.left_out)
        };
        return Err(failure(format!("no {noun} was found; {advice}{left_out}")));
    }
    output.write(&import.text)?;
    let span = Duration::from_millis(import.span_ns / 1_000_000);
    let span = humantime::format_duration(span);
    let requests = counted(import.count as u64, noun);
    console::say(&format!("{requests} within {span}"));
    if !import.left_out.is_empty() {
        console::say(&format!("left out: {}", import.left_out));
    }
    Ok(0)
}
