//! The record as JSON.

use serde::Serialize;

use crate::error::Error;

/// The record and a line end.
pub(crate) fn text(record: &impl Serialize) -> Result<String, Error> {
    let text = serde_json::to_string_pretty(record);
    Ok(text.map_err(|error| Error::WriteResults(error.into()))? + "\n")
}
