//! Statistics that assume nothing about the shape of a distribution: pure functions of numbers.
//!
//! ```text
//! order        median and range
//! rank         Mann–Whitney: does one sample tend to be larger?
//! bootstrap    how sure is a ratio of medians?
//! holm         several tests at once
//! kolmogorov   how far apart are two distributions?
//! line         slope and correlation of points
//! normal       tail of the normal distribution
//! ```

mod bootstrap;
mod fitted_line;
mod holm;
mod kolmogorov;
mod normal;
mod order;
mod rank;

pub(crate) use self::bootstrap::{Resampling, ratio_of_medians};
pub(crate) use self::fitted_line::FittedLine;
pub(crate) use self::holm::holm;
pub(crate) use self::kolmogorov::{
    distance, distance_by_chance, distance_to_exponential, effective_size,
};
pub(crate) use self::order::{median, range};
pub(crate) use self::rank::mann_whitney;
