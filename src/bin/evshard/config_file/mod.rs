//! The configuration file of `evshard serve`: TOML, whose keys are the names of flags.
//!
//! ```text
//! source ─▶ entries: keys with arguments ─┐
//! command line ───────────────────────────┴▶ clap ─▶ flags, settings
//!                                               └──▶ diagnosis: each error with its line
//! ```
//!
//! clap's definition of the flags is the only list of keys, and the parser of a flag parses the
//! value of its key. A flag on the command line replaces the key of the file.

mod check;
mod configuration;
mod diagnosis;
mod entries;
mod print;
mod settings;
mod source;
#[cfg(test)]
mod tests;

pub(crate) use check::CheckConfig;
pub(crate) use configuration::{Configuration, Refusal};
pub(crate) use settings::{Origin, Setting, Settings};
