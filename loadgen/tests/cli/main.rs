//! The real program against real sockets: what a user sees, on good days and bad.

mod connections;
mod failure;
mod interrupt;
mod open_loop;
mod program;
mod refusal;
mod servers;
mod success;
