//! The report as JUnit's XML, which programs for continuous integration show: a test case for each
//! metric that decides, and one for each other reason of an exit code that is not 0.

use std::fmt::Write as _;

use super::ab_plan::Name;
use super::judgement::Finding;
use super::record::AbRecord;
use super::report::{self, change};
use crate::comparison::Judgement;
use crate::report::markup::escape;
use crate::report::text::Style;

/// How a test case ended, with a sentence that says why.
enum Outcome {
    Passed,
    /// B is slower.
    Failed(String),
    /// Nothing can be concluded, as the measurement is at fault.
    Error(String),
    /// It is undecided.
    Skipped(String),
}

/// The whole report.
pub(super) fn xml(record: &AbRecord) -> String {
    let cases = cases(record);
    let count = |is: fn(&Outcome) -> bool| cases.iter().filter(|(_, case)| is(case)).count();
    let counts = format!(
        "tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{:.3}\"",
        cases.len(),
        count(|case| matches!(case, Outcome::Failed(_))),
        count(|case| matches!(case, Outcome::Error(_))),
        count(|case| matches!(case, Outcome::Skipped(_))),
        report::elapsed_s(record)
    );
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    text += &format!("<testsuites name=\"loadgen ab\" {counts}>\n");
    text += &format!("<testsuite name=\"loadgen ab\" {counts}>\n<properties>\n");
    for (name, value) in properties(record) {
        text += &format!("<property name=\"{name}\" value=\"{}\"/>\n", escape(&value));
    }
    text += "</properties>\n";
    for (name, outcome) in &cases {
        let case = format!("<testcase classname=\"loadgen.ab\" name=\"{}\"", escape(name));
        let child = |element: &str, message: &str| {
            format!("{case}><{element} message=\"{}\"/></testcase>\n", escape(message))
        };
        text += &match outcome {
            Outcome::Passed => format!("{case}/>\n"),
            Outcome::Failed(message) => child("failure", message),
            Outcome::Error(message) => child("error", message),
            Outcome::Skipped(message) => child("skipped", message),
        };
    }
    let report = escape(&report::text(record, Style::PLAIN));
    _ = write!(text, "<system-out>{report}</system-out>\n</testsuite>\n</testsuites>\n");
    text
}

fn properties(record: &AbRecord) -> Vec<(&'static str, String)> {
    let plan = &record.stored.plan;
    vec![
        ("a", report::server(plan, Name::A)),
        ("b", report::server(plan, Name::B)),
        ("pairs", record.counted.to_string()),
        ("pairs_left_out", record.left_out.to_string()),
        ("seed", plan.a.seed.to_string()),
        ("judgement", report::headline(record).1.to_owned()),
    ]
}

/// The test cases by name.
fn cases(record: &AbRecord) -> Vec<(String, Outcome)> {
    let is_invalid = record.judged.judgement == Judgement::Invalid;
    let measurement = match (is_invalid, record.stored.interrupted) {
        (true, _) => {
            let why = report::left_out(record);
            Outcome::Error(format!("INVALID: {}; {why}", report::explained(record)))
        }
        (_, true) => Outcome::Error("it is not complete".to_owned()),
        _ => Outcome::Passed,
    };
    let failed = [Name::A, Name::B].into_iter().filter(|&name| record.had_errors(name));
    let failed: Vec<String> =
        failed.map(|name| format!("{name}: {}", record.failed_requests(name))).collect();
    let requests = match failed.is_empty() {
        true => Outcome::Passed,
        false => Outcome::Failed(format!("requests that failed, {}", failed.join(", "))),
    };
    let mut cases =
        vec![("measurement".to_owned(), measurement), ("requests".to_owned(), requests)];
    if let Some(null) = &record.null {
        let differs = null.differs.then(|| report::explained(record));
        let outcome = differs.map_or(Outcome::Passed, Outcome::Failed);
        cases.push(("A against itself".to_owned(), outcome));
        return cases;
    }
    let deciding = record.judged.findings.iter().filter(|finding| finding.p.is_some());
    cases.extend(deciding.map(|finding| (finding.metric.name.to_owned(), outcome(finding))));
    let unknown = record.judged.unknown.iter().map(|name| {
        ((*name).to_owned(), Outcome::Skipped("it is not known in every run".to_owned()))
    });
    cases.extend(unknown);
    cases
}

