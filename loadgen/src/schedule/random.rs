//! Pseudo-random numbers that are the same in every version of this program: request `k` of a seed
//! always has the same time, size and bytes.

/// Increment between two numbers of a sequence: the golden section of 2^64.
const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// The SplitMix64 generator (Steele, Lea and Flood, 2014).
pub(crate) fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(GAMMA);
    mix(*state)
}

/// Number `index` of the sequence that starts from `key`, computed directly.
pub(crate) fn at(key: u64, index: u64) -> u64 {
    mix(key.wrapping_add(GAMMA.wrapping_mul(index.wrapping_add(1))))
}

/// The key for `part` (a connection, a purpose) of `seed`.
pub(crate) fn key(seed: u64, part: u64) -> u64 {
    mix(mix(seed.wrapping_add(GAMMA)) ^ part.wrapping_mul(0xD6E8_FEB8_6659_FD93))
}

/// The number as one of 2^53 evenly spaced ones in `[0, 1)`.
pub(crate) fn unit(number: u64) -> f64 {
    (number >> 11) as f64 / (1_u64 << 53) as f64
}

fn mix(state: u64) -> u64 {
    let mut mixed = state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_matches_the_published_sequence() {
        let mut state = 1_234_567;
        assert_eq!(split_mix(&mut state), 6_457_827_717_110_365_317);
        assert_eq!(split_mix(&mut state), 3_203_168_211_198_807_973);
    }

    #[test]
    fn any_number_of_a_sequence_can_be_had_without_those_before_it() {
        let mut state = 99;
        for index in 0..100 {
            assert_eq!(split_mix(&mut state), at(99, index));
        }
    }

    #[test]
    fn units_lie_in_the_half_open_interval() {
        assert_eq!(unit(0), 0.0);
        assert!(unit(u64::MAX) < 1.0);
    }

    #[test]
    fn every_part_of_a_seed_has_a_key_of_its_own() {
        let keys = (0..4).flat_map(|seed| (0..10_000).map(move |part| key(seed, part)));
        let distinct: std::collections::HashSet<u64> = keys.collect();
        assert_eq!(distinct.len(), 40_000);
    }
}
