//! The report for people: on a terminal and in Markdown.

use std::fmt::{self, Write as _};

use super::ab_plan::{Name, PlanText};
use super::judgement::Finding;
use super::null::NullRecord;
use super::pair::Pair;
use super::record::AbRecord;
use crate::comparison::{Judgement, METRICS, probability};
use crate::record::{ArgsRecord, Verdict};
use crate::report::text::{Columns, Style, WIDTH, wrap};
use crate::stats;
use crate::units::counted;

/// As text for a terminal.
pub(super) fn text(record: &AbRecord, style: Style) -> String {
    let mut text = String::new();
    write_text(&mut text, record, style).expect("writing to a string cannot fail");
    text
}

fn write_text(out: &mut String, record: &AbRecord, style: Style) -> fmt::Result {
    let (level, word) = headline(record);
    out.write_str(&wrap("", &format!("{word}: {}", explained(record)), WIDTH).replacen(
        word,
        &style.judged(level, word),
        1,
    ))?;
    for note in notes(record) {
        out.write_str(&wrap("  - ", &note, WIDTH))?;
    }
    writeln!(out)?;
    for name in sides(record) {
        out.write_str(&wrap(&format!("  {name}  "), &side(record, *name), WIDTH))?;
    }
    for table in tables(record) {
        writeln!(out)?;
        let mut columns = Columns::default();
        table.into_iter().for_each(|row| columns.row(row));
        for line in columns.lines() {
            writeln!(out, "{line}")?;
        }
    }
    match record.judged.findings.is_empty() {
        true => Ok(()),
        false => out.write_str(&format!("\n{}", wrap("  ", &legend(record), WIDTH))),
    }
}

/// As Markdown.
pub(super) fn markdown(record: &AbRecord) -> String {
    let (_, word) = headline(record);
    let mut text = format!("**{word}**: {}\n", escaped(&explained(record)));
    for note in notes(record) {
        text.push_str(&format!("\n- {}", escaped(&note)));
    }
    text.push('\n');
    for name in sides(record) {
        text.push_str(&format!("\n- {name}: {}", escaped(&side(record, *name))));
    }
    text.push('\n');
    for table in tables(record) {
        text.push('\n');
        for (at, row) in table.iter().enumerate() {
            let cells: Vec<String> = row.iter().map(|cell| escaped(cell)).collect();
            text.push_str(&format!("| {} |\n", cells.join(" | ")));
            if at == 0 {
                text.push_str(&format!("|---{}|\n", "|--:".repeat(row.len() - 1)));
            }
        }
    }
    if !record.judged.findings.is_empty() {
        text.push_str(&format!("\n<sub>{}</sub>\n", escaped(&legend(record))));
    }
    text
}

/// A text without a meaning in Markdown or HTML.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '|' | '*' | '_' | '`' | '[' | '\\' => escaped.extend(['\\', c]),
            '\n' => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

/// The first word, and how grave it is.
pub(super) fn headline(record: &AbRecord) -> (Verdict, &'static str) {
    match &record.null {
        Some(_) if record.judged.judgement == Judgement::Invalid => Judgement::Invalid.headline(),
        Some(null) if null.differs => (Verdict::Invalid, "A DIFFERS FROM ITSELF"),
        Some(_) => (Verdict::Valid, "NO DIFFERENCE"),
        None => record.judged.judgement.headline(),
    }
}

