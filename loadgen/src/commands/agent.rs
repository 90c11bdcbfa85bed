//! `loadgen agent`: a part of a run, for a coordinator.

use std::env;
use std::io::{self, BufReader};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::cli::{self, AgentArgs, Command, Invocation};
use crate::error::Error;
use crate::fleet::{self, Identity};
use crate::interrupt::Interrupt;
use crate::options::Options;

/// Where schedulers of clusters put the rank of a process.
const RANK_VARIABLES: [&str; 4] =
    ["JOB_COMPLETION_INDEX", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK"];

/// Time between two attempts to reach the coordinator.
const DIAL_AGAIN: Duration = Duration::from_millis(200);

/// Serves a coordinator.
pub(super) fn agent(args: AgentArgs, interrupt: &Interrupt) -> Result<u8, Error> {
    let (Some(address), Some(token_file)) = (&args.connect, &args.token_file) else {
        let reader = BufReader::new(io::stdin());
        return fleet::serve(reader, io::stdout(), Identity::default(), interrupt, &options);
    };
    let rank = args.rank.or_else(|| {
        RANK_VARIABLES.iter().find_map(|name| env::var(name).ok()?.trim().parse().ok())
    });
    let identity = Identity { rank, token: Some(cli::token(token_file)?) };
    let socket = dial(address, *args.connect_timeout, interrupt)?;
    let reader = BufReader::new(socket.try_clone().map_err(Error::Start)?);
    fleet::serve(reader, socket, identity, interrupt, &options)
}

/// The options that the words of a plan stand for.
fn options(words: &[String]) -> Result<Options, Error> {
    let words = ["loadgen"].into_iter().chain(words.iter().map(String::as_str));
    match cli::parse(words)? {
        Invocation::Do(Command::Run(args)) => Options::try_from(*args),
        _ => Err(Error::Usage("an agent carries out parts of 'loadgen run' only".to_owned())),
    }
}

/// Connects to the coordinator, which may start later.
fn dial(address: &str, within: Duration, interrupt: &Interrupt) -> Result<TcpStream, Error> {
    let begun = Instant::now();
    loop {
        match TcpStream::connect(address) {
            Ok(socket) => {
                socket.set_nodelay(true).map_err(Error::Start)?;
                return Ok(socket);
            }
            Err(_) if interrupt.is_requested() => return Err(Error::Interrupted),
            Err(source) if begun.elapsed() >= within => {
                return Err(Error::DialCoordinator { address: address.to_owned(), source, within });
            }
            Err(_) => thread::sleep(DIAL_AGAIN),
        }
    }
}
