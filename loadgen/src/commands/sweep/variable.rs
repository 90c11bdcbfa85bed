//! The variables of a sweep: `--var NAME=VALUE,VALUE,...`.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The value of the variable `rate` that means a closed loop.
const CLOSED: &str = "closed";

/// A name and the values it takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) values: Vec<String>,
}

/// One value of one variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Setting {
    pub(super) name: String,
    pub(super) value: String,
}

impl Setting {
    /// Whether it is the rate, which every picture treats apart.
    pub(super) fn is_rate(&self) -> bool {
        self.name == "rate"
    }

    /// Whether it asks for a closed loop.
    pub(super) fn is_closed_loop(&self) -> bool {
        self.is_rate() && self.value == CLOSED
    }

    /// As a person writes it: "workers=2".
    pub(super) fn text(&self) -> String {
        format!("{}={}", self.name, self.value)
    }
}

impl FromStr for Variable {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = |why: &str| format!("--var '{text}': {why}");
        let Some((name, values)) = text.split_once('=') else {
            return Err(invalid("write NAME=VALUE,VALUE,..."));
        };
        let is_name_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if name.is_empty() || !name.chars().all(is_name_part) {
            return Err(invalid("a name consists of letters, digits, '-' and '_'"));
        }
        let values: Vec<String> = values.split(',').map(|value| value.trim().to_owned()).collect();
        if values.iter().any(String::is_empty) {
            return Err(invalid("a value is empty"));
        }
        for (at, value) in values.iter().enumerate() {
            if values[..at].contains(value) {
                return Err(invalid(&format!("the value {value} stands there twice")));
            }
        }
        Ok(Self { name: name.to_owned(), values })
    }
}

/// Every combination of values, the last variable varying fastest.
pub(super) fn combinations(variables: &[Variable]) -> Vec<Vec<Setting>> {
    let mut all = vec![Vec::new()];
    for Variable { name, values } in variables {
        let setting = |value: &String| Setting { name: name.clone(), value: value.clone() };
        let extended = all.iter().flat_map(|settings| {
            values.iter().map(move |value| [settings.as_slice(), &[setting(value)]].concat())
        });
        all = extended.collect();
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_occurs_once() {
        let variables = ["a=1,2".parse().unwrap(), "b=x,y,z".parse().unwrap()];
        let texts: Vec<String> = combinations(&variables)
            .iter()
            .map(|settings| settings.iter().map(Setting::text).collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(texts, ["a=1 b=x", "a=1 b=y", "a=1 b=z", "a=2 b=x", "a=2 b=y", "a=2 b=z"]);
    }

    #[test]
    fn what_is_no_variable_is_refused_with_the_reason() {
        for (text, said) in [
            ("workers", "NAME=VALUE"),
            ("=1", "a name consists"),
            ("a b=1", "a name consists"),
            ("a=1,,2", "empty"),
            ("a=1,2,1", "twice"),
        ] {
            assert!(text.parse::<Variable>().unwrap_err().contains(said), "{text}");
        }
    }

    #[test]
    fn the_closed_loop_is_a_value_of_the_rate_alone() {
        let setting =
            |name: &str, value: &str| Setting { name: name.to_owned(), value: value.to_owned() };
        assert!(setting("rate", "closed").is_closed_loop());
        assert!(!setting("rate", "5k").is_closed_loop());
        assert!(!setting("size", "closed").is_closed_loop());
    }
}
