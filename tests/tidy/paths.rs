//! The paths that a source names: `crate::…` and `super::…`, resolved to the root of its crate.

use super::source::{Source, is_comment, without_visibility};

/// A path with the line that names it, from the root of the crate: `["base", "events", "list"]`.
/// An item that a group imports (`use crate::base::{a, b}`) has a path of its own.
pub(crate) type Named = (usize, Vec<String>);

/// Every path that the code of `source` names by `crate::` or `super::`.
pub(crate) fn named(source: &Source) -> Vec<Named> {
    let module = source.module();
    let code: Vec<(usize, &str)> = source.code().filter(|(_, line)| !is_comment(line)).collect();
    let mut found = Vec::new();
    for (index, (number, line)) in code.iter().enumerate() {
        let line = line.split(" // ").next().unwrap_or_default();
        for (at, _) in line.match_indices("crate::").chain(line.match_indices("super::")) {
            let before = &line[..at];
            let continues =
                before.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | ':' | '$'));
            if continues || before.ends_with("pub(in ") {
                continue;
            }
            // A group may go on over the next lines.
            let following = code[index + 1..].iter().map(|(_, line)| *line);
            let text: String = [&line[at..]].into_iter().chain(following).collect();
            let paths = expanded(tree(&text));
            found.extend(paths.iter().map(|path| (*number, resolved(path, &module))));
        }
    }
    found
}

/// The last name of every item that `use` imports without `crate` or `super`, with its path.
pub(crate) fn imports(text: &str) -> Vec<(String, Vec<String>)> {
    let begins = |line: &str| without_visibility(line).strip_prefix("use ").map(str::to_owned);
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some(first) = begins(line) else { continue };
        let text = [vec![&*first], lines[index + 1..].to_vec()].concat().concat();
        for path in expanded(tree(&text)) {
            let steps = resolved(&path, &[]);
            found.extend(steps.last().cloned().map(|name| (name, steps)));
        }
    }
    found
}

/// The path, or tree of paths, at the beginning of `text`.
fn tree(text: &str) -> &str {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' if depth > 0 || text[..at].ends_with("::") => depth += 1,
            '}' if depth > 0 => depth -= 1,
            _ if depth > 0 || c.is_alphanumeric() || matches!(c, '_' | ':' | '*') => continue,
            _ => return &text[..at],
        }
        if depth == 0 {
            return &text[..=at];
        }
    }
    text
}

/// The paths of a tree: `a::{b, c::{d, e as f}}` is `a::b`, `a::c::d` and `a::c::e`.
fn expanded(tree: &str) -> Vec<String> {
    let Some((prefix, group)) = tree.split_once('{') else {
        return vec![tree.split(" as ").next().unwrap_or_default().trim().to_owned()];
    };
    let (mut items, mut depth) = (vec![String::new()], 0);
    for c in group.strip_suffix('}').unwrap_or(group).chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if c == ',' && depth == 0 {
            items.push(String::new());
        } else {
            items.last_mut().expect("there is one").push(c);
        }
    }
    let items = items.iter().map(|item| item.trim()).filter(|item| !item.is_empty());
    items.flat_map(|item| expanded(&format!("{}{item}", prefix.trim()))).collect()
}

/// The steps of `path` from the root of the crate, where `module` names it.
fn resolved(path: &str, module: &[&str]) -> Vec<String> {
    let mut steps: Vec<String> = module.iter().map(|step| (*step).to_owned()).collect();
    for step in path.split("::").filter(|step| !step.is_empty()) {
        match step {
            "crate" => steps.clear(),
            "super" => {
                steps.pop();
            }
            "self" => {}
            _ => steps.push(step.to_owned()),
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::tests::source;

    fn named_by(path: &str, text: &str) -> Vec<String> {
        let join = |(number, steps): Named| format!("{number} {}", steps.join("::"));
        named(&source(path, text)).into_iter().map(join).collect()
    }

    #[test]
    fn super_is_the_module_around_the_file() {
        let path = "src/server/admin/parts.rs";
        assert_eq!(named_by(path, "use super::route::View;"), ["1 server::admin::route::View"]);
        assert_eq!(named_by(path, "use super::super::stats::X;"), ["1 server::stats::X"]);
        assert_eq!(named_by(path, "\nlet x = super::super::super::base::f();"), ["2 base::f"]);
        assert_eq!(
            named_by("src/server/admin/mod.rs", "use super::stats::X;"),
            ["1 server::stats::X"]
        );
        assert_eq!(named_by("src/base/limit.rs", "use super::*;"), ["1 base::*"]);
    }

    #[test]
    fn crate_is_the_root() {
        let path = "src/base/limit.rs";
        assert_eq!(named_by(path, "fn f(a: crate::sys::fd::Fd) {"), ["1 sys::fd::Fd"]);
        assert_eq!(named_by(path, "use crate::base;"), ["1 base"]);
        assert_eq!(named_by(path, "x as crate::a::B, crate::c::D"), ["1 a::B", "1 c::D"]);
    }

    #[test]
    fn each_item_of_a_group_is_named() {
        let path = "src/server/stats/json.rs";
        let text =
            "use super::super::{\n    config::{self, Limits as L},\n    shard::Worker,\n};\n";
        assert_eq!(
            named_by(path, text),
            ["1 server::config", "1 server::config::Limits", "1 server::shard::Worker"]
        );
        assert_eq!(named_by(path, "use crate::{base, sys::fd};"), ["1 base", "1 sys::fd"]);
    }

    #[test]
    fn comments_visibilities_and_unit_tests_name_nothing() {
        let path = "src/base/limit.rs";
        for text in [
            "/// [`X`](super::X)",
            "let a = 1; // see crate::server::X",
            "pub(in crate::server) fn f() {",
            "$crate::server::f()",
            "#[cfg(test)]\nmod tests {\n    use super::*;\n}",
        ] {
            assert_eq!(named_by(path, text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn imports_of_a_module_name_what_they_import() {
        let text =
            "mod a;\npub use a::b::{C, D};\npub(crate) use e::{\n    F,\n};\nuse std::fmt;\n";
        let found: Vec<String> = imports(text)
            .into_iter()
            .map(|(name, path)| format!("{name} {}", path.join("::")))
            .collect();
        assert_eq!(found, ["C a::b::C", "D a::b::D", "F e::F", "fmt std::fmt"]);
    }
}
