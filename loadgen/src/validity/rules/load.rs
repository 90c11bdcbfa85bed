//! Whether the load was as requested and the plan was carried out, and whether the counts agree
//! with the times.

use super::super::Evidence;
use super::advice::{Remedy, untried};
use super::cause::{Cause, Loss};
use super::{loader, percent};
use crate::record::{Code, LatencyRecord, Reason, Verdict};
use crate::units::{self, counted, grouped};

/// Shares of the offered rate that must be achieved.
const ACHIEVED_SUSPECT: f64 = 0.99;
const ACHIEVED_INVALID: f64 = 0.95;

/// By how many standard deviations of the number of arrivals the replies must be fewer, before a
/// server is overloaded.
const CHANCE_DEVIATIONS: f64 = 3.0;

/// Requests that are not answered in time for each that was due while the loader stood still:
/// those, and those that waited behind them at the server afterwards.
const STALLED_CAUSE: f64 = 2.0;

/// Share of the calibrated maximum up to which the loader has spare capacity.
const CEILING_SUSPECT: f64 = 0.8;

/// Largest difference between the two means of outstanding requests.
const LITTLE_SUSPECT: f64 = 0.05;

/// Fewer requests were answered than the schedule put into the window.
pub(super) fn below(evidence: &Evidence<'_>) -> Option<Reason> {
    let rate = &evidence.run.rate;
    let offered = rate.offered_per_s.filter(|&offered| offered > 0.0)?;
    let achieved = rate.achieved_per_s / offered;
    // The share of a lost agent is missing whatever loader and server do.
    let is_agent_lost = evidence.run.agents.iter().any(|agent| agent.lost.is_some());
    if achieved >= ACHIEVED_SUSPECT || is_agent_lost {
        return None;
    }
    let cause = missing_cause(evidence);
    // A queue that is nearly full is longer or shorter at the end of the window by chance.
    let missing = (offered - rate.achieved_per_s) * rate.measured_s;
    let by_chance = CHANCE_DEVIATIONS * (offered * rate.measured_s).sqrt();
    if cause == Cause::Slow && missing <= by_chance {
        return None;
    }
    let text = format!(
        "{} of the offered {} requests/s were achieved: {}",
        percent(achieved),
        units::rate(offered),
        match cause {
            Cause::Slow if evidence.is_timed() => {
                "the server left the others waiting; --speed is too high for it, or it got too \
                 little processor time"
                    .to_owned()
            }
            cause => cause.text(evidence.run),
        }
    );
    Some(match cause {
        _ if cause.is_slowness() && evidence.is_flat() => {
            let depend = "percentiles depend on the length of the run";
            Reason::suspect(Code::Overloaded, format!("{text}; {depend}"))
        }
        _ if cause.is_slowness() => Reason::label(Code::Overloaded, text),
        Cause::Loader => {
            let remedies = [Remedy::MoreThreads, Remedy::LowerRate, Remedy::OtherMachine];
            let text = format!("{text}; use {}", untried(evidence, &remedies));
            below_by_loader(achieved, text)
        }
        _ if cause.is_of_loader() => below_by_loader(achieved, text),
        _ => Reason::suspect(Code::BelowRate, text),
    })
}

fn below_by_loader(achieved: f64, text: String) -> Reason {
    if achieved < ACHIEVED_INVALID {
        Reason::invalid(Code::BelowRate, text)
    } else {
        Reason::suspect(Code::BelowRate, text)
    }
}

