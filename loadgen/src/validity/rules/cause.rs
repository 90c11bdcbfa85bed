//! Why requests had no right reply: the cause that was counted most.

use super::super::Evidence;
use crate::record::{Counters, RunRecord};
use crate::units::{counted, grouped};

/// What kept requests from a right reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The loader did not send them, although it could have.
    Loader,
    /// The server left requests waiting.
    Slow,
    /// The server left connections waiting for the whole timeout, and answered others.
    Stuck,
    /// The server answered no request at all.
    Mute,
    /// Replies were complete, and not the wanted ones.
    UnexpectedReplies,
    ChangedBodies,
    WrongValues,
    /// Connections were lost, or not established.
    Connections(Loss),
}

/// Why connections were lost or not established.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    WrongBytes,
    Closed,
    Reset,
    Silent,
    Refused,
    NotAccepted,
    Exhausted,
    Handshake,
    Truncated,
    Tls,
    Other,
}

impl Cause {
    /// The most frequent cause; nothing if every request had a right reply.
    pub(super) fn of(counters: &Counters) -> Option<Self> {
        let blocked = counters.censored + counters.timed_out + counters.unsent_blocked;
        let unhindered =
            counters.unsent.saturating_sub(counters.unsent_blocked + counters.unsent_unconnected);
        let lost = counters.failed + counters.unsent_unconnected;
        let replies = counters.completed
            + counters.unexpected_status
            + counters.changed_bodies
            + counters.wrong_values;
        let waiting = match (replies, counters.timeouts) {
            (0, _) => Self::Mute,
            (_, 0) => Self::Slow,
            _ => Self::Stuck,
        };
        // Of equal counts the last one is the cause.
        let causes = [
            (unhindered, Self::Loader),
            (blocked, waiting),
            (counters.changed_bodies, Self::ChangedBodies),
            (counters.wrong_values, Self::WrongValues),
            (counters.unexpected_status, Self::UnexpectedReplies),
            (lost, Self::Connections(Loss::of(counters))),
        ];
        let (count, cause) = causes.into_iter().max_by_key(|(count, _)| *count)?;
        match cause {
            _ if count == 0 => None,
            Self::Connections(Loss::Silent) => Some(waiting),
            _ => Some(cause),
        }
    }

    /// Whether the server did its part, only too slowly.
    pub(super) fn is_slowness(self) -> bool {
        matches!(self, Self::Slow | Self::Stuck)
    }

    /// Whether the loader, or its machine, did not do its part.
    pub(super) fn is_of_loader(self) -> bool {
        matches!(self, Self::Loader | Self::Connections(Loss::Exhausted))
    }

    /// The cause as a clause, with what was counted.
    pub(super) fn text(self, run: &RunRecord) -> String {
        let counters = &run.counters;
        match self {
            Self::Loader => "the loader could not keep up".to_owned(),
            Self::Slow => "the server left the others waiting; the rate is above its capacity, or \
                           it got too little processor time"
                .to_owned(),
            Self::Stuck => format!(
                "the server left the others waiting, {} for the whole timeout; it stopped for so \
                 long, or the rate is far above its capacity",
                counted(counters.timeouts, "connection")
            ),
            Self::Mute => "the server answered no request; is it stopped, or is it another \
                           --protocol?"
                .to_owned(),
            Self::UnexpectedReplies => {
                let reply = run.first_unexpected_reply.as_ref();
                let said = reply.map(|reply| format!(", first '{}'", reply.first_line));
                format!(
                    "the server refused requests ({} had an unexpected status or were error \
                     lines{}); is it the right target?",
                    counted_replies(counters.unexpected_status),
                    said.unwrap_or_default()
                )
            }
            Self::ChangedBodies => format!(
                "{} had a body that is not the expected one (--verify, --expect-body)",
                counted_replies(counters.changed_bodies)
            ),
            Self::WrongValues => format!(
                "{} had a value that the server must not return",
                counted_replies(counters.wrong_values)
            ),
            Self::Connections(loss) => loss.text(run),
        }
    }
}