/// What the first word means here.
pub(super) fn explained(record: &AbRecord) -> String {
    let delta = share(record.stored.plan.delta);
    let pairs = counted(record.counted as u64, "pair");
    let after = format!("after {pairs}{}", limit(record));
    let named = |wanted: Judgement| {
        let findings = record.judged.findings.iter();
        let found = findings.filter(|finding| finding.judgement == wanted);
        found.map(named_with_change).collect::<Vec<_>>().join(", ")
    };
    if record.judged.judgement == Judgement::Invalid {
        let all = counted(record.stored.pairs.len() as u64, "pair");
        return format!(
            "{} of {all} had an INVALID run, so that nothing can be concluded",
            record.left_out
        );
    }
    if let Some(null) = &record.null {
        return explained_null(record, null, &pairs);
    }
    match record.judged.judgement {
        Judgement::Slower => format!("B is slower than A in {}, {after}", named(Judgement::Slower)),
        Judgement::Faster => {
            let open = match record.judged.decided {
                true => String::new(),
                false => format!("; undecided: {}", named(Judgement::Undecided)),
            };
            format!("B is faster than A in {}, {after}{open}", named(Judgement::Faster))
        }
        Judgement::Same => format!("B is as fast as A within {delta}, {after}"),
        _ => format!("{after}, nothing is decided for {}", undecided(record)),
    }
}

/// A metric with its size: "p99 (+10.8 %)".
fn named_with_change(finding: &Finding) -> String {
    format!("{} ({})", finding.metric.name, change(finding.ratio))
}

/// " of at most 40", if there could have been more pairs.
fn limit(record: &AbRecord) -> String {
    let most = record.stored.plan.pairs_to_measure();
    if record.counted < most as usize { format!(" of at most {most}") } else { String::new() }
}

fn explained_null(record: &AbRecord, null: &NullRecord, pairs: &str) -> String {
    let share = match null.comparisons {
        0 => "no comparison".to_owned(),
        all => format!(
            "{} of {} of {} consecutive pairs ({:.1} %) were false alarms, and {} of {} that share \
             no pair",
            null.false_alarms,
            counted(all as u64, "comparison"),
            null.pairs,
            100.0 * null.false_alarms as f64 / all as f64,
            null.separate_false_alarms,
            null.separate_comparisons
        ),
    };
    let differs = match null.differs {
        true => {
            let differing = record.judged.findings.iter().filter(|finding| {
                matches!(finding.judgement, Judgement::Slower | Judgement::Faster)
            });
            let texts: Vec<String> = differing.map(named_with_change).collect();
            format!("all {pairs} together show a difference in {}; ", texts.join(", "))
        }
        false => String::new(),
    };
    format!("{pairs} of A against itself: {differs}{share}")
}

/// What is undecided, and how many pairs would decide it.
fn undecided(record: &AbRecord) -> String {
    let findings = record.judged.findings.iter();
    let undecided: Vec<&Finding> =
        findings.filter(|finding| finding.judgement == Judgement::Undecided).collect();
    if undecided.is_empty() {
        return "any metric".to_owned();
    }
    let names: Vec<String> = undecided.iter().map(|finding| named_with_change(finding)).collect();
    let needed = undecided.iter().map(|finding| match finding.pairs_to_decide {
        Some(pairs) => format!("{} {pairs}", finding.metric.name),
        None if record.counted < 2 => format!("{} unknown", finding.metric.name),
        None => format!("{} more than {}", finding.metric.name, stats::PAIRS_TO_FIND_MAX),
    });
    format!(
        "{}; pairs that would show a difference of {} with this spread ({:.0} % power): {}",
        names.join(", "),
        share(record.stored.plan.delta),
        100.0 * stats::POWER,
        needed.collect::<Vec<_>>().join(", ")
    )
}

