//! Vectors of f32: one body of a loop for AVX-512, AVX2 and whatever else the build's target has.

use crate::device::{Capabilities, Isa};
use crate::ops::{Cache, Case};

/// The instructions to stream a case with: zmm registers while it stays in the caches, ymm where they exist once it comes
/// from memory.
///
/// Measured on one core of Zen 4 with all kernels on the same buffers: SGD and its probe 10 to 14 % faster so, momentum to
/// Adam a few per cent, AdamW and Lion within the noise; on two cores nothing beyond the noise. Other processors were not
/// tried.
pub fn streaming_isa(on: &Capabilities, case: &Case) -> Isa {
    let beyond = case.cache == Cache::Cold || case.buffer_bytes() > on.last_level_cache;
    Isa { avx512: on.isa.avx512 && !(beyond && on.isa.avx2), ..on.isa }
}

/// A register of f32 lanes.
///
/// # Safety
/// Every method may only be called on a processor that has the implementor's instructions (see its documentation), from a
/// function compiled for them; pointers point to [`Lanes::N`] elements that may be read or written.
pub unsafe trait Lanes: Copy {
    /// The number of lanes.
    const N: usize;
    /// `x` in every lane.
    unsafe fn splat(x: f32) -> Self;
    /// Any alignment.
    unsafe fn load(from: *const f32) -> Self;
    /// Any alignment.
    unsafe fn store(self, to: *mut f32);
    /// Around the caches; aligned to the register, and followed by [`Lanes::fence`] before another thread may look.
    unsafe fn stream(self, to: *mut f32);
    /// Orders [`Lanes::stream`] before what follows.
    unsafe fn fence();
    /// bf16 widened to f32, exactly; any alignment.
    unsafe fn load_bf16(from: *const half::bf16) -> Self;
    /// f32 rounded to bf16, ties to even, NaN to NaN; any alignment.
    unsafe fn store_bf16(self, to: *mut half::bf16);
    /// `self + other`
    unsafe fn add(self, other: Self) -> Self;
    /// `self − other`
    unsafe fn sub(self, other: Self) -> Self;
    /// `self · other`
    unsafe fn mul(self, other: Self) -> Self;
    /// `self / other`, correctly rounded.
    unsafe fn div(self, other: Self) -> Self;
    /// Square root, correctly rounded.
    unsafe fn sqrt(self) -> Self;
    /// `self · by + plus`, rounded once where the processor can.
    unsafe fn mul_add(self, by: Self, plus: Self) -> Self;
    /// −1, 0 or 1.
    unsafe fn sign(self) -> Self;
    /// Exclusive or of the bits.
    unsafe fn xor(self, other: Self) -> Self;
}

/// `N` lanes in the instructions that every target of the build has; any processor.
#[derive(Clone, Copy)]
pub struct Wide<const N: usize>(pub [f32; N]);

/// What portable loops are written in: two SSE registers, for instance.
pub type Portable = Wide<8>;

impl<const N: usize> Wide<N> {
    // Loops: with `array::from_fn` and `map` here, portable reads ran at 2 GB/s instead of 27.
    #[inline(always)]
    fn zip(mut self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        for (x, y) in self.0.iter_mut().zip(other.0) {
            *x = f(*x, y);
        }
        self
    }

    #[inline(always)]
    fn map(mut self, f: impl Fn(f32) -> f32) -> Self {
        for x in &mut self.0 {
            *x = f(*x);
        }
        self
    }
}

// SAFETY: nothing but plain Rust; only the pointers are the caller's promise.
unsafe impl<const N: usize> Lanes for Wide<N> {
    const N: usize = N;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        Wide([x; N])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: `N` readable elements by the trait's contract.
        Wide(unsafe { from.cast::<[f32; N]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: `N` writable elements by the trait's contract.
        unsafe { to.cast::<[f32; N]>().write_unaligned(self.0) }
    }

    #[inline(always)]
    unsafe fn stream(self, to: *mut f32) {
        // SAFETY: the same contract; a plain store is a right one.
        unsafe { self.store(to) }
    }

    #[inline(always)]
    unsafe fn fence() {}

    #[inline(always)]
    unsafe fn load_bf16(from: *const half::bf16) -> Self {
        // SAFETY: `N` readable elements by the trait's contract.
        let bits = unsafe { from.cast::<[u16; N]>().read_unaligned() };
        let mut out = [0f32; N];
        for (out, bits) in out.iter_mut().zip(bits) {
            *out = f32::from_bits(u32::from(bits) << 16);
        }
        Wide(out)
    }

    #[inline(always)]
    unsafe fn store_bf16(self, to: *mut half::bf16) {
        let mut out = [0u16; N];
        for (out, x) in out.iter_mut().zip(self.0) {
            let bits = x.to_bits();
            let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
            *out = if x.is_nan() { 0x7fc0 } else { rounded } as u16;
        }
        // SAFETY: `N` writable elements by the trait's contract.
        unsafe { to.cast::<[u16; N]>().write_unaligned(out) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }

    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        self.zip(other, |a, b| a / b)
    }

    #[inline(always)]
    unsafe fn sqrt(self) -> Self {
        self.map(f32::sqrt)
    }

    // `f32::mul_add` would be a slow library call where the target has no FMA.
    #[inline(always)]
    unsafe fn mul_add(self, by: Self, plus: Self) -> Self {
        self.zip(by, |a, b| a * b).zip(plus, |a, b| a + b)
    }

    #[inline(always)]
    unsafe fn sign(self) -> Self {
        self.map(|x| f32::from(u8::from(x > 0.0)) - f32::from(u8::from(x < 0.0)))
    }

    #[inline(always)]
    unsafe fn xor(self, other: Self) -> Self {
        self.zip(other, |a, b| f32::from_bits(a.to_bits() ^ b.to_bits()))
    }
}
