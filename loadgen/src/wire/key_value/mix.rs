//! How many requests of each command there are.

use std::fmt;
use std::str::FromStr;

/// A command that loadgen makes by itself, for every protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    Set,
    Delete,
}

impl Verb {
    const ALL: [Self; 3] = [Self::Get, Self::Set, Self::Delete];

    /// Its name on the command line and in the record.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Set => "set",
            Self::Delete => "delete",
        }
    }
}

/// Commands and their weights, in the order of the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mix(Vec<(Verb, u32)>);

impl Mix {
    /// The commands and their weights: at least one, each weight at least 1.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Verb, u32)> {
        self.0.iter().copied()
    }
}

impl Default for Mix {
    /// Nine reads for a write.
    fn default() -> Self {
        Self(vec![(Verb::Get, 9), (Verb::Set, 1)])
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut commands: Vec<(Verb, u32)> = Vec::new();
        for word in text.split(',') {
            let (name, weight) = word.split_once(':').unwrap_or((word, "1"));
            let Some(verb) = Verb::ALL.into_iter().find(|verb| verb.name() == name.trim()) else {
                return Err(format!(
                    "'{name}' is no command of a mix; write get, set or delete with weights, such \
                     as get:9,set:1"
                ));
            };
            let Ok(weight @ 1..) = weight.trim().parse::<u32>() else {
                return Err(format!("'{weight}' is no weight; write a whole number from 1 on"));
            };
            if commands.iter().any(|(other, _)| *other == verb) {
                return Err(format!("'{name}' is twice in the mix; add its weights"));
            }
            commands.push((verb, weight));
        }
        Ok(Self(commands))
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (verb, weight)) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(formatter, "{comma}{}:{weight}", verb.name())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_is_printed_with_all_its_weights() {
        for (text, printed) in [("get:9,set:1", "get:9,set:1"), ("set", "set:1")] {
            assert_eq!(text.parse::<Mix>().unwrap().to_string(), printed);
        }
        assert_eq!(Mix::default().to_string(), "get:9,set:1");
    }

    #[test]
    fn what_is_no_mix_is_refused() {
        for (text, said) in [
            ("", "'' is no command"),
            ("incr:1", "'incr' is no command of a mix; write get, set or delete"),
            ("get:0", "'0' is no weight"),
            ("get:1,set:x", "'x' is no weight"),
            ("get:1,get:2", "'get' is twice"),
        ] {
            assert!(text.parse::<Mix>().unwrap_err().contains(said), "{text}");
        }
    }
}
