//! Packing by AVX-512: a source that is contiguous along k is transposed in blocks of 16 × 16 words, one that is contiguous
//! along lanes has its rows interleaved.

use std::arch::x86_64::*;

use half::bf16;

use super::pack::{Side, Source, Words};
use super::tile::prefetch;

/// Rows that are asked for ahead: strides as wide as a row of an operand are beyond the hardware's prefetchers.
const AHEAD: usize = 12;

/// Stores of whole vectors at every step of k, of which a narrow panel's next step overwrites the rest: this is why a panel
/// needs slack behind it.
macro_rules! vector_words {
    ($(#[$doc:meta])* $name:ident, $element:ty, $size:literal, $direct:literal, $header:literal,
        $offset:expr) => {
        $(#[$doc])*
        pub(super) struct $name;

        impl Words for $name {
            type Element = $element;
            const PER_WORD: usize = 4 / $size;
            const DIRECT: bool = $direct;
            const HEADER: bool = $header;

            unsafe fn pack(side: Side, s: Source<$element>, width: usize, to: *mut u32) {
                #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
                unsafe fn pack(side: Side, s: Source<$element>, width: usize, to: *mut u32) {
                    let flip = _mm512_set1_epi32(if side == Side::A { $offset } else { 0 });
                    let header = $header && side == Side::B;
                    // SAFETY: source and panel are as the trait's contract says.
                    unsafe {
                        let words = if header { to.add(width) } else { to };
                        if s.k_stride == 1 {
                            transpose(
                                Source {
                                    start: s.start.cast(),
                                    lane_stride: s.lane_stride * $size,
                                    k_stride: 1,
                                    lanes: s.lanes,
                                    depth: s.depth * $size,
                                },
                                width,
                                words,
                                flip,
                            )
                        } else {
                            interleave::<$element, { 4 / $size }>(s, width, words, flip)
                        }
                        if header {
                            initial_sums(words, s.depth.div_ceil(4 / $size), width, to);
                        }
                    }
                }
                // SAFETY: the trait's contract gives the instruction set, which `build` checked.
                unsafe { pack(side, s, width, to) }
            }
        }
    };
}

vector_words!(
    /// f32 as they are.
    ZmmF32, f32, 4, true, false, 0);
vector_words!(
    /// bf16 in pairs of neighbouring k.
    ZmmBf16, bf16, 2, false, false, 0);
vector_words!(
    /// int8 in quadruples of neighbouring k, A's offset by 128.
    ZmmI8, i8, 1, false, true, 0x8080_8080_u32 as i32);
vector_words!(
    /// int8 in quadruples of neighbouring k, as they are.
    ZmmPlainI8, i8, 1, false, false, 0);

/// The first `lanes` of 16.
#[inline(always)]
fn first(lanes: usize) -> __mmask16 {
    if lanes >= 16 { !0 } else { (1 << lanes) - 1 }
}

/// Sixteen elements of `4 / PER_WORD` bytes as zero-extended words.
///
/// # Safety
/// The elements within the mask are readable.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
#[inline]
unsafe fn row<T, const PER_WORD: usize>(mask: __mmask16, from: *const T) -> __m512i {
    // SAFETY: masked loads of these elements alone, by this function's contract.
    unsafe {
        match PER_WORD {
            1 => _mm512_maskz_loadu_epi32(mask, from.cast()),
            2 => _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, from.cast())),
            _ => _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(mask, from.cast())),
        }
    }
}

/// Packs a source whose lanes are neighbours: each word takes `PER_WORD` rows.
///
/// # Safety
/// As [`Words::pack`] asks.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
#[inline]
unsafe fn interleave<T, const PER_WORD: usize>(
    s: Source<T>,
    width: usize,
    to: *mut u32,
    flip: __m512i,
) {
    for w in 0..s.depth.div_ceil(PER_WORD) {
        for lane in (0..width).step_by(16) {
            let mask = first(s.lanes.saturating_sub(lane));
            let mut word = _mm512_setzero_si512();
            for i in 0..PER_WORD {
                let k = w * PER_WORD + i;
                if k < s.depth {
                    prefetch(s.start.wrapping_add((k + AHEAD) * s.k_stride + lane));
                    // SAFETY: row k, and within it the lanes of the mask, belong to the source.
                    let x = unsafe { row::<T, PER_WORD>(mask, s.start.add(k * s.k_stride + lane)) };
                    let shift = _mm_cvtsi32_si128((i * 32 / PER_WORD) as i32);
                    word = _mm512_or_si512(word, _mm512_sll_epi32(x, shift));
                }
            }
            // SAFETY: within the panel or its slack.
            unsafe {
                let to = to.add(w * width + lane);
                _mm512_storeu_si512(to.cast(), _mm512_xor_si512(word, flip));
            }
        }
    }
}

