//! The flags of HTTP, and the requests that they name.

use std::sync::Arc;

use clap::Args;

use super::load::TrafficArgs;
use super::target::NamedTarget;
use crate::error::Error;
use crate::wire::http::{
    Body, BodyExpectation, DataFile, ExpectedStatuses, HttpOptions, HttpSpec, Method, RequestFile,
    RequestSpec, Requests, header, path,
};
use crate::wire::{Order, Protocol, Upgrade};

/// The requests of HTTP, and what replies must be.
#[derive(Debug, Clone, Args)]
pub(crate) struct HttpArgs {
    /// Path of requests, or of the upgrade to WebSocket [default: that of the target's URL,
    /// otherwise /]
    #[arg(long, value_name = "PATH", value_parser = path)]
    pub(crate) http_path: Option<String>,

    /// Method of requests [default: GET]
    #[arg(long, value_name = "METHOD")]
    pub(crate) http_method: Option<Method>,

    /// Header of all requests, or of the upgrade to WebSocket, repeatable, such as 'Accept: */*'
    #[arg(long, value_name = "HEADER", value_parser = header)]
    pub(crate) http_header: Vec<String>,

    /// Body of requests: a text, or the content of a file. Its Content-Length is sent, but no
    /// Content-Type
    #[arg(long, value_name = "TEXT|@FILE", value_parser = Body::of_argument)]
    pub(crate) http_body: Option<Body>,

    /// Send the body in chunks (Transfer-Encoding: chunked), without its length before it
    #[arg(long)]
    pub(crate) http_chunked: bool,

    /// Requests from a file, one on each line: a path, or JSON with path, method, headers, body or
    /// body_file, chunked, weight, expect_body, such as {"method":"POST","path":"/x","body":"text"}
    #[arg(long, value_name = "FILE", value_parser = RequestFile::read_shared,
        conflicts_with_all = ["http_path", "http_method", "http_body", "http_chunked"])]
    pub(crate) requests: Option<Arc<RequestFile>>,

    /// Values for {placeholders} in paths, headers and bodies: a .csv file with a line of names, or
    /// a .jsonl file with an object on each line. {{name}} stands for the text {name}
    #[arg(long, value_name = "FILE", value_parser = DataFile::read_shared)]
    pub(crate) data: Option<Arc<DataFile>>,

    /// How connections choose among the rows of --data: sequential, random, zipf:EXPONENT
    /// [default: sequential]
    #[arg(long, value_name = "ORDER", requires = "data")]
    pub(crate) data_order: Option<Order>,

    /// Statuses of replies that are no errors: classes, codes, ranges, such as 2xx,404,500-503
    /// [default: 2xx,3xx]
    #[arg(long, value_name = "LIST")]
    pub(crate) expect_status: Option<ExpectedStatuses>,

    /// What the body of a reply must be, instead of that of the first reply: length:N,
    /// substring:TEXT, sha256:HEX, none (anything)
    #[arg(long, value_name = "BODY", conflicts_with = "verify")]
    pub(crate) expect_body: Option<BodyExpectation>,
}

impl HttpArgs {
    /// The upgrade to WebSocket, which uses up the flags that it has in common with HTTP.
    pub(super) fn take_upgrade(&mut self, named: &NamedTarget) -> Result<Upgrade, Error> {
        let path = http_path(self.http_path.take(), named)?;
        let headers = std::mem::take(&mut self.http_header);
        Upgrade::new(&named.http_host, path, &headers).map_err(Error::Usage)
    }

