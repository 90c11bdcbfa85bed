//! The bytes on the wire.

pub(crate) mod payload;
