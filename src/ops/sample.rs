//! Which entries of a long flat result are checked.

use super::random::Stream;

/// Neighbours that are checked together: enough to hold every lane of a vector and the seam to the next.
pub const BLOCK: usize = 64;
/// Blocks of a sample: 2¹⁸ entries in all.
const BLOCKS: usize = (1 << 18) / BLOCK;

/// The entries of a result of `len` that are checked: `None` (all of them) up to `whole`, above that 2¹⁸ of them in blocks
/// of [`BLOCK`]: the first and the last block, and one at a seeded random place in each of the equal strata between, so that
/// no stretch longer than two strata goes unseen.
pub fn entries(len: usize, whole: usize, seed: u64) -> Option<Vec<u64>> {
    if len <= whole.max(BLOCK * BLOCKS * 2) {
        return None;
    }
    let stream = Stream::new(seed, 0x5a3b_1e00);
    let strata = BLOCKS - 2;
    let inner = (len - 2 * BLOCK) as u64;
    let bound = |i: usize| BLOCK as u64 + inner * i as u64 / strata as u64;
    let between = (0..strata).map(|i| {
        let room = bound(i + 1) - bound(i) - BLOCK as u64;
        bound(i) + stream.below(i as u64, room + 1)
    });
    let starts = std::iter::once(0).chain(between).chain(std::iter::once((len - BLOCK) as u64));
    Some(starts.flat_map(|start| start..start + BLOCK as u64).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_result_is_checked_whole() {
        assert_eq!(entries(0, 0, 1), None);
        assert_eq!(entries(1 << 19, 0, 1), None);
        assert_eq!(entries(1 << 22, 1 << 22, 1), None);
    }

    #[test]
    fn a_sample_is_sorted_distinct_and_holds_both_ends_and_every_stretch() {
        for len in [(1 << 19) + 1, 12_345_677, 100_000_000] {
            let sample = entries(len, 1 << 19, 7).unwrap();
            assert_eq!(sample.len(), 1 << 18);
            assert_eq!((sample[0], *sample.last().unwrap()), (0, len as u64 - 1));
            assert!(sample.windows(2).all(|w| w[0] < w[1]));
            let widest = sample.windows(2).map(|w| w[1] - w[0]).max().unwrap();
            assert!(widest <= 2 * (len / (BLOCKS - 2)) as u64 + 2, "{widest}");
        }
        assert_ne!(entries(1 << 22, 0, 1), entries(1 << 22, 0, 2));
    }
}
