//! Which layer of `src` may import which, and which module of a folder may import which.

use super::expect_tidy;
use super::paths::{imports, named};
use super::source::{Source, sources};

/// The layers of `src`, each with all that it may import: a layer, or a module of one.
const LAYERS: &[(&str, &[&str])] = &[
    ("event", &[]),
    ("sync", &[]),
    ("error", &["event"]),
    ("sys", &["error", "event", "sync"]),
    (
        "backend",
        &["sys::epoll", "sys::poll", "sys::select", "sys::uring", "sys::fd", "event", "error"],
    ),
    (
        "base",
        &[
            "backend",
            "sys::clock",
            "sys::eventfd",
            "sys::fd",
            "sys::process",
            "sys::signal",
            "sys::signalfd",
            "sys::signal_counts",
            "event",
            "error",
            "sync",
        ],
    ),
    ("buffer", &["sys::memory", "sys::stream"]),
    ("tls", &["error"]),
    ("transport", &["buffer", "event", "tls"]),
    ("accept", &["error"]),
    ("rate_limit", &[]),
    ("connect", &["base", "event", "sync"]),
    (
        "bufferevent",
        &[
            "base",
            "accept",
            "rate_limit",
            "connect",
            "transport",
            "tls",
            "buffer",
            "sys::accept",
            "sys::clock",
            "event",
            "error",
            "sync",
        ],
    ),
    (
        "server",
        &[
            "base",
            "accept",
            "rate_limit",
            "connect",
            "connect",
            "transport",
            "tls",
            "buffer",
            "sys::accept",
            "sys::clock",
            "sys::malloc",
            "sys::rusage",
            "sys::socket",
            "event",
            "error",
            "sync",
        ],
    ),
    // Programs use the public interface, as users do.
    ("bin", &[]),
];

/// The layers of `capi/src`.
const CAPI_LAYERS: &[(&str, &[&str])] = &[
    ("abi::access", &[]),
    ("debug", &["abi::access"]),
    ("time", &["abi::access"]),
    ("symbols", &["abi::access"]),
    ("record", &["abi::access", "symbols"]),
    ("admin", &["abi::access", "symbols", "record"]),
    ("check", &["abi::access", "debug", "symbols"]),
    ("base", &["abi::access", "debug", "time", "record", "admin", "check"]),
    // The exported functions.
    ("abi", &["abi::access", "debug", "time", "check", "base"]),
];

/// The modules of `loadgen/src`.
const LOADGEN_ORDER: &[&str] = &[
    "clock",
    "exit",
    "error",
    "units",
    "console",
    "atomic_file",
    "destination",
    "interrupt",
    "plan_files",
    "schedule",
    "latency",
    "stats",
    "wire",
    "import",
    "tls",
    "slo",
    "options",
    "environment",
    "record",
    "server",
    "engine",
    "fleet",
    "validity",
    "measure",
    "report",
    "comparison",
    "merging",
    "cli",
    "commands",
];

/// The modules directly below a folder, lowest first. Each may import those before it.
struct ModuleOrder {
    folder: &'static str,
    modules: &'static [&'static str],
}

/// The folder's own file. It may import from all modules, and none may import what it defines.
const OWN_FILE: &str = "mod";

const MODULE_ORDERS: &[ModuleOrder] = &[
    ModuleOrder { folder: "loadgen/src", modules: LOADGEN_ORDER },
    ModuleOrder { folder: "src/base", modules: BASE_ORDER },
    ModuleOrder { folder: "src/server", modules: SERVER_ORDER },
];

/// The modules of `src/base`.
const BASE_ORDER: &[&str] = &[
    "log_interval",
    "back_off",
    "failed_wait",
    "control",
    "changelist",
    "stats",
    "limit",
    "leniency",
    "events",
    "timers",
    "setup",
    "kernel",
    "cross_thread",
    "registry",
    "event_loop",
];

/// The modules of `src/server`.
const SERVER_ORDER: &[&str] = &[
    "failure",
    "error",
    "listen_address",
    "connection_limit",
    "memory",
    "placement",
    "config",
    "listener",
    "peer_address",
    "stats",
    "proxy_protocol",
    "source_limit",
    "worker_queue",
    "handoff",
    "refusals",
    "accept",
    "shard",
    "service",
    "thread",
    "threads",
    "admin",
    "upgrade",
    "service_manager",
    "fuzz",
];

