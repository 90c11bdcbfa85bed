//! Reasons not to measure on a machine, each with its remedy.

use super::Environment;

/// Idle states with a longer wake-up time distort latencies of the same order.
const IDLE_EXIT_US_MAX: u64 = 20;

/// A load of many connections needs at least this many open files.
const OPEN_FILES_MIN: u64 = 4_096;

/// Many connections to one address need at least this many local ports; Linux has more by default.
const LOCAL_PORTS_MIN: u32 = 20_000;

/// Above this share of stolen time, the hypervisor's other guests affect the numbers.
const STEAL_SHARE_MAX: f64 = 0.01;

/// Above this share of busy processors, other work affects the numbers.
const LOAD_SHARE_MAX: f64 = 0.25;

/// The reasons, the gravest first.
pub(crate) fn of(environment: &Environment) -> Vec<String> {
    let mut found = Vec::new();
    if environment.loadgen_profile == "debug" {
        found.push("this loadgen is a debug build; build it with --release".to_owned());
    }
    found.extend(load(environment));
    found.extend(processors(environment));
    found.extend(system(environment));
    found
}

fn load(environment: &Environment) -> Option<String> {
    let online = environment.processors.online.as_ref().map(super::CpuList::len);
    let (load, online) = (environment.system.load_average_1m?, online?);
    (load > LOAD_SHARE_MAX * online as f64).then(|| {
        format!("{load:.2} tasks wanted one of {online} processors in the last minute; end them")
    })
}

fn processors(environment: &Environment) -> Vec<String> {
    let processors = &environment.processors;
    let mut found = Vec::new();
    if environment.cpus == Some(1) {
        found.push("there is one processor for loader and server; use another machine".to_owned());
    }
    match processors.governor.as_deref() {
        Some("performance") => {}
        Some(governor) => found.push(format!(
            "the governor '{governor}' raises the frequency slowly; choose 'performance'"
        )),
        None => found.push("the kernel does not report the frequency governor".to_owned()),
    }
    match processors.turbo {
        Some(false) => {}
        Some(true) => found.push(
            "turbo is on: speed depends on heat and on other work; turn it off to compare"
                .to_owned(),
        ),
        None => found.push("the kernel does not report whether turbo is on".to_owned()),
    }
    if let Some(exit_us) = processors.idle_exit_us_max.filter(|&us| us > IDLE_EXIT_US_MAX) {
        found.push(format!(
            "an idle processor may take {exit_us} µs to wake up; limit it by /dev/cpu_dma_latency \
             or intel_idle.max_cstate"
        ));
    }
    if processors.hypervisor == Some(true) {
        found.push(
            "this is a virtual machine: the work of others on its host affects the numbers"
                .to_owned(),
        );
    }
    found
}

fn system(environment: &Environment) -> Vec<String> {
    let system = &environment.system;
    let mut found = Vec::new();
    if let Some(share) = system.steal_share_since_boot.filter(|&share| share > STEAL_SHARE_MAX) {
        found.push(format!(
            "the hypervisor stole {:.1} % of the processors' time since the machine started",
            share * 100.0
        ));
    }
    if let Some(quota) = system.cgroup_cpu_quota {
        found.push(format!(
            "the control group may use {quota} processors; the kernel stops it when it used more"
        ));
    }
    if system.transparent_huge_pages.as_deref() == Some("always") {
        found.push(
            "the kernel makes huge pages for all programs, which causes stalls; choose 'madvise'"
                .to_owned(),
        );
    }
    if let Some(limit) = system.open_files_hard.filter(|&limit| limit < OPEN_FILES_MIN) {
        found.push(format!(
            "the limit of {limit} open files (ulimit -Hn) also limits the connections"
        ));
    }
    if let Some(ports) = system.local_ports().filter(|&ports| ports < LOCAL_PORTS_MIN) {
        found.push(format!(
            "the range of {ports} local ports (net.ipv4.ip_local_port_range) limits the \
             connections to one address; widen the range or use --source"
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quiet() -> Environment {
        let mut environment = Environment::default();
        environment.processors.governor = Some("performance".to_owned());
        environment.processors.turbo = Some(false);
        environment
    }

    #[test]
    fn a_machine_that_is_set_up_well_gives_no_concern() {
        assert_eq!(of(&quiet()), Vec::<String>::new());
    }

    #[test]
    fn each_concern_is_reported_with_its_figure() {
        let flaw = |change: fn(&mut Environment), said: &str| {
            let mut environment = quiet();
            change(&mut environment);
            let found = of(&environment);
            assert!(found.len() == 1 && found[0].contains(said), "{said}: {found:?}");
        };
        flaw(|e| e.loadgen_profile = "debug".to_owned(), "--release");
        flaw(|e| e.processors.governor = Some("powersave".to_owned()), "'powersave'");
        flaw(|e| e.processors.governor = None, "report the frequency governor");
        flaw(|e| e.processors.turbo = Some(true), "turbo is on");
        flaw(|e| e.processors.turbo = None, "report whether turbo is on");
        flaw(|e| e.processors.idle_exit_us_max = Some(200), "200 µs");
        flaw(|e| e.processors.hypervisor = Some(true), "virtual machine");
        flaw(|e| e.cpus = Some(1), "one processor");
        flaw(|e| e.system.steal_share_since_boot = Some(0.05), "5.0 %");
        flaw(|e| e.system.cgroup_cpu_quota = Some(1.5), "1.5 processors");
        flaw(|e| e.system.transparent_huge_pages = Some("always".to_owned()), "huge pages");
        flaw(|e| e.system.open_files_hard = Some(1_024), "1024 open files");
    }

    #[test]
    fn load_counts_against_the_processors_there_are() {
        let mut environment = quiet();
        environment.system.load_average_1m = Some(1.5);
        environment.processors.online = Some("0-15".parse().unwrap());
        assert!(of(&environment).is_empty());
        environment.processors.online = Some("0-3".parse().unwrap());
        assert!(of(&environment)[0].contains("1.50 tasks"));
    }
}
