//! Files as configurations: values, precedence, errors, and files that were printed.

use std::ffi::OsString;
use std::io::Write;

use clap::ArgAction;
use test_inputs::like;

use super::super::usage_error::in_one_line;
use super::configuration::{Configuration, Refusal, serve_command};
use super::entries::can_be_key;
use super::settings::{Origin, Value};
use super::source::{FileErrors, Source};

fn read(text: &str, flags: &[&str]) -> Result<Configuration, Refusal> {
    let source = Source::from_bytes("a.toml".to_owned(), text.as_bytes().to_vec())?;
    let flags: Vec<OsString> = flags.iter().map(Into::into).collect();
    Configuration::from_file(&source, &flags)
}

#[track_caller]
fn good(text: &str, flags: &[&str]) -> Configuration {
    read(text, flags).unwrap_or_else(|refusal| panic!("{}", shown(refusal)))
}

fn shown(refusal: Refusal) -> String {
    match refusal {
        Refusal::Usage(error) => in_one_line(&error),
        Refusal::File(errors) => errors.to_string(),
    }
}

/// The first lines of all errors.
#[track_caller]
fn errors(text: &str, flags: &[&str]) -> Vec<String> {
    match read(text, flags) {
        Err(Refusal::File(FileErrors(errors))) => {
            errors.iter().map(super::source::FileError::in_one_line).collect()
        }
        Err(Refusal::Usage(error)) => panic!("no error of the file: {error}"),
        Ok(_) => panic!("no error"),
    }
}

fn setting(configuration: &Configuration, key: &str) -> (Value, Origin) {
    let setting = configuration.settings.0.iter().find(|setting| setting.key == key);
    let setting = setting.unwrap_or_else(|| panic!("no setting {key}"));
    (setting.value.clone(), setting.origin)
}

fn one(text: &str) -> Value {
    Value::One(Some(Some(text.to_owned())))
}

/// Values that the parsers of flags take, most general first.
const VALUES: &[&str] = &[
    "7",
    "7s",
    "1MiB",
    "127.0.0.1:9100",
    "10.0.0.0/8",
    "spin:7us",
    "info",
    "7/s",
    "1MiB/s",
    "7%",
    "name",
];

/// A line of a file that sets this flag to something, with all that the flag needs.
fn line_for(flag: &clap::Arg) -> (String, Value) {
    let key = flag.get_long().unwrap();
    let value_text = |text: &str| match flag.get_action() {
        ArgAction::Append => Value::List(vec![Some(text.to_owned())]),
        _ => one(text),
    };
    if !flag.get_action().takes_values() {
        return (format!("{key} = true"), Value::Switch(true));
    }
    let named = flag.get_possible_values();
    let named = named.last().map(|value| value.get_name().to_owned());
    let defaults = flag.get_default_values().iter().map(|text| text.to_str().unwrap().to_owned());
    let texts = named.into_iter().chain(VALUES.iter().map(|text| (*text).to_owned()));
    let texts = texts.chain(defaults);
    let takes = |text: &String| {
        let argument = format!("--{key}={text}");
        let error = serve_command().try_get_matches_from([argument]).err();
        error.is_none_or(|error| error.kind() == clap::error::ErrorKind::MissingRequiredArgument)
    };
    let mut texts = texts.filter(takes);
    let text = texts.next().unwrap_or_else(|| panic!("give VALUES one for --{key}"));
    (format!("{key} = {text:?}"), value_text(&text))
}

/// A file with a certificate and its key.
fn certificate_and_key() -> tempfile::NamedTempFile {
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let text = key.cert.pem() + &key.signing_key.serialize_pem();
    file.write_all(text.as_bytes()).unwrap();
    file
}

