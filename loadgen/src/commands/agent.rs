//! `loadgen agent`: a part of the load of a command, for its coordinator.

use std::env;

use crate::cli::{self, AgentArgs, Command, Invocation};
use crate::error::Error;
use crate::fleet;
use crate::interrupt::Interrupt;
use crate::options::{DialOut, Options};

/// Where schedulers of clusters put the rank of a process.
const RANK_VARIABLES: [&str; 4] =
    ["JOB_COMPLETION_INDEX", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK"];

/// Serves a coordinator.
pub(super) fn agent(args: AgentArgs, interrupt: &Interrupt) -> Result<u8, Error> {
    let (Some(to), Some(token_file)) = (args.connect, &args.token_file) else {
        return fleet::serve_streams(interrupt, &options);
    };
    let rank = args.rank.or_else(|| {
        RANK_VARIABLES.iter().find_map(|name| env::var(name).ok()?.trim().parse().ok())
    });
    let (token, within) = (cli::token(token_file)?, *args.connect_timeout);
    fleet::serve_dialled(&DialOut { to, token, rank, within }, interrupt, &options)
}

/// The options that the words of a plan stand for.
fn options(words: &[String]) -> Result<Options, Error> {
    let words = ["loadgen"].into_iter().chain(words.iter().map(String::as_str));
    match cli::parse(words)? {
        Invocation::Do(Command::Run(args)) => Options::try_from(*args),
        _ => Err(Error::Usage("an agent carries out parts of 'loadgen run' only".to_owned())),
    }
}
