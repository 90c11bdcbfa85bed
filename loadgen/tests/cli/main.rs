//! The real program against real sockets: what a user sees, on good days and bad.

mod failure;
mod interrupt;
mod program;
mod refusal;
mod servers;
mod success;
