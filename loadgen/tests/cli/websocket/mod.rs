//! WebSocket: against servers of these tests, and those of Python and Node.

mod peer;
mod real_servers;
mod refusals;
mod traffic;
