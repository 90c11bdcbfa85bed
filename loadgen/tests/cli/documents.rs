//! `loadgen completions` and `loadgen man`.

use std::fs;

use test_needs::Need;

use crate::program::*;

/// The commands that the help lists.
fn commands() -> Vec<String> {
    let help = loadgen(&["--help"]).stdout;
    let (_, after) = help.split_once("Commands:\n").unwrap();
    let lines = after.lines().take_while(|line| !line.is_empty());
    let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect()
}

#[test]
fn bash_completes_commands_and_their_flags() {
    if test_needs::missing(Need::Program("bash")) {
        return;
    }
    let script = loadgen(&["completions", "bash"]);
    assert_eq!(script.code, Some(0), "{script:?}");
    for (words, completion) in [("loadgen sw", "sweep"), ("loadgen run --conn", "--connections")] {
        let ask = format!(
            "{}\nCOMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))\n\
             _loadgen loadgen \"${{COMP_WORDS[COMP_CWORD]}}\" ''\n\
             printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            script.stdout
        );
        let output = std::process::Command::new("bash").args(["-c", &ask]).output().unwrap();
        let found = String::from_utf8(output.stdout).unwrap();
        assert!(found.lines().any(|line| line == completion), "{words}: {found}");
    }
}

#[test]
fn each_command_has_a_manual_page() {
    let folder = test_needs::folder();
    let path = folder.path().join("man1");
    let finished = loadgen(&["man", path.to_str().unwrap()]);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let commands = commands();
    assert!(commands.contains(&"run".to_owned()), "{commands:?}");
    for name in commands.iter().filter(|name| *name != "help") {
        let page = fs::read_to_string(path.join(format!("loadgen-{name}.1"))).unwrap();
        assert!(page.contains(".SH NAME") && page.contains(".SH OPTIONS"), "{name}: {page}");
    }
    let page = fs::read_to_string(path.join("loadgen.1")).unwrap();
    assert!(page.contains("loadgen\\-run(1)") && page.contains(".nf\n  loadgen run "), "{page}");
}

#[test]
fn a_directory_that_cannot_be_made_is_an_error_that_names_it() {
    expect_one_line(&loadgen(&["man", "/dev/null/man1"]), 1, "to /dev/null/man1: ");
    expect_one_line(&loadgen(&["completions", "tcsh"]), 64, "tcsh");
}
