//! Requests of HTTP in the record.

use serde::{Deserialize, Serialize};

use crate::options::Options;
use crate::units::counted;
use crate::wire::http::Requests;

/// The requests of a plan, and what their replies must be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct HttpArgsRecord {
    /// Method of all requests; nothing if they come from a file.
    pub(crate) method: Option<String>,
    /// Length of the body of each request, before placeholders are replaced; nothing without a
    /// body, and for requests of a file.
    pub(crate) body_bytes: Option<u64>,
    /// Whether the body is sent in chunks; for requests of a file, false.
    pub(crate) chunked: bool,
    /// The file of the requests.
    pub(crate) file: Option<String>,
    /// Number of requests to choose from.
    pub(crate) requests: u64,
    /// How connections choose among them: "sequential", "random", "weighted", "zipf:EXPONENT".
    pub(crate) order: String,
    /// The file of the values for placeholders.
    pub(crate) data: Option<String>,
    /// Number of its rows.
    pub(crate) data_rows: Option<u64>,
    /// How connections choose among them.
    pub(crate) data_order: Option<String>,
    /// What the bodies of replies must be, as given.
    pub(crate) expect_body: Option<String>,
}

impl HttpArgsRecord {
    /// The requests of these options; nothing for other protocols.
    pub(crate) fn of(options: &Options) -> Option<Self> {
        let spec = options.traffic.http.as_ref()?;
        let (one, file) = match &spec.source {
            Requests::One(request) => (Some(request), None),
            Requests::File(file) => (None, Some(file.path().display().to_string())),
        };
        let data = spec.data.as_ref();
        let body = one.and_then(|request| request.body.as_ref());
        Some(Self {
            method: one.map(|request| request.method.to_string()),
            body_bytes: body.map(|body| body.length() as u64),
            chunked: one.is_some_and(|request| request.is_chunked),
            file,
            requests: spec.count() as u64,
            order: spec.order.to_string(),
            data: data.map(|data| data.path().display().to_string()),
            data_rows: data.map(|data| data.rows() as u64),
            data_order: data.map(|_| spec.data_order.to_string()),
            expect_body: spec.expect_body.as_ref().map(ToString::to_string),
        })
    }

    /// The requests in words: "http requests", "http POST requests with a body of 5 B".
    pub(crate) fn requests(&self, protocol: &str) -> String {
        let mut text = match (&self.file, self.method.as_deref()) {
            (Some(file), _) => format!(
                "{protocol} requests of {file} ({}, {})",
                counted(self.requests, "request"),
                self.order
            ),
            (None, None | Some("GET")) => format!("{protocol} requests"),
            (None, Some(method)) => format!("{protocol} {method} requests"),
        };
        if let Some(bytes) = self.body_bytes {
            let chunked = if self.chunked { " in chunks" } else { "" };
            text += &format!(" with a body of {bytes} B{chunked}");
        }
        if let (Some(data), Some(rows)) = (&self.data, self.data_rows) {
            text += &format!(" with values of {data} ({})", counted(rows, "row"));
        }
        text
    }
}
