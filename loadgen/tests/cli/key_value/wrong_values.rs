//! Servers that return values which they must not return are found, and each is called by its name.

use serde_json::Value;

use super::fake_redis::{self, Read};
use crate::program::*;
use crate::servers::Server;

const FLAGS: &str =
    "--protocol resp2 --mix get:1,set:1 --keys 20 --size 100..300 -c 4 --pipeline 4";

/// The record of a short load on a server that answers every 100th read with what `lie` returns, if
/// it returns something, and the others rightly.
fn record_of(
    lie: impl Fn(&Read<'_>) -> Option<Vec<u8>> + Send + Sync + 'static,
    flags: &str,
) -> (Finished, Value) {
    let read = move |read: &Read<'_>| match read.number % 100 {
        99 => lie(read).or_else(|| read.right()),
        _ => read.right(),
    };
    let server: Server = fake_redis::start(read, |_| None);
    let finished = load(&server, &format!("{FLAGS} {flags}"));
    let record = finished.json();
    expect_conserved(&record);
    (finished, record)
}

#[track_caller]
fn expect_wrong_values(
    kind: &str,
    said: &str,
    lie: impl Fn(&Read<'_>) -> Option<Vec<u8>> + Send + Sync + 'static,
) {
    // Long enough for a hundred reads and for twenty writes of each key on a busy machine.
    let (finished, record) = record_of(lie, "--keys 10 --duration 1s");
    let found = &record["key_value"]["wrong_values"];
    let wrong = found[kind].as_u64().unwrap();
    assert!(wrong > 0, "{found}");
    assert_eq!(wrong, count(&record, "wrong_values"), "{found}");
    assert_eq!((finished.code, count(&record, "mismatches")), (Some(1), 0));
    let first = &record["key_value"]["first_wrong_value"];
    assert_eq!(first["kind"], kind);
    assert!(first["words"].as_str().unwrap().contains(said), "{first}");
    let report = finished.stderr;
    assert!(report.contains(&format!("first wrong value ({kind})")), "{report}");
    assert!(report.contains("with a wrong value"), "{report}");
    assert_eq!(record["validity"]["reasons"][0]["code"], "errors", "{}", record["validity"]);
}

#[test]
fn a_server_that_never_lies_has_every_read_of_a_written_key_verified() {
    let (finished, record) = record_of(|_| None, "");
    expect_no_errors(&finished);
    let found = &record["key_value"];
    assert_eq!(found["hits"], found["verified_hits"]);
    assert!(found["hits"].as_u64() > Some(100), "{found}");
    assert_eq!(found["misses_of_written"], 0);
    assert!(finished.stderr.contains("every hit was verified"), "{}", finished.stderr);
}

#[test]
fn a_value_that_a_later_write_has_replaced_is_found() {
    // Older than all sixteen writes that can be outstanding at once.
    expect_wrong_values("old", "had replaced it", |read| {
        let of_key = read.values.get(read.key)?;
        of_key.len().checked_sub(20).map(|at| of_key[at].clone())
    });
}

#[test]
fn another_keys_value_is_found() {
    expect_wrong_values("foreign", "of lg:0000000000", |read| {
        let other = read.values.keys().find(|key| *key != read.key)?;
        read.values[other].last().cloned()
    });
}

#[test]
fn the_halves_of_two_values_and_a_cut_value_are_found() {
    expect_wrong_values("torn", "up to byte 60 only", |read| {
        let [.., before, last] = &read.values.get(read.key)?[..] else { return None };
        let mut torn = last.clone();
        torn.truncate(60);
        torn.extend(before.iter().cycle().take(last.len() - 60));
        Some(torn)
    });
    expect_wrong_values("torn", "only: the value has", |read| {
        let mut cut = read.right()?;
        cut.truncate(70);
        Some(cut)
    });
}

#[test]
fn nothing_is_compared_where_that_is_asked() {
    let (finished, record) = record_of(|_| Some(b"nonsense".to_vec()), "--verify none");
    expect_no_errors(&finished);
    assert_eq!(record["key_value"]["verified_hits"], 0);
    assert!(finished.stderr.contains("no value was compared"), "{}", finished.stderr);
}

#[test]
fn errors_are_counted_by_kind_with_the_servers_words() {
    let special = |words: &[Vec<u8>]| match words[0].as_slice() {
        b"SET" => Some(b"-OOM command not allowed when used memory > 'maxmemory'.\r\n".to_vec()),
        _ if words[1].ends_with(b"7") => Some(b"-WRONGTYPE no string\r\n".to_vec()),
        _ => None,
    };
    let server = fake_redis::start(|read: &Read<'_>| read.right(), special);
    let finished = load(&server, FLAGS);
    let record = finished.json();
    expect_conserved(&record);
    let found = &record["key_value"];
    let errors = found["errors"].as_array().unwrap();
    assert_eq!(
        (&errors[0]["kind"], &errors[0]["count"]),
        (&"OOM".into(), &found["commands"]["set"])
    );
    assert_eq!(errors[1]["kind"], "WRONGTYPE");
    assert_eq!(errors[1]["words"], "-WRONGTYPE no string");
    let counted: u64 = errors.iter().map(|error| error["count"].as_u64().unwrap()).sum();
    assert_eq!(count(&record, "unexpected_status"), counted);
    assert_eq!((finished.code, count(&record, "connects")), (Some(1), 4));
    let said = "errors OOM, first '-OOM command not allowed when used memory";
    assert!(finished.stderr.contains(said), "{}", finished.stderr);
}
