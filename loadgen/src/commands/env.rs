//! `loadgen env`: the facts about this machine, and reasons not to measure on it.

use std::fmt::Write as _;

use crate::cli::EnvArgs;
use crate::console;
use crate::environment::{Environment, concerns};
use crate::error::Error;
use crate::exit;
use crate::interrupt::Interrupt;
use crate::report::json;
use crate::units;

/// Carries out the command and returns the exit code.
pub(crate) fn env(args: EnvArgs, _interrupt: &Interrupt) -> Result<u8, Error> {
    let environment = Environment::of_machine();
    let text = if args.json { json::text(&environment)? } else { render(&environment) };
    console::print(&text)?;
    Ok(exit::OK)
}

/// The concerns first, then the facts.
fn render(environment: &Environment) -> String {
    let mut text = String::new();
    match concerns::of(environment).as_slice() {
        [] => text.push_str("Nothing known speaks against measuring here.\n"),
        found => {
            text.push_str("Before you measure here:\n");
            found.iter().for_each(|concern| _ = writeln!(text, "  ! {concern}"));
        }
    }
    text.push('\n');
    for (name, value) in facts(environment) {
        let value = value.as_deref().unwrap_or("not known");
        _ = writeln!(text, "  {name:<20} {value}");
    }
    text
}

/// The facts for a person; the JSON has all of them.
fn facts(environment: &Environment) -> Vec<(&'static str, Option<String>)> {
    let Environment { processors, system, calibration, .. } = environment;
    let yes = |value: Option<bool>| value.map(|yes| if yes { "yes" } else { "no" }.to_owned());
    let number = |value: Option<usize>| value.map(|value| value.to_string());
    let share = |value: Option<f64>| value.map(|share| format!("{:.2} %", share * 100.0));
    let program =
        format!("loadgen {}, {}", environment.loadgen_version, environment.loadgen_profile);
    let open_files = system.open_files_soft.zip(system.open_files_hard);
    let ceiling = calibration.as_ref().map(|found| found.ceiling_per_s);
    vec![
        ("program", Some(program)),
        ("kernel", Some(environment.kernel.clone())),
        ("processor", environment.cpu_model.clone()),
        ("processors online", processors.online.as_ref().map(ToString::to_string)),
        (
            "cores, sockets",
            processors.cores.zip(processors.sockets).map(|(c, s)| format!("{c}, {s}")),
        ),
        ("loader may use", environment.loader_cpus.as_ref().map(ToString::to_string)),
        ("threads share cores", yes(processors.smt)),
        ("memory nodes", number(processors.numa_nodes)),
        ("frequency governor", processors.governor.clone()),
        ("turbo", yes(processors.turbo)),
        ("idle driver", processors.idle_driver.clone()),
        ("idle wake-up", processors.idle_exit_us_max.map(|us| format!("{us} µs at most"))),
        ("virtual machine", yes(processors.hypervisor)),
        ("stolen since boot", share(system.steal_share_since_boot)),
        ("load average", system.load_average_1m.map(|load| format!("{load:.2}"))),
        (
            "cgroup quota",
            Some(system.cgroup_cpu_quota.map_or("none".to_owned(), |q| q.to_string())),
        ),
        ("boot options", system.boot_options.as_ref().map(|words| listed(words))),
        ("huge pages", system.transparent_huge_pages.clone()),
        ("random addresses", system.address_randomization.map(|level| level.to_string())),
        ("open files", open_files.map(|(soft, hard)| format!("{soft} now, {hard} at most"))),
        ("local ports", system.local_ports().map(|ports| units::grouped(ports.into()))),
        ("backlog of listeners", system.sysctls.get("net.core.somaxconn").cloned().flatten()),
        ("loader's ceiling", ceiling.map(|per_s| format!("{}/s (calibrated)", units::rate(per_s)))),
    ]
}

fn listed(words: &[String]) -> String {
    if words.is_empty() { "none that matter".to_owned() } else { words.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn concerns_come_before_facts_and_what_is_not_known_says_so() {
        let text = render(&Environment::default());
        let (concerns, facts) = text.split_once("\n\n").unwrap();
        assert!(concerns.contains("  ! the kernel does not report whether turbo is on"), "{text}");
        assert!(facts.contains("turbo                not known"), "{text}");
    }

    #[test]
    fn a_machine_without_flaws_is_praised() {
        let mut environment = Environment::default();
        environment.processors.governor = Some("performance".to_owned());
        environment.processors.turbo = Some(false);
        assert!(render(&environment).starts_with("Nothing known speaks against"));
    }
}
