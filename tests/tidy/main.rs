//! The rules of ARCHITECTURE.md and CONTRIBUTING.md that a machine can check.
//!
//! Reads the sources as text, collects every complaint as `path:line: what is wrong, what to do`,
//! and fails with all of them at once. Takes a second and runs nothing. Each check is a function of
//! given texts, so that the tests below it can see it fail.

mod dependencies;
mod layers;
mod modules;
mod paths;
mod results;
mod sizes;
mod source;
mod unsafe_code;
mod words;

#[track_caller]
fn expect_tidy(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}
