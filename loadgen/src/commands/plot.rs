//! `loadgen plot`: a picture of values that other programs have measured.

use std::fs;
use std::io;

use crate::cli::PlotArgs;
use crate::console;
use crate::error::Error;
use crate::exit;
use crate::interrupt::Interrupt;
use crate::report::plot::Picture;

pub(super) fn plot(args: PlotArgs, interrupt: &Interrupt) -> Result<u8, Error> {
    let PlotArgs { description, out } = args;
    let output = out.open()?;
    let name = description.display().to_string();
    let read = move || {
        if description.as_os_str() == "-" {
            return io::read_to_string(io::stdin());
        }
        fs::read_to_string(&description)
    };
    let Some(text) = interrupt.or(read) else {
        console::say("interrupted; nothing was written");
        return Ok(exit::INTERRUPTED);
    };
    let picture = text
        .map_err(|error| format!("{error}; name a file, or - for standard input"))
        .and_then(|text| Picture::parse(&text))
        .map_err(|complaint| Error::Plot { name, complaint })?;
    output.write(&picture.svg())?;
    Ok(exit::OK)
}
