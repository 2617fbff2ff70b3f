//! AVX2 with FMA: eight lanes, 6 × 16 register tiles (12 sums, two columns and a broadcast in 16 registers).

use std::arch::x86_64::*;

use half::bf16;

use super::micro::{Tile, micro};
use super::vector::{Format, Simd};

/// AVX2 and FMA3.
#[derive(Clone, Copy)]
pub struct Avx2(());

/// Compiles `f` for AVX2 and FMA.
///
/// # Safety
/// The processor has the features.
#[target_feature(enable = "avx2,fma")]
#[inline]
unsafe fn with<R>(f: impl FnOnce() -> R) -> R {
    f()
}

/// Rounds to bf16, left in the upper halves of the lanes; NaN stays NaN.
#[inline(always)]
fn rounded(v: __m256) -> __m256i {
    // SAFETY: called only by methods of `Avx2`, a value of which proves AVX2.
    unsafe {
        let bits = _mm256_castps_si256(v);
        let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
        let up = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
        let nan = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(v, v));
        _mm256_blendv_epi8(up, _mm256_set1_epi32(0x7fc0_0000), nan)
    }
}

impl Simd for Avx2 {
    type V = __m256;
    const LANES: usize = 8;
    const MR: usize = 6;
    const NR: usize = 16;

    fn new() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Avx2(()))
    }

    #[inline(always)]
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        // SAFETY: `self` proves AVX2 and FMA.
        unsafe { with(f) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_set1_ps(x) }
    }

    #[inline(always)]
    unsafe fn load(self, at: *const f32) -> __m256 {
        // SAFETY: `self` proves AVX2; the caller vouches for the memory.
        unsafe { _mm256_loadu_ps(at) }
    }

    #[inline(always)]
    unsafe fn store(self, at: *mut f32, v: __m256) {
        // SAFETY: `self` proves AVX2; the caller vouches for the memory.
        unsafe { _mm256_storeu_ps(at, v) }
    }

    #[inline(always)]
    unsafe fn load_bf16(self, at: *const bf16) -> __m256 {
        // SAFETY: `self` proves AVX2; the caller vouches for 16 bytes.
        unsafe {
            let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(at.cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
        }
    }

    #[inline(always)]
    unsafe fn store_bf16(self, at: *mut bf16, v: __m256) {
        // SAFETY: `self` proves AVX2; the caller vouches for 16 bytes.
        unsafe {
            let low = _mm256_srli_epi32::<16>(rounded(v));
            let packed = _mm256_permute4x64_epi64::<0b1000>(_mm256_packus_epi32(low, low));
            _mm_storeu_si128(at.cast(), _mm256_castsi256_si128(packed))
        }
    }

    #[inline(always)]
    fn pairs(self, low: __m256, high: __m256) -> __m256 {
        // SAFETY: `self` proves AVX2.
        unsafe {
            let low = _mm256_srli_epi32::<16>(rounded(low));
            let high = _mm256_and_si256(rounded(high), _mm256_set1_epi32(0xffff_0000u32 as i32));
            _mm256_castsi256_ps(_mm256_or_si256(low, high))
        }
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_mul_ps(a, b) }
    }

    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_max_ps(a, b) }
    }

    #[inline(always)]
    fn fma(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: `self` proves FMA.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn dot_bf16(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: `self` proves AVX2 and FMA.
        unsafe {
            let high = _mm256_set1_epi32(0xffff_0000u32 as i32);
            let upper =
                |v: __m256| _mm256_castsi256_ps(_mm256_and_si256(_mm256_castps_si256(v), high));
            let lower =
                |v: __m256| _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_castps_si256(v)));
            _mm256_fmadd_ps(upper(a), upper(b), _mm256_fmadd_ps(lower(a), lower(b), c))
        }
    }

    #[inline(always)]
    fn scale_exponent(self, a: __m256, magic: __m256) -> __m256 {
        // SAFETY: `self` proves AVX2.
        unsafe {
            let exponent = _mm256_slli_epi32::<23>(_mm256_castps_si256(magic));
            _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), exponent))
        }
    }

    #[inline(always)]
    fn keep_first(self, v: __m256, n: usize) -> __m256 {
        // SAFETY: `self` proves AVX2.
        unsafe {
            let lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            let keep = _mm256_cmpgt_epi32(_mm256_set1_epi32(n.min(8) as i32), lane);
            _mm256_and_ps(v, _mm256_castsi256_ps(keep))
        }
    }

    #[inline(always)]
    fn sum(self, v: __m256) -> f32 {
        // SAFETY: `self` proves AVX2.
        unsafe {
            let four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }

    #[inline(always)]
    fn largest(self, v: __m256) -> f32 {
        // SAFETY: `self` proves AVX2.
        unsafe {
            let four = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)))
        }
    }

    #[inline(always)]
    unsafe fn tile<F: Format, const LAYOUT: usize, const LD: usize, const MODE: usize>(
        self,
        t: Tile,
    ) {
        // SAFETY: the caller's obligation is the same.
        unsafe { micro::<Self, F, 6, 2, LAYOUT, LD, MODE>(self, t) }
    }
}
