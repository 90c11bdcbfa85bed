//! Requests with keys against servers: one in memory, which can lie, and real ones.

#[cfg(test)]
pub(in crate::wire) mod chi_square;
#[cfg(test)]
mod client;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod mixes;
#[cfg(test)]
mod peer;
#[cfg(test)]
mod reader;
#[cfg(test)]
mod wrong_values;
