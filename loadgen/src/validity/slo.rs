//! Service-level objectives: `p99<1ms`, `err<0.1%`, `achieved>=0.99`.

use std::fmt;
use std::str::FromStr;

use crate::record::{Record, SloRecord};

/// One objective.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Slo(String);

impl Slo {
    /// Whether `record` meets it.
    pub(crate) fn check(&self, _record: &Record) -> SloRecord {
        SloRecord { objective: self.to_string(), met: None, found: String::new() }
    }
}

impl FromStr for Slo {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Slo {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
