//! [`Lanes`] in AVX2 with FMA, and in AVX-512.

use std::arch::x86_64::*;

use half::bf16;

use super::lanes::Lanes;

/// Implements [`Lanes`], each method being one block of intrinsics.
macro_rules! lanes {
    ($name:ident of $n:literal { $(fn $f:ident($($arg:ident: $t:ty),*) $(-> $ret:ty)? $body:block)* }) => {
        // SAFETY: every method is the intrinsics of its body; they need what the type's documentation names.
        unsafe impl Lanes for $name {
            const N: usize = $n;
            $(
                #[inline(always)]
                unsafe fn $f($($arg: $t),*) $(-> $ret)? {
                    // SAFETY: the caller promises the instructions, and that pointers are good for N elements.
                    unsafe { $body }
                }
            )*
        }
    };
}

/// Sixteen lanes; needs AVX-512 F, BW, DQ and VL.
#[derive(Clone, Copy)]
pub struct Zmm(__m512);

lanes! { Zmm of 16 {
    fn splat(x: f32) -> Self { Zmm(_mm512_set1_ps(x)) }
    fn load(from: *const f32) -> Self { Zmm(_mm512_loadu_ps(from)) }
    fn store(self: Self, to: *mut f32) { _mm512_storeu_ps(to, self.0) }
    fn stream(self: Self, to: *mut f32) { _mm512_stream_ps(to, self.0) }
    fn fence() { _mm_sfence() }
    fn load_bf16(from: *const bf16) -> Self {
        let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
        Zmm(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide)))
    }
    fn store_bf16(self: Self, to: *mut bf16) {
        let bits = _mm512_castps_si512(self.0);
        let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
        let up = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
        let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(self.0, self.0);
        let high = _mm512_srli_epi32::<16>(up);
        let rounded = _mm512_mask_mov_epi32(high, nan, _mm512_set1_epi32(0x7fc0));
        _mm256_storeu_si256(to.cast(), _mm512_cvtepi32_epi16(rounded))
    }
    fn add(self: Self, other: Self) -> Self { Zmm(_mm512_add_ps(self.0, other.0)) }
    fn sub(self: Self, other: Self) -> Self { Zmm(_mm512_sub_ps(self.0, other.0)) }
    fn mul(self: Self, other: Self) -> Self { Zmm(_mm512_mul_ps(self.0, other.0)) }
    fn div(self: Self, other: Self) -> Self { Zmm(_mm512_div_ps(self.0, other.0)) }
    fn sqrt(self: Self) -> Self { Zmm(_mm512_sqrt_ps(self.0)) }
    fn mul_add(self: Self, by: Self, plus: Self) -> Self {
        Zmm(_mm512_fmadd_ps(self.0, by.0, plus.0))
    }
    fn sign(self: Self) -> Self {
        let (zero, one) = (_mm512_setzero_ps(), _mm512_set1_ps(1.0));
        let above = _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(self.0, zero), one);
        let below = _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(self.0, zero), one);
        Zmm(_mm512_sub_ps(above, below))
    }
    fn xor(self: Self, other: Self) -> Self { Zmm(_mm512_xor_ps(self.0, other.0)) }
} }

/// Eight lanes; needs AVX2 and FMA3.
#[derive(Clone, Copy)]
pub struct Ymm(__m256);

