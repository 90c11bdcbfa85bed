//! Bugs that other servers had, each as a test named after what went wrong.

#[path = "../common/mod.rs"]
mod common;

mod balance;
mod exhaustion;
mod fairness;
mod leaving;
mod overload;
mod rig;
mod sizing;
mod upgrade;
