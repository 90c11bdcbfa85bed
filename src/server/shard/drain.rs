//! Draining: how a worker ends without cutting off busy connections.
//!
//! It notifies the services, and connections continue. Each tick closes the connections that were
//! quiet since the last one, have sent all output, and are due in the spread. The spread keeps
//! clients from all reconnecting at once. At the deadline the other connections are closed, too:
//! those that are not quiet by a reset, because their peers would take an orderly end for the end
//! of their streams. The workers end together, once
//! none has a connection: until then their services answer each other.

use std::time::Duration;

use super::close_reason::CloseReason;
use super::connection_mut::ConnectionMut;
use super::connection_state::ConnectionState;
use super::drain_spread::DrainSpread;
use super::worker::Worker;
use crate::base::Registry;
use crate::event::{EventSpec, Fired};
use crate::server::config::Drain;

/// How long a connection must be quiet to be closed: longer than a client nearby takes between a
/// reply and its next request.
pub(super) const QUIET_TIME: Duration = Duration::from_millis(50);

/// Starts draining; no acceptor hands over any more.
pub(in crate::server) fn begin(registry: &mut Registry<Worker>, worker: &mut Worker, drain: Drain) {
    worker.adopt_waiting(registry, usize::MAX);
    let window = drain.spread.min(drain.timeout);
    worker.shard.draining = Some(DrainSpread::new(registry.now(), window));
    worker.call_for_shard(registry, |host, shard| host.begin_drain(shard));
    // Those that reached their maximum age drain already.
    let ages = worker.shard.ages.take();
    for key in worker.connection_keys() {
        if !ages.as_ref().is_some_and(|ages| ages.is_draining(key)) {
            worker.connection(registry, key).begin_draining();
        }
    }
    if let Some(ages) = ages {
        ages.free(registry);
    }
    let tick = registry.create(EventSpec::timer().persist(), on_tick);
    let deadline = registry.create(EventSpec::timer(), on_deadline);
    for (timer, timeout) in [(tick, QUIET_TIME), (deadline, drain.timeout)] {
        registry.add(timer, Some(timeout)).expect("a timer needs nothing of the kernel");
    }
    worker.shard.end_if_empty();
}

fn on_tick(registry: &mut Registry<Worker>, worker: &mut Worker, _fired: Fired) {
    let Some(spread) = worker.shard.draining else { return };
    let now = registry.now();
    for key in worker.connection_keys() {
        let mut connection = worker.connection(registry, key);
        // In this order, because testing for quiet is a system call.
        if spread.is_due(key, now) {
            close_if_quiet(&mut connection);
        }
    }
    worker.mark();
}

/// Closes a connection if it is open and quiet.
pub(super) fn close_if_quiet(connection: &mut ConnectionMut<'_>) {
    if is_quiet(connection) {
        connection.finish(CloseReason::Drained);
    }
}

/// Closes a connection whose drain timeout is over.
pub(super) fn cut(connection: &mut ConnectionMut<'_>) {
    close_if_quiet(connection);
    if connection.is_open() {
        connection.fail(CloseReason::Cut);
    }
}

/// Whether a connection is open and quiet. One that seems so is read once more: bytes may have come
/// while this shard was busy with others.
fn is_quiet(connection: &mut ConnectionMut<'_>) -> bool {
    let awaits_output = connection.worker.shard.handles.awaits_output(connection.key);
    if awaits_output || connection.is_dialed() || !seems_quiet(connection) {
        return false;
    }
    connection.read();
    connection.is_open() && seems_quiet(connection)
}

fn seems_quiet(connection: &mut ConnectionState) -> bool {
    !std::mem::take(&mut connection.active_since_tick) && connection.is_drained()
}

fn on_deadline(registry: &mut Registry<Worker>, worker: &mut Worker, _fired: Fired) {
    // Before the services are called, which may dial again.
    worker.shard.drain_is_over = true;
    for key in worker.connection_keys() {
        cut(&mut worker.connection(registry, key));
    }
    worker.cut_dials(registry);
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::net::TcpStream;
    use std::sync::mpsc::{Sender, channel};

    use super::super::test_worker::{pair, worker_with};
    use super::*;
    use crate::base::{EventBase, LoopFlags};
    use crate::server::service::{Connection, Echo, Service};
    use crate::server::shard::handles::Answer;

    /// A client, and the worker that drains without ever having ticked.
    fn draining() -> (TcpStream, EventBase<Worker>, Worker) {
        let (client, socket) = pair();
        let (mut base, mut worker) = worker_with(Echo, socket);
        let drain = Drain { timeout: Duration::from_secs(60), ..Drain::default() };
        begin(base.registry(), &mut worker, drain);
        (client, base, worker)
    }

    fn reach_deadline(base: &mut EventBase<Worker>, worker: &mut Worker) {
        let timer = base.registry().create(EventSpec::timer(), on_deadline);
        base.registry().add(timer, Some(Duration::ZERO)).unwrap();
        base.run_with(worker, LoopFlags::ONCE).unwrap();
    }

    /// Takes each request away, as an answer that is due.
    #[derive(Clone)]
    struct AnswersLater(Sender<Answer>);

    impl Service for AnswersLater {
        type Session = ();
        type Message = ();

        fn open(&mut self, _: &mut Connection<'_, Self>) {}

        fn receive(
            &mut self,
            (): &mut (),
            input: &[u8],
            connection: &mut Connection<'_, Self>,
        ) -> usize {
            self.0.send(connection.answer_later()).unwrap();
            input.len()
        }
    }

    #[test]
    fn a_tick_between_the_send_of_an_answer_and_its_turn_does_not_lose_it() {
        let (answers, answer) = channel();
        let (mut client, socket) = pair();
        let (mut base, mut worker) = worker_with(AnswersLater(answers), socket);
        let drain = Drain { timeout: Duration::from_secs(60), ..Drain::default() };
        begin(base.registry(), &mut worker, drain);
        client.write_all(b"x").unwrap();
        let answer = loop {
            base.run_with(&mut worker, LoopFlags::ONCE | LoopFlags::NONBLOCK).unwrap();
            if let Ok(answer) = answer.try_recv() {
                break answer;
            }
        };
        answer.send(b"the answer").unwrap();
        drop(answer);
        let key = worker.connection_keys()[0];
        for _ in 0..3 {
            close_if_quiet(&mut worker.connection(base.registry(), key));
        }
        while worker.shard.stats.bytes_out == 0 {
            base.run_with(&mut worker, LoopFlags::ONCE | LoopFlags::NONBLOCK).unwrap();
        }
        client.read_exact(&mut [0; 10]).unwrap();
    }

    #[test]
    fn a_client_in_the_middle_of_its_stream_gets_no_orderly_end_at_the_deadline() {
        let (mut client, mut base, mut worker) = draining();
        client.write_all(b"x").unwrap();
        while worker.shard.stats.bytes_out == 0 {
            base.run_with(&mut worker, LoopFlags::ONCE | LoopFlags::NONBLOCK).unwrap();
        }
        client.read_exact(&mut [0]).unwrap();
        reach_deadline(&mut base, &mut worker);
        let error = client.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert_eq!(worker.shard.stats.errors.cut, 1);
    }

    #[test]
    fn a_client_that_is_quiet_at_the_deadline_gets_an_orderly_end() {
        let (mut client, mut base, mut worker) = draining();
        reach_deadline(&mut base, &mut worker);
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        assert_eq!(worker.shard.stats.errors.cut, 0);
    }
}