/// What else a reader must know.
pub(super) fn notes(record: &AbRecord) -> Vec<String> {
    let mut notes = Vec::new();
    if record.stored.interrupted {
        let all = record.stored.plan.pairs_to_measure();
        notes.push(format!(
            "NOT COMPLETE after {} of at most {all}",
            counted(record.counted as u64, "pair")
        ));
    }
    for name in [Name::A, Name::B] {
        if record.had_errors(name) {
            let failed = counted(record.failed_requests(name), "request");
            notes.push(format!(
                "{name} had errors: {failed} failed; 'loadgen report' of a run says \
                                why"
            ));
        }
    }
    if record.left_out > 0 {
        notes.push(left_out(record));
    }
    notes.extend(suspect(record));
    if !record.judged.unknown.is_empty() {
        let advice = match record.judged.unknown.contains(&"server cpu") {
            true => {
                "; name the servers with --a-pid and --b-pid, or have them started, or measure \
                     longer"
            }
            false => "; measure longer",
        };
        let names = record.judged.unknown.join(", ");
        notes.push(format!("not known in every run, and so does not decide: {names}{advice}"));
    }
    if record.stored.pairs.iter().any(|pair| pair.a.co_located || pair.b.co_located) {
        notes.push(
            "CO-LOCATED: loader and server share processors; both are slower for it".to_owned(),
        );
    }
    notes
}

/// How many pairs are left out, and why the first one is.
pub(super) fn left_out(record: &AbRecord) -> String {
    let left_out = || record.stored.pairs.iter().filter(|pair| pair.left_out);
    let count =
        |name: Name| left_out().filter(|pair| pair.side(name).verdict == Verdict::Invalid).count();
    let first = left_out().next().map(first_invalid).unwrap_or_default();
    format!(
        "{} left out because of an INVALID run, {} of A and {} of B; first: {first}",
        counted(record.left_out as u64, "pair"),
        count(Name::A),
        count(Name::B)
    )
}

/// How many of the runs that count are SUSPECT, and the reason of the first one.
fn suspect(record: &AbRecord) -> Option<String> {
    let pairs = record.stored.counted();
    let runs = pairs.iter().flat_map(|pair| {
        let [first, second] = pair.order();
        [(pair.number, first), (pair.number, second)]
            .map(|(number, name)| (format!("pair {number}, {name}"), pair.side(name)))
    });
    let suspect: Vec<_> = runs.filter(|(_, run)| run.verdict == Verdict::Suspect).collect();
    let (name, run) = suspect.first()?;
    let all = counted(2 * pairs.len() as u64, "run");
    let reason = run.reason.as_deref().unwrap_or_default();
    Some(format!("{} of {all} SUSPECT; first: {name}: {reason}", suspect.len()))
}

/// The first INVALID run of a pair, with its reason.
pub(super) fn first_invalid(pair: &Pair) -> String {
    let is_invalid = |name: &Name| pair.side(*name).verdict == Verdict::Invalid;
    let name = pair.order().into_iter().find(is_invalid);
    name.map_or_else(String::new, |name| {
        let reason = pair.side(name).reason.clone().unwrap_or_default();
        format!("pair {}, {name}: {reason}", pair.number)
    })
}

fn sides(record: &AbRecord) -> &'static [Name] {
    if record.null.is_some() { &[Name::A] } else { &[Name::A, Name::B] }
}

/// A side: its runs that count, and its server.
fn side(record: &AbRecord, name: Name) -> String {
    let plan = &record.stored.plan;
    let runs = match record.null.is_some() {
        true => 2 * record.counted,
        false => record.counted,
    };
    format!("{}, {}", counted(runs as u64, "run"), server(plan, name))
}

/// The server of a side, as the user named it.
pub(super) fn server(plan: &PlanText, name: Name) -> String {
    let args: &ArgsRecord = match name {
        Name::A => &plan.a,
        Name::B => &plan.b,
    };
    let target = format!("{}{}", args.target, args.http_path.as_deref().unwrap_or_default());
    match &args.server_command {
        Some(command) => format!("'{command}' at {target}"),
        None => target,
    }
}

/// The tables, each with its head first.
fn tables(record: &AbRecord) -> Vec<Vec<Vec<String>>> {
    let mut tables = Vec::new();
    if let Some(null) = &record.null {
        tables.push(null_table(null));
    }
    if !record.judged.findings.is_empty() {
        let title = ["", "A", "B", "B/A", "95 % interval", "p", "p (Holm)", "B is"];
        let head = title.map(str::to_owned).into();
        let rows = record.judged.findings.iter().map(row);
        tables.push([head].into_iter().chain(rows).collect());
    }
    tables.retain(|table| table.len() > 1);
    tables
}

