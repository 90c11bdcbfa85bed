//! Counters of requests and connections, and the check that none is missing.

use serde::{Deserialize, Serialize};

/// Counts over the whole run, with warm-up and drain unless stated otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counters {
    /// Requests that were due; in a closed loop, requests sent.
    pub(crate) scheduled: u64,
    /// Requests whose first byte was written to a socket.
    pub(crate) sent: u64,
    /// Scheduled requests that could not be sent before the drain ended.
    pub(crate) unsent: u64,
    /// Unsent requests whose connection was open and could not be used: as many requests
    /// outstanding as allowed, a full socket, a handshake that did not end.
    #[serde(default)]
    pub(crate) unsent_blocked: u64,
    /// Unsent requests whose connection was lost, and was not established again or had no reply
    /// since.
    #[serde(default)]
    pub(crate) unsent_unconnected: u64,
    /// Unsent requests whose number is computed from the rate: too many to count, with random gaps.
    /// Their true number differs by some thousandths.
    #[serde(default)]
    pub(crate) unsent_estimated: u64,
    /// Requests with a complete and correct reply.
    pub(crate) completed: u64,
    /// Requests whose reply had an unexpected HTTP status, or was an error line of Redis or
    /// memcached. The connection goes on.
    #[serde(default)]
    pub(crate) unexpected_status: u64,
    /// Requests whose reply had an expected HTTP status, but another body than the run's first
    /// reply with that status. The connection goes on.
    #[serde(default)]
    pub(crate) changed_bodies: u64,
    /// Reads of Redis or memcached that returned a value which they must not return. The connection
    /// goes on.
    #[serde(default)]
    pub(crate) wrong_values: u64,
    /// Requests outstanding on a connection when it was lost to an error.
    pub(crate) failed: u64,
    /// Requests outstanding on a connection when it reached the timeout.
    pub(crate) timed_out: u64,
    /// Requests still unanswered when the drain ended.
    pub(crate) censored: u64,
    /// Scheduled requests whose intended time lies inside the measured window.
    pub(crate) in_window: u64,
    /// The completed ones of these requests. The latencies are theirs.
    pub(crate) measured: u64,
    /// Measured requests whose reply came after the window.
    pub(crate) answered_after_window: u64,
    /// Replies that came inside the measured window, those to requests of the warm-up included.
    /// The achieved rate is theirs.
    pub(crate) answered_in_window: u64,
    /// Measured requests slower than the histogram's maximum.
    pub(crate) saturated: u64,
    /// Requests due but unsent, or sent and unanswered, when the measured window opened.
    pub(crate) backlog_at_window: u64,
    /// Connections established, those that replaced others included.
    pub(crate) connects: u64,
    /// Attempts to connect that failed during the load.
    pub(crate) connect_failures: u64,
    /// Of these, the refused ones: nothing listened at the address.
    #[serde(default)]
    pub(crate) connects_refused: u64,
    /// Of these, the ones that had no answer within the timeout.
    #[serde(default)]
    pub(crate) connects_timed_out: u64,
    /// Of these, the ones for which this machine had no descriptor, port or memory left.
    #[serde(default)]
    pub(crate) connects_exhausted: u64,
    /// Of these, the ones whose TLS handshake failed.
    #[serde(default)]
    pub(crate) handshake_failures: u64,
    /// Connections closed by plan (churn).
    pub(crate) churned: u64,
    /// Bytes of requests written to sockets. Over TLS, those before encryption.
    pub(crate) bytes_sent: u64,
    /// Reply bytes read, wrong ones included. Over TLS, those after decryption.
    pub(crate) bytes_received: u64,
    /// Bytes written inside the measured window.
    pub(crate) bytes_sent_in_window: u64,
    /// Reply bytes read inside the measured window.
    pub(crate) bytes_received_in_window: u64,
    /// Connections closed because of a wrong byte.
    pub(crate) mismatches: u64,
    /// Connections that the server closed during the run.
    pub(crate) closed_by_server: u64,
    /// Connections that the server reset.
    pub(crate) resets: u64,
    /// Connections with a reply outstanding that made no progress for the timeout.
    pub(crate) timeouts: u64,
    /// TLS connections that ended without an announcement: what was received may be incomplete.
    #[serde(default)]
    pub(crate) truncated: u64,
    /// Connections that the server ended with an alert of TLS, or that broke its protocol.
    #[serde(default)]
    pub(crate) tls_errors: u64,
    /// Connections lost to any other socket error.
    pub(crate) other_errors: u64,
}

impl Counters {
    /// Whether every scheduled request, and every sent one, has exactly one result.
    pub(crate) fn conserved(&self) -> bool {
        self.scheduled == self.sent + self.unsent
            && self.sent == self.completed + self.failed_requests() + self.censored
    }

    /// Requests that were sent and failed, whatever the cause.
    pub(crate) fn failed_requests(&self) -> u64 {
        let wrong = self.unexpected_status + self.changed_bodies + self.wrong_values;
        wrong + self.failed + self.timed_out
    }

    /// Whether any request or connection failed.
    pub(crate) fn has_errors(&self) -> bool {
        let lost = self.mismatches
            + self.closed_by_server
            + self.resets
            + self.timeouts
            + self.truncated
            + self.tls_errors
            + self.other_errors;
        lost + self.connect_failures + self.failed_requests() + self.censored > 0
    }

