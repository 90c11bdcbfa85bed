//! The mark of values that may be the loader's own delay, in every table.

use crate::record::Validity;

/// What the mark means.
pub(crate) const LEGEND: &str = "! may be the loader's own delay";

/// What stands before the value of this field of the headline latency.
pub(crate) fn before(validity: &Validity, field: &str) -> &'static str {
    if validity.is_of_loader(field) { "! " } else { "" }
}