fn outcome(finding: &Finding) -> Outcome {
    let [low, high] = finding.ratio_ci95.unwrap_or([0.0, f64::INFINITY]);
    let found = format!(
        "{} in B, 95 % interval {low:.3} to {high:.3} of A, p {}",
        change(finding.ratio),
        crate::comparison::probability(finding.p_holm.unwrap_or(1.0))
    );
    match finding.judgement {
        Judgement::Slower => Outcome::Failed(format!("B is slower: {found}")),
        Judgement::Undecided => Outcome::Skipped(match finding.pairs_to_decide {
            Some(pairs) => format!("undecided: {found}; {pairs} pairs would decide"),
            None => format!("undecided: {found}"),
        }),
        _ => Outcome::Passed,
    }
}

#[cfg(test)]
mod tests {
    use roxmltree::{Document, Node};

    use super::super::null::tests::null_pairs;
    use super::super::pair::Pair;
    use super::super::pair::tests::pair;
    use super::super::record::tests::{invalid, record};
    use super::*;

    const AB: &str = "--a 'old <&> {addr}' --b 'new {addr}'";

    fn pairs(count: u32, ratio: f64) -> Vec<Pair> {
        (1..=count).map(|number| pair(number, ratio)).collect()
    }

    /// Each test case, with the element in it and its message; and the numbers of the suite.
    fn parsed(record: &AbRecord) -> (Vec<String>, String) {
        let text = xml(record);
        let document = Document::parse(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let case = |node: Node<'_, '_>| {
            let name = node.attribute("name").unwrap().to_owned();
            node.first_element_child().map_or(format!("{name} passed"), |child| {
                let message = child.attribute("message").unwrap();
                format!("{name} {}: {message}", child.tag_name().name())
            })
        };
        let nodes = || document.descendants();
        let cases = nodes().filter(|node| node.has_tag_name("testcase")).map(case).collect();
        let suite = nodes().find(|node| node.has_tag_name("testsuite")).unwrap();
        let number = |name: &str| format!("{name} {}", suite.attribute(name).unwrap());
        let numbers = ["tests", "failures", "errors", "skipped"].map(number).join(", ");
        (cases, numbers)
    }

    #[test]
    fn a_slower_metric_is_a_failure_with_its_size() {
        let (cases, numbers) = parsed(&record(AB, pairs(9, 1.2)));
        assert_eq!(cases[..2], ["measurement passed", "requests passed"]);
        let begins = "p50 failure: B is slower: +20.0 % in B, 95 % interval ";
        assert!(cases[2].starts_with(begins), "{cases:?}");
        assert_eq!(numbers, "tests 5, failures 3, errors 0, skipped 0");
    }

    #[test]
    fn metrics_that_are_the_same_pass_and_undecided_ones_are_skipped() {
        let (cases, _) = parsed(&record(AB, pairs(12, 1.0)));
        assert!(cases.iter().all(|case| case.ends_with(" passed")), "{cases:?}");
        let (cases, numbers) = parsed(&record(AB, pairs(2, 1.2)));
        assert!(cases[3].starts_with("p99 skipped: undecided: +20.0 % in B"), "{cases:?}");
        assert_eq!(numbers, "tests 5, failures 0, errors 0, skipped 3");
    }

    #[test]
    fn failed_requests_are_a_failure_and_an_invalid_measurement_is_an_error() {
        let mut failed = pairs(12, 1.0);
        failed[0].b.had_errors = true;
        failed[0].b.failed_requests = 5;
        let (cases, _) = parsed(&record(AB, failed));
        assert_eq!(cases[1], "requests failure: requests that failed, B: 5");
        let (cases, numbers) = parsed(&record(AB, (1..=5).map(invalid).collect()));
        assert!(cases[0].starts_with("measurement error: INVALID: 5 of 5 pairs had"), "{cases:?}");
        assert!(numbers.contains("errors 1"), "{numbers}");
    }

    #[test]
    fn a_against_itself_is_a_test_case() {
        let (cases, _) = parsed(&record("--null=60 --a old", null_pairs(60, 1)));
        assert_eq!(cases[2], "A against itself passed");
        let (cases, _) = parsed(&record("--null=60 --a old", pairs(60, 1.2)));
        assert!(cases[2].starts_with("A against itself failure: 60 pairs"), "{cases:?}");
    }
}
