//! Prints a configuration as a file that has the same meaning.

use std::fmt::Write;

use super::settings::{Setting, Settings, Text, Value};

/// Columns of a comment.
const COLUMNS: usize = 100;

const HEAD: &str = "\
# The configuration of `evshard serve`. Each key is the name of a flag, and its value is written as
# for the flag. The comment behind a value says what has set it. `evshard serve --config FILE` reads
# this file, and `evshard check-config FILE` checks it.
";

/// A value that no TOML file can hold.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("--{key} is not Unicode text, which a configuration file must be; use another path")]
pub(crate) struct NotText {
    key: String,
}

impl Settings {
    /// A configuration file with these settings, commented.
    pub(crate) fn to_toml(&self) -> Result<String, NotText> {
        let mut toml = HEAD.to_owned();
        let mut heading = "";
        for setting in &self.0 {
            if setting.heading != heading {
                heading = &setting.heading;
                let _ = write!(toml, "\n# ---- {heading} ----\n");
            }
            toml.push('\n');
            comment(&mut toml, &format!("{}.", setting.help));
            let assignment = setting.assignment().ok_or_else(|| {
                let key = setting.key.clone();
                NotText { key }
            })?;
            let _ = writeln!(toml, "{assignment}  # {}", setting.origin.name());
        }
        Ok(toml)
    }
}

impl Setting {
    /// `key = value`, as a comment if the server chooses the value; `None` if it is not Unicode.
    fn assignment(&self) -> Option<String> {
        let Self { key, value, value_name, .. } = self;
        Some(match value {
            Value::Switch(is_on) => format!("{key} = {is_on}"),
            Value::One(Some(text)) => format!("{key} = {}", literal(text)?),
            Value::One(None) => format!("# {key} = {value_name}"),
            Value::List(texts) if texts.is_empty() => format!("# {key} = [{value_name}, ...]"),
            Value::List(texts) => {
                let literals: Option<Vec<_>> = texts.iter().map(literal).collect();
                format!("{key} = [{}]", literals?.join(", "))
            }
        })
    }
}

/// A number or a string of TOML; `None` if the text is not Unicode.
fn literal(text: &Text) -> Option<String> {
    let text = text.as_ref()?;
    // Only a number that is written as its flag has it: 0660 is none.
    let is_number = text.parse::<i64>().is_ok_and(|number| number.to_string() == *text);
    Some(if is_number { text.clone() } else { toml::Value::String(text.clone()).to_string() })
}

/// Appends a comment, in lines.
fn comment(toml: &mut String, text: &str) {
    let mut column = 0;
    for word in text.split_whitespace() {
        let width = word.chars().count() + 1;
        if column == 0 || column + width > COLUMNS {
            toml.push_str(if column == 0 { "#" } else { "\n#" });
            column = 1;
        }
        let _ = write!(toml, " {word}");
        column += width;
    }
    toml.push('\n');
}
