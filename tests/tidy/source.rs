//! A source file: its lines of code, its functions, whether it is compiled for tests only.

use std::fs;
use std::path::{Path, PathBuf};

/// A file of Rust code. Its path is relative to the repository, with `/` between folders.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    /// Lines of code with their numbers, without modules of unit tests.
    pub(crate) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines: Vec<&str> = self.text.lines().collect();
        let mut code = Vec::new();
        let mut at = 0;
        while at < lines.len() {
            let is_tests = is_for_tests(lines[at])
                && lines.get(at + 1).is_some_and(|line| {
                    without_visibility(line).starts_with("mod ") && line.ends_with('{')
                });
            if is_tests {
                // rustfmt puts the closing brace where the module's line begins.
                at += lines[at..].iter().position(|line| *line == "}").unwrap_or(lines.len());
            } else {
                code.push((at + 1, lines[at]));
            }
            at += 1;
        }
        code.into_iter()
    }

    /// The modules that lead to this file from its crate's `src`, itself included.
    pub(crate) fn module(&self) -> Vec<&str> {
        let below = self.path.split_once("src/").map_or(&*self.path, |(_, below)| below);
        let mut module: Vec<&str> = below.trim_end_matches(".rs").split('/').collect();
        if matches!(module.last(), Some(&"mod" | &"lib" | &"main")) {
            module.pop();
        }
        module
    }

    /// Whether the whole file is compiled for tests only: it stands in a folder `tests`, or one of
    /// `all` declares it or a module around it so.
    pub(crate) fn is_test(&self, all: &[Self]) -> bool {
        self.path.contains("/tests/")
            || Path::new(&self.path).ancestors().any(|path| {
                let (Some(folder), Some(name)) = (path.parent(), path.file_stem()) else {
                    return false;
                };
                let name = name.to_str().unwrap();
                all.iter()
                    .filter(|other| {
                        let other = Path::new(&other.path);
                        let stem = other.file_stem().unwrap();
                        other.parent() == Some(folder)
                            && ["mod", "lib", "main"].map(Path::new).contains(&Path::new(stem))
                    })
                    .any(|parent| declares_for_tests(&parent.text, name))
            })
    }
}

fn is_for_tests(line: &str) -> bool {
    line.starts_with("#[cfg(test)]") || line.starts_with("#[cfg(all(test,")
}

/// Whether `text` has `mod name;` with an attribute that compiles it for tests only.
fn declares_for_tests(text: &str, name: &str) -> bool {
    let declaration = format!("mod {name};");
    let mut for_tests = false;
    for line in text.lines() {
        if for_tests && without_visibility(line) == declaration {
            return true;
        }
        for_tests = is_for_tests(line) || (for_tests && line.starts_with("#["));
    }
    false
}

/// A line without its indentation and a `pub` or `pub(…)` at its beginning.
pub(crate) fn without_visibility(line: &str) -> &str {
    let line = line.trim_start();
    let Some(public) = line.strip_prefix("pub") else { return line };
    match public.strip_prefix('(') {
        Some(scope) => scope.split_once(") ").map_or(line, |(_, item)| item),
        None => public.strip_prefix(' ').unwrap_or(line),
    }
}

pub(crate) fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

/// Whether a function begins on this line. A macro's template does not: it is measured where it is
/// used.
pub(crate) fn begins_function(line: &str) -> bool {
    let mut words = without_visibility(line).split(' ');
    let is_qualifier = |word: &&str| {
        matches!(*word, "const" | "async" | "unsafe" | "extern") || word.starts_with('"')
    };
    words.find(|word| !is_qualifier(word)) == Some("fn")
        && words.next().is_some_and(|name| !name.starts_with('$'))
}

