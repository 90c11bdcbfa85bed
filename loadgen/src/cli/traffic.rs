//! The traffic that the flags and the target name. A flag that the protocol cannot use is refused,
//! because the result would not be what the user asked for.

use std::sync::Arc;

use super::http::HttpArgs;
use super::load::{KeyValueArgs, TrafficArgs};
use super::target::NamedTarget;
use crate::error::Error;
use crate::wire::{
    CommandSetup, Commands, KeyValueSpec, Order, Protocol, STAMP_BYTES, Setup, TrafficSpec, Verify,
};

/// The traffic of a run over `connections` connections against `named`.
pub(super) fn traffic(
    args: TrafficArgs,
    mut http: HttpArgs,
    key_value: KeyValueArgs,
    named: &NamedTarget,
    connections: u32,
) -> Result<TrafficSpec, Error> {
    let protocol = protocol(args.protocol, named, key_value.given().is_some())?;
    expect_effects(&args, protocol)?;
    if let (Some(order), None, None) = (args.order, &http.requests, &key_value.commands) {
        return usage(format!(
            "--order {order} is for the requests of a file; give one with --requests or \
             --commands, or leave --order out"
        ));
    }
    let commands = commands(&key_value, protocol)?;
    let setup = match protocol {
        Protocol::WebSocket => Setup::Upgrade(Arc::new(http.take_upgrade(named)?)),
        _ => commands.into(),
    };
    let expects_body = http.expect_body.is_some();
    let verify = match verify(&args, key_value.commands.is_some())? {
        _ if expects_body => Verify::None,
        verify => verify,
    };
    Ok(TrafficSpec {
        protocol,
        setup,
        http: http.spec(protocol, named, &args, connections)?,
        key_value: key_value_spec(key_value, &args, protocol, connections)?,
        sizes: args.size.unwrap_or_default(),
        verify,
        is_text: args.ws_text,
    })
}

impl KeyValueArgs {
    /// One of these flags that is given.
    fn given(&self) -> Option<&'static str> {
        let flags = [
            ("--mix", self.mix.is_some()),
            ("--commands", self.commands.is_some()),
            ("--keys", self.keys.is_some()),
            ("--key-dist", self.key_dist.is_some()),
            ("--key-prefix", self.key_prefix.is_some()),
            ("--preload", self.preload),
        ];
        flags.into_iter().find(|(_, is_given)| *is_given).map(|(flag, _)| flag)
    }
}

/// What is compared of a reply. What the replies to commands of a file should be is not known.
fn verify(args: &TrafficArgs, has_commands: bool) -> Result<Verify, Error> {
    match args.verify {
        Some(verify @ (Verify::Full | Verify::Length)) if has_commands => usage(format!(
            "--verify {verify}: values are not verified with --commands; leave it out, or use --mix"
        )),
        None if has_commands => Ok(Verify::None),
        verify => Ok(verify.unwrap_or_default()),
    }
}

/// The commands that each connection sends before its first request.
fn commands(args: &KeyValueArgs, protocol: Protocol) -> Result<CommandSetup, Error> {
    let credentials = args.authenticate.as_ref();
    if credentials.is_some() && !protocol.is_resp() && !protocol.is_memcached() {
        return usage(format!(
            "--authenticate (LOADGEN_AUTHENTICATE) has no effect on {protocol}; use a protocol of \
             Redis or memcached, or leave it out"
        ));
    }
    if args.select_db.is_some() && !protocol.is_resp() {
        return usage(format!(
            "--select-db has no effect on {protocol}; use a protocol of Redis, or leave it out"
        ));
    }
    Ok(CommandSetup::new(protocol, credentials, args.select_db))
}

