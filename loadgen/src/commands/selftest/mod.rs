//! `loadgen selftest`: whether this loader measures correctly on this machine, shown on an echo
//! server of its own whose faults are known.

mod pacing;
mod stall;
mod verification;

use super::echo_server;
use crate::cli::SelftestArgs;
use crate::console;
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::units::counted;

/// A test and what it found.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Check {
    name: &'static str,
    passed: bool,
    /// Found against expected, with units.
    figures: String,
}

type Test = fn(&Interrupt) -> Result<Vec<Check>, Error>;

const TESTS: [(&str, Test); 3] =
    [("stall", stall::check), ("pacing", pacing::check), ("verification", verification::check)];

/// Carries out the command and returns the exit code.
pub(crate) fn selftest(args: SelftestArgs, interrupt: &Interrupt) -> Result<u8, Error> {
    let tests = chosen(&args.tests)?;
    let mut failed = 0;
    for test in tests {
        for check in test(interrupt)? {
            console::print(&line(&check))?;
            failed += u64::from(!check.passed);
        }
    }
    if failed > 0 {
        console::say(&format!(
            "{} failed: this loader does not measure correctly here now; is the machine busy?",
            counted(failed, "check")
        ));
    }
    Ok(echo_server::exit_code(failed == 0))
}

fn chosen(names: &[String]) -> Result<Vec<Test>, Error> {
    let by_name = |name: &String| {
        let found = TESTS.iter().find(|(known, _)| known == name);
        found.map(|(_, test)| *test).ok_or_else(|| {
            Error::Usage(format!("'{name}' is no test; write stall, pacing or verification"))
        })
    };
    if names.is_empty() {
        return Ok(TESTS.iter().map(|(_, test)| *test).collect());
    }
    names.iter().map(by_name).collect()
}

fn line(check: &Check) -> String {
    let verdict = if check.passed { "ok" } else { "FAILED" };
    format!("{verdict:<7} {:<22} {}\n", check.name, check.figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_chosen_by_name() {
        assert_eq!(chosen(&[]).unwrap().len(), 3);
        assert_eq!(chosen(&["stall".to_owned()]).unwrap().len(), 1);
        let text = chosen(&["stal".to_owned()]).unwrap_err().to_string();
        assert!(text.contains("'stal' is no test"), "{text}");
    }

    #[test]
    fn a_check_is_a_line_that_begins_with_its_verdict() {
        let check = |passed| Check { name: "stall", passed, figures: "p99 1 ms".to_owned() };
        assert_eq!(line(&check(true)), "ok      stall                  p99 1 ms\n");
        assert!(line(&check(false)).starts_with("FAILED  stall"));
    }
}
