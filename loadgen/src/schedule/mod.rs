//! When requests are due, and which of them count: pure functions of the plan. They do not depend
//! on the server.
//!
//! ```text
//! RateProfile  the requested rate: 50k, 10k..50k, 10k,20k@5s, or the times of a file
//! Intensity    the profile over a run's time: the requests due by a time, and the inverse
//! Arrivals     one connection's share: request k is due where the intensity reaches its number
//! Window       which intended times are measured
//! ```
//!
//! Nothing here sends, waits or reads a clock.

mod arrivals;
mod intensity;
mod profile;
pub(crate) mod random;
mod times;
mod window;

pub(crate) use self::arrivals::{Arrival, Arrivals};
pub(crate) use self::intensity::Intensity;
pub(crate) use self::profile::{Rate, RateProfile};
pub(crate) use self::times::Times;
pub(crate) use self::window::{Phase, Window};

use serde::{Deserialize, Serialize};

/// The event that makes a connection send its next request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// Its time in the schedule.
    Open,
    /// A reply.
    Closed,
}