/// Why requests were not answered in time. If all were answered in the end, the longer wait
/// decides: for the loader, or for the server.
fn missing_cause(evidence: &Evidence<'_>) -> Cause {
    let (rate, latency) = (&evidence.run.rate, &evidence.run.latency_ns);
    let total =
        |latency: &LatencyRecord| u128::from(latency.mean.unwrap_or(0)) * u128::from(latency.count);
    let is_late = total(&latency.loader_late) > total(&latency.blocked) + total(&latency.service);
    let cause = evidence.cause().unwrap_or(if is_late { Cause::Loader } else { Cause::Slow });
    if !cause.is_slowness() {
        return cause;
    }
    let stalled = evidence.run.threads.iter().map(|thread| thread.stalled_s);
    let stalled_s = stalled.sum::<f64>() / evidence.run.threads.len().max(1) as f64;
    let offered = rate.offered_per_s.unwrap_or_default();
    let missing = (offered - rate.achieved_per_s) * rate.measured_s;
    let is_busy = loader::cpu(evidence).is_some_and(|reason| reason.level == Verdict::Invalid);
    let is_of_loader = missing <= STALLED_CAUSE * stalled_s * offered || is_busy;
    if is_of_loader { Cause::Loader } else { cause }
}

/// The rate is so close to the loader's maximum on this machine that the loader affects the result.
pub(super) fn near_ceiling(evidence: &Evidence<'_>) -> Option<Reason> {
    let of_a_thread = evidence.env.calibration.as_ref()?.ceiling_per_s;
    let threads = evidence.run.threads.len().min(evidence.env.cpus.unwrap_or(usize::MAX));
    let ceiling = of_a_thread * threads as f64;
    let rate = &evidence.run.rate;
    let load = rate.offered_per_s.unwrap_or(rate.achieved_per_s);
    (load > CEILING_SUSPECT * ceiling).then(|| {
        let text = format!(
            "{} requests/s are {} of what this loader can do here ({} requests/s); use {}",
            units::rate(load),
            percent(load / ceiling),
            units::rate(ceiling),
            untried(evidence, &[Remedy::MoreThreads, Remedy::OtherMachine])
        );
        Reason::suspect(Code::NearCeiling, text)
    })
}

/// The number of outstanding requests and their service times contradict each other (Little, 1961).
///
/// Both count every request, and each with the part of its time that lies in the window. So they
/// agree whatever the server does, also for requests that were lost or reach beyond the window.
pub(super) fn little(evidence: &Evidence<'_>) -> Option<Reason> {
    let (found, expected) = (evidence.run.outstanding_mean, evidence.run.outstanding_by_service);
    ((found - expected).abs() > LITTLE_SUSPECT * found.max(expected)).then(|| {
        let text = format!(
            "the times of all requests say that {expected:.2} were outstanding on average, and \
             {found:.2} were counted (Little's law): the measurement contradicts itself; please \
             report this"
        );
        Reason::suspect(Code::Little, text)
    })
}

/// The window opened with more requests waiting than chance leaves in a steady state.
pub(super) fn carried_backlog(evidence: &Evidence<'_>) -> Option<Reason> {
    let (carried, usual) = (evidence.run.counters.backlog_at_window, evidence.run.outstanding_mean);
    // Three standard deviations of a Poisson number, and one request.
    let allowed = usual + 3.0 * usual.sqrt() + 1.0;
    (evidence.is_open() && carried as f64 > allowed).then(|| {
        let advice = match evidence.is_timed() {
            true => "begin at another place of the file, with another --warmup",
            false => "use a longer --warmup",
        };
        let text = format!(
            "{} requests were waiting when the measured window opened, {usual:.1} on average in \
             it; {advice}",
            grouped(carried)
        );
        Reason::label(Code::CarriedBacklog, text)
    })
}

/// The number of requests is not exact.
pub(super) fn estimated(evidence: &Evidence<'_>) -> Option<Reason> {
    let estimated = evidence.run.counters.unsent_estimated;
    (estimated > 0).then(|| {
        let text = format!(
            "{} that were never sent are too many to count: their number is that of the rate, and \
             the random gaps make it some {} more or fewer",
            counted(estimated, "request"),
            grouped(estimated.isqrt())
        );
        Reason::label(Code::Estimated, text)
    })
}

/// Share of requests whose loss the percentiles would show.
const LOST_SUSPECT: f64 = 0.001;

/// Share of connects that may fail. While a connection cannot be established, a closed loop asks
/// less, and no request is counted as lost.
const CONNECTS_SUSPECT: f64 = 0.05;

