//! Tiles of 12 × 32 sums in 24 of the 32 512-bit registers.

use std::arch::x86_64::*;

use super::tile::{Lanes, engine};

/// The first `columns` of 16 lanes.
#[inline(always)]
fn first(columns: usize) -> __mmask16 {
    if columns >= 16 { !0 } else { (1 << columns) - 1 }
}

/// f32 by FMA.
pub(super) struct F32x16;

// SAFETY of every block below: the trait's contract gives the instruction set and readable or writable memory.
impl Lanes for F32x16 {
    type V = __m512;
    type Sum = f32;
    const LANES: usize = 16;

    #[inline(always)]
    unsafe fn zero() -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_setzero_ps() }
    }
    #[inline(always)]
    unsafe fn load(from: *const u32) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_loadu_ps(from.cast()) }
    }
    #[inline(always)]
    unsafe fn splat(from: *const u32) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_set1_ps(from.cast::<f32>().read_unaligned()) }
    }
    #[inline(always)]
    unsafe fn dot(sum: __m512, a: __m512, b: __m512) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_fmadd_ps(a, b, sum) }
    }
    #[inline(always)]
    unsafe fn store(sum: __m512, to: *mut f32, columns: usize, add: bool) {
        // SAFETY: as above; masked lanes are neither read nor written.
        unsafe {
            if columns >= 16 {
                let sum = if add { _mm512_add_ps(_mm512_loadu_ps(to), sum) } else { sum };
                return _mm512_storeu_ps(to, sum);
            }
            let mask = first(columns);
            let sum = if add { _mm512_add_ps(_mm512_maskz_loadu_ps(mask, to), sum) } else { sum };
            _mm512_mask_storeu_ps(to, mask, sum)
        }
    }
}

/// Pairs of bf16 by `vdpbf16ps`, with f32 sums.
pub(super) struct Bf16x32;

impl Lanes for Bf16x32 {
    type V = __m512;
    type Sum = f32;
    const LANES: usize = 16;

    #[inline(always)]
    unsafe fn zero() -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_setzero_ps() }
    }
    #[inline(always)]
    unsafe fn load(from: *const u32) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_loadu_ps(from.cast()) }
    }
    #[inline(always)]
    unsafe fn splat(from: *const u32) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_set1_ps(from.cast::<f32>().read_unaligned()) }
    }
    #[inline(always)]
    unsafe fn dot(sum: __m512, a: __m512, b: __m512) -> __m512 {
        // SAFETY: as above; the two vector types have the same bits.
        unsafe {
            let pairs = |x: __m512| std::mem::transmute::<__m512, __m512bh>(x);
            _mm512_dpbf16_ps(sum, pairs(a), pairs(b))
        }
    }
    #[inline(always)]
    unsafe fn store(sum: __m512, to: *mut f32, columns: usize, add: bool) {
        // SAFETY: as above.
        unsafe { F32x16::store(sum, to, columns, add) }
    }
}

/// Quadruples of int8 by `vpdpbusd`: A as unsigned bytes, offset by 128, B as signed ones; B's panels begin with −128 times
/// the sums of their columns.
pub(super) struct I8x64;

impl Lanes for I8x64 {
    type V = __m512i;
    type Sum = i32;
    const LANES: usize = 16;
    const HEADER: bool = true;

    #[inline(always)]
    unsafe fn zero() -> __m512i {
        // SAFETY: as above.
        unsafe { _mm512_setzero_si512() }
    }
    #[inline(always)]
    unsafe fn load(from: *const u32) -> __m512i {
        // SAFETY: as above.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }
    #[inline(always)]
    unsafe fn splat(from: *const u32) -> __m512i {
        // SAFETY: as above.
        unsafe { _mm512_set1_epi32(from.cast::<i32>().read_unaligned()) }
    }
    #[inline(always)]
    unsafe fn dot(sum: __m512i, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: as above.
        unsafe { _mm512_dpbusd_epi32(sum, a, b) }
    }
    #[inline(always)]
    unsafe fn store(sum: __m512i, to: *mut i32, columns: usize, add: bool) {
        // SAFETY: as above; masked lanes are neither read nor written.
        unsafe {
            let mask = first(columns);
            let sum =
                if add { _mm512_add_epi32(_mm512_maskz_loadu_epi32(mask, to), sum) } else { sum };
            if columns >= 16 {
                return _mm512_storeu_si512(to.cast(), sum);
            }
            _mm512_mask_storeu_epi32(to, mask, sum)
        }
    }
}

engine!(
    /// f32 words.
    Avx512F32, F32x16, 2, [1 2 3 4 5 6 7 8 9 10 11 12], 12, "avx512f");
engine!(
    /// Words of two bf16.
    Avx512Bf16, Bf16x32, 2, [1 2 3 4 5 6 7 8 9 10 11 12], 12, "avx512f,avx512bf16");
engine!(
    /// Words of four int8.
    Avx512I8, I8x64, 2, [1 2 3 4 5 6 7 8 9 10 11 12], 12, "avx512f,avx512vnni");
