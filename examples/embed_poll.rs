//! An event base inside a loop of your own, which polls the base's descriptor beside others.
//!
//! Any loop that can wait for a descriptor and a timeout can have a base inside it, as those of
//! GLib, Qt and asynchronous runtimes. This one also receives datagrams itself.
//!
//! ```text
//! $ cargo run --example embed_poll
//! the base ticks
//! the loop received: tick 1
//! the base ticks
//! the loop received: tick 2
//! the base ticks
//! the loop received: tick 3
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::net::UdpSocket;
use std::time::Duration;

use evshard::{Config, EventBase, EventSpec, Fired, Registry};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

const INTERVAL: Duration = Duration::from_millis(100);
const TICKS: u32 = 3;

/// The context of the base's handlers.
struct App {
    sender: UdpSocket,
    ticks: u32,
}

fn on_tick(_: &mut Registry<App>, app: &mut App, _: Fired) {
    app.ticks += 1;
    println!("the base ticks");
    app.sender.send(format!("tick {}", app.ticks).as_bytes()).expect("the loop receives it");
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (receiver, sender) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    sender.connect(receiver.local_addr()?)?;
    let mut app = App { sender, ticks: 0 };

    let mut base = EventBase::new(Config::default())?;
    let ticker = base.registry().create(EventSpec::timer().persist(), on_tick);
    base.registry().add(ticker, Some(INTERVAL))?;
    let mut base = base.embed()?;

    for _ in 0..TICKS {
        loop {
            let timeout = base.next_wait().map(Timespec::try_from).transpose()?;
            let mut fds = [&base as &dyn std::os::fd::AsFd, &receiver]
                .map(|fd| PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN));
            poll(&mut fds, timeout.as_ref())?;
            let has_datagram = !fds[1].revents().is_empty();
            base.turn(&mut app)?;
            if has_datagram {
                break;
            }
        }
        let mut buffer = [0; 64];
        let length = receiver.recv(&mut buffer)?;
        println!("the loop received: {}", String::from_utf8_lossy(&buffer[..length]));
    }
    Ok(())
}