    /// Adds another thread's or another run's counts.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.scheduled += other.scheduled;
        self.sent += other.sent;
        self.unsent += other.unsent;
        self.unsent_blocked += other.unsent_blocked;
        self.unsent_unconnected += other.unsent_unconnected;
        self.unsent_estimated += other.unsent_estimated;
        self.completed += other.completed;
        self.unexpected_status += other.unexpected_status;
        self.changed_bodies += other.changed_bodies;
        self.wrong_values += other.wrong_values;
        self.failed += other.failed;
        self.timed_out += other.timed_out;
        self.censored += other.censored;
        self.in_window += other.in_window;
        self.measured += other.measured;
        self.answered_after_window += other.answered_after_window;
        self.answered_in_window += other.answered_in_window;
        self.saturated += other.saturated;
        self.backlog_at_window += other.backlog_at_window;
        self.connects += other.connects;
        self.connect_failures += other.connect_failures;
        self.connects_refused += other.connects_refused;
        self.connects_timed_out += other.connects_timed_out;
        self.connects_exhausted += other.connects_exhausted;
        self.handshake_failures += other.handshake_failures;
        self.churned += other.churned;
        self.bytes_sent += other.bytes_sent;
        self.bytes_received += other.bytes_received;
        self.bytes_sent_in_window += other.bytes_sent_in_window;
        self.bytes_received_in_window += other.bytes_received_in_window;
        self.mismatches += other.mismatches;
        self.closed_by_server += other.closed_by_server;
        self.resets += other.resets;
        self.timeouts += other.timeouts;
        self.truncated += other.truncated;
        self.tls_errors += other.tls_errors;
        self.other_errors += other.other_errors;
    }

    /// The growth since an earlier moment of the same run.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            scheduled: self.scheduled - earlier.scheduled,
            sent: self.sent - earlier.sent,
            unsent: self.unsent - earlier.unsent,
            unsent_blocked: self.unsent_blocked - earlier.unsent_blocked,
            unsent_unconnected: self.unsent_unconnected - earlier.unsent_unconnected,
            unsent_estimated: self.unsent_estimated - earlier.unsent_estimated,
            completed: self.completed - earlier.completed,
            unexpected_status: self.unexpected_status - earlier.unexpected_status,
            changed_bodies: self.changed_bodies - earlier.changed_bodies,
            wrong_values: self.wrong_values - earlier.wrong_values,
            failed: self.failed - earlier.failed,
            timed_out: self.timed_out - earlier.timed_out,
            censored: self.censored - earlier.censored,
            in_window: self.in_window - earlier.in_window,
            measured: self.measured - earlier.measured,
            answered_after_window: self.answered_after_window - earlier.answered_after_window,
            answered_in_window: self.answered_in_window - earlier.answered_in_window,
            saturated: self.saturated - earlier.saturated,
            backlog_at_window: self.backlog_at_window - earlier.backlog_at_window,
            connects: self.connects - earlier.connects,
            connect_failures: self.connect_failures - earlier.connect_failures,
            connects_refused: self.connects_refused - earlier.connects_refused,
            connects_timed_out: self.connects_timed_out - earlier.connects_timed_out,
            connects_exhausted: self.connects_exhausted - earlier.connects_exhausted,
            handshake_failures: self.handshake_failures - earlier.handshake_failures,
            churned: self.churned - earlier.churned,
            bytes_sent: self.bytes_sent - earlier.bytes_sent,
            bytes_received: self.bytes_received - earlier.bytes_received,
            bytes_sent_in_window: self.bytes_sent_in_window - earlier.bytes_sent_in_window,
            bytes_received_in_window: self.bytes_received_in_window
                - earlier.bytes_received_in_window,
            mismatches: self.mismatches - earlier.mismatches,
            closed_by_server: self.closed_by_server - earlier.closed_by_server,
            resets: self.resets - earlier.resets,
            timeouts: self.timeouts - earlier.timeouts,
            truncated: self.truncated - earlier.truncated,
            tls_errors: self.tls_errors - earlier.tls_errors,
            other_errors: self.other_errors - earlier.other_errors,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::*;

    #[test]
    fn merging_adds_every_counter() {
        let names = serde_json::to_value(Counters::default()).unwrap();
        let ones: Map<String, Value> =
            names.as_object().unwrap().keys().map(|name| (name.clone(), json!(1))).collect();
        let one: Counters = serde_json::from_value(Value::Object(ones)).unwrap();
        let mut merged = one.clone();
        merged.merge(&one);
        let merged = serde_json::to_value(&merged).unwrap();
        assert!(merged.as_object().unwrap().values().all(|value| value == 2), "{merged}");
    }

    #[test]
    fn the_growth_since_a_moment_added_to_it_is_the_later_moment() {
        let names = serde_json::to_value(Counters::default()).unwrap();
        let names = names.as_object().unwrap().keys();
        let numbered = |factor: u64| -> Counters {
            let fields = (1_u64..).zip(names.clone()).map(|(n, name)| (name.clone(), factor * n));
            serde_json::from_value(fields.map(|(name, n)| (name, json!(n))).collect()).unwrap()
        };
        assert_eq!(numbered(5).since(&numbered(2)), numbered(3));
    }

    #[test]
    fn a_lost_request_breaks_conservation_wherever_it_was_lost() {
        let good =
            Counters { scheduled: 3, sent: 2, unsent: 1, completed: 2, ..Counters::default() };
        assert!(good.conserved());
        assert!(!Counters { unsent: 0, ..good.clone() }.conserved());
        assert!(!Counters { completed: 1, ..good.clone() }.conserved());
        for failed in [
            Counters { unexpected_status: 1, ..Counters::default() },
            Counters { changed_bodies: 1, ..Counters::default() },
            Counters { wrong_values: 1, ..Counters::default() },
            Counters { failed: 1, ..Counters::default() },
            Counters { timed_out: 1, ..Counters::default() },
        ] {
            let mut other = Counters { completed: 1, ..good.clone() };
            other.merge(&failed);
            assert!(other.conserved() && other.has_errors(), "{failed:?}");
        }
    }
}
