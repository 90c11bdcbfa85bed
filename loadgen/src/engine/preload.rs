//! Writes every key before the load, over streams of its own. These block: nothing is measured yet.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Instant;

use super::address::Address;
use super::connection::SettingUpStream;
use super::network::Interest;
use super::plan::{Plan, ranges};
use crate::error::Error;
use crate::options::Target;
use crate::tls::{Transport, is_transient};
use crate::wire::{Preload, SLICE_BYTES_MAX, SetupExchange};

/// A blocking socket.
trait Socket: Read + Write {}
impl<T: Read + Write> Socket for T {}

type Stream = Box<dyn Socket>;

/// Writes this process's part of the keys, if the plan asks for it. Each thread of the plan has a
/// stream, and a range of the keys. Returns how many keys were written.
pub(super) fn preload(plan: &Plan<'_>, address: &Address) -> Result<u64, Error> {
    let Some(spec) = plan.options.traffic.key_value.as_ref().filter(|spec| spec.preload) else {
        return Ok(0);
    };
    let keys = spec.keys.get();
    // Each process has as many ranges as the others, which follow each other.
    let of_all = ranges(keys, plan.threads_of_all().min(keys)).into_iter();
    let threads = plan.options.threads as usize;
    let own: Vec<_> = of_all.skip(plan.part.rank as usize * threads).take(threads).collect();
    let count = own.iter().map(|range| range.end - range.start).sum::<u32>();
    thread::scope(|scope| {
        let threads: Vec<_> = own
            .into_iter()
            .map(|range| {
                scope.spawn(move || write_keys(plan, address, range.start, range.end - range.start))
            })
            .collect();
        let written = threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|cause| std::panic::resume_unwind(cause)));
        // All threads are waited for, and the first failure is returned.
        written.collect::<Vec<_>>().into_iter().collect::<Result<(), Error>>()
    })?;
    Ok(count.into())
}

fn write_keys(plan: &Plan<'_>, address: &Address, first: u32, count: u32) -> Result<(), Error> {
    let failed =
        |complaint: String| Error::Preload { address: plan.options.target.to_string(), complaint };
    let Some(mut preload) = Preload::new(&plan.traffic, first, count) else { return Ok(()) };
    let mut buffer = vec![0; SLICE_BYTES_MAX];
    let mut transport = connect(plan, address, &mut buffer).map_err(failed)?;
    while !preload.is_done() {
        if plan.interrupt.is_requested() {
            return Err(Error::Interrupted);
        }
        exchange(&mut transport, &mut preload, &mut buffer).map_err(failed)?;
    }
    transport.end();
    Ok(())
}

/// Sends what can be sent, and reads once. The replies to a batch are shorter than the buffers of
/// any socket, so the server never waits for this side to read.
fn exchange(
    transport: &mut Transport<Stream>,
    preload: &mut Preload<'_>,
    buffer: &mut [u8],
) -> Result<(), String> {
    loop {
        let bytes = preload.outgoing();
        if bytes.is_empty() {
            break;
        }
        let taken = transport.write(bytes).map_err(|error| lost(&error))?;
        preload.advance_sent(taken);
    }
    transport.flush().map_err(|error| lost(&error))?;
    match transport.read(buffer) {
        Ok(0) => Err("the server closed the connection".to_owned()),
        Ok(count) => preload.receive(&buffer[..count]),
        Err(error) => Err(lost(&error)),
    }
}

fn lost(error: &io::Error) -> String {
    if is_transient(error) {
        return "no reply within the timeout (--timeout)".to_owned();
    }
    error.to_string()
}

/// Opens a stream that requests can be sent on.
fn connect(
    plan: &Plan<'_>,
    address: &Address,
    buffer: &mut [u8],
) -> Result<Transport<Stream>, String> {
    let socket = socket(plan, address).map_err(|error| error.to_string())?;
    let give_up = Instant::now() + plan.options.timeout;
    let transport = match plan.connector(0) {
        None => Transport::Plain(socket),
        Some(connector) => {
            let mut stream = connector.begin(socket, 0).map_err(|failure| failure.to_string())?;
            while stream.handshake(buffer).map_err(|failure| failure.to_string())?.is_none() {
                if Instant::now() >= give_up {
                    return Err("the TLS handshake took longer than the timeout".to_owned());
                }
            }
            Transport::Tls(Box::new(stream))
        }
    };
    let options = plan.options;
    let Some(exchange) = SetupExchange::new(&options.traffic.setup, options.seed, 0, 0) else {
        return Ok(transport);
    };
    let mut stream = SettingUpStream {
        transport,
        exchange,
        begun_ns: 0,
        connected_ns: 0,
        interest: Interest::Read,
    };
    match stream.advance(buffer) {
        Ok(Some(_)) => Ok(stream.transport),
        Ok(None) => Err("no answer within the timeout (--timeout)".to_owned()),
        Err(failure) => Err(failure.to_string()),
    }
}

fn socket(plan: &Plan<'_>, address: &Address) -> io::Result<Stream> {
    let timeout = plan.options.timeout;
    match (address, &plan.options.target) {
        (Address::Tcp(address), _) => {
            let socket = TcpStream::connect_timeout(address, timeout)?;
            socket.set_nodelay(true)?;
            socket.set_read_timeout(Some(timeout))?;
            socket.set_write_timeout(Some(timeout))?;
            Ok(Box::new(socket))
        }
        (Address::Unix(_), Target::Unix(path)) => {
            let socket = UnixStream::connect(path)?;
            socket.set_read_timeout(Some(timeout))?;
            socket.set_write_timeout(Some(timeout))?;
            Ok(Box::new(socket))
        }
        (Address::Unix(_), Target::Tcp(_)) => Err(io::ErrorKind::InvalidInput.into()),
    }
}
