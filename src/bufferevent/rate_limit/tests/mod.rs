//! Tests of groups: examples, naive models, and simulated connections.

mod group;
mod simulation;
