//! What accesses to memory ask of it: sectors and lines of global and local memory, wavefronts of shared memory.
//!
//! All follow what NVIDIA's profilers document. Global memory is asked for in sectors of 32 bytes, four of which make a line
//! of the L1 cache: an access counts the distinct ones that its lanes touch. Local memory is laid out so that one word of
//! four bytes of all 32 lanes is a line. Shared memory has 32 banks of 4 bytes; lanes are served 128 bytes at a time (all
//! at once for up to 4 bytes a lane, half warps for 8, quarter warps for 16), and a pass takes as many wavefronts as the
//! bank with the most distinct words is asked for; equal words are one.

use std::ops::AddAssign;

use crate::exec::Access;
use crate::exec::access::Pattern;

/// Bytes of a sector.
const SECTOR: u64 = 32;
/// Bytes of a line of the L1 cache.
const LINE: u64 = 128;
/// Banks of shared memory, of four bytes each.
const BANKS: usize = 32;

/// What one access needs, and what it would need at best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Need {
    /// Sectors or wavefronts.
    pub actual: u64,
    /// The same bytes, laid out densely.
    pub ideal: u64,
    /// Lines of 128 bytes; none in shared memory.
    pub lines: u64,
}

impl AddAssign for Need {
    fn add_assign(&mut self, other: Need) {
        self.actual += other.actual;
        self.ideal += other.ideal;
        self.lines += other.lines;
    }
}

/// Sectors and lines of an access.
#[inline]
pub(crate) fn sectors_of(access: &Access) -> Need {
    let bytes = u64::from(access.bytes.max(1));
    match access.pattern {
        Pattern::Row => span(access.first(), 32 * bytes),
        Pattern::Same => span(access.first(), bytes),
        Pattern::Any => sectors(access.offsets, access.lanes, access.bytes),
    }
}

/// Those of `length` bytes from `first` on.
#[inline]
fn span(first: u64, length: u64) -> Need {
    let whole = |unit: u64| (first + length - 1) / unit - first / unit + 1;
    Need { actual: whole(SECTOR), ideal: length.div_ceil(SECTOR), lines: whole(LINE) }
}

/// Those of an access of `bytes` at each of the `lanes`' offsets.
fn sectors(offsets: &[u64; 32], lanes: u32, bytes: u32) -> Need {
    let bytes = u64::from(bytes.max(1));
    if let Some((first, count)) = dense(offsets, lanes, bytes) {
        return span(first, count * bytes);
    }
    let (starts, count) = distinct(offsets, lanes, |offset| offset);
    // Starts are sorted, so sectors are met in order.
    let mut need = Need { ideal: (count as u64 * bytes).div_ceil(SECTOR), ..Need::default() };
    let (mut sector, mut line) = (0, 0);
    for start in &starts[..count] {
        let last = start + bytes - 1;
        need.actual += (last / SECTOR + 1).saturating_sub(sector.max(start / SECTOR));
        need.lines += (last / LINE + 1).saturating_sub(line.max(start / LINE));
        (sector, line) = (sector.max(last / SECTOR + 1), line.max(last / LINE + 1));
    }
    need
}

/// Sectors of an access of `bytes` of local memory at each of the `lanes`' own offsets.
pub(crate) fn local_sectors(offsets: &[u64; 32], lanes: u32, bytes: u32) -> u64 {
    let words = |offset: u64| offset / 4..(offset + u64::from(bytes.max(1))).div_ceil(4);
    // Eight neighbouring lanes share a sector of each word.
    let (mut count, mut seen) = (0, [0; 8 * 9]);
    for lanes in [0xff, 0xff00, 0xff_0000, 0xff00_0000].map(|group| group & lanes) {
        let mut known = 0;
        for lane in crate::exec::lanes(lanes) {
            for word in words(offsets[lane]) {
                if !seen[..known].contains(&word) {
                    seen[known] = word;
                    known += 1;
                }
            }
        }
        count += known as u64;
    }
    count
}

/// Wavefronts of an access, which is aligned to its size.
#[inline]
pub(crate) fn wavefronts_of(access: &Access) -> Need {
    let passes = match access.pattern {
        Pattern::Row => u64::from(access.bytes / 4).max(1),
        Pattern::Same => {
            let width = pass_width(access.bytes);
            let pass = |k: usize| (((1u64 << width) - 1) << k) as u32;
            (0..32).step_by(width).filter(|k| access.lanes & pass(*k) != 0).count() as u64
        }
        Pattern::Any => return wavefronts(access.offsets, access.lanes, access.bytes),
    };
    Need { actual: passes, ideal: passes, lines: 0 }
}