/// The cells of a metric.
fn row(finding: &Finding) -> Vec<String> {
    let value = |value: f64, at_least: bool| {
        let sign = if at_least { ">= " } else { "" };
        format!("{sign}{}", (finding.metric.show)(value))
    };
    let interval = |[low, high]: [f64; 2]| format!("{low:.3} - {high:.3}");
    let unknown = if finding.p.is_some() { "n/a" } else { "" };
    vec![
        finding.metric.name.to_owned(),
        value(finding.a, finding.a_at_least),
        value(finding.b, finding.b_at_least),
        format!("{:.3}", finding.ratio),
        finding.ratio_ci95.map_or_else(|| unknown.to_owned(), interval),
        finding.p.map_or_else(String::new, probability),
        finding.p_holm.map_or_else(String::new, probability),
        finding.judgement.word().to_owned(),
    ]
}

fn null_table(null: &NullRecord) -> Vec<Vec<String>> {
    let percent = |count: usize| {
        let share =
            if null.comparisons == 0 { 0.0 } else { count as f64 / null.comparisons as f64 };
        format!("{:.1} %", 100.0 * share)
    };
    let mut head = vec![String::new(), "spread".to_owned(), "false alarms".to_owned()];
    head.extend(super::null::DIFFERENCES.map(|d| format!("finds +{}", share(d))));
    let row = |metric: &super::null::NullMetric| {
        let mut row = vec![metric.metric.clone()];
        row.push(format!("{:.1} %", 100.0 * metric.deviation));
        row.push(percent(metric.false_alarms));
        row.extend(metric.power.iter().map(|power| {
            let pairs = power.pairs.map(|pairs| format!(", {pairs:.0} pairs"));
            format!("{}{}", percent(power.found), pairs.unwrap_or_default())
        }));
        row
    };
    [head].into_iter().chain(null.metrics.iter().map(row)).collect()
}

/// How the numbers of the tables came about.
fn legend(record: &AbRecord) -> String {
    let plan = &record.stored.plan;
    let deciding = record.judged.findings.iter().filter(|finding| finding.p.is_some()).count();
    let mut legend = format!(
        "A, B: medians of runs; B/A: of pairs with the same seed and a random order \
         (Hodges-Lehmann); interval and p: of a test martingale, true after every pair; corrected \
         for {} (Holm); the same: the interval lies within ±{}",
        counted((deciding + record.judged.unknown.len()) as u64, "metric"),
        share(plan.delta)
    );
    if let Some(null) = &record.null {
        legend = format!(
            "spread: standard deviation of B/A; false alarms: of comparisons of up to {} \
             consecutive pairs, stopped at the first pair that shows a difference; finds: in how \
             many of them a difference is found that is added to these pairs, and after how many \
             pairs (median). {legend}",
            null.pairs
        );
    }
    legend
}

/// A ratio as a change: "+10.8 %".
pub(super) fn change(ratio: f64) -> String {
    format!("{:+.1} %", 100.0 * (ratio - 1.0))
}

/// A share as per cent, without needless digits: "3 %", "0.5 %".
fn share(share: f64) -> String {
    format!("{} %", (1e6 * share).round() / 1e4)
}

/// A pair in a line, during the measurement.
pub(super) fn line(record: &AbRecord, pair: &Pair) -> String {
    let plan = &record.stored.plan;
    if pair.left_out {
        return format!("{}; the pair is left out", first_invalid(pair));
    }
    let is_deciding = plan.deciding();
    let metrics = METRICS.iter().filter(|metric| is_deciding(metric));
    let changes = metrics.filter_map(|metric| {
        Some(format!("{} {}", metric.name, change(pair.difference(metric.name)?.exp())))
    });
    let changes = changes.collect::<Vec<_>>().join(", ");
    format!(
        "pair {}, {} of at most {}, {} first: {changes}{}",
        pair.number,
        record.counted,
        plan.pairs_to_measure(),
        pair.first,
        decided(record)
    )
}

