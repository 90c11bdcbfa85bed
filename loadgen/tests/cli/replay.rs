//! Requests that were made once are made again, at their times.

use std::fs;

use crate::http_servers::HttpServer;
use crate::program::*;

const LOG_HEAD: &str = "127.0.0.1 - - [29/Nov/2026:21:10:";

/// An access log with ten requests in each of four seconds.
fn access_log() -> String {
    let line = |number: usize| {
        let second = number / 10;
        format!(
            "{LOG_HEAD}{second:02} +0000] \"GET /{number}?x={{y}} HTTP/1.1\" 200 5 \"-\" \"-\"\n"
        )
    };
    (0..40).map(line).collect()
}

#[test]
fn a_log_becomes_a_file_whose_requests_come_again_at_their_times() {
    let Some(server) = HttpServer::nginx("location / { return 200 hello; access_log log timed; }")
    else {
        return;
    };
    let log = server.file("access.log", &(access_log() + "no request\n"));
    let requests = server.path().join("requests.jsonl").display().to_string();
    let imported = loadgen(&["import", "nginx-log", &log, "--out", &requests]);
    assert_eq!(imported.code, Some(0), "{imported:?}");
    let said = "loadgen: 40 requests within 3s 900ms\nloadgen: left out: lines \
                without a time such as [29/Nov/2026:21:10:11 +0000]: 1 (the first: line 41)\n";
    assert_eq!(imported.stderr, said);

    let flags = "--protocol http --order timed --speed 4 -c 3 --json -";
    let words = ["run", server.target(), "--requests", &requests].into_iter();
    let finished = loadgen(&words.chain(flags.split(' ')).collect::<Vec<_>>());
    expect_no_errors(&finished);
    let record = finished.json();
    expect_conserved(&record);
    assert_eq!((count(&record, "scheduled"), count(&record, "completed")), (40, 40), "{record}");
    assert_eq!(record["args"]["arrival"], "timed");
    assert_eq!(record["args"]["rate"], "mean 20.253");

    until(|| logged(&server).len() == 40);
    let mut lines = logged(&server);
    lines.sort_by_key(|(_, path)| {
        path.trim_start_matches('/').split('?').next().map(|number| number.parse::<u64>().unwrap())
    });
    let paths: Vec<String> = (0..40).map(|number| format!("/{number}?x={{y}}")).collect();
    assert_eq!(lines.iter().map(|(_, path)| path.clone()).collect::<Vec<_>>(), paths);
    // No request comes before its time. How late it is depends on what else the machine does.
    let (first_ms, last_ms) = (lines[0].0, lines[39].0);
    assert!(last_ms + 20 >= first_ms + 975, "{first_ms} to {last_ms}");
}

/// The milliseconds and the path of each request in nginx's log.
fn logged(server: &HttpServer) -> Vec<(u64, String)> {
    let text = fs::read_to_string(server.path().join("log")).unwrap_or_default();
    let of_line = |line: &str| {
        let (time, path) = line.split_once(' ').unwrap();
        ((time.parse::<f64>().unwrap() * 1000.0).round() as u64, path.to_owned())
    };
    text.lines().map(of_line).collect()
}

#[test]
fn what_cannot_be_imported_or_sent_at_its_time_is_named_with_the_remedy() {
    let folder = test_needs::folder();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let empty = file("empty", "");
    let untimed = file("untimed", "{\"path\":\"/\",\"at\":1}\n/a\n");
    let unsorted = file("unsorted", "{\"path\":\"/\",\"at\":1}\n{\"path\":\"/\",\"at\":0.5}\n");
    let timed = file("timed", "{\"path\":\"/\",\"at\":0}\n");
    for (code, words, said) in [
        (1, format!("import nginx-log {empty}"), "no request was found; is it an access log?"),
        (1, format!("import pcap {empty}"), "the file is empty; name a capture"),
        (1, "import nginx-log /no/such".to_owned(), "name a file, or - for standard input"),
        (64, format!("import nginx-log {timed} --port 80"), "--port is for packets"),
        (64, format!("import nginx-log {timed} --out {timed}"), "it is the file that is imported"),
        (64, format!("import apache {timed}"), "nginx-log"),
        (
            64,
            format!("run http://a --requests {untimed} --order timed"),
            "line 2 of the requests has no time",
        ),
        (
            64,
            format!("run http://a --requests {unsorted} --order timed"),
            "line 2 of the requests is earlier",
        ),
        (
            64,
            format!("run http://a --requests {timed} --order timed --rate 5"),
            "change their speed",
        ),
        (64, format!("run http://a --requests {timed} --order timed --speed 0"), "'0' is no speed"),
        (64, format!("run http://a --requests {timed} --speed 2"), "--speed has no effect without"),
        (
            64,
            format!("search http://a --requests {timed} --order timed --slo p99<1ms"),
            "a search chooses the rate",
        ),
    ] {
        let finished = loadgen(&words.split(' ').collect::<Vec<_>>());
        assert_eq!(finished.code, Some(code), "{words}: {finished:?}");
        assert!(finished.stderr.contains(said), "{words}: {}", finished.stderr);
        assert_eq!(finished.stderr.lines().count(), 1, "{words}: {}", finished.stderr);
    }
}
