//! Tests of buckets and groups: examples, extremes, naive models, and simulated connections.

mod bucket;
mod group;
mod simulation;