#[test]
fn a_lower_layer_never_imports_a_higher_one() {
    expect_tidy(&forbidden_imports_of_layers(LAYERS, &sources(&["src"])));
    expect_tidy(&forbidden_imports_of_layers(CAPI_LAYERS, &sources(&["capi/src"])));
}

#[test]
fn a_lower_module_never_imports_a_higher_one() {
    let all = sources(&["src", "loadgen/src"]);
    let complaints: Vec<String> =
        MODULE_ORDERS.iter().flat_map(|order| order.forbidden_imports(&all)).collect();
    expect_tidy(&complaints);
}

/// The imports in the files of a crate that `layers` does not allow.
fn forbidden_imports_of_layers(layers: &[(&str, &[&str])], all: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in all.iter().filter(|source| !source.is_test(all)) {
        let (path, module) = (&source.path, source.module());
        let Some(first) = module.first() else { continue };
        let Some((layer, allowed)) = layer_of(layers, &module) else {
            complaints.push(format!("{path}: add `{first}` to its layers in tests/tidy/layers.rs"));
            continue;
        };
        for (number, steps) in named(source) {
            let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
            let part = steps[..steps.len().min(2)].join("::");
            let target = layer_of(layers, &steps).map_or(&*part, |(target, _)| target);
            if target != layer && !allowed.contains(&target) && !allowed.contains(&&*part) {
                complaints.push(forbidden(path, number, layer, &part));
            }
        }
    }
    complaints
}