/// The keys and commands; nothing for a protocol without keys.
fn key_value_spec(
    args: KeyValueArgs,
    traffic: &TrafficArgs,
    protocol: Protocol,
    connections: u32,
) -> Result<Option<KeyValueSpec>, Error> {
    if !protocol.has_keys() {
        return match args.given() {
            None => Ok(None),
            Some(flag) => usage(format!(
                "{flag} has no effect on {protocol}; use --protocol resp2, resp3, memcached-text \
                 or memcached-meta, or leave it out"
            )),
        };
    }
    if traffic.verify == Some(Verify::Length) {
        return usage(format!(
            "--verify length: the length of a value of {protocol} is known only with all of it; \
             write full or none"
        ));
    }
    if traffic.size.as_ref().is_some_and(|sizes| sizes.least_requested_bytes() < STAMP_BYTES.into())
    {
        return usage(format!(
            "--size must be at least {STAMP_BYTES} with {protocol}: every value begins with its \
             key, version and length"
        ));
    }
    let commands = match args.commands {
        None => Commands::Mix(args.mix.unwrap_or_default()),
        Some(file) => {
            let order = traffic.order.unwrap_or(Order::Weighted);
            file.fits(protocol).map_err(Error::Usage)?;
            if traffic.order.is_some() {
                file.expect_usable(order).map_err(Error::Usage)?;
            }
            Commands::File { file, order }
        }
    };
    Ok(Some(KeyValueSpec {
        keys: args.keys.unwrap_or_default(),
        prefix: args.key_prefix.unwrap_or_default(),
        distribution: args.key_dist.unwrap_or_default(),
        commands,
        preload: args.preload,
        connections,
    }))
}

/// The protocol, which has keys if flags need that and the target leaves the choice.
fn protocol(
    requested: Option<Protocol>,
    named: &NamedTarget,
    needs_keys: bool,
) -> Result<Protocol, Error> {
    let Some(scheme) = named.scheme else { return Ok(requested.unwrap_or_default()) };
    let possible = scheme.protocols();
    match requested {
        None => {
            let has_keys = |protocol: &&Protocol| needs_keys && protocol.has_keys();
            Ok(*possible.iter().find(has_keys).unwrap_or(&possible[0]))
        }
        Some(protocol) if possible.contains(&protocol) => Ok(protocol),
        Some(protocol) => usage(format!(
            "--protocol {protocol}: the target '{}' names another protocol; leave --protocol out, \
             or write the target as HOST:PORT",
            named.text
        )),
    }
}

