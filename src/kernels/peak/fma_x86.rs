//! The arithmetic probe in AVX2 and AVX-512.
//!
//! 24 zmm accumulators with their factors fill most of the register file; the FMA units of any x86 processor need 8 to 10 in
//! flight (latency 4 to 5, two a cycle). AVX2 has 16 registers: 12 or 8 accumulators at a time, in several turns.

use std::arch::asm;
use std::arch::x86_64::*;

use super::fma::Burst;
use crate::ops::peak::CHAINS;

/// Bytes of the factors: eight, of four bytes a step, in every dtype.
const FACTORS: usize = 32;

/// Defines a burst of `$turn` accumulators at a time, each a register of `$lanes`; `$step(accumulator, a, b)` adds a·b.
macro_rules! burst {
    (
        $(#[$doc:meta])* $name:ident($t:ty, $acc:ty) for $features:literal, $turn:literal of $lanes:literal;
        load $load:expr; store $store:expr; factor $factor:expr; negative $minus:expr; step $step:expr;
    ) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// The processor has the instructions that the function is compiled for.
        #[target_feature(enable = $features)]
        pub unsafe fn $name(burst: Burst<'_, $t, $acc>) {
            const TURN: usize = $turn;
            const LANES: usize = $lanes;
            const { assert!(CHAINS.is_multiple_of(TURN * LANES)) };
            assert!(burst.x.len() == CHAINS && burst.out.len() == CHAINS);
            assert!(size_of_val(burst.a) == FACTORS && size_of_val(burst.b) == FACTORS);
            // SAFETY: both factors are FACTORS bytes, as asserted.
            let (a, b) = unsafe { ($factor(burst.a.as_ptr().cast()), $factor(burst.b.as_ptr().cast())) };
            let minus = $minus(b);
            for turn in (0..CHAINS).step_by(TURN * LANES) {
                // SAFETY: the accumulators of this turn lie within the CHAINS elements asserted above.
                let (x, out) = unsafe { (burst.x.as_ptr().add(turn), burst.out.as_mut_ptr().add(turn)) };
                // SAFETY: as above.
                let mut sums: [_; TURN] = std::array::from_fn(|i| unsafe { $load(x.add(i * LANES).cast()) });
                for _ in 0..burst.pairs {
                    for sum in &mut sums {
                        *sum = $step(*sum, a, b);
                    }
                    for sum in &mut sums {
                        *sum = $step(*sum, a, minus);
                    }
                }
                for (i, sum) in sums.into_iter().enumerate() {
                    let sum = $step(sum, a, b);
                    // SAFETY: as above.
                    unsafe { $store(out.add(i * LANES).cast(), sum) };
                }
            }
        }
    };
}

burst! {
    /// f32 in zmm.
    f32_avx512(f32, f32) for "avx512f,avx512bw,avx512dq,avx512vl", 24 of 16;
    load _mm512_loadu_ps; store _mm512_storeu_ps;
    factor |p| _mm512_broadcast_f32x8(_mm256_loadu_ps(p));
    negative |b| _mm512_sub_ps(_mm512_setzero_ps(), b);
    step |sum, a, b| _mm512_fmadd_ps(a, b, sum);
}

burst! {
    /// f32 in ymm.
    f32_avx2(f32, f32) for "avx2,fma", 12 of 8;
    load _mm256_loadu_ps; store _mm256_storeu_ps;
    factor |p| _mm256_loadu_ps(p);
    negative |b| _mm256_sub_ps(_mm256_setzero_ps(), b);
    step |sum, a, b| _mm256_fmadd_ps(a, b, sum);
}

burst! {
    /// Pairs of bf16 in zmm.
    bf16_avx512(half::bf16, f32) for "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16", 24 of 16;
    load _mm512_loadu_ps; store _mm512_storeu_ps;
    factor |p| _mm512_broadcast_i64x4(_mm256_loadu_si256(p));
    negative |b| _mm512_xor_si512(b, _mm512_set1_epi16(i16::MIN));
    step |sum, a: __m512i, b: __m512i| _mm512_dpbf16_ps(sum, bh(a), bh(b));
}

burst! {
    /// bf16 widened to f32 in ymm: even and odd ones of each pair, which is all that this instruction set has to offer.
    bf16_avx2(half::bf16, f32) for "avx2,fma", 8 of 8;
    load _mm256_loadu_ps; store _mm256_storeu_ps;
    factor |p| halves(_mm256_loadu_si256(p));
    negative |b: (__m256, __m256)| (
        _mm256_sub_ps(_mm256_setzero_ps(), b.0), _mm256_sub_ps(_mm256_setzero_ps(), b.1)
    );
    step |sum, a: (__m256, __m256), b: (__m256, __m256)| {
        _mm256_fmadd_ps(a.1, b.1, _mm256_fmadd_ps(a.0, b.0, sum))
    };
}

burst! {
    /// Quadruples of int8 in zmm.
    i8_avx512(i8, i32) for "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni", 24 of 16;
    load _mm512_loadu_si512; store _mm512_storeu_si512;
    factor |p| _mm512_broadcast_i64x4(_mm256_loadu_si256(p));
    negative |b| _mm512_sub_epi8(_mm512_setzero_si512(), b);
    step |sum, a, b| _mm512_dpbusd_epi32(sum, a, b);
}

burst! {
    /// Quadruples of int8 in ymm, by pairs of i16: three instructions for what VNNI does in one.
    i8_avx2(i8, i32) for "avx2,fma", 8 of 8;
    load _mm256_loadu_si256; store _mm256_storeu_si256;
    factor |p| _mm256_loadu_si256(p);
    negative |b| _mm256_sub_epi8(_mm256_setzero_si256(), b);
    step |sum, a, b| {
        let pairs = _mm256_maddubs_epi16(opaque(a), b);
        _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
    };
}

/// Pairs of bf16 as the type that the dot product takes.
#[inline]
#[target_feature(enable = "avx512f")]
fn bh(x: __m512i) -> __m512bh {
    // SAFETY: both are 64 bytes of plain bits.
    unsafe { std::mem::transmute(x) }
}

/// The even and the odd bf16 of each pair as f32.
#[inline]
#[target_feature(enable = "avx2")]
fn halves(x: __m256i) -> (__m256, __m256) {
    let odd = _mm256_and_si256(x, _mm256_set1_epi32(0xffff_0000u32 as i32));
    (_mm256_castsi256_ps(_mm256_slli_epi32::<16>(x)), _mm256_castsi256_ps(odd))
}

/// The same register, about which the compiler then knows nothing: a product with it is computed each time anew.
#[inline]
#[target_feature(enable = "avx2")]
fn opaque(mut x: __m256i) -> __m256i {
    // SAFETY: a comment, no instruction.
    unsafe { asm!("/* {0} */", inout(ymm_reg) x, options(pure, nomem, nostack, preserves_flags)) };
    x
}
