//! `loadgen import`: a file of requests from a log or from captured packets.

use std::fs::File;
use std::io::{self, BufReader};
use std::time::Duration;

use crate::cli::ImportArgs;
use crate::console;
use crate::error::Error;
use crate::exit;
use crate::import::{Import, Source};
use crate::interrupt::Interrupt;
use crate::units::counted;

pub(super) fn import(args: ImportArgs, interrupt: &Interrupt) -> Result<u8, Error> {
    let ImportArgs { source, file, out, port } = args;
    if port.is_some() && source != Source::Pcap {
        return Err(Error::Usage("--port is for packets: leave it out, or write pcap".to_owned()));
    }
    let output = out.open()?;
    let name = file.display().to_string();
    let failure = |complaint: String| Error::Import { name: name.clone(), complaint };
    let read = move || -> Result<Import, String> {
        if file.as_os_str() == "-" {
            return Import::read(source, BufReader::new(io::stdin()), port);
        }
        let input = File::open(&file)
            .map_err(|error| format!("{error}; name a file, or - for standard input"))?;
        Import::read(source, BufReader::new(input), port)
    };
    let Some(import) = interrupt.or(read) else {
        console::say("interrupted; nothing was written");
        return Ok(exit::INTERRUPTED);
    };
    let import = import.map_err(failure)?;
    if import.requests.is_empty() {
        let left_out = if import.left_out.is_empty() {
            String::new()
        } else {
            format!("; left out: {}", import.left_out)
        };
        let advice = match source {
            Source::NginxLog => "is it an access log?",
            Source::Pcap => "is it HTTP/1.1 without TLS, and captured on the way to the server?",
        };
        return Err(failure(format!("no request was found; {advice}{left_out}")));
    }
    let mut text = String::new();
    import.lines().for_each(|line| text.extend([line.as_str(), "\n"]));
    output.write(&text)?;
    let span = Duration::from_millis(import.span_ns() / 1_000_000);
    let span = humantime::format_duration(span);
    let requests = counted(import.requests.len() as u64, "request");
    console::say(&format!("{requests} within {span}"));
    if !import.left_out.is_empty() {
        console::say(&format!("left out: {}", import.left_out));
    }
    Ok(0)
}
