//! The page is complete, shows the verdict first, and escapes all text of a record.

use super::*;
use crate::record::tests::extremes;
use crate::report::markup::tests::expect_well_formed;

fn page_of(record: &Record) -> String {
    let page = page(record, &["<svg xmlns=\"http://www.w3.org/2000/svg\"/>\n".to_owned()]);
    expect_well_formed(page.strip_prefix("<!DOCTYPE html>\n").unwrap());
    page
}

#[test]
fn the_verdict_and_its_reasons_come_before_every_number() {
    let page = page_of(&extremes::full());
    let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("no {text} in {page}"));
    let order = ["SUSPECT", "loader-late", "co-located", "p99&lt;1ms", "990", "<table>", "<svg"];
    assert!(order.windows(2).all(|pair| at(pair[0]) < at(pair[1])));
    assert!(page.contains("<title>SUSPECT loadgen: 127"), "the browser shows it, too: {page}");
}

#[test]
fn percentiles_have_their_interval_or_what_they_need() {
    let mut record = extremes::full();
    record.latency_ns.response.p9999 = None;
    let page = page_of(&record);
    assert!(page.contains("<td>180 µs<small>[179, 182 µs]</small></td>"), "{page}");
    assert!(page.contains("<td>n/a<small>needs n &gt;= 36,887</small></td>"));
    record.latency_ns.response.p9999 = Some(800_000);
    assert!(page_of(&record).contains("<td>&gt;= 800 µs"), "unanswered requests make it longer");
}

#[test]
fn nothing_in_a_record_is_taken_for_markup() {
    let mut record = extremes::full();
    let evil = "<script>alert('&')</script>";
    record.args.target = evil.to_owned();
    record.env.command = evil.to_owned();
    record.validity.reasons[0].text = evil.to_owned();
    record.slo[0].found = evil.to_owned();
    record.server.as_mut().unwrap().threads[0].name = evil.to_owned();
    assert!(!page_of(&record).contains("<script"));
}

#[test]
fn the_page_needs_nothing_from_elsewhere() {
    let page = page_of(&extremes::full()).replace("http://www.w3.org/", "");
    for word in ["http:", "https:", "<script", "<link", "src=", "@import", "url("] {
        assert!(!page.contains(word), "{word}");
    }
}

#[test]
fn every_table_of_a_co_located_measurement_says_so() {
    let page = page_of(&extremes::full());
    assert!(page.matches("<table>").count() >= 4);
    assert_eq!(page.matches("<table>").count(), page.matches("<caption>CO-LOCATED").count());
}

#[test]
fn a_record_with_nothing_in_it_has_a_page() {
    let page = page_of(&extremes::minimal());
    assert!(page.contains("Nothing speaks against") && !page.contains("<h2>Server"));
}

#[test]
fn long_lists_of_fields_are_folded() {
    let page = page_of(&extremes::full());
    for title in ["Counters", "Plan", "Environment"] {
        assert!(page.contains(&format!("<details>\n<summary><h2>{title}</h2>")), "{title}");
    }
    // And the counters of the server.
    assert_eq!(page.matches("<details>").count(), 4);
}