/// Those of an access of `bytes` at each of the `lanes`' offsets, which are multiples of it.
fn wavefronts(offsets: &[u64; 32], lanes: u32, bytes: u32) -> Need {
    let width = pass_width(bytes);
    let mut need = Need::default();
    for pass in (0..32).step_by(width) {
        let of_pass = (((1u64 << width) - 1) << pass) as u32 & lanes;
        if of_pass != 0 {
            let (actual, ideal) = pass_of(offsets, of_pass, 128 / width as u64);
            need.actual += actual;
            need.ideal += ideal;
        }
    }
    need
}

/// One pass, of lanes that have up to `unit` bytes each: wavefronts, and those that as many distinct words take at best. What
/// is aligned to its size takes all banks of a unit or none, so that units are counted as words are.
fn pass_of(offsets: &[u64; 32], lanes: u32, unit: u64) -> (u64, u64) {
    /// The end of a chain.
    const END: u8 = u8::MAX;
    let (shift, columns) = (unit.trailing_zeros(), 128 / unit as usize);
    // The distinct units, chained by the banks that they take.
    let (mut numbers, mut next, mut count) = ([0; 32], [END; 32], 0u8);
    let (mut chains, mut lengths, mut most) = ([END; BANKS], [0u8; BANKS], 0);
    for lane in crate::exec::lanes(lanes) {
        let number = offsets[lane] >> shift;
        let column = number as usize & (columns - 1);
        let mut at = chains[column];
        while at != END && numbers[at as usize & 31] != number {
            at = next[at as usize & 31];
        }
        if at == END {
            numbers[count as usize & 31] = number;
            next[count as usize & 31] = chains[column];
            chains[column] = count;
            count += 1;
            lengths[column] += 1;
            most = lengths[column].max(most);
        }
    }
    (u64::from(most), (u64::from(count) * unit).div_ceil(128))
}

/// Lanes that are served together: as many as 128 bytes are for.
fn pass_width(bytes: u32) -> usize {
    match bytes {
        0..=4 => 32,
        5..=8 => 16,
        9..=16 => 8,
        _ => 4,
    }
}