/// What is decided of A and B while other metrics are not.
fn decided(record: &AbRecord) -> String {
    let findings = record.judged.findings.iter().filter(|finding| finding.p.is_some());
    let decided = findings.filter(|finding| finding.judgement != Judgement::Undecided);
    let texts: Vec<String> = decided
        .map(|finding| format!("{} {}", finding.metric.name, finding.judgement.word()))
        .collect();
    match texts.is_empty() || record.null.is_some() {
        true => String::new(),
        false => format!("; decided: {}", texts.join(", ")),
    }
}

/// All that is said without a report: why the exit code is not 0.
pub(super) fn quiet_line(record: &AbRecord) -> Option<String> {
    let (_, word) = headline(record);
    (record.exit_code() != 0).then(|| {
        let notes = notes(record);
        let grave = notes.iter().filter(|note| !note.starts_with("CO-LOCATED"));
        grave.fold(format!("{word}: {}", explained(record)), |all, note| format!("{all}; {note}"))
    })
}

/// How long the measurement took, in seconds.
pub(super) fn elapsed_s(record: &AbRecord) -> f64 {
    let started = record.stored.pairs.iter().flat_map(|pair| [&pair.a, &pair.b]);
    let started: Vec<f64> = started.filter_map(|run| run.started_unix_s).collect();
    let args = &record.stored.plan.a;
    let length = args.warmup_s + args.duration_s;
    stats::range(&started).map_or(0.0, |(first, last)| last - first + length)
}

#[cfg(test)]
mod tests {
    use super::super::null::tests::null_pairs;
    use super::super::pair::tests::pair;
    use super::super::record::StoredAb;
    use super::super::record::tests::{invalid, record};
    use super::*;

    const AB: &str = "--a 'old {addr}' --b 'new_1 <x> {addr}'";

    fn pairs(count: u32, ratio: f64) -> Vec<Pair> {
        (1..=count).map(|number| pair(number, ratio)).collect()
    }

