//! The real program against real sockets: what a user sees, on good days and bad.

mod ab;
mod agents;
mod causes;
mod connections;
mod destinations;
mod documents;
mod failure;
mod http;
mod http_servers;
mod interrupt;
mod itself;
mod key_value;
mod live;
mod open_loop;
mod plot;
mod process;
mod program;
mod refusal;
mod replay;
mod search;
mod server_process;
mod servers;
mod success;
mod sweep;
mod tls;
mod websocket;
