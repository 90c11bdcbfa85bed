//! The deadlines of a shard's connections.
//!
//! Each kind has one duration for all connections, so each is a common timeout of the base. Setting
//! one again after each activity is O(1) and needs no system call.

use std::time::Duration;

use crate::base::{CommonTimeout, Registry};
use crate::error::Result;
use crate::server::config::Limits;

/// The deadline for a PROXY header: a proxy sends it first, and has it ready.
const PROXY_HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// The deadlines of a shard. `None` is no deadline.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectionDeadlines {
    pub(super) first_byte: Option<CommonTimeout>,
    pub(super) idle: Option<CommonTimeout>,
    pub(super) message: Option<CommonTimeout>,
    pub(super) proxy_header: CommonTimeout,
}

impl ConnectionDeadlines {
    pub(super) fn new<C>(limits: &Limits, registry: &mut Registry<C>) -> Result<Self> {
        let mut common = |limit: Option<Duration>| {
            limit.map(|duration| registry.common_timeout(duration)).transpose()
        };
        Ok(Self {
            first_byte: common(limits.first_byte)?,
            idle: common(limits.idle)?,
            message: common(limits.message)?,
            proxy_header: registry.common_timeout(PROXY_HEADER_TIMEOUT)?,
        })
    }
}
