//! How long the payload of a request is.

use std::fmt;
use std::str::FromStr;

use bytesize::ByteSize;

/// Sizes of payloads, in bytes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Sizes {
    Fixed(u64),
}

impl Default for Sizes {
    fn default() -> Self {
        Self::Fixed(64)
    }
}

impl Sizes {
    /// The size of request `k` of the connection that `key` belongs to.
    pub(crate) fn size_of(&self, _key: u64, _k: u64) -> u64 {
        match self {
            Self::Fixed(size) => *size,
        }
    }

    /// The mean size.
    pub(crate) fn mean_bytes(&self) -> f64 {
        match self {
            Self::Fixed(size) => *size as f64,
        }
    }
}

impl FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<ByteSize>() {
            Ok(size) if size.as_u64() == 0 => {
                Err("a size must be at least 1 byte: an empty request has no reply".to_owned())
            }
            Ok(size) if size.as_u64() > bytesize::MIB * 64 => {
                Err("a size must be at most 64MiB".to_owned())
            }
            Ok(size) => Ok(Self::Fixed(size.as_u64())),
            Err(error) => Err(format!("'{text}' is no size: {error}")),
        }
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(size) => write!(formatter, "{size}"),
        }
    }
}
