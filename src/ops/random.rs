//! Seeded random operands, the same on every machine.
//!
//! Each element is a function of seed and index alone, so that any number of threads, and any program that knows the
//! recipe, makes the same tensor: two rounds of a 32-bit integer hash (the constants are those of Chris Wellons' `lowbias32`)
//! give four bytes each; the sum of four 16-bit halves has nearly the shape of a normal distribution (Irwin–Hall, n = 4,
//! cut at ±3.46 σ), and is scaled to mean 0 and the wanted standard deviation.

use half::bf16;

use super::{DType, Tensor, TensorSpec};

/// 32-bit finalizer by Chris Wellons (`lowbias32`, hash-prospector).
#[inline(always)]
const fn hash(mut x: u32) -> u32 {
    x ^= x >> 16;
    x = x.wrapping_mul(0x7feb_352d);
    x ^= x >> 15;
    x = x.wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

/// A stream of random numbers that can be read at any index.
#[derive(Debug, Clone, Copy)]
pub struct Stream {
    key: [u32; 2],
}

impl Stream {
    /// The stream of `seed` for the tensor number `tensor` of a case.
    pub const fn new(seed: u64, tensor: u32) -> Self {
        let low = hash(seed as u32 ^ hash(tensor.wrapping_add(0x9e37_79b9)));
        let high = hash((seed >> 32) as u32 ^ hash(low));
        Stream { key: [low, high] }
    }

    /// 32 random bits at `index`.
    #[inline(always)]
    pub const fn bits(&self, index: u64) -> u32 {
        hash(hash(index as u32 ^ self.key[0]) ^ self.key[1] ^ (index >> 32) as u32)
    }

    /// Nearly normal with mean 0 and standard deviation 1 at `index`.
    #[inline(always)]
    pub fn normal(&self, index: u64) -> f32 {
        let a = self.bits(index);
        let b = hash(a.wrapping_add(self.key[1]));
        let sum = (a & 0xffff) + (a >> 16) + (b & 0xffff) + (b >> 16);
        // Four uniform 16-bit integers: mean 2·65535, variance 4·(65536² − 1)/12.
        const SCALE: f32 = 2.642_8e-5; // 1 / sqrt((65536² − 1) / 3)
        (sum as f32 - 131_070.0) * SCALE
    }

    /// A uniform index below `bound` (multiply-shift; `bound` < 2³²) at `index`.
    pub fn below(&self, index: u64, bound: u64) -> u64 {
        let wide = (u64::from(self.bits(2 * index)) << 32) | u64::from(self.bits(2 * index + 1));
        ((u128::from(wide) * u128::from(bound)) >> 64) as u64
    }
}

/// A tensor of nearly normal numbers with standard deviation `sigma`, rounded to the dtype (int8: σ = 32·`sigma`,
/// clamped to ±127).
pub fn normal(spec: TensorSpec, seed: u64, tensor: u32, sigma: f32) -> Tensor {
    let stream = Stream::new(seed, tensor);
    let mut out = Tensor::zeroed(spec);
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get()).min(8);
    match out.spec.dtype {
        DType::F32 | DType::Tf32 => {
            fill(out.as_mut::<f32>(), threads, |i| stream.normal(i) * sigma)
        }
        DType::Bf16 => {
            fill(out.as_mut::<bf16>(), threads, |i| bf16::from_f32(stream.normal(i) * sigma))
        }
        DType::F16 => fill(out.as_mut::<half::f16>(), threads, |i| {
            half::f16::from_f32(stream.normal(i) * sigma)
        }),
        DType::F64 => fill(out.as_mut::<f64>(), threads, |i| f64::from(stream.normal(i) * sigma)),
        DType::I8 => fill(out.as_mut::<i8>(), threads, |i| {
            (stream.normal(i) * sigma * 32.0).round_ties_even().clamp(-127.0, 127.0) as i8
        }),
        DType::I32 => {
            fill(out.as_mut::<i32>(), threads, |i| (stream.normal(i) * sigma * 32.0) as i32)
        }
        DType::E4m3 => fill(out.as_mut::<u8>(), threads, |i| {
            (stream.bits(i) & 0x80) as u8 | (stream.bits(i) % 0x40) as u8
        }),
    }
    out
}

/// Writes `f(index)` to every element, in parallel for large slices.
pub fn fill<T: Send>(out: &mut [T], threads: usize, f: impl Fn(u64) -> T + Sync) {
    const SMALL: usize = 1 << 16;
    let chunk = if out.len() < SMALL { out.len().max(1) } else { out.len().div_ceil(threads) };
    let f = &f;
    let one = |(part, slice): (usize, &mut [T])| {
        let base = (part * chunk) as u64;
        for (i, x) in slice.iter_mut().enumerate() {
            *x = f(base + i as u64);
        }
    };
    if out.len() <= chunk {
        return one((0, out));
    }
    std::thread::scope(|scope| {
        for job in out.chunks_mut(chunk).enumerate() {
            scope.spawn(move || one(job));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Role;

    #[test]
    fn numbers_have_mean_zero_and_the_asked_deviation_and_are_not_constant() {
        let t = normal(TensorSpec::new(Role::A, DType::F32, &[1 << 18]), 7, 0, 2.0);
        let x = t.to_f64();
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        let var = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / x.len() as f64;
        assert!(mean.abs() < 0.02, "{mean}");
        assert!((var.sqrt() - 2.0).abs() < 0.02, "{}", var.sqrt());
    }

    #[test]
    fn tensors_differ_by_seed_and_by_number_but_not_by_run() {
        let make = |seed, tensor| {
            normal(TensorSpec::new(Role::A, DType::Bf16, &[1000]), seed, tensor, 1.0).to_f64()
        };
        assert_eq!(make(1, 0), make(1, 0));
        assert_ne!(make(1, 0), make(2, 0));
        assert_ne!(make(1, 0), make(1, 1));
        assert_ne!(make(1, 0), make(1 << 40 | 1, 0));
    }

    #[test]
    fn neighbouring_elements_are_uncorrelated() {
        let s = Stream::new(3, 1);
        let n = 1 << 16;
        let c: f64 =
            (0..n).map(|i| f64::from(s.normal(i)) * f64::from(s.normal(i + 1))).sum::<f64>()
                / n as f64;
        assert!(c.abs() < 0.02, "{c}");
    }
}