/// The layer of a path: the module, or a module of it that is a layer of its own.
fn layer_of<'a>(
    layers: &[(&'a str, &'a [&'a str])],
    path: &[&str],
) -> Option<(&'a str, &'a [&'a str])> {
    let named = |length: usize| {
        let name = path.get(..length)?.join("::");
        layers.iter().find(|(layer, _)| *layer == name).copied()
    };
    named(2).or_else(|| named(1))
}

fn forbidden(path: &str, number: usize, module: &str, target: &str) -> String {
    format!(
        "{path}:{number}: `{module}` must not import `{target}`; move the code down, or pass what \
         it needs as an argument"
    )
}

impl ModuleOrder {
    /// The imports in the folder's files from modules that come later in the order.
    fn forbidden_imports(&self, all: &[Source]) -> Vec<String> {
        let prefix = format!("{}/", self.folder);
        let own = all.iter().find(|source| source.path == format!("{prefix}{OWN_FILE}.rs"));
        let exported = own.map(|own| imports(&own.text)).unwrap_or_default();
        let mut complaints = Vec::new();
        for source in all.iter().filter(|source| !source.is_test(all)) {
            let Some(file) = source.path.strip_prefix(&prefix) else { continue };
            let module = file.split(['/', '.']).next().unwrap_or_default();
            if matches!(module, OWN_FILE | "main") {
                continue;
            }
            let Some(position) = self.modules.iter().position(|name| *name == module) else {
                let path = &source.path;
                complaints.push(format!(
                    "{path}: add `{module}` to the order of its folder in tests/tidy/layers.rs"
                ));
                continue;
            };
            for (number, path) in named(source) {
                let Some(target) = self.module_of(&path, &exported) else { continue };
                if target != module && !self.modules[..position].contains(&target) {
                    complaints.push(forbidden(&source.path, number, module, target));
                }
            }
        }
        complaints
    }

    /// The module of this folder that `path` names, directly or by a name that the folder's own
    /// file exports; nothing if it names another folder.
    fn module_of<'a>(
        &self,
        path: &'a [String],
        exported: &'a [(String, Vec<String>)],
    ) -> Option<&'a str> {
        let (_, folder) = self.folder.split_once("src")?;
        let mut steps = path.iter();
        for expected in folder.split('/').filter(|step| !step.is_empty()) {
            if steps.next()? != expected {
                return None;
            }
        }
        let name = steps.next().map_or(OWN_FILE, String::as_str);
        let export = exported.iter().find(|(exported, _)| exported == name);
        let module = export.and_then(|(_, path)| path.first()).map_or(name, String::as_str);
        Some(if self.modules.contains(&module) { module } else { OWN_FILE })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::tests::source;

    const ORDER: &[&str] = &["low", "middle", "high"];

    fn complaints(folder: &'static str, path: &str, text: &str) -> Vec<String> {
        let own = "mod low;\npub use high::Exported;\npub use low::{Low, deep::Deeper};\n";
        let all = [source(path, text), source(&format!("{folder}/mod.rs"), own)];
        ModuleOrder { folder, modules: ORDER }.forbidden_imports(&all)
    }

    #[test]
    fn an_upward_import_is_found_in_src() {
        let layers: &[(&str, &[&str])] = &[("sys", &[]), ("base", &["sys::fd"])];
        let complaints = |path, text| forbidden_imports_of_layers(layers, &[source(path, text)]);
        for allowed in ["use crate::sys::fd::Fd;", "use super::config;", "use crate::base::Config;"]
        {
            assert_eq!(complaints("src/base/limit.rs", allowed), [""; 0], "{allowed}");
        }
        assert!(
            complaints("src/sys/fd.rs", "\nuse crate::base;")[0].starts_with("src/sys/fd.rs:2: ")
        );
        for text in [
            "use crate::sys::epoll;",
            "use crate::{base, sys::epoll};",
            "let a = super::super::sys::epoll::f();",
            "use crate::*;",
            "use crate::Error;",
        ] {
            assert_eq!(complaints("src/base/limit.rs", text).len(), 1, "{text}");
        }
        assert_eq!(complaints("src/new.rs", "").len(), 1);
    }

    #[test]
    fn a_part_of_a_module_may_be_a_layer_below_the_module() {
        let layers: &[(&str, &[&str])] =
            &[("abi::access", &[]), ("base", &["abi::access"]), ("abi", &["abi::access", "base"])];
        let count = |path, text| forbidden_imports_of_layers(layers, &[source(path, text)]).len();
        assert_eq!(count("capi/src/abi/event.rs", "use crate::base::Base;"), 0);
        assert_eq!(count("capi/src/abi/event.rs", "use super::access::layout::Event;"), 0);
        assert_eq!(count("capi/src/base/mod.rs", "use crate::abi::access::layout::Event;"), 0);
        assert_eq!(count("capi/src/base/mod.rs", "use crate::abi::event::f;"), 1);
        assert_eq!(count("capi/src/abi/access/layout.rs", "use crate::base::Base;"), 1);
        assert_eq!(count("capi/src/abi/access/layout.rs", "use crate::abi::event::f;"), 1);
        assert_eq!(count("capi/src/abi/access/layout.rs", "use super::call::Call;"), 0);
    }

    #[test]
    fn an_upward_import_is_found_in_each_folder() {
        for (folder, file, text) in [
            ("src/base", "low/a.rs", "use crate::base::high::A;"),
            ("src/base", "low/a.rs", "use super::super::high::A;"),
            ("src/base", "low/mod.rs", "use super::{low::B, high::A};"),
            ("src/base", "middle.rs", "use crate::base::Exported;"),
            ("src/base", "middle.rs", "use crate::base::DefinedInMod;"),
            ("src/base", "middle.rs", "use super::*;"),
            ("src/server", "low/deep/a.rs", "super::super::super::middle::f();"),
            ("src/server", "low.rs", "use super::middle::A;"),
            ("loadgen/src", "low.rs", "use crate::middle::A;"),
            ("loadgen/src", "low/a.rs", "use super::super::high::A;"),
        ] {
            let found = complaints(folder, &format!("{folder}/{file}"), text);
            assert_eq!(found.len(), 1, "{folder}/{file} {text}: {found:?}");
            assert!(found[0].starts_with(&format!("{folder}/{file}:1: ")), "{found:?}");
        }
    }

    #[test]
    fn a_downward_import_is_no_complaint() {
        for text in [
            "use crate::base::low::A;",
            "use super::low::A;",
            "use super::super::low::A;",
            "use crate::base::{Low, Deeper};",
            "use crate::base::middle::b;",
            "use crate::sys::fd::Fd;",
            "//! [`A`](crate::base::high::A)",
            "#[cfg(test)]\nmod tests {\n    use crate::base::high::A;\n}",
        ] {
            assert_eq!(complaints("src/base", "src/base/middle/mod.rs", text), [""; 0], "{text}");
        }
    }

    #[test]
    fn a_module_that_the_order_lacks_is_a_complaint() {
        let found = complaints("src/base", "src/base/new/mod.rs", "");
        assert!(found[0].contains("add `new` to the order of its folder"), "{found:?}");
    }
}
