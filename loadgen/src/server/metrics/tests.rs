//! A server's metrics are read if it answers, and a server that does not delays the run within
//! bounds.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use super::*;

/// An endpoint that does this with each connection, by its number from 0.
fn endpoint(behave: impl Fn(TcpStream, usize) + Send + 'static) -> MetricsAddress {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            behave(stream.unwrap(), number);
        }
    });
    address.parse().unwrap()
}

/// Answers the request with this text.
fn answer(mut stream: TcpStream, text: &str) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        request.extend(byte);
    }
    let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len());
}

#[test]
fn the_growth_over_all_reads_is_the_sum_of_the_intervals() {
    let address = endpoint(|stream, number| {
        answer(stream, &format!("process_cpu_seconds_total {number}\na_total {}\n", number * 10));
    });
    let mut reader = MetricsReader::start(&address, &Interrupt::never()).unwrap();
    reader.read();
    reader.await_reading();
    let record = reader.finish();
    assert_eq!((record.reads, record.failed_reads, record.intervals.len()), (3, 0, 2));
    assert_eq!((record.counter("a_total"), record.intervals[0].cpu_s), (Some(20.0), Some(1.0)));
    assert!(!record.restarted && record.first_failure.is_none());
}

#[test]
fn a_server_that_closes_lies_or_comes_back_is_counted_and_the_rest_is_kept() {
    let address = endpoint(|stream, number| match number {
        0 => answer(stream, "a_total 5\n"),
        1 => drop(stream),
        2 => answer(stream, "<html>not metrics</html>\n"),
        3 => answer(stream, "a_total 3\n"),
        _ => answer(stream, "a_total NaN\nb_total -9\n"),
    });
    let mut reader = MetricsReader::start(&address, &Interrupt::never()).unwrap();
    for _ in 0..3 {
        reader.read();
        reader.await_reading();
    }
    let record = reader.finish();
    assert_eq!((record.reads, record.failed_reads), (3, 2));
    assert!(record.restarted);
    assert_eq!(record.counters, BTreeMap::from([("a_total".to_owned(), 3.0)]));
    assert!(record.first_failure.is_some());
}

#[test]
fn a_counter_that_is_missing_for_a_while_does_not_count_anew() {
    let address = endpoint(|stream, number| match number {
        0 => answer(stream, "a_total 5\nb_total 1\n"),
        1 => answer(stream, "b_total 1\n"),
        _ => answer(stream, "a_total 7\nb_total 1\n"),
    });
    let mut reader = MetricsReader::start(&address, &Interrupt::never()).unwrap();
    reader.read();
    reader.await_reading();
    let record = reader.finish();
    assert_eq!(record.counters, BTreeMap::from([("a_total".to_owned(), 2.0)]));
}

#[test]
fn a_server_that_hangs_does_not_delay_reads_during_the_run_and_ends_with_a_bound() {
    let (held, hold) = mpsc::channel();
    let address = endpoint(move |stream, number| match number {
        0 => answer(stream, "a_total 5\n"),
        // Kept open, without an answer.
        _ => held.send(stream).unwrap(),
    });
    let mut reader = MetricsReader::start(&address, &Interrupt::never()).unwrap();
    (0..1_000).for_each(|_| reader.read());
    let record = reader.finish();
    assert_eq!((record.reads, record.intervals.len()), (1, 0));
    let failure = record.first_failure.unwrap();
    assert!(failure.contains("no complete response within 2s"), "{failure}");
    // A thousand reads were one request, and the last read is another.
    assert!(hold.try_iter().count() <= 2);
}

#[test]
fn a_response_byte_by_byte_is_read_until_the_time_is_over() {
    let address = endpoint(|mut stream, _| {
        // More bytes than two seconds have milliseconds.
        while stream.write_all(b"H").is_ok() {
            thread::sleep(Duration::from_millis(1));
        }
    });
    let record = MetricsReader::start(&address, &Interrupt::never()).unwrap().finish();
    assert_eq!(record.reads, 0);
    assert!(record.failed_reads > 0);
}

#[test]
fn evshard_s_timings_become_bounds_of_percentiles() {
    let address = endpoint(|stream, number| {
        let (low, all) = (990 * number, 1_000 * number);
        answer(
            stream,
            &format!(
                "evshard_shard_callback_seconds_bucket{{shard=\"0\",le=\"0.00001\"}} {low}\n\
                 evshard_shard_callback_seconds_bucket{{shard=\"0\",le=\"0.001\"}} {all}\n\
                 evshard_shard_callback_seconds_bucket{{shard=\"0\",le=\"+Inf\"}} {all}\n"
            ),
        );
    });
    let record = MetricsReader::start(&address, &Interrupt::never()).unwrap().finish();
    let callback = &record.timings["callback"];
    assert_eq!((callback.count, callback.p99_at_most_ns), (1_000, Some(10_000)));
    assert_eq!(callback.buckets, [(Some(10_000), 990), (Some(1_000_000), 10)]);
    assert_eq!(record.intervals[0].p99_at_most_ns["callback"], 10_000);
}

#[test]
fn an_interrupted_run_does_not_wait_for_metrics_that_hang() {
    let held = std::sync::Mutex::new(Vec::new());
    let address = endpoint(move |stream, _| held.lock().unwrap().push(stream));
    let begun = Instant::now();
    let record = MetricsReader::start(&address, &Interrupt::requested()).unwrap().finish();
    assert!(begun.elapsed() < READ_TIME_MAX, "{:?}", begun.elapsed());
    assert_eq!((record.reads, record.failed_reads > 0), (0, true));
}
