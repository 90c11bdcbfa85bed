//! A relay that delays what passes, as a long way does.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::program::until;

/// How long a piece of the stream takes, by its bytes: to the other end, and back.
pub(super) struct Delays<There, Back> {
    pub(super) there: There,
    pub(super) back: Back,
}

/// Relays connections to an address, which may not listen yet. Returns the address of the relay.
pub(super) fn start<There, Back>(to: &str, delays: Delays<There, Back>) -> String
where
    There: FnMut(&[u8]) -> Duration + Send + 'static,
    Back: FnMut(&[u8]) -> Duration + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let there = Arc::new(Mutex::new(delays.there));
    let back = Arc::new(Mutex::new(delays.back));
    let to = to.to_owned();
    thread::spawn(move || {
        for near in listener.incoming() {
            let (near, to) = (near.unwrap(), to.clone());
            let (there, back) = (Arc::clone(&there), Arc::clone(&back));
            thread::spawn(move || {
                until(|| TcpStream::connect(&to).is_ok_and(|far| join(&near, &far, &there, &back)));
            });
        }
    });
    address
}

/// Passes on what comes from either end.
fn join<There, Back>(
    near: &TcpStream,
    far: &TcpStream,
    there: &Arc<Mutex<There>>,
    back: &Arc<Mutex<Back>>,
) -> bool
where
    There: FnMut(&[u8]) -> Duration + Send + 'static,
    Back: FnMut(&[u8]) -> Duration + Send + 'static,
{
    for end in [near, far] {
        end.set_nodelay(true).unwrap();
    }
    pass(near, far, Arc::clone(there));
    pass(far, near, Arc::clone(back));
    true
}

/// Passes on what comes from one end, in order, each piece after its delay.
fn pass<Delay>(from: &TcpStream, to: &TcpStream, delay: Arc<Mutex<Delay>>)
where
    Delay: FnMut(&[u8]) -> Duration + Send + 'static,
{
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    let (sender, pieces) = mpsc::channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let piece = buffer[..count].to_vec();
            let due = Instant::now() + delay.lock().unwrap()(&piece);
            if sender.send((due, piece)).is_err() {
                return;
            }
        }
    });
    thread::spawn(move || {
        for (due, piece) in pieces {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&piece).is_err() {
                return;
            }
        }
        // An end that has gone needs no end of the stream.
        let _ = to.shutdown(Shutdown::Write);
    });
}
