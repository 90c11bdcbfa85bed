//! When connections are closed and replaced.

use std::time::Duration;

/// How long a connection lives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Churn {
    /// As long as the run.
    #[default]
    None,
    /// So many requests.
    Requests(u64),
    /// So long, and then until every request is answered.
    Lifetime(Duration),
    /// One request, whose times include the connect.
    EachRequest,
}

impl Churn {
    /// In words, or nothing.
    pub(crate) fn describe(&self) -> Option<String> {
        match self {
            Self::None => None,
            Self::Requests(requests) => Some(format!("after {requests} requests")),
            Self::Lifetime(lifetime) => {
                Some(format!("after {}", humantime::format_duration(*lifetime)))
            }
            Self::EachRequest => Some("connect per request".to_owned()),
        }
    }
}