#[test]
fn every_flag_of_serve_works_from_a_file() {
    let command = serve_command();
    let (mut keys, mut refused) = (0, Vec::new());
    let file = certificate_and_key();
    let pem = file.path().to_str().unwrap().to_owned();
    let certificate = format!("tls-cert = {pem:?}");
    for flag in command.get_arguments() {
        let key = flag.get_long().unwrap();
        if !can_be_key(flag) {
            let error = errors(&format!("{key} = \"x\"\n"), &[]).remove(0);
            assert!(error.contains("works on the command line only"), "{error}");
            refused.push(key);
            continue;
        }
        let (line, expected) = match key {
            "tls-cert" | "tls-key" => {
                (format!("{key} = {pem:?}"), Value::List(vec![Some(pem.clone())]))
            }
            "tls-client-ca" => (format!("{key} = {pem:?}"), one(&pem)),
            _ => line_for(flag),
        };
        // What some flags need besides. A key that is named twice is not valid.
        let needed = [
            ("proxy-trust", "proxy-protocol = \"require\""),
            ("proxy-protocol", "proxy-trust = \"::/0\""),
            ("admin-remote", "admin = \"127.0.0.1:1\""),
            ("admin-host", "admin = \"127.0.0.1:1\""),
            ("work", "service = \"work\""),
            ("drain-spread", "drain-timeout = \"1h\""),
            ("tls-key", &certificate),
            ("tls-client-ca", &certificate),
        ];
        let needed = needed.into_iter().find(|(name, _)| *name == key);
        let text = format!("{}\n{line}\n", needed.map_or("", |(_, line)| line));
        assert_eq!(setting(&good(&text, &[]), key), (expected, Origin::File), "{text}");
        keys += 1;
    }
    assert_eq!(refused, ["config", "print-config", "upgrade-from", "help"]);
    assert!(keys > 20, "{keys} keys");
}

