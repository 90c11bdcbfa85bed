//! The pages.

mod prometheus;
mod text;

use super::http::{Request, Response, Status};
use super::observed::Observed;
use super::snapshot::{Names, Snapshot};

const PATHS: &str = "\
/          a table
/stats     the same as JSON
/metrics   numbers for Prometheus
";

/// The response to a request.
pub(super) fn respond(request: &Request<'_>, observed: &Observed, names: &mut Names) -> Response {
    let mut snapshot = || Snapshot::take(observed, names);
    match request.path {
        "/" => Response::text(Status::Ok, text::page(&snapshot())),
        "/stats" => json(&snapshot()),
        "/metrics" => Response {
            status: Status::Ok,
            content_type: "text/plain; version=0.0.4; charset=utf-8",
            body: prometheus::page(&snapshot()),
        },
        _ => Response::text(Status::NotFound, format!("there are:\n{PATHS}")),
    }
}

fn json(snapshot: &Snapshot) -> Response {
    let body = serde_json::to_string(snapshot).expect("all keys are text");
    Response { status: Status::Ok, content_type: "application/json", body: body + "\n" }
}
