//! A value as the record states it: its text, and the value where this version understands it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The text of a value, and the value itself.
///
/// The file holds the text alone. It may state what is no single value, such as the pacings of
/// several loaders ("sleep + spin"), or what only a newer version knows; that is no error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    from = "String",
    into = "String",
    bound(deserialize = "T: FromStr", serialize = "T: Clone")
)]
pub(crate) struct Stated<T> {
    text: String,
    value: Option<T>,
}

impl<T: ToString> Stated<T> {
    /// A value of this version.
    pub(crate) fn of(value: T) -> Self {
        Self { text: value.to_string(), value: Some(value) }
    }
}

impl<T> Stated<T> {
    /// As the file has it.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The value, if it is one and this version knows it.
    pub(crate) fn value(&self) -> Option<&T> {
        self.value.as_ref()
    }
}

impl<T: FromStr> From<String> for Stated<T> {
    fn from(text: String) -> Self {
        Self { value: text.parse().ok(), text }
    }
}

impl<T> From<Stated<T>> for String {
    fn from(stated: Stated<T>) -> Self {
        stated.text
    }
}

impl<T> fmt::Display for Stated<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Pacing;
    use crate::slo::Slo;

    #[test]
    fn a_known_value_is_kept_beside_its_text() {
        let stated = Stated::of(Pacing::Spin);
        assert_eq!(serde_json::to_string(&stated).unwrap(), "\"spin\"");
        assert_eq!(serde_json::from_str::<Stated<Pacing>>("\"spin\"").unwrap(), stated);
        assert_eq!(stated.value(), Some(&Pacing::Spin));
    }

    #[test]
    fn a_text_that_is_no_value_of_this_version_is_kept_as_it_is() {
        for text in ["\"sleep + spin\"", "\"of a newer version\""] {
            let stated: Stated<Pacing> = serde_json::from_str(text).unwrap();
            assert_eq!(stated.value(), None);
            assert_eq!(serde_json::to_string(&stated).unwrap(), text);
        }
        assert_eq!(Stated::<Slo>::from("p42<1ms".to_owned()).value(), None);
    }
}