#[test]
fn a_value_has_the_form_of_its_flag_or_of_toml() {
    let text = "\
max-connections = 1_000          # a number
backlog = \"512\"                  # as text
listen = [\"127.0.0.1:1\", 'unix:/a \"b\"']
proxy-protocol = \"optional\"
proxy-trust = \"10.0.0.0/8\"       # a list of one
idle-timeout = \"90s\"
no-pin = true
no-timings = false
unix-mode = 600
";
    let configuration = good(text, &[]);
    let config = configuration.flags.config();
    assert_eq!(config.connections_max.unwrap().get(), 1_000);
    assert_eq!((config.backlog, config.unix_mode), (512, 0o600));
    assert_eq!(config.listen.len(), 2);
    assert_eq!(config.listen[1].to_string(), "unix:/a \"b\"");
    assert_eq!(config.proxy.trusted.len(), 1);
    assert_eq!(config.limits.idle.unwrap().as_secs(), 90);
    assert!(!config.pin && config.measure.timings);
}

#[test]
fn a_flag_on_the_command_line_replaces_the_key_of_the_file() {
    let text = "listen = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\nbacklog = 7\nidle-timeout = \"1s\"\n";
    let flags = ["--config", "a.toml", "--listen", "127.0.0.1:3", "--backlog=8"];
    let configuration = good(text, &flags);
    let config = configuration.flags.config();
    assert_eq!(config.listen.len(), 1);
    assert_eq!(config.listen[0].to_string(), "127.0.0.1:3");
    assert_eq!(setting(&configuration, "backlog"), (one("8"), Origin::Flag));
    assert_eq!(setting(&configuration, "idle-timeout"), (one("1s"), Origin::File));
    assert_eq!(setting(&configuration, "message-timeout"), (one("10s"), Origin::Default));
}

#[test]
fn a_flag_that_excludes_a_key_replaces_it() {
    let text = "upgrade-socket = \"/run/a\"\n";
    let upgrade = good(text, &["--upgrade-from", "/run/b"]).flags.upgrade();
    assert_eq!(upgrade.from.as_deref(), Some("/run/b".as_ref()));
    assert_eq!(upgrade.offer, upgrade.from);
    assert!(good(text, &[]).flags.upgrade().from.is_none());
}

#[test]
fn a_flag_and_a_key_that_need_each_other_are_complete_together() {
    let configuration = good("admin = \"127.0.0.1:1\"\n", &["--admin-remote"]);
    assert!(configuration.flags.admin().unwrap().allow_remote);
    assert!(good("admin-remote = true\n", &["--admin", "127.0.0.1:1"]).flags.admin().is_some());
}

#[test]
fn an_error_has_its_line_with_a_caret_and_what_is_allowed() {
    let text = "# limits\nmax-connections = 0\n";
    let expected = "\
a.toml:2:19: invalid value '0' for '--max-connections <N>': write a number from 1 to 2147483647
  |
2 | max-connections = 0
  |                   ^";
    assert_eq!(shown(read(text, &[]).err().unwrap()), expected);
}

#[test]
fn every_kind_of_error_says_what_to_write() {
    for (line, column, expected) in [
        ("max_conections = 1", 1, "there is no key `max_conections`; write `max-connections`"),
        ("colour = 1", 1, "there is no key `colour`; keys are the flags of `evshard serve --help`"),
        ("confi = 1", 1, "there is no key `confi`; keys are"),
        ("[limits]\nbuffer = 1", 2, "`limits` is a table; write KEY = VALUE lines"),
        ("a.b = 1", 1, "`a` is a table"),
        ("idle-timeout = false", 16, "is true or false; write DURATION as a string or a number"),
        ("idle-timeout = [\"1s\"]", 16, "is a list; write DURATION"),
        ("idle-timeout = 1979-05-27", 16, "is a date; write DURATION"),
        ("listen = [[\"a\"]]", 11, "write ADDR as a string or a number, or a list of them"),
        ("no-pin = \"yes\"", 10, "`no-pin` is a switch: write true or false"),
        ("unix-mode = 0o660", 13, "decimal digits, or as a string"),
        ("placement = \"rnd\"", 13, "[possible values: "),
        ("config = \"b.toml\"", 1, "--config works on the command line only: one file has"),
        ("upgrade-from = \"/a\"", 1, "--upgrade-from works on the command line only"),
        ("backlog = 1\nbacklog = 2", 1, "duplicate key"),
        ("backlog = ", 11, ""),
        ("backlog = 1e", 13, "; a line is KEY = VALUE, or a comment"),
        ("\"", 2, "expected `=`"),
        ("admin-remote = true", 1, "--admin <ADDR>"),
        ("proxy-trust = \"::1\"", 1, "--proxy-trust has no effect without --proxy-protocol"),
        ("proxy-protocol = \"require\"", 1, "--proxy-trust <CIDR>"),
        ("admin = \"192.0.2.7:1\"", 1, "192.0.2.7:1"),
    ] {
        let errors = errors(line, &[]);
        assert_eq!(errors.len(), 1, "{line}: {errors:?}");
        let at = format!(":{column}: ");
        assert!(errors[0].contains(&at) && errors[0].contains(expected), "{line}: {errors:?}");
    }
}

#[test]
fn all_errors_of_a_file_are_found_at_once() {
    let text = "\
workrs = 2
max-connections = 0
listen = [\"127.0.0.1:1\", \"127.0.0.1\", \"unix:\"]
drain-spread = \"9s\"
memory-limit = \"1MiB\"
buffer = \"2MiB\"
backlog = = 3
idle-timeout = \"off\"
proxy-protocol = \"sometimes\"
proxy-trust = \"::1\"
";
    let lines: Vec<String> = errors(text, &[]);
    let at: Vec<&str> = lines.iter().map(|line| line.split(": ").next().unwrap()).collect();
    let expected = ["1:1", "2:19", "3:26", "3:39", "4:1", "5:1", "7:11", "9:18"];
    assert_eq!(at, expected.map(|at| format!("a.toml:{at}")), "{lines:#?}");
}

#[test]
fn an_error_of_the_command_line_is_no_error_of_the_file() {
    for flags in [&["--workers", "0"][..], &["--wrkers", "1"], &["--drain-spread", "9s"]] {
        let refusal = read("backlog = 1\n", flags).err().unwrap();
        assert!(matches!(refusal, Refusal::Usage(_)), "{refusal:?}");
    }
    // The file has the other one of the two.
    let errors = errors("drain-timeout = \"1s\"\n", &["--drain-spread", "9s"]);
    assert!(errors[0].starts_with("a.toml:1:1: --drain-spread 9s is longer"), "{errors:?}");
}

#[test]
fn a_printed_configuration_is_read_as_the_same_configuration() {
    let command = serve_command();
    let lines = command.get_arguments().filter(|flag| can_be_key(flag)).map(line_for);
    let lines: Vec<String> = lines.map(|(line, _)| line).collect();
    let all = lines.join("\n") + "\nlisten = [\"127.0.0.1:1\"]\n";
    for text in ["", "unix-mode = \"0600\"\nno-pin = true", "log-file = 'a \"\\b'", &all] {
        // A key that appears twice, or that does not fit the others, is left out.
        let mut file = String::new();
        for line in text.lines() {
            let longer = format!("{file}{line}\n");
            if read(&longer, &[]).is_ok() {
                file = longer;
            }
        }
        let first = good(&file, &["--backlog", "77"]);
        let printed = first.settings.to_toml().unwrap();
        let second = good(&printed, &[]);
        for (one, two) in first.settings.0.iter().zip(&second.settings.0) {
            assert_eq!((&one.key, &one.value), (&two.key, &two.value), "{printed}");
        }
        assert_eq!(first.settings.0.len(), second.settings.0.len());
        assert!(printed.contains("\nbacklog = 77  # flag\n"), "{printed}");
        assert!(printed.lines().all(|line| line.chars().count() <= 100), "{printed}");
    }
}

#[test]
fn a_path_that_is_no_text_was_printed_as_another_path() {
    use std::os::unix::ffi::OsStringExt;
    let flags = [OsString::from("--log-file"), OsString::from_vec(b"/tmp/\xff".to_vec())];
    let configuration = Configuration::of(&flags).map_err(shown).ok().unwrap();
    let error = configuration.settings.to_toml().unwrap_err().to_string();
    assert!(error.contains("--log-file is not Unicode"), "{error}");
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_a_configuration_or_errors_at_positions(bytes in like(&[
        b"admin-host = [\"a\", 'b']\nadmin = \"unix:/a\"\nmax-connections = 1_000\n",
        b"idle-timeout = \"90s\" # comment\r\nno-pin = true\n[table]\na.b = { c = 1 }\n",
        b"\xef\xbb\xbfproxy-trust = [\"::/0\"]\nproxy-protocol = \"\"\"require\"\"\"\n",
        b"backlog = 0x10\nbuffer = 1e5\nwork = \"spin:1us\"\nservice = \"\\u0077ork\"\n",
    ])) {
        let read = Source::from_bytes("a.toml".to_owned(), bytes).map_err(Refusal::from)
            .and_then(|source| Configuration::from_file(&source, &[]));
        match read {
            Ok(configuration) => {
                configuration.settings.to_toml().unwrap();
            }
            Err(Refusal::File(FileErrors(errors))) => {
                assert!(!errors.is_empty());
                for error in errors {
                    assert!(error.in_one_line().starts_with("a.toml:"), "{error}");
                }
            }
            Err(Refusal::Usage(error)) => panic!("there are no flags: {error}"),
        }
    }
}

#[test]
fn a_key_with_control_characters_was_printed_as_it_is() {
    let text = errors("\"\\u001b[31m\\nfake\" = 5\n", &[]).join(" ");
    assert!(!text.contains('\u{1b}') && text.contains("\\u{1b}[31m\\nfake"), "{text}");
}