fn counted_replies(count: u64) -> String {
    if count == 1 { "1 reply".to_owned() } else { format!("{} replies", grouped(count)) }
}

impl Loss {
    /// What connections were lost to most often.
    fn of(counters: &Counters) -> Self {
        let losses = [
            (counters.other_errors, Self::Other),
            (counters.timeouts, Self::Silent),
            (counters.closed_by_server, Self::Closed),
            (counters.resets, Self::Reset),
            (counters.truncated, Self::Truncated),
            (counters.tls_errors, Self::Tls),
            (counters.mismatches, Self::WrongBytes),
        ];
        let all = losses.into_iter().chain(Self::of_connects(counters));
        all.max_by_key(|(count, _)| *count)
            .filter(|(count, _)| *count > 0)
            .map_or(Self::Other, |l| l.1)
    }

    /// Why connections were not established, each with its number.
    fn of_connects(counters: &Counters) -> [(u64, Self); 5] {
        let known = counters.connects_refused
            + counters.connects_timed_out
            + counters.connects_exhausted
            + counters.handshake_failures;
        [
            (counters.connect_failures.saturating_sub(known), Self::Other),
            (counters.connects_exhausted, Self::Exhausted),
            (counters.connects_timed_out, Self::NotAccepted),
            (counters.connects_refused, Self::Refused),
            (counters.handshake_failures, Self::Handshake),
        ]
    }

    /// Why most of the connects failed; nothing if none did.
    pub(super) fn of_most_connects(counters: &Counters) -> Option<Self> {
        let (count, loss) = Self::of_connects(counters).into_iter().max_by_key(|(n, _)| *n)?;
        (count > 0).then_some(loss)
    }

    /// The loss as a clause, with what was counted.
    pub(super) fn text(self, run: &RunRecord) -> String {
        let connections = |count: u64| counted(count, "connection");
        let counters = &run.counters;
        let first_error = run.first_other_error.as_deref().unwrap_or("of unknown cause");
        match self {
            Self::WrongBytes => {
                let note = run.first_mismatch.as_ref().and_then(|first| first.note.as_ref());
                format!(
                    "{} got wrong bytes; is it the right --protocol?{}",
                    connections(counters.mismatches),
                    note.map(|note| format!(" ({note})")).unwrap_or_default()
                )
            }
            Self::Closed => format!(
                "the server closed {}; look into its log or its connection limit",
                connections(counters.closed_by_server)
            ),
            Self::Reset => format!(
                "the server reset {}; did it crash or restart?",
                connections(counters.resets)
            ),
            Self::Truncated => format!(
                "the server ended {} without an announcement (TLS close_notify); did it crash, or \
                 does it close without one?",
                connections(counters.truncated)
            ),
            Self::Tls => format!(
                "TLS failed on {} (first error: {first_error})",
                connections(counters.tls_errors)
            ),
            Self::Handshake => format!(
                "{} failed (first error: {first_error})",
                counted(counters.handshake_failures, "TLS handshake")
            ),
            Self::Silent => format!(
                "the server was silent for the whole timeout on {}; is it stopped?",
                connections(counters.timeouts)
            ),
            Self::Refused => format!(
                "nothing listened at the address ({} refused); did the server end?",
                counted(counters.connects_refused, "connect")
            ),
            Self::NotAccepted => format!(
                "the server did not accept within the timeout ({}); is it stopped, is its backlog \
                 full?",
                counted(counters.connects_timed_out, "connect")
            ),
            Self::Exhausted => format!(
                "this machine had no descriptor, port or memory left for {} (first error: \
                 {first_error}); use fewer connections (-c), or raise the limit",
                connections(counters.connects_exhausted)
            ),
            Self::Other => format!("connections failed (first error: {first_error})"),
        }
    }
}

impl Evidence<'_> {
    /// The most frequent cause of requests without a right reply.
    pub(super) fn cause(&self) -> Option<Cause> {
        Cause::of(&self.run.counters)
    }
}
