//! Routes: what each request does.

use super::page::PAGE;
use super::request::{Method, Request};
use super::response::{Response, Status};
use crate::server::stats::{ProcessStats, ServerStats};

const PATHS: &str = "\
/          GET   a page for browsers: the numbers of the last second and five minutes
/metrics   GET   numbers for Prometheus
/stats     GET   numbers as JSON; with ?histograms all times that were recorded
/healthz   GET   200 while the process lives
/readyz    GET   200 while connections are accepted
/drain     POST  starts the shutdown
/reload    POST  reads configuration and certificates again, and applies what can change
";

/// What a request does.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    Answer(Response),
    /// Asks every thread, then answers with this view of their statistics.
    Show(View),
    Drain,
    Reload,
}

/// A view of the statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    Metrics,
    Stats { histograms: bool },
    Ready,
}

/// The route of a request.
pub(super) fn route(request: &Request) -> Route {
    let is_read = matches!(request.method, Method::Get | Method::Head);
    match request.path.as_str() {
        "/" | "/metrics" | "/stats" | "/healthz" | "/readyz" if !is_read => {
            Route::Answer(Response::not_allowed("GET, HEAD"))
        }
        "/" => {
            Route::Answer(Response::new(Status::Ok, "text/html; charset=utf-8", PAGE.to_owned()))
        }
        "/metrics" => Route::Show(View::Metrics),
        "/stats" => Route::Show(View::Stats { histograms: request.wants("histograms") }),
        "/readyz" => Route::Show(View::Ready),
        "/healthz" => Route::Answer(Response::text(Status::Ok, "alive\n")),
        "/drain" | "/reload" if request.method != Method::Post => {
            Route::Answer(Response::not_allowed("POST"))
        }
        // Any web page could make a browser on this machine send this request.
        "/drain" | "/reload" if request.is_from_a_page => {
            Route::Answer(Response::text(Status::Forbidden, "not from a page in a browser\n"))
        }
        "/drain" => Route::Drain,
        "/reload" => Route::Reload,
        _ => Route::Answer(Response::text(Status::NotFound, format!("there are:\n{PATHS}"))),
    }
}

/// The response to a drain request.
pub(super) fn drain_begun() -> Response {
    Response::text(Status::Accepted, "the server drains: it finishes open connections, then ends\n")
}

/// The response to a reload request, with the program's answer; `None` if it has none.
pub(super) fn reloaded(answer: Option<Result<String, String>>) -> Response {
    match answer {
        Some(Ok(changes)) => Response::text(Status::Ok, changes),
        Some(Err(reason)) => Response::text(Status::Conflict, reason),
        None => Response::text(Status::Unavailable, "the server is about to end\n"),
    }
}

impl View {
    pub(super) fn of(self, stats: &ServerStats) -> Response {
        match self {
            Self::Metrics => Response::new(
                Status::Ok,
                "text/plain; version=0.0.4; charset=utf-8",
                stats.to_prometheus(&ProcessStats::read()),
            ),
            Self::Stats { histograms } => Response::new(
                Status::Ok,
                "application/json",
                stats.to_json(&ProcessStats::read(), histograms),
            ),
            Self::Ready => match stats.unready() {
                None => Response::text(Status::Ok, "ready\n"),
                Some(reason) => Response::text(Status::Unavailable, format!("{reason}\n")),
            },
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::server::stats::{AcceptorStats, ShardStats};

    #[test]
    fn a_server_that_lost_a_thread_was_ready() {
        let shard = ShardStats { answered: true, ..Default::default() };
        let acceptor = AcceptorStats { answered: true, accepting: true, ..Default::default() };
        let mut stats =
            ServerStats { shards: vec![shard], acceptors: vec![acceptor], ..Default::default() };
        assert_eq!(View::Ready.of(&stats), Response::text(Status::Ok, "ready\n"));
        stats.failed = Some("thread worker-1 ended: wait for events: no memory".to_owned());
        let expected = "failed: thread worker-1 ended: wait for events: no memory\n";
        assert_eq!(View::Ready.of(&stats), Response::text(Status::Unavailable, expected));
    }
}
