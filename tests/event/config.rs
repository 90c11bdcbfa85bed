//! The choice of a base: what the configuration requires and the environment excludes.

use std::process::Command;

use evshard::{BackendKind, ChangelistPolicy, SignalMethod};

use test_needs::Need;

use crate::app::*;
use crate::common;

fn plain() -> Config {
    Config::default().ignore_environment()
}

fn name(config: Config) -> &'static str {
    Base::new(config).unwrap().registry().backend_name()
}

#[test]
fn epoll_comes_first_and_every_other_backend_can_be_had() {
    assert_eq!(name(plain()), "epoll");
    for kind in common::usable_backends() {
        assert_eq!(name(plain().backend(kind)), kind.name());
        assert_eq!(name(plain().prefer(kind)), kind.name());
        assert_eq!(kind.name().parse::<BackendKind>().unwrap(), kind);
    }
    let error = "Epoll".parse::<BackendKind>().unwrap_err();
    assert!(matches!(error, Error::UnknownBackend { .. }), "names are exact: {error}");
    assert!(error.to_string().contains("epoll, io_uring, poll, select"), "{error}");
}

#[test]
fn an_avoided_backend_is_passed_over_with_its_reason() {
    let mut base = Base::new(plain().avoid(BackendKind::Epoll)).unwrap();
    assert_ne!(base.registry().backend_name(), "epoll");
    let [first, ..] = base.registry().passed_over() else { panic!("epoll came first") };
    assert_eq!(first.kind, BackendKind::Epoll);
    assert!(first.why.contains("avoids"), "{}", first.why);
    let all_but_select = [BackendKind::Epoll, BackendKind::IoUring, BackendKind::Poll];
    let config = all_but_select.into_iter().fold(plain(), Config::avoid);
    assert_eq!(name(config), "select");
    let mut base = Base::new(config).unwrap();
    assert_eq!(base.registry().passed_over().len(), 3);
}

#[test]
fn required_features_must_all_be_there_and_a_second_call_replaces_the_first() {
    for kind in common::usable_backends() {
        let mut base = Base::new(plain().backend(kind)).unwrap();
        let features = base.registry().features();
        assert_eq!(name(plain().backend(kind).require_features(features)), kind.name());
        let more = Base::new(plain().backend(kind).require_features(Features::all()));
        assert_eq!(more.is_ok(), features == Features::all());
    }
    let files_without_uring = plain().avoid(BackendKind::IoUring).require_features(Features::FDS);
    assert_eq!(name(files_without_uring), "poll");
    assert_eq!(name(files_without_uring.require_features(Features::EDGE)), "epoll");
}

#[test]
fn a_base_that_cannot_open_reports_a_reason_for_each_backend() {
    let config = BackendKind::ALL.iter().fold(plain(), |config, kind| config.avoid(*kind));
    let error = Base::new(config).unwrap_err();
    assert!(matches!(error, Error::NoBackend { .. }), "{error}");
    let message = error.to_string();
    for kind in BackendKind::ALL {
        assert!(
            message.contains(&format!("{}: the configuration avoids it", kind.name())),
            "{message}"
        );
    }
}

#[test]
fn an_event_that_the_backend_does_not_support_is_refused_when_added() {
    for config in common::all_configs() {
        let mut base = Base::new(config).unwrap();
        let features = base.registry().features();
        let (reader, _writer) = pair();
        for (spec, needed) in [
            (EventSpec::io(&reader, Interest::READ).edge(), Features::EDGE),
            (EventSpec::io(&reader, Interest::CLOSED), Features::EARLY_CLOSE),
        ] {
            let id = base.registry().create(spec, log);
            let added = base.registry().add(id, Some(SHORT));
            if features.contains(needed) {
                added.unwrap();
                base.registry().free(id);
            } else {
                let error = added.unwrap_err();
                assert!(matches!(error, Error::Unsupported { .. }), "{error}");
                assert_eq!(base.registry().pending(id), Ready::empty());
            }
        }
    }
}

/// Signals that the thread blocks, and so receives by signalfd.
fn blocks(number: i32) -> bool {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("SigBlk")).unwrap();
    let bits = u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap();
    bits >> (number - 1) & 1 == 1
}

fn description(config: Config) -> String {
    let mut base = Base::new(config.clock(ClockKind::Coarse)).unwrap();
    let before = base.registry().stats().changes;
    let (reader, _writer) = pair();
    add(&mut base, EventSpec::io(&reader, Interest::READ), log);
    let deferred = base.registry().stats().changes == before;
    add(&mut base, EventSpec::signal(10), log);
    let policy = if deferred { ChangelistPolicy::Deferred } else { ChangelistPolicy::Immediate };
    let signals = if blocks(10) { SignalMethod::SignalFd } else { SignalMethod::Handler };
    let (name, clock) = (base.registry().backend_name(), base.registry().clock_kind());
    format!("{name} {policy:?} {clock:?} {signals:?}")
}

