//! The instruction set of every target, as plain Rust: the twin that the vector paths are tested against.

use half::bf16;

use super::micro::{Tile, micro};
use super::vector::{Elem, Format, Simd};

/// Eight f32 in an array: what every target has, and the twin that the vector paths are tested against.
#[derive(Clone, Copy)]
pub struct Portable;

impl Portable {
    #[inline(always)]
    fn zip(a: [f32; 8], b: [f32; 8], f: impl Fn(f32, f32) -> f32) -> [f32; 8] {
        std::array::from_fn(|i| f(a[i], b[i]))
    }

    #[inline(always)]
    fn round(x: f32) -> u32 {
        bf16::from_f32(x).to_bits().into()
    }
}

impl Simd for Portable {
    type V = [f32; 8];
    const LANES: usize = 8;
    const MR: usize = 4;
    const NR: usize = 8;

    fn new() -> Option<Self> {
        Some(Portable)
    }

    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        f()
    }

    #[inline(always)]
    fn splat(self, x: f32) -> [f32; 8] {
        [x; 8]
    }

    #[inline(always)]
    unsafe fn load(self, at: *const f32) -> [f32; 8] {
        // SAFETY: the caller vouches for eight f32; the array needs no more than their alignment.
        unsafe { at.cast::<[f32; 8]>().read() }
    }

    #[inline(always)]
    unsafe fn store(self, at: *mut f32, v: [f32; 8]) {
        // SAFETY: the caller vouches for eight f32; the array needs no more than their alignment.
        unsafe { at.cast::<[f32; 8]>().write(v) }
    }

    #[inline(always)]
    unsafe fn load_bf16(self, at: *const bf16) -> [f32; 8] {
        // SAFETY: the caller vouches for eight bf16; the array needs no more than their alignment.
        unsafe { at.cast::<[bf16; 8]>().read() }.map(Elem::wide)
    }

    #[inline(always)]
    unsafe fn store_bf16(self, at: *mut bf16, v: [f32; 8]) {
        // SAFETY: the caller vouches for eight bf16; the array needs no more than their alignment.
        unsafe { at.cast::<[bf16; 8]>().write(v.map(bf16::from_f32)) }
    }

    #[inline(always)]
    fn pairs(self, low: [f32; 8], high: [f32; 8]) -> [f32; 8] {
        Self::zip(low, high, |l, h| f32::from_bits(Self::round(l) | Self::round(h) << 16))
    }

    #[inline(always)]
    fn add(self, a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        Self::zip(a, b, |a, b| a + b)
    }

    #[inline(always)]
    fn sub(self, a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        Self::zip(a, b, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        Self::zip(a, b, |a, b| a * b)
    }

    #[inline(always)]
    fn max(self, a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        Self::zip(a, b, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn fma(self, a: [f32; 8], b: [f32; 8], c: [f32; 8]) -> [f32; 8] {
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }

    #[inline(always)]
    fn dot_bf16(self, a: [f32; 8], b: [f32; 8], c: [f32; 8]) -> [f32; 8] {
        let low = |x: f32| f32::from_bits(x.to_bits() << 16);
        let high = |x: f32| f32::from_bits(x.to_bits() & 0xffff_0000);
        std::array::from_fn(|i| low(a[i]) * low(b[i]) + high(a[i]) * high(b[i]) + c[i])
    }

    #[inline(always)]
    fn scale_exponent(self, a: [f32; 8], magic: [f32; 8]) -> [f32; 8] {
        Self::zip(a, magic, |a, m| f32::from_bits(a.to_bits().wrapping_add(m.to_bits() << 23)))
    }

    #[inline(always)]
    fn keep_first(self, v: [f32; 8], n: usize) -> [f32; 8] {
        std::array::from_fn(|i| if i < n { v[i] } else { 0.0 })
    }

    #[inline(always)]
    fn sum(self, v: [f32; 8]) -> f32 {
        ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]))
    }

    #[inline(always)]
    fn largest(self, v: [f32; 8]) -> f32 {
        v.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }

    #[inline(always)]
    unsafe fn tile<F: Format, const LAYOUT: usize, const LD: usize, const MODE: usize>(
        self,
        t: Tile,
    ) {
        // SAFETY: the caller's obligation is the same.
        unsafe { micro::<Self, F, 4, 1, LAYOUT, LD, MODE>(self, t) }
    }
}