/// Refuses the flags that have no effect on this protocol.
fn expect_effects(args: &TrafficArgs, protocol: Protocol) -> Result<(), Error> {
    if args.size.is_some() && !protocol.has_request_payload() {
        let instead = match protocol {
            Protocol::RespPing => "use --protocol resp-echo, or leave it out",
            _ => "leave it out",
        };
        return usage(format!(
            "--size has no effect on {protocol}, whose requests have no payload; {instead}"
        ));
    }
    if args.ws_text && protocol != Protocol::WebSocket {
        return usage(format!(
            "--ws-text has no effect on {protocol}; use --protocol websocket, or leave it out"
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
    use crate::import::{ImportedFile, Selection, Source};
    use crate::schedule::{RateProfile, Times};

    fn path_of(traffic: &TrafficSpec) -> &str {
        traffic.http.as_ref().and_then(|http| http.path()).unwrap()
    }

    #[test]
    fn a_scheme_names_the_protocol_and_a_url_the_path() {
        let traffic = |flags: &str| options(flags).unwrap().traffic;
        let http = traffic("http://a:1/b?c=%20");
        assert_eq!((http.protocol, path_of(&http)), (Protocol::Http, "/b?c=%20"));
        assert_eq!(path_of(&traffic("http://a --protocol http --http-path /x")), "/x");
        assert_eq!(path_of(&traffic("http://a/x --http-path /x")), "/x");
        assert_eq!(traffic("redis://a").protocol, Protocol::RespPing);
        assert_eq!(traffic("redis://a --protocol resp-echo --size 5").protocol, Protocol::RespEcho);
        assert_eq!(traffic("memcached://a").protocol, Protocol::Memcached);
        assert_eq!(traffic("tcp://a:1").protocol, Protocol::Raw);
        let websocket = traffic("ws://a/b?c --ws-text --http-header Origin:b");
        assert_eq!((websocket.protocol, websocket.path()), (Protocol::WebSocket, Some("/b?c")));
        assert!(websocket.is_text);
        assert_eq!(traffic("wss://a").path(), Some("/"));
        assert_eq!(traffic("a:1 --protocol websocket --http-path /x").path(), Some("/x"));
        assert_eq!(traffic("tcp://a:1 --protocol line").protocol, Protocol::Line);
    }

    #[test]
    fn a_target_and_a_flag_that_contradict_each_other_are_refused() {
        for (flags, said) in [
            ("http://a --protocol raw", "--protocol raw: the target 'http://a' names another"),
            ("redis://a --protocol memcached", "--protocol memcached"),
            ("ws://a --protocol http", "--protocol http: the target 'ws://a' names another"),
            ("ws://a --tls", "--tls: the target 'ws://a' names plain text; write wss://"),
            ("ws://a/b --http-path /c", "--http-path /c: the target 'ws://a/b' names the path"),
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
            ("--ws-text", "--ws-text has no effect on raw; use --protocol websocket"),
            ("ws://a --expect-status 404", "--expect-status has no effect on websocket"),
            ("ws://a --http-method GET", "--http-method has no effect on websocket"),
            ("ws://a --preload", "--preload has no effect on websocket"),
            ("ws://a --authenticate x", "has no effect on websocket"),
            ("ws://a --http-header Upgrade:h2c", "--http-header Upgrade: loadgen writes"),
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
            "ws://a --verify length --size 1..64KiB --pipeline 4 --churn 100",
        ] {
            assert!(options(flags).is_ok(), "{flags}");
        }
    }

    #[test]
    fn commands_of_a_monitor_keep_their_gaps_at_every_speed() {
        let times = ["1700000000.5", "1700000001.5", "1700000001.5", "1700000004.0"];
        let monitor = times.map(|time| format!("{time} [0 1.2.3.4:5] \"PING\"\n")).concat();
        let selection = Selection::default();
        let file = ImportedFile::read(Source::RedisMonitor, monitor.as_bytes(), selection).unwrap();
        let folder = test_needs::folder();
        let path = folder.path().join("commands");
        std::fs::write(&path, file.text).unwrap();
        for (speed, expected_ms) in [("1", [0, 1_000, 1_000, 3_500]), ("10", [0, 100, 100, 350])] {
            let flags =
                format!("redis://a --commands {} --order timed --speed {speed}", path.display());
            let options = options(&flags).unwrap();
            let times_ns = expected_ms.into_iter().map(|ms| ms * 1_000_000);
            let expected = RateProfile::Timed(Times::new(times_ns, 1.0));
            assert_eq!(options.load.open().unwrap().profile, expected);
            assert_eq!(options.traffic.protocol, Protocol::Resp2);
        }
    }

    /// A file with three commands within two seconds.
    fn timed_commands(folder: &std::path::Path) -> String {
        let path = folder.join("timed");
        let line = |at: u32| format!("{{\"at\":{at},\"command\":[\"PING\"]}}\n");
        std::fs::write(&path, [0, 1, 2].map(line).concat()).unwrap();
        path.display().to_string()
    }

    #[test]
    fn a_warmup_longer_than_the_timed_requests_is_refused_and_a_shorter_one_is_not() {
        let folder = test_needs::folder();
        let flags = format!("redis://a --commands {} --order timed", timed_commands(folder.path()));
        let said = refusal(&format!("{flags} --warmup 3s"));
        assert!(said.contains("--warmup 3s is longer") && said.contains("after 2s"), "{said}");
        assert!(refusal(&format!("{flags} --warmup 2s --speed 2")).contains("due after 1s"));
        options(&format!("{flags} --warmup 2s")).unwrap();
    }

    #[test]
    fn an_arrival_process_is_refused_with_timed_requests() {
        let folder = test_needs::folder();
        let flags = format!("redis://a --commands {} --order timed", timed_commands(folder.path()));
        let said = refusal(&format!("{flags} --arrival poisson"));
        assert!(said.contains("--arrival has no effect with --order timed"), "{said}");
    }

    #[test]
    fn an_order_that_the_commands_cannot_have_is_refused() {
        let folder = test_needs::folder();
        let path = folder.path().join("commands");
        std::fs::write(&path, "GET a\n2 GET b\n").unwrap();
        let of_order = |order: &str| {
            refusal(&format!("redis://a --commands {} --order {order}", path.display()))
        };
        assert!(of_order("timed").contains("line 1 of the commands has no time"));
        assert!(of_order("sequential").contains("line 2 of the commands has a weight"));
        let said = refusal("redis://a --mix get --order sequential");
        assert!(said.contains("give one with --requests or --commands"), "{said}");
    }
}
