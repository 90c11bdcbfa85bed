//! What a manifest must say of its dependencies, and what loadgen may not use.

use std::fs;

use super::expect_tidy;
use super::source::{Source, root, sources};

const MANIFESTS: [&str; 8] = [
    "Cargo.toml",
    "capi/Cargo.toml",
    "fuzz/Cargo.toml",
    "loadgen/Cargo.toml",
    "tests/certificates/Cargo.toml",
    "tests/embedding/Cargo.toml",
    "tests/inputs/Cargo.toml",
    "tests/needs/Cargo.toml",
];

#[test]
fn every_dependency_has_its_reason_above_it() {
    let mut complaints = Vec::new();
    for manifest in MANIFESTS {
        let text = fs::read_to_string(root().join(manifest)).unwrap();
        complaints.extend(
            unexplained(&text).map(|name| format!("{manifest}: say above `{name}` what it is for")),
        );
    }
    expect_tidy(&complaints);
}

#[test]
fn loadgen_shares_nothing_with_the_server() {
    let manifest = fs::read_to_string(root().join("loadgen/Cargo.toml")).unwrap();
    expect_tidy(&shared_with_the_server(&manifest, &sources(&["loadgen/src"])));
}

/// The dependencies of a manifest without a comment above them.
fn unexplained(manifest: &str) -> impl Iterator<Item = &str> {
    let (mut in_dependencies, mut before) = (false, "");
    manifest.lines().filter_map(move |line| {
        let above = std::mem::replace(&mut before, line);
        if line.starts_with('[') {
            in_dependencies = line.ends_with("dependencies]") && !line.contains("workspace");
        }
        let is_dependency = in_dependencies && line.contains('=') && !line.starts_with('#');
        let name = line.split(['=', '.', ' ']).next().unwrap_or_default();
        (is_dependency && !above.starts_with('#')).then_some(name)
    })
}

/// What the loader's manifest and sources use of the server's crate.
fn shared_with_the_server(manifest: &str, all: &[Source]) -> Vec<String> {
    let names_it = |line: &str| line.starts_with("evshard") || line.contains("\"evshard\"");
    let depends = manifest.lines().any(names_it);
    let of_manifest =
        depends.then(|| "loadgen/Cargo.toml: loadgen must not depend on evshard".to_owned());
    let uses =
        |source: &&Source| source.text.contains("evshard::") || source.text.contains("#[path");
    let of_sources = all.iter().filter(uses);
    let complaint = |source: &Source| format!("{}: loadgen uses code of the server", source.path);
    of_manifest.into_iter().chain(of_sources.map(complaint)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::tests::source;

    #[test]
    fn a_dependency_without_a_reason_is_found() {
        let manifest = "\
[package]
name = \"a\"
[dependencies]
# why b
b = \"1\"
c.workspace = true

[dev-dependencies]
d = { version = \"1\" }
[workspace.dependencies]
e = \"1\"
[target.'cfg(loom)'.dependencies]
f = \"1\"
";
        assert_eq!(unexplained(manifest).collect::<Vec<_>>(), ["c", "d", "f"]);
    }

    #[test]
    fn a_loader_that_uses_the_server_is_found() {
        let complaints = |manifest: &str, text: &str| {
            shared_with_the_server(manifest, &[source("loadgen/src/a.rs", text)]).len()
        };
        assert_eq!(complaints("[dependencies]", "use crate::wire;"), 0);
        assert_eq!(complaints("name = \"evshard-loadgen\"", ""), 0);
        assert_eq!(complaints("evshard = { path = \"..\" }", ""), 1);
        assert_eq!(complaints("[dependencies]\nserver = { package = \"evshard\" }", ""), 1);
        assert_eq!(complaints("", "use evshard::EventBase;"), 1);
        assert_eq!(complaints("", "#[path = \"../../src/error.rs\"]\nmod error;"), 1);
    }
}