/// Share of connections from which a server that ends them does so by plan.
const CLOSED_EACH: f64 = 0.5;

/// No request was measured.
pub(super) fn nothing_measured(evidence: &Evidence<'_>) -> Option<Reason> {
    let counters = &evidence.run.counters;
    if counters.measured > 0 {
        return None;
    }
    let why = match evidence.cause() {
        _ if counters.in_window == 0 && evidence.run.interrupted => {
            "the run was interrupted before".to_owned()
        }
        _ if counters.in_window == 0 && evidence.is_timed() => {
            "no request of the file is due in the measured window; use a longer --duration or a \
             shorter --warmup"
                .to_owned()
        }
        _ if counters.in_window == 0 && evidence.is_open() => {
            "the schedule had none in the measured window; use a longer --duration or a higher \
             --rate"
                .to_owned()
        }
        Some(cause) => cause.text(evidence.run),
        // Not even the first connect of a closed loop succeeded.
        None => Loss::of_most_connects(counters).map_or_else(
            || "none began in the measured window; use a longer --duration".to_owned(),
            |loss| loss.text(evidence.run),
        ),
    };
    Some(Reason::invalid(Code::NothingMeasured, format!("no request was measured: {why}")))
}

/// Requests failed: their connections were lost, or their replies were not the wanted ones. Their
/// latencies are lower bounds at best.
pub(super) fn errors(evidence: &Evidence<'_>) -> Option<Reason> {
    let counters = &evidence.run.counters;
    let lost = counters.failed_requests() + counters.unsent_unconnected;
    let unconnected = counters.connect_failures;
    let ended = counters.closed_by_server + counters.resets + counters.truncated;
    if lost + counters.mismatches + unconnected + ended + counters.tls_errors == 0 {
        return None;
    }
    let share = lost as f64 / counters.scheduled.max(1) as f64;
    let attempts = counters.connects + unconnected;
    let of_connects = unconnected as f64 / attempts.max(1) as f64;
    let requests = (lost > 0).then(|| {
        let all = counted(counters.scheduled, "request");
        format!("{} of {all} failed ({})", grouped(lost), percent(share))
    });
    let connects = (unconnected > 0).then(|| {
        let kinds = [
            (counters.connects_refused, "refused: nothing listened"),
            (counters.connects_timed_out, "without an answer"),
            (counters.connects_exhausted, "for lack of a descriptor, port or memory here"),
            (counters.handshake_failures, "in the TLS handshake"),
        ];
        let kinds = kinds.iter().filter(|(count, _)| *count > 0);
        let kinds: Vec<String> =
            kinds.map(|(count, kind)| format!("{} {kind}", grouped(*count))).collect();
        let kinds =
            if kinds.is_empty() { String::new() } else { format!(" ({})", kinds.join(", ")) };
        let all = counted(attempts, "connect");
        format!("{} of {all} failed{kinds}", grouped(unconnected))
    });
    let wrong = (counters.mismatches > 0).then(|| {
        let connections = counted(counters.mismatches, "connection");
        format!("{connections} got wrong bytes: is it the right --protocol?")
    });
    let ended_share = ended as f64 / counters.connects.max(1) as f64;
    let replaced = (ended > 0).then(|| {
        let replies = counters.completed / counters.connects.max(1);
        let advice = match replies {
            // The connections were lost for another reason than their age.
            _ if ended_share < CLOSED_EACH || lost > ended => String::new(),
            0 | 1 => ": does it close each after its reply? Use --connect-per-request".to_owned(),
            _ => format!(": does it close each after some {replies} replies? Use --churn"),
        };
        format!("the server ended {} of its own accord{advice}", counted(ended, "connection"))
    });
    let broken = (counters.tls_errors > 0).then(|| Loss::Tls.text(evidence.run));
    let found = [requests, connects, wrong, broken, replaced];
    let found: Vec<String> = found.into_iter().flatten().collect();
    let text = format!("{}; see the list of errors", found.join("; "));
    let wrong_bytes = counters.mismatches + counters.changed_bodies + counters.wrong_values;
    let grave =
        share > LOST_SUSPECT || of_connects.max(ended_share) > CONNECTS_SUSPECT || wrong_bytes > 0;
    Some(if grave {
        Reason::suspect(Code::Errors, text)
    } else {
        Reason::label(Code::Errors, text)
    })
}

