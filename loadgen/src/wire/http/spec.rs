//! The options of HTTP requests, and what is made of them before the run.

use std::sync::Arc;

use super::super::lines::{self, Line};
use super::super::order::Order;
use super::super::spec::Verify;
use super::body_expectation::BodyExpectation;
use super::data_file::DataFile;
use super::request::RequestSpec;
use super::request_file::RequestFile;
use super::statuses::ExpectedStatuses;
use super::template::Template;

/// The options of HTTP requests, each right by itself.
#[derive(Debug, Clone)]
pub(crate) struct HttpOptions {
    /// Value of the `Host` header.
    pub(crate) host: String,
    pub(crate) requests: Requests,
    /// Headers of all requests.
    pub(crate) headers: Vec<String>,
    pub(crate) statuses: ExpectedStatuses,
    /// Nothing if it is not given.
    pub(crate) order: Option<Order>,
    pub(crate) data: Option<Arc<DataFile>>,
    pub(crate) data_order: Order,
    /// What is compared of a body; nothing if it is not given.
    pub(crate) verify: Option<Verify>,
    pub(crate) expect_body: Option<BodyExpectation>,
    /// The connections of the run, which take a sequence in turn.
    pub(crate) connections: u32,
}

/// The requests of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Requests {
    One(Box<RequestSpec>),
    File(Arc<RequestFile>),
}

impl Requests {
    /// Each with the number of its line in the file.
    fn iter(&self) -> impl Iterator<Item = (Option<usize>, &RequestSpec)> + Clone {
        let (one, file) = match self {
            Self::One(request) => (Some((None, &**request)), None),
            Self::File(file) => (None, Some(file.requests())),
        };
        let lines = file.into_iter().flatten().map(|(line, request)| (Some(*line), request));
        one.into_iter().chain(lines)
    }
}

/// The requests of a run, checked and prepared.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HttpSpec {
    pub(crate) source: Requests,
    pub(crate) statuses: ExpectedStatuses,
    pub(crate) order: Order,
    pub(crate) data: Option<Arc<DataFile>>,
    pub(crate) data_order: Order,
    /// What the bodies of all replies must be, as given.
    pub(crate) expect_body: Option<BodyExpectation>,
    pub(super) connections: u32,
    /// At least one.
    pub(super) requests: Vec<PreparedRequest>,
}

/// A request, and what its replies must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PreparedRequest {
    pub(super) template: Template,
    pub(super) weight: u32,
    pub(super) is_head: bool,
    /// What is compared of the bodies of replies, with the first one.
    pub(super) verify: Verify,
    /// What their bodies must be.
    pub(super) expect_body: BodyExpectation,
}

impl HttpSpec {
    /// Prepares the requests.
    ///
    /// # Errors
    ///
    /// A sentence that names what does not fit together, and the remedy.
    pub(crate) fn new(options: HttpOptions) -> Result<Self, String> {
        let HttpOptions { requests, data, .. } = &options;
        let mut prepared = Vec::new();
        for (line, request) in requests.iter() {
            let template = Template::new(request, &options.host, &options.headers, data.as_deref());
            let template = template.map_err(|why| match (requests, line) {
                (Requests::File(file), Some(line)) => {
                    format!("{}, line {line}: {why}", file.path().display())
                }
                _ => why,
            })?;
            let expect_body = request.expect_body.as_ref().or(options.expect_body.as_ref());
            let verify = match expect_body {
                Some(_) => Verify::None,
                // The replies to requests that differ may differ, too.
                None if !template.is_constant() => options.verify.unwrap_or(Verify::None),
                None => options.verify.unwrap_or_default(),
            };
            prepared.push(PreparedRequest {
                template,
                weight: request.weight.unwrap_or(1),
                is_head: request.method.is_head(),
                verify,
                expect_body: expect_body.cloned().unwrap_or(BodyExpectation::None),
            });
        }
        if options.data.is_some() && prepared.iter().all(|one| one.template.is_constant()) {
            return Err(
                "--data has no effect: no request has a placeholder such as {name}; write \
                        one in a path, a header or a body, or leave --data out"
                    .to_owned(),
            );
        }
        Ok(Self {
            order: order(&options)?,
            source: options.requests,
            statuses: options.statuses,
            data: options.data,
            data_order: options.data_order,
            expect_body: options.expect_body,
            connections: options.connections,
            requests: prepared,
        })
    }

    /// The path of the only request; nothing if a file has the requests.
    pub(crate) fn path(&self) -> Option<&str> {
        match &self.source {
            Requests::One(request) => Some(&request.path),
            Requests::File(_) => None,
        }
    }

    /// When each request is due, in nanoseconds from the start of the run, if they have times.
    pub(crate) fn times_ns(&self) -> Option<impl Iterator<Item = u64>> {
        let times = self.source.iter().filter_map(|(_, request)| request.at_ns);
        (self.order == Order::Timed).then_some(times)
    }

    /// How many requests there are to choose from.
    pub(crate) fn count(&self) -> usize {
        self.requests.len()
    }
}

/// The order of the requests, which must be able to use weights if there are any, and times.
fn order(options: &HttpOptions) -> Result<Order, String> {
    let lines = options.requests.iter().map(|(number, request)| Line {
        number: number.unwrap_or_default(),
        weight: request.weight,
        at_ns: request.at_ns,
    });
    match options.order {
        Some(order) => lines::expect_usable(order, "requests", lines).map(|()| order),
        None if lines.clone().any(|line| line.weight.is_some()) => Ok(Order::Weighted),
        None => Ok(Order::Sequential),
    }
}
