//! evshard.