/// How the lanes of an access get in each other's way: how many there are beyond one at each place, and how many there are
/// beyond one at the place that the most of them share.
pub(crate) fn contention(offsets: &[u64; 32], lanes: u32) -> (u64, u64) {
    let (values, count) = sorted(offsets, lanes, |offset| offset);
    let (mut collisions, mut most, mut run) = (0, 0, 0);
    for k in 1..count {
        run = if values[k] == values[k - 1] { run + 1 } else { 0 };
        collisions += u64::from(run > 0);
        most = most.max(run);
    }
    (collisions, most)
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

/// The values of `of` over the lanes, sorted, and their number.
fn sorted(offsets: &[u64; 32], lanes: u32, of: impl Fn(u64) -> u64) -> ([u64; 32], usize) {
    let (mut values, mut count, mut ascending) = ([0; 32], 0, true);
    for lane in crate::exec::lanes(lanes) {
        values[count] = of(offsets[lane]);
        ascending &= count == 0 || values[count - 1] <= values[count];
        count += 1;
    }
    if !ascending {
        values[..count].sort_unstable();
    }
    (values, count)
}

/// The distinct values of `of` over the lanes, sorted, and their number.
fn distinct(offsets: &[u64; 32], lanes: u32, of: impl Fn(u64) -> u64) -> ([u64; 32], usize) {
    let (mut values, count) = sorted(offsets, lanes, of);
    let mut kept = 0;
    for i in 0..count {
        if i == 0 || values[i] != values[kept - 1] {
            values[kept] = values[i];
            kept += 1;
        }
    }
    (values, kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(actual: u64, ideal: u64) -> Need {
        Need { actual, ideal, lines: 0 }
    }

    fn global(actual: u64, ideal: u64, lines: u64) -> Need {
        Need { actual, ideal, lines }
    }

    fn strided(stride: u64) -> [u64; 32] {
        std::array::from_fn(|lane| lane as u64 * stride)
    }

    #[test]
    fn a_stride_of_n_words_conflicts_as_often_as_its_banks_repeat() {
        for stride in 1..=32u64 {
            let gcd = (1..=32).rev().find(|d| stride % d == 0 && 32 % d == 0).unwrap();
            let need = wavefronts(&strided(4 * stride), !0, 4);
            assert_eq!(need, shared(gcd, 1), "stride {stride}");
        }
    }

    #[test]
    fn equal_words_are_broadcast() {
        assert_eq!(wavefronts(&[256; 32], !0, 4), shared(1, 1));
        let bytes: [u64; 32] = std::array::from_fn(|lane| lane as u64);
        assert_eq!(wavefronts(&bytes, !0, 1), shared(1, 1));
    }

    #[test]
    fn wide_lanes_take_passes_of_128_bytes() {
        assert_eq!(wavefronts(&strided(8), !0, 8), shared(2, 2));
        assert_eq!(wavefronts(&strided(16), !0, 16), shared(4, 4));
        // Eight rows of 128 bytes, read 16 bytes each from the same column: an eight-way conflict.
        assert_eq!(wavefronts(&strided(128), 0xff, 16), shared(8, 1));
        // Rows 16 bytes longer are free of it.
        assert_eq!(wavefronts(&strided(144), 0xff, 16), shared(1, 1));
    }

    #[test]
    fn lanes_that_straddle_two_passes_take_both() {
        assert_eq!(wavefronts(&strided(8), 0x00ff_ff00, 8), shared(2, 2));
        assert_eq!(wavefronts(&strided(8), 0xffff_0000, 8), shared(1, 1));
        assert_eq!(wavefronts(&strided(16), 0x0000_0ff0, 16), shared(2, 2));
        assert_eq!(wavefronts(&strided(4), 0x00ff_ff00, 4), shared(1, 1));
    }

    #[test]
    fn sectors_follow_the_stride() {
        assert_eq!(sectors(&strided(4), !0, 4), global(4, 4, 1));
        assert_eq!(sectors(&strided(8), !0, 4), global(8, 4, 2));
        assert_eq!(sectors(&strided(32), !0, 4), global(32, 4, 8));
        assert_eq!(sectors(&strided(4096), !0, 4), global(32, 4, 32));
        assert_eq!(sectors(&strided(16), !0, 16), global(16, 16, 4));
        assert_eq!(sectors(&[64; 32], !0, 4), global(1, 1, 1));
        let off: [u64; 32] = std::array::from_fn(|lane| 16 + 4 * lane as u64);
        assert_eq!(sectors(&off, !0, 4), global(5, 4, 2));
        assert_eq!(sectors(&strided(4), 0b1, 4), global(1, 1, 1));
    }

    #[test]
    fn the_order_of_lanes_does_not_matter() {
        let (up, down) = (strided(4), std::array::from_fn(|lane| 4 * (31 - lane as u64)));
        assert_eq!(sectors(&up, !0, 4), sectors(&down, !0, 4));
        assert_eq!(wavefronts(&up, !0, 4), wavefronts(&down, !0, 4));
    }

    #[test]
    fn lanes_at_one_place_wait_for_each_other() {
        assert_eq!(contention(&[8; 32], !0), (31, 31));
        assert_eq!(contention(&strided(4), !0), (0, 0));
        assert_eq!(contention(&[8; 32], 0b1001), (1, 1));
        let pairs: [u64; 32] = std::array::from_fn(|lane| lane as u64 / 2 * 4);
        assert_eq!(contention(&pairs, !0), (16, 1), "two at each place wait at a time");
        let three: [u64; 32] =
            std::array::from_fn(|lane| if lane % 11 == 0 { 4 } else { 64 + 4 * lane as u64 });
        assert_eq!(contention(&three, !0), (2, 2));
    }

    #[test]
    fn a_word_of_local_memory_is_a_line_of_all_lanes() {
        assert_eq!(local_sectors(&[0; 32], !0, 4), 4);
        assert_eq!(local_sectors(&[8; 32], !0, 16), 16);
        assert_eq!(local_sectors(&[2; 32], !0, 2), 4);
        assert_eq!(local_sectors(&[4; 32], 0xff, 4), 1, "eight lanes share a sector");
        assert_eq!(local_sectors(&[4; 32], 0x0101_0101, 1), 4);
        assert_eq!(local_sectors(&strided(4), !0, 4), 32, "every lane at a word of its own");
        assert_eq!(local_sectors(&strided(4), !0, 32), 4 * 15, "words overlap from lane to lane");
    }
}
