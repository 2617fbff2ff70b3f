//! A short burst of f32 multiply-accumulates that tells how fast the clock runs right now.

use std::hint::black_box;
use std::time::Instant;

use super::fma::{Burst, choose_f32};
use crate::device::Isa;
use crate::ops::peak::{CHAINS, PERIOD};
use crate::units::{Flops, Nanos};

/// Runs such a burst on the calling thread, 40 to 100 µs in the vectors of `isa`, and returns its work and how long it took.
///
/// It touches no memory but two KiB of its stack, so that only the core's clock (and whoever shares the core) changes its
/// rate: interleaved with samples, it tells a slow kernel from a slow moment.
pub fn fma_anchor(isa: &Isa) -> (Flops, Nanos) {
    let run = choose_f32(isa);
    // 11, 9 and 1.5 million operations: 40 µs on a core with 512-bit units at 4.25 GHz, 90 µs with 256-bit units at 3.7.
    let pairs: u64 = match () {
        () if isa.avx512 => 7_000,
        () if isa.avx2 => 6_000,
        () => 1_000,
    };
    let x: [f32; CHAINS] = black_box(std::array::from_fn(|i| i as f32));
    let (a, b) = black_box(([3.0f32; PERIOD], [5.0f32; PERIOD]));
    let mut out = [0f32; CHAINS];
    let start = Instant::now();
    // SAFETY: `choose_f32` asked the processor for the instructions.
    unsafe { run(Burst { x: &x, a: &a, b: &b, out: &mut out, pairs }) };
    let elapsed = start.elapsed();
    black_box(out);
    (Flops((2 * pairs + 1) * 2 * CHAINS as u64), Nanos(elapsed.as_nanos() as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_anchor_does_the_work_that_it_reports() {
        for isa in [Isa::PORTABLE, Isa::detect()] {
            let (work, time) = fma_anchor(&isa);
            assert!(work.0 > 1_000_000);
            // A thousand times the fastest core there is would mean that the work was left out.
            assert!((work / time).0 < 1e15, "{}", work / time);
        }
    }
}
