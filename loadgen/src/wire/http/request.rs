//! The text of a request, and the checks of its parts.

/// The bytes of a request for `path` on `host`. A `Host` header of the user replaces ours.
pub(in crate::wire) fn request(path: &str, host: &str, headers: &[String]) -> Vec<u8> {
    let is_host = |header: &String| name_of(header).eq_ignore_ascii_case("host");
    let mut text = format!("GET {path} HTTP/1.1\r\n");
    if !headers.iter().any(is_host) {
        text += &format!("Host: {host}\r\n");
    }
    for header in headers {
        text += header;
        text += "\r\n";
    }
    text += "\r\n";
    text.into_bytes()
}

/// Checks a value of `--http-path`.
///
/// # Errors
///
/// A sentence that says what is wrong with it.
pub(crate) fn path(text: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        return Err(format!("'{text}' is no path; write it as /path"));
    }
    match text.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(text.to_owned()),
        false => Err(format!("'{text}' is no path; write blanks and the like as %20")),
    }
}

/// Checks a value of `--http-header`.
///
/// # Errors
///
/// A sentence that says what is wrong with it.
pub(crate) fn header(text: &str) -> Result<String, String> {
    let name = name_of(text);
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.len() == text.len() || name.is_empty() || !name.bytes().all(is_token) {
        return Err(format!("'{text}' is no header; write it as 'Name: value'"));
    }
    if text.chars().any(|character| character.is_control() && character != '\t') {
        return Err("a header must be one line of printable text".to_owned());
    }
    if ["content-length", "transfer-encoding"].iter().any(|body| name.eq_ignore_ascii_case(body)) {
        return Err(format!("'{name}' announces a body, and a GET has none"));
    }
    Ok(text.to_owned())
}

fn name_of(header: &str) -> &str {
    header.split_once(':').map_or(header, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(headers: &[&str]) -> String {
        let headers: Vec<String> = headers.iter().map(ToString::to_string).collect();
        String::from_utf8(request("/a", "h:1", &headers)).unwrap()
    }

    #[test]
    fn a_request_is_a_line_a_host_and_what_the_user_adds() {
        assert_eq!(text(&[]), "GET /a HTTP/1.1\r\nHost: h:1\r\n\r\n");
        assert_eq!(text(&["A: b"]), "GET /a HTTP/1.1\r\nHost: h:1\r\nA: b\r\n\r\n");
        assert_eq!(text(&["host: x"]), "GET /a HTTP/1.1\r\nhost: x\r\n\r\n");
    }

    #[test]
    fn what_would_break_the_request_is_refused() {
        for good in ["/", "/a?b=%20#c"] {
            assert_eq!(path(good).as_deref(), Ok(good));
        }
        for wrong in ["", "a", "/a b", "/a\r\nX: y", "/\u{e9}"] {
            assert!(path(wrong).is_err(), "{wrong}");
        }
        for good in ["Accept: */*", "X-Empty:", "Cookie:a=b; c=\u{e9}"] {
            assert_eq!(header(good).as_deref(), Ok(good));
        }
        for wrong in ["", "Accept", ": x", "A b: c", "A: b\r\nC: d", "content-length: 3"] {
            assert!(header(wrong).is_err(), "{wrong}");
        }
    }
}
