//! A value that the record stores as text, and that this version may not be able to parse.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The text of a value, and the value if this version can parse the text.
///
/// The file holds only the text. A text that is no `T` is no error: a merged record joins the
/// texts of several loaders ("sleep + spin"), and a newer version may know more values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    from = "String",
    into = "String",
    bound(deserialize = "T: FromStr", serialize = "T: Clone")
)]
pub(crate) struct TextValue<T> {
    text: String,
    value: Option<T>,
}

impl<T: ToString> TextValue<T> {
    /// The text of `value`, with the value.
    pub(crate) fn of(value: T) -> Self {
        Self { text: value.to_string(), value: Some(value) }
    }
}

impl<T> TextValue<T> {
    /// The text as it stands in the file.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The value, if this version can parse the text.
    pub(crate) fn value(&self) -> Option<&T> {
        self.value.as_ref()
    }
}

impl<T: FromStr> From<String> for TextValue<T> {
    fn from(text: String) -> Self {
        Self { value: text.parse().ok(), text }
    }
}

impl<T> From<TextValue<T>> for String {
    fn from(value: TextValue<T>) -> Self {
        value.text
    }
}

impl<T> fmt::Display for TextValue<T> {
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
    fn a_known_value_is_stored_with_its_text() {
        let value = TextValue::of(Pacing::Spin);
        assert_eq!(serde_json::to_string(&value).unwrap(), "\"spin\"");
        assert_eq!(serde_json::from_str::<TextValue<Pacing>>("\"spin\"").unwrap(), value);
        assert_eq!(value.value(), Some(&Pacing::Spin));
    }

    #[test]
    fn a_text_that_this_version_cannot_parse_is_written_as_it_was_read() {
        for text in ["\"sleep + spin\"", "\"of a newer version\""] {
            let value: TextValue<Pacing> = serde_json::from_str(text).unwrap();
            assert_eq!(value.value(), None);
            assert_eq!(serde_json::to_string(&value).unwrap(), text);
        }
        assert_eq!(TextValue::<Slo>::from("p42<1ms".to_owned()).value(), None);
    }
}
