//! Tiles of 6 × 16 sums in twelve of the sixteen 256-bit registers.

use std::arch::x86_64::*;

use super::tile::{Lanes, engine};

/// Sums through memory for the last columns, as 256-bit masks cost more than they save.
macro_rules! store_part {
    ($sum:ident, $to:ident, $columns:ident, $add:ident, $plus:expr) => {{
        let mut lanes = [Default::default(); 8];
        std::ptr::copy_nonoverlapping((&raw const $sum).cast(), lanes.as_mut_ptr(), 8);
        for (l, sum) in lanes.into_iter().enumerate().take($columns) {
            let to = &mut *$to.add(l);
            *to = if $add { $plus(*to, sum) } else { sum };
        }
    }};
}

/// f32 by FMA.
pub(super) struct F32x8;

// SAFETY of every block below: the trait's contract gives the instruction set and readable or writable memory.
impl Lanes for F32x8 {
    type V = __m256;
    type Sum = f32;
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn zero() -> __m256 {
        // SAFETY: as above.
        unsafe { _mm256_setzero_ps() }
    }
    #[inline(always)]
    unsafe fn load(from: *const u32) -> __m256 {
        // SAFETY: as above.
        unsafe { _mm256_loadu_ps(from.cast()) }
    }
    #[inline(always)]
    unsafe fn splat(from: *const u32) -> __m256 {
        // SAFETY: as above.
        unsafe { _mm256_set1_ps(from.cast::<f32>().read_unaligned()) }
    }
    #[inline(always)]
    unsafe fn dot(sum: __m256, a: __m256, b: __m256) -> __m256 {
        // SAFETY: as above.
        unsafe { _mm256_fmadd_ps(a, b, sum) }
    }
    #[inline(always)]
    unsafe fn store(sum: __m256, to: *mut f32, columns: usize, add: bool) {
        // SAFETY: as above.
        unsafe {
            if columns < 8 {
                store_part!(sum, to, columns, add, |a: f32, b: f32| a + b)
            } else if add {
                _mm256_storeu_ps(to, _mm256_add_ps(_mm256_loadu_ps(to), sum))
            } else {
                _mm256_storeu_ps(to, sum)
            }
        }
    }
}

/// Pairs of i16, which were int8, by multiply-and-add-neighbours: exact, as 2·127² fits an i32.
pub(super) struct I16x16;

impl Lanes for I16x16 {
    type V = __m256i;
    type Sum = i32;
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn zero() -> __m256i {
        // SAFETY: as above.
        unsafe { _mm256_setzero_si256() }
    }
    #[inline(always)]
    unsafe fn load(from: *const u32) -> __m256i {
        // SAFETY: as above.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }
    #[inline(always)]
    unsafe fn splat(from: *const u32) -> __m256i {
        // SAFETY: as above.
        unsafe { _mm256_set1_epi32(from.cast::<i32>().read_unaligned()) }
    }
    #[inline(always)]
    unsafe fn dot(sum: __m256i, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: as above.
        unsafe { _mm256_add_epi32(sum, _mm256_madd_epi16(a, b)) }
    }
    #[inline(always)]
    unsafe fn store(sum: __m256i, to: *mut i32, columns: usize, add: bool) {
        // SAFETY: as above.
        unsafe {
            let there = to.cast::<__m256i>();
            if columns < 8 {
                store_part!(sum, to, columns, add, i32::wrapping_add)
            } else if add {
                _mm256_storeu_si256(there, _mm256_add_epi32(_mm256_loadu_si256(there), sum))
            } else {
                _mm256_storeu_si256(there, sum)
            }
        }
    }
}

engine!(
    /// f32 words, FMA3.
    Avx2F32, F32x8, 2, [1 2 3 4 5 6], 6, "avx2,fma");
engine!(
    /// Words of two i16.
    Avx2I16, I16x16, 2, [1 2 3 4 5 6], 6, "avx2");