/// Not a test: prints facts for the tests that run this program as a child.
#[test]
#[ignore = "run by other tests, in a child"]
fn describe_the_base() {
    println!("default: {}", description(Config::default()));
    println!("ignoring: {}", description(plain()));
    // The real and the effective user differ in a set-uid program.
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("Uid:")).unwrap();
    let ids: Vec<&str> = line.split_whitespace().skip(1).collect();
    println!("privileged: {}", ids[0] != ids[1]);
}

/// Runs a child with these variables set; returns its output after `line` and its standard error.
fn child(program: &std::path::Path, variables: &[&str], line: &str) -> (String, String) {
    let mut command = Command::new(program);
    command.args(["--exact", "config::describe_the_base", "--ignored", "--nocapture"]);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("EVENT_") {
            command.env_remove(name);
        }
    }
    let output = command.envs(variables.iter().map(|name| (name, "1"))).output().unwrap();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|b| String::from_utf8(b).unwrap());
    assert!(output.status.success(), "{stdout}{stderr}");
    let begins = format!("{line}: ");
    let found = stdout.lines().find_map(|l| l.split_once(&begins)).map(|(_, rest)| rest.to_owned());
    (found.unwrap_or_else(|| panic!("no {line} in {stdout}")), stderr)
}

#[test]
fn the_environment_excludes_backends_and_changes_options_unless_ignored() {
    let program = std::env::current_exe().unwrap();
    let usual = "epoll Immediate Coarse Handler";
    for (variables, expected) in [
        (&[][..], usual),
        (&["EVENT_NOEPOLL", "EVENT_NOIO_URING"], "poll Immediate Coarse Handler"),
        (&["EVENT_NOEPOLL", "EVENT_NOIO_URING", "EVENT_NOPOLL"], "select Immediate Coarse Handler"),
        (&["EVENT_NOSELECT"], usual),
        (&["EVENT_EPOLL_USE_CHANGELIST"], "epoll Deferred Coarse Handler"),
        (&["EVENT_PRECISE_TIMER"], "epoll Immediate Precise Handler"),
        (&["EVENT_USE_SIGNALFD"], "epoll Immediate Coarse SignalFd"),
    ] {
        assert_eq!(child(&program, variables, "default").0, expected, "with {variables:?}");
        assert_eq!(child(&program, variables, "ignoring").0, usual, "with {variables:?}");
    }
}

#[test]
fn the_environment_can_have_the_chosen_backend_printed() {
    let program = std::env::current_exe().unwrap();
    let (_, stderr) = child(&program, &["EVENT_SHOW_METHOD", "EVENT_NOEPOLL"], "default");
    let lines: Vec<&str> = stderr.lines().filter(|line| line.contains("waiting with")).collect();
    let [line] = lines[..] else { panic!("one base of the two reads the environment: {stderr}") };
    assert!(!line.contains("epoll"), "{line}");
    let (_, stderr) = child(&program, &["EVENT_NOEPOLL"], "default");
    assert!(!stderr.contains("waiting with"), "{stderr}");
}

#[test]
fn a_set_uid_program_does_not_trust_its_environment() {
    use std::os::unix::fs::{PermissionsExt, chown};

    if test_needs::missing(Need::SetUserId) {
        return;
    }
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let copy = folder.join(format!("set-uid-{}", std::process::id()));
    std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    chown(&copy, Some(65_534), None).unwrap();
    let variables = &["EVENT_NOEPOLL", "EVENT_NOIO_URING"];
    let mut described = Vec::new();
    for mode in [0o755, 0o4755] {
        std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(mode)).unwrap();
        described.push(["privileged", "default"].map(|line| child(&copy, variables, line).0));
    }
    std::fs::remove_file(&copy).unwrap();
    let [[_, without], [privileged, with]] = &described[..] else { unreachable!("two modes") };
    assert_eq!(without, "poll Immediate Coarse Handler");
    assert_eq!(privileged, "true");
    assert_eq!(with, "epoll Immediate Coarse Handler");
}

#[test]
fn a_program_that_is_started_inherits_no_descriptor_of_a_base() {
    let mut bases = Vec::new();
    for config in common::all_configs() {
        for method in [SignalMethod::Handler, SignalMethod::SignalFd] {
            let mut base = Base::new(config.signals(method)).unwrap();
            add(&mut base, EventSpec::signal(12), log);
            bases.push(base);
        }
    }
    let open = |path: &str| {
        let output = Command::new("ls").args(["-l", path]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let kinds = bases.iter_mut().map(|base| base.registry().backend_name());
    let has_rings = kinds.into_iter().any(|name| name == "io_uring");
    let kinds =
        ["eventpoll", "eventfd", "signalfd"].into_iter().chain(has_rings.then_some("io_uring"));
    let ours = open(&format!("/proc/{}/fd/", std::process::id()));
    let theirs = open("/proc/self/fd/");
    for kind in kinds {
        assert!(ours.contains(kind), "{kind} is what these tests call it");
        assert!(!theirs.contains(kind), "{theirs}");
    }
}
