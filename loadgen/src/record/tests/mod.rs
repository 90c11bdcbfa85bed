//! Records to test with, and the test that the schema describes them.

pub(crate) mod extremes;
pub(crate) mod sample;
pub(crate) mod schema;
