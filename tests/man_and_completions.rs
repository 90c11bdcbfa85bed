//! `evshard completions` and `evshard man`.

use std::fs;
use std::process::{Command, Output};

use test_needs::Need;

fn evshard(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_evshard")).args(arguments).output().unwrap()
}

#[test]
fn bash_completes_commands_and_their_flags() {
    if test_needs::missing(Need::Program("bash")) {
        return;
    }
    let script = evshard(&["completions", "bash"]);
    assert!(script.status.success(), "{script:?}");
    let script = String::from_utf8(script.stdout).unwrap();
    for (words, completion) in [
        ("evshard ser", "serve"),
        ("evshard serve --max-connections-", "--max-connections-per-source"),
        ("evshard ctl re", "reload"),
    ] {
        let ask = format!(
            "{script}\nCOMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))\n\
             _evshard evshard \"${{COMP_WORDS[COMP_CWORD]}}\" ''\n\
             printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        let output = Command::new("bash").args(["-c", &ask]).output().unwrap();
        let found = String::from_utf8(output.stdout).unwrap();
        assert!(found.lines().any(|line| line == completion), "{words}: {found}");
    }
}

#[test]
fn each_command_has_a_manual_page() {
    let folder = test_needs::folder();
    let path = folder.path().join("man1");
    let output = evshard(&["man", path.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    for (name, text) in [
        ("evshard", "evshard\\-serve(1)"),
        ("evshard-serve", ".nf\n  evshard serve\n"),
        ("evshard-serve", "\n.fi\n\nStandard output begins"),
        ("evshard-serve", "\\-\\-max\\-connections\\-per\\-source"),
        ("evshard-top", "\\-\\-interval"),
        ("evshard-ctl", "evshard\\-ctl\\-reload(1)"),
        ("evshard-ctl-reload", "\\-\\-admin"),
        ("evshard-check-config", "FILE"),
        ("evshard-completions", "SHELL"),
        ("evshard-man", "DIR"),
    ] {
        let page = fs::read_to_string(path.join(format!("{name}.1"))).unwrap();
        assert!(page.contains(text), "{name} has no {text}: {page}");
    }
}

#[test]
fn a_directory_that_cannot_be_made_is_an_error_that_names_it() {
    let output = evshard(&["man", "/dev/null/man1"]);
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{complaint}");
    assert!(complaint.starts_with("evshard: write the manual pages to /dev/null/man1: "));
    assert_eq!(complaint.lines().count(), 1, "{complaint}");
}

#[test]
fn a_shell_that_is_not_known_is_a_usage_error_that_names_the_command() {
    let output = evshard(&["completions", "tcsh"]);
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{complaint}");
    assert!(complaint.contains("tcsh") && complaint.contains("evshard completions --help"));
}
