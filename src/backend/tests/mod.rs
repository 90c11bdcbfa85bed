//! Tests of every backend, and a scripted backend for the tests of the base.

mod model;
pub(crate) mod scripted;
pub(super) mod suite;
