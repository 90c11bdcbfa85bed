//! The result: one line of JSON, with the keys of the C programs.

use clap::ValueEnum;

use crate::options::Options;

#[derive(Debug)]
pub(crate) struct Record {
    fields: Vec<String>,
}

fn word(value: &impl ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |known| known.get_name().to_owned())
}

impl Record {
    pub(crate) fn new(options: &Options) -> Self {
        let mut record = Self { fields: Vec::new() };
        record.text("library", "evshard");
        record.text("version", env!("CARGO_PKG_VERSION"));
        record.text("benchmark", &word(&options.benchmark));
        record.text("variant", &word(&options.variant));
        record
    }

    /// Adds a text. Nothing in it needs escaping: all texts are words of this program.
    pub(crate) fn text(&mut self, key: &str, value: &str) {
        self.fields.push(format!("\"{key}\": \"{value}\""));
    }

    pub(crate) fn number(&mut self, key: &str, value: u64) {
        self.fields.push(format!("\"{key}\": {value}"));
    }

    pub(crate) fn numbers(&mut self, key: &str, values: &[u64]) {
        let values: Vec<String> = values.iter().map(u64::to_string).collect();
        self.fields.push(format!("\"{key}\": [{}]", values.join(", ")));
    }

    pub(crate) fn line(&self) -> String {
        format!("{{{}}}", self.fields.join(", "))
    }
}
