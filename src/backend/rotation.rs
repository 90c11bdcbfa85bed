//! Rotates the order of reports, so that no descriptor is always the last (libevent: the random
//! start of `poll_dispatch` and `select_dispatch`).

/// A sequence of starts that visits every part of a range equally often.
#[derive(Debug, Default)]
pub(super) struct Rotation {
    state: u64,
}

impl Rotation {
    /// Rotates the items, so that another one is the first.
    pub(super) fn turn<T>(&mut self, items: &mut [T]) {
        let start = self.next(items.len());
        items.rotate_left(start);
    }

    /// The next start in `0..length`; 0 if `length` is 0.
    fn next(&mut self, length: usize) -> usize {
        // Multiples of the golden ratio, as fractions of 2^64, are spread most evenly.
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        ((u128::from(self.state) * length as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_the_first_about_equally_often() {
        for length in [1, 2, 3, 64, 100] {
            let (mut rotation, mut counts) = (Rotation::default(), vec![0_usize; length]);
            for _ in 0..length * 100 {
                let mut items: Vec<usize> = (0..length).collect();
                rotation.turn(&mut items);
                counts[items[0]] += 1;
            }
            assert!(counts.iter().all(|count| (90..=110).contains(count)), "{length}: {counts:?}");
        }
        Rotation::default().turn::<u8>(&mut []);
    }
}
