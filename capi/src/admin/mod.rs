//! Pages that show what the loops of the process do, for an operator: `EVSHARD_ADMIN`.
//!
//! A base has a record if the environment requests it. Its loop writes there, and a thread of the
//! library's own reads it when a client asks. The two share nothing else.
//!
//! A child of `fork(2)` has no such thread. It starts one when it makes a base, or runs or renews
//! one of its parent's.

mod http;
mod observed;
mod pages;
mod server;
mod settings;
mod snapshot;
mod socket;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;

use crate::abi::access::log;
use crate::abi::access::{is_privileged_for_caller, process};
use crate::record::Record;
use observed::{Observed, program_name};
use server::Prepared;
use settings::Settings;
use socket::{NoSocket, Socket, SocketFile};

/// What this process, or the one that has forked it, has observed.
static CURRENT: Mutex<Option<Current>> = Mutex::new(None);

/// How long a thread waits for the lock. No thread holds it for long, but a child of a process
/// that forked at that moment would wait for ever. Its bases are not observed.
const LOCK_TIME: Duration = Duration::from_secs(1);

struct Current {
    observed: Arc<Observed>,
    file: Option<SocketFile>,
}

/// A record for a new base, if the environment requests one.
pub(crate) fn new_record(backend: &'static str) -> Option<Arc<Record>> {
    let settings = settings()?;
    let record = Arc::new(Record::new(backend, settings.slow_limit));
    join(&record);
    Some(record)
}

/// Makes the base one of this process, if it was made by the process that has forked this one.
pub(crate) fn join(record: &Arc<Record>) {
    let process = std::process::id();
    let Some(settings) = settings().filter(|_| record.process() != process) else { return };
    let Some(mut current) = CURRENT.try_lock_for(LOCK_TIME) else { return };
    let mut warning = None;
    if current.as_ref().is_none_or(|current| current.observed.process != process) {
        let is_child = current.is_some();
        let (new, problem) = begin(settings, process);
        // A child of a process whose path is for one process only is not observed.
        warning = problem.filter(|(_, is_in_use)| !(is_child && *is_in_use));
        *current = Some(new);
    }
    let observed = current.as_ref().map(|current| Arc::clone(&current.observed));
    drop(current);
    if let Some(observed) = observed {
        observed.add(record);
    }
    if let Some((warning, _)) = warning {
        log::warn(&warning);
    }
}

fn settings() -> Option<&'static Settings> {
    static SETTINGS: OnceLock<Option<Settings>> = OnceLock::new();
    let mut warnings = Vec::new();
    let settings = SETTINGS.get_or_init(|| {
        if is_privileged_for_caller() {
            return None;
        }
        let (settings, problems) = Settings::read(|name| std::env::var_os(name));
        warnings = problems;
        settings
    });
    // The program's function for messages may make a base.
    warnings.iter().for_each(|warning| log::warn(warning));
    settings.as_ref()
}

/// Begins to observe this process. Why there are no pages, and whether because another process has
/// the path.
fn begin(settings: &Settings, process: u32) -> (Current, Option<(String, bool)>) {
    let program = program_name();
    let mut observed = Observed::new(process, program, settings.slow_limit.ns);
    let Some(template) = &settings.socket else {
        return (Current { observed: Arc::new(observed), file: None }, None);
    };
    observed.path = template.of_process(process, &observed.program);
    observed.path_has_pid = template.has_pid();
    let observed = Arc::new(observed);
    let (file, problem) = match serve(&observed) {
        Ok(file) => (Some(file), None),
        Err(problem) => (None, Some(problem)),
    };
    (Current { observed, file }, problem)
}

/// Binds the socket and starts the thread.
fn serve(observed: &Arc<Observed>) -> Result<SocketFile, (String, bool)> {
    let problem = |why: &dyn std::fmt::Display, is_in_use| {
        (format!("EVSHARD_ADMIN: no pages on {}: {why}", observed.path.display()), is_in_use)
    };
    let socket = Socket::bind(observed.path.clone())
        .map_err(|error| problem(&error, matches!(error, NoSocket::InUse)))?;
    let Socket { listener, file } = socket;
    let started = Prepared::new(listener, Arc::clone(observed))
        .map_err(|error| error.to_string())
        .and_then(|prepared| {
            process::spawn_without_signals("evshard-admin", || prepared.run())
                .map_err(|error| format!("pthread_create: {error}"))
        });
    if let Err(why) = started {
        file.remove();
        return Err(problem(&why, false));
    }
    static AT_EXIT: OnceLock<()> = OnceLock::new();
    AT_EXIT.get_or_init(|| process::at_exit(remove_socket));
    Ok(file)
}

/// Removes the socket of this process when it ends.
extern "C" fn remove_socket() {
    if let Some(current) = CURRENT.try_lock()
        && let Some(Current { observed, file: Some(file) }) = &*current
        && observed.process == std::process::id()
    {
        file.remove();
    }
}