    /// One of these flags that is given.
    fn given(&self) -> Option<&'static str> {
        let flags = [
            ("--http-path", self.http_path.is_some()),
            ("--http-method", self.http_method.is_some()),
            ("--http-header", !self.http_header.is_empty()),
            ("--http-body", self.http_body.is_some()),
            ("--http-chunked", self.http_chunked),
            ("--requests", self.requests.is_some()),
            ("--data", self.data.is_some()),
            ("--expect-status", self.expect_status.is_some()),
            ("--expect-body", self.expect_body.is_some()),
        ];
        flags.into_iter().find(|(_, is_given)| *is_given).map(|(flag, _)| flag)
    }

    /// The requests; nothing for other protocols.
    pub(super) fn spec(
        self,
        protocol: Protocol,
        named: &NamedTarget,
        traffic: &TrafficArgs,
        connections: u32,
    ) -> Result<Option<Arc<HttpSpec>>, Error> {
        if protocol != Protocol::Http {
            return match self.given() {
                None => Ok(None),
                Some(flag) => usage(format!(
                    "{flag} has no effect on {protocol}; use --protocol http, or leave it out"
                )),
            };
        }
        if let Some(order @ (Order::Weighted | Order::Timed)) = self.data_order {
            return usage(format!("--data-order {order}: rows have neither; use random"));
        }
        let requests = match self.requests {
            Some(file) => {
                if let Some(path) = &named.http_path {
                    return usage(format!(
                        "--requests: the target '{}' names the path {path}, and the file has \
                         paths; leave the path out",
                        named.text
                    ));
                }
                Requests::File(file)
            }
            None => Requests::One(Box::new(RequestSpec {
                method: self.http_method.unwrap_or_default(),
                body: self.http_body,
                is_chunked: self.http_chunked,
                ..RequestSpec::get(http_path(self.http_path, named)?)
            })),
        };
        let options = HttpOptions {
            host: named.http_host.clone(),
            requests,
            headers: self.http_header,
            statuses: self.expect_status.unwrap_or_default(),
            order: traffic.order,
            data: self.data,
            data_order: self.data_order.unwrap_or_default(),
            verify: traffic.verify,
            expect_body: self.expect_body,
            connections,
        };
        HttpSpec::new(options).map(|spec| Some(Arc::new(spec))).map_err(Error::Usage)
    }
}

fn http_path(requested: Option<String>, named: &NamedTarget) -> Result<String, Error> {
    match (requested, &named.http_path) {
        (Some(requested), Some(path)) if requested != *path => usage(format!(
            "--http-path {requested}: the target '{}' names the path {path}; leave one of them out",
            named.text
        )),
        (Some(path), _) => Ok(path),
        (None, Some(path)) => Ok(path.clone()),
        (None, None) => Ok("/".to_owned()),
    }
}

fn usage<T>(text: String) -> Result<T, Error> {
    Err(Error::Usage(text))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::options_from_flags::tests::{options, refusal};

    #[test]
    fn files_and_flags_that_do_not_fit_together_are_refused() {
        let folder = test_needs::folder();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let plain = file("plain", "/a\n/b\n");
        let weighted = file("weighted", "/a\n{\"path\":\"/b\",\"weight\":2}\n");
        let names = file("names", "/a\n/{id}\n");
        let rows = file("rows.csv", "id\n1\n2\n");
        for (flags, said) in [
            (format!("http://a/x --requests {plain}"), "names the path /x, and the file has paths"),
            (format!("http://a --requests {plain} --http-method POST"), "cannot be used with"),
            (format!("http://a --requests {plain} --order weighted"), "has a weight; write"),
            (format!("http://a --requests {weighted} --order random"), "line 2 of the requests"),
            (
                format!("http://a --requests {names}"),
                "names, line 2: '{id}' in the path stands for",
            ),
            (format!("http://a --data {rows}"), "--data has no effect: no request has"),
            (
                format!("http://a --requests {names} --data {rows} --data-order weighted"),
                "rows have neither",
            ),
            ("http://a --order random".to_owned(), "--requests"),
            ("http://a --expect-body length:1 --verify none".to_owned(), "cannot be used with"),
            ("--requests /no/such".to_owned(), "name a file of requests"),
            (format!("--protocol line --requests {plain}"), "--requests has no effect on line"),
            ("--http-body x".to_owned(), "--http-body has no effect on raw"),
        ] {
            let text = refusal(&flags);
            assert!(text.contains(said), "{flags}: {text}");
        }
        for flags in [
            format!("http://a --requests {weighted}"),
            format!("http://a --requests {names} --data {rows} --order zipf:1 --data-order random"),
            format!("http://a/{{id}} --data {rows}"),
            "http://a --http-method PUT --http-body a=1 --http-chunked".to_owned(),
        ] {
            options(&flags).unwrap();
        }
    }

    #[test]
    fn success_and_redirection_are_the_expected_statuses_by_default() {
        let http = options("http://a").unwrap().traffic.http.unwrap();
        assert_eq!(http.statuses.to_string(), "2xx,3xx");
        assert!(refusal("http://a --expect-status 1xx").contains("is no status"));
    }
}