/// No connection was left.
pub(super) fn ended_early(evidence: &Evidence<'_>) -> Option<Reason> {
    let seconds = evidence.run.ended_early_s?;
    let why = Loss::of_most_connects(&evidence.run.counters);
    let text = format!(
        "the run ended early, after {seconds:.1} s: no connection was left{}",
        why.map(|loss| format!(", and {}", loss.text(evidence.run))).unwrap_or_default()
    );
    Some(Reason::suspect(Code::EndedEarly, text))
}

/// A signal ended the run.
pub(super) fn interrupted(evidence: &Evidence<'_>) -> Option<Reason> {
    evidence.run.interrupted.then(|| {
        let text = "interrupted by a signal: these are partial results";
        Reason::suspect(Code::Interrupted, text.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{codes, findings, one};
    use crate::record::Verdict::{self, Invalid, Suspect, Valid};
    use crate::record::tests::sample;
    use crate::record::{Code, RunRecord};

    /// What is found when this share of the offered rate was achieved.
    fn when(achieved: f64, cause: impl FnOnce(&mut RunRecord)) -> Vec<(Code, Verdict)> {
        codes(sample::open(), |_, run| {
            run.rate.achieved_per_s = achieved * run.rate.offered_per_s.unwrap();
            cause(run);
        })
    }

    fn by_the_loader(run: &mut RunRecord) {
        run.counters.unsent = 1_000;
    }

    fn by_the_server(run: &mut RunRecord) {
        run.counters.unsent = 1_000;
        run.counters.unsent_blocked = 1_000;
    }

    #[test]
    fn a_loader_that_falls_behind_is_suspect_below_99_and_invalid_below_95_percent() {
        assert_eq!(when(0.99, by_the_loader), []);
        assert_eq!(when(0.989, by_the_loader), one(Code::BelowRate, Suspect));
        assert_eq!(when(0.95, by_the_loader), one(Code::BelowRate, Suspect));
        assert_eq!(when(0.949, by_the_loader), one(Code::BelowRate, Invalid));
    }

    #[test]
    fn a_server_that_falls_behind_is_overloaded_however_few_the_intervals_are() {
        assert_eq!(when(0.5, by_the_server), one(Code::Overloaded, Suspect));
        assert_eq!(when(0.5, |run| run.counters.censored = 1_000), one(Code::Overloaded, Suspect));
        let found = when(0.5, |run| {
            by_the_server(run);
            run.intervals.truncate(2);
        });
        assert_eq!(found, one(Code::Overloaded, Suspect));
    }

    #[test]
    fn a_server_that_a_ramp_overloads_is_a_finding_and_no_fault() {
        let found = codes(sample::open(), |record, run| {
            record.args.rate = Some("1k..3k".to_owned().into());
            run.rate.achieved_per_s = 0.5 * run.rate.offered_per_s.unwrap();
            by_the_server(run);
        });
        assert_eq!(found, one(Code::Overloaded, Valid));
    }

    #[test]
    fn a_loader_without_processor_time_cannot_blame_the_server() {
        let found = when(0.5, |run| {
            by_the_server(run);
            run.threads[0].cpu_share = 1.0;
        });
        assert_eq!(found, [(Code::LoaderCpu, Invalid), (Code::BelowRate, Invalid)]);
    }

    #[test]
    fn what_was_due_while_the_loader_stood_still_is_not_the_servers_backlog() {
        let stopped_for = |stalled_s: f64| {
            when(0.94, |run| {
                by_the_server(run);
                run.threads[0].stalled_s = stalled_s;
            })
        };
        assert!(stopped_for(0.9).contains(&(Code::BelowRate, Invalid)));
        assert!(stopped_for(0.1).contains(&(Code::Overloaded, Suspect)));
    }

    #[test]
    fn a_queue_that_is_longer_at_the_end_by_chance_is_no_overload() {
        // 40,000 requests: three standard deviations are 600.
        assert_eq!(when(0.986, |_| {}), []);
        assert_eq!(when(0.984, |_| {}), one(Code::Overloaded, Suspect));
    }

    #[test]
    fn requests_lost_to_errors_are_neither_s_slowness() {
        let found = when(0.5, |run| run.counters.failed = 1_000);
        assert!(found.contains(&(Code::BelowRate, Suspect)), "{found:?}");
        let found = when(0.5, |run| run.counters.unexpected_status = 1_000);
        assert!(found.contains(&(Code::BelowRate, Suspect)), "{found:?}");
    }

    #[test]
    fn requests_without_a_connection_are_no_fault_of_the_loader() {
        let found = when(0.5, |run| {
            run.counters.unsent = 20_000;
            run.counters.unsent_unconnected = 20_000;
            run.counters.connect_failures = 749;
            run.counters.connects_refused = 749;
        });
        assert_eq!(found, [(Code::Errors, Suspect), (Code::BelowRate, Suspect)]);
    }

    #[test]
    fn late_sends_explain_a_rate_that_was_missed_although_every_request_was_answered() {
        let late = |mean_ns: u64| when(0.9, |run| run.latency_ns.loader_late.mean = Some(mean_ns));
        assert!(late(1_000).contains(&(Code::Overloaded, Suspect)));
        assert!(late(200_000).contains(&(Code::BelowRate, Invalid)));
    }

    #[test]
    fn the_loader_must_have_a_fifth_of_its_ceiling_to_spare() {
        let when = |ceiling_per_s: f64, threads: usize| {
            codes(sample::open(), |record, run| {
                record.env.calibration = Some(sample::calibration(ceiling_per_s));
                record.env.cpus = Some(8);
                run.threads = vec![run.threads[0].clone(); threads];
            })
        };
        assert_eq!(when(2_500.0, 1), []);
        assert_eq!(when(2_499.0, 1), one(Code::NearCeiling, Suspect));
        assert_eq!(when(1_250.0, 2), []);
    }

    #[test]
    fn outstanding_requests_must_agree_with_their_times_within_five_percent() {
        let when = |factor: f64| codes(sample::closed(), |_, run| run.outstanding_mean *= factor);
        assert_eq!(when(1.04), []);
        assert_eq!(when(1.06), one(Code::Little, Suspect));
        assert_eq!(when(0.94), one(Code::Little, Suspect));
        let found = codes(sample::open(), |_, run| run.outstanding_mean *= 1.1);
        assert_eq!(found, one(Code::Little, Suspect));
    }

    #[test]
    fn a_carried_backlog_or_lost_requests_are_no_contradiction() {
        let found = codes(sample::open(), |_, run| {
            // The times of requests that were carried in are in both means, not in the latencies.
            run.outstanding_mean *= 40.0;
            run.outstanding_by_service *= 40.0;
        });
        assert_eq!(found, []);
    }

    #[test]
    fn a_backlog_beyond_chance_is_a_label() {
        let when = |backlog: u64| {
            codes(sample::open(), |_, run| {
                // 4 + 3 * 2 + 1 are allowed.
                run.outstanding_mean = 4.0;
                run.outstanding_by_service = 4.0;
                run.counters.backlog_at_window = backlog;
            })
        };
        assert_eq!(when(11), []);
        assert_eq!(when(12), one(Code::CarriedBacklog, Valid));
    }

    #[test]
    fn advice_about_timed_requests_names_no_rate() {
        type Change = fn(&mut RunRecord);
        let said = |change: Change| {
            let found = findings(sample::open(), |record, run| {
                record.args.arrival = Some("timed".to_owned());
                record.args.rate = Some("mean 20.253".to_owned().into());
                change(run);
            });
            found.into_iter().map(|reason| reason.text).collect::<Vec<_>>().join("\n")
        };
        let cases: [(Change, &str); 4] = [
            (
                |run| {
                    run.rate.achieved_per_s = 0.5 * run.rate.offered_per_s.unwrap();
                    by_the_server(run);
                },
                "--speed is too high",
            ),
            (
                |run| {
                    run.rate.achieved_per_s = 0.5 * run.rate.offered_per_s.unwrap();
                    by_the_loader(run);
                },
                "a lower --speed",
            ),
            (
                |run| {
                    run.outstanding_mean = 4.0;
                    run.outstanding_by_service = 4.0;
                    run.counters.backlog_at_window = 12;
                },
                "with another --warmup",
            ),
            (
                |run| {
                    run.counters.measured = 0;
                    run.counters.in_window = 0;
                },
                "a shorter --warmup",
            ),
        ];
        for (change, advice) in cases {
            let said = said(change);
            assert!(said.contains(advice) && !said.contains("rate is"), "{advice}: {said}");
            assert!(!said.contains("--rate"), "{said}");
        }
    }

    #[test]
    fn a_run_that_measured_nothing_is_invalid() {
        let found = codes(sample::closed(), |_, run| run.counters.measured = 0);
        assert_eq!(found, one(Code::NothingMeasured, Invalid));
    }

    #[test]
    fn errors_are_reported_and_suspect_from_one_request_in_a_thousand() {
        let when = |failed: u64, mismatches: u64| {
            codes(sample::closed(), |_, run| {
                run.counters.scheduled = 10_000;
                run.counters.failed = failed;
                run.counters.mismatches = mismatches;
            })
        };
        assert_eq!(when(0, 0), []);
        assert_eq!(when(10, 0), one(Code::Errors, Valid));
        assert_eq!(when(11, 0), one(Code::Errors, Suspect));
        assert_eq!(when(1, 1), one(Code::Errors, Suspect), "a wrong byte is never a small matter");
        let changed = codes(sample::closed(), |_, run| run.counters.changed_bodies = 1);
        assert_eq!(changed, one(Code::Errors, Suspect));
    }

    #[test]
    fn a_reply_with_an_unexpected_status_is_a_failed_request() {
        let when = |unexpected: u64| {
            codes(sample::closed(), |_, run| {
                run.counters.scheduled = 10_000;
                run.counters.unexpected_status = unexpected;
            })
        };
        assert_eq!(when(10), one(Code::Errors, Valid));
        assert_eq!(when(11), one(Code::Errors, Suspect));
    }

    #[test]
    fn connects_that_fail_count_although_no_request_was_lost() {
        let found = |failures: u64| {
            findings(sample::closed(), |_, run| {
                run.counters.connects = 64;
                run.counters.connect_failures = failures;
                run.counters.connects_refused = failures;
            })
        };
        assert_eq!((&found(3)[0].code, found(3)[0].level), (&Code::Errors, Valid));
        assert_eq!((&found(749)[0].code, found(749)[0].level), (&Code::Errors, Suspect));
        let text = &found(749)[0].text;
        assert!(
            text.starts_with("749 of 813 connects failed (749 refused: nothing listened); see"),
            "{text}"
        );
    }

    #[test]
    fn only_what_failed_is_counted_in_the_text() {
        let found = findings(sample::closed(), |_, run| {
            run.counters.scheduled = 200;
            run.counters.failed = 100;
            run.counters.mismatches = 100;
        });
        let said = "100 of 200 requests failed (50 %); 100 connections got wrong bytes: is it the \
                    right --protocol?; see the list of errors";
        assert_eq!(found[0].text, said);
    }

    #[test]
    fn a_plan_not_carried_out_is_suspect() {
        let found = codes(sample::closed(), |_, run| run.interrupted = true);
        assert_eq!(found, one(Code::Interrupted, Suspect));
        let found = codes(sample::closed(), |_, run| run.ended_early_s = Some(2.0));
        assert_eq!(found, one(Code::EndedEarly, Suspect));
    }
}
