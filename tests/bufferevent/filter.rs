//! Filters on bufferevents.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};

use evshard::{
    Buffer, BuffereventError, BuffereventId, BuffereventOptions, Filter, FilterResult, FlushMode,
    Interest, Watermarks, What,
};

use crate::app::{Bench, Seen, logging, on_each_backend, tcp_pair};

const PLAIN: BuffereventOptions = BuffereventOptions::empty();

/// Passes both directions through.
struct Through;

impl Filter for Through {}

/// Adds one to each byte that is written, and takes it off each that is read. It keeps the last
/// odd byte back until a flush, as a compressor keeps what it has not encoded.
struct Shift;

impl Shift {
    fn shift(
        from: &mut Buffer,
        into: &mut Buffer,
        limit: usize,
        mode: FlushMode,
        by: u8,
    ) -> FilterResult {
        let pairs = if mode == FlushMode::Normal { from.len() & !1 } else { from.len() };
        let n = pairs.min(limit);
        let mut bytes = vec![0; n];
        from.remove(&mut bytes);
        bytes.iter_mut().for_each(|byte| *byte = byte.wrapping_add(by));
        into.append(&bytes);
        if n > 0 { FilterResult::Ok } else { FilterResult::NeedMore }
    }
}

impl Filter for Shift {
    fn read(
        &mut self,
        from: &mut Buffer,
        into: &mut Buffer,
        limit: usize,
        _: FlushMode,
    ) -> io::Result<FilterResult> {
        Ok(Self::shift(from, into, limit, FlushMode::Flush, 255))
    }

    fn write(
        &mut self,
        from: &mut Buffer,
        into: &mut Buffer,
        limit: usize,
        mode: FlushMode,
    ) -> io::Result<FilterResult> {
        Ok(Self::shift(from, into, limit, mode, 1))
    }
}

/// Fails on any input.
struct Failing;

impl Filter for Failing {
    fn read(
        &mut self,
        _: &mut Buffer,
        _: &mut Buffer,
        _: usize,
        _: FlushMode,
    ) -> io::Result<FilterResult> {
        Err(io::Error::new(io::ErrorKind::InvalidData, "not what was expected"))
    }
}

/// A filter on a socket, the socket's bufferevent, and the peer.
fn filtered(
    bench: &mut Bench,
    filter: impl Filter + 'static,
) -> (BuffereventId, BuffereventId, TcpStream) {
    let (socket, peer) = tcp_pair();
    let registry = bench.base.registry();
    let below = bench.app.table.socket(registry, socket, PLAIN).unwrap();
    let id = bench.app.table.filter(registry, below, filter, PLAIN).unwrap();
    bench.get(id).set_handlers(logging());
    (id, below, peer)
}

#[test]
fn both_directions_are_transformed() {
    on_each_backend(|bench| {
        let (id, below, mut peer) = filtered(bench, Shift);
        assert_eq!(bench.get(id).underlying(), Some(below));
        assert!(bench.get(id).fd().is_some());
        bench.get(id).enable(Interest::READ);
        bench.get(id).write(b"HAL9");
        bench.run_until_seen(Seen::Write(id));
        let mut sent = [0; 4];
        peer.read_exact(&mut sent).unwrap();
        assert_eq!(&sent, b"IBM:");
        peer.write_all(b"IBM").unwrap();
        bench.run_until_seen(Seen::Read(id));
        let mut received = [0; 3];
        bench.get(id).read(&mut received);
        assert_eq!(&received, b"HAL");
    });
}

#[test]
fn a_flush_sends_what_the_filter_keeps_back() {
    on_each_backend(|bench| {
        let (id, _, mut peer) = filtered(bench, Shift);
        bench.get(id).write(b"abc");
        bench.run_until("the first two bytes", |bench| bench.get(id).output().len() == 1);
        assert!(bench.get(id).flush(Interest::WRITE, FlushMode::Flush).unwrap());
        bench.turn();
        let mut sent = [0; 3];
        peer.read_exact(&mut sent).unwrap();
        assert_eq!(&sent, b"bcd");
    });
}

#[test]
fn a_filter_that_does_not_read_holds_the_socket_back() {
    on_each_backend(|bench| {
        let (id, below, mut peer) = filtered(bench, Through);
        peer.write_all(b"waiting").unwrap();
        for _ in 0..3 {
            bench.turn();
        }
        assert_eq!(bench.get(below).input().len(), 0);
        bench.get(id).enable(Interest::READ);
        bench.run_until_seen(Seen::Read(id));
        assert_eq!(bench.get(id).input().len(), 7);
    });
}

