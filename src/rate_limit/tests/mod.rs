//! Tests of buckets: examples, extremes, and a naive model.

mod bucket;
