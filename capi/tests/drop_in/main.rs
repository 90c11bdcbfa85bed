//! Programs in C, and programs of the distribution, on this library.

mod churn;
mod library;
mod memcached;
mod misuse;
mod names;
mod scenarios;
