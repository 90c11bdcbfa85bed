//! Files that no module declares: the compiler does not see them.

use std::path::Path;

use super::expect_tidy;
use super::source::{Source, sources, without_visibility};

#[test]
fn every_source_file_is_reachable_from_a_module() {
    expect_tidy(&unreachable_files(&sources(&["src", "capi/src", "loadgen/src"])));
}

fn unreachable_files(all: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in all {
        let path = Path::new(&source.path);
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let (folder, name) = match stem {
            "lib" | "main" => continue,
            "mod" => {
                let folder = path.parent().unwrap();
                (folder.parent().unwrap(), folder.file_name().unwrap().to_str().unwrap())
            }
            _ => (path.parent().unwrap(), stem),
        };
        let declaration = format!("mod {name};");
        let declares = |other: &Source| {
            Path::new(&other.path).parent() == Some(folder)
                && other.text.lines().any(|line| without_visibility(line) == declaration)
        };
        if !all.iter().any(declares) {
            complaints.push(format!("{}: no `mod {name};` names it", source.path));
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::tests::source;

    #[test]
    fn a_file_that_no_module_declares_is_found() {
        let lib = "mod a;\npub(in crate::b) mod c;\n// mod d;\n";
        let all =
            ["src/a.rs", "src/c/mod.rs", "src/d.rs", "src/c/e.rs"].map(|path| source(path, ""));
        let all: Vec<Source> = all.into_iter().chain([source("src/lib.rs", lib)]).collect();
        assert_eq!(
            unreachable_files(&all),
            ["src/d.rs: no `mod d;` names it", "src/c/e.rs: no `mod e;` names it"]
        );
    }
}
