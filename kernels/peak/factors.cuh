// What the probes of tensor cores multiply, in every format: A and B whose product is the probe's a·b in every place.
//
// An instruction's k is 32 bytes a row in every format, 8 values of a factor times the `dot` of the format. A has the values 1 to 8
// in turn in every row, and B the factor b where the value is a. The seven other values are paired, (p, q) with (q, -p), which adds up
// to 0: all operands but one in eight are other than 0, and power is drawn as by a product.
#pragma once
#include "common/ptx.cuh"

#define CHAINS 384
#define PERIOD 8
#define F_BF16 0
#define F_F16 1
#define F_TF32 2
#define F_S8 3
#define F_E4M3 4

#if FORMAT == F_S8
typedef i32 acc;
typedef signed char stored;
#elif FORMAT == F_E4M3
typedef float acc;
typedef unsigned char stored;
#elif FORMAT == F_TF32
typedef float acc;
typedef float stored;
#else
typedef float acc;
typedef u16 stored;
#endif
// Numbers in 32 bits, which is also how many products one step of the probe adds up.
#define DOT ((int)(4 / sizeof(stored)))

// A small integer in the format, and back.
DEVICE u32 encode(int x) {
#if FORMAT == F_S8
  return (u32)x & 0xff;
#elif FORMAT == F_E4M3
  if (x == 0) return 0;
  const u32 size = x < 0 ? -x : x, log = 31 - __clz(size);
  return (x < 0 ? 0x80u : 0u) | (log + 7) << 3 | (size << 3 >> log & 7);
#elif FORMAT == F_TF32
  return __float_as_uint((float)x);
#elif FORMAT == F_BF16
  return __float_as_uint((float)x) >> 16;
#else
  return to_f16((float)x).bits;
#endif
}
DEVICE int decode(stored x) {
#if FORMAT == F_S8
  return x;
#elif FORMAT == F_E4M3
  const int size = (8 | (x & 7)) << ((x >> 3 & 15) - 7) >> 3;
  return x & 0x80 ? -size : size;
#elif FORMAT == F_TF32
  return (int)x;
#elif FORMAT == F_BF16
  return (int)__uint_as_float((u32)x << 16);
#else
  f16 y;
  y.bits = x;
  return (int)to_f32(y);
#endif
}

// What stands in B beside value `at` (from 1) of a pair of factors: b at a, and what cancels elsewhere.
DEVICE int beside(int at, int a, int b) {
  if (at == a) return b;
  // The how manieth of the values without a, from 0; the seventh has no partner.
  const int nth = at - 1 - (at > a), partner = nth ^ 1;
  if (nth == 6) return 0;
  const int other = partner + 1 + (partner + 1 >= a);
  return nth & 1 ? -other : other;
}

// Word `word` of a row of A; `sign` is 1 or -1.
DEVICE u32 value_word(int word, int sign) {
  u32 bits = 0;
#pragma unroll
  for (int i = 0; i < DOT; i++) {
    const int k = word * DOT + i;
    bits |= encode(sign * (k % PERIOD + 1)) << (i * 8 * (int)sizeof(stored));
  }
  return bits;
}

// Word `word` of a column of B, which has the factors of accumulators `column` and every eighth from there.
DEVICE u32 factor_word(int word, int column, const stored* a, const stored* b) {
  u32 bits = 0;
#pragma unroll
  for (int i = 0; i < DOT; i++) {
    const int k = word * DOT + i, term = k / PERIOD;
    const int factor = beside(k % PERIOD + 1, decode(a[column * DOT + term]), decode(b[column * DOT + term]));
    bits |= encode(factor) << (i * 8 * (int)sizeof(stored));
  }
  return bits;
}

// What stands for a set whose accumulators differ from another set's: far from anything that the probe answers.
#define WRONG ((acc)(1 << 24))

// Writes what all warps of a block have in common, each lane with 12 accumulators of its warp's set: three 16×8 tiles, as mma leaves
// them. `memory`: shared, WARPS times a set, which nobody reads any more.
template <int WARPS> DEVICE void write_agreed(acc* __restrict__ set, const acc (&d)[12], acc* memory) {
  const u32 lane = threadIdx.x % 32;
  acc* own = memory + threadIdx.x / 32 * CHAINS + lane / 4 * 8 + lane % 4 * 2;
#pragma unroll
  for (int i = 0; i < 12; i++) own[i / 4 * 128 + i / 2 % 2 * 64 + i % 2] = d[i];
  __syncthreads();
  for (u32 place = threadIdx.x; place < CHAINS; place += 32 * WARPS) {
    acc agreed = memory[place];
#pragma unroll
    for (int w = 1; w < WARPS; w++) agreed = memory[w * CHAINS + place] == agreed ? agreed : WRONG;
    set[place] = agreed;
  }
}
