//! The traffic that the flags and the target name. A flag that the protocol cannot use is refused,
//! because the result would not be what the user asked for.

use super::load::TrafficArgs;
use super::target::NamedTarget;
use crate::error::Error;
use crate::wire::{Protocol, TrafficSpec, Verify};

/// The traffic of a run against `named`.
pub(super) fn traffic(args: TrafficArgs, named: &NamedTarget) -> Result<TrafficSpec, Error> {
    let protocol = protocol(args.protocol, named)?;
    expect_effects(&args, protocol)?;
    Ok(TrafficSpec {
        protocol,
        sizes: args.size.unwrap_or_default(),
        verify: args.verify.unwrap_or_default(),
        http_host: named.http_host.clone(),
        http_path: http_path(args.http_path, named)?,
        http_headers: args.http_header,
        http_statuses: args.expect_status.unwrap_or_default(),
    })
}

fn protocol(requested: Option<Protocol>, named: &NamedTarget) -> Result<Protocol, Error> {
    let Some(scheme) = named.scheme else { return Ok(requested.unwrap_or_default()) };
    let possible = scheme.protocols();
    match requested {
        None => Ok(possible[0]),
        Some(protocol) if possible.contains(&protocol) => Ok(protocol),
        Some(protocol) => usage(format!(
            "--protocol {protocol}: the target '{}' names another protocol; leave --protocol out, \
             or write the target as HOST:PORT",
            named.text
        )),
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

/// Refuses the flags that have no effect on this protocol.
fn expect_effects(args: &TrafficArgs, protocol: Protocol) -> Result<(), Error> {
    if protocol != Protocol::Http {
        for (flag, is_given) in [
            ("--http-path", args.http_path.is_some()),
            ("--http-header", !args.http_header.is_empty()),
            ("--expect-status", args.expect_status.is_some()),
        ] {
            if is_given {
                return usage(format!(
                    "{flag} has no effect on {protocol}; use --protocol http, or leave it out"
                ));
            }
        }
    }
    if args.size.is_some() && !protocol.has_request_payload() {
        let instead = match protocol {
            Protocol::RespPing => "use --protocol resp-echo, or leave it out",
            _ => "leave it out",
        };
        return usage(format!(
            "--size has no effect on {protocol}, whose requests have no payload; {instead}"
        ));
    }
    if let Some(verify @ (Verify::Length | Verify::None)) = args.verify
        && !protocol.has_reply_payload()
    {
        return usage(format!(
            "--verify {verify} has no effect on {protocol}, whose replies have no payload: every \
             byte is compared; leave it out"
        ));
    }
    Ok(())
}

fn usage<T>(text: String) -> Result<T, Error> {
    Err(Error::Usage(text))
}

#[cfg(test)]
mod tests {
    use super::super::options_from_flags::tests::{options, refusal};
    use super::*;

    #[test]
    fn a_scheme_names_the_protocol_and_a_url_the_path() {
        let traffic = |flags: &str| options(flags).unwrap().traffic;
        let http = traffic("http://a:1/b?c=%20");
        assert_eq!((http.protocol, &*http.http_path), (Protocol::Http, "/b?c=%20"));
        assert_eq!(http.http_host, "a:1");
        assert_eq!(traffic("http://a --protocol http --http-path /x").http_path, "/x");
        assert_eq!(traffic("http://a/x --http-path /x").http_path, "/x");
        assert_eq!(traffic("redis://a").protocol, Protocol::RespPing);
        assert_eq!(traffic("redis://a --protocol resp-echo --size 5").protocol, Protocol::RespEcho);
        assert_eq!(traffic("memcached://a").protocol, Protocol::Memcached);
        assert_eq!(traffic("tcp://a:1").protocol, Protocol::Raw);
        assert_eq!(traffic("tcp://a:1 --protocol line").protocol, Protocol::Line);
    }

    #[test]
    fn a_target_and_a_flag_that_contradict_each_other_are_refused() {
        for (flags, said) in [
            ("http://a --protocol raw", "--protocol raw: the target 'http://a' names another"),
            ("redis://a --protocol memcached", "--protocol memcached"),
            ("http://a/b --http-path /c", "--http-path /c: the target 'http://a/b' names the path"),
        ] {
            assert!(refusal(flags).contains(said), "{flags}: {}", refusal(flags));
        }
    }

    #[test]
    fn a_flag_without_effect_on_the_protocol_is_refused() {
        for (flags, said) in [
            ("--protocol http --size 64", "--size has no effect on http"),
            ("redis://a --size 64", "use --protocol resp-echo"),
            ("--http-path /a", "--http-path has no effect on raw"),
            ("--protocol line --http-header A:b", "--http-header has no effect on line"),
            ("memcached://a --expect-status 404", "--expect-status has no effect on memcached"),
            ("redis://a --verify length", "--verify length has no effect on resp-ping"),
            ("memcached://a --verify none", "--verify none has no effect on memcached"),
        ] {
            assert!(refusal(flags).contains(said), "{flags}: {}", refusal(flags));
        }
        for flags in [
            "--protocol http --verify none --expect-status 2xx,404",
            "redis://a --verify full",
            "memcached://a --size 100",
            "--verify length --size 5",
        ] {
            assert!(options(flags).is_ok(), "{flags}");
        }
    }

    #[test]
    fn success_and_redirection_are_the_expected_statuses_by_default() {
        assert_eq!(options("http://a").unwrap().traffic.http_statuses.to_string(), "2xx,3xx");
        assert!(refusal("http://a --expect-status 1xx").contains("is no status"));
    }
}
