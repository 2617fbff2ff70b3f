// The softmax of scores that are seen once (M. Milakov, N. Gimelshein, Online normalizer calculation for softmax, 2018): a running
// maximum, and a sum and other totals relative to it, which shrink by `shrink` when the maximum grows. Scores are in units of
// log 2 where the names say exp2; two partial softmaxes merge the same way (Flash-Decoding).
#pragma once
#include "common/ptx.cuh"

constexpr float LOG2_E = 1.4426950408889634f;
constexpr float LN_2 = 0.6931471805599453f;

// Below every score; a softmax that has seen nothing yet has this maximum.
DEVICE float minus_infinity() { return __uint_as_float(0xff800000u); }

// Reductions over Lanes neighbouring lanes (a power of two), or with First over lanes that far apart and further; every lane
// gets the result.
template <u32 Lanes = 32, u32 First = 1> DEVICE float lanes_max(float x) {
#pragma unroll
  for (u32 apart = First; apart < Lanes; apart *= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, apart));
  return x;
}
template <u32 Lanes = 32, u32 First = 1> DEVICE float lanes_sum(float x) {
#pragma unroll
  for (u32 apart = First; apart < Lanes; apart *= 2) x += __shfl_xor_sync(0xffffffffu, x, apart);
  return x;
}

// What totals relative to the maximum `before` are multiplied by when it has become `after`; 0 before the first score, when both
// may be minus infinity.
DEVICE float shrink_exp2(float before, float after) { return before == after ? 1.f : ex2_approx(before - after); }
