//! Messages against a naive server in memory, which divides its replies, interrupts them with
//! control frames, and lies.

#[cfg(test)]
mod client;
#[cfg(test)]
mod messages;
#[cfg(test)]
mod reader;
#[cfg(test)]
mod violations;
