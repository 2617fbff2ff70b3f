//! What accesses to memory ask of it: sectors of global memory, wavefronts of shared memory.
//!
//! Both follow what NVIDIA's profilers document. Global memory is asked for in sectors of 32 bytes: an access counts the
//! distinct sectors that its lanes touch. Shared memory has 32 banks of 4 bytes; lanes are served 128 bytes at a time (all
//! at once for up to 4 bytes a lane, half warps for 8, quarter warps for 16), and a pass takes as many wavefronts as the
//! bank with the most distinct words is asked for; equal words are one.

/// Bytes of a sector.
const SECTOR: u64 = 32;
/// Banks of shared memory, of four bytes each.
const BANKS: usize = 32;

/// What one access needs, and what it would need at best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Need {
    /// Sectors or wavefronts.
    pub actual: u64,
    /// The same bytes, laid out densely.
    pub ideal: u64,
}

/// Sectors of an access of `bytes` at each of the `lanes`' offsets.
pub(crate) fn sectors(offsets: &[u64; 32], lanes: u32, bytes: u32) -> Need {
    let bytes = u64::from(bytes.max(1));
    if let Some((first, count)) = dense(offsets, lanes, bytes) {
        let length = count * bytes;
        let actual = (first + length - 1) / SECTOR - first / SECTOR + 1;
        return Need { actual, ideal: length.div_ceil(SECTOR) };
    }
    let (starts, count) = distinct(offsets, lanes, |offset| offset);
    let starts = &starts[..count];
    // Starts are sorted, so sectors are met in order.
    let (mut actual, mut next) = (0, 0);
    for start in starts {
        let (low, high) = (start / SECTOR, (start + bytes - 1) / SECTOR);
        actual += (high + 1).saturating_sub(low.max(next));
        next = next.max(high + 1);
    }
    Need { actual, ideal: (count as u64 * bytes).div_ceil(SECTOR) }
}

/// Wavefronts of an access of `bytes` at each of the `lanes`' offsets.
pub(crate) fn wavefronts(offsets: &[u64; 32], lanes: u32, bytes: u32) -> Need {
    let (words, width) = (u64::from(bytes.div_ceil(4).max(1)), pass_width(bytes));
    // Passes begin at multiples of their width, so the shortcut is for lanes that begin there too.
    if let Some((_, count)) = dense(offsets, lanes, u64::from(bytes))
        && bytes >= 4
        && (lanes.trailing_zeros() as usize).is_multiple_of(width)
    {
        let passes = (count * u64::from(bytes)).div_ceil(128).max(1);
        return Need { actual: passes, ideal: passes };
    }
    let mut need = Need::default();
    for pass in (0..32).step_by(width) {
        let of_pass = (((1u64 << width) - 1) << pass) as u32 & lanes;
        if of_pass == 0 {
            continue;
        }
        let mut asked = [0u64; BANKS];
        let mut total = 0;
        let (starts, count) = distinct(offsets, of_pass, |offset| offset / 4);
        let mut next = 0;
        for start in &starts[..count] {
            for word in (*start).max(next)..start + words {
                asked[word as usize % BANKS] += 1;
                total += 1;
            }
            next = next.max(start + words);
        }
        need.actual += asked.into_iter().max().unwrap_or(0).max(1);
        need.ideal += u64::div_ceil(total, BANKS as u64).max(1);
    }
    need
}

/// Lanes that are served together.
fn pass_width(bytes: u32) -> usize {
    match bytes {
        0..=4 => 32,
        5..=8 => 16,
        9..=16 => 8,
        _ => 4,
    }
}

/// How many lanes of an atomic access wait for another at the same place: lanes less distinct places.
pub(crate) fn collisions(offsets: &[u64; 32], lanes: u32) -> u64 {
    u64::from(lanes.count_ones()) - distinct(offsets, lanes, |offset| offset).1 as u64
}

/// First offset and number of lanes, where the lanes from the first on follow each other without a gap.
#[inline(always)]
fn dense(offsets: &[u64; 32], lanes: u32, bytes: u64) -> Option<(u64, u64)> {
    if lanes == 0 {
        return None;
    }
    let low = lanes.trailing_zeros() as usize;
    let count = (lanes >> low).trailing_ones() as usize;
    if count != lanes.count_ones() as usize {
        return None;
    }
    let first = offsets[low];
    let follows = offsets[low..low + count].iter().zip(0..).all(|(&o, i)| o == first + i * bytes);
    follows.then_some((first, count as u64))
}

