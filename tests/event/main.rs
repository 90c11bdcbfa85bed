//! The event base on real descriptors, on every backend, by every changelist policy and clock.

#[path = "../common/mod.rs"]
mod common;

mod activation;
mod app;
mod config;
mod defects;
mod embedding;
mod extremes;
mod inspect;
mod lenient;
mod lifecycle;
mod looping;
mod once;
mod panics;
mod readiness;
mod remote;
mod steps;
mod time;
mod vocabulary;