    fn plain(record: &AbRecord) -> String {
        text(record, Style::PLAIN).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_report_begins_with_the_judgement_and_the_size_of_the_difference() {
        let slower = record(AB, pairs(9, 1.2));
        let begins = "SLOWER: B is slower than A in p50 (+20.0 %), p99 (+20.0 %), server cpu \
                      (+20.0 %), after 9 pairs of at most 40 A 9 runs, 'old {addr}' at \
                      127.0.0.1:5555 B 9 runs, 'new_1 ";
        assert!(plain(&slower).starts_with(begins), "{}", plain(&slower));
        assert!(plain(&slower).contains("p50 100 µs 120 µs 1.200 "), "{}", plain(&slower));
        let same = record(&format!("{AB} --pairs 12"), pairs(12, 1.0));
        let begins = "SAME: B is as fast as A within 3 %, after 12 pairs A ";
        assert!(plain(&same).starts_with(begins), "{}", plain(&same));
    }

    #[test]
    fn undecided_says_how_many_pairs_would_decide() {
        let noisy = record(&format!("{AB} --pairs 30"), null_pairs(30, 3));
        let text = plain(&noisy);
        let begins = "UNDECIDED: after 30 pairs, nothing is decided for ";
        assert!(text.starts_with(begins), "{text}");
        assert!(text.contains("show a difference of 3 % with this spread (80 % power): "));
        for finding in &noisy.judged.findings {
            if let Some(pairs) = finding.pairs_to_decide {
                assert!(text.contains(&format!(" {pairs}")) && pairs > 20, "{text}");
            }
        }
        let none = plain(&record(AB, vec![]));
        assert!(none.starts_with("UNDECIDED: after 0 pairs of at most 40, nothing"), "{none}");
    }

    #[test]
    fn what_was_left_out_failed_or_interrupted_is_said() {
        let mut all = pairs(9, 1.2);
        all.push(invalid(10));
        all[1].b.had_errors = true;
        all[1].b.failed_requests = 1_234;
        all[2].a.verdict = Verdict::Suspect;
        all[2].a.reason = Some("errors: 5".to_owned());
        let stored = StoredAb { interrupted: true, ..record(AB, all).stored };
        let text = plain(&AbRecord::new(stored));
        for said in [
            "- NOT COMPLETE after 9 pairs of at most 40",
            "- B had errors: 1,234 requests failed",
            "- 1 of 18 runs SUSPECT; first: pair 3, A: errors: 5",
            "- 1 pair left out because of an INVALID run, 0 of A and 1 of B; first: pair 10, B: \
             loader-late: p99 1 ms",
        ] {
            assert!(text.contains(said), "{said}: {text}");
        }
        let given_up = record(AB, (1..=5).map(invalid).collect());
        let begins = "INVALID: 5 of 5 pairs had an INVALID run, so that nothing can be concluded - \
                      5 pairs left out because of an INVALID run, 0 of A and 5 of B; first: pair \
                      1, B: loader-late: p99 1 ms A 0 runs, ";
        assert!(plain(&given_up).starts_with(begins), "{}", plain(&given_up));
    }

    #[test]
    fn a_against_itself_has_the_false_alarms_and_what_is_found() {
        let text = plain(&record("--null=120 --a 'old {addr}' --pairs 40", null_pairs(120, 1)));
        let begins = "NO DIFFERENCE: 120 pairs of A against itself: 0 of 81 comparisons of 40 \
                      consecutive pairs (0.0 %) were false alarms, and 0 of 3 that share no pair";
        assert!(text.starts_with(begins), "{text}");
        assert!(text.contains("spread false alarms finds +3 % finds +5 % finds +10 %"), "{text}");
        let text = plain(&record("--null=50 --a 'old {addr}'", pairs(50, 1.2)));
        let begins = "A DIFFERS FROM ITSELF: 50 pairs of A against itself: all 50 pairs together \
                      show a difference in p50 (+20.0 %)";
        assert!(text.starts_with(begins), "{text}");
    }

    #[test]
    fn markdown_has_tables_with_a_line_under_their_heads_and_no_markup_from_outside() {
        let text = markdown(&record(AB, pairs(9, 1.2)));
        assert!(text.starts_with("**SLOWER**: B is slower than A in p50"), "{text}");
        assert!(text.contains("- B: 9 runs, 'new\\_1 &lt;x> {addr}' at "), "{text}");
        let table: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
        assert_eq!(table[1], "|---|--:|--:|--:|--:|--:|--:|--:|");
        let columns = |line: &&str| line.replace("\\|", "").matches('|').count();
        assert!(table.iter().all(|line| columns(line) == 9), "{text}");
        assert_eq!(table.len(), 2 + 3);
    }

    #[test]
    fn a_pair_is_a_line_with_its_order_and_its_differences() {
        let some = record(AB, pairs(3, 1.2));
        let text = line(&some, &some.stored.pairs[2]);
        let expected = "pair 3, 3 of at most 40, A first: p50 +20.0 %, p99 +20.0 %, server \
                        cpu +20.0 %";
        assert_eq!(text, expected);
        let left_out = record(AB, vec![invalid(1)]);
        let text = line(&left_out, &left_out.stored.pairs[0]);
        let expected = "pair 1, B: loader-late: p99 1 ms; the pair is left out";
        assert_eq!(text, expected);
    }

    #[test]
    fn without_a_report_only_what_is_wrong_is_said() {
        assert_eq!(quiet_line(&record(AB, pairs(12, 1.0))), None);
        let text = quiet_line(&record(AB, pairs(9, 1.2))).unwrap();
        assert!(text.starts_with("SLOWER: B is slower than A in p50 (+20.0 %)"), "{text}");
    }
}
