//! Programs in C, and programs of the distribution, on this library.

mod admin;
mod churn;
mod forking;
mod library;
mod memcached;
mod misuse;
mod names;
mod scenarios;