/// libevent's `filter_data_stuck`: input below a full filter must follow once there is room.
#[test]
fn input_behind_a_full_filter_follows_once_there_is_room() {
    on_each_backend(|bench| {
        let (id, below, mut peer) = filtered(bench, Through);
        bench.get(id).set_watermarks(Interest::READ, Watermarks { low: 0, high: 4 });
        bench.get(id).enable(Interest::READ);
        peer.write_all(b"0123456789").unwrap();
        bench.run_until("input", |bench| bench.get(id).input().len() == 4);
        bench.run_until("the socket's input", |bench| bench.get(below).input().len() == 6);
        let mut all = Vec::new();
        for _ in 0..3 {
            let mut some = [0; 4];
            bench.run_until("more input", |bench| !bench.get(id).input().is_empty());
            let n = bench.get(id).read(&mut some);
            all.extend_from_slice(&some[..n]);
        }
        assert_eq!(all, b"0123456789");
    });
}

#[test]
fn the_end_of_the_stream_passes_through_after_its_bytes() {
    on_each_backend(|bench| {
        let (id, _, mut peer) = filtered(bench, Through);
        bench.get(id).enable(Interest::READ);
        peer.write_all(b"last words").unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        bench.run_until_seen(Seen::Event(id, What::EOF | What::READING));
        assert_eq!(bench.get(id).input().len(), 10);
        assert_eq!(bench.app.seen[0], Seen::Read(id));
    });
}

#[test]
fn a_filter_that_fails_ends_its_direction_with_its_error() {
    on_each_backend(|bench| {
        let (id, _, mut peer) = filtered(bench, Failing);
        bench.get(id).enable(Interest::READ);
        peer.write_all(b"?").unwrap();
        bench.run_until_seen(Seen::Event(id, What::ERROR | What::READING));
        let error = bench.get(id).take_error().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert_eq!(bench.get(id).enabled(), Interest::WRITE);
    });
}

#[test]
fn freeing_a_filter_frees_what_is_below_and_not_the_other_way_round() {
    on_each_backend(|bench| {
        let (id, below, mut peer) = filtered(bench, Through);
        bench.app.table.free(bench.base.registry(), id);
        assert!(bench.app.table.is_empty(), "{below} is freed, too");
        assert_eq!(peer.read(&mut [0]).unwrap(), 0);
        let (id, below, _peer) = filtered(bench, Through);
        bench.app.table.free(bench.base.registry(), below);
        assert_eq!(bench.get(id).underlying(), None);
        let error = bench.get(id).flush(Interest::WRITE, FlushMode::Flush).unwrap_err();
        assert!(matches!(error, BuffereventError::NoOtherSide(_)), "{error}");
        bench.get(id).write(b"nowhere");
        bench.turn();
    });
}

#[test]
fn a_filter_freed_when_sent_sends_everything_through_the_socket() {
    on_each_backend(|bench| {
        let (id, _, mut peer) = filtered(bench, Through);
        let much = vec![5; 3_000_000];
        bench.get(id).write(&much);
        bench.get(id).free_when_sent();
        let reading = std::thread::spawn(move || {
            let mut all = Vec::new();
            peer.read_to_end(&mut all).map(|_| all)
        });
        bench.run_until("its end", |bench| bench.app.table.is_empty());
        assert!(reading.join().unwrap().unwrap() == much, "the bytes differ");
    });
}

#[test]
fn filters_stand_on_filters_and_two_not_beside_each_other() {
    on_each_backend(|bench| {
        let (id, below, mut peer) = filtered(bench, Shift);
        let registry = bench.base.registry();
        let error = bench.app.table.filter(registry, below, Through, PLAIN).unwrap_err();
        assert!(matches!(error, BuffereventError::HasFilter(_)), "{error}");
        let top = bench.app.table.filter(registry, id, Shift, PLAIN).unwrap();
        bench.get(top).set_handlers(logging());
        bench.get(top).enable(Interest::READ);
        bench.get(top).write(b"ab");
        bench.run_until_seen(Seen::Write(top));
        let mut sent = [0; 2];
        bench.turn();
        peer.read_exact(&mut sent).unwrap();
        assert_eq!(&sent, b"cd");
        peer.write_all(b"cd").unwrap();
        bench.run_until_seen(Seen::Read(top));
        let mut received = [0; 2];
        bench.get(top).read(&mut received);
        assert_eq!(&received, b"ab");
    });
}
