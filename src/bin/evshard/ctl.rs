//! `evshard ctl`: acting on a server that runs, through its admin.

use std::io;

use clap::{Args, Subcommand};

use super::admin_client::{AdminAddress, AdminArg, ClientError};
use super::print;

/// What to do with which server.
#[derive(Args, Debug)]
pub(crate) struct Ctl {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Print the server's numbers as JSON.
    Stats(AdminArg),
    /// Have the server leave: it stops accepting, finishes what is open and ends.
    Drain(AdminArg),
}

impl Ctl {
    /// Does it and prints what came of it.
    pub(crate) fn run(&self) -> Result<(), ClientError> {
        match &self.verb {
            Verb::Stats(to) => {
                let text = pretty(&to.admin, &to.admin.get("/stats")?.body)?;
                print(io::stdout(), format_args!("{text}\n"));
            }
            Verb::Drain(to) => {
                let answer = to.admin.post("/drain")?;
                print(io::stdout(), format_args!("{}: {}\n", to.admin, answer.body.trim()));
            }
        }
        Ok(())
    }
}

/// The document in lines, for eyes.
fn pretty(address: &AdminAddress, body: &str) -> Result<String, ClientError> {
    let document = serde_json::from_str::<serde_json::Value>(body);
    document.and_then(|document| serde_json::to_string_pretty(&document)).map_err(|error| {
        ClientError::Strange { address: address.clone(), what: format!("/stats is {error}") }
    })
}
