//! What tests need of the machine beyond 64-bit Linux 5.4.
//!
//! A test asks before it begins, and returns if something is missing:
//!
//! ```ignore
//! if test_needs::missing(Need::Ipv6) {
//!     return;
//! }
//! ```
//!
//! A missing need is one line on standard error, and one in a file of this run of `cargo test`. The
//! last test program of the run, `tests/skipped.rs`, prints the list.
//!
//! `EVSHARD_TEST_REQUIRE=all`, or the names of some needs with commas between them, makes a missing
//! need a failure. A name that no need has is a failure, too.

use std::io;
use std::path::Path;

use tempfile::TempDir;

mod need;
mod skips;

pub use need::{Need, node_ws, program, python_websockets};
use skips::REQUIRE;
pub use skips::{Skip, take_skips};

/// Whether the test lacks something it needs. If so, the test must return at once.
#[track_caller]
#[must_use = "a test that lacks something must not go on"]
pub fn missing(need: Need) -> bool {
    is_skipped(need, need.missing(), false)
}

/// Whether the machine refused what the test has just tried, where only the test can try it. If so,
/// the test must return at once.
#[track_caller]
#[must_use = "a test that lacks something must not go on"]
pub fn refused(need: Need, attempt: &io::Result<()>) -> bool {
    is_skipped(need, attempt.as_ref().err().map(ToString::to_string), false)
}

/// Whether a part of the test lacks something it needs. The test must leave that part out.
#[track_caller]
#[must_use = "a part that lacks something must be left out"]
pub fn missing_for_part(need: Need) -> bool {
    is_skipped(need, need.missing(), true)
}

/// Records a skip if there is a reason for one; whether there is.
#[track_caller]
fn is_skipped(need: Need, reason: Option<String>, in_part: bool) -> bool {
    let is_required = skips::is_required(need);
    if let Some(reason) = &reason {
        assert!(
            !is_required,
            "this test needs {need} ({reason}), and {REQUIRE} makes that a failure"
        );
        skips::record(need, reason, in_part);
    }
    reason.is_some()
}

/// A new temporary folder, with room for the path of a unix socket in it (108 bytes, `unix(7)`):
/// `/tmp` where the usual place has a long path.
#[must_use]
pub fn folder() -> TempDir {
    const PATH_BYTES_MAX: usize = 60;
    let usual = std::env::temp_dir();
    let is_short = usual.as_os_str().len() <= PATH_BYTES_MAX;
    let place = if is_short { usual.as_path() } else { Path::new("/tmp") };
    tempfile::tempdir_in(place).expect("make a temporary folder")
}
