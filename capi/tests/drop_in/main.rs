//! Programs in C, and programs of the distribution, on this library.

mod library;
mod memcached;
mod misuse;
mod names;
mod scenarios;
