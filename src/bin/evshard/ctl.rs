//! `evshard ctl`: acts on a running server through its admin.

use std::error::Error;

use clap::{Args, Subcommand};

use super::admin_client::{AdminAddress, AdminArg, ClientError};
use super::print;

/// The action and its server.
#[derive(Args, Debug)]
pub(crate) struct Ctl {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Print the server's statistics as JSON.
    Stats(AdminArg),
    /// Drain the server: it stops accepting, finishes open connections and exits.
    Drain(AdminArg),
    /// Make the server read its configuration file and its certificates again, and print what
    /// became of each key. Keys that the server cannot change while it runs need a restart or an
    /// upgrade. If a file has an error, nothing changes.
    Reload(AdminArg),
}

impl Ctl {
    /// Runs the action and prints its result.
    pub(crate) fn run(&self) -> Result<(), Box<dyn Error>> {
        match &self.verb {
            Verb::Stats(to) => {
                let text = pretty(&to.admin, &to.admin.get("/stats")?.body)?;
                print(&format!("{text}\n"))?;
            }
            Verb::Drain(to) => {
                let answer = to.admin.post("/drain")?;
                print(&format!("{}: {}\n", to.admin, answer.body.trim()))?;
            }
            Verb::Reload(to) => print(&to.admin.post("/reload")?.body)?,
        }
        Ok(())
    }
}

/// Formats the document in lines.
fn pretty(address: &AdminAddress, body: &str) -> Result<String, ClientError> {
    let document = serde_json::from_str::<serde_json::Value>(body);
    document.and_then(|document| serde_json::to_string_pretty(&document)).map_err(|error| {
        ClientError::Strange { address: address.clone(), what: format!("its /stats is {error}") }
    })
}
