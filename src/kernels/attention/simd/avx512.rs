//! AVX-512: sixteen lanes, 12 × 32 register tiles (24 sums, two columns and a broadcast in 32 registers).

use std::arch::x86_64::*;

use half::bf16;

use super::micro::{Tile, micro};
use super::vector::{Format, Simd};

/// AVX-512 F, BW, DQ and VL; with `DOT` also the dot products of bf16 pairs.
#[derive(Clone, Copy)]
pub struct Avx512<const DOT: bool>(());

/// Compiles `f` for AVX-512.
///
/// # Safety
/// The processor has the features.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
#[inline]
unsafe fn with<R>(f: impl FnOnce() -> R) -> R {
    f()
}

/// Compiles `f` for AVX-512 with bf16 dot products.
///
/// # Safety
/// The processor has the features.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
#[inline]
unsafe fn with_dot<R>(f: impl FnOnce() -> R) -> R {
    f()
}

/// Rounds to bf16, left in the upper halves of the lanes; NaN stays NaN.
#[inline(always)]
fn rounded(v: __m512) -> __m512i {
    // SAFETY: called only by methods of `Avx512`, a value of which proves AVX-512.
    unsafe {
        let bits = _mm512_castps_si512(v);
        let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
        let up = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
        let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(v, v);
        _mm512_mask_mov_epi32(up, nan, _mm512_set1_epi32(0x7fc0_0000))
    }
}

impl<const DOT: bool> Simd for Avx512<DOT> {
    type V = __m512;
    const LANES: usize = 16;
    const MR: usize = 12;
    const NR: usize = 32;

    fn new() -> Option<Self> {
        let base = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma");
        (base && (!DOT || is_x86_feature_detected!("avx512bf16"))).then_some(Avx512(()))
    }

    #[inline(always)]
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        // SAFETY: `self` proves the features of its kind.
        unsafe { if DOT { with_dot(f) } else { with(f) } }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        // SAFETY: `self` proves AVX-512.
        unsafe { _mm512_set1_ps(x) }
    }

    #[inline(always)]
    unsafe fn load(self, at: *const f32) -> __m512 {
        // SAFETY: `self` proves AVX-512; the caller vouches for the memory.
        unsafe { _mm512_loadu_ps(at) }
    }

    #[inline(always)]
    unsafe fn store(self, at: *mut f32, v: __m512) {
        // SAFETY: `self` proves AVX-512; the caller vouches for the memory.
        unsafe { _mm512_storeu_ps(at, v) }
    }

    #[inline(always)]
    unsafe fn load_bf16(self, at: *const bf16) -> __m512 {
        // SAFETY: `self` proves AVX-512; the caller vouches for 32 bytes.
        unsafe {
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(at.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
        }
    }

    #[inline(always)]
    unsafe fn store_bf16(self, at: *mut bf16, v: __m512) {
        // SAFETY: `self` proves AVX-512; the caller vouches for 32 bytes.
        unsafe {
            let narrow = _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(rounded(v)));
            _mm256_storeu_si256(at.cast(), narrow)
        }
    }

    #[inline(always)]
    fn pairs(self, low: __m512, high: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512.
        unsafe {
            let low = _mm512_srli_epi32::<16>(rounded(low));
            let high = _mm512_and_si512(rounded(high), _mm512_set1_epi32(0xffff_0000u32 as i32));
            _mm512_castsi512_ps(_mm512_or_si512(low, high))
        }
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512.
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512.
        unsafe { _mm512_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512.
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512.
        unsafe { _mm512_max_ps(a, b) }
    }

    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn dot_bf16(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        if DOT {
            // SAFETY: `self` proves the bf16 dot products; the transmutes are between vectors of 64 bytes of plain bits.
            return unsafe {
                _mm512_dpbf16_ps(
                    c,
                    std::mem::transmute::<__m512, __m512bh>(a),
                    std::mem::transmute::<__m512, __m512bh>(b),
                )
            };
        }
        // SAFETY: `self` proves AVX-512.
        unsafe {
            let high = _mm512_set1_epi32(0xffff_0000u32 as i32);
            let upper =
                |v: __m512| _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(v), high));
            let lower =
                |v: __m512| _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_castps_si512(v)));
            _mm512_fmadd_ps(upper(a), upper(b), _mm512_fmadd_ps(lower(a), lower(b), c))
        }
    }

    #[inline(always)]
    fn scale_exponent(self, a: __m512, magic: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512.
        unsafe {
            let exponent = _mm512_slli_epi32::<23>(_mm512_castps_si512(magic));
            _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(a), exponent))
        }
    }

    #[inline(always)]
    fn keep_first(self, v: __m512, n: usize) -> __m512 {
        let mask = if n >= 16 { 0xffff } else { (1u16 << n) - 1 };
        // SAFETY: `self` proves AVX-512.
        unsafe { _mm512_maskz_mov_ps(mask, v) }
    }

    #[inline(always)]
    fn sum(self, v: __m512) -> f32 {
        // SAFETY: `self` proves AVX-512.
        unsafe { _mm512_reduce_add_ps(v) }
    }

    #[inline(always)]
    fn largest(self, v: __m512) -> f32 {
        // SAFETY: `self` proves AVX-512.
        unsafe { _mm512_reduce_max_ps(v) }
    }

    #[inline(always)]
    unsafe fn tile<F: Format, const LAYOUT: usize, const LD: usize, const MODE: usize>(
        self,
        t: Tile,
    ) {
        // SAFETY: the caller's obligation is the same.
        unsafe { micro::<Self, F, 12, 2, LAYOUT, LD, MODE>(self, t) }
    }
}
