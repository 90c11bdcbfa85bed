//! Pairs of bufferevents.

use evshard::{
    BuffereventError, BuffereventHandlers, BuffereventId, BuffereventOptions, FlushMode, Interest,
    Watermarks, What,
};

use crate::app::{App, Bench, Seen, logging, on_each_backend};

fn pair(bench: &mut Bench) -> (BuffereventId, BuffereventId) {
    let options = BuffereventOptions::empty();
    let ends = bench.app.table.pair(bench.base.registry(), options);
    for id in [ends.0, ends.1] {
        bench.get(id).set_handlers(logging());
    }
    ends
}

#[test]
fn what_one_end_writes_the_other_reads_once_it_is_enabled() {
    on_each_backend(|bench| {
        let (a, b) = pair(bench);
        assert_eq!(bench.get(a).partner(), Some(b));
        bench.get(a).write(b"across");
        bench.turn();
        assert_eq!(bench.get(a).output().len(), 6);
        assert_eq!(bench.get(b).input().len(), 0);
        bench.get(b).enable(Interest::READ);
        bench.run_until_seen(Seen::Read(b));
        assert!(bench.app.seen.contains(&Seen::Write(a)));
        let mut across = [0; 6];
        bench.get(b).read(&mut across);
        assert_eq!(&across, b"across");
    });
}

#[test]
fn an_end_that_is_full_holds_the_other_back() {
    on_each_backend(|bench| {
        let (a, b) = pair(bench);
        bench.get(b).set_watermarks(Interest::READ, Watermarks { low: 0, high: 10 });
        bench.get(b).enable(Interest::READ);
        bench.get(a).write(&[1; 25]);
        bench.run_until_seen(Seen::Read(b));
        assert_eq!(bench.get(a).output().len(), 15);
        assert_eq!(bench.get(b).input().len(), 10);
        bench.get(b).input().drain(10);
        bench.run_until("more", |bench| bench.get(b).input().len() == 10);
        assert_eq!(bench.get(a).output().len(), 5);
    });
}

#[test]
fn a_finished_flush_ends_the_stream_of_the_other_end() {
    on_each_backend(|bench| {
        let (a, b) = pair(bench);
        bench.get(b).enable(Interest::READ);
        bench.get(b).set_watermarks(Interest::READ, Watermarks { low: 0, high: 1 });
        bench.get(a).write(b"last words");
        assert!(bench.get(a).flush(Interest::WRITE, FlushMode::Finished).unwrap());
        bench.run_until_seen(Seen::Event(b, What::EOF | What::READING));
        assert_eq!(bench.get(b).input().len(), 10, "a flush ignores the watermark");
        assert!(!bench.get(b).enabled().contains(Interest::READ));
    });
}

#[test]
fn an_end_whose_other_end_was_freed_is_not_ended_and_cannot_be_flushed() {
    on_each_backend(|bench| {
        let (a, b) = pair(bench);
        bench.get(b).enable(Interest::READ);
        bench.app.table.free(bench.base.registry(), a);
        bench.turn();
        assert_eq!(bench.app.seen, []);
        assert_eq!(bench.get(b).partner(), None);
        let error = bench.get(b).flush(Interest::WRITE, FlushMode::Flush).unwrap_err();
        assert!(matches!(error, BuffereventError::NoOtherSide(id) if id == b), "{error}");
    });
}

/// Two ends that answer each other for ever.
#[test]
fn ends_that_answer_each_other_leave_the_loop_to_others() {
    on_each_backend(|bench| {
        let (a, b) = pair(bench);
        let answer = |registry: &mut _, app: &mut App, id| {
            app.seen.push(Seen::Read(id));
            let mut end = app.table.get(registry, id).unwrap();
            let (input, output) = end.buffers();
            output.append_buffer(input);
        };
        for id in [a, b] {
            bench.get(id).set_handlers(BuffereventHandlers { read: Some(answer), ..logging() });
            bench.get(id).enable(Interest::READ);
        }
        bench.get(a).write(b"ball");
        for _ in 0..5 {
            bench.pass();
        }
        let calls = bench.app.seen.len();
        assert!((5..2000).contains(&calls), "{calls} calls in five passes");
    });
}

#[test]
fn a_pair_has_no_socket() {
    on_each_backend(|bench| {
        let (a, _) = pair(bench);
        assert_eq!(bench.get(a).fd(), None);
        assert!(matches!(bench.get(a).take_socket(), Err(BuffereventError::NoSocket(_))));
    });
}

#[test]
fn an_end_that_gets_nothing_times_out() {
    on_each_backend(|bench| {
        let (a, b) = pair(bench);
        bench.get(b).set_timeouts(Some(std::time::Duration::from_millis(5)), None);
        bench.get(b).enable(Interest::READ);
        bench.run_until_seen(Seen::Event(b, What::TIMEOUT | What::READING));
        bench.get(a).write(b"too late");
        bench.turn();
        assert_eq!(bench.get(b).input().len(), 0);
    });
}