/// Packs a source whose k are neighbours; `s` counts bytes.
///
/// # Safety
/// As [`Words::pack`] asks.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
#[inline]
unsafe fn transpose(s: Source<u8>, width: usize, to: *mut u32, flip: __m512i) {
    let words = s.depth.div_ceil(4);
    for lane in (0..width).step_by(16) {
        let lanes = s.lanes.saturating_sub(lane).min(16);
        for w in (0..words).step_by(16) {
            let bytes = (s.depth - 4 * w).min(64);
            let mask = if bytes == 64 { !0 } else { (1u64 << bytes) - 1 };
            let mut x = [flip; 16];
            for (i, x) in x.iter_mut().enumerate().take(lanes) {
                // SAFETY: the bytes of the mask belong to the source's lane `lane + i`.
                let line = unsafe {
                    let from = s.start.add((lane + i) * s.lane_stride + 4 * w);
                    prefetch(from.wrapping_add(128));
                    _mm512_maskz_loadu_epi8(mask, from.cast())
                };
                *x = _mm512_xor_si512(line, flip);
            }
            let columns = transpose_16x16(x);
            for (i, column) in columns.into_iter().enumerate().take(words - w) {
                // SAFETY: within the panel or its slack.
                unsafe { _mm512_storeu_si512(to.add((w + i) * width + lane).cast(), column) };
            }
        }
    }
}

/// Transposes 16 × 16 words in four rounds of pairwise exchange.
#[target_feature(enable = "avx512f")]
#[inline]
pub(super) fn transpose_16x16(x: [__m512i; 16]) -> [__m512i; 16] {
    // Loops rather than `from_fn`, whose closures are not always inlined across target features.
    let mut pairs = x;
    for i in (0..16).step_by(2) {
        pairs[i] = _mm512_unpacklo_epi32(x[i], x[i + 1]);
        pairs[i + 1] = _mm512_unpackhi_epi32(x[i], x[i + 1]);
    }
    // quads[4g + c] holds, in quarter q, column 4q + c of rows 4g … 4g + 3.
    let mut quads = pairs;
    for i in (0..16).step_by(4) {
        quads[i] = _mm512_unpacklo_epi64(pairs[i], pairs[i + 2]);
        quads[i + 1] = _mm512_unpackhi_epi64(pairs[i], pairs[i + 2]);
        quads[i + 2] = _mm512_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
        quads[i + 3] = _mm512_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
    }
    // Now quarters across the four groups: 0 and 1, then 2 and 3 of two groups each; of these the even, then the odd.
    let mut columns = quads;
    for c in 0..4 {
        let (g0, g1, g2, g3) = (quads[c], quads[4 + c], quads[8 + c], quads[12 + c]);
        let low = _mm512_shuffle_i32x4::<0b01_00_01_00>(g0, g1);
        let high = _mm512_shuffle_i32x4::<0b01_00_01_00>(g2, g3);
        columns[c] = _mm512_shuffle_i32x4::<0b10_00_10_00>(low, high);
        columns[4 + c] = _mm512_shuffle_i32x4::<0b11_01_11_01>(low, high);
        let low = _mm512_shuffle_i32x4::<0b11_10_11_10>(g0, g1);
        let high = _mm512_shuffle_i32x4::<0b11_10_11_10>(g2, g3);
        columns[8 + c] = _mm512_shuffle_i32x4::<0b10_00_10_00>(low, high);
        columns[12 + c] = _mm512_shuffle_i32x4::<0b11_01_11_01>(low, high);
    }
    columns
}

/// −128 times the sums of each column of an int8 panel, which undoes the offset of A.
///
/// # Safety
/// `words` holds `depth` × `width` words, `to` has room for `width`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
#[inline]
unsafe fn initial_sums(words: *const u32, depth: usize, width: usize, to: *mut u32) {
    let ones = _mm512_set1_epi16(1);
    for lane in (0..width).step_by(16) {
        let mut sum = _mm512_setzero_si512();
        for w in 0..depth {
            // SAFETY: within the panel.
            let x = unsafe { _mm512_loadu_si512(words.add(w * width + lane).cast()) };
            // Even and odd bytes, sign-extended to 16 bits; their neighbours add up in `madd`.
            let even = _mm512_srai_epi16::<8>(_mm512_slli_epi16::<8>(x));
            let pairs = _mm512_add_epi16(even, _mm512_srai_epi16::<8>(x));
            sum = _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, ones));
        }
        let sum = _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_slli_epi32::<7>(sum));
        // SAFETY: `to` has room for `width` words, a multiple of 16.
        unsafe { _mm512_storeu_si512(to.add(lane).cast(), sum) };
    }
}