/// The first line and the number of lines of each function that has a body of several lines.
pub(crate) fn functions(text: &str) -> Vec<(usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let length_at = |start: usize| {
        let line = lines[start];
        if !begins_function(line) || line.ends_with([';', '}']) {
            return None;
        }
        // rustfmt puts the end of a function where its first line begins.
        let indent = &line[..line.len() - line.trim_start().len()];
        let is_end = |line: &&str| {
            let line = line.strip_prefix(indent).unwrap_or_default();
            line == "}" || (line.starts_with(')') && line.ends_with(';'))
        };
        let end = lines[start..].iter().position(is_end)?;
        Some((start + 1, end + 1))
    };
    (0..lines.len()).filter_map(length_at).collect()
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files_below(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// The Rust files below these folders of the repository, in the order of their paths.
pub(crate) fn sources(folders: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    for folder in folders {
        files_below(&root().join(folder), &mut found);
    }
    found.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    found.sort();
    let read = |path: PathBuf| Source {
        text: fs::read_to_string(&path).unwrap(),
        path: path.strip_prefix(root()).unwrap().display().to_string(),
    };
    found.into_iter().map(read).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A file with this text at this path.
    pub(crate) fn source(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn a_function_begins_with_any_visibility_and_qualifier() {
        for line in [
            "fn f() {",
            "    pub fn f() {",
            "pub(crate) fn f<T>(",
            "pub(in crate::base) fn f() {",
            "    pub(in super::super) const unsafe fn f() {",
            "async fn f() {",
            "pub unsafe extern \"C\" fn f() {",
            "extern \"C\" fn f() {",
        ] {
            assert!(begins_function(line), "{line}");
        }
        for line in [
            "",
            "// fn f() {",
            "let f: fn() = g;",
            "pub(crate) struct F(fn());",
            "public fn f() {",
            "pub fn $name() {",
            "pub const F: fn() = f;",
        ] {
            assert!(!begins_function(line), "{line}");
        }
    }

    #[test]
    fn the_length_of_a_function_counts_its_first_and_last_line() {
        let text = "\
impl F {
    pub(in crate::base) fn four(
        &self,
    ) {
    }
    fn one(&self) {}
    fn declared(
        &self,
    );
    fn two() {
    }
}";
        assert_eq!(functions(text), [(2, 4), (7, 3), (10, 2)]);
    }

    #[test]
    fn code_is_what_is_not_in_a_module_of_unit_tests() {
        let numbers =
            |text: &str| source("src/a.rs", text).code().map(|(at, _)| at).collect::<Vec<_>>();
        for attribute in ["#[cfg(test)]", "#[cfg(all(test, not(loom)))]"] {
            for module in ["mod tests {", "pub(super) mod tests {"] {
                let text = format!("one\n{attribute}\n{module}\n    four\n}}\nsix\n");
                assert_eq!(numbers(&text), [1, 6], "{text}");
            }
        }
        assert_eq!(numbers("#[cfg(loom)]\nmod f {\n}\n"), [1, 2, 3]);
        assert_eq!(numbers("#[cfg(test)]\nfn f() {\n}\n"), [1, 2, 3]);
    }

    #[test]
    fn a_file_is_for_tests_if_a_module_above_declares_it_so() {
        let all = [
            source("src/lib.rs", "#[cfg(test)]\nmod top;\nmod a;\n"),
            source(
                "src/a/mod.rs",
                "#[cfg(all(test, not(loom)))]\n#[allow(dead_code)]\npub(in crate::a) mod rig;\n\
                 #[cfg(test)]\npub mod folder;\n#[cfg(loom)]\nmod models;\nmod plain;\n",
            ),
        ];
        for path in [
            "src/top.rs",
            "src/a/rig.rs",
            "src/a/folder/deep.rs",
            "src/a/folder/mod.rs",
            "src/a/tests/x.rs",
        ] {
            assert!(source(path, "").is_test(&all), "{path}");
        }
        for path in
            ["src/lib.rs", "src/a/mod.rs", "src/a/models.rs", "src/a/plain.rs", "src/plain.rs"]
        {
            assert!(!source(path, "").is_test(&all), "{path}");
        }
    }

    #[test]
    fn a_module_is_the_way_from_src_to_the_file() {
        let module = |path: &str| source(path, "").module().join("::");
        assert_eq!(module("src/base/events/slot.rs"), "base::events::slot");
        assert_eq!(module("src/base/mod.rs"), "base");
        assert_eq!(module("loadgen/src/clock.rs"), "clock");
        assert_eq!(module("src/lib.rs"), "");
    }
}
