//! An agent dials in to its coordinator, and both prove to each other that they know the token.

use std::io;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use super::channel::{Channel, reason};
use super::message::{self, FromAgent, Hello, ToAgent};
use super::token::{self, Proofs, Side};
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::options::DialOut;

/// Time between two attempts to reach the coordinator.
const DIAL_AGAIN: Duration = Duration::from_millis(200);

/// How long the coordinator may take for each of its answers: agents before this one may wait, too.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// Connects to the coordinator, which may start later, and is accepted by it.
pub(super) fn dial(dial: &DialOut, interrupt: &Interrupt) -> Result<Channel, Error> {
    let socket = connect(dial, interrupt)?;
    let dial = dial.clone();
    let accepted = interrupt.or(move || {
        let failed = |complaint| Error::DialIn { address: dial.to.to_string(), complaint };
        be_accepted(socket, &dial).unwrap_or_else(|complaint| Err(failed(complaint)))
    });
    accepted.unwrap_or(Err(Error::Interrupted))
}

fn connect(dial: &DialOut, interrupt: &Interrupt) -> Result<TcpStream, Error> {
    let begun = Instant::now();
    loop {
        match TcpStream::connect(&dial.to.address) {
            Ok(socket) => return Ok(socket),
            Err(_) if interrupt.is_requested() => return Err(Error::Interrupted),
            Err(source) if begun.elapsed() >= dial.within => {
                let (address, within) = (dial.to.to_string(), dial.within);
                return Err(Error::DialCoordinator { address, source, within });
            }
            Err(_) => thread::sleep(DIAL_AGAIN),
        }
    }
}

/// Does the handshake. The outer error is a complaint about the other side; the inner one is its
/// refusal.
fn be_accepted(socket: TcpStream, dial: &DialOut) -> Result<Result<Channel, Error>, String> {
    let failed = |error: io::Error| format!("handshake: {}", reason(&error));
    socket.set_read_timeout(Some(ANSWER_MAX)).map_err(failed)?;
    let mut channel = match dial.to.over_tls {
        false => Channel::plain(socket).map_err(failed)?,
        true => Channel::connect(socket).map_err(|error| {
            let why = reason(&error);
            format!(
                "handshake of TLS: {why}; does a coordinator with --agents tls:// listen there?"
            )
        })?,
    };
    let hello = FromAgent::Hello(Box::new(Hello::of_this_process(dial.rank)));
    message::write(&mut channel.writer, &hello).map_err(failed)?;
    let of_coordinator = match answer(&mut channel)? {
        ToAgent::Challenge { nonce } => nonce,
        ToAgent::Refused(why) => return Ok(Err(Error::AgentRefused(why))),
        _ => return Err("it asked for no proof of the token".to_owned()),
    };
    let of_agent = token::nonce()?;
    let proofs = Proofs::new(&dial.token, &of_coordinator, &of_agent, &channel.binding)
        .ok_or("its challenge is none")?;
    let proof = FromAgent::Proof { nonce: of_agent, proof: proofs.of(Side::Agent) };
    message::write(&mut channel.writer, &proof).map_err(failed)?;
    match answer(&mut channel)? {
        ToAgent::Accepted { proof } if proofs.is_of(Side::Coordinator, &proof) => {
            channel.socket.set_read_timeout(None).map_err(failed)?;
            Ok(Ok(channel))
        }
        ToAgent::Accepted { .. } => {
            Err("it does not know the token of --token-file, so it is not \
                                         the coordinator"
                .to_owned())
        }
        ToAgent::Refused(why) => Ok(Err(Error::AgentRefused(why))),
        _ => Err("it said nothing about the proof of the token".to_owned()),
    }
}

/// The next message of a coordinator that has not proved itself.
fn answer(channel: &mut Channel) -> Result<ToAgent, String> {
    match message::read_of_stranger(&mut channel.reader) {
        Ok(Some(message)) => Ok(message),
        Ok(None) => Err("it has ended the stream; does a coordinator listen there, and with the \
                         same scheme (tcp://, tls://)?"
            .to_owned()),
        Err(error) => Err(format!("{}; does a coordinator listen there?", reason(&error))),
    }
}
