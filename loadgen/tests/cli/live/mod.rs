//! What a run says while it lasts, and that all of it agrees with its report.

mod metrics;
mod server_metrics;
mod stream;