/// The distinct values of `of` over the lanes, sorted, and their number.
fn distinct(offsets: &[u64; 32], lanes: u32, of: impl Fn(u64) -> u64) -> ([u64; 32], usize) {
    let (mut values, mut count) = ([0; 32], 0);
    let mut rest = lanes;
    while rest != 0 {
        values[count] = of(offsets[rest.trailing_zeros() as usize]);
        count += 1;
        rest &= rest - 1;
    }
    values[..count].sort_unstable();
    let mut kept = 0;
    for i in 0..count {
        if i == 0 || values[i] != values[i - 1] {
            values[kept] = values[i];
            kept += 1;
        }
    }
    (values, kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strided(stride: u64) -> [u64; 32] {
        std::array::from_fn(|lane| lane as u64 * stride)
    }

    #[test]
    fn a_stride_of_n_words_conflicts_as_often_as_its_banks_repeat() {
        for stride in 1..=32u64 {
            let gcd = (1..=32).rev().find(|d| stride % d == 0 && 32 % d == 0).unwrap();
            let need = wavefronts(&strided(4 * stride), !0, 4);
            assert_eq!(need, Need { actual: gcd, ideal: 1 }, "stride {stride}");
        }
    }

    #[test]
    fn equal_words_are_broadcast() {
        assert_eq!(wavefronts(&[256; 32], !0, 4), Need { actual: 1, ideal: 1 });
        let bytes: [u64; 32] = std::array::from_fn(|lane| lane as u64);
        assert_eq!(wavefronts(&bytes, !0, 1), Need { actual: 1, ideal: 1 });
    }

    #[test]
    fn wide_lanes_take_passes_of_128_bytes() {
        assert_eq!(wavefronts(&strided(8), !0, 8), Need { actual: 2, ideal: 2 });
        assert_eq!(wavefronts(&strided(16), !0, 16), Need { actual: 4, ideal: 4 });
        // Eight rows of 128 bytes, read 16 bytes each from the same column: an eight-way conflict.
        assert_eq!(wavefronts(&strided(128), 0xff, 16), Need { actual: 8, ideal: 1 });
        // Rows 16 bytes longer are free of it.
        assert_eq!(wavefronts(&strided(144), 0xff, 16), Need { actual: 1, ideal: 1 });
    }

    #[test]
    fn lanes_that_straddle_two_passes_take_both() {
        assert_eq!(wavefronts(&strided(8), 0x00ff_ff00, 8), Need { actual: 2, ideal: 2 });
        assert_eq!(wavefronts(&strided(8), 0xffff_0000, 8), Need { actual: 1, ideal: 1 });
        assert_eq!(wavefronts(&strided(16), 0x0000_0ff0, 16), Need { actual: 2, ideal: 2 });
        assert_eq!(wavefronts(&strided(4), 0x00ff_ff00, 4), Need { actual: 1, ideal: 1 });
    }

    #[test]
    fn sectors_follow_the_stride() {
        assert_eq!(sectors(&strided(4), !0, 4), Need { actual: 4, ideal: 4 });
        assert_eq!(sectors(&strided(8), !0, 4), Need { actual: 8, ideal: 4 });
        assert_eq!(sectors(&strided(32), !0, 4), Need { actual: 32, ideal: 4 });
        assert_eq!(sectors(&strided(4096), !0, 4), Need { actual: 32, ideal: 4 });
        assert_eq!(sectors(&strided(16), !0, 16), Need { actual: 16, ideal: 16 });
        assert_eq!(sectors(&[64; 32], !0, 4), Need { actual: 1, ideal: 1 });
        let off: [u64; 32] = std::array::from_fn(|lane| 16 + 4 * lane as u64);
        assert_eq!(sectors(&off, !0, 4), Need { actual: 5, ideal: 4 });
        assert_eq!(sectors(&strided(4), 0b1, 4), Need { actual: 1, ideal: 1 });
    }

    #[test]
    fn the_order_of_lanes_does_not_matter() {
        let (up, down) = (strided(4), std::array::from_fn(|lane| 4 * (31 - lane as u64)));
        assert_eq!(sectors(&up, !0, 4), sectors(&down, !0, 4));
        assert_eq!(wavefronts(&up, !0, 4), wavefronts(&down, !0, 4));
    }

    #[test]
    fn lanes_at_one_place_wait_for_each_other() {
        assert_eq!(collisions(&[8; 32], !0), 31);
        assert_eq!(collisions(&strided(4), !0), 0);
        assert_eq!(collisions(&[8; 32], 0b1001), 1);
    }
}
