//! The coordinator's side of the handshake with an agent that has dialled in.

use std::io::{self, Read as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use super::super::channel::{Certificate, Channel, reason};
use super::super::message::{self, FromAgent, Hello, ToAgent};
use super::super::token::{self, Proofs, Side};
use super::Caller;

/// What every agent must do to be accepted.
#[derive(Debug, Clone)]
pub(super) struct Terms {
    pub(super) token: String,
    /// With TLS, the certificate of the coordinator.
    pub(super) certificate: Option<Certificate>,
}

/// The first byte of a handshake of TLS (RFC 8446, 5.1).
const TLS_HANDSHAKE: u8 = 22;

/// How much is read of what an agent sends that is refused.
const DRAINED_BYTES_MAX: u64 = 64 << 10;

/// Does the handshake, in which no read takes longer than `within`. Complains of an agent that is
/// not accepted; it knows why.
pub(super) fn shake_hands(
    socket: TcpStream,
    address: &str,
    terms: &Terms,
    within: Duration,
) -> Result<Caller, String> {
    let complain = |complaint: String| format!("agent {address}: {complaint}");
    let mut channel = open(socket, terms, within).map_err(complain)?;
    let hello = hello(&mut channel).map_err(complain)?;
    // Anyone can send a hello.
    let name = format!("{} ({address})", hello.host.escape_debug());
    let proved = hello.expect_this_version().and_then(|()| prove(&mut channel, terms));
    match proved {
        Ok(proof) => {
            let accepted = |error: io::Error| format!("agent {name}: accept it: {error}");
            channel.socket.set_read_timeout(None).map_err(accepted)?;
            Ok(Caller { name, hello, channel, proof })
        }
        Err(why) => {
            refuse(&mut channel, &why);
            Err(format!("agent {name} is refused: {why}"))
        }
    }
}

/// Says why an agent is not accepted. One that has gone need not know.
pub(super) fn refuse(channel: &mut Channel, why: &str) {
    let _ = message::write(&mut channel.writer, &ToAgent::Refused(why.to_owned()));
}

/// Begins the stream as the terms say. The agent speaks first, so its first byte shows how it does.
fn open(socket: TcpStream, terms: &Terms, within: Duration) -> Result<Channel, String> {
    let failed = |error: io::Error| format!("no hello: {}", reason(&error));
    socket.set_nonblocking(false).map_err(failed)?;
    socket.set_read_timeout(Some(within)).map_err(failed)?;
    socket.set_write_timeout(Some(within)).map_err(failed)?;
    let mut first = [0];
    if socket.peek(&mut first).map_err(failed)? == 0 {
        return Err("it ended before its hello".to_owned());
    }
    let channel = match (&terms.certificate, first[0] == TLS_HANDSHAKE) {
        (Some(certificate), true) => {
            let failed = |error: io::Error| format!("handshake of TLS: {}", reason(&error));
            Channel::accept(socket, certificate).map_err(failed)?
        }
        (None, false) => Channel::plain(socket).map_err(failed)?,
        (certificate, _) => {
            let why = match certificate {
                Some(_) => "it does not speak TLS; give it --connect tls://ADDR:PORT",
                None => "it speaks TLS, and this is --agents tcp://; give it --connect tcp://...",
            };
            // In plain text, which both kinds of agents understand.
            if let Ok(mut channel) = Channel::plain(socket) {
                refuse(&mut channel, why);
                // A stream that is closed with unread bytes is reset, and the refusal lost.
                let _ = channel.socket.shutdown(Shutdown::Write);
                let _ = io::copy(&mut channel.reader.take(DRAINED_BYTES_MAX), &mut io::sink());
            }
            return Err(why.to_owned());
        }
    };
    channel.socket.set_write_timeout(None).map_err(failed)?;
    Ok(channel)
}

fn hello(channel: &mut Channel) -> Result<Hello, String> {
    match message::read_of_stranger(&mut channel.reader) {
        Ok(Some(FromAgent::Hello(hello))) => Ok(*hello),
        Ok(Some(_)) => Err("it said something before its hello".to_owned()),
        Ok(None) => Err("it ended before its hello".to_owned()),
        Err(error) => Err(format!("no hello: {}", reason(&error))),
    }
}

/// Has the agent prove that it knows the token. Returns the proof of the coordinator.
fn prove(channel: &mut Channel, terms: &Terms) -> Result<String, String> {
    let failed = |error: io::Error| format!("no proof of the token: {}", reason(&error));
    let of_coordinator = token::nonce()?;
    let challenge = ToAgent::Challenge { nonce: of_coordinator.clone() };
    message::write(&mut channel.writer, &challenge).map_err(failed)?;
    let answer = message::read_of_stranger(&mut channel.reader).map_err(failed)?;
    let Some(FromAgent::Proof { nonce, proof }) = answer else {
        return Err("it ended without a proof of the token".to_owned());
    };
    let proofs = Proofs::new(&terms.token, &of_coordinator, &nonce, &channel.binding);
    let known = proofs.filter(|proofs| proofs.is_of(Side::Agent, &proof));
    known.map(|proofs| proofs.of(Side::Coordinator)).ok_or_else(|| {
        let between = match terms.certificate {
            Some(_) => ", or another program stands between it and the coordinator",
            None => "",
        };
        format!("the token is wrong{between}; give it the --token-file of the coordinator")
    })
}