lanes! { Ymm of 8 {
    fn splat(x: f32) -> Self { Ymm(_mm256_set1_ps(x)) }
    fn load(from: *const f32) -> Self { Ymm(_mm256_loadu_ps(from)) }
    fn store(self: Self, to: *mut f32) { _mm256_storeu_ps(to, self.0) }
    fn stream(self: Self, to: *mut f32) { _mm256_stream_ps(to, self.0) }
    fn fence() { _mm_sfence() }
    fn load_bf16(from: *const bf16) -> Self {
        let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()));
        Ymm(_mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide)))
    }
    fn store_bf16(self: Self, to: *mut bf16) {
        let bits = _mm256_castps_si256(self.0);
        let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
        let up = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
        let nan = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(self.0, self.0));
        let high = _mm256_srli_epi32::<16>(up);
        let rounded = _mm256_blendv_epi8(high, _mm256_set1_epi32(0x7fc0), nan);
        // Packs within 128-bit halves; the permutation brings the two quarters together.
        let packed = _mm256_packus_epi32(rounded, rounded);
        let low = _mm256_castsi256_si128(_mm256_permute4x64_epi64::<0b1000>(packed));
        _mm_storeu_si128(to.cast(), low)
    }
    fn add(self: Self, other: Self) -> Self { Ymm(_mm256_add_ps(self.0, other.0)) }
    fn sub(self: Self, other: Self) -> Self { Ymm(_mm256_sub_ps(self.0, other.0)) }
    fn mul(self: Self, other: Self) -> Self { Ymm(_mm256_mul_ps(self.0, other.0)) }
    fn div(self: Self, other: Self) -> Self { Ymm(_mm256_div_ps(self.0, other.0)) }
    fn sqrt(self: Self) -> Self { Ymm(_mm256_sqrt_ps(self.0)) }
    fn mul_add(self: Self, by: Self, plus: Self) -> Self {
        Ymm(_mm256_fmadd_ps(self.0, by.0, plus.0))
    }
    fn sign(self: Self) -> Self {
        let (zero, one) = (_mm256_setzero_ps(), _mm256_set1_ps(1.0));
        let above = _mm256_and_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(self.0, zero), one);
        let below = _mm256_and_ps(_mm256_cmp_ps::<_CMP_LT_OQ>(self.0, zero), one);
        Ymm(_mm256_sub_ps(above, below))
    }
    fn xor(self: Self, other: Self) -> Self { Ymm(_mm256_xor_ps(self.0, other.0)) }
} }

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Isa;
    use crate::kernels::optimizer::lanes::Portable;

    /// Every operation on these sixteen numbers, as bits; `mul_add` is left out, for it rounds once or twice.
    unsafe fn all<V: Lanes>(x: &[f32; 16], y: &[f32; 16]) -> Vec<u32> {
        let mut out = Vec::new();
        for at in (0..16).step_by(V::N) {
            let (mut f, mut b) = ([0f32; 16], [bf16::ZERO; 16]);
            // SAFETY: the caller's promise about instructions; N elements remain at `at`, and both arrays hold sixteen.
            unsafe {
                let (a, c) = (V::load(x.as_ptr().add(at)), V::load(y.as_ptr().add(at)));
                let three = V::splat(3.0);
                a.store_bf16(b.as_mut_ptr());
                let back = V::load_bf16(b.as_ptr());
                let results = [
                    a.add(c),
                    a.sub(c),
                    a.mul(c),
                    a.div(c),
                    a.sqrt(),
                    a.sign(),
                    a.xor(c),
                    three,
                    back,
                ];
                for result in results {
                    result.store(f.as_mut_ptr());
                    out.extend(f[..V::N].iter().enumerate().map(|(i, v)| (at + i, v)).map(
                        // Which NaN it is, is up to the processor.
                        |(i, v)| {
                            (i as u32, if v.is_nan() { f32::NAN.to_bits() } else { v.to_bits() })
                        },
                    ));
                }
            }
        }
        // By lane, so that the width does not matter.
        out.sort_by_key(|&(i, _)| i);
        out.into_iter().map(|(_, v)| v).collect()
    }

    #[test]
    fn vector_lanes_compute_what_portable_ones_do() {
        let x = [
            0.0,
            -0.0,
            1.0,
            -1.5,
            3e-39,
            1e38,
            f32::INFINITY,
            f32::NAN,
            1.0 + 1.0 / 256.0,
            1.0 + 3.0 / 256.0,
            0.1,
            -7.3,
            2.0f32.powi(-126),
            -3e38,
            1.003_907,
            5.0,
        ];
        let y = std::array::from_fn(|i| x[(i * 7 + 3) % 16] * 0.7);
        // SAFETY: the portable lanes need no instructions.
        let want = unsafe { all::<Portable>(&x, &y) };
        let isa = Isa::detect();
        if isa.avx2 {
            // SAFETY: AVX2 and FMA were detected.
            assert_eq!(unsafe { all::<Ymm>(&x, &y) }, want);
        }
        if isa.avx512 {
            // SAFETY: AVX-512 was detected.
            assert_eq!(unsafe { all::<Zmm>(&x, &y) }, want);
        }
    }

    #[test]
    fn rounding_to_bf16_is_that_of_half() {
        let x: [f32; 8] = [
            1.0 + 1.0 / 256.0,
            1.0 + 3.0 / 256.0,
            -1.003_907,
            f32::NAN,
            f32::MAX,
            0.1,
            3e-39,
            f32::NEG_INFINITY,
        ];
        let mut out = [bf16::ZERO; 8];
        // SAFETY: portable, and both arrays hold eight.
        unsafe { Portable::load(x.as_ptr()).store_bf16(out.as_mut_ptr()) };
        for (got, x) in out.iter().zip(x) {
            let want = bf16::from_f32(x);
            assert!(got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan(), "{x}: {got}");
        }
    }
}
